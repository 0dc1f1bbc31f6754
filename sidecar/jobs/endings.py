"""How jobs ended that others may depend on."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.model.job import Job, JobError

KEPT = 200


def not_started(job_id: str, status: str) -> JobError:
    """What a job says whose dependency did not end `done`."""
    return JobError(
        "codex-failed",
        f"Not started: the job it depends on, {job_id}, ended {status}.",
        "Spawn it again once that job is done.",
        {"dependsOn": job_id, "status": status},
    )


class Endings:
    """Final statuses by job id: those that a queued job still asks for, and the newest of the others."""

    def __init__(self) -> None:
        self._status: dict[str, str] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._status

    def note(self, job_id: str, status: str, unfinished: Iterable[Job]) -> None:
        """Remembers an ending and forgets old ones that none of the unfinished jobs depends on."""
        self._status[job_id] = status
        if len(self._status) > 2 * KEPT:
            asked = {other for job in unfinished for other in job.depends_on}
            for old in [one for one in self._status if one not in asked][:KEPT]:
                del self._status[old]

    def is_done(self, job_id: str) -> bool:
        """Whether it ended `done`."""
        return self._status.get(job_id) == "done"

    def failed_dependency(self, job: Job) -> tuple[str, str] | None:
        """The first job that `job` depends on and that did not end `done`, with its status."""
        for other in job.depends_on:
            status = self._status.get(other, "done")
            if status != "done":
                return other, status
        return None
