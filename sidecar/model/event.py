"""Events of a job, as clients page through them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

EventType = Literal["spawned", "progress", "message", "tool_call", "tool_result", "error", "final"]


class Event(msgspec.Struct, rename="camel", frozen=True):
    """One event. `seq` counts from 1 within the job; `timestamp` is ISO 8601 UTC.

    `content` always has the key `kind` (what happened, in our words) and carries worker's text only inside its own
    fields. `content.approximateTime` is true where nobody was watching when the worker wrote it.
    """

    seq: int
    type: EventType
    timestamp: str
    content: dict[str, Any]


class ParsedEvent(msgspec.Struct, frozen=True):
    """One line of a worker's stream in our words, before it has a number and a time."""

    type: EventType
    content: dict[str, Any]
