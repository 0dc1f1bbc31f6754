"""When each worker could write: the time between the events that say it began and ended something. Pure.

A line of a worker's stream was printed after the last moment at which its file was read to the end, and before it was
read; so a command's or a patch's time is known from both sides. A file whose last change lies in nobody's time was
changed by a person.

A content that is met holds everything that was written since the one before was read. So it is not only of whoever
could make the last change, but also of whoever said, or had a command that shows, that it wrote the file meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sidecar.a2.commands import mentions, only_reads

TICK_SECONDS = 0.01
"""A file system's clock ticks in steps of some milliseconds."""
SLACK_SECONDS = 0.1
"""Codex may print that it patches a moment after it does; heeded only where a change lies in nobody's time."""
HEAR_SECONDS = 0.15
"""How long a worker's word may be under way after its deed. Whose word names a file may have written it so early."""


@dataclass
class Window:
    """Time in which a worker could write. `paths` None: anywhere (a command); `end` None: it lasts.

    The end is sure: what a worker says it has done, it has done before its word was read.
    """

    job_id: str
    item: str
    paths: frozenset[str] | None
    begin: float
    end: float | None = None
    moves: bool = False
    """A patch that took a named file away may have made files that it did not name."""
    text: str = ""
    """What a command runs."""
    told: float = 0.0
    """When its begin was read."""
    after: float = 0.0
    """It began after this time at any rate: the worker ended what it did before, and does one thing at a time."""
    wrote: set[str] = field(default_factory=set)
    """Paths of which a version is surely its own. A patch writes each of its files once, a command may go on."""

    def begins_by(self, at: float, slack: float) -> bool:
        """Whether it can have begun at that time, if its word was under way for so long."""
        return max(self.begin - slack, min(self.after, self.begin)) <= at

    def holds(self, at: float, slack: float) -> bool:
        return self.begins_by(at, slack) and (self.end is None or at <= self.end)

    def meets(self, since: float) -> bool:
        """Whether some of it lies after `since`."""
        return self.end is None or self.end >= since

    def names(self, path: str) -> bool:
        """Whether it is a patch that is still to write the path."""
        return self.paths is not None and path in self.paths and path not in self.wrote

    def shows(self, path: str) -> bool:
        """Whether it is a command that has written the path, or mentions it and may write."""
        if self.paths is not None:
            return False
        return path in self.wrote or (mentions(self.text, path) and not only_reads(self.text))


class Since(NamedTuple):
    """Up to when everything that was written to a path is known."""

    sure: float
    """Also on a machine so busy that the watch of the tree tells late."""
    watched: float
    """If the watch tells as soon as it mostly does. For what is not likely anyway."""


class Writers(NamedTuple):
    """Who can have made a content. `last`: whether the last change lies in the time of one of them."""

    jobs: list[str]
    last: bool


