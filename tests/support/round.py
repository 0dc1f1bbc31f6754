"""A whole core in process with scripted workers: real processes, real git, the bundled script in place of a model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from sidecar.demo.script import MARKER
from sidecar.service.core import Core, open_core
from sidecar.tools import table
from sidecar.tools.caller import Caller, Client

SECONDS = 30.0
# A machine under load may take long; a worker that no longer waited for its turn would leave what the test is about.
PATIENT = "import sys, sidecar.demo.script as script, sidecar.demo.worker as worker; "
PATIENT += "script.UNTIL_SECONDS = 300.0; sys.exit(worker.main())"


class Round:
    """Calls tools as a front end does."""

    def __init__(self, core: Core, repo: Path, env: dict[str, str]) -> None:
        self.core = core
        self.repo = repo
        self.caller = Caller(core, Client("cli", "0", cwd=str(repo), env=env))

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return await table.call(tool, arguments, self.caller)

    async def write(self, title: str, *steps: Any, **more: Any) -> dict[str, Any]:
        """Spawns a write worker that plays `steps`."""
        prompt = f"{title}. {MARKER} {json.dumps(steps)}"
        return await self.call("codex_spawn", prompt=prompt, title=title, sandbox="workspace-write", **more)

    async def ended(self, *jobs: dict[str, Any]) -> list[str]:
        """Waits for all of them; their statuses."""
        remaining = [job["jobId"] for job in jobs]
        while remaining:
            answer = await self.call("codex_wait_any", jobIds=remaining, timeoutMs=30_000)
            assert not answer["timedOut"], await self.call("codex_status")
            remaining = answer["remainingJobIds"]
        return [(await self.call("codex_result", jobId=job["jobId"]))["status"] for job in jobs]

    async def conflicts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("codex_conflicts"))["conflicts"]
        return found

    async def restart(self) -> None:
        """Another sidecar takes over; the workers do not notice."""
        await self.core.close()
        self.core = await open_core(self.repo / ".git", self.repo)
        self.caller = Caller(self.core, self.caller.client)

    async def act(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Both steps: the preview, then the act."""
        preview = await self.call(tool, **arguments)
        return await self.call(tool, **arguments, token=preview["token"])


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `condition`, which may be looked at often."""
    stop = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < stop, f"it did not come true: {what}"
        await asyncio.sleep(0.02)
    return value


@contextlib.asynccontextmanager
async def open_round(repo: Path, **codex: str) -> AsyncIterator[Round]:
    """A core for `repo` whose workers are scripted, or those that the environment `codex` names."""
    state = repo / ".git" / "codex-sidecar"
    state.mkdir(mode=0o700, exist_ok=True)
    worker = shlex.join([sys.executable, "-c", PATIENT])
    env = {**os.environ, "CODEX_SIDECAR_CODEX": worker, **codex}
    round_ = Round(await open_core(repo / ".git", repo), repo, env)
    try:
        yield round_
    finally:
        for live in list(round_.core.manager.live.values()):
            await round_.core.manager.cancel(live.job.job_id, force=True)
        await round_.core.close()
