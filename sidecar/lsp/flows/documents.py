"""Opening what workers did: transcripts, results, and differences from the baseline."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sidecar.a2.messages import one_line
from sidecar.lsp.documents import BASE, result_uri
from sidecar.lsp.flows import texts
from sidecar.lsp.flows.flow import Flow, Job, has_files, label_of, named
from sidecar.lsp.flows.primitives import Change, Item
from sidecar.lsp.transcript import name
from sidecar.model.errors import invalid

FILES_MAX = 200
"""More files than these are not opened at once; the person is asked which."""


async def open_transcript(flow: Flow) -> None:
    job = await flow.job()
    if job is not None:
        await show_transcript(flow, job)


async def show_transcript(flow: Flow, job: Job) -> None:
    flow.desk.memory.see(job["jobId"])
    await flow.ask.open(flow.transcript(job), end=True)


async def open_result(flow: Flow) -> None:
    job = await flow.job(lambda one: one["status"] not in ("queued", "starting"))
    if job is not None:
        await show_result(flow, job)


async def show_result(flow: Flow, job: Job) -> None:
    """The page as it is now, also where it was open before."""
    flow.desk.memory.see(job["jobId"])
    uri = result_uri(name(job["label"], job["title"]), job["jobId"])
    flow.desk.refresh(uri)
    await flow.ask.open(uri)


async def open_changes(flow: Flow) -> None:
    """What one worker changed: the baseline on the left, with that worker's edits alone on the right."""
    job = await flow.job(has_files)
    if job is not None:
        await show_changes(flow, job)


async def show_changes(flow: Flow, job: Job) -> None:
    files: list[Change] = []
    for touched in job["touchedFiles"]:
        path, change = touched["path"], touched["change"]
        now = flow.desk.paths.uri(path)
        own = now if touched["attribution"] == "reported" else flow.edits_of(path, job["label"])
        files.append((now, None if change == "added" else flow.version(path), None if change == "deleted" else own))
    await _show(flow, label_of(job), [one["path"] for one in job["touchedFiles"]], files)


async def open_all_changes(flow: Flow) -> None:
    """What all workers of the run changed: the baseline on the left, the file as it is now on the right."""
    run = flow.desk.library.run_id
    touched = [one for job in flow.jobs() if job.get("runId") == run for one in job.get("touchedFiles") or ()]
    added = {one["path"] for one in touched if one["change"] == "added"}
    # What one worker removed and another one made anew was there before.
    new = {path for path in added if await flow.desk.findings.stored_version(path, BASE) is None}
    await show_paths(flow, sorted({one["path"] for one in touched}), new)


async def show_paths(flow: Flow, paths: Sequence[str], new: Collection[str]) -> None:
    """These files since the baseline.

    Args:
        new: those that the baseline does not have.
    """
    await _show(flow, texts.SINCE_BASELINE, paths, [await _since_baseline(flow, path, path in new) for path in paths])


async def _since_baseline(flow: Flow, path: str, new: bool) -> Change:
    uri = flow.desk.paths.uri(path)
    return uri, None if new else flow.version(path), uri if await flow.desk.exists(path) else None


async def _show(flow: Flow, title: str, paths: Sequence[str], files: Sequence[Change]) -> None:
    if not files:
        await flow.ask.toast("info", texts.NO_CHANGES)
        return
    if len(files) > FILES_MAX:
        items = [Item(str(at), one_line(path)) for at, path in enumerate(paths)]
        chosen = await flow.ask.pick_many(texts.many_files(len(files)), items)
        if not chosen:
            return
        files = [files[int(at)] for at in chosen]
    await flow.ask.changes(title, files)


async def open_file_change(flow: Flow) -> None:
    """One file of one worker: the baseline, and beside it that worker's edits alone."""
    path = flow.text_of("path")
    if path is None:
        raise invalid("target.path", "missing")
    job = await flow.job(has_files)
    if job is None:
        return
    worker = named(job)
    touched = next((one for one in job["touchedFiles"] if one["path"] == path), None)
    if touched is None or touched["attribution"] == "reported":
        await _current(flow, path, texts.reported(worker, path))
        return
    added, deleted = touched["change"] == "added", touched["change"] == "deleted"
    if not deleted and await flow.desk.findings.stored_version(path, job["label"]) is None:
        await _current(flow, path, texts.not_stored(worker, path))
        return
    left = None if added else flow.version(path)
    right = None if deleted else flow.edits_of(path, job["label"])
    await flow.ask.diff(left, right, texts.file_change(path, label_of(job)))


async def _current(flow: Flow, path: str, why: str) -> None:
    """The file as it is, where no version of the worker's own can be shown; and why."""
    new = await flow.desk.findings.stored_version(path, BASE) is None
    _, before, after = await _since_baseline(flow, path, new)
    await flow.ask.diff(before, after, texts.file_change(path, texts.NOW))
    await flow.ask.toast("info", why)


async def open_file(flow: Flow) -> None:
    path = flow.text_of("path")
    if path is None:
        raise invalid("target.path", "missing")
    await flow.ask.open(flow.desk.paths.uri(path))
