"""What is known of a run, as the page shows it.

Times are seconds since 1970. Texts are as workers and people wrote them; `sidecar.report.html` makes them safe.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sidecar.model.job import FINAL_STATUSES, TouchedFile, Usage

MarkKind = Literal["command", "edit", "call", "error", "cancel"]
ConflictState = Literal["open", "settled", "unchecked"]
"""`settled`: several workers name the file, but it is not among the open conflicts; `unchecked`: nobody looked."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all facts."""


class Mark(Fact, frozen=True):
    """Something a worker did.

    `end` is None for what has no length or did not end; `ok` is False where it went wrong; `about`: nobody watched
    when it happened, so the time is only near.
    """

    kind: MarkKind
    start: float
    text: str
    end: float | None = None
    ok: bool = True
    about: bool = False


class Problem(Fact, frozen=True):
    """Why a worker did not end `done`."""

    kind: str
    message: str
    remedy: str = ""


class Worker(Fact, frozen=True):
    """One job. `spawned_at` is when it was asked for, `started_at` when it got its slot."""

    job_id: str
    label: str
    title: str
    status: str
    sandbox: str
    spawned_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    activity: str | None = None
    usage: Usage | None = None
    problem: Problem | None = None
    message: str | None = None
    message_cut: bool = False
    report_missing: bool = False
    files: list[TouchedFile] = []
    marks: list[Mark] = []
    marks_cut: bool = False
    """Its events were too many to be read to their end."""

    @property
    def may_write(self) -> bool:
        return self.sandbox != "read-only"

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    def begin(self) -> float | None:
        """When it came up: asked for or started, whichever is known."""
        return self.spawned_at if self.spawned_at is not None else self.started_at

    def seconds(self, now: float) -> float | None:
        """How long it ran, until `now` where it has not ended; None where it never started."""
        if self.started_at is None:
            return None
        end = self.finished_at if self.finished_at is not None else now
        return max(end - self.started_at, 0.0)


class ConflictWorker(Fact, frozen=True):
    """A worker's part in a conflict: `what` is one phrase, `job_id` may be of a worker that is not on the page."""

    job_id: str
    label: str
    title: str
    what: str = ""


class Conflict(Fact, frozen=True):
    """One file in conflict.

    `suggestion` says the repair to begin with, `command` what to type for it, `settled` what is known of its end.
    """

    path: str
    kind: str
    severity: str
    sentence: str
    state: ConflictState
    workers: list[ConflictWorker] = []
    suggestion: str = ""
    command: str = ""
    settled: str = ""


class Repair(Fact, frozen=True):
    """A snapshot: what was saved before an act that could undo work. `command` brings it back."""

    snapshot_id: str
    created_at: float
    reason: str
    files: int
    ref: str
    command: str


class Report(Fact, frozen=True):
    """Everything on the page. `conflicts_known`, `repairs_known`: the sidecar could tell."""

    repository: str
    made_at: float
    version: str
    run_id: str | None = None
    run_open: bool = False
    head: str | None = None
    recorded_at: float | None = None
    workers: list[Worker] = []
    omitted: int = 0
    """Older finished workers that the sidecar did not list."""
    conflicts: list[Conflict] = []
    conflicts_known: bool = True
    repairs: list[Repair] = []
    repairs_known: bool = True
    unclaimed: list[str] = []
    notices: list[str] = []
    """Sentences that a reader must not miss: HEAD moved, a worker committed, something could not be read."""

    def span(self) -> tuple[float, float] | None:
        """From the first worker's beginning to the last one's end (now, where one goes on); None without workers."""
        begins = [begin for worker in self.workers if (begin := worker.begin()) is not None]
        if not begins:
            return None
        ends = [self.made_at if worker.finished_at is None else worker.finished_at for worker in self.workers]
        return min(begins), max([*begins, *ends])
