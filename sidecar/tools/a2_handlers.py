"""The A2 tools: from checked input to output. The work is done by `sidecar.a2.service`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from sidecar.jobs import budgets
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
from sidecar.model.errors import SidecarError
from sidecar.model.inputs import untyped
from sidecar.tools.caller import Caller

if TYPE_CHECKING:
    from sidecar.a2.service import A2


def _a2(caller: Caller) -> A2:
    assert caller.core is not None, "tools.table.call answers before a handler runs"
    return caller.core.a2


async def baseline(caller: Caller, asked: BaselineInput) -> BaselineOutput:
    a2 = _a2(caller)
    answer = await a2.baseline(untyped(asked.on_dirty), begin=asked.begin)
    wanted = {"max_tokens": asked.max_tokens, "max_jobs": asked.max_jobs, "max_minutes": asked.max_minutes}
    given = {name: value for name, value in wanted.items() if value is not UNSET}
    run = a2.runs.open
    if given and (run is None or run.run_id != answer.run_id):
        raise SidecarError("busy", "The run was closed at this very moment.", "Call codex_baseline again.")
    if given and run is not None:
        await budgets.limit(a2.manager, run, given)
    return answer


async def conflicts(caller: Caller, asked: ConflictsInput) -> ConflictsOutput:
    return await _a2(caller).report(untyped(asked.run_id))


async def resolve(caller: Caller, asked: ResolveInput) -> PreviewOutput | ResolvedOutput:
    return await _a2(caller).resolver.resolve(
        asked.conflict_id, asked.strategy, untyped(asked.job_id), untyped(asked.token), caller.client
    )


async def rollback(caller: Caller, asked: RollbackInput) -> PreviewOutput | ActedOutput:
    return await _a2(caller).plans.rollback(untyped(asked.paths), untyped(asked.job_ids), untyped(asked.token))


async def rerun(caller: Caller, asked: RerunInput) -> PreviewOutput | RerunOutput:
    return await _a2(caller).plans.rerun(untyped(asked.job_ids), asked.order, untyped(asked.token), caller.client)


async def snapshots(caller: Caller, asked: SnapshotsInput) -> SnapshotsOutput:
    return await _a2(caller).snapshots()


async def restore(caller: Caller, asked: RestoreInput) -> PreviewOutput | ActedOutput:
    return await _a2(caller).plans.restore(asked.snapshot_id, untyped(asked.token))


async def merge_inputs(caller: Caller, asked: MergeInputsInput) -> MergeInputsOutput:
    return await _a2(caller).resolver.merge_inputs(asked.conflict_id, untyped(asked.job_ids))


async def apply_merge(caller: Caller, asked: ApplyMergeInput) -> AppliedMergeOutput:
    return await _a2(caller).resolver.apply_merge(asked.conflict_id, asked.text, asked.expected_hash)
