"""Opening what workers did: transcripts, results, and differences from the baseline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from sidecar.a2.messages import one_line
from sidecar.lsp.documents import BASE, commit_uri, result_uri
from sidecar.lsp.flows import texts
from sidecar.lsp.flows.flow import Flow, Job, has_files, label_of, named
from sidecar.lsp.flows.primitives import Change, Item
from sidecar.lsp.transcript import name
from sidecar.model.errors import invalid

FILES_MAX = 200
"""More files than these are not opened at once; the person is asked which."""
_NEW = frozenset({"added", "renamed"})
"""Changes of paths that the baseline does not have."""


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
    touched = {one["path"]: one for one in job["touchedFiles"]}

    async def change_of(path: str) -> Change:
        now = flow.desk.paths.uri(path)
        own = now if touched[path]["attribution"] == "reported" else flow.edits_of(path, job["label"])
        before = await _before(flow, touched[path])
        return now, before, None if touched[path]["change"] == "deleted" else own

    await _show(flow, label_of(job), list(touched), change_of)


async def _before(flow: Flow, touched: Mapping[str, Any]) -> str | None:
    """The baseline's version of a file that a worker touched; None where the baseline has none.

    A worker removes also what was made after the baseline, by itself or by another one.
    """
    path = touched["path"]
    if touched["change"] in _NEW:
        return None
    if touched["change"] == "deleted" and await flow.desk.findings.stored_version(path, BASE) is None:
        return None
    return flow.version(path)


async def open_all_changes(flow: Flow) -> None:
    """What all workers of the run changed: the baseline on the left, the file as it is now on the right."""
    run = flow.desk.library.run_id
    touched = [one for job in flow.jobs() if job.get("runId") == run for one in job.get("touchedFiles") or ()]
    # What one worker removed and another one made anew was there before; what was made and removed again was not.
    doubtful = {one["path"] for one in touched if one["change"] in _NEW or one["change"] == "deleted"}

    async def change_of(path: str) -> Change:
        new = path in doubtful and await flow.desk.findings.stored_version(path, BASE) is None
        return await _since_baseline(flow, path, new)

    await _show(flow, texts.SINCE_BASELINE, sorted({one["path"] for one in touched}), change_of)


async def show_paths(flow: Flow, paths: Sequence[str], new: Collection[str]) -> None:
    """These files since the baseline.

    Args:
        new: those that the baseline does not have.
    """

    async def change_of(path: str) -> Change:
        return await _since_baseline(flow, path, path in new)

    await _show(flow, texts.SINCE_BASELINE, paths, change_of)


async def _since_baseline(flow: Flow, path: str, new: bool) -> Change:
    uri = flow.desk.paths.uri(path)
    return uri, None if new else flow.version(path), uri if await flow.desk.exists(path) else None


async def _show(flow: Flow, title: str, paths: Sequence[str], change_of: Callable[[str], Awaitable[Change]]) -> None:
    if len(paths) > FILES_MAX:
        items = [Item(str(at), one_line(path)) for at, path in enumerate(paths)]
        chosen = await flow.ask.pick_many(texts.many_files(len(paths)), items)
        if not chosen:
            return
        paths = [paths[int(at)] for at in chosen]
    # What was made and removed again is on neither side: an editor has nothing to show of it.
    files = [one for path in paths if any((one := await change_of(path))[1:])]
    if files:
        await flow.ask.changes(title, files)
    else:
        await flow.ask.toast("info", texts.NOTHING_LEFT if paths else texts.NO_CHANGES)


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
    deleted = touched["change"] == "deleted"
    if not deleted and await flow.desk.findings.stored_version(path, job["label"]) is None:
        await _current(flow, path, texts.not_stored(worker, path))
        return
    left = await _before(flow, touched)
    right = None if deleted else flow.edits_of(path, job["label"])
    await flow.ask.diff(left, right, texts.file_change(path, label_of(job)))
    if left is None and right is None:
        await flow.ask.toast("info", texts.not_before(worker, path))


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


async def show_commit(flow: Flow) -> None:
    """A commit that a worker made: its message and its changes."""
    commit = flow.text_of("commit")
    if commit is None:
        raise invalid("target.commit", "missing")
    await flow.ask.open(commit_uri(commit))
