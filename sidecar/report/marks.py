"""What a worker did, made from its events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from sidecar.report.clock import parse_time
from sidecar.report.facts import Mark, MarkKind
from sidecar.report.html import one_line

TEXT_CHARS = 400
SHOWN_CHANGES = 8
Json = dict[str, Any]


def marks_of(events: Iterable[Json]) -> list[Mark]:
    """One mark for each command, edit, call of another tool, and error, in the order of their beginning."""
    found: list[Mark] = []
    begun: dict[str, int] = {}
    for event in events:
        at, content = parse_time(event.get("timestamp")), event.get("content")
        if at is None or not isinstance(content, dict):
            continue
        about = content.get("approximateTime") is True
        item = str(content.get("itemId", ""))
        if event["type"] == "tool_call":
            begun[item] = len(found)
            found.append(_call(content, at, about))
        elif event["type"] == "tool_result":
            ended = _call(content, at, about)
            place = begun.pop(item, None)
            if place is None:
                found.append(ended)
            else:
                before = found[place]
                found[place] = msgspec.structs.replace(
                    ended, start=before.start, end=max(at, before.start), about=about or before.about
                )
        elif content.get("kind") in ("error", "turn-failed"):
            found.append(Mark(kind="error", start=at, text=_text(content, "message"), ok=False, about=about))
        elif str(content.get("kind")).startswith("cancel"):
            found.append(Mark(kind="cancel", start=at, text="was asked to stop", about=about))
    return sorted(found, key=lambda mark: mark.start)


def _call(content: Json, at: float, about: bool) -> Mark:
    """The mark of a call or of its result; what a result tells replaces what its call told."""
    kind: MarkKind
    code, status = content.get("exitCode"), content.get("status")
    ok = status != "failed" and code in (None, 0) and not content.get("error")
    if content.get("kind") == "command":
        kind, text = "command", _text(content, "command")
        text += f" → exit {code}" if code not in (None, 0) else ""
    elif content.get("kind") == "file_change":
        kind, text = "edit", _changes(content.get("changes"))
    elif content.get("kind") == "mcp":
        kind, text = "call", f"{_text(content, 'tool')} of {_text(content, 'server')}"
    elif content.get("kind") == "web_search":
        kind, text = "call", f"web search: {_text(content, 'query')}"
    else:
        kind, text = "call", _text(content, "tool") or str(content.get("kind", ""))
    return Mark(kind=kind, start=at, text=one_line(text, TEXT_CHARS), ok=ok, about=about)


def _changes(changes: object) -> str:
    """`src/app.py (modified), src/new.py (added)`."""
    if not isinstance(changes, list):
        return "files"
    listed = [f"{change.get('path')} ({change.get('change')})" for change in changes if isinstance(change, dict)]
    more = f" and {len(listed) - SHOWN_CHANGES} more" if len(listed) > SHOWN_CHANGES else ""
    return ", ".join(listed[:SHOWN_CHANGES]) + more


def _text(content: Json, key: str) -> str:
    value = content.get(key)
    return one_line(value, TEXT_CHARS) if isinstance(value, str) else ""
