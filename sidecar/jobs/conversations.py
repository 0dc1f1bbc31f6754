"""Going on in a worker's conversation: one job at a time has it, and a new message may interrupt the one that has it.

The new job is recorded first, queued, then the old one is stopped; the new one starts when nothing of the old is alive.
A sidecar killed in between finds both in the journal and goes on (`to_interrupt`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import CancelRequest, Job, JobError, now

if TYPE_CHECKING:
    from sidecar.jobs.manager import JobManager


def thread_of(manager: JobManager, job: Job) -> str:
    """The conversation of a job.

    Raises:
        SidecarError: `busy` where it has not begun one yet, `invalid-arguments` where it never will.
    """
    live = manager.live.get(job.job_id)
    if live is None:
        if thread := job.thread_id or job.resume_thread:
            return thread
        problem = f"{job.label} has no conversation to go on in: it ended before it began one"
        raise invalid("jobId", problem, "Spawn it again.")
    # A job that is itself to go on in one has not told its own message yet; it must not be lost.
    if thread := live.parser.thread_id or job.thread_id:
        return thread
    raise SidecarError(
        "busy",
        f"{job.label} is {job.status} and has not begun its conversation yet.",
        "Call again once it runs (codex_status), or stop it with codex_cancel and spawn the whole task anew.",
        {"jobId": job.job_id, "status": job.status},
    )


async def join(manager: JobManager, job: Job) -> None:
    """Gives the conversation `job.resume_thread` to a new job, which has no other fact of it yet.

    Raises:
        SidecarError: `busy`: a third job is going on in it.
    """
    if job.resumes is None:
        return
    for live in manager.live.values():
        if live.job.job_id != job.resumes and job.resume_thread in (live.job.resume_thread, live.parser.thread_id):
            raise SidecarError(
                "busy",
                f"{live.job.label} is already going on in that conversation.",
                f"Resume {live.job.label} instead, or wait for its end with codex_wait_any.",
                {"jobId": live.job.job_id},
            )
    job.interrupts = job.resumes in manager.live
    if not job.interrupts:
        await start_facts(manager, job)


async def start_facts(manager: JobManager, job: Job) -> dict[str, Any]:
    """What a job learns only when the one before it in the conversation has ended: what Codex had counted by then."""
    if job.resumes is None:
        return {}
    first = await manager.job(job.resumes)
    # Others may have gone on in it since; the newest knows all that Codex had counted before this one.
    turns = [
        one
        for one in await manager.journal.since(first.number)
        if one.number < job.number and job.resume_thread in (one.resume_thread, one.thread_id)
    ]
    job.base_usage = next((one.thread_usage for one in reversed(turns) if one.thread_usage is not None), None)
    return {"base_usage": job.base_usage}


def to_interrupt(manager: JobManager) -> dict[str, CancelRequest]:
    """Stops that a sidecar before this one recorded but did not carry out, by the id of the job to stop."""
    jobs = [live.job for live in manager.live.values()]
    return {job.resumes: CancelRequest(now(), by=job.job_id) for job in jobs if job.resumes and job.interrupts}


def interrupted(manager: JobManager, job: Job) -> JobError | None:
    """Why a job was cancelled that a new message interrupted; None for any other."""
    if job.cancel is None or job.cancel.by is None:
        return None
    new = manager.known_job(job.cancel.by)
    label = new.label if new else job.cancel.by
    return JobError(
        "codex-failed",
        f"Interrupted by a new message: {label} goes on in its conversation.",
        f"Follow {label}; what this job had written stays in the tree.",
        {"interruptedBy": job.cancel.by},
    )
