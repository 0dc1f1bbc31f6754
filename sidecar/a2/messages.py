"""What people read about conflicts and their repair: every text once, for the editor, the terminal and dialogs.

Texts are whole sentences in English. Titles come from workers' prompts and paths from the repository, so both are
made to fit one line first. Times come in as the reader is to see them (`14:02`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sidecar.model.conflict import Conflict, ConflictJob, LineRange, Role, Strategy, united
from sidecar.model.job import Attribution, JobStatus

SHOWN_RANGES = 3
SHOWN_FILES = 5
SHOWN_JOBS = 5


class Worker(Protocol):
    """What texts need of a worker: a job, a conflict's job, or `Named`."""

    @property
    def label(self) -> str: ...

    @property
    def title(self) -> str: ...


@dataclass(frozen=True)
class Named:
    """A worker of which only the names are at hand."""

    label: str
    title: str


# Words -------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """The text without line breaks, runs of blanks and control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def who(worker: Worker) -> str:
    """`w1 "add retries"`."""
    title = one_line(worker.title)
    return f'{worker.label} "{title}"' if title else worker.label


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def cut(items: Sequence[str], most: int, rest: str) -> list[str]:
    """The items, or the first of them and `3 more files` where there are too many; `rest` is the word for one."""
    if len(items) <= most + 1:
        return list(items)
    return [*items[:most], f"{len(items) - most} more {rest}s"]


