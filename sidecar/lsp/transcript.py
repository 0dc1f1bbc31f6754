"""A worker's events as a page to read: Markdown, one section for each thing that it did.

An editor folds and lists sections by itself. What the worker printed or said is foreign text, so it stands in fences
or as paragraphs, never where it could pass for one of our headings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sidecar.a2.messages import one_line

LINES_MAX = 5_000
"""The page keeps its newest lines; the tool `codex_events` has them all."""
OUTPUT_LINES_MAX = 400
"""Of one command's output, the last ones."""
HEADING_CHARS = 160

Content = Mapping[str, Any]
_FENCES = re.compile(r"`{3,}")
_SILENT = frozenset({"spawned", "thread-started", "turn-started", "turn-completed"})
# An underscore inside a word marks nothing, and a path is to be copied as it is.
_SPECIAL = re.compile(r"([\\`*\[\]<>#]|(?<![^\W_])_|_(?![^\W_]))")


def escaped(text: str) -> str:
    """One line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def clock(timestamp: str) -> str:
    """`14:02:11` in local time, of an ISO 8601 timestamp."""
    try:
        return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return timestamp


def slug(title: str) -> str:
    """`add-retries` of `Add retries!`: a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40]


def name(label: str, title: str) -> str:
    """The file name of a worker's page: `w1-add-retries.md`."""
    return f"{label}-{slug(title)}.md" if slug(title) else f"{label}.md"


class Transcript:
    """The page of one job, made event by event."""

    def __init__(self, link: Callable[[str], str]) -> None:
        """
        Args:
            link: the URI of a file of the repository.
        """
        self._link = link
        self._sections: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        self._started: dict[str, str] = {}
        self._items: dict[str, str] = {}
        self._total = 0
        self._left_out = 0

    def add(self, event: Content) -> None:
        """Takes the next event, in the shape of `codex_events`."""
        content = event["content"]
        kind = content.get("kind")
        if kind in _SILENT:
            return
        key = self._key(event)
        begun = self._started.setdefault(key, event["timestamp"])
        self._put(key, self._section(event["type"], kind, content, begun, event["timestamp"]))

    def _key(self, event: Content) -> str:
        """The section that an event belongs to: what began as a call ends in its place."""
        item = event["content"].get("itemId")
        new = f"event {event['seq']}"
        if item is None or event["type"] == "message":
            return new
        if event["type"] == "tool_call":
            self._items[item] = new
        key = self._items.setdefault(item, new)
        if event["type"] == "tool_result":
            del self._items[item]
        return key

    @property
    def shortened(self) -> bool:
        """Whether the page has lost its oldest lines."""
        return self._left_out > 0

    def page(self, job: Content, log: str | None = None) -> str:
        """The whole page.

        Args:
            job: as `codex_status` shows it.
            log: the URI of all that the worker printed; stands at the end of a page that was shortened.
        """
        head = [f"# {job['label']} · {escaped(job['title'])}", "", self._about(job), ""]
        if self._left_out:
            head += [f"*{self._left_out} earlier lines are left out; `codex_events` has them all.*", ""]
        tail = f"\n---\n\n[Open full log]({log})\n" if self.shortened and log is not None else ""
        return "\n".join(head) + "\n" + "\n".join(self._sections.values()) + tail

    def _about(self, job: Content) -> str:
        writes = "read only" if job["sandbox"] == "read-only" else "can edit files"
        facts = [f"{writes} (`{job['sandbox']}`)", job["status"]]
        if job.get("activity") and job["status"] in ("queued", "starting", "running"):
            facts.append(escaped(job["activity"]))
        if job.get("startedAt"):
            facts.append(f"started {clock(job['startedAt'])}")
        if job.get("finishedAt"):
            facts.append(f"ended {clock(job['finishedAt'])}")
        return " · ".join(facts)

    def _put(self, key: str, section: str) -> None:
        self._total += section.count("\n") + 1 - self._lines.get(key, 0)
        self._sections[key], self._lines[key] = section, section.count("\n") + 1
        while self._total > LINES_MAX and len(self._sections) > 1:
            oldest = next(iter(self._sections))
            del self._sections[oldest]
            self._started.pop(oldest, None)
            gone = self._lines.pop(oldest)
            self._total -= gone
            self._left_out += gone

    def _section(self, event_type: str, kind: str | None, content: Content, begun: str, at: str) -> str:
        if kind == "command":
            return self._command(event_type, content, begun, at)
        if kind == "file_change":
            return self._edit(event_type, content, begun)
        if kind == "message":
            return _said(begun, "Message", report_text(_text(content, "text")))
        if kind == "reasoning":
            return _said(begun, "Thought", _text(content, "text"))
        if kind == "todo_list":
            return _heading(begun, "Plan") + _todo(content.get("items"))
        if kind == "web_search":
            return _heading(begun, f"Searched the web: {_text(content, 'query')}")
        if kind == "mcp":
            called = f"{_text(content, 'tool')} of {_text(content, 'server')}"
            return _heading(begun, f"{'Calls' if event_type == 'tool_call' else 'Called'} {called}")
        if kind == "final":
            error = content.get("error")
            why = _text(error, "message") if isinstance(error, dict) else ""
            return _heading(at, str(content.get("status", "ended")).capitalize()) + (f"{escaped(why)}\n" if why else "")
        if event_type == "error" or kind == "warning":
            word = "Warning" if kind == "warning" else "Error"
            return _heading(at, f"{word}: {_text(content, 'message')}")
        return _heading(at, str(kind)) + fenced(json.dumps(dict(content), ensure_ascii=False), "json")

    def _command(self, event_type: str, content: Content, begun: str, at: str) -> str:
        command = _text(content, "command")
        if event_type == "tool_call":
            return _heading(begun, f"Runs: {command}")
        took = _seconds(begun, at)
        facts = [f"exit {content.get('exitCode')}", *([took] if took else [])]
        output = _text(content, "output")
        shown = _last_lines(output) if output.strip() else ""
        return _heading(begun, f"Ran: {command}", f" ({', '.join(facts)})") + (fenced(shown, "text") if shown else "")

    def _edit(self, event_type: str, content: Content, begun: str) -> str:
        changes = [one for one in content.get("changes") or [] if isinstance(one, dict)]
        paths = [_text(change, "path") for change in changes]
        worked = content.get("status") == "completed" or event_type == "tool_call"
        word = "Edits" if event_type == "tool_call" else "Edited" if worked else "Failed to edit"
        links = [
            f"- [{escaped(path)}]({self._link(path)}) {_text(one, 'change')}"
            for path, one in zip(paths, changes, strict=True)
        ]
        return _heading(begun, f"{word} {', '.join(paths) or 'files'}") + "".join(f"{line}\n" for line in links)


