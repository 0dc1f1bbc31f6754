"""Stopping, naming, copying and clearing workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sidecar.a2 import dialogs
from sidecar.a2.messages import Worker
from sidecar.jobs import renaming
from sidecar.lsp.flows import repair, spawning, texts
from sidecar.lsp.flows.documents import show_result
from sidecar.lsp.flows.flow import Flow, Job, is_active, named
from sidecar.lsp.flows.primitives import Button, Item
from sidecar.model import limits
from sidecar.model.errors import invalid


async def cancel(flow: Flow) -> None:
    """Stops a worker; one that has changed files only after a question."""
    job = await flow.job(is_active)
    if job is None:
        return
    files = len(job.get("touchedFiles") or ())
    roll_back = False
    if files:
        dialog = dialogs.cancel_with_changes(named(job), files)
        buttons = [Button("cancel", dialog.buttons[0]), Button("rollBack", dialog.buttons[1])]
        chosen = await flow.ask.modal(dialog.message, dialog.detail, buttons)
        if chosen is None:
            return
        roll_back = chosen == "rollBack"
    await flow.tool("codex_cancel", jobId=job["jobId"])
    if roll_back:
        await flow.ended([job["jobId"]])
        await repair.roll_back_workers(flow, [job["jobId"]])


async def force_cancel(flow: Flow) -> None:
    job = await flow.job(lambda one: one["status"] == "stopping")
    if job is not None:
        await flow.tool("codex_cancel", jobId=job["jobId"], force=True)


async def cancel_all(flow: Flow) -> None:
    """Stops every worker that runs or waits, each named before."""
    active = [job for job in flow.jobs() if is_active(job)]
    if not active:
        await flow.ask.toast("info", texts.NO_ACTIVE)
        return
    dialog = dialogs.cancel_all([(named(job), len(job.get("touchedFiles") or ())) for job in active])
    if await flow.ask.modal(dialog.message, dialog.detail, [Button("cancelAll", dialog.buttons[0])]) is not None:
        await asyncio.gather(*(flow.tool("codex_cancel", jobId=job["jobId"]) for job in active))


async def rerun(flow: Flow) -> None:
    """The task of a worker once more, as the person changes it, by a new worker of the same kind."""
    job = await flow.job(lambda one: one["status"] in ("failed", "cancelled", "interrupted"))
    if job is None:
        return
    manager = flow.desk.core.manager
    before = await manager.job(job["jobId"])
    task = await asyncio.to_thread(manager.store.prompt, before)
    asked = await _task_again(flow, before, task.strip())
    if not asked:
        return
    again = {
        "prompt": asked,
        "sandbox": before.sandbox,
        # A task that begins with other words is another task.
        "title": before.title if asked.split("\n", 1)[0] == task.strip().split("\n", 1)[0] else None,
        "model": before.model,
        "reasoningEffort": before.reasoning_effort,
        "workingDirectory": before.working_directory or None,
        "timeoutMs": before.timeout_ms,
        "expectedFiles": before.expected_files or None,
        "config": before.config or None,
    }
    await spawning.spawn_on(flow, again)


async def _task_again(flow: Flow, before: Worker, task: str) -> str | None:
    """The task as the person wants it now; None where it is not to be run, or not from here."""
    if "\n" not in task:
        asked = await flow.ask.input(texts.rerun(before), placeholder=texts.TASK, value=task)
        return asked.strip() if isinstance(asked, str) else None
    # An input has one line: it would make one of the task, too.
    items = [Item("same", f"$(debug-restart) {texts.SAME_TASK}"), Item("edit", f"$(edit) {texts.IN_EDITOR}")]
    chosen = await flow.ask.pick(texts.rerun(before), items)
    if chosen == "edit":
        await flow.ask.untitled("markdown", task)
    return task if chosen == "same" else None


async def resume(flow: Flow) -> None:
    """Goes on in a worker's conversation."""
    job = await flow.job(lambda one: not is_active(one))
    if job is None:
        return
    prompt = await flow.ask.input(texts.resume(named(job)), placeholder=texts.NEXT_TASK)
    if isinstance(prompt, str) and prompt.strip():
        await flow.tool("codex_resume", jobId=job["jobId"], prompt=prompt)


async def rename(flow: Flow) -> None:
    job = await flow.job()
    if job is None:
        return
    title = await flow.ask.input(texts.rename(named(job)), prompt=texts.RENAME_PROMPT, value=job["title"])
    if isinstance(title, str) and title.strip():
        name = " ".join(title.split())
        if len(name) > limits.TITLE_CHARS:
            raise invalid("title", f"longer than {limits.TITLE_CHARS} characters", "Choose a shorter name.")
        await renaming.rename(flow.desk.core.manager, job["jobId"], name)
        a2 = flow.desk.core.a2
        # Conflicts and previews name the worker, too.
        if (ended := a2.ended_jobs.get(job["jobId"])) is not None:
            ended.title = name
        await a2.refresh()


async def copy_prompt(flow: Flow) -> None:
    job = await flow.job()
    if job is not None:
        manager = flow.desk.core.manager
        found = await manager.job(job["jobId"])
        await flow.ask.clipboard(await asyncio.to_thread(manager.store.prompt, found))


async def copy_job_id(flow: Flow) -> None:
    job = await flow.job()
    if job is not None:
        await flow.ask.clipboard(job["jobId"])


async def clear_done(flow: Flow) -> None:
    """Takes the workers that have ended out of the view; they stay on the disk."""
    flow.desk.memory.clear_ended()


async def clear_worker(flow: Flow) -> None:
    job = await flow.job(lambda one: not is_active(one))
    if job is not None:
        flow.desk.memory.clear([job["jobId"]])


async def wait_any(flow: Flow) -> None:
    """Says once when the next worker has ended."""
    left: Sequence[str] = [job["jobId"] for job in flow.jobs() if is_active(job)]
    if not left:
        await flow.ask.toast("info", texts.NO_ACTIVE)
        return
    done: Job | None = None
    while done is None:
        answer = await flow.tool("codex_wait_any", jobIds=list(left))
        if answer["completedJobId"] is not None:
            done = flow.known(answer["completedJobId"])
            if done is None:
                return
    told = texts.ended(named(done), done["status"])
    if await flow.ask.toast("info", told, [Button("open", texts.OPEN_RESULT)]) is not None:
        await show_result(flow, done)
