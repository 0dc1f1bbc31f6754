"""Lines of a content, and the hunks between two of them.

Everything that names lines (owners, conflicts, merges) counts them as this module does: split at `\\n` only, as git
does, the `\\r` of a CRLF kept in the line, and a last line without a newline different from one with it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

EXACT_PRODUCT = 250_000
"""Most pairs of places in two blocks of lines that are compared line by line."""
EXACT_PAIRS = 20_000
"""Most pairs of equal lines in them.

Both bound the comparison, whose time grows with either, at 0.2 s for the worst texts; real files need milliseconds.
Larger blocks are first cut at lines that both sides have once; what is still too large becomes one hunk.
"""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines [old_start, old_end) of the old content became lines [new_start, new_end) of the new one; from 0."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


@dataclass(frozen=True, slots=True)
class Diff:
    """Hunks in order, with at least one common line between neighbours.

    `exact` is false where a block was too large to compare: its hunk then holds lines that did not change.
    """

    hunks: tuple[Hunk, ...]
    exact: bool = True

    @property
    def size(self) -> int:
        """How many lines went and came."""
        return sum(h.old_end - h.old_start + h.new_end - h.new_start for h in self.hunks)


_SAYING = re.compile(rb"[0-9A-Za-z\x80-\xff]")


def telling(line: bytes) -> bool:
    """Whether a line says something: a blank line or a lone bracket is the same as any other."""
    return _SAYING.search(line) is not None


def split(content: bytes | None) -> list[bytes]:
    """The lines with their ends; an absent and an empty file have none. Joined they give the content again."""
    if not content:
        return []
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    if not lines[-1]:
        lines.pop()
    return lines


def diff(old: Sequence[bytes], new: Sequence[bytes]) -> Diff:
    """What turns one list of lines into the other."""
    start, old_end, new_end = 0, len(old), len(new)
    while start < old_end and start < new_end and old[start] == new[start]:
        start += 1
    while old_end > start and new_end > start and old[old_end - 1] == new[new_end - 1]:
        old_end -= 1
        new_end -= 1
    if start in (old_end, new_end):
        hunk = Hunk(start, old_end, start, new_end)
        return Diff((hunk,) if start < old_end or start < new_end else ())
    found: list[Hunk] = []
    exact = True
    for block in _blocks(old, new, Hunk(start, old_end, start, new_end)):
        if _comparable(old, new, block):
            found += _compare(old, new, block)
        else:
            found.append(block)
            exact = False
    return Diff(_joined(found), exact)


def _comparable(old: Sequence[bytes], new: Sequence[bytes], block: Hunk) -> bool:
    if (block.old_end - block.old_start) * (block.new_end - block.new_start) > EXACT_PRODUCT:
        return False
    left = Counter(old[block.old_start : block.old_end])
    return sum(left[line] for line in new[block.new_start : block.new_end]) <= EXACT_PAIRS


def _compare(old: Sequence[bytes], new: Sequence[bytes], block: Hunk) -> list[Hunk]:
    """The hunks of one block. `autojunk` would skip frequent lines of long files and give needlessly large hunks."""
    left, right = old[block.old_start : block.old_end], new[block.new_start : block.new_end]
    codes = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    return [
        Hunk(a1 + block.old_start, a2 + block.old_start, b1 + block.new_start, b2 + block.new_start)
        for tag, a1, a2, b1, b2 in codes
        if tag != "equal"
    ]


def _blocks(old: Sequence[bytes], new: Sequence[bytes], whole: Hunk) -> list[Hunk]:
    """The parts of a block between the lines that both sides have exactly once, in the same order on both."""
    if _comparable(old, new, whole):
        return [whole]
    anchors = _anchors(
        old[whole.old_start : whole.old_end], new[whole.new_start : whole.new_end], whole.old_start, whole.new_start
    )
    blocks = []
    a, b = whole.old_start, whole.new_start
    for left, right in [*anchors, (whole.old_end, whole.new_end)]:
        if a < left or b < right:
            blocks.append(Hunk(a, left, b, right))
        a, b = left + 1, right + 1
    return blocks


def _anchors(old: Sequence[bytes], new: Sequence[bytes], old_base: int, new_base: int) -> list[tuple[int, int]]:
    """The longest rising sequence of pairs of lines that are unique on both sides (patience diff)."""
    in_old, in_new = Counter(old), Counter(new)
    place = {line: index for index, line in enumerate(new) if in_new[line] == 1}
    pairs = [(index, place[line]) for index, line in enumerate(old) if in_old[line] == 1 and line in place]
    tails: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, (_, right) in enumerate(pairs):
        at = bisect_left(tails, right)
        before.append(last[at - 1] if at else -1)
        if at == len(tails):
            tails.append(right)
            last.append(number)
        else:
            tails[at], last[at] = right, number
    found = []
    number = last[-1] if last else -1
    while number >= 0:
        found.append((pairs[number][0] + old_base, pairs[number][1] + new_base))
        number = before[number]
    return found[::-1]


def _joined(hunks: Sequence[Hunk]) -> tuple[Hunk, ...]:
    """Hunks with no common line between them as one."""
    joined: list[Hunk] = []
    for hunk in hunks:
        if joined and joined[-1].old_end == hunk.old_start and joined[-1].new_end == hunk.new_start:
            joined[-1] = Hunk(joined[-1].old_start, hunk.old_end, joined[-1].new_start, hunk.new_end)
        else:
            joined.append(hunk)
    return tuple(joined)


def apply(old: Sequence[bytes], new: Sequence[bytes], hunks: Sequence[Hunk]) -> list[bytes]:
    """The old lines with the given hunks of their diff to the new ones carried out."""
    out: list[bytes] = []
    at = 0
    for hunk in hunks:
        out += old[at : hunk.old_start]
        out += new[hunk.new_start : hunk.new_end]
        at = hunk.old_end
    return out + list(old[at:])
