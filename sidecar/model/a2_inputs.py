"""What the A2 tools take."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from sidecar.model import limits
from sidecar.model.conflict import Strategy
from sidecar.model.inputs import JobId, ToolInput

RerunOrder = Literal["spawned", "given"]
"""Whether jobs run again in the order of their spawn, or in that of their ids in the call."""
Token = Annotated[
    str,
    Meta(min_length=1, max_length=128, description="From the preview of the same call; without it nothing is changed."),
]
Path = Annotated[str, Meta(min_length=1, max_length=4096, description="Relative to the repository's top level.")]
Paths = Annotated[list[Path], Meta(min_length=1, max_length=10_000, description="Only these files.")]
JobIds = Annotated[list[JobId], Meta(min_length=1, max_length=limits.LIST_ITEMS, description="Only these jobs.")]
ConflictId = Annotated[str, Meta(min_length=1, max_length=128, description="A conflictId from codex_conflicts.")]
SnapshotId = Annotated[str, Meta(min_length=1, max_length=128, description="A snapshotId from codex_snapshots.")]


class BaselineInput(ToolInput, frozen=True):
    on_dirty: (
        Annotated[
            Literal["refuse", "snapshot", "stash"],
            Meta(description="What to do with uncommitted changes when a baseline is recorded."),
        ]
        | UnsetType
    ) = UNSET
    begin: Annotated[bool, Meta(description="true: close the open run and record a new baseline.")] = False
    max_tokens: (
        Annotated[
            int,
            Meta(
                ge=1, le=limits.RUN_TOKENS_MAX, description="Limit of the run: no further spawn after so many tokens."
            ),
        ]
        | UnsetType
    ) = UNSET
    max_jobs: (
        Annotated[int, Meta(ge=1, le=limits.RUN_JOBS_MAX, description="Limit of the run: no more jobs than these.")]
        | UnsetType
    ) = UNSET
    max_minutes: (
        Annotated[int, Meta(ge=1, le=limits.RUN_MINUTES_MAX, description="Limit of the run: no spawn later than this.")]
        | UnsetType
    ) = UNSET


class ConflictsInput(ToolInput, frozen=True):
    run_id: Annotated[str, Meta(min_length=1, max_length=128, description="Default: the open run.")] | UnsetType = UNSET


class ResolveInput(ToolInput, frozen=True):
    conflict_id: ConflictId
    strategy: Annotated[
        Strategy,
        Meta(
            description="merge: three ways, where mergeable; keep: one worker's version (jobId); reconcile: a new "
            "worker gets both versions and tasks; rerun: roll back and run again one by one; dismiss: leave as it is."
        ),
    ]
    job_id: JobId | UnsetType = UNSET
    token: Token | UnsetType = UNSET


class RollbackInput(ToolInput, frozen=True):
    paths: Paths | UnsetType = UNSET
    job_ids: JobIds | UnsetType = UNSET
    token: Token | UnsetType = UNSET


class RerunInput(ToolInput, frozen=True):
    job_ids: JobIds | UnsetType = UNSET
    order: Annotated[RerunOrder, Meta(description="spawned: the first job first; given: as in jobIds.")] = "spawned"
    token: Token | UnsetType = UNSET


class SnapshotsInput(ToolInput, frozen=True):
    pass


class RestoreInput(ToolInput, frozen=True):
    snapshot_id: SnapshotId
    token: Token | UnsetType = UNSET


class MergeInputsInput(ToolInput, frozen=True):
    conflict_id: ConflictId
    job_ids: JobIds | UnsetType = UNSET


class ApplyMergeInput(ToolInput, frozen=True):
    conflict_id: ConflictId
    text: Annotated[str, Meta(description="The whole merged file.")]
    expected_hash: Annotated[
        str,
        Meta(min_length=1, max_length=128, description="diskHash of codex_merge_inputs; refused when the file moved."),
    ]
