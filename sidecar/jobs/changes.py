"""What the world is told after something became durable."""

from __future__ import annotations

from typing import Literal

import msgspec


class Change(msgspec.Struct, frozen=True):
    """One thing changed. `events`: new events of job `id` can be read by cursor; `job`: its status or facts."""

    kind: Literal["job", "run", "limits", "events"]
    id: str
