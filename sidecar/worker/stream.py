"""The output of `codex exec --json`, line by line: one event for each line, and what is known from all lines so far.

What the stream can not be trusted for: a started item may never be completed, a rejected patch has no item at all, an
`error` is not the end, exit 0 only says that the model ended its turn, and `file_change` is neither all files that
changed nor, for a move, the new path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from sidecar.model import limits
from sidecar.model.event import ParsedEvent
from sidecar.model.job import Change, TouchedFile, Usage
from sidecar.worker.activity import describe, running
from sidecar.worker.items import content_of, is_call
from sidecar.worker.lines import Item, Line, decode
from sidecar.worker.report import Report, parse_report, relative_to_top

Turn = Literal["open", "completed", "failed"]
_CHANGES: dict[str, Change] = {"add": "added", "update": "modified", "delete": "deleted"}
# What Codex's sandbox prints when it cannot even start the command; a command that ran can have said it only later.
_SANDBOX_FAILED = ("bwrap: ", "codex-linux-sandbox: ")
_START_SHOWN = 4_096
"""How many bytes of a line that is too long are shown."""
_THINKING = Line(type="turn.started")
_ITEM_ID = re.compile(rb'"id":"([^"]{1,64})"')


class StreamParser:
    """Pure, no I/O. Feed every non-empty line once, in order.

    Args:
        top: the repository's top level; paths below it become relative.
        aliases: other absolute names of `top` (its real path, say).

    Attributes:
        thread_id: Codex's conversation, from the first line.
        usage: tokens of the whole conversation, as Codex counts.
        final_text: the newest message.
        turn: `completed` and `failed` are Codex's own words; `open` is all before and between.
        touched: files that this worker's patches changed, by path.
        open_commands: shell commands that were started and did not end yet, by item id.
        last_error: the newest error message.
    """

    def __init__(self, top: str, aliases: Sequence[str] = ()) -> None:
        self.thread_id: str | None = None
        self.usage: Usage | None = None
        self.final_text: str | None = None
        self.turn: Turn = "open"
        self.touched: dict[str, TouchedFile] = {}
        self.open_commands: dict[str, str] = {}
        self.last_error: str | None = None
        self._top = top
        self._tops = [top, *aliases]
        self._now: Item | Line | None = None
        self._finished = 0
        self._unsandboxed = 0

    @property
    def activity(self) -> str | None:
        """What the worker is doing, in a few words; None before it began and after its turn."""
        if self.turn != "open":
            return None
        if self._now is _THINKING and self.open_commands:
            return running(next(reversed(self.open_commands.values())))
        return describe(self._now, self._relative)

    @property
    def sandbox_broken(self) -> bool:
        """Commands and patches were tried, and the sandbox could not start a single one."""
        return self._unsandboxed > 0 and self._finished == 0

    def report(self) -> Report:
        """The worker's answer as far as it has one."""
        return parse_report(self.final_text, self._top)

    def parse(self, line: bytes) -> ParsedEvent:
        """The event of one line; never raises. A line that cannot be understood is an event that shows it."""
        if len(line) > limits.SPOOL_LINE_BYTES:
            return self._too_long(line)
        decoded = decode(line)
        if decoded is None:
            return ParsedEvent("progress", {"kind": "unparsed", "raw": line.decode("utf-8", "replace")})
        if decoded.item is not None and decoded.type.startswith("item."):
            event = self._item(decoded.type, decoded.item)
        else:
            event = self._line(decoded)
        if event is None:
            raw = line.decode("utf-8", "replace")
            return ParsedEvent("progress", {"kind": "unknown", "type": decoded.type, "raw": raw})
        return event

    # -- lines about the turn -----------------------------------------------------------------------------------

    def _line(self, line: Line) -> ParsedEvent | None:
        kind = line.type
        if kind == "error":
            self.last_error = line.message
            self._now = line
            return ParsedEvent("error", {"kind": "error", "message": line.message, "terminal": False})
        if kind == "thread.started":
            self.thread_id = line.thread_id or self.thread_id
            return ParsedEvent("progress", {"kind": "thread-started", "threadId": line.thread_id})
        if kind == "turn.started":
            self.turn = "open"
            self._now = line
            return ParsedEvent("progress", {"kind": "turn-started"})
        if kind == "turn.completed":
            return self._completed(line)
        if kind == "turn.failed":
            error = line.error
            message = str(error.get("message") or "") if isinstance(error, dict) else str(error or "")
            self.turn = "failed"
            self.last_error = message or self.last_error
            return ParsedEvent("error", {"kind": "turn-failed", "message": message, "terminal": True})
        return None

    def _completed(self, line: Line) -> ParsedEvent:
        self.turn = "completed"
        content: dict[str, Any] = {"kind": "turn-completed", "usage": None}
        if (tokens := line.usage) is not None:
            self.usage = Usage(
                tokens.input_tokens, tokens.cached_input_tokens, tokens.output_tokens, tokens.reasoning_output_tokens
            )
            content["usage"] = {
                "inputTokens": tokens.input_tokens,
                "cachedInputTokens": tokens.cached_input_tokens,
                "outputTokens": tokens.output_tokens,
                "reasoningOutputTokens": tokens.reasoning_output_tokens,
            }
        return ParsedEvent("progress", content)

    # -- lines about an item ------------------------------------------------------------------------------------

    def _item(self, event: str, item: Item) -> ParsedEvent | None:
        content = content_of(item, self._relative)
        if content is None:
            return None
        completed = event == "item.completed"
        kind = item.type
        self._now = _THINKING if completed else item
        if kind == "command_execution":
            if completed:
                self.open_commands.pop(item.id, None)
                self._note_sandbox(item)
            else:
                self.open_commands[item.id] = content["command"]
        elif kind == "file_change":
            if completed:
                self._note_changes(item)
        elif kind == "agent_message":
            if completed:
                self.final_text = item.text
                return ParsedEvent("message", content)
        elif kind == "error":
            return ParsedEvent("error", content)
        if completed:
            return ParsedEvent("tool_result" if is_call(kind) else "progress", content)
        if event == "item.started" and is_call(kind):
            return ParsedEvent("tool_call", content)
        return ParsedEvent("progress", content)

    def _note_sandbox(self, item: Item) -> None:
        if item.exit_code != 0 and item.aggregated_output.startswith(_SANDBOX_FAILED):
            self._unsandboxed += 1
        else:
            self._finished += 1

    def _note_changes(self, item: Item) -> None:
        if item.status != "completed":
            return
        self._finished += 1
        for edit in item.changes:
            change = _CHANGES.get(edit.kind)
            path = self._relative(edit.path)
            if change is None or not path or "\0" in path:
                continue
            known = self.touched.get(path)
            # A file that this worker added is still an added one after its own updates.
            if change == "modified" and known is not None and known.change == "added":
                continue
            self.touched[path] = TouchedFile(path=path, change=change, attribution="seen")

    def _relative(self, path: str) -> str:
        for top in self._tops:
            found = relative_to_top(path, top)
            if not found.startswith("/"):
                return found
        return relative_to_top(path, self._top)

    def _too_long(self, line: bytes) -> ParsedEvent:
        start = line[:_START_SHOWN]
        # Whatever it was, the item is over: such a line only comes with a result.
        if b'"item.completed"' in start and (found := _ITEM_ID.search(start)):
            self.open_commands.pop(found[1].decode("utf-8", "replace"), None)
        content = {"kind": "oversized", "raw": start.decode("utf-8", "replace"), "limitBytes": limits.SPOOL_LINE_BYTES}
        return ParsedEvent("progress", content)
