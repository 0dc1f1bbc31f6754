"""The rows of the tree: groups, conflicts, workers and their files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from sidecar.a2 import messages
from sidecar.lsp.view import texts
from sidecar.lsp.view.shapes import Facts, File, Job, Row, Target, needs_person
from sidecar.model.conflict import Conflict, ConflictJob

OPEN_MAX = 5
"""A group of more ended workers, or of more notes, is folded up."""
FORCE_SECONDS = 3.0
"""How long after a cancel Force Stop is offered."""
FILES_SHOWN = 500
"""Most rows below one worker."""
WARNING = "editorWarning.foreground"

Kept = dict[str, tuple[tuple[object, ...], Row]]
"""What each worker's row was made from, and the row: most workers are the same from one drawing to the next."""

_ICONS = {
    "queued": ("clock", None),
    "starting": ("loading~spin", None),
    "running": ("loading~spin", None),
    "stopping": ("loading~spin", None),
    "failed": ("error", "testing.iconFailed"),
    "cancelled": ("circle-slash", None),
    "interrupted": ("debug-disconnect", None),
}
_FIRST_ROW = {
    "attention": "Needs attention",
    "running": "Running",
    "queued": "Queued",
    "notes": "Notes",
    "done": "Done",
}
_CHANGES = {"modified": "", "mode": "mode changed"}


def tree(facts: Facts, kept: Kept | None = None) -> tuple[list[str], list[Row]]:
    """The ids of the topmost rows in order, and every row but those of files; `kept` from the last time spares work."""
    kept = {} if kept is None else kept
    jobs = facts.shown
    for job_id in kept.keys() - {job.job_id for job in jobs}:
        del kept[job_id]
    rest = [job for job in jobs if not job.needs_person]
    ended = [job for job in rest if not job.active]
    ended.sort(key=lambda job: job.finished_at or "", reverse=True)
    conflicts = [one for one in facts.conflicts if needs_person(one)]
    noted = [one for one in facts.conflicts if not needs_person(one)]
    urgent = [job for job in jobs if job.needs_person]
    others = _in_conflict(facts.conflicts)

    def workers(members: Iterable[Job]) -> list[Row]:
        return _workers(members, facts, kept, others)

    groups: list[tuple[str, list[Row]]] = [
        ("attention", [*_moved(facts), *map(_conflict, conflicts), *workers(urgent)]),
        ("running", workers([job for job in rest if job.active and job.status != "queued"])),
        ("queued", workers([job for job in rest if job.status == "queued"])),
        ("notes", [_conflict(one) for one in noted]),
        ("done", workers(ended)),
    ]
    roots: list[str] = []
    rows: list[Row] = []
    for name, members in groups:
        if members:
            group = _group(name, members)
            roots.append(group.id)
            rows += [group, *members]
    rows += [_version(one, job) for one in facts.conflicts for job in one.jobs]
    return roots, rows


def _group(name: str, members: Sequence[Row]) -> Row:
    label = f"{_FIRST_ROW[name]} ({len(members)})"
    return Row(
        id=f"group:{name}",
        label=label,
        description="",
        target=Target(),
        context=f"group.{name}",
        aria=label,
        children=[row.id for row in members],
        collapsed=name in ("notes", "done") and len(members) > OPEN_MAX,
    )


# What concerns the whole run ---------------------------------------------------------------------


def _moved(facts: Facts) -> list[Row]:
    rows: list[Row] = []
    if facts.head is not None:
        rows.append(_notice("notice:head", messages.head_moved(*facts.head), "notice.head", "git-branch", WARNING))
    workers = {job.job_id: job for job in facts.jobs}
    for job_id, commit in facts.commits:
        worker = workers.get(job_id)
        text = messages.worker_commit(worker or messages.Named("A worker", ""), commit)
        target = Target(job_id=job_id if worker else None, commit=commit)
        name = f"notice:commit:{job_id}:{commit}"
        context = "notice.commit.worker" if worker else "notice.commit"
        rows.append(_notice(name, text, context, "error", "testing.iconFailed", target, "showCommit"))
    return rows


def _notice(
    name: str,
    text: str,
    context: str,
    icon: str,
    color: str,
    target: Target = Target(),  # noqa: B008 - it is frozen.
    command: str | None = None,
) -> Row:
    """A row for a whole text: what happened is the label, what follows from it stands behind."""
    mark = "; " if context.startswith("notice.commit") else ". "
    label, _, more = text.partition(mark)
    return Row(
        id=name,
        label=label,
        description=more,
        context=context,
        aria=text,
        icon=icon,
        color=color,
        tooltip=texts.plain(text),
        target=target,
        command=command,
    )


# Conflicts ---------------------------------------------------------------------------------------


def _conflict(found: Conflict) -> Row:
    text, path = texts.conflict(found), texts.foreign(found.path)
    several = sum(job.attribution == "seen" for job in found.jobs) > 1
    return Row(
        id=f"conflict:{found.conflict_id}",
        label=path,
        description=text,
        icon="git-merge" if needs_person(found) else "info",
        color=WARNING if needs_person(found) else None,
        context=f"conflict.{found.kind}{'.versions' if several else ''}",
        aria=texts.spoken(path, "conflict", text),
        tooltip=texts.plain(messages.diagnostic(found)),
        target=Target(conflict_id=found.conflict_id, path=found.path),
        command="openConflict",
        children=[_version_id(found, job) for job in found.jobs],
        collapsed=True,
    )


