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
        description="The open run's baseline (HEAD and a tree of what was there); records one where none is open.",
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
            "Files that several workers, or a person and a worker, changed at the same time: kind, lines, whether they "
            "merge, and the suggested repair for codex_resolve. Look after every round of write jobs."
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
            "Repairs one conflict. Without token nothing changes: it answers a preview and the token to act with. "
            "Every act saves a snapshot first."
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
        description=(
            "Brings files that workers changed back to the baseline: all, these paths, or those of these jobs. Without "
            "token it answers a preview and a token. HEAD, index, branches and other files are never touched."
        ),
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
        description=(
            "Rolls back the files of the conflicting jobs (or of jobIds) and runs those jobs again one after another, "
            "each told what the ones before it changed. Without token it answers a preview and a token."
        ),
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
        description="What was saved before each repair; codex_restore brings one back.",
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
        description="Brings back what a snapshot holds, byte for byte. Without token it answers a preview and a token.",
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
