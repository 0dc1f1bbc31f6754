"""Conflicts: files that several workers, or a person and a worker, changed in the same time.

The structs are what `codex_conflicts` answers and what the editor's diagnostics are made from; the rules that find
them stand in `sidecar.a2.detect`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from sidecar.model.job import Attribution, Fact

ConflictKind = Literal[
    "lost-update", "edit-and-delete", "overlapping-edit", "user-edit", "same-file-edit", "reported-only"
]
"""From worst to mildest; a file with several of them bears the worst."""
Severity = Literal["error", "warning", "information"]
Strategy = Literal["merge", "keep", "reconcile", "rerun", "dismiss"]
"""What `codex_resolve` can do."""
Role = Literal["changed", "lost", "overwrote", "deleted", "elsewhere"]
"""A worker's part in a conflict: `lost` had lines that `overwrote` dropped; `deleted` removed the file.

`elsewhere`: it is in conflict over the file, but not in what makes the conflict this bad.
"""

KINDS: tuple[ConflictKind, ...] = get_args(ConflictKind)

SEVERITIES: dict[ConflictKind, Severity] = {
    "lost-update": "error",
    "edit-and-delete": "warning",
    "overlapping-edit": "warning",
    "user-edit": "warning",
    "same-file-edit": "information",
    "reported-only": "information",
}
"""How loud each kind is once no worker of it runs any more."""

SUGGESTED: dict[ConflictKind, tuple[Strategy, Strategy]] = {
    "lost-update": ("merge", "reconcile"),
    "edit-and-delete": ("merge", "rerun"),
    "overlapping-edit": ("merge", "reconcile"),
    "user-edit": ("merge", "reconcile"),
    "same-file-edit": ("merge", "reconcile"),
    "reported-only": ("merge", "rerun"),
}
"""The repair to begin with: where the versions merge cleanly, and where they do not.

Without versions (`reported-only`), and where one wants the file and another does not, only doing it again in turn
helps.
"""


class LineRange(Fact, frozen=True):
    """Lines `start` to `end` of the newest content, counted from 1, both included."""

    start: int
    end: int


class ConflictJob(Fact, frozen=True):
    """A worker of a conflict, how it is known to have changed the file, and where.

    `ranges` is empty where no lines can be named: a file that is gone, a binary file, a change that was only reported.
    """

    job_id: str
    label: str
    title: str
    attribution: Attribution
    ranges: list[LineRange]
    role: Role = "changed"


class Conflict(Fact, frozen=True):
    """One file in conflict. `conflictId` stays the same for a path as long as the run lasts.

    `confirmed`: each of its workers has ended, or a version that it alone wrote is stored.
    `live`: one of them still runs, so the finding may grow or go away.
    """

    conflict_id: str
    path: str
    kind: ConflictKind
    severity: Severity
    confirmed: bool
    jobs: list[ConflictJob]
    mergeable: bool
    suggested: Strategy
    live: bool = False

    @property
    def decisive(self) -> list[ConflictJob]:
        """The workers whose edits give the conflict its kind."""
        return [job for job in self.jobs if job.role != "elsewhere"]


def united(ranges: Iterable[LineRange]) -> list[LineRange]:
    """Ranges in order, those that overlap or follow each other as one."""
    joined: list[LineRange] = []
    for found in sorted(ranges, key=lambda lines: (lines.start, lines.end)):
        if joined and found.start <= joined[-1].end + 1:
            joined[-1] = LineRange(joined[-1].start, max(joined[-1].end, found.end))
        else:
            joined.append(found)
    return joined


def severity(kind: ConflictKind, *, live: bool) -> Severity:
    """How loud a conflict is now: while a worker of it runs only a lost update is more than information."""
    return "information" if live and kind != "lost-update" else SEVERITIES[kind]


def suggested(kind: ConflictKind, *, mergeable: bool, user: bool = False, binary: bool = False) -> Strategy:
    """The repair to begin with.

    Nobody can reconcile two binary files line by line; a re-run would undo a person's own edits.
    """
    strategy = SUGGESTED[kind][0 if mergeable else 1]
    if strategy == "reconcile" and binary:
        strategy = "rerun"
    if strategy == "rerun" and user:
        strategy = "keep" if binary else "reconcile"
    return strategy


def worst(kinds: list[ConflictKind]) -> ConflictKind:
    """The worst of at least one kind."""
    return min(kinds, key=KINDS.index)
