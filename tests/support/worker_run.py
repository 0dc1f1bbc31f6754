"""Runs one real worker through the Codex backend, without the job manager: prepare, start, read, judge."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.demo.model import ScriptedModel
from sidecar.model.event import ParsedEvent
from sidecar.model.job import Job, JobError
from sidecar.model.settings import CodexSettings
from sidecar.worker.backend import CodexBackend
from sidecar.worker.stream import StreamParser
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import wait_until
from tests.support.repo import make_repo

MODELS = ("gpt-5.5", "gpt-6.1-sol")
"""One that is offered its tools directly, and one in code mode."""


def script(*steps: Any) -> str:
    """A prompt that plays these steps."""
    return f"Please do it. SCRIPT: {json.dumps(list(steps))} Thank you."


def report(summary: str = "did it", *files: str) -> dict[str, Any]:
    """The step that answers with a report."""
    return {"json": {"summary": summary, "modifiedFiles": list(files)}}


@dataclass
class Finished:
    """What is left of a worker."""

    exit_code: int
    events: list[ParsedEvent]
    stderr: str
    tracker: StreamParser
    status: str
    error: JobError | None
    argv: tuple[str, ...]
    directory: Path
    requests: list[dict[str, Any]]
    seconds: float

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [event.content for event in self.events if event.content["kind"] == kind]

    def outputs(self) -> str:
        """Everything that its commands printed."""
        return "".join(one["output"] for one in self.of_kind("command"))


def texts(request: dict[str, Any], role: str) -> list[list[str]]:
    """The texts of each message of a role in a request to the model, in order."""
    return [
        [str(part.get("text")) for part in item.get("content", [])]
        for item in request["input"]
        if item.get("role") == role and item.get("type", "message") == "message"
    ]


@dataclass
class Bench:
    """A repository, a scripted model, a CODEX_HOME that leads to it, and the backend under test."""

    root: Path
    model: ScriptedModel
    model_name: str = "gpt-5.5"
    settings: CodexSettings = field(default_factory=CodexSettings)
    env: dict[str, str] = field(default_factory=dict)
    backend: CodexBackend = field(default_factory=CodexBackend)
    jobs: int = 0

    @property
    def repo(self) -> Path:
        return self.root / "repo"

    @property
    def home(self) -> Path:
        return Path(self.env["CODEX_HOME"])

    def configure(self, text: str = "", url: str = "") -> None:
        """Writes Codex's config.toml: `text` stands at its top."""
        write_codex_home(self.home, url or self.model.url, self.model_name, text)

    def append(self, text: str) -> None:
        with (self.home / "config.toml").open("a") as file:
            file.write(text)

    def job(self, **facts: Any) -> Job:
        self.jobs += 1
        fixed: dict[str, Any] = {
            "job_id": f"job-{self.jobs}-{self.root.name}",
            "number": self.jobs,
            "title": "a task",
            "sandbox": "workspace-write",
            "status": "starting",
            "working_directory": str(self.repo),
            "timeout_ms": 60_000,
            "created_at": 0.0,
            "attempt": 1,
        }
        return Job(**{**fixed, **facts})

    async def run(
        self,
        prompt: str,
        *,
        seconds: float = 60,
        predecessors: Sequence[str] = (),
        kill: tuple[Callable[[], object], signal.Signals] | None = None,
        keep: bool = False,
        **facts: Any,
    ) -> Finished:
        """Runs one job to its end; `kill`: once that is true it gets that signal."""
        job = self.job(**facts)
        directory = self.root / "attempts" / job.job_id
        directory.mkdir(parents=True, mode=0o700)
        codex = await self.backend.locate(self.settings, self.env)
        await self.backend.preflight(job, codex=codex, env=self.env, top=str(self.repo))
        invocation = await self.backend.prepare(
            job, codex=codex, env=self.env, directory=directory, top=str(self.repo), settings=self.settings,
            predecessors=predecessors,
        )  # fmt: skip
        (directory / "prompt").write_text(prompt)
        asked_before = len(self.model.requests)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with (
            (directory / "prompt").open("rb") as stdin,
            (directory / "events.jsonl").open("wb") as stdout,
            (directory / "stderr.txt").open("wb") as stderr,
        ):
            process = await asyncio.create_subprocess_exec(
                *invocation.argv, env=invocation.env, cwd=invocation.cwd, stdin=stdin, stdout=stdout, stderr=stderr,
                start_new_session=True,
            )  # fmt: skip
        try:
            if kill is not None:
                await asyncio.to_thread(wait_until, kill[0], "the moment at which the worker is killed")
                os.killpg(process.pid, kill[1])
            exit_code = await asyncio.wait_for(process.wait(), seconds)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        tracker = self.backend.parser(str(self.repo))
        events = [tracker.parse(line) for line in (directory / "events.jsonl").read_bytes().splitlines() if line]
        text = (directory / "stderr.txt").read_text()
        status, error = self.backend.judge(tracker, exit_code=exit_code, stderr_tail=text)
        if not keep:
            self.backend.cleanup(job)
        return Finished(
            exit_code, events, text, tracker, status, error, invocation.argv, directory,
            self.model.requests[asked_before:], loop.time() - began,
        )  # fmt: skip


@asynccontextmanager
async def bench(root: Path, model_name: str = "gpt-5.5") -> AsyncIterator[Bench]:
    """A bench below `root` whose Codex is the pinned one."""
    make_repo(root / "repo", {"README.md": "hello\n", "a.txt": "one\ntwo\n"})
    with ScriptedModel() as model:
        env = {**os.environ, "CODEX_HOME": str(root / "codex-home")}
        made = Bench(root, model, model_name, CodexSettings(path=str(native_codex())), env)
        made.configure()
        yield made
