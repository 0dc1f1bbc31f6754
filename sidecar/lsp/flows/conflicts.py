"""Conflicts: opening, resolving, comparing, and the merge of two versions in the editor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from sidecar.a2 import messages
from sidecar.lsp.actions import SHOW, choices, title_of
from sidecar.lsp.asking import GO_ON
from sidecar.lsp.documents import draft_uri, merge_uri
from sidecar.lsp.findings import in_order, places, stored
from sidecar.lsp.flows import repair, texts
from sidecar.lsp.flows.flow import Flow, is_active, named
from sidecar.lsp.flows.primitives import Button, Item, MergeRequest, MergeSide
from sidecar.lsp.transcript import clock
from sidecar.model.conflict import Conflict, ConflictJob
from sidecar.model.errors import SidecarError, invalid

MERGED_MAX = 1_000_000
"""A longer text, in characters, is not merged in the editor."""


# Opening and choosing ----------------------------------------------------------------------------


async def open_conflict(flow: Flow) -> None:
    found = await flow.conflict()
    if found is not None:
        await show_conflict(flow, found)


async def show_conflict(flow: Flow, found: Conflict) -> None:
    """The file at the first line in conflict; for one that is gone, what a worker had written."""
    if await flow.desk.exists(found.path):
        lines = places(found)
        row = await flow.desk.row(found.path, lines[0] if lines else None)
        await flow.ask.open(flow.desk.paths.uri(found.path), line=row)
        return
    kept = [job for job in stored(found) if job.role != "deleted"]
    right = flow.version(found.path, kept[-1].label) if kept else None
    await flow.ask.diff(None if right is not None else flow.version(found.path), right, texts.gone(found.path))


async def resolve_conflict(flow: Flow) -> None:
    """The ways on, in the order and the words of the code actions."""
    found = await flow.conflict()
    if found is None:
        return
    ways = choices(found, flow.desk.ui)
    items = [Item(str(at), way.title) for at, way in enumerate(ways)]
    chosen = await flow.ask.pick(texts.resolve(found.path), items)
    if chosen is None:
        return
    way = ways[int(chosen)]
    asked = way.arguments
    if way.command == "codex_resolve":
        await resolve_by(flow, found, asked["strategy"], asked.get("jobId"))
    elif asked.get(SHOW) == "compare":
        await compare_versions(flow, found, asked["jobIds"])
    else:
        await merge_versions(flow, found, asked.get("jobIds"))


# Resolving ---------------------------------------------------------------------------------------


async def keep_version(flow: Flow) -> None:
    found = await flow.conflict(lambda one: bool(stored(one)))
    if found is None:
        return
    job_id = flow.text_of("jobId")
    if job_id is None:
        items = [Item(job.job_id, messages.keep_action(job)) for job in stored(found)]
        job_id = await flow.ask.pick(texts.keep_which(found.path), items)
    if job_id is not None:
        await resolve_by(flow, found, "keep", job_id)


async def dismiss(flow: Flow) -> None:
    found = await flow.conflict()
    if found is not None:
        await resolve_by(flow, found, "dismiss", None)


async def resolve_by(flow: Flow, found: Conflict, strategy: str, job_id: str | None) -> None:
    """Carries out a strategy after its question; *Mark as resolved* has none."""
    if strategy != "dismiss":
        settled = await _settled(flow, found)
        if settled is None:
            return
        found = settled
    asked = {"conflictId": found.conflict_id, "strategy": strategy}
    if job_id is not None:
        asked["jobId"] = job_id
    label = title_of(found, strategy, job_id) or GO_ON
    review = repair.reviewer(flow) if strategy == "rerun" else None
    await flow.two_steps("codex_resolve", asked, [Button("act", label)], review=review)


async def _settled(flow: Flow, found: Conflict) -> Conflict | None:
    """The conflict, once no worker that has a part in it runs any more; None where the person leaves it."""
    mine = {job.job_id for job in found.jobs}

    def touches(job: dict[str, Any]) -> bool:
        paths = {one["path"] for one in job.get("touchedFiles") or ()}
        return job["jobId"] in mine or (job.get("access") != "read" and found.path in paths)

    running = [job for job in flow.jobs() if is_active(job) and touches(job)]
    if not running:
        return found
    workers = [named(job) for job in running]
    labels = messages.listed([worker.label for worker in workers])
    buttons = [Button("wait", texts.wait_for(labels)), Button("cancel", texts.cancel(labels))]
    chosen = await flow.ask.modal(messages.still_running(workers, found.path), None, buttons)
    if chosen is None:
        return None
    job_ids = [job["jobId"] for job in running]
    if chosen == "cancel":
        for job_id in job_ids:
            await flow.tool("codex_cancel", jobId=job_id)
    await flow.ended(job_ids)
    now = flow.desk.findings.conflict(found.conflict_id)
    if now is None:
        await flow.ask.toast("info", texts.CONFLICT_OVER)
        return None
    if chosen == "wait":
        # That may have been long: nothing opens before the person says so.
        told = texts.can_resolve(labels, found.path)
        if await flow.ask.toast("info", told, [Button("goOn", texts.GO_ON)]) is None:
            return None
    return now


# Comparing and merging ---------------------------------------------------------------------------


async def compare(flow: Flow) -> None:
    found = await flow.conflict(lambda one: len(stored(one)) > 1)
    if found is not None:
        await compare_versions(flow, found, job_ids_of(flow))


def job_ids_of(flow: Flow) -> list[str] | None:
    """The target's `jobIds`.

    Raises:
        SidecarError: `invalid-arguments`.
    """
    found = flow.target.get("jobIds")
    if found is not None and not (isinstance(found, list) and all(isinstance(one, str) for one in found)):
        raise invalid("target.jobIds", "expected an array of strings")
    return found


async def compare_versions(flow: Flow, found: Conflict, job_ids: Sequence[str] | None) -> None:
    jobs = [job for job in stored(found) if job_ids is None or job.job_id in job_ids]
    if len(jobs) > 2:
        pair = await _pick_pair(flow, jobs, all_of_them=False)
        if pair is None:
            return
        jobs = [job for job in jobs if job.job_id in pair]
    sides = [None if job.role == "deleted" else flow.version(found.path, job.label) for job in jobs]
    if len(sides) == 1:
        sides.insert(0, flow.version(found.path))
    if not sides:
        await flow.ask.toast("info", texts.NO_VERSIONS)
        return
    await flow.ask.diff(sides[0], sides[1], texts.compared(found.path, [job.label for job in jobs]))


async def _pick_pair(flow: Flow, jobs: Sequence[ConflictJob], *, all_of_them: bool) -> list[str] | None:
    """Two of several workers; empty: all of them, two at a time."""
    pairs = list(combinations(jobs, 2))
    items = [Item(str(at), f"{one.label} · {other.label}") for at, (one, other) in enumerate(pairs)]
    if all_of_them:
        items.insert(0, Item("all", texts.all_in_turn([job.label for job in jobs])))
    chosen = await flow.ask.pick(texts.WHICH_VERSIONS, items)
    if chosen is None or chosen == "all":
        return None if chosen is None else []
    return [job.job_id for job in pairs[int(chosen)]]


async def merge(flow: Flow) -> None:
    found = await flow.conflict(lambda one: len(stored(one)) > 1)
    if found is not None:
        await merge_versions(flow, found, job_ids_of(flow))


async def merge_versions(flow: Flow, found: Conflict, job_ids: Sequence[str] | None, *, on: bool = False) -> None:
    """Opens the merge editor on two versions; what is no text is kept from one side.

    Args:
        on: goes on with a file that joins some versions already.
    """
    settled = await _settled(flow, found)
    if settled is None:
        return
    versions = stored(settled)
    if len(versions) < 2 or any(job.role == "deleted" for job in settled.jobs):
        await _keep_one(flow, settled)
        return
    if job_ids is None and len(versions) > 2 and not on:
        job_ids = await _pick_pair(flow, versions, all_of_them=True)
        if job_ids is None:
            return
    try:
        inputs = await flow.tool("codex_merge_inputs", conflictId=found.conflict_id, jobIds=list(job_ids or ()) or None)
    except SidecarError as exc:
        if exc.kind != "invalid-arguments" or exc.details.get("field") != "conflictId":
            raise
        await _keep_one(flow, settled)
        return
    if len(inputs["marked"]) > MERGED_MAX or any(one["text"] is None for one in inputs["versions"]):
        await _keep_one(flow, settled)
        return
    await _open_merge(flow, settled, inputs)


async def _open_merge(flow: Flow, found: Conflict, inputs: dict[str, Any]) -> None:
    path = inputs["path"]
    sides: list[MergeSide] = []
    for one in inputs["versions"]:
        uri = flow.version(path, one["label"])
        own = await flow.desk.findings.stored_version(path, one["label"])
        title, description = f"{one['label']} {messages.one_line(one['title'])}", f"worker {one['label']}"
        if one["joined"]:
            # The file joins this version with others already, and stands for all of them.
            title, description = texts.JOINED, texts.WITH_OTHERS
        if own is None or own.decode("utf-8", "replace") != one["text"]:
            uri = _draft(flow, path, f"{found.conflict_id}:{one['label']}", one["text"])
        detail = _finished(flow, one["jobId"])
        sides.append(MergeSide(uri=uri, title=title, description=description, detail=detail))
    base = flow.version(path)
    if inputs["base"] is None:
        base = _draft(flow, path, f"{found.conflict_id}:base", "")
    several = len(stored(found))
    begun = any(one["joined"] for one in inputs["versions"])
    await flow.ask.merge(
        MergeRequest(
            conflict_id=found.conflict_id,
            job_ids=[one["jobId"] for one in inputs["versions"]],
            path=path,
            base=base,
            inputs=sides,
            output=merge_uri(path, flow.desk.core.top),
            marked=inputs["marked"],
            expected_hash=inputs["diskHash"],
            title=texts.merge_number(several - 1, begun=begun) if several > 2 else None,
        )
    )


def _draft(flow: Flow, path: str, name: str, text: str) -> str:
    """The URI of a text that is stored nowhere else."""
    flow.desk.library.drafts[name] = text
    uri = draft_uri(path, name)
    flow.desk.refresh(uri)
    return uri


def _finished(flow: Flow, job_id: str) -> str:
    job = flow.known(job_id)
    at = job.get("finishedAt") if job is not None else None
    return texts.finished(clock(at)) if at else ""


async def _keep_one(flow: Flow, found: Conflict) -> None:
    """For what cannot be merged as text: one worker's version, or the baseline's."""
    keep = [Item(job.job_id, messages.keep_action(job)) for job in stored(found)]
    chosen = await flow.ask.pick(texts.not_text(found.path), [*keep, Item("base", texts.KEEP_BASELINE)])
    if chosen == "base":
        await repair.roll_back_paths(flow, [found.path])
    elif chosen is not None:
        await resolve_by(flow, found, "keep", chosen)


async def finish_merge(flow: Flow) -> None:
    """Writes what the merge editor made; where the file has moved meanwhile the person decides."""
    conflict_id, text, expected = (flow.text_of(name) for name in ("conflictId", "text", "expectedHash"))
    if conflict_id is None or text is None or expected is None:
        raise invalid("target", "expected conflictId, text and expectedHash")
    job_ids = job_ids_of(flow)
    while True:
        try:
            done = await flow.tool("codex_apply_merge", conflictId=conflict_id, text=text, expectedHash=expected)
            break
        except SidecarError as exc:
            if exc.kind != "stale-token":
                raise
        found = flow.desk.findings.conflict(conflict_id)
        if found is None:
            raise SidecarError("unknown-conflict", texts.CONFLICT_OVER)
        chosen = await _decide_moved(flow, found, text)
        if chosen == "again":
            await merge_versions(flow, found, job_ids)
            return
        inputs = await flow.tool("codex_merge_inputs", conflictId=conflict_id, jobIds=job_ids)
        if chosen is None:
            # The merge editor has closed, and with the message its text must not go, too.
            await _open_merge(flow, found, {**inputs, "marked": text, "diskHash": expected})
            return
        expected = inputs["diskHash"]
    left = flow.desk.findings.conflict(conflict_id)
    if left is not None and len(in_order(left)) > 2:
        told = texts.merged_in_part(done["path"])
        if await flow.ask.toast("info", told, [Button("next", texts.MERGE_NEXT)]) is not None:
            await merge_versions(flow, left, None, on=True)


async def _decide_moved(flow: Flow, found: Conflict, text: str) -> str | None:
    """What becomes of a merge whose file has moved: `again`, `overwrite`, or None where nothing is decided."""
    buttons = [
        Button("compare", texts.COMPARE),
        Button("again", texts.MERGE_AGAIN),
        Button("overwrite", texts.OVERWRITE),
    ]
    while True:
        chosen = await flow.ask.toast("warning", texts.moved(found.path), buttons)
        if chosen != "compare":
            return chosen
        uri = _draft(flow, found.path, found.conflict_id, text)
        await flow.ask.diff(flow.desk.paths.uri(found.path), uri, texts.disk_and_merge(found.path))


# What code actions and lenses carry --------------------------------------------------------------


async def codex_resolve(flow: Flow) -> None:
    found, strategy = await flow.conflict(), flow.text_of("strategy")
    if strategy is None:
        raise invalid("target.strategy", "missing")
    if found is not None:
        await resolve_by(flow, found, strategy, flow.text_of("jobId"))


async def codex_merge_inputs(flow: Flow) -> None:
    await (compare if flow.target.get(SHOW) == "compare" else merge)(flow)
