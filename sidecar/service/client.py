"""The Python end of a connection to the sidecar, for the terminal's commands."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.service import launch, lines
from sidecar.service.place import Place, find_place


def place_of(repo: Path | None) -> Place:
    """The work tree that a command is for; None stands for the current directory. Blocks for some file look-ups.

    Raises:
        SidecarError: `not-a-repository`.
    """
    directory = Path.cwd() if repo is None else repo
    place = find_place(str(directory))
    if place is None:
        raise SidecarError(
            "not-a-repository",
            f"{directory} is not inside the work tree of a Git repository.",
            "Change into one, name one with --repo, or run `git init` there.",
            {"directory": str(directory)},
        )
    return place


async def control(
    repo: Path | None, op: str, *, wait_for_end: float | None = None, **fields: Any
) -> dict[str, Any] | None:
    """One question to the sidecar of a repository; it is never started for that.

    Args:
        repo: a directory of the repository; None: the current one.
        op: `status`, `settings`, `stop`, `replace` or `exit-code`.
        wait_for_end: wait up to so many seconds for the process's end after its answer.
        fields: the rest of the request.

    Returns:
        The answer; None where no sidecar runs.

    Raises:
        SidecarError: no repository, or it refused, or does not answer.
    """
    place = place_of(repo)
    return await asyncio.to_thread(launch.control, place, op, until_end=wait_for_end, **fields)


class SidecarClient:
    """One connection of the terminal's commands. Many calls may run at a time."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._gone = False

    @classmethod
    @asynccontextmanager
    async def connect(cls, repo: Path | None = None, *, start: bool = True) -> AsyncIterator[SidecarClient]:
        """A client for the time of the `async with`.

        Args:
            repo: a directory of the repository; None: the current one.
            start: start a sidecar where none runs.

        Raises:
            SidecarError: no repository; the sidecar refused or cannot be started; none runs (`state-unavailable`)
                and `start` is false.
        """
        place = place_of(repo)
        cwd = os.path.realpath(repo) if repo is not None else None
        connection = await asyncio.to_thread(launch.connect, place, "cli", start=start, cwd=cwd)
        if connection is None:
            raise SidecarError(
                "state-unavailable", "No sidecar runs for this repository.", "The next command starts one."
            )
        connection.sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection.sock, limit=limits.CLIENT_QUEUE_BYTES)
        client = cls(place, reader, writer)
        reading = asyncio.create_task(client._read())
        try:
            yield client
        finally:
            reading.cancel()
            writer.close()
            with contextlib.suppress(OSError):  # The sidecar may have gone first; nothing is owed to it.
                await writer.wait_closed()

    async def call(self, tool: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """Calls one tool. Cancelling this coroutine ends a call that waits; a job is never cancelled by it.

        Raises:
            SidecarError: as the tool answered; `state-unavailable` where the sidecar is gone.
        """
        if self._gone:
            raise _gone()
        request = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls[request] = answer
        self._writer.write(lines.encode({"id": request, "tool": tool, "arguments": arguments or {}}))
        try:
            return await answer
        except asyncio.CancelledError:
            self._writer.write(lines.encode({"cancel": request}))
            raise
        finally:
            self._calls.pop(request, None)

    async def control(self, op: str, **fields: Any) -> dict[str, Any] | None:
        """The same as the function `control`, for this client's repository."""
        return await asyncio.to_thread(launch.control, self.place, op, **fields)

    async def _read(self) -> None:
        try:
            async for item in lines.objects(self._reader):
                if isinstance(item, SidecarError):
                    break
                number = item.get("id")
                answer = self._calls.get(number) if isinstance(number, int) else None
                if answer is None or answer.done():
                    continue
                if "result" in item:
                    answer.set_result(item["result"])
                elif "error" in item:
                    answer.set_exception(SidecarError(**item["error"]))
        finally:
            self._gone = True
            for answer in self._calls.values():
                if not answer.done():
                    answer.set_exception(_gone())


def _gone() -> SidecarError:
    return SidecarError(
        "state-unavailable",
        "The sidecar process ended.",
        "Run the command again: the next sidecar takes the workers up, which keep running.",
    )
