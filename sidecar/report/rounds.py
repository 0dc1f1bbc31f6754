"""Which workers belong on the page.

A run is the write jobs that share a baseline; a page shows them together with everybody who was at work meanwhile.
Where no run is open and none was asked for, the newest round of work is shown: back to the last long pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sidecar.report.clock import parse_time

Json = dict[str, Any]
PAUSE_SECONDS = 600.0
"""A pause without a worker that is as long as this ends a round."""


class Chosen(NamedTuple):
    """The jobs of the page in the order of their spawn, and what is known of their run."""

    jobs: list[Json]
    run_id: str | None = None
    is_open: bool = False
    head: str | None = None
    recorded_at: float | None = None


def choose(status: Json, wanted: str | None) -> Chosen:
    """The jobs to show.

    Args:
        status: the answer of `codex_status` about all jobs.
        wanted: a run's id; None: the open run, else the newest round.
    """
    jobs: list[Json] = status["jobs"]
    run = status.get("run")
    if run is not None and wanted in (None, run["runId"]):
        recorded = parse_time(run["recordedAt"])
        members = [job for job in jobs if job.get("runId") == run["runId"]]
        since = min([begin for job in members if (begin := _begin(job)) is not None] + _known(recorded), default=0.0)
        return Chosen(_during(jobs, since, None), run["runId"], True, run["head"], recorded)
    if wanted is not None:
        return Chosen(_of_run(jobs, wanted), wanted)
    newest = _newest_round(jobs)
    runs = {job["runId"] for job in newest if job.get("runId")}
    run_id = runs.pop() if len(runs) == 1 else None
    return Chosen(_of_run(jobs, run_id) if run_id is not None else newest, run_id)


def _of_run(jobs: Sequence[Json], run_id: str) -> list[Json]:
    """The run's write jobs, and who else worked between the first one's start and the last one's end."""
    members = [job for job in jobs if job.get("runId") == run_id]
    begins = [begin for job in members if (begin := _begin(job)) is not None]
    if not begins:
        return members
    goes_on = any(job.get("finishedAt") is None for job in members)
    until = None if goes_on else max(end for job in members if (end := parse_time(job["finishedAt"])) is not None)
    there = {job["jobId"] for job in _during(jobs, min(begins), until)} | {job["jobId"] for job in members}
    others = {job["jobId"] for job in jobs if job.get("runId") not in (None, run_id)}
    return [job for job in jobs if job["jobId"] in there - others]


def _during(jobs: Sequence[Json], since: float, until: float | None) -> list[Json]:
    """Jobs that were there at some time from `since` to `until` (None: now)."""
    found = []
    for job in jobs:
        begin, end = _begin(job), parse_time(job.get("finishedAt"))
        if (end is None or end >= since) and (until is None or begin is None or begin <= until):
            found.append(job)
    return found


def _newest_round(jobs: Sequence[Json]) -> list[Json]:
    """The newest jobs, back to the last pause of `PAUSE_SECONDS`; one that never started stays with its neighbours."""
    times = [(begin, parse_time(job.get("finishedAt"))) for job in jobs if (begin := _begin(job)) is not None]
    if not times:
        return list(jobs)
    since = None
    for begin, end in sorted(times, key=lambda pair: pair[1] if pair[1] is not None else float("inf"), reverse=True):
        if since is not None and end is not None and end < since - PAUSE_SECONDS:
            break
        since = begin if since is None else min(since, begin)
    return _during(jobs, since or 0.0, None)


def _begin(job: Json) -> float | None:
    """When a job began; of one that never started only its end is known."""
    return parse_time(job.get("startedAt")) or parse_time(job.get("finishedAt"))


def _known(value: float | None) -> list[float]:
    return [] if value is None else [value]
