"""The sidecar of a repository, as the commands use it: a sidecar that goes away in the middle is found again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sidecar.cli import signals
from sidecar.model.errors import SidecarError
from sidecar.service import client as service
from sidecar.service import link
from sidecar.tools import table

STOP_SECONDS = 10.0
"""How long a sidecar may take to end."""
POLL_SECONDS = 0.02


class Caller:
    """Calls tools. Use `connect`."""

    def __init__(self, repo: Path | None, stack: contextlib.AsyncExitStack) -> None:
        self._repo = repo
        self._stack = stack
        self._lock = asyncio.Lock()
        self._client: service.SidecarClient | None = None

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Calls one tool. Where the sidecar dies meanwhile, a call that changes nothing by being repeated is repeated
        with the next sidecar, which knows the same jobs.

        Raises:
            SidecarError: as the tool answered; `state-unavailable` where no sidecar can be had.
        """
        client = await self._connected(None)
        try:
            return await client.call(tool, arguments)
        except SidecarError as exc:
            if exc.kind != "state-unavailable" or not table.BY_NAME[tool].idempotent:
                raise
        return await (await self._connected(client)).call(tool, arguments)

    async def _connected(self, lost: service.SidecarClient | None) -> service.SidecarClient:
        """The connection; a new one where it is still the one that was lost."""
        async with self._lock:
            if self._client is None or self._client is lost:
                opening = self._stack.enter_async_context(service.SidecarClient.connect(self._repo))
                # A sidecar that is just being started must not be left behind unseen.
                opened, interrupted = await signals.to_its_end(opening)
                self._client = opened
                if interrupted:
                    raise asyncio.CancelledError
            return self._client


@contextlib.asynccontextmanager
async def connect(repo: str | None) -> AsyncIterator[Caller]:
    """The sidecar of the repository that holds `repo` (None: the current directory); it is started where none runs.

    Raises:
        SidecarError: no repository, or no sidecar can be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        caller = Caller(Path(repo) if repo is not None else None, stack)
        await caller._connected(None)
        yield caller


async def control(repo: str | None, op: str) -> dict[str, Any] | None:
    """Asks a running sidecar about itself; None where none runs. None is started for that.

    Raises:
        SidecarError: no repository, or it does not answer.
    """
    return await service.control(Path(repo) if repo is not None else None, op)


async def stop(repo: str | None) -> dict[str, Any] | None:
    """Ends the sidecar and waits until its process is gone; workers keep running.

    Returns:
        What it said about itself before; None where none ran.

    Raises:
        SidecarError: no repository, or it does not end (`busy`).
    """
    before = await control(repo, "status")
    if before is None or await control(repo, "stop") is None:
        return None
    for _ in range(round(STOP_SECONDS / POLL_SECONDS)):
        if link.process_start(before["pid"]) is None:
            return before
        await asyncio.sleep(POLL_SECONDS)
    hint = f"End process {before['pid']} yourself; the workers keep running."
    raise SidecarError("busy", "The sidecar process does not end.", hint, {"pid": before["pid"]})
