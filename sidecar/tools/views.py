"""How jobs look in answers. One place, so that every front end shows the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from sidecar.model.job import Budget, Job, JobError, Run, iso
from sidecar.model.outputs import (
    BudgetOutput,
    ErrorOutput,
    JobStatusOutput,
    LimitsOutput,
    RunOutput,
    SlotOutput,
    SpawnOutput,
)

if TYPE_CHECKING:
    from sidecar.jobs.budgets import Spent
    from sidecar.jobs.manager import JobManager
    from sidecar.jobs.slots import Plan


def error(found: JobError | None) -> ErrorOutput | None:
    """A job's error in the one error shape."""
    if found is None:
        return None
    return ErrorOutput(kind=found.kind, message=found.message, hint=found.hint, details=found.details)


def spawned(job: Job, queue: Plan) -> SpawnOutput:
    return SpawnOutput(
        job_id=job.job_id,
        label=job.label,
        title=job.title,
        status=job.status,
        sandbox=job.sandbox,
        started_at=iso(job.started_at),
        queue_position=queue.positions.get(job.job_id),
    )


def job_status(job: Job, manager: JobManager, queue: Plan) -> JobStatusOutput:
    """One job; `activity` of a queued one says what it waits for."""
    return JobStatusOutput(
        job_id=job.job_id,
        label=job.label,
        run_id=job.run_id,
        title=job.title,
        status=job.status,
        sandbox=job.sandbox,
        exit_code=job.exit_code,
        started_at=iso(job.started_at),
        finished_at=iso(job.finished_at),
        last_activity_at=iso(job.last_activity_at),
        activity=queue.reasons.get(job.job_id, job.activity),
        stalled=manager.is_stalled(job.job_id),
        queue_position=queue.positions.get(job.job_id),
        usage=job.usage,
        error=error(job.error),
    )


def slots(manager: JobManager) -> LimitsOutput:
    """K_read and K_write, and how they are used."""
    counts, wanted = manager.slot_counts(), manager.settings().limits
    return LimitsOutput(
        read=SlotOutput(limit=wanted.read, running=counts["read"][0], queued=counts["read"][1]),
        write=SlotOutput(limit=wanted.write, running=counts["write"][0], queued=counts["write"][1]),
    )


def run(found: Run | None, spent: Spent | None = None) -> RunOutput | None:
    """The open run; what it has used only where that was looked up."""
    if found is None:
        return None
    budget = found.budget or Budget()
    return RunOutput(
        run_id=found.run_id,
        head=found.head,
        recorded_at=iso(found.recorded_at) or "",
        budget=BudgetOutput(max_tokens=budget.max_tokens, max_jobs=budget.max_jobs, max_minutes=budget.max_minutes),
        jobs=UNSET if spent is None else spent.jobs,
        usage=UNSET if spent is None else spent.usage,
    )


def job_item(job: Job, manager: JobManager, queue: Plan) -> dict[str, Any]:
    """A job as `codexSidecar/state` carries it: its status and the files."""
    item: dict[str, Any] = msgspec.to_builtins(job_status(job, manager, queue))
    item["access"] = job.access
    item["model"] = job.model
    item["stopRequestedAt"] = iso(job.cancel.requested_at) if job.cancel else None
    item["modifiedFiles"] = job.modified_files
    item["touchedFiles"] = msgspec.to_builtins(job.touched_files)
    return item
