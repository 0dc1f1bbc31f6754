"""What a weave is made of, and what it answers: lines with their owners, changes, edits, losses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sidecar.a2 import lines


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a line belongs to: the baseline (no writer, certain), one writer (certain), or not certainly anybody.

    Not certain with writers: it was one of them (or only reported). Not certain without: nothing is known.
    """

    writers: tuple[str, ...] = ()
    certain: bool = True

    @property
    def writer(self) -> str | None:
        return self.writers[0] if self.certain and self.writers else None


Place = tuple[int, int]
"""First and last line of the newest content, counted from 1, both included."""
BASELINE = Owner()
UNKNOWN = Owner((), False)


@dataclass(eq=False, slots=True)
class Line:
    """A line of some version. `marks` are the versions that removed it (False) or put it back (True), in order."""

    text: bytes
    version: int
    owner: Owner
    alive: bool = True
    marks: list[tuple[int, bool]] = field(default_factory=list)
    born: Change | None = None
    killed: Change | None = None

    @property
    def telling(self) -> bool:
        return lines.telling(self.text)

    def visible(self, versions: Collection[int]) -> bool:
        """Whether the line is there when only these versions' changes are made; the baseline is version 0."""
        seen = self.version in versions
        for version, alive in self.marks:
            if version in versions:
                seen = alive
        return seen


@dataclass(eq=False, slots=True)
class Change:
    """One place that one version changed, between the lines `before` and `after` (None: the end of the file)."""

    version: int
    before: Line | None
    after: Line | None
    removed: list[Line] = field(default_factory=list)
    fresh: list[Line] = field(default_factory=list)
    revived: list[Line] = field(default_factory=list)
    crowded: bool = False
    """Whether the version also put something new there."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A write dropped lines of others, or put lines back that others had changed.

    Args:
        losers: whose lines they were; several where it was one of them.
        takers: who wrote it; several where it was one of them.
        place: the lines of the newest content that stand there now, None where there are none.
    """

    losers: tuple[str, ...]
    takers: tuple[str, ...]
    place: Place | None


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines [start, end) of the common ground became `texts`; from 0.

    `place`: the lines of the newest content that stand there now, None where there are none.
    """

    start: int
    end: int
    texts: tuple[bytes, ...]
    place: Place | None

    def collides(self, other: Edit) -> bool:
        """Whether both cannot stand: they overlap or touch, and are not the same edit."""
        if (self.start, self.end, self.texts) == (other.start, other.end, other.texts):
            return False
        return self.start <= other.end and other.start <= self.end


def collisions(left: Sequence[Edit], right: Sequence[Edit]) -> Iterator[tuple[Edit, Edit]]:
    """Pairs of edits that cannot both stand. Both sides in order, as `Weave.edits` gives them."""
    first = 0
    for mine in left:
        while first < len(right) and right[first].end < mine.start:
            first += 1
        at = first
        while at < len(right) and right[at].start <= mine.end:
            if mine.collides(right[at]):
                yield mine, right[at]
            at += 1


class Places:
    """Where parts of a weave are in the newest content."""

    def __init__(self, woven: Sequence[Line]) -> None:
        self._before = [0]
        """How many lines of the newest content stand before each index of the weave."""
        for line in woven:
            self._before.append(self._before[-1] + line.alive)

    def within(self, first: int, last: int) -> Place | None:
        """The newest lines among those from index `first` to `last` of the weave.

        Where none of them is left: the line that follows, or the last one; None in an empty file.
        """
        start, end, total = self._before[first], self._before[last + 1], self._before[-1]
        if start < end:
            return start + 1, end
        at = min(start + 1, total)
        return (at, at) if at else None
