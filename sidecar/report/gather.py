"""Asks the tools for what the page shows. A tool that is not there, or refuses, costs its part and never the page."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from sidecar.a2 import messages
from sidecar.model import limits
from sidecar.model.conflict import Conflict as FoundConflict
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import TouchedFile, Usage, now
from sidecar.report import marks, rounds, shared
from sidecar.report.clock import parse_time
from sidecar.report.facts import Conflict, ConflictState, ConflictWorker, Problem, Repair, Report, Worker
from sidecar.report.html import one_line
from sidecar.report.workers import MESSAGE_CHARS

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Calls a tool by its name; raises SidecarError."""
Wording = Callable[[str], str]
Json = dict[str, Any]

AT_ONCE = 8
"""Calls that run at the same time: the sidecar serves others meanwhile."""
PAGE = {"maxEvents": limits.EVENTS_MAX, "maxBytes": 32_768}
PAGES = 300
"""Most pages of one worker's events."""


async def gather(
    call: Call, repository: str, version: str, *, run_id: str | None = None, wording: Wording = str
) -> Report:
    """The facts of one run.

    Args:
        call: calls a tool.
        repository: the work tree's top level, for the head of the page.
        version: of this program.
        run_id: which run; None: the open one, else the newest workers.
        wording: turns a remedy, which names tools, into what the reader can type.

    Raises:
        SidecarError: the sidecar could not be asked for its jobs; `invalid-arguments`: no worker of that run is known.
    """
    status = await call("codex_status", {})
    chosen = rounds.choose(status, run_id)
    if run_id is not None and not chosen.jobs:
        hint = "Leave --run out for the newest run; `codex-sidecar status` names the open one."
        raise invalid("--run", f"no worker of run {run_id[:80]!r} is known", hint)
    found = await _conflicts_of(call, chosen.run_id) if chosen.run_id is not None else None
    gate = asyncio.Semaphore(AT_ONCE)
    read = await asyncio.gather(*(_worker(call, gate, job, wording) for job in chosen.jobs))
    workers = [_witnessed(worker, found) for worker in read]
    baseline = (found or {}).get("baseline") or {}
    recorded = chosen.recorded_at if chosen.recorded_at is not None else parse_time(baseline.get("recordedAt"))
    repairs = await _repairs(call, recorded, workers)
    return Report(
        repository=repository,
        made_at=now(),
        version=version,
        run_id=chosen.run_id,
        run_open=chosen.is_open,
        head=chosen.head or baseline.get("head"),
        recorded_at=recorded,
        workers=workers,
        omitted=int(status.get("omitted") or 0),
        conflicts=_conflicts(found, workers),
        conflicts_known=found is not None,
        repairs=repairs or [],
        repairs_known=repairs is not None,
        unclaimed=list((found or {}).get("unclaimed") or []),
        notices=_notices(found, workers),
    )


# -- workers --------------------------------------------------------------------------------------------------------


async def _worker(call: Call, gate: asyncio.Semaphore, job: Json, wording: Wording) -> Worker:
    async with gate:
        result = await call("codex_result", {"jobId": job["jobId"], "maxChars": MESSAGE_CHARS[1]})
        events, whole = await _events(call, job["jobId"])
    # What was answered last is newest: the job may have ended in between.
    job = {**job, **{key: result[key] for key in ("status", "startedAt", "finishedAt", "exitCode") if key in result}}
    error = result.get("error")
    return Worker(
        job_id=job["jobId"],
        label=job["label"],
        title=job["title"],
        status=job["status"],
        sandbox=job["sandbox"],
        spawned_at=next((parse_time(event.get("timestamp")) for event in events if event["type"] == "spawned"), None),
        started_at=parse_time(job.get("startedAt")),
        finished_at=parse_time(job.get("finishedAt")),
        exit_code=job.get("exitCode"),
        activity=job.get("activity"),
        usage=msgspec.convert(result["usage"], Usage) if result.get("usage") else None,
        problem=Problem(kind=error["kind"], message=error["message"], remedy=wording(error["hint"])) if error else None,
        message=result.get("finalMessage"),
        message_cut=bool(result.get("finalMessageTruncated")),
        report_missing=bool(result.get("reportMissing")),
        files=_files(result),
        marks=marks.marks_of(events),
        marks_cut=not whole,
    )


async def _events(call: Call, job_id: str) -> tuple[list[Json], bool]:
    """A worker's events up to now, and whether these are all."""
    found: list[Json] = []
    cursor: Json = {}
    for _ in range(PAGES):
        page = await call("codex_events", {"jobId": job_id, **PAGE, **cursor})
        found += page["events"]
        if page["done"] or not page["events"]:
            return found, True
        cursor = {"cursor": page["nextCursor"]}
    return found, False


def _files(result: Json) -> list[TouchedFile]:
    """What it was seen to touch, and after it what it only reported."""
    files = [msgspec.convert(file, TouchedFile) for file in result.get("touchedFiles") or []]
    known = {file.path for file in files}
    reported = [path for path in dict.fromkeys(result.get("modifiedFiles") or []) if path not in known]
    return files + [TouchedFile(path=path, change="modified", attribution="reported") for path in reported]


