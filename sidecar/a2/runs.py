"""Runs: the write jobs that share one baseline.

The baseline is recorded with the first write job. A run closes when none of its write jobs is unfinished and the tree
is clean again: a person's commit holds the changes, or they are gone. A worker's own commit never closes it.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Literal

from sidecar.git.repository import Repository
from sidecar.jobs.journal import Journal
from sidecar.model.errors import SidecarError
from sidecar.model.job import Job, Run, now

OnDirty = Literal["refuse", "snapshot", "stash"]
SHOWN_PATHS = 20


class Runs:
    """The open run of one work tree."""

    def __init__(self, journal: Journal, repository: Repository) -> None:
        self._journal = journal
        self._repository = repository
        self._lock = asyncio.Lock()
        self.open: Run | None = None

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
            head, dirty = await asyncio.to_thread(lambda: (self._repository.head(), self._repository.dirty_paths()))
            if self.open is not None:
                if dirty or head in self.open.worker_heads:
                    return self.open
                await self._close("committed" if head != self.open.head else "unchanged")
            if dirty:
                raise _dirty(dirty, on_dirty)
            run = Run(run_id=f"run-{secrets.token_hex(6)}", head=head, recorded_at=now())
            await self._journal.save(run)
            self.open = run
            return run

    async def _close(self, because: str) -> None:
        assert self.open is not None
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
            await self._journal.save(run)

    async def head(self) -> str | None:
        """The commit that HEAD names now."""
        return await asyncio.to_thread(self._repository.head)


def _dirty(paths: list[str], on_dirty: OnDirty) -> SidecarError:
    shown = [path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for path in paths]
    more = f" and {len(paths) - SHOWN_PATHS} more" if len(paths) > SHOWN_PATHS else ""
    tried = "" if on_dirty == "refuse" else f" onDirty {on_dirty!r} is not available in this version."
    return SidecarError(
        "dirty-tree",
        f"The work tree has uncommitted changes: {', '.join(shown[:SHOWN_PATHS])}{more}.{tried}",
        "Commit them or put them aside first. The two other ways are onDirty `snapshot` (they become part of the "
        "baseline) and `stash` (they are saved and the tree is made clean).",
        {"files": shown[:1000], "count": len(paths), "ways": ["refuse", "snapshot", "stash"]},
    )
