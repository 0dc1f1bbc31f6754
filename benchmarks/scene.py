"""A repository with its sidecar, and a worker program that does exactly what a measurement needs.

The worker is a shell script in place of Codex: its start costs 2 ms, so what is measured is the sidecar's part.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil

from sidecar.service.client import SidecarClient

THREAD = '{"type":"thread.started","thread_id":"t"}'
REPORT = json.dumps({"summary": "ok", "modifiedFiles": []})
MESSAGE = json.dumps({"type": "item.completed", "item": {"id": "item_1", "type": "agent_message", "text": REPORT}})
COMPLETED = '{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}'


def stamp(where: Path) -> str:
    """Shell words that write the wall clock, in seconds with nanoseconds, to a file."""
    return f"date +%s.%N > {shlex.quote(str(where))}"


class Scene:
    """One repository, one sidecar, one connection of the terminal's kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = root / "repo"
        self.env: dict[str, str] = {}
        self.client: Any = None

    def script(self, body: str, name: str = "worker") -> None:
        """Makes `body` (a shell script; its output is the worker's stream) what every new worker runs."""
        path = self.root / name
        path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo plain; exit; }}\n{body}\n')
        path.chmod(0o755)

    def whole(self, before: str = "", middle: str = "", after: str = "") -> str:
        """A worker that starts, says its report and ends `done`, with shell words in between."""
        say = "printf '%s\\n'"
        return f"{before}\n{say} '{THREAD}'\n{middle}\n{say} '{MESSAGE}' '{COMPLETED}'\n{after}"

    async def spawn(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.client.call("codex_spawn", {"prompt": "measure"})
        return answer

    async def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self.client.call(
            "codex_wait_any", {"jobIds": [job["jobId"]], "timeoutMs": 50_000}
        )
        return answer

    def service(self) -> psutil.Process:
        """The sidecar process."""
        endpoint = json.loads((self.repo / ".git/codex-sidecar/endpoint.json").read_text())
        return psutil.Process(endpoint["pid"])

    async def reconnect(self, stack: contextlib.AsyncExitStack) -> None:
        """A connection whose workers are this scene's; it starts the sidecar where none runs."""
        os.environ["CODEX_SIDECAR_CODEX"] = str(self.root / "worker")
        self.client = await stack.enter_async_context(SidecarClient.connect(self.repo, start=True))


@contextlib.asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """A scene in a temporary directory; its sidecar is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="codex-sidecar-bench-") as name:
        it = Scene(Path(name))
        it.repo.mkdir()
        await (await asyncio.create_subprocess_exec("git", "-C", str(it.repo), "init", "-q")).wait()
        it.script(it.whole())
        async with contextlib.AsyncExitStack() as stack:
            await it.reconnect(stack)
            await it.ended(await it.spawn())
            try:
                yield it
            finally:
                service = it.service()
                service.terminate()
                await asyncio.to_thread(psutil.wait_procs, [service], 5)


async def first_reply(command: list[str], cwd: Path) -> float:
    """Seconds from the start of a language server to its answer to `initialize`."""
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}'
    )
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await process.stdout.readuntil(b"\r\n\r\n")
    seconds = time.perf_counter() - started
    process.kill()
    await process.wait()
    return seconds


PROGRAM = [str(Path(sys.executable).with_name("codex-sidecar"))]
