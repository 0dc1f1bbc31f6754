"""Whether a new job may be taken, and what it belongs to. Called one at a time, before anything of it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.jobs import budgets, conversations
from sidecar.model.job import Job

if TYPE_CHECKING:
    from sidecar.jobs.manager import JobManager


async def admit(manager: JobManager, job: Job, *, on_dirty: str, budgeted: bool) -> None:
    """Completes the facts of a new job.

    Args:
        budgeted: whether the run's budget may refuse it.

    Raises:
        SidecarError: `unknown-job` (dependsOn), `busy` (its conversation), `dirty-tree`, `limit-reached`,
            `state-unavailable`.
    """
    for other in job.depends_on:
        await manager.job(other)
    await conversations.join(manager, job)
    before = await manager.journal.open_run()
    # Before a run is opened: a job that is refused leaves everything as it was.
    if before is not None and budgeted:
        await budgets.check(manager, before)
    if job.access == "write":
        unfinished = any(live.job.access == "write" for live in manager.live.values())
        run = await manager.open_run(on_dirty, unfinished)
        await budgets.enter(manager, run, before, job.number)
        job.run_id = run.run_id
