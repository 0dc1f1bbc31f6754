"""An in-memory language client that hides nothing, and a core small enough to script.

`RawClient` checks every frame byte by byte: a client made of the same library as the server would share its faults.
`ScriptedCore` stands in for `sidecar.service.core.Core` where a test needs changes of state at will, which real jobs do
not give; what it has is what the language server uses of the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.jobs.changes import Change
from sidecar.lsp.connection import serve
from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.model.inputs import ToolInput
from sidecar.model.outputs import ToolOutput
from sidecar.model.settings import Settings, parse_settings
from sidecar.tools import table
from sidecar.tools.caller import Client

MISSING: Any = object()
PATIENCE = 60.0
"""Only a time to give up after, in seconds: the machine may be busy, and programs may have to be started."""
_HEADER = re.compile(rb"Content-Length: ([1-9][0-9]*)\r\n\r\n")

Predicate = Callable[[dict[str, Any]], bool]


class ScriptedCore:
    """Jobs, run and limits as a test wants them; every change is told to the listeners, as the real core does.

    Without an attribute `a2` it is a core that knows nothing of conflicts (see `tests.support.lsp_conflicts`).
    """

    def __init__(self, top: str = "/nowhere") -> None:
        self.top = top
        self.state_dir = Path(top) / ".git" / "codex-sidecar"
        self.settings = Settings()
        self.announced: list[object] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.dropped: set[str] = set()
        self.run: dict[str, Any] | None = None
        self.listeners: list[Callable[[Change], None]] = []

    def apply_settings(self, section: object) -> list[SidecarError]:
        self.announced.append(section)
        self.settings, problems = parse_settings(section)
        self.publish("limits", "limits")
        return problems

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def publish(self, kind: Any, name: str) -> None:
        for listener in list(self.listeners):
            listener(Change(kind, name))

    def put(self, job_id: str, **facts: Any) -> None:
        """Adds or changes a job; one that was dropped does not come back, since ids are never used again."""
        if job_id in self.dropped:
            return
        self.jobs[job_id] = {"jobId": job_id, "status": "running", **self.jobs.get(job_id, {}), **facts}
        self.publish("job", job_id)

    def drop(self, job_id: str) -> None:
        if self.jobs.pop(job_id, None) is not None:
            self.dropped.add(job_id)
        self.publish("job", job_id)

    def set_run(self, run_id: str | None) -> None:
        self.run = None if run_id is None else {"runId": run_id, "head": "0" * 40}
        self.publish("run", run_id or "")

    def active_jobs(self) -> int:
        return sum(job["status"] in ("queued", "starting", "running", "stopping") for job in self.jobs.values())

    def job_item(self, job_id: str) -> dict[str, Any] | None:
        found = self.jobs.get(job_id)
        return None if found is None else dict(found)

    def state(self) -> dict[str, Any]:
        return {
            "jobs": [dict(job) for job in self.jobs.values()],
            "run": self.run,
            "limits": {"read": {"limit": self.settings.limits.read, "running": self.active_jobs(), "queued": 0}},
            "conflicts": [msgspec.to_builtins(one) for one in self.a2.conflicts()] if hasattr(self, "a2") else [],
        }


class Refused(Exception):
    """Raised by an answer of a client that cannot do what it is asked for."""


class RawClient:
    """Sends bytes, receives checked messages. `received` has every message of the server in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received: list[dict[str, Any]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.ended = asyncio.Event()
        self._news = asyncio.Condition()
        self._ids = itertools.count(1)
        self._task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            while True:
                header = await self.reader.readuntil(b"\r\n\r\n")
                match = _HEADER.fullmatch(header)
                assert match, f"torn frame: {header[:200]!r}"
                body = await self.reader.readexactly(int(match[1]))
                message = json.loads(body.decode(), parse_constant=_refuse)
                assert message["jsonrpc"] == "2.0"
                self.received.append(message)
                if "method" in message and "id" in message and message["method"] in self.answers:
                    try:
                        answer = {"result": self.answers[message["method"]](message.get("params"))}
                    except Refused as exc:
                        answer = {"error": {"code": -32803, "message": str(exc)}}
                    self.send({"jsonrpc": "2.0", "id": message["id"], **answer})
                async with self._news:
                    self._news.notify_all()
        except asyncio.IncompleteReadError as exc:
            if exc.partial:
                raise AssertionError("the stream ends inside a frame") from exc
        except ConnectionError:
            pass  # The server cut the connection; the test looks at what came before.
        finally:
            self.ended.set()

    def pause(self) -> None:
        """Reads nothing from the socket until `resume`."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)

    def send_body(self, body: bytes) -> None:
        self.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def send(self, message: object) -> None:
        self.send_body(json.dumps(message).encode())

    def notify(self, method: str, params: Any = MISSING) -> None:
        self.send({"jsonrpc": "2.0", "method": method} | ({} if params is MISSING else {"params": params}))

    def start(self, method: str, params: Any = MISSING) -> int:
        """Sends a request without waiting for its reply; returns its id."""
        name = next(self._ids)
        message = {"jsonrpc": "2.0", "id": name, "method": method}
        self.send(message | ({} if params is MISSING else {"params": params}))
        return name

    async def request(self, method: str, params: Any = MISSING) -> dict[str, Any]:
        return await self.reply(self.start(method, params))

    async def call(self, command: str, *arguments: Any) -> dict[str, Any]:
        return await self.request("workspace/executeCommand", {"command": command, "arguments": list(arguments)})

    async def reply(self, name: Any) -> dict[str, Any]:
        return await self.wait_for(lambda one: "method" not in one and one["id"] == name)

    async def wait_for(self, found: Predicate, after: int = 0) -> dict[str, Any]:
        """The first message from number `after` on that `found` accepts; fails where none comes in time."""

        async def wait() -> dict[str, Any]:
            while True:
                for message in self.received[after:]:
                    if found(message):
                        return message
                if self._task.done():
                    self._task.result()
                    raise AssertionError(f"the server closed the connection; received: {self.received!r:.2000}")
                async with self._news:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._news.wait(), 0.2)

        return await asyncio.wait_for(wait(), PATIENCE)

    async def wait_for_method(self, method: str, after: int = 0) -> dict[str, Any]:
        return await self.wait_for(lambda one: one.get("method") == method, after)

    def of_method(self, method: str) -> list[dict[str, Any]]:
        return [one["params"] for one in self.received if one.get("method") == method]

    def replies_to(self, name: Any) -> list[dict[str, Any]]:
        return [one for one in self.received if "method" not in one and one["id"] == name]

    async def initialize(self, options: Any = None, capabilities: Any = None, **more: Any) -> dict[str, Any]:
        params = {"processId": None, "rootUri": None, "capabilities": capabilities or {}, **more}
        if options is not None:
            params["initializationOptions"] = options
        reply = await self.request("initialize", params)
        self.notify("initialized", {})
        result: dict[str, Any] = reply["result"]
        return result

    async def close(self) -> None:
        self.writer.close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} on the wire")


async def socket_pair() -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], ...]:
    """Two connected ends with real transports."""
    ends = socket.socketpair()
    return tuple([await asyncio.open_unix_connection(sock=end) for end in ends])


@contextlib.asynccontextmanager
async def serving(core: Any) -> AsyncIterator[tuple[RawClient, asyncio.Task[int]]]:
    """A raw client and the task that serves it, whose result is the exit code."""
    mine, theirs = await socket_pair()
    task = asyncio.ensure_future(serve(core, Client("lsp", "0", cwd="/nowhere", env={}), *theirs))
    client = RawClient(*mine)
    try:
        yield client, task
    finally:
        await client.close()
        await asyncio.wait_for(task, PATIENCE)


@contextlib.asynccontextmanager
async def connected(core: Any, options: Any = None, capabilities: Any = None) -> AsyncIterator[RawClient]:
    """An initialized raw client that has got the whole state."""
    async with serving(core) as (client, _):
        await client.initialize(options, capabilities)
        if core is not None:
            await client.wait_for_method("codexSidecar/state")
        yield client


def add_tool(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    handler: Callable[[Any, Any], Awaitable[Any]],
    kind: type[ToolInput] | None = None,
) -> None:
    """Puts a tool of a test beside the real ones, or in the place of one; it goes through the real `table.call`."""
    model = table.BY_NAME.get(name, table.BY_NAME["codex_status"])
    made = replace(model, name=name, handler=handler, input=kind or model.input)
    monkeypatch.setitem(table.BY_NAME, name, made)


class AnythingInput(ToolInput, frozen=True):
    """Takes any JSON object under `value`."""

    value: Any = None


class AnythingOutput(ToolOutput, frozen=True):
    value: Any = None


def fast_state(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.02) -> None:
    """Makes the state's interval short, so that tests of its content need not wait."""
    monkeypatch.setattr(limits, "STATE_INTERVAL_SECONDS", seconds)


async def eventually(condition: Callable[[], bool]) -> None:
    """Waits until `condition` holds; fails where it does not in time."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), PATIENCE)