def report_text(text: str) -> str:
    """The summary of a report; any other message as it is."""
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(value, dict) and isinstance(value.get("summary"), str):
            return str(value["summary"])
    return text


def fenced(text: str, language: str) -> str:
    """A block of code, its fence longer than every one inside."""
    longest = max((len(found) for found in _FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    body = text.rstrip("\n")
    return f"{fence}{language}\n{body}\n{fence}\n"


def _heading(timestamp: str, text: str, tail: str = "") -> str:
    shown = one_line(text)
    shown = shown if len(shown) <= HEADING_CHARS else f"{shown[: HEADING_CHARS - 1]}…"
    return f"## {clock(timestamp)} {escaped(shown)}{tail}\n\n"


def _said(timestamp: str, word: str, text: str) -> str:
    """Foreign prose; a heading of its own becomes a quotation's, so that the outline stays ours."""
    quoted = "".join(f"> {line}\n" for line in text.strip().splitlines())
    return _heading(timestamp, word) + quoted


def _todo(items: Any) -> str:
    if not isinstance(items, list):
        return ""
    known = [item for item in items if isinstance(item, dict)]
    return "".join(f"- [{'x' if one.get('completed') else ' '}] {escaped(_text(one, 'text'))}\n" for one in known)


def _last_lines(text: str) -> str:
    kept = text.splitlines()
    if len(kept) > OUTPUT_LINES_MAX:
        kept = [f"… {len(kept) - OUTPUT_LINES_MAX} lines left out …", *kept[-OUTPUT_LINES_MAX:]]
    return "\n".join(kept)


def _seconds(begun: str, at: str) -> str | None:
    try:
        first, last = (datetime.fromisoformat(one.replace("Z", "+00:00")) for one in (begun, at))
    except ValueError:
        return None
    return f"{max(0.0, (last - first).total_seconds()):.1f} s"


def _text(content: Any, key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""
