"""An in-memory MCP client that hides nothing, and a way to connect the SDK's own client over the same socket.

`RawClient` sends bytes and checks every line it receives: a client made of the same library as the server would share
its faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.client.client import Client as SdkClient
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage

from sidecar.mcp.connection import serve
from sidecar.model.inputs import ToolInput
from sidecar.model.outputs import ToolOutput
from sidecar.tools import table
from sidecar.tools.caller import Client

PATIENCE = 30.0
CORE: Any = object()
"""Stands for a core where the tools are a test's own: they only see that there is one."""
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

Predicate = Callable[[dict[str, Any]], bool]


class RawClient:
    """Sends bytes, receives checked messages. `received` has every message of the server in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received: list[dict[str, Any]] = []
        self.ended = asyncio.Event()
        self.broken = False
        """Whether the server cut the connection without an orderly end."""
        self._news = asyncio.Condition()
        self._ids = itertools.count(1)
        self._task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            while line := await self.reader.readline():
                assert line.endswith(b"\n"), f"torn line: {line[:200]!r}"
                message = json.loads(line.decode(), parse_constant=_refuse)
                assert isinstance(message, dict)
                assert message["jsonrpc"] == "2.0"
                self.received.append(message)
                async with self._news:
                    self._news.notify_all()
        except ConnectionError:
            self.broken = True
        finally:
            self.ended.set()

    def pause(self) -> None:
        """Reads nothing from the socket until `resume`."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def send_line(self, line: bytes) -> None:
        self.writer.write(line + b"\n")

    def send(self, message: object) -> None:
        self.send_line(json.dumps(message).encode())

    def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params}))

    def start(self, method: str, params: Any = None) -> int:
        """Sends a request without waiting for its answer; returns its id."""
        name = next(self._ids)
        self.send({"jsonrpc": "2.0", "id": name, "method": method} | ({} if params is None else {"params": params}))
        return name

    async def request(self, method: str, params: Any = None) -> dict[str, Any]:
        return await self.reply(self.start(method, params))

    def start_call(self, tool: str, arguments: Any = None, **meta: Any) -> int:
        params: dict[str, Any] = {"name": tool, "arguments": {} if arguments is None else arguments}
        return self.start("tools/call", params | ({"_meta": meta} if meta else {}))

    async def call(self, tool: str, arguments: Any = None, **meta: Any) -> dict[str, Any]:
        """The result of one tool call, checked: what is structured stands word for word in the text."""
        reply = await self.reply(self.start_call(tool, arguments, **meta))
        assert "result" in reply, reply
        return checked(reply["result"])

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

    def of_method(self, method: str) -> list[dict[str, Any]]:
        return [one["params"] for one in self.received if one.get("method") == method]

    def replies_to(self, name: Any) -> list[dict[str, Any]]:
        return [one for one in self.received if "method" not in one and one["id"] == name]

    async def initialize(self, version: str = VERSIONS[-1]) -> dict[str, Any]:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        reply = await self.request("initialize", params)
        self.notify("notifications/initialized")
        result: dict[str, Any] = reply["result"]
        return result

    def end_of_stream(self) -> None:
        """Sends no more, but goes on reading."""
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def checked(result: dict[str, Any]) -> dict[str, Any]:
    """A tool's result whose text and structured content say the same."""
    assert [block["type"] for block in result["content"]] == ["text"]
    text = result["content"][0]["text"]
    assert json.loads(text) == result["structuredContent"]
    assert text == json.dumps(result["structuredContent"], ensure_ascii=False, separators=(",", ":"))
    return result


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} on the wire")


async def socket_pair() -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], ...]:
    """Two connected ends with real transports; the first takes lines of 64 MiB."""
    ends = socket.socketpair()
    return (
        await asyncio.open_unix_connection(sock=ends[0], limit=64 * 1024 * 1024),
        await asyncio.open_unix_connection(sock=ends[1]),
    )


@contextlib.asynccontextmanager
async def serving(
    core: Any = CORE, env: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[RawClient, asyncio.Task[int]]]:
    """A raw client and the task that serves it, whose result is the exit code; `env` is what its workers get."""
    mine, theirs = await socket_pair()
    task = asyncio.ensure_future(serve(core, Client("mcp", "0", cwd="/nowhere", env=env or {}), *theirs))
    client = RawClient(*mine)
    try:
        yield client, task
    finally:
        await client.close()
        await asyncio.wait_for(task, PATIENCE)


@contextlib.asynccontextmanager
async def connected(core: Any = CORE) -> AsyncIterator[RawClient]:
    """A raw client after the handshake."""
    async with serving(core) as (client, _):
        await client.initialize()
        yield client


@contextlib.asynccontextmanager
async def sdk_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Any]:
    """A connection as the SDK's client takes it."""

    async def pump_in(stream: Any) -> None:
        async with stream:
            while line := await reader.readline():
                await stream.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False)))

    async def pump_out(stream: Any) -> None:
        async for item in stream:
            writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await writer.drain()
        writer.write_eof()

    async with create_client_server_memory_streams() as (client_side, server_side):
        async with anyio.create_task_group() as group:
            group.start_soon(pump_in, server_side[1])
            group.start_soon(pump_out, server_side[0])
            yield client_side
            group.cancel_scope.cancel()
    writer.close()


@contextlib.asynccontextmanager
async def sdk_client(mode: str, core: Any = CORE, **options: Any) -> AsyncIterator[SdkClient]:
    """The SDK's client in one era (`legacy` or a version), connected over a socket."""
    mine, theirs = await socket_pair()
    task = asyncio.ensure_future(serve(core, Client("mcp", "0", cwd="/nowhere", env={}), *theirs))
    async with SdkClient(sdk_streams(*mine), mode=mode, **options) as client:
        yield client
    assert await asyncio.wait_for(task, PATIENCE) == 0


def add_tool(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    handler: Callable[[Any, Any], Awaitable[Any]],
    kind: type[ToolInput] | None = None,
    **facts: Any,
) -> None:
    """Puts a tool of a test beside the real ones, or in the place of one; it goes through the real `table.call`."""
    model = table.BY_NAME.get(name, table.BY_NAME["codex_status"])
    made = replace(model, name=name, handler=handler, input=kind or model.input, **facts)
    monkeypatch.setitem(table.BY_NAME, name, made)


class AnythingInput(ToolInput, frozen=True):
    """Takes any JSON under `value`."""

    value: Any = None


class AnythingOutput(ToolOutput, frozen=True):
    value: Any = None


def give(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """A tool that answers `value`."""

    async def handler(caller: Any, asked: Any) -> AnythingOutput:
        return AnythingOutput(value=value)

    add_tool(monkeypatch, name, handler)


class Gate:
    """A tool that says when it began, and ends when the test says so."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.tidied = asyncio.Event()

    async def __call__(self, caller: Any, asked: Any) -> AnythingOutput:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            self.tidied.set()
            raise
        return AnythingOutput(value="gone through")


async def soon(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), PATIENCE)
