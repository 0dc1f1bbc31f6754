"""Rolling back, running again and restoring: chosen first, asked second, done third."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sidecar.a2 import dialogs
from sidecar.a2.messages import count, one_line
from sidecar.lsp.documents import snapshot_uri
from sidecar.lsp.flows import texts
from sidecar.lsp.flows.documents import FILES_MAX, show_paths
from sidecar.lsp.flows.flow import Flow, Job, has_files, is_active
from sidecar.lsp.flows.primitives import Button, Change, Item

ROLL_BACK = Button("rollBack", dialogs.SAVE_AND_ROLL_BACK)
RERUN = Button("rerun", dialogs.ROLL_BACK_AND_RERUN)
RESTORE = Button("restore", dialogs.SAVE_AND_RESTORE)
REMOVED = "is removed"
"""What a preview says of a file that the baseline does not have."""


async def roll_back(flow: Flow) -> None:
    """The files are chosen by check boxes: a worker's are ticked, those with a person's own edits are not."""
    preview = (await flow.tool("codex_rollback"))["preview"]
    mine = set(preview["userEdits"])
    writers = _writers(flow)
    items = [
        Item(
            one["path"],
            one_line(one["path"]),
            ", ".join(writers.get(one["path"], ())) or None,
            texts.WITH_OWN_EDITS if one["path"] in mine else one["action"],
            one["path"] not in mine,
        )
        for one in preview["files"]
    ]
    for path in preview["untouched"]:
        wrote = ", ".join(writers.get(path, ())) or None
        items.append(Item(path, one_line(path), wrote, None if wrote else texts.OWN_EDITS, False))
    chosen = await flow.ask.pick_many(texts.ROLL_BACK_WHICH, items)
    if not chosen:
        return
    everything = {one["path"] for one in preview["files"]}
    # Without paths it is all of them, however many they are.
    asked: dict[str, Any] = {} if set(chosen) == everything else {"paths": chosen}
    await _roll_back(flow, asked)


def _writers(flow: Flow) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in flow.jobs():
        for touched in job.get("touchedFiles") or ():
            found.setdefault(touched["path"], []).append(job["label"])
    return found


async def roll_back_worker(flow: Flow) -> None:
    job = await flow.job(has_files)
    if job is not None:
        await roll_back_workers(flow, [job["jobId"]])


async def roll_back_workers(flow: Flow, job_ids: Sequence[str]) -> None:
    """All files of these workers."""
    await _roll_back(flow, {"jobIds": list(job_ids)})


async def roll_back_paths(flow: Flow, paths: Sequence[str]) -> None:
    await _roll_back(flow, {"paths": list(paths)})


async def _roll_back(flow: Flow, asked: Mapping[str, Any]) -> None:
    done = await flow.two_steps("codex_rollback", asked, [ROLL_BACK, RERUN], review=reviewer(flow))
    if done is None:
        return
    chosen, answer = done
    if chosen == RERUN.id:
        await run_again(flow, [job["jobId"] for job in answer["jobs"]])
    else:
        await _tell_kept(flow, answer)


async def _tell_kept(flow: Flow, answer: Mapping[str, Any]) -> None:
    """Paths that could not be brought back, and why."""
    kept = answer.get("kept") or {}
    if kept:
        await flow.ask.toast("warning", texts.kept(kept))


def reviewer(flow: Flow) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """Opens the changes of the files that a preview names."""

    async def review(preview: Mapping[str, Any]) -> None:
        new = {one["path"] for one in preview["files"] if one["action"] == REMOVED}
        await show_paths(flow, [one["path"] for one in preview["files"]], new)

    return review


async def rerun_sequential(flow: Flow) -> None:
    """The workers of all conflicts, one after another."""
    await run_again(flow, None)


async def run_again(flow: Flow, job_ids: Sequence[str] | None) -> None:
    """Runs workers again one by one, in an order that the person accepts or chooses; None: those of all conflicts."""
    found = {one.job_id for conflict in flow.desk.findings.conflicts() for one in conflict.jobs}
    wanted = found if job_ids is None else set(job_ids)
    asked: dict[str, Any] = {} if job_ids is None else {"jobIds": list(job_ids)}
    workers = [job for job in flow.jobs() if job["jobId"] in wanted]
    # While one still runs there is nothing to put in order: the tool says so.
    if len(workers) > 1 and len(workers) == len(wanted) and not any(is_active(job) for job in workers):
        ordered = await _in_order(flow, workers)
        if ordered is None:
            return
        if ordered != workers:
            asked = {"jobIds": [job["jobId"] for job in ordered], "order": "given"}
    await flow.two_steps("codex_rerun", asked, [RERUN], review=reviewer(flow))


async def _in_order(flow: Flow, workers: Sequence[Job]) -> list[Job] | None:
    """The order in which workers run again: Enter accepts it, any other item moves a worker to the front."""
    ordered = list(workers)
    while True:
        first = Item(
            "ok",
            texts.in_turn([job["label"] for job in ordered]),
            None,
            ", ".join(one_line(job["title"]) for job in ordered),
        )
        items = [first]
        for job in ordered[1:]:
            moved = [job, *(one for one in ordered if one is not job)]
            items.append(
                Item(job["jobId"], texts.first(job["label"]), None, texts.in_turn([one["label"] for one in moved]))
            )
        chosen = await flow.ask.pick(texts.WHICH_ORDER, items)
        if chosen is None or chosen == "ok":
            return ordered if chosen else None
        ordered.sort(key=lambda job: job["jobId"] != chosen)
        if len(ordered) == 2:
            return ordered


async def restore_snapshot(flow: Flow) -> None:
    """One of the snapshots, newest first."""
    snapshot_id = flow.text_of("snapshotId")
    if snapshot_id is None:
        found = (await flow.tool("codex_snapshots"))["snapshots"]
        if not found:
            await flow.ask.toast("info", texts.NO_SNAPSHOT)
            return
        newest = sorted(found, key=lambda one: str(one["createdAt"]), reverse=True)
        snapshot_id = await flow.ask.pick(texts.WHICH_SNAPSHOT, [_snapshot(one) for one in newest])
    if snapshot_id is not None:
        chosen_id = snapshot_id

        async def review(preview: Mapping[str, Any]) -> None:
            files = [_restored(flow, one["path"], chosen_id) for one in preview["files"][:FILES_MAX]]
            await flow.ask.changes(texts.SNAPSHOT_CHANGES, files)

        done = await flow.two_steps("codex_restore", {"snapshotId": snapshot_id}, [RESTORE], review=review)
        if done is not None:
            await _tell_kept(flow, done[1])


def _restored(flow: Flow, path: str, snapshot_id: str) -> Change:
    """A file as it is now beside what the snapshot holds of it."""
    uri = flow.desk.paths.uri(path)
    return uri, uri, snapshot_uri(path, snapshot_id)


def _snapshot(one: Mapping[str, Any]) -> Item:
    at = datetime.fromisoformat(one["createdAt"].replace("Z", "+00:00"))
    return Item(
        one["snapshotId"],
        dialogs.clock(at.timestamp()),
        one["reason"],
        f"{count(one['files'], 'file')}, {one['snapshotId']}",
    )


async def codex_rollback(flow: Flow) -> None:
    """As a code action carries it: nothing is left to choose."""
    await _roll_back(flow, {name: flow.target[name] for name in ("paths", "jobIds") if name in flow.target})


async def codex_rerun(flow: Flow) -> None:
    await run_again(flow, flow.target.get("jobIds"))
