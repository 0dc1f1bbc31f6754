"""What each tool does: from checked input to output. No protocol is known here."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from sidecar.jobs import budgets, conversations, globs
from sidecar.jobs.new_job import NewJob
from sidecar.model import limits
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.inputs import (
    CancelInput,
    DoctorInput,
    EventsInput,
    ResultInput,
    ResumeInput,
    SpawnInput,
    StatusInput,
    WaitAnyInput,
    untyped,
)
from sidecar.model.job import iso
from sidecar.model.outputs import (
    CancelOutput,
    DoctorOutput,
    EventsOutput,
    FinalMessageOutput,
    JobStatusOutput,
    ResultOutput,
    SpawnOutput,
    StatusOutput,
    WaitAnyOutput,
)
from sidecar.tools import views
from sidecar.tools.caller import Caller
from sidecar.tools.pages import read_page

if TYPE_CHECKING:
    from sidecar.service.core import Core


def _core(caller: Caller) -> Core:
    assert caller.core is not None, "tools.table.call answers before a handler runs"
    return caller.core


async def spawn(caller: Caller, asked: SpawnInput) -> SpawnOutput:
    core = _core(caller)
    _check_words(asked.prompt, "prompt")
    if asked.isolation != "shared":
        raise invalid("isolation", "`worktree` is not available in this version", "Use `shared`.")
    config = untyped(asked.config) or {}
    core.manager.backend.check_config(config)
    patterns = await asyncio.to_thread(_patterns, core.top, untyped(asked.expected_files) or [])
    directory = await asyncio.to_thread(_directory, core.top, untyped(asked.working_directory))
    title = untyped(asked.title)
    if title is not None:
        _check_words(title, "title")
    settings = core.settings
    facts: dict[str, Any] = {
        "title": " ".join(title.split()) if title is not None else title_of(asked.prompt),
        "sandbox": asked.sandbox,
        "working_directory": directory,
        "timeout_ms": untyped(asked.timeout_ms) or round(settings.spawn.timeout_minutes * 60_000),
        "frontend": caller.client.frontend,
        "model": untyped(asked.model),
        "reasoning_effort": untyped(asked.reasoning_effort),
        "expected_files": patterns,
        "depends_on": list(dict.fromkeys(untyped(asked.depends_on) or [])),
        "config": config,
    }
    return await _start(caller, facts, asked.prompt, untyped(asked.on_dirty) or settings.baseline.dirty_tree)


async def _start(caller: Caller, facts: dict[str, Any], prompt: str, on_dirty: str) -> SpawnOutput:
    core = _core(caller)
    env = dict(caller.client.env)
    # A missing Codex is told now, not when a slot is free.
    await core.manager.backend.locate(core.settings.codex, env)
    job = await core.manager.spawn(NewJob(prompt, env, facts, budgeted=True), on_dirty=on_dirty)
    return views.spawned(job, core.manager.queue())


async def resume(caller: Caller, asked: ResumeInput) -> SpawnOutput:
    core = _core(caller)
    _check_words(asked.prompt, "prompt")
    job = await core.manager.job(asked.job_id)
    thread = conversations.thread_of(core.manager, job)
    facts: dict[str, Any] = {
        "title": job.title,
        "sandbox": job.sandbox,
        "working_directory": job.working_directory,
        "timeout_ms": job.timeout_ms,
        "frontend": caller.client.frontend,
        "model": job.model,
        "reasoning_effort": job.reasoning_effort,
        "expected_files": job.expected_files,
        "config": job.config,
        "resumes": job.job_id,
        "resume_thread": thread,
    }
    return await _start(caller, facts, asked.prompt, core.settings.baseline.dirty_tree)


async def wait_any(caller: Caller, asked: WaitAnyInput) -> WaitAnyOutput:
    manager = _core(caller).manager
    known: list[str] = []
    missing: list[str] = []
    for job_id in dict.fromkeys(asked.job_ids):
        try:
            await manager.job(job_id)
            known.append(job_id)
        except SidecarError as exc:
            if exc.kind != "unknown-job":
                raise
            missing.append(job_id)
    seconds = min(asked.timeout_ms, limits.WAIT_MAX_MS) / 1000
    completed = await _wait_with_progress(caller, known, seconds) if known else None
    job = await manager.job(completed) if completed is not None else None
    return WaitAnyOutput(
        completed_job_id=completed,
        label=job.label if job else None,
        status=job.status if job else None,
        timed_out=completed is None and bool(known),
        remaining_job_ids=[job_id for job_id in known if job_id != completed],
        missing_job_ids=missing,
    )


async def _wait_with_progress(caller: Caller, known: list[str], seconds: float) -> str | None:
    manager = _core(caller).manager
    loop = asyncio.get_running_loop()
    start = loop.time()
    while True:
        left = start + seconds - loop.time()
        step = min(left, limits.WAIT_PROGRESS_SECONDS) if caller.report_progress else left
        completed = await manager.wait_any(known, max(step, 0.0))
        if completed is not None or loop.time() - start >= seconds:
            return completed
        if caller.report_progress:
            waited = loop.time() - start
            await caller.report_progress(round(waited, 1), seconds, f"waiting for {len(known)} jobs, {waited:.0f} s")


async def events(caller: Caller, asked: EventsInput) -> EventsOutput:
    return await read_page(_core(caller).manager, asked)


async def result(caller: Caller, asked: ResultInput) -> ResultOutput | FinalMessageOutput:
    core = _core(caller)
    manager = core.manager
    await core.a2.ends_known()
    job = await manager.job(asked.job_id)
    text = await asyncio.to_thread(manager.final_text, job)
    truncated = text is not None and len(text) > asked.max_chars
    if text is not None and truncated:
        text = text[: asked.max_chars]
    if asked.view == "finalMessage":
        return FinalMessageOutput(
            job_id=job.job_id,
            label=job.label,
            title=job.title,
            status=job.status,
            exit_code=job.exit_code,
            final_message=text,
            final_message_truncated=truncated,
            error=views.error(job.error),
        )
    return ResultOutput(
        job_id=job.job_id,
        label=job.label,
        title=job.title,
        status=job.status,
        exit_code=job.exit_code,
        final_message=text,
        final_message_truncated=truncated,
        modified_files=job.modified_files,
        report_missing=job.report_missing,
        touched_files=core.a2.touched(job),
        conflicts=core.a2.conflict_ids(job.job_id),
        usage=job.usage,
        started_at=iso(job.started_at),
        finished_at=iso(job.finished_at),
        error=views.error(job.error),
    )


async def status(caller: Caller, asked: StatusInput) -> StatusOutput | JobStatusOutput:
    core = _core(caller)
    manager = core.manager
    if asked.job_id is not UNSET:
        return views.job_status(await manager.job(asked.job_id), manager, manager.queue())
    jobs, omitted = manager.known_jobs(limits.STATUS_JOBS)
    queue = manager.queue()
    run = core.runs.open
    return StatusOutput(
        jobs=[views.job_status(job, manager, queue) for job in jobs],
        omitted=omitted,
        limits=views.slots(manager),
        run=views.run(run, await budgets.spent(manager, run)) if run is not None else None,
    )


async def cancel(caller: Caller, asked: CancelInput) -> CancelOutput:
    job, success = await _core(caller).manager.cancel(asked.job_id, force=asked.force)
    return CancelOutput(job_id=job.job_id, label=job.label, success=success, status=job.status)


async def doctor(caller: Caller, asked: DoctorInput) -> DoctorOutput:
    return await _core(caller).doctor(caller.client)


# -- checks that a schema cannot say --------------------------------------------------------------------------------


def _check_words(text: str, field: str) -> None:
    if not text.strip():
        raise invalid(field, "holds nothing but white space")


def title_of(prompt: str) -> str:
    """A short title from the first line that says something, at most 32 characters."""
    first = next((line.strip() for line in prompt.splitlines() if line.strip(" #*-\t")), "task")
    words = re.sub(r"\s+", " ", first.lstrip("#*- \t")) or first
    printable = "".join(char if char.isprintable() else " " for char in words).strip() or "task"
    if len(printable) <= limits.DERIVED_TITLE_CHARS:
        return printable
    return printable[: limits.DERIVED_TITLE_CHARS - 1].rstrip() + "…"


def _patterns(top: str, asked: list[str]) -> list[str]:
    return [globs.check(pattern, f"expectedFiles[{index}]", top) for index, pattern in enumerate(asked)]


def _directory(top: str, asked: str | None) -> str:
    """The real path where a worker starts. Blocks.

    Raises:
        SidecarError: it is not a directory inside the work tree, also when a symlink leads out of it.
    """
    if asked is None:
        return top
    real_top = Path(os.path.realpath(top))
    real = Path(os.path.realpath(os.path.join(real_top, asked)))
    if real != real_top and real_top not in real.parents:
        raise invalid(
            "workingDirectory", f"{asked[:200]!r} is outside the repository {top}", "Name a directory inside it."
        )
    if not real.is_dir():
        raise invalid(
            "workingDirectory", f"{asked[:200]!r} is not a directory", "Name a directory inside the repository."
        )
    if ".git" in real.relative_to(real_top).parts:
        raise invalid(
            "workingDirectory", f"{asked[:200]!r} is inside the Git directory", "Name a directory of the work tree."
        )
    return str(real)
