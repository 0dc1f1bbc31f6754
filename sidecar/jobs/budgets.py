"""What a run has used, and the limits that somebody set for it.

Every job that is spawned while a run is open counts to it, readers too: they cost as much as writers. Codex tells its
tokens at the end of each turn, so a limit of tokens stops what comes after the turn that passed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sidecar.model.errors import SidecarError
from sidecar.model.job import Budget, Run, Usage, now

if TYPE_CHECKING:
    from sidecar.jobs.manager import JobManager


@dataclass(frozen=True)
class Spent:
    """What a run has used so far; `minutes` of wall clock since it began."""

    jobs: int
    usage: Usage
    minutes: float


async def spent(manager: JobManager, run: Run) -> Spent:
    """What the open run has used.

    Raises:
        SidecarError: `state-unavailable`.
    """
    # An interrupted turn's tokens are told with those of the job that goes on, so no token counts twice.
    jobs = await manager.journal.since(run.first_job) if run.first_job else []
    usage = Usage()
    for job in jobs:
        usage = usage.plus((manager.known_job(job.job_id) or job).usage)
    return Spent(len(jobs), usage, max(0.0, now() - (run.began or run.recorded_at)) / 60)


async def limit(manager: JobManager, run: Run, given: dict[str, int]) -> None:
    """Sets limits of the open run; those that are not given stay.

    Raises:
        SidecarError: `state-unavailable`; nothing was changed.
    """
    budget = msgspec.structs.replace(run.budget or Budget(), **given)
    first, began = run.first_job or manager.next_number, run.began or run.recorded_at
    await _save(manager, run, budget=budget, first_job=first, began=began)
    manager.publish("run", run.run_id)


async def enter(manager: JobManager, run: Run, before: Run | None, number: int) -> None:
    """Begins to count where a job is the first of its run.

    A run in which no worker changed anything hands its budget on: else whoever set it before the first spawn, or whose
    workers only looked, would lose it without a word.

    Args:
        before: the run that was open before this job came.
        number: the job's.

    Raises:
        SidecarError: `state-unavailable`; nothing was changed.
    """
    if run.first_job:
        return
    if before is not None and before.budget is not None and before.run_id != run.run_id:
        closed = await manager.journal.run(before.run_id)
        if closed is not None and await _hands_on(manager, before, closed.closed_because):
            first = before.first_job or number
            await _save(manager, run, budget=before.budget, first_job=first, began=before.began)
            return
    await _save(manager, run, first_job=number, began=run.recorded_at)


async def check(manager: JobManager, run: Run) -> None:
    """Lets a job pass where the run has room for it, or is over and its budget with it: the next write job closes it.

    Raises:
        SidecarError: `limit-reached`, `state-unavailable`; nothing was changed.
    """
    error = await _reached(manager, run)
    if error is None:
        return
    unfinished = any(live.job.access == "write" for live in manager.live.values())
    because = await manager.run_would_close(unfinished)
    if because is None or await _hands_on(manager, run, because):
        raise error


async def _hands_on(manager: JobManager, run: Run, because: str | None) -> bool:
    """Whether the budget of a run that closes holds for the next one."""
    if because != "unchanged":
        return False
    # What was changed and went back again was a whole round.
    return not any(job.touched_files for job in await manager.journal.of_run(run.run_id))


async def _reached(manager: JobManager, run: Run) -> SidecarError | None:
    budget = run.budget
    if budget is None:
        return None
    used = await spent(manager, run)
    rules: list[tuple[str, int | None, float, str]] = [
        ("maxJobs", budget.max_jobs, used.jobs, "jobs"),
        ("maxTokens", budget.max_tokens, used.usage.tokens, "tokens"),
        ("maxMinutes", budget.max_minutes, round(used.minutes, 1), "minutes"),
    ]
    for name, value, so_far, words in rules:
        if value is not None and so_far >= value:
            return SidecarError(
                "limit-reached",
                f"The run's limit {name} is reached: {so_far:,} of {value:,} {words}. Workers that run go on.",
                f"Raise {name} with codex_baseline, or begin a new run with codex_baseline and begin: true; "
                "a person's commit of the run's changes ends it too.",
                {"limit": name, "value": value, "used": so_far, "runId": run.run_id},
            )
    return None


async def _save(manager: JobManager, run: Run, **facts: Any) -> None:
    before = {name: getattr(run, name) for name in facts}
    # In memory first: whoever else stores this run meanwhile stores the facts with it.
    _put(run, facts)
    try:
        await manager.journal.save(run)
    except SidecarError:
        _put(run, before)
        raise


def _put(run: Run, facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        setattr(run, name, value)
