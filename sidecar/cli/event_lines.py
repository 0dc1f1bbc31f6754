"""Events of a worker as lines: all of them for `events`, the ones worth a look for a run that is watched."""

from __future__ import annotations

import json
from typing import Any

from sidecar.cli.output import one_line

Event = dict[str, Any]
WIDTH = 160
"""Longest text of a line, in characters; the whole text is in `--json`."""
MESSAGE_WIDTH = 100
"""Likewise of a message: its whole text is in the worker's result."""


def event_line(event: Event) -> str:
    """`12:01:03 tool_result  ran pytest -q: exit 1`: every event has a line."""
    said = activity_line(event) or _otherwise(event["content"])
    return f"{event['timestamp'][11:19]} {event['type']:<11} {said}".rstrip()


def activity_line(event: Event) -> str | None:
    """What happened, in a few words; None where it is nothing that a person watches for."""
    content = event["content"]
    kind = content.get("kind")
    if kind == "command":
        return _command(event["type"], content)
    if kind == "file_change":
        return _file_change(event["type"], content)
    if kind == "message":
        text = one_line(_report_text(_text(content, "text")), MESSAGE_WIDTH)
        return f"says: {text}" if text else None
    if kind == "final":
        return _final(content)
    if kind == "mcp" and event["type"] == "tool_result":
        return one_line(f"called {_text(content, 'tool')} of {_text(content, 'server')}", WIDTH)
    if kind == "web_search" and event["type"] == "tool_result":
        return one_line(f"searched the web: {_text(content, 'query')}", WIDTH)
    if event["type"] == "error":
        return one_line(f"error: {_text(content, 'message')}", WIDTH)
    return None


def _command(event_type: str, content: Event) -> str | None:
    command = one_line(_text(content, "command"), WIDTH - 20)
    if event_type == "tool_call":
        return f"runs {command}"
    code = content.get("exitCode")
    # A success was announced by its start; only what went wrong is worth a second line.
    return None if event_type != "tool_result" or code == 0 else f"exit {code}: {command}"


def _file_change(event_type: str, content: Event) -> str | None:
    if event_type != "tool_result":
        return None
    changes = content.get("changes")
    if not isinstance(changes, list):
        return "changed files"
    files = [f"{change.get('change')} {change.get('path')}" for change in changes if isinstance(change, dict)]
    failed = "" if content.get("status") == "completed" else "failed to change: "
    return one_line(failed + ", ".join(files), WIDTH)


def _final(content: Event) -> str:
    error = content.get("error")
    why = f": {_text(error, 'message')}" if isinstance(error, dict) else ""
    return one_line(f"{content.get('status')}{why}", WIDTH)


def _otherwise(content: Event) -> str:
    """A line for an event that says little: its kind, and the text it may hold."""
    kind = content.get("kind", "")
    if kind == "command":
        return one_line(f"exit {content.get('exitCode')}: {_text(content, 'command')}", WIDTH)
    text = next((_text(content, key) for key in ("text", "message", "title", "raw") if _text(content, key)), "")
    return one_line(f"{kind} {text}", WIDTH)


def _text(content: Event, key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""


def _report_text(text: str) -> str:
    """The summary of a report; any other message as it is."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    summary = value.get("summary") if isinstance(value, dict) else None
    return summary if isinstance(summary, str) else text