class Windows:
    """The windows of all workers, as far as they can still matter."""

    def __init__(self) -> None:
        self._all: list[Window] = []
        self._ended_after: dict[str, float] = {}
        """A time after which each worker said that it had ended something, by job."""

    def open(self, window: Window) -> None:
        if not any(one.job_id == window.job_id and one.end is None for one in self._all):
            window.after = self._ended_after.get(window.job_id, 0.0)
        if window.end is not None:
            # Its begin was never told, so it is only known when its end was.
            self._ended_after[window.job_id] = max(window.begin, window.after)
        self._all.append(window)

    def close(self, job_id: str, item: str, at: float, since: float = 0.0) -> Window | None:
        """Ends the window of one item; `since`: a time after which the worker said so."""
        for window in self._all:
            if window.job_id == job_id and window.item == item and window.end is None:
                window.end = at
                self._ended_after[job_id] = max(since, self._ended_after.get(job_id, 0.0))
                return window
        return None

    def note_move(self, job_id: str, item: str) -> None:
        """A patch took a named file away: it may have moved it."""
        if (window := self.find(job_id, item)) is not None:
            window.moves = True

    def find(self, job_id: str, item: str) -> Window | None:
        """The window of one item, the newest where a name came twice."""
        found = [window for window in self._all if window.job_id == job_id and window.item == item]
        return found[-1] if found else None

    def note_written(self, path: str, job_id: str, at: float | None) -> None:
        """A version of the path, changed at that time, is surely this worker's."""
        if at is None:
            return
        fitting = [one for one in self._all if one.job_id == job_id and one.holds(at, TICK_SECONDS)]
        commands = [one for one in fitting if one.paths is None]
        named = [one for one in fitting if one.names(path)]
        # Where it may have been one thing or the other, or was said later, none is known to be over.
        if len(commands) + len(named) == 1 and all(one.told <= at for one in named):
            (commands or named)[0].wrote.add(path)

    def close_job(self, job_id: str, at: float) -> None:
        """Ends all windows of a worker that does nothing any more."""
        for window in self._all:
            if window.job_id == job_id and window.end is None:
                window.end = at

    def forget_before(self, at: float) -> None:
        """Drops windows that ended before: everything that was changed in them has been seen."""
        self._all = [window for window in self._all if window.meets(at)]

    def writers(
        self,
        path: str,
        changed_at: float | None,
        since: Since,
        *,
        is_new: bool,
        latest: bool = False,
        but: Sequence[Window] = (),
    ) -> Writers:
        """Who can have made what stands at a path.

        Args:
            path: the path.
            changed_at: when the file was changed last; None where that is not known (it is gone).
            since: everything that was written before is known already.
            is_new: whether the baseline did not have it.
            latest: whether it was not changed again until every worker was heard.
            but: windows that are known to have written something else.
        """
        last, others = self._candidates(path, changed_at, since, is_new=is_new, latest=latest, but=but)
        return Writers(sorted({one.job_id for one in (*last, *others)}), bool(last))

    def sole(self, path: str, changed_at: float, since: Since) -> Window | None:
        """The patch that alone can have made a content. It writes the file once, so nothing before is its own."""
        last, others = self._candidates(path, changed_at, since, is_new=False, latest=False, but=())
        found = {id(one): one for one in (*last, *others)}
        one = next(iter(found.values())) if len(found) == 1 else None
        return one if one is not None and one.names(path) else None

    def _candidates(
        self, path: str, changed_at: float | None, since: Since, *, is_new: bool, latest: bool, but: Sequence[Window]
    ) -> tuple[list[Window], list[Window]]:
        """Windows that can hold the last change, and those of what may have been written before it."""
        now = changed_at if changed_at is not None else float("inf")
        all_ = [one for one in self._all if not any(one is other for other in but)]
        last: list[Window] = []
        if changed_at is None:
            last = _last([one for one in all_ if one.meets(since.watched)], path, is_new=is_new)
            # Where the watch told late, whoever said that it writes the path goes before a person.
            told = [one for one in all_ if one.names(path) or one.shows(path)]
            last = last or [one for one in told if one.meets(since.sure)]
        else:
            for slack in (TICK_SECONDS, SLACK_SECONDS):
                last = last or _last([one for one in all_ if one.holds(now, slack)], path, is_new=is_new)
            # Of whom nobody had a window then: a command that shows the path, and was told of late.
            last = last or [one for one in all_ if one.shows(path) and one.holds(now, HEAR_SECONDS)]
            if latest and not any(one.names(path) for one in last):
                # A patch that is over wrote no later than this, whenever it was told of.
                over = [one for one in all_ if one.names(path) and one.end is not None]
                last = [one for one in over if one.holds(now, HEAR_SECONDS)] or last
        # One command is as likely as another, unless a patch says that it was that.
        commands = bool(last) and all(path not in (one.paths or ()) for one in last)
        # A patch may be told of a moment after it was made. So may a command, but mostly it is told of before it runs,
        # which counts less only than nothing but a command of another worker that happened to run.
        late = HEAR_SECONDS if commands and not any(one.shows(path) for one in last) else TICK_SECONDS
        others = []
        for one in all_:
            if one.names(path) or one.shows(path):
                slack = HEAR_SECONDS if one.names(path) else late
                could = one.meets(min(since.sure, now)) and one.begins_by(now, slack)
            else:
                could = commands and one.paths is None
                could = could and one.meets(min(since.watched, now)) and one.begins_by(now, TICK_SECONDS)
            if could:
                others.append(one)
        return last, others

    def named(self, path: str, at: float) -> bool:
        """Whether a worker's own event says that it was changing the path at that time."""
        return any(one.paths is not None and path in one.paths and one.holds(at, TICK_SECONDS) for one in self._all)

    def any_open(self) -> bool:
        """Whether some worker may be writing now."""
        return any(one.end is None for one in self._all)

    def open_commands(self) -> set[str]:
        """Jobs with a command that runs."""
        return {one.job_id for one in self._all if one.end is None and one.paths is None}


def _last(fitting: list[Window], path: str, *, is_new: bool) -> list[Window]:
    """Those of the windows that can mean the path: whose own event names it goes before all others."""
    named = [one for one in fitting if one.names(path)]
    anywhere = [one for one in fitting if one.paths is None or (one.moves and is_new)]
    return named or anywhere or [one for one in fitting if one.paths is not None and path in one.paths]