def count(number: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _spans(ranges: Sequence[LineRange]) -> str:
    shown = [str(r.start) if r.start == r.end else f"{r.start}-{r.end}" for r in ranges]
    return listed(cut(shown, SHOWN_RANGES, "place"))


def _single(ranges: Sequence[LineRange]) -> bool:
    return len(ranges) == 1 and ranges[0].start == ranges[0].end


def lines(ranges: Sequence[LineRange]) -> str:
    """`line 4`, `lines 3-5`, `lines 3-5 and 9`; empty without any."""
    if not ranges:
        return ""
    return f"{'line' if _single(ranges) else 'lines'} {_spans(ranges)}"


# Diagnostics -------------------------------------------------------------------------------------


def diagnostic(conflict: Conflict) -> str:
    """What stands in the list of problems; while a worker of it runs, what happened is told `so far`."""
    claim, more = _DIAGNOSTICS[conflict.kind](conflict)
    for certain, verb in ((True, "changed"), (False, "may have changed")):
        others = [job for job in conflict.jobs if job.role == "elsewhere" and (job.attribution == "seen") is certain]
        if others:
            more += f" {_all(others)} {verb} this file too."
    return f"{claim}{' so far' if conflict.live else ''}.{more}"


def _all(jobs: Sequence[ConflictJob]) -> str:
    return listed([who(job) for job in jobs])


def _role(conflict: Conflict, role: Role) -> list[ConflictJob]:
    return [job for job in conflict.jobs if job.role == role]


def _ranges(jobs: Sequence[ConflictJob]) -> list[LineRange]:
    return united(found for job in jobs for found in job.ranges)


# Each of these gives the sentence without its end, and further sentences, each with a blank before it.


def _lost_update(conflict: Conflict) -> tuple[str, str]:
    losers, takers = _role(conflict, "lost"), _role(conflict, "overwrote")
    where = lines(_ranges(losers))
    place = f" ({where})" if where else ""
    stored = [f"{job.label}'s" for job in losers if job.attribution == "seen"]
    kept = f" {listed(stored)} {'version is' if len(stored) == 1 else 'versions are'} stored." if stored else ""
    if not takers:
        return f"{_all(losers)} overwrote each other's lines{place}", kept
    return f"{_all(takers)} overwrote lines that {_all(losers)} had changed{place}", kept


def _edit_and_delete(conflict: Conflict) -> tuple[str, str]:
    return f"{_all(_role(conflict, 'deleted'))} deleted this file; {_all(_role(conflict, 'changed'))} changed it", ""


def _overlapping_edit(conflict: Conflict) -> tuple[str, str]:
    jobs = conflict.decisive
    ranges = _ranges(jobs)
    if not ranges:
        return f"{_all(jobs)} changed the same part of this file", ""
    return f"{_all(jobs)} changed the same {'line' if _single(ranges) else 'lines'} ({_spans(ranges)})", ""


def _user_edit(conflict: Conflict) -> tuple[str, str]:
    jobs = conflict.decisive
    where = lines(_ranges(jobs)) or "this file"
    both = "both " if len(jobs) == 1 else ""
    people = listed(["You", *(who(job) for job in jobs)])
    when = "" if conflict.live else f" while {'it was' if both else 'they were'} running"
    return f"{people} {both}changed {where}{when}", ""


def _same_file_edit(conflict: Conflict) -> tuple[str, str]:
    jobs = conflict.decisive
    return f"{_all(jobs)} changed {'different parts of ' if _ranges(jobs) else ''}this file", ""


def _reported_only(conflict: Conflict) -> tuple[str, str]:
    jobs = conflict.decisive
    names = listed([job.label for job in jobs])
    each = "both " if len(jobs) == 2 else "all "
    verb = "report a change to" if all(job.attribution == "reported" for job in jobs) else "seem to have changed"
    return f"{names} {each}{verb} this file, but no separate versions were stored", ""


_DIAGNOSTICS: Mapping[str, Callable[[Conflict], tuple[str, str]]] = {
    "lost-update": _lost_update,
    "edit-and-delete": _edit_and_delete,
    "overlapping-edit": _overlapping_edit,
    "user-edit": _user_edit,
    "same-file-edit": _same_file_edit,
    "reported-only": _reported_only,
}


def unsaved_edit(worker: Worker) -> str:
    """A worker wrote a file that has unsaved edits in the editor."""
    return f"{who(worker)} has changed this file on disk; your unsaved edits here are based on the version before."


def unclaimed() -> str:
    return "Changed since the baseline, but no worker reported it."


def missing_report(worker: Worker) -> str:
    return f"{worker.label} finished without a modifiedFiles list; its changes may be incomplete here."


def related(job: ConflictJob, at: str | None = None) -> str:
    """One worker's part, under the diagnostic: `w1 "add retries" changed lines 3-5 at 14:02`."""
    when = f" at {at}" if at else ""
    where = lines(job.ranges)
    if job.role == "deleted":
        return f"{who(job)} deleted this file{when}"
    if job.role == "overwrote":
        return f"{who(job)} overwrote {where or 'lines'}{when}"
    if job.attribution == "reported":
        return f"{who(job)} reports a change to this file"
    if job.attribution == "ambiguous":
        return f"{who(job)} may have changed {where or 'this file'}{when}"
    if job.role == "lost":
        return f"{who(job)} had changed {where or 'lines'}{when}"
    return f"{who(job)} changed {where or 'this file'}{when}"


# Code actions, lenses, hovers --------------------------------------------------------------------


def merge_action(workers: Sequence[Worker]) -> str:
    return f"Merge {listed([worker.label for worker in workers])}..."


def keep_action(worker: Worker) -> str:
    return f"Keep {who(worker)}"


def compare_action(one: Worker, other: Worker) -> str:
    return f"Compare {one.label} with {other.label}"


def reconcile_action(workers: Sequence[Worker]) -> str:
    return f"Let a worker reconcile {listed([worker.label for worker in workers])}..."


def rerun_action(path: str, workers: Sequence[Worker]) -> str:
    """`Roll back src/app.py and re-run w1, then w2...`"""
    return f"Roll back {one_line(path)} and re-run {', then '.join(worker.label for worker in workers)}..."


def dismiss_action() -> str:
    return "Mark as resolved"


def spawn_action() -> str:
    return "Spawn a worker for this selection..."


STRATEGIES: Mapping[Strategy, str] = {
    "merge": "merge the versions",
    "keep": "keep one worker's version",
    "reconcile": "let another worker reconcile them",
    "rerun": "roll back and re-run the workers one by one",
    "dismiss": "leave the file as it is",
}
"""The ways to resolve a conflict, as part of a sentence."""


def _lens(conflict: Conflict) -> str:
    """What happened, by labels only; the file, where it is named, is `this file`."""
    jobs = listed([job.label for job in conflict.decisive])
    losers = listed([job.label for job in _role(conflict, "lost")])
    takers = listed([job.label for job in _role(conflict, "overwrote")])
    match conflict.kind:
        case "lost-update":
            return f"{takers} overwrote lines of {losers}" if takers else f"{losers} overwrote each other's lines"
        case "edit-and-delete":
            deleted, changed = (listed([job.label for job in _role(conflict, role)]) for role in ("deleted", "changed"))
            return f"{deleted} deleted this file, {changed} changed it"
        case "overlapping-edit":
            return f"{jobs} changed the same lines"
        case "user-edit":
            return f"{listed(['You', *(job.label for job in conflict.decisive)])} changed this file"
        case "same-file-edit":
            return f"{jobs} changed {'different parts of ' if _ranges(conflict.decisive) else ''}this file"
        case "reported-only":
            return f"{jobs} may have changed this file"


def lens(conflict: Conflict, *, icons: bool = False) -> str:
    """The first lens above a file in conflict; `icons`: the client shows `$(warning)` as a sign."""
    # VS Code swallows a plain space behind the sign.
    return f"$(warning)\u00a0{_lens(conflict)}" if icons else _lens(conflict)


def lens_merge() -> str:
    return "Merge..."


def lens_keep(worker: Worker) -> str:
    return f"Keep {worker.label}"


def lens_compare() -> str:
    return "Compare"


def hover(worker: Worker, attribution: Attribution, at: str | None = None) -> str:
    """Who wrote a line: `w1 "add retries", 14:02 (seen)`."""
    when = f", {at}" if at else ""
    return f"{who(worker)}{when} ({attribution})"


# Notices -----------------------------------------------------------------------------------------


def conflict_notice(conflicts: Sequence[Conflict]) -> str:
    """One sentence for the conflicts (at least one) of a run, for a notification: what happened, and where."""
    if len(conflicts) == 1:
        text, path = _lens(conflicts[0]), one_line(conflicts[0].path)
        return f"{text.replace('this file', path)}." if "this file" in text else f"{text} in {path}."
    by_user = [conflict.kind == "user-edit" for conflict in conflicts]
    by = "you and a worker" if all(by_user) else "more than one worker"
    if any(by_user) and not all(by_user):
        by += " or by you and a worker"
    return f"{len(conflicts)} files were changed by {by}."


def left_changes(worker: Worker, status: JobStatus, files: int) -> str:
    """A worker that did not finish but had written: `w2 was cancelled and left 2 files changed.`"""
    how = {"cancelled": "was cancelled", "failed": "failed", "interrupted": "was interrupted"}.get(status, "ended")
    return f"{worker.label} {how} and left {count(files, 'file')} changed."


def still_running(workers: Sequence[Worker], path: str) -> str:
    """Why a repair of a file waits."""
    labels = [worker.label for worker in workers]
    verb = "is" if len(labels) == 1 else "are"
    return f"{listed(labels)} {verb} still running and may change {one_line(path)}."


def head_moved(before: str | None, after: str | None) -> str:
    """Ids of the commits, shown by their first seven digits; None on a branch without a commit."""
    start, end = (commit[:7] if commit else "an empty branch" for commit in (before, after))
    return f"HEAD moved from {start} to {end}. Roll back is limited to file contents."


def worker_commit(worker: Worker, commit: str) -> str:
    return f"{worker.label} created commit {commit[:7]}; workers must not commit."
