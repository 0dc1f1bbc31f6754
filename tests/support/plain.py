"""A kind of worker for tests of the job manager: its task is a Python program, really run as a process.

It shows that the manager needs nothing of Codex. A line `thread NAME` names a conversation, `activity TEXT` what it
does, `wrote PATH` a file it changed, `usage N` tokens of the conversation; the last line is its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from sidecar.jobs.journal import Journal
from sidecar.jobs.local import LocalExecutor
from sidecar.jobs.manager import JobManager
from sidecar.jobs.new_job import NewJob
from sidecar.jobs.store import JobStore
from sidecar.model.event import ParsedEvent
from sidecar.model.job import Job, JobError, Run, TouchedFile, Usage
from sidecar.model.outputs import CheckOutput
from sidecar.model.settings import CodexSettings, Settings


@dataclass(frozen=True)
class Call:
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str


@dataclass(frozen=True)
class Answer:
    summary: str
    modified_files: list[str] | None
    missing: bool


@dataclass
class PlainParser:
    thread_id: str | None = None
    usage: Usage | None = None
    activity: str | None = None
    final_text: str | None = None
    touched: dict[str, TouchedFile] = field(default_factory=dict)

    def parse(self, line: bytes) -> ParsedEvent:
        word, _, rest = line.decode("utf-8", "replace").partition(" ")
        if word == "thread":
            self.thread_id = rest
        elif word == "activity":
            self.activity = rest
        elif word == "usage":
            self.usage = Usage(input_tokens=int(rest))
        elif word == "wrote":
            self.touched[rest] = TouchedFile(path=rest, change="modified", attribution="seen")
        self.final_text = line.decode("utf-8", "replace")
        return ParsedEvent("message", {"kind": "line", "text": self.final_text})

    def report(self) -> Answer:
        return Answer(self.final_text or "", list(self.touched) or None, not self.touched)


class PlainBackend:
    """Runs each task with this Python."""

    def __init__(self) -> None:
        self.cleaned: list[str] = []

    async def locate(self, settings: CodexSettings, env: Mapping[str, str]) -> str:
        return settings.path or sys.executable

    def check_config(self, config: Mapping[str, Any]) -> None:
        pass

    async def prepare(
        self,
        job: Job,
        *,
        codex: str,
        env: Mapping[str, str],
        directory: Path,
        top: str,
        settings: CodexSettings,
        predecessors: Sequence[str] = (),
    ) -> Call:
        return Call((codex, "-I", "-S", "-u", "-"), dict(env), job.working_directory)

    async def preflight(self, job: Job, *, codex: str, env: Mapping[str, str], top: str) -> None:
        pass

    def parser(self, top: str) -> PlainParser:
        return PlainParser()

    def judge(
        self, tracker: PlainParser, *, exit_code: int | None, stderr_tail: str
    ) -> tuple[Literal["done", "failed"], JobError | None]:
        if exit_code == 0:
            return "done", None
        return "failed", JobError("codex-failed", f"exit {exit_code}: {stderr_tail[-200:]}")

    async def checks(self, settings: CodexSettings, env: Mapping[str, str], top: str) -> list[CheckOutput]:
        return []

    def cleanup(self, job: Job) -> None:
        self.cleaned.append(job.job_id)


@contextlib.asynccontextmanager
async def open_manager(state: Path, top: Path, settings: Settings | None = None) -> AsyncIterator[JobManager]:
    """A manager on `state`, as a sidecar process would have it; closing it leaves workers running."""
    state.mkdir(mode=0o700, exist_ok=True)
    journal = Journal(state / "jobs.sqlite")
    await journal.open()
    run = Run(run_id="run-1", head=None, recorded_at=0.0)

    async def open_run(on_dirty: str, unfinished: bool) -> Run:
        return run

    async def run_would_close(unfinished: bool) -> str | None:
        return None

    async def note_start(job: Job) -> str | None:
        return None

    async def note_end(job: Job) -> None:
        return None

    manager = JobManager(
        journal=journal,
        store=JobStore(state),
        executor=LocalExecutor(),
        backend=PlainBackend(),
        top=str(top),
        settings=lambda: settings or Settings(),
        open_run=open_run,
        run_would_close=run_would_close,
        note_start=note_start,
        note_end=note_end,
    )
    await manager.recover()
    try:
        yield manager
    finally:
        await manager.close()
        await journal.close()


def task(prompt: str, top: Path, sandbox: str = "read-only", **facts: Any) -> NewJob:
    """A job for `JobManager.spawn`."""
    basics = {"title": "t", "sandbox": sandbox, "working_directory": str(top), "timeout_ms": 60_000}
    return NewJob(prompt, {"PATH": "/usr/bin:/bin"}, {**basics, **facts})


async def ended(manager: JobManager, job_id: str, seconds: float = 40.0) -> Job:
    """The job once it has ended; AssertionError after `seconds`."""
    assert await manager.wait_any([job_id], seconds) == job_id, f"still {(await manager.job(job_id)).status}"
    return await manager.job(job_id)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Waits until `condition()` is true; AssertionError after `seconds`."""
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "it did not come true"
        await asyncio.sleep(0.01)
