"""Who may start now: K_read, K_write, `dependsOn`, `expectedFiles`. Pure rules, no clock, no I/O.

First come, first served within a kind. A job that waits for a dependency lets later ones pass; a job that waits only
because its files are in use keeps its place against later jobs that would use the same files, so none starves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sidecar.jobs import globs
from sidecar.model.job import Job


@dataclass(frozen=True)
class Plan:
    """What to do with the queue.

    Attributes:
        start: ids to start now, in order.
        positions: the place of every other queued job within its kind, from 1.
        reasons: why a queued job waits, for people.
    """

    start: tuple[str, ...]
    positions: dict[str, int]
    reasons: dict[str, str]


def plan(
    queued: Sequence[Job],
    active: Iterable[Job],
    *,
    read: int,
    write: int,
    is_done: Callable[[str], bool],
    has_ended: Callable[[str], bool] = lambda _: True,
) -> Plan:
    """Decides for all queued jobs at once.

    Args:
        queued: in the order of their spawn.
        active: starting, running and stopping jobs; each holds a slot.
        read: K_read.
        write: K_write.
        is_done: whether a job named in `dependsOn` has ended `done`.
        has_ended: whether a job that another one follows or resumes has ended, however.
    """
    running = list(active)
    free = {"read": read, "write": write}
    for job in running:
        free[job.access] -= 1
    in_use: list[tuple[Job, list[str]]] = [(job, job.expected_files) for job in running if job.access == "write"]
    start: list[str] = []
    positions: dict[str, int] = {}
    reasons: dict[str, str] = {}
    counts = {"read": 0, "write": 0}
    # Who interrupted a job takes over its slot: the same conversation goes on.
    for job in sorted(queued, key=lambda job: not job.interrupts):
        before = [*job.follows, *([job.resumes] if job.resumes else [])]
        waits = not (all(map(is_done, job.depends_on)) and all(map(has_ended, before)))
        reason = _obstacle(job, waits, free[job.access], in_use, read if job.access == "read" else write)
        if reason is None:
            free[job.access] -= 1
            start.append(job.job_id)
        else:
            counts[job.access] += 1
            positions[job.job_id] = counts[job.access]
            reasons[job.job_id] = reason
        if job.access == "write" and not waits:
            in_use.append((job, job.expected_files))
    return Plan(tuple(start), positions, reasons)


def _obstacle(job: Job, waits: bool, free: int, in_use: list[tuple[Job, list[str]]], limit: int) -> str | None:
    if waits:
        return "waiting for another job"
    if free <= 0:
        return f"waiting for a {job.access} slot ({limit} of {limit} in use)"
    if job.access == "write":
        for other, patterns in in_use:
            if any(globs.overlap(mine, theirs) for mine in job.expected_files for theirs in patterns):
                return f"waiting for files of {other.label}"
    return None
