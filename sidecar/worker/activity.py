"""What a worker is doing, in the few words that lists and progress bars have room for."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.worker.items import command_of
from sidecar.worker.lines import Item, Line

_LONGEST = 120


def describe(last: Item | Line | None, relative: Callable[[str], str]) -> str | None:
    """`running pytest -q`, `editing src/app.py`, `thinking`, … from the newest line; one line of printable text."""
    if last is None:
        return None
    if isinstance(last, Line):
        return _short(f"waiting for the model: {last.message}") if last.type == "error" else "thinking"
    kind = last.type
    if kind == "command_execution":
        return running(command_of(last.command))
    if kind == "file_change" and last.changes:
        more = f" and {len(last.changes) - 1} more" if len(last.changes) > 1 else ""
        return _short(f"editing {relative(last.changes[0].path)}", more)
    if kind == "mcp_tool_call":
        return _short(f"calling {last.server}.{last.tool}")
    if kind == "web_search":
        return _short(f"searching the web: {last.query}" if last.query else "searching the web")
    return "thinking"


def running(command: str) -> str:
    """What a worker with this command open is doing."""
    return _short(f"running {command}")


def _short(text: str, end: str = "") -> str:
    room = _LONGEST - len(end)
    start = text[: room * 4]
    plain = " ".join("".join(char if char.isprintable() else " " for char in start).split())
    return (plain if len(plain) <= room else plain[: room - 1] + "…") + end
