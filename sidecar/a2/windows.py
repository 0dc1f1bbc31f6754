"""When each worker could write: the time between the events that say it began and ended something. Pure.

A line of a worker's stream was printed after the last moment at which its file was read to the end, and before it was
read; so a command's or a patch's time is known from both sides. A file whose last change lies in nobody's time was
changed by a person.
"""

from __future__ import annotations

from dataclasses import dataclass

TICK_SECONDS = 0.01
"""A file system's clock ticks in steps of some milliseconds."""
SLACK_SECONDS = 0.1
"""Codex may print that it patches a moment after it does; heeded only where a change lies in nobody's time."""


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

    def holds(self, at: float, slack: float) -> bool:
        return self.begin - slack <= at and (self.end is None or at <= self.end)

    def meets(self, since: float) -> bool:
        """Whether some of it lies after `since`."""
        return self.end is None or self.end >= since


class Windows:
    """The windows of all workers, as far as they can still matter."""

    def __init__(self) -> None:
        self._all: list[Window] = []

    def open(self, window: Window) -> None:
        self._all.append(window)

    def close(self, job_id: str, item: str, at: float) -> Window | None:
        """Ends the window of one item."""
        for window in self._all:
            if window.job_id == job_id and window.item == item and window.end is None:
                window.end = at
                return window
        return None

    def note_move(self, job_id: str, item: str) -> None:
        """A patch took a named file away: it may have moved it."""
        for window in self._all:
            if window.job_id == job_id and window.item == item:
                window.moves = True

    def close_job(self, job_id: str, at: float) -> None:
        """Ends all windows of a worker that does nothing any more."""
        for window in self._all:
            if window.job_id == job_id and window.end is None:
                window.end = at

    def forget_before(self, at: float) -> None:
        """Drops windows that ended before: everything that was changed in them has been seen."""
        self._all = [window for window in self._all if window.meets(at)]

    def writers(self, path: str, changed_at: float | None, since: float, *, is_new: bool) -> list[str]:
        """Who can have made the last change of a path.

        Args:
            path: the path.
            changed_at: when the file was changed last; None where that is not known (it is gone).
            since: when it was looked at before.
            is_new: whether the baseline did not have it.
        """
        if changed_at is None:
            return _of([one for one in self._all if one.meets(since)], path, is_new=is_new)
        for slack in (TICK_SECONDS, SLACK_SECONDS):
            if found := _of([one for one in self._all if one.holds(changed_at, slack)], path, is_new=is_new):
                return found
        return []

    def named(self, path: str, at: float) -> bool:
        """Whether a worker's own event says that it was changing the path at that time."""
        return any(one.paths is not None and path in one.paths and one.holds(at, TICK_SECONDS) for one in self._all)

    def any_open(self) -> bool:
        """Whether some worker may be writing now."""
        return any(one.end is None for one in self._all)

    def open_commands(self) -> set[str]:
        """Jobs with a command that runs."""
        return {one.job_id for one in self._all if one.end is None and one.paths is None}


def _of(fitting: list[Window], path: str, *, is_new: bool) -> list[str]:
    """The workers of these windows that can mean the path; whose own event names it goes before all others."""
    named = {one.job_id for one in fitting if one.paths is not None and path in one.paths}
    return sorted(named or {one.job_id for one in fitting if one.paths is None or (one.moves and is_new)})
