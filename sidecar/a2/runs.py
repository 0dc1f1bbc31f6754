"""Runs: the write jobs that share one baseline.

The baseline is recorded with the first write job, or before it by `codex_baseline`: that job joins the run then. A run
closes when none of its write jobs is unfinished and the tree is clean again: a person's commit holds the changes, or
they are gone. A worker's own commit never closes it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Literal

from sidecar.git.baseline import Baselines, dirty_tree
from sidecar.git.repository import Repository
from sidecar.jobs.journal import Journal
from sidecar.model.job import Job, Run, WorkerCommit, now

OnDirty = Literal["refuse", "snapshot", "stash"]


class Runs:
    """The open run of one work tree."""

    def __init__(self, journal: Journal, repository: Repository, baselines: Baselines) -> None:
        self._journal = journal
        self._repository = repository
        self._baselines = baselines
        self._lock = asyncio.Lock()
        self.open: Run | None = None
        self.closing: Callable[[Run], Awaitable[None]] | None = None
        """Keeps what has to be known of a run after its end; called before it closes."""

    async def load(self) -> None:
        """Takes up the open run after a restart."""
        self.open = await self._journal.open_run()

    async def for_write_job(self, on_dirty: OnDirty, *, unfinished: bool) -> Run:
        """The run that a new write job belongs to; records the baseline where none is open.

        Args:
            on_dirty: what to do with uncommitted changes when a baseline is recorded.
            unfinished: whether a write job of the open run has not ended.

        Raises:
            SidecarError: `dirty-tree` names the files and the ways out; nothing was changed.
        """
        async with self._lock:
            if self.open is not None and unfinished:
                return self.open
            if self.open is not None:
                because = await self.would_close(unfinished=False)
                if because is None:
                    return self.open
                await self._close(because)
            run_id = f"run-{secrets.token_hex(6)}"
            baseline = await asyncio.to_thread(self._baselines.record, run_id, on_dirty)
            run = Run(
                run_id=run_id,
                head=baseline.head,
                tree=baseline.tree,
                recorded_at=baseline.recorded_at,
                files=baseline.files,
                snapshot_id=baseline.snapshot_id,
            )
            await self._journal.save(run)
            self.open = run
            return run

    async def would_close(self, *, unfinished: bool) -> str | None:
        """Why the next write job would close the open run: `committed` or `unchanged`; None where it stays open.

        Args:
            unfinished: whether a write job of it has not ended, or a repair is in progress.
        """
        run = self.open
        if run is None or unfinished:
            return None
        head, dirty = await asyncio.to_thread(lambda: (self._repository.head(), self._repository.dirty_paths()))
        if dirty or head in run.worker_heads:
            return None
        if head != run.head:
            return "committed"
        # A run that was begun and has had no job yet waits for its first one.
        return "unchanged" if await self._journal.of_run(run.run_id) else None

    async def begin(self, on_dirty: OnDirty) -> None:
        """Closes the open run, whatever its changes: the next baseline holds them.

        Args:
            on_dirty: what the next baseline does with uncommitted changes.

        Raises:
            SidecarError: `dirty-tree`, the next baseline would refuse the changes; the run stays open.
        """
        async with self._lock:
            if self.open is None:
                return
            if on_dirty == "refuse" and (dirty := await asyncio.to_thread(self._repository.dirty_paths)):
                raise dirty_tree(list(dirty))
            await self._close("begun anew")

    async def _close(self, because: str) -> None:
        assert self.open is not None
        if self.closing is not None:
            await self.closing(self.open)
        self.open.closed_at, self.open.closed_because = now(), because
        await self._journal.save(self.open)
        self.open = None

    async def head_for(self, job: Job) -> str | None:
        """What HEAD names right before a job starts that could commit; None for all others."""
        return await self.head() if job.sandbox == "danger-full-access" else None

    async def note_head(self, job: Job) -> None:
        """After a job that could commit: remembers a commit that appeared while it ran."""
        run = self.open
        if run is None or job.run_id != run.run_id or job.sandbox != "danger-full-access":
            return
        head = await asyncio.to_thread(self._repository.head)
        if head is not None and head != job.head_at_start and head not in run.worker_heads:
            run.worker_heads.append(head)
            run.worker_commits.append(WorkerCommit(job.job_id, head))
            await self._journal.save(run)

    async def head(self) -> str | None:
        """The commit that HEAD names now."""
        return await asyncio.to_thread(self._repository.head)
