"""Pages of events: the cursor, and fitting events into a number of bytes without ever dropping one. Pure."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from sidecar.model.errors import invalid
from sidecar.model.event import Event

_ELLIPSIS = "…"


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a page begins: byte offset in the spool, number of own events before it, number of events before it."""

    offset: int = 0
    own: int = 0
    seq: int = 0


def encode_cursor(job_id: str, position: Position) -> str:
    """An opaque, printable cursor. It names a byte offset, so it stays valid across restarts."""
    body = f"{position.offset:x}.{position.own:x}.{position.seq:x}"
    return f"{body}.{_check(job_id, body):08x}"


def decode_cursor(job_id: str, cursor: str) -> Position:
    """The position that `encode_cursor` wrote.

    Raises:
        SidecarError: `invalid-arguments` for anything else, also for the cursor of another job.
    """
    problem = invalid("cursor", "not a cursor of this job", "Pass nextCursor of an earlier page, or leave it out.")
    body, _, check = cursor.rpartition(".")
    parts = body.split(".")
    if len(parts) != 3 or not cursor.isascii() or check != f"{_check(job_id, body):08x}":
        raise problem
    try:
        return Position(*(int(part, 16) for part in parts))
    except ValueError:
        raise problem from None


def _check(job_id: str, body: str) -> int:
    return zlib.crc32(f"{job_id}\0{body}".encode("utf-8", "surrogatepass"))


def size(value: object) -> int:
    """Bytes of a value as compact JSON."""
    return len(msgspec.json.encode(value))


def fit(event: Event, room: int) -> Event:
    """The event, cut to at most `room` bytes of JSON; a cut one says `truncated: true` in its content.

    Long texts are cut first, then long lists; `type`, `seq`, `timestamp` and `content.kind` always stay.
    """
    if size(event) <= room:
        return event
    low, high = 0, max(room, 16)
    best = _bare(event)
    while low <= high:
        middle = (low + high) // 2
        content = {**_cut_dict(event.content, middle), "truncated": True}
        candidate = Event(event.seq, event.type, event.timestamp, content)
        if size(candidate) <= room:
            best, low = candidate, middle + 1
        else:
            high = middle - 1
    return best


def _bare(event: Event) -> Event:
    kind = str(event.content.get("kind", ""))[:40]
    return Event(event.seq, event.type, event.timestamp, {"kind": kind, "truncated": True})


def _cut(value: Any, room: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= room else value[:room] + _ELLIPSIS
    if isinstance(value, dict):
        return _cut_dict(value, room)
    if isinstance(value, list):
        # A list element takes at least some bytes of its own, so a page of `room` bytes holds fewer of them.
        keep = room // 8
        return [_cut(item, room) for item in value[:keep]]
    return value


def _cut_dict(value: dict[str, Any], room: int) -> dict[str, Any]:
    keep = max(room // 8, 4)
    return {key[: max(room, 8)]: _cut(item, room) for key, item in list(value.items())[:keep]}
