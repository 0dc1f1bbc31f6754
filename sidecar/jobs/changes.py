"""What the world is told after something became durable."""

from __future__ import annotations

from typing import Literal

import msgspec


class Change(msgspec.Struct, frozen=True):
    """One thing changed. `events`: new events of job `id` can be read by cursor; `job`: its status or facts;
    `conflicts`: what `codex_conflicts` answers has changed (`id` is the run)."""

    kind: Literal["job", "run", "limits", "events", "conflicts"]
    id: str
