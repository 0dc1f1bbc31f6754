"""Where lines are in an editor.

The A2 protocol counts lines as git does, split at `\\n` only; an editor ends a line at a lone `\\r` too, and counts
columns in units of the encoding that was agreed on. And what an editor shows may be ahead of the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from lsprotocol import types

from sidecar.a2 import lines
from sidecar.model.conflict import LineRange

Units = Callable[[str], int]
"""How many columns a text takes."""

START = types.Range(types.Position(0, 0), types.Position(0, 0))
"""Where something stands that is about a whole file."""


class Rows:
    """The lines of one content, as the A2 protocol counts them and as an editor does."""

    def __init__(self, content: bytes, units: Units) -> None:
        """
        Args:
            content: UTF-8; other bytes count as one column each, as most editors show them.
            units: of the agreed encoding.
        """
        self.lines = lines.split(content)
        self._units = units
        self._starts: list[int] | None = None
        if b"\r" in content:
            # An editor's line begins behind each lone \r as well.
            counts = [1 + _body(line).count(b"\r") for line in self.lines]
            if len(self.lines) != sum(counts):
                self._starts = [0, *accumulate(counts)]

    def range(self, where: LineRange) -> types.Range:
        """Whole lines, without the last line's end; lines beyond the content are taken for its last one."""
        if not self.lines:
            return START
        last = len(self.lines) - 1
        first, end = (min(max(number - 1, 0), last) for number in (where.start, where.end))
        body = _body(self.lines[max(first, end)])
        column = self._units(body.rpartition(b"\r")[2].decode("utf-8", "replace"))
        line = self._first_row(max(first, end)) + body.count(b"\r")
        return types.Range(types.Position(self._first_row(first), 0), types.Position(line, column))

    def number(self, row: int) -> int:
        """The line, from 1, that an editor's row, from 0, belongs to."""
        if self._starts is None:
            return row + 1
        return sum(start <= row for start in self._starts[:-1])

    def _first_row(self, index: int) -> int:
        return index if self._starts is None else self._starts[index]


def _body(line: bytes) -> bytes:
    """A line without its end."""
    if line.endswith(b"\r\n"):
        return line[:-2]
    return line.removesuffix(b"\n")


def without_text(where: LineRange) -> types.Range:
    """Whole lines of a content that cannot be read."""
    return types.Range(types.Position(where.start - 1, 0), types.Position(max(where.end, where.start), 0))


@dataclass(frozen=True)
class Shift:
    """Finds the lines of one content in another. Blocks for up to 0.2 s when made from large contents."""

    hunks: tuple[lines.Hunk, ...]

    @classmethod
    def between(cls, old: Sequence[bytes], new: Sequence[bytes]) -> Shift:
        """Line ends do not count: an editor may change all of them when it reads a file."""
        return cls(lines.diff([_body(line) for line in old], [_body(line) for line in new]).hunks)

    def range(self, where: LineRange) -> LineRange:
        """The lines of the new content that stand for these of the old one."""
        start, end = self._place(where.start - 1, end=False), self._place(where.end, end=True)
        return LineRange(start + 1, max(end, start + 1))

    def line(self, number: int) -> int | None:
        """The line of the old content that became this one, from 1; None where the new content has it by itself."""
        index = number - 1
        moved = 0
        for hunk in self.hunks:
            if index < hunk.new_start:
                break
            if index < hunk.new_end:
                return None
            moved = hunk.old_end - hunk.new_end
        return number + moved

    def _place(self, index: int, *, end: bool) -> int:
        moved = 0
        for hunk in self.hunks:
            if index < hunk.old_start or (end and index == hunk.old_start):
                break
            if index < hunk.old_end or (end and index == hunk.old_end):
                return hunk.new_end if end else hunk.new_start
            moved = hunk.new_end - hunk.old_end
        return index + moved
