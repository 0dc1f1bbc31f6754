"""What the job manager takes: a checked request for a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NewJob:
    """A checked request for a job; everything but the manager's own facts."""

    prompt: str
    env: dict[str, str]
    facts: dict[str, Any]
    """Fields of `Job`."""
    budgeted: bool = False
    """Refused where the run's budget is used up. A repair's own jobs are not: half a repair would be worse."""
