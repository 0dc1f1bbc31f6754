"""Taking up the jobs of an earlier sidecar, under the same ids.

Workers that still run are followed again, ends that nobody saw are read from the runner's record, and a start that was
under way is either found or fenced off, so that no worker is ever started twice.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from sidecar.jobs.live import Live

if TYPE_CHECKING:
    from sidecar.jobs.manager import JobManager

SETTLE_SECONDS = 2.0
"""How long the ends of an earlier sidecar's workers may delay the first answer; 0.05 to 0.2 s are usual."""


async def load(manager: JobManager) -> list[Live]:
    """All unfinished jobs, in the order of their spawn, with their own events."""
    found = []
    for job in await manager.journal.unfinished():
        live = Live(job, manager.store, manager.backend, manager.top, manager.observe, watched=False)
        await asyncio.to_thread(live.log.load)
        found.append(live)
    # A spawn that was cut before the journal took it was never acknowledged; its secrets must not stay.
    await asyncio.to_thread(manager.store.forget_env_of_others, {live.job.job_id for live in found})
    return found


async def settle(manager: JobManager) -> None:
    """Waits, `SETTLE_SECONDS` at most, for the jobs whose workers had ended: the first answer is to tell it."""
    taken = [(live.task, live.job) for live in manager.live.values() if live.task is not None]
    over = await asyncio.gather(
        *(manager.executor.over(manager.store.attempt(job)) for _, job in taken), return_exceptions=True
    )
    # What can not be read is logged by the job's own task, which goes on.
    ending = [task for (task, _), ended in zip(taken, over, strict=True) if ended is True]
    if ending:
        await asyncio.wait(ending, timeout=SETTLE_SECONDS)


async def take_up(manager: JobManager, live: Live) -> None:
    """Goes on with a job that was starting, running or stopping, to its end."""
    job = live.job
    handle = job.handle
    if handle is None:
        handle = await manager.executor.find(manager.store.attempt(job), job.job_id, job.attempt)
        if handle is None and job.cancel is not None:
            await manager.lifecycle.end(live, "cancelled", error=None)
            return
        if handle is None:
            await _again(manager, live)
            return
    # `wait` also tells when nothing of the attempt is alive any more, so a lost one needs no path of its own.
    await manager.executor.reattach(handle)
    # A repair may have held it when the sidecar died.
    await manager.executor.thaw([handle])
    if job.cancel is not None:
        await manager.executor.cancel(handle, force=job.cancel.force)
    await manager.lifecycle.follow(live, handle)


async def _again(manager: JobManager, live: Live) -> None:
    """A start that certainly did not happen, and can not any more, is made again as the next attempt."""
    number = live.job.attempt + 1
    ahead = msgspec.structs.replace(live.job, attempt=number)
    what = f"next attempt of {live.job.label}"
    await manager.lifecycle.insist(what, lambda: asyncio.to_thread(manager.store.next_attempt, ahead))
    await manager.lifecycle.insist(what, partial(manager.lifecycle.transition, live, "starting", attempt=number))
    live.log.move(manager.store.spool(live.job))
    await manager.lifecycle.run(live)
