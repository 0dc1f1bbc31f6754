"""What a view shows and no change of the core tells: where HEAD is, how many snapshots there are, the jobs' tasks."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.lsp.view.texts import TASK_CHARS
from sidecar.model.errors import SidecarError
from sidecar.model.limits import STATUS_JOBS

if TYPE_CHECKING:
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often HEAD is looked at: two file stamps, and git only where they have changed."""
COUNT_SECONDS = 2.0
"""Snapshots are counted at most this often; they change with repairs only."""

Stamp = tuple[object, ...]

_WATCHES: dict[Core, Watch] = {}
"""Of the cores that some view follows."""


def watch_of(core: Core) -> Watch:
    """The one watch of a core, which all its clients share."""
    found = _WATCHES.get(core)
    if found is None:
        found = _WATCHES[core] = Watch(core)
    return found


class Watch:
    """Looks while at least one view follows. Nothing in here blocks the loop."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._head: tuple[str | None, float] | None = None
        self._stamp: Stamp | None = None
        self._counted = float("-inf")
        self._recount = True
        self.snapshots = 0
        self.tasks: dict[str, str] = {}
        """The beginning of the prompts of the jobs that the state shows."""

    def follow(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls `listener` when something is different. Returns how to stop that."""
        self._listeners.append(listener)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

        def leave() -> None:
            self._listeners.remove(listener)
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task = None
                _WATCHES.pop(self._core, None)

        return leave

    def touch(self, *, repaired: bool) -> None:
        """The core has changed: there may be new jobs; where something may have been repaired, new snapshots too."""
        self._recount = self._recount or repaired
        self._look.set()

    def head_moved(self) -> tuple[str | None, str | None] | None:
        """From which commit HEAD moved during the open run, and to which; None where no person moved it."""
        run = self._core.runs.open
        if run is None or self._head is None:
            return None
        head, read_at = self._head
        if read_at <= run.recorded_at or head == run.head or head in run.worker_heads:
            return None
        return run.head, head

    async def _run(self) -> None:
        while True:
            self._look.clear()
            try:
                changed = [await self._see_head(), await self._count(), await self._read_tasks()]
            except (SidecarError, OSError) as exc:
                logger.warning("a view cannot be completed: %s", exc)
                changed = []
            if any(changed):
                for listener in list(self._listeners):
                    listener()
            await asyncio.sleep(LOOK_SECONDS / 4)
            try:
                await asyncio.wait_for(self._look.wait(), LOOK_SECONDS)
            except asyncio.TimeoutError:
                continue

    async def _see_head(self) -> bool:
        run = self._core.runs.open
        if run is None:
            return False
        before = self._head
        stamp: Stamp = (run.run_id, *await asyncio.to_thread(self._stamps))
        if self._head is None or stamp != self._stamp or not all(stamp):
            # The time before the question: what HEAD was when the run began says nothing of the run.
            asked_at = time.time()
            self._head = (await self._core.runs.head(), asked_at)
            self._stamp = stamp
        return before is None or before[0] != self._head[0] or before[1] <= run.recorded_at

    def _stamps(self) -> list[tuple[int, int] | None]:
        """Of HEAD and of its log, which every commit, checkout and reset appends to."""
        found: list[tuple[int, int] | None] = []
        git_dir = self._core.state_dir.parent
        for path in (git_dir / "HEAD", git_dir / "logs" / "HEAD"):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size))
        return found

    async def _count(self) -> bool:
        if not self._recount or time.monotonic() - self._counted < COUNT_SECONDS:
            return False
        self._recount, self._counted = False, time.monotonic()
        before = self.snapshots
        self.snapshots = len(await asyncio.to_thread(self._core.a2.snapshots_store.all))
        return self.snapshots != before

    async def _read_tasks(self) -> bool:
        jobs, _ = self._core.manager.known_jobs(STATUS_JOBS)
        store = self._core.manager.store
        known = {job.job_id for job in jobs}
        self.tasks = {job_id: task for job_id, task in self.tasks.items() if job_id in known}
        new = [job for job in jobs if job.job_id not in self.tasks]
        for job in new:
            try:
                prompt = await asyncio.to_thread(store.prompt, job)
            except FileNotFoundError:
                prompt = ""  # An old job whose files somebody has removed.
            self.tasks[job.job_id] = prompt[: 4 * TASK_CHARS]
        return bool(new)
