"""A service with a scripted core and scripted front ends, in process or as a process of its own.

`ScriptedCore` stands in for `sidecar.service.core.Core` where a test needs a number of jobs or a worker's process at
will; the front ends `lsp` (echoes bytes; the first byte may be a command) and `mcp` (never answers) stand in for the
protocols where a test is about bytes. Everything else (socket, handshake, locks, life) is the real service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from sidecar.service import connections, launch, logs
from sidecar.service.place import Place, find_place, prepare_state_dir
from sidecar.service.server import Server
from sidecar.tools.caller import Client
from tests.support.raw import Raw, control, endpoint


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Returns when `condition` holds; AssertionError after `seconds`."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


class ScriptedCore:
    """What the service itself asks of a core."""

    def __init__(self) -> None:
        self.jobs = 0
        self.workers: set[int] = set()
        self.closed = False

    def active_jobs(self) -> int:
        return self.jobs

    def is_worker_process(self, pid: int) -> bool:
        return pid in self.workers

    async def close(self) -> None:
        self.closed = True


async def echo(core: Any, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Sends back what comes, waiting for the client to read; `exit N` as first bytes ends with that code,
    `late N` after it has closed the connection itself, `who` answers what it knows of the client."""
    total = 0
    while data := await reader.read(65_536):
        if not total and data.startswith(b"exit "):
            return int(data[5:])
        if not total and data.startswith(b"late "):
            writer.close()
            await asyncio.sleep(0.3)
            return int(data[5:])
        if not total and data == b"who":
            data = json.dumps([client.frontend, client.version, client.cwd, client.pid, dict(client.env)]).encode()
        total += len(data)
        writer.write(data)
        await writer.drain()
    writer.write(b"%d bytes" % total)
    return 0


async def silent(core: Any, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Takes everything and says nothing."""
    while await reader.read(65_536):
        continue
    return 0


async def load(frontend: str) -> connections.Serve:
    return {"lsp": echo, "mcp": silent}.get(frontend) or await connections.load(frontend)


def place_of(repo: Path) -> Place:
    place = find_place(str(repo))
    assert place is not None
    prepare_state_dir(place)
    return place


@asynccontextmanager
async def running(
    repo: Path,
    core: ScriptedCore | None = None,
    *,
    opening: Callable[[], Awaitable[ScriptedCore]] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Server, asyncio.Task[int]]]:
    """A service of this repository in this process, listening; it is ended afterwards."""
    scripted = core or ScriptedCore()

    async def open_core(git_dir: Path, top: Path) -> Any:
        return await opening() if opening else scripted

    place = place_of(repo)
    lock = launch.take_service_lock(place)
    assert lock is not None
    server = Server(place, open_core=open_core, load=load, **options)
    task = asyncio.create_task(server.run())
    await eventually(lambda: os.path.exists(os.path.join(place.state_dir, "endpoint.json")) or task.done())
    try:
        yield server, task
    finally:
        server.request_end("the test ends")
        with contextlib.suppress(asyncio.CancelledError):
            await task
        os.close(lock)


async def ask(repo: Path, op: str, **fields: Any) -> Any:
    return await asyncio.to_thread(control, repo, {"op": op, **fields})


async def dial(repo: Path) -> Raw:
    where = endpoint(repo)
    assert where is not None
    return await asyncio.to_thread(Raw.dial, where)


async def client(repo: Path, frontend: str = "mcp") -> Raw:
    """A front end that stays."""
    raw = await dial(repo)
    assert (await asyncio.to_thread(raw.hello, frontend))["ok"] is True
    return raw


async def ends(task: asyncio.Task[int], seconds: float = 30.0) -> int:
    return await asyncio.wait_for(asyncio.shield(task), seconds)


def main() -> int:
    """`python -m tests.support.service REPO`: the same as a process; ends as the real one does."""
    place = place_of(Path(sys.argv[1]))
    lock = launch.take_service_lock(place)
    if lock is None:
        return launch.EXIT_ANOTHER
    listener = logs.set_up(Path(place.state_dir, launch.LOG))

    async def open_core(git_dir: Path, top: Path) -> Any:
        return ScriptedCore()

    async def run() -> int:
        return await Server(place, open_core=cast(Any, open_core), load=load).run()

    try:
        return asyncio.run(run())
    finally:
        listener.stop()


if __name__ == "__main__":
    sys.exit(main())