def _version_id(found: Conflict, job: ConflictJob) -> str:
    return f"conflict:{found.conflict_id}:{job.job_id}"


def _version(found: Conflict, job: ConflictJob) -> Row:
    return Row(
        id=_version_id(found, job),
        label=texts.name(job),
        description=texts.part(job),
        icon="git-commit",
        context=f"conflict.version{'.stored' if job.attribution == 'seen' else ''}",
        aria=texts.spoken(job.label, texts.foreign(job.title), job.role, texts.part(job)),
        target=Target(job_id=job.job_id, conflict_id=found.conflict_id, path=found.path),
        command="openConflict",
    )


# Workers -----------------------------------------------------------------------------------------


def _workers(jobs: Iterable[Job], facts: Facts, kept: Kept, others: dict[str, list[ConflictJob]]) -> list[Row]:
    rows: list[Row] = []
    for job in jobs:
        shared = [(path, found) for path in others if (found := _others(job, path, others))]
        offered = job.status == "stopping" and force_in(job, facts.now) is None
        seen, missing, task = job.job_id in facts.seen, job.job_id in facts.missing, facts.tasks.get(job.job_id)
        time = texts.time_of(job, facts.now, still=facts.still)
        made_from = (job, shared, offered, seen, missing, task, time)
        before = kept.get(job.job_id)
        if before is None or before[0] != made_from:
            row = _worker(job, shared, task, facts.top, time, offered=offered, seen=seen, missing=missing)
            before = kept[job.job_id] = made_from, row
        rows.append(before[1])
    return rows


def force_in(job: Job, now: float) -> float | None:
    """In how many seconds Force Stop is offered for a worker; None where time changes nothing about that."""
    at = texts.moment(job.stop_requested_at) if job.status == "stopping" else None
    left = at.timestamp() + FORCE_SECONDS - now if at else 0.0
    return left if left > 0 else None


def _worker(
    job: Job, shared: object, task: str | None, top: str, time: str, *, offered: bool, seen: bool, missing: bool
) -> Row:
    told, word = texts.doing(job, missing=missing, time=time), texts.state_word(job)
    icon, color = _ICONS.get(job.status, ("pass" if seen else "pass-filled", None))
    if job.quiet:
        icon, color = "watch", WARNING
    files = job.touched_files
    return Row(
        id=f"job:{job.job_id}",
        label=texts.name(job) or job.job_id,
        description=told.shown,
        icon=icon,
        color=color,
        context=f"worker.{job.status}.{job.access}{'.files' if files else ''}{'.force' if offered else ''}",
        aria=texts.spoken(job.label, texts.foreign(job.title), word, told.said),
        tooltip=texts.worker_tooltip(job, task, top, missing=missing),
        target=Target(job_id=job.job_id),
        command="openTranscript",
        lazy=bool(files),
        collapsed=bool(files),
        files=_version_of(job, shared) if files else None,
    )


def _in_conflict(conflicts: Iterable[Conflict]) -> dict[str, list[ConflictJob]]:
    return {one.path: one.jobs for one in conflicts}


def _version_of(job: Job, shared: object) -> str:
    told = "\n".join([file.path + file.change + file.attribution for file in job.touched_files])
    return f"{zlib.crc32((told + repr(shared)).encode('utf-8', 'surrogatepass')):08x}"


def _others(job: Job, path: str, others: dict[str, list[ConflictJob]]) -> list[str]:
    jobs = others.get(path, [])
    if all(one.job_id != job.job_id for one in jobs):
        return []
    return [one.label for one in jobs if one.job_id != job.job_id]


def files(job: Job, conflicts: Iterable[Conflict]) -> list[Row]:
    """The rows below a worker: the files that it touched, and who else changed them."""
    others = _in_conflict(conflicts)
    shown = {file.path: file for file in job.touched_files}.values()
    rows = [_file(job, file, _others(job, file.path, others)) for file in list(shown)[:FILES_SHOWN]]
    if (left := len(shown) - len(rows)) > 0:
        text = f"{messages.count(left, 'more file')}"
        rows.append(
            Row(
                id=f"more:{job.job_id}",
                label=text,
                description="",
                context="worker.more",
                aria=texts.spoken(text, f"changed by {job.label}"),
                target=Target(job_id=job.job_id),
                command="openChanges",
            )
        )
    return rows


def _file(job: Job, file: File, others: Sequence[str]) -> Row:
    also = f"also changed by {messages.listed(others)}" if others else ""
    attribution = "" if file.attribution == "seen" else file.attribution
    description = texts.spoken(_CHANGES.get(file.change, file.change), attribution, also)
    return Row(
        id=f"file:{job.job_id}:{file.path}",
        label=texts.foreign(file.path),
        description=description,
        context="worker.file",
        aria=texts.spoken(texts.foreign(file.path), f"{file.change} by {job.label}", attribution, also),
        path=file.path,
        target=Target(job_id=job.job_id, path=file.path),
        command="openFileChange",
    )
