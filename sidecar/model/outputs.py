"""What each tool answers. These structs are the output schema; `null` stands where a fact is not known (yet)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.model.event import Event
from sidecar.model.job import JobStatus, Sandbox, TouchedFile, Usage


class ToolOutput(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Base of all tool outputs. Times are ISO 8601 UTC."""


class ErrorOutput(ToolOutput, frozen=True):
    kind: str
    message: str
    hint: str
    details: dict[str, Any]


class SpawnOutput(ToolOutput, frozen=True):
    job_id: str
    label: str
    title: str
    status: JobStatus
    sandbox: Sandbox
    started_at: str | None
    queue_position: int | None


class GroupEntry(ToolOutput, frozen=True):
    """What became of one entry: the answer of codex_spawn, or `error` and nothing else."""

    job_id: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    status: JobStatus | UnsetType = UNSET
    sandbox: Sandbox | UnsetType = UNSET
    started_at: str | UnsetType | None = UNSET
    queue_position: int | UnsetType | None = UNSET
    error: ErrorOutput | UnsetType = UNSET


class SpawnGroupOutput(ToolOutput, frozen=True):
    results: list[GroupEntry]
    """In the order of the entries."""


class WaitAnyOutput(ToolOutput, frozen=True):
    completed_job_id: str | None
    label: str | None
    status: JobStatus | None
    timed_out: bool
    remaining_job_ids: list[str]
    missing_job_ids: list[str]


class EventsOutput(ToolOutput, frozen=True):
    job_id: str
    label: str
    events: list[Event]
    next_cursor: str
    done: bool


class ResultOutput(ToolOutput, frozen=True):
    job_id: str
    label: str
    title: str
    status: JobStatus
    exit_code: int | None
    final_message: str | None
    final_message_truncated: bool
    modified_files: list[str] | None
    report_missing: bool
    touched_files: list[TouchedFile]
    conflicts: list[str]
    usage: Usage | None
    started_at: str | None
    finished_at: str | None
    error: ErrorOutput | None


class FinalMessageOutput(ToolOutput, frozen=True):
    job_id: str
    label: str
    title: str
    status: JobStatus
    exit_code: int | None
    final_message: str | None
    final_message_truncated: bool
    error: ErrorOutput | None


class JobStatusOutput(ToolOutput, frozen=True):
    job_id: str
    label: str
    run_id: str | None
    """The run that a write job belongs to."""
    title: str
    status: JobStatus
    sandbox: Sandbox
    exit_code: int | None
    started_at: str | None
    finished_at: str | None
    last_activity_at: str | None
    activity: str | None
    stalled: bool
    queue_position: int | None
    usage: Usage | None
    error: ErrorOutput | None


class SlotOutput(ToolOutput, frozen=True):
    limit: int
    running: int
    queued: int


class LimitsOutput(ToolOutput, frozen=True):
    read: SlotOutput
    write: SlotOutput


class BudgetOutput(ToolOutput, frozen=True):
    max_tokens: int | None
    max_jobs: int | None
    max_minutes: int | None


class RunOutput(ToolOutput, frozen=True):
    run_id: str
    head: str | None
    recorded_at: str
    budget: BudgetOutput
    jobs: int | UnsetType = UNSET
    """How many jobs were spawned in it, readers too."""
    usage: Usage | UnsetType = UNSET
    """Tokens of all its jobs."""


class StatusOutput(ToolOutput, frozen=True):
    jobs: list[JobStatusOutput]
    """All unfinished jobs and the newest finished ones, in the order of their spawn."""
    omitted: int
    """How many older finished jobs are not in `jobs`."""
    limits: LimitsOutput
    run: RunOutput | None


class CancelOutput(ToolOutput, frozen=True):
    job_id: str
    label: str
    success: bool
    status: JobStatus


class CheckOutput(ToolOutput, frozen=True):
    name: str
    ok: bool
    required: bool
    message: str
    hint: str
    details: dict[str, Any]


class DoctorOutput(ToolOutput, frozen=True):
    ok: bool
    version: str
    checks: list[CheckOutput]
