"""Jobs and what is known about them."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any, Literal

import msgspec

JobStatus = Literal["queued", "starting", "running", "stopping", "done", "failed", "cancelled", "interrupted"]
FINAL_STATUSES = frozenset({"done", "failed", "cancelled", "interrupted"})
Sandbox = Literal["read-only", "workspace-write", "danger-full-access"]
Access = Literal["read", "write"]
Change = Literal["added", "modified", "deleted", "renamed", "mode"]
Attribution = Literal["seen", "ambiguous", "reported"]

TRANSITIONS: dict[str, frozenset[str]] = {
    "queued": frozenset({"starting", "cancelled", "failed"}),
    "starting": frozenset({"running", "stopping", "done", "failed", "cancelled", "interrupted"}),
    "running": frozenset({"stopping", "done", "failed", "cancelled", "interrupted"}),
    "stopping": frozenset({"done", "failed", "cancelled", "interrupted"}),
    "done": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "interrupted": frozenset(),
}
"""Which status may follow which. The four final ones are followed by nothing."""


def now() -> float:
    """Wall clock in seconds since 1970 (UTC). Only ever shown or stored; durations use the monotonic clock."""
    return time.time()


def iso(seconds: float | None) -> str | None:
    """A stored time as clients see it: ISO 8601, UTC, milliseconds, `Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Record(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Base of everything that is stored: fields that are unknown to an older version are ignored when read."""


class Fact(msgspec.Struct, rename="camel", frozen=True):
    """Base of what stands inside a record and never changes."""


class Usage(Fact, frozen=True):
    """Tokens of one job. Codex counts by conversation; a resumed job holds only its own share."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All that went in and came out; cached input is part of the input, reasoning part of the output."""
        return self.input_tokens + self.output_tokens

    def plus(self, other: Usage | None) -> Usage:
        """Both together."""
        if other is None:
            return self
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_output_tokens=self.reasoning_output_tokens + other.reasoning_output_tokens,
        )

    def minus(self, other: Usage | None) -> Usage:
        """This usage without what `other` had counted already, never below zero."""
        if other is None:
            return self
        return Usage(
            input_tokens=max(0, self.input_tokens - other.input_tokens),
            cached_input_tokens=max(0, self.cached_input_tokens - other.cached_input_tokens),
            output_tokens=max(0, self.output_tokens - other.output_tokens),
            reasoning_output_tokens=max(0, self.reasoning_output_tokens - other.reasoning_output_tokens),
        )


class TouchedFile(Fact, frozen=True):
    """One path that a job touched, relative to the repository's top level, `/`-separated."""

    path: str
    change: Change
    attribution: Attribution


class JobError(Fact, frozen=True):
    """Why a job did not end `done`; the same shape as every error of the product."""

    kind: str
    message: str
    hint: str = ""
    details: dict[str, Any] = {}


class CancelRequest(Fact, frozen=True):
    """A stop that was asked for, kept until it is carried out."""

    requested_at: float
    force: bool = False
    by: str | None = None
    """The job whose message interrupted this one."""


class Handle(Fact, frozen=True):
    """How a started attempt is found again, also by the next sidecar process.

    `executor` names who started it, `token` is whatever that executor needs; JSON-able and persisted.
    """

    executor: str
    job_id: str
    attempt: int
    host: str | None = None
    token: dict[str, Any] = {}


class Job(Record):
    """One job, whole, as the journal stores it. Times are seconds since 1970 (UTC)."""

    job_id: str
    number: int
    title: str
    sandbox: Sandbox
    status: JobStatus
    working_directory: str
    timeout_ms: int
    created_at: float
    frontend: str = "cli"
    run_id: str | None = None
    model: str | None = None
    reasoning_effort: str | None = None
    expected_files: list[str] = []
    depends_on: list[str] = []
    config: dict[str, Any] = {}
    follows: list[str] = []
    """Jobs that must have ended, however, before this one starts; it is told what they changed."""
    replaces: str | None = None
    """The job that this one runs again."""
    resumes: str | None = None
    """The job whose conversation this one goes on in; it must have ended, however, before this one starts."""
    resume_thread: str | None = None
    interrupts: bool = False
    """The job that it resumes was still running: that one is stopped, and this one takes its slot."""
    attempt: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    last_activity_at: float | None = None
    activity: str | None = None
    exit_code: int | None = None
    error: JobError | None = None
    thread_id: str | None = None
    thread_usage: Usage | None = None
    """What Codex counted for the whole conversation so far."""
    base_usage: Usage | None = None
    """What the conversation had used before this job went on with it."""
    usage: Usage | None = None
    modified_files: list[str] | None = None
    report_missing: bool = False
    touched_files: list[TouchedFile] = []
    cancel: CancelRequest | None = None
    handle: Handle | None = None
    head_at_start: str | None = None

    @property
    def label(self) -> str:
        """`w1`, `w2`, … for people; unique in a repository."""
        return f"w{self.number}"

    @property
    def access(self) -> Access:
        """`danger-full-access` counts as write."""
        return "read" if self.sandbox == "read-only" else "write"

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES


class WorkerCommit(Fact, frozen=True):
    """A commit that a worker made, which is forbidden."""

    job_id: str
    commit: str


class Budget(Fact, frozen=True):
    """Limits of one run; None: none. What runs when one is reached goes on, nothing more is spawned."""

    max_tokens: int | None = None
    max_jobs: int | None = None
    max_minutes: int | None = None


class Run(Record):
    """One round of the A2 protocol: the write jobs that share a baseline."""

    run_id: str
    head: str | None
    """Commit that HEAD named when the baseline was recorded; None on a branch without a commit."""
    recorded_at: float
    tree: str | None = None
    closed_at: float | None = None
    closed_because: str | None = None
    worker_heads: list[str] = []
    """Commits that HEAD named after a worker moved it; such a commit never closes the run."""
    worker_commits: list[WorkerCommit] = []
    files: int = 0
    """How many files of the baseline no commit held."""
    snapshot_id: str | None = None
    """What `stash` put aside."""
    budget: Budget | None = None
    first_job: int = 0
    """Number of the first job that counts to this run, whatever its access; 0 while there is none."""
    began: float | None = None
    """When the budget's minutes began."""