def _witnessed(worker: Worker, found: Json | None) -> Worker:
    """The worker with what the conflicts know better: that it was seen to write a file which it only reported."""
    files = {file.path: file for file in worker.files}
    for conflict in (found or {}).get("conflicts") or []:
        path = conflict["path"]
        for job in conflict["jobs"]:
            known = files.get(path)
            if job["jobId"] == worker.job_id and (known is None or known.attribution == "reported"):
                change = known.change if known is not None else "modified"
                files[path] = TouchedFile(path=path, change=change, attribution=job["attribution"])
    return msgspec.structs.replace(worker, files=list(files.values()))


# -- conflicts and repairs ------------------------------------------------------------------------------------------


async def _conflicts_of(call: Call, run_id: str) -> Json | None:
    """What `codex_conflicts` says; None where it cannot say."""
    try:
        return await call("codex_conflicts", {"runId": run_id})
    except SidecarError as exc:
        if exc.kind in ("invalid-arguments", "state-unavailable", "internal", "busy"):
            return None
        raise


def _conflicts(found: Json | None, workers: Sequence[Worker]) -> list[Conflict]:
    """The open ones as the sidecar tells them, then files that several workers name and that are not among them."""
    listed = [_conflict(item) for item in (found or {}).get("conflicts") or []]
    known = {conflict.path for conflict in listed}
    state: ConflictState = "unchecked" if found is None else "settled"
    return listed + [conflict for conflict in shared.conflicts(workers, state) if conflict.path not in known]


def _conflict(item: Json) -> Conflict:
    try:
        conflict = msgspec.convert(item, FoundConflict)
    except msgspec.ValidationError:
        # A newer sidecar may know kinds and roles that this program does not.
        path, kind = str(item.get("path", "")), str(item.get("kind", "conflict"))
        return Conflict(path=path, kind=kind, severity=str(item.get("severity", "warning")), sentence="", state="open")
    parts = [
        ConflictWorker(
            job_id=job.job_id,
            label=job.label,
            title=job.title,
            what=_part(messages.related(job), messages.who(job), job.attribution),
        )
        for job in conflict.jobs
    ]
    return Conflict(
        path=conflict.path,
        kind=conflict.kind,
        severity=conflict.severity,
        sentence=messages.diagnostic(conflict),
        state="open",
        workers=parts,
        suggestion="wait for its workers" if conflict.live else messages.STRATEGIES[conflict.suggested],
        command="" if conflict.live else _resolve_command(conflict),
    )


def _resolve_command(conflict: FoundConflict) -> str:
    plain = conflict.path.isprintable() and not conflict.path.startswith(("-", "conflict-"))
    named = shlex.quote(conflict.path) if plain else conflict.conflict_id
    kept = f" {conflict.jobs[0].label}" if conflict.suggested == "keep" and conflict.jobs else ""
    return f"codex-sidecar resolve {named} {conflict.suggested}{kept}"


def _part(sentence: str, who: str, attribution: str) -> str:
    """`changed lines 3-5 (seen)`: the sentence without the worker, whose name stands before it."""
    return f"{sentence.removeprefix(who).strip()} ({attribution})"


async def _repairs(call: Call, since: float | None, workers: Sequence[Worker]) -> list[Repair] | None:
    """The snapshots that were taken since the run began, oldest first; None where the sidecar cannot say."""
    try:
        answer = await call("codex_snapshots", {})
    except SidecarError as exc:
        if exc.kind in ("invalid-arguments", "state-unavailable", "internal", "busy"):
            return None
        raise
    begins = [begin for worker in workers if (begin := worker.begin()) is not None]
    # A snapshot that belongs to the baseline is taken right before it is recorded.
    start = min([*begins, *([since] if since is not None else [])], default=0.0) - 60
    repairs = []
    for item in answer["snapshots"]:
        created = parse_time(item["createdAt"])
        if created is None or created < start:
            continue
        repairs.append(
            Repair(
                snapshot_id=item["snapshotId"],
                created_at=created,
                reason=item["reason"],
                files=item["files"],
                ref=item["ref"],
                command=f"codex-sidecar restore {item['snapshotId']}",
            )
        )
    return sorted(repairs, key=lambda repair: repair.created_at)


def _notices(found: Json | None, workers: Sequence[Worker]) -> list[str]:
    by_id = {worker.job_id: worker for worker in workers}
    notices = []
    if moved := (found or {}).get("headMoved"):
        notices.append(messages.head_moved(moved.get("from"), moved.get("to")))
    for commit in (found or {}).get("workerCommits") or []:
        worker = by_id.get(commit["jobId"])
        notices.append(messages.worker_commit(worker or messages.Named("a worker", ""), commit["commit"]))
    for worker in workers:
        written = sum(file.attribution != "reported" for file in worker.files)
        if worker.status in ("failed", "cancelled", "interrupted") and worker.may_write and written:
            left = messages.left_changes(worker, worker.status, written)  # type: ignore[arg-type]
            notices.append(one_line(left, 200))
    if found is not None:
        missing = [by_id[job_id] for job_id in found.get("missingReports") or [] if job_id in by_id]
        notices += [messages.missing_report(worker) for worker in missing]
    return notices
