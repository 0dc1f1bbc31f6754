"""One `$/progress` for the whole run: from the first worker that is active to the last.

Editors show several progress tokens of one server as one line in which the last one wins, so there is never more than
one of ours.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from sidecar.model import limits
from sidecar.model.job import FINAL_STATUSES

if TYPE_CHECKING:
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)

TITLE = "Codex workers"
Value = types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd


class Tally:
    """Counts the jobs of one time of activity: those that were unfinished in it, and those that ended in it."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self._final = _final(jobs)
        self._seen: set[str] = set()
        self.total = self.done = self.waiting = self.active = 0

    def count(self, jobs: list[dict[str, Any]]) -> None:
        """Takes the jobs of the state as they are now."""
        final = _final(jobs)
        unfinished = {job["jobId"] for job in jobs} - final
        self._seen |= unfinished | (final - self._final)
        self._final = final
        self.active = len(unfinished)
        self.waiting = sum(job["status"] == "queued" for job in jobs)
        self.total = len(self._seen)
        self.done = self.total - len(unfinished)

    def reset(self) -> None:
        """The activity is over; the next one counts from nothing."""
        self._seen.clear()

    @property
    def text(self) -> str:
        """For people: `1 of 3 done, 1 waiting`."""
        waiting = f", {self.waiting} waiting" if self.waiting else ""
        return f"{self.done} of {self.total} done{waiting}"

    @property
    def percentage(self) -> int:
        return 100 * self.done // self.total if self.total else 0


def _final(jobs: list[dict[str, Any]]) -> set[str]:
    return {job["jobId"] for job in jobs if job["status"] in FINAL_STATUSES}


class RunProgress:
    """Shows the activity of the workers to one client that announced `window.workDoneProgress`."""

    def __init__(
        self,
        core: Core,
        notify: Callable[[str, Any], None],
        ask: Callable[[str, Any], Awaitable[Any]],
        drained: Callable[[], Awaitable[None]],
    ) -> None:
        self._core = core
        self._notify = notify
        self._ask = ask
        self._drained = drained
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._tally = Tally(core.state()["jobs"])
        self._tokens = itertools.count(1)

    def touch(self) -> None:
        """A job changed."""
        self._dirty.set()

    async def run(self) -> None:
        """Shows one activity after the other, until cancelled."""
        while True:
            await self._next_count()
            if self._tally.active:
                await self._show_activity()
            self._tally.reset()

    async def _next_count(self) -> None:
        await self._dirty.wait()
        await self._drained()
        self._dirty.clear()
        self._tally.count(self._core.state()["jobs"])

    async def _show_activity(self) -> None:
        token = f"codex-sidecar-{next(self._tokens)}"
        shown = await self._create(token)
        tally = self._tally
        tally.count(self._core.state()["jobs"])
        percentage = tally.percentage
        if shown:
            first = types.WorkDoneProgressBegin(
                title=TITLE, cancellable=False, message=tally.text, percentage=percentage
            )
            self._send(token, first)
        text = tally.text
        while tally.active:
            await asyncio.sleep(limits.STATE_INTERVAL_SECONDS)
            await self._next_count()
            # The specification wants it to rise; new workers would make it fall.
            percentage = max(percentage, tally.percentage)
            if shown and tally.active and tally.text != text:
                text = tally.text
                self._send(token, types.WorkDoneProgressReport(cancellable=False, message=text, percentage=percentage))
        if shown:
            self._send(token, types.WorkDoneProgressEnd(message=tally.text))

    async def _create(self, token: str) -> bool:
        params = types.WorkDoneProgressCreateParams(token=token)
        try:
            await self._ask(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
        except (JsonRpcException, asyncio.TimeoutError) as exc:
            logger.warning("the client shows no progress: %r", exc)
            return False
        return True

    def _send(self, token: str, value: Value) -> None:
        self._notify(types.PROGRESS, types.ProgressParams(token=token, value=value))
