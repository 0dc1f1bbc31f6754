"""The tools of the A2 protocol: baseline, conflicts, repair."""

from __future__ import annotations

from sidecar.model.a2_inputs import (
    ApplyMergeInput,
    BaselineInput,
    ConflictsInput,
    MergeInputsInput,
    RerunInput,
    ResolveInput,
    RestoreInput,
    RollbackInput,
    SnapshotsInput,
)
from sidecar.model.a2_outputs import (
    ActedOutput,
    AppliedMergeOutput,
    BaselineOutput,
    ConflictsOutput,
    MergeInputsOutput,
    PreviewOutput,
    RerunOutput,
    ResolvedOutput,
    SnapshotsOutput,
)
from sidecar.tools import a2_handlers
from sidecar.tools.tool import Tool

A2_TOOLS: tuple[Tool, ...] = (
    Tool(
        name="codex_baseline",
        title="Record or show the baseline",
        description=(
            "The open run's baseline; records one if none is. begin: a new run. maxTokens, maxJobs, "
            "maxMinutes: its limits."
        ),
        input=BaselineInput,
        outputs=(BaselineOutput,),
        handler=a2_handlers.baseline,
        read_only=False,
        idempotent=True,
        argument_optional=True,
        command="baseline",
    ),
    Tool(
        name="codex_conflicts",
        title="Show conflicts",
        description=(
            "After writing jobs: files that several (a person counts) changed at the same time; suggested repairs."
        ),
        input=ConflictsInput,
        outputs=(ConflictsOutput,),
        handler=a2_handlers.conflicts,
        read_only=True,
        idempotent=True,
        argument_optional=True,
        command="conflicts",
    ),
    Tool(
        name="codex_resolve",
        title="Resolve a conflict",
        description=(
            "Repairs a conflict: merge (if mergeable), keep (jobId's version), reconcile (new worker gets both), "
            "rerun, dismiss."
        ),
        input=ResolveInput,
        outputs=(PreviewOutput, ResolvedOutput),
        handler=a2_handlers.resolve,
        read_only=False,
        destructive=True,
        command="resolve",
    ),
    Tool(
        name="codex_rollback",
        title="Roll back to the baseline",
        description=("Brings only workers' files (all, paths, or those of jobIds) back to the baseline."),
        input=RollbackInput,
        outputs=(PreviewOutput, ActedOutput),
        handler=a2_handlers.rollback,
        read_only=False,
        destructive=True,
        argument_optional=True,
        command="rollback",
    ),
    Tool(
        name="codex_rerun",
        title="Roll back and run again one by one",
        description=("Rolls back conflicting jobs (or jobIds), then runs them one by one, each told what came before."),
        input=RerunInput,
        outputs=(PreviewOutput, RerunOutput),
        handler=a2_handlers.rerun,
        read_only=False,
        destructive=True,
        argument_optional=True,
        command="rerun",
    ),
    Tool(
        name="codex_snapshots",
        title="List snapshots",
        description="What was saved before each repair or undo.",
        input=SnapshotsInput,
        outputs=(SnapshotsOutput,),
        handler=a2_handlers.snapshots,
        read_only=True,
        idempotent=True,
        argument_optional=True,
        command="snapshots",
    ),
    Tool(
        name="codex_restore",
        title="Restore a snapshot",
        description="Brings a snapshot's files back.",
        input=RestoreInput,
        outputs=(PreviewOutput, ActedOutput),
        handler=a2_handlers.restore,
        read_only=False,
        destructive=True,
        command="restore",
    ),
    Tool(
        name="codex_merge_inputs",
        title="Read the inputs of a three-way merge",
        description="Base, the workers' versions and the merge with markers, for an editor.",
        input=MergeInputsInput,
        outputs=(MergeInputsOutput,),
        handler=a2_handlers.merge_inputs,
        read_only=True,
        idempotent=True,
        editor_only=True,
    ),
    Tool(
        name="codex_apply_merge",
        title="Apply a merge made in the editor",
        description="Writes the merged text; refused when the file has moved since its inputs were read.",
        input=ApplyMergeInput,
        outputs=(AppliedMergeOutput,),
        handler=a2_handlers.apply_merge,
        read_only=False,
        destructive=True,
        editor_only=True,
    ),
)
