"""Tool calls as JSON lines: many at a time, cancelled, garbled, too long, and left alone by their client."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.service import cli_connection
from sidecar.tools import table
from sidecar.tools.caller import Caller, Client
from tests.support.service import eventually

PATIENCE = 30.0
CLIENT = Client(frontend="cli", version="0.1.0", cwd="/somewhere", env={})


class Calls:
    """Handlers that stand in for those of two real tools, so that a test decides when a call ends."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.started = 0
        self.finished = 0
        self.cancelled = 0
        self.text = "x"

    async def handler(self, caller: Caller, checked: Any) -> Any:
        self.started += 1
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1
        return {"text": self.text}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    scripted = Calls()
    for name in ("codex_wait_any", "codex_status"):
        monkeypatch.setitem(table.BY_NAME, name, dataclasses.replace(table.BY_NAME[name], handler=scripted.handler))
    return scripted


class Line:
    """The client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serving: asyncio.Task[int]) -> None:
        self.reader, self.writer, self.serving = reader, writer, serving

    def send(self, value: Any) -> None:
        self.writer.write(value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n")

    async def read(self) -> dict[str, Any]:
        return dict(json.loads(await asyncio.wait_for(self.reader.readuntil(b"\n"), PATIENCE)))

    async def ask(self, value: Any) -> dict[str, Any]:
        self.send(value)
        return await self.read()


@asynccontextmanager
async def connected(core: Any = None) -> AsyncIterator[Line]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours, limit=limits.CLIENT_QUEUE_BYTES)
    their_reader, their_writer = await asyncio.open_connection(sock=theirs, limit=limits.MESSAGE_BYTES_MAX)
    serving = asyncio.create_task(cli_connection.serve(core, CLIENT, their_reader, their_writer))
    try:
        yield Line(reader, writer, serving)
    finally:
        writer.close()
        assert await asyncio.wait_for(serving, PATIENCE) == 0
        their_writer.close()


WAIT = {"tool": "codex_wait_any", "arguments": {"jobIds": ["j"]}}
STATUS = {"tool": "codex_status", "arguments": {}}


async def test_an_error_of_a_tool_comes_with_its_four_members() -> None:
    async with connected() as line:
        answer = await line.ask({"id": "a", **STATUS})
    assert answer["id"] == "a"
    assert answer["error"]["kind"] == "not-a-repository"
    assert answer["error"]["details"] == {"directory": "/somewhere"}
    assert set(answer["error"]) == {"kind", "message", "hint", "details"}


async def test_calls_run_side_by_side_and_answer_as_they_end(calls: Calls) -> None:
    async with connected(object()) as line:
        for number in range(20):
            line.send({"id": number, **WAIT})
        # Refused at once, while the twenty wait.
        assert (await line.ask({"id": 99, "tool": "no_such"}))["error"]["kind"] == "invalid-arguments"
        assert calls.started == 20
        calls.release.set()
        answers = [await line.read() for _ in range(20)]
    assert sorted(answer["id"] for answer in answers) == list(range(20))
    assert all(answer["result"] == {"text": "x"} for answer in answers)


async def test_cancel_ends_a_wait_and_nothing_else(calls: Calls) -> None:
    async with connected(object()) as line:
        line.send({"id": 1, **WAIT})
        line.send({"id": 2, **WAIT})
        line.send({"id": 3, **STATUS})
        line.send({"cancel": 1})
        assert await line.read() == {"id": 1, "cancelled": True}
        for nothing in (1, 3, 77, "x"):
            line.send({"cancel": nothing})
        calls.release.set()
        answers = [await line.read(), await line.read()]
    assert sorted(answer["id"] for answer in answers) == [2, 3]
    assert all("result" in answer for answer in answers)


async def test_a_cancel_right_behind_its_call_is_answered_too(calls: Calls) -> None:
    async with connected(object()) as line:
        line.send(json.dumps({"id": 1, **WAIT}).encode() + b'\n{"cancel": 1}\n')
        assert await line.read() == {"id": 1, "cancelled": True}
        # The id is free again.
        calls.release.set()
        assert await line.ask({"id": 1, **WAIT}) == {"id": 1, "result": {"text": "x"}}


@pytest.mark.parametrize(
    ("sent", "number", "field"),
    [
        (b"nonsense\n", None, "line"),
        (b"[]\n", None, "line"),
        (b"[" * 200_000 + b"\n", None, "line"),
        ({"tool": "codex_status"}, None, "id"),
        ({"id": None, "tool": "codex_status"}, None, "id"),
        ({"id": True, "tool": "codex_status"}, 1, "id"),
        ({"id": 1}, 1, "tool"),
        ({"id": 1, "tool": 5}, 1, "tool"),
        ({"id": 1, "tool": "codex_status", "arguments": [1]}, 1, "arguments"),
        ({"id": 1, "tool": "codex_status", "arguments": {"nope": 1}}, 1, "nope"),
        ({"cancel": []}, None, "id"),
    ],
)
async def test_what_is_no_call_is_answered_by_name_and_the_next_is_served(
    calls: Calls, sent: Any, number: int | None, field: str
) -> None:
    calls.release.set()
    async with connected(object()) as line:
        answer = await line.ask(sent)
        assert answer["error"]["kind"] == "invalid-arguments"
        assert answer["error"]["details"]["field"] == field
        assert answer["id"] == number or answer["id"] is True
        assert (await line.ask({"id": 9, **STATUS}))["id"] == 9


async def test_an_id_in_use_is_refused(calls: Calls) -> None:
    async with connected(object()) as line:
        line.send({"id": 1, **WAIT})
        assert (await line.ask({"id": 1, **STATUS}))["error"]["details"]["field"] == "id"


async def test_past_the_most_calls_at_a_time_the_next_is_refused(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_connection, "REQUESTS_MAX", 3)
    async with connected(object()) as line:
        for number in range(3):
            line.send({"id": number, **WAIT})
        assert (await line.ask({"id": 3, **WAIT}))["error"]["kind"] == "limit-reached"


async def test_a_line_past_the_limit_is_passed_over() -> None:
    async with connected() as line:
        line.send(
            b'{"id": 1, "x": "'
            + b"y" * (3 * limits.MESSAGE_BYTES_MAX)
            + b'"}\n'
            + json.dumps({"id": 2, **STATUS}).encode()
            + b"\n"
        )
        first, second = await line.read(), await line.read()
    assert first["id"] is None
    assert "longer than" in first["error"]["message"]
    assert second["id"] == 2


async def test_the_largest_line_is_taken() -> None:
    async with connected(object()) as line:
        body = json.dumps({"id": 1, "tool": "codex_spawn", "arguments": {"prompt": ""}}).encode()
        pad = b"p" * (limits.MESSAGE_BYTES_MAX - len(body))
        line.send(body.replace(b'"prompt": ""', b'"prompt": "' + pad + b'"') + b"\n")
        answer = await line.read()
    assert answer["id"] == 1
    assert answer["error"]["details"]["field"] == "prompt"


async def test_a_client_that_leaves_cancels_its_waits_and_nothing_else(calls: Calls) -> None:
    async with connected(object()) as line:
        line.send({"id": 1, **WAIT})
        line.send({"id": 2, **STATUS})
        await eventually(lambda: calls.started == 2)
        line.writer.transport.abort()
        await asyncio.wait_for(line.serving, PATIENCE)
        await eventually(lambda: calls.cancelled)
        calls.release.set()
        await eventually(lambda: calls.finished)
    assert (calls.cancelled, calls.finished) == (1, 1)


async def test_a_client_that_ends_its_sending_still_gets_its_answers(calls: Calls) -> None:
    async with connected(object()) as line:
        line.send({"id": 1, **WAIT})
        line.send({"id": 2, **STATUS})
        line.writer.write_eof()
        await asyncio.sleep(0.4)
        calls.release.set()
        assert {(await line.read())["id"], (await line.read())["id"]} == {1, 2}


async def test_a_client_that_does_not_read_is_disconnected(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_QUEUE_BYTES", 3_000_000)
    calls.text = "x" * 1_000_000
    calls.release.set()
    async with connected(object()) as line:
        line.reader._transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(10):
            line.send({"id": number, **STATUS})
        await asyncio.wait_for(line.serving, PATIENCE)


async def test_names_that_are_no_utf8_reach_the_client(calls: Calls) -> None:
    calls.text = "a\udcffb"
    calls.release.set()
    async with connected(object()) as line:
        assert await line.ask({"id": 1, **STATUS}) == {"id": 1, "result": {"text": "a\udcffb"}}


async def test_an_unexpected_failure_is_internal_without_a_traceback(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(table, "call", broken)
    async with connected(object()) as line:
        error = (await line.ask({"id": 1, **STATUS}))["error"]
    assert error["kind"] == "internal"
    assert "secret" not in json.dumps(error)


def test_sidecar_error_survives_the_wire() -> None:
    error = SidecarError("busy", "m", "h", {"a": 1})
    assert SidecarError(**json.loads(msgspec.json.encode(error.to_dict()))).to_dict() == error.to_dict()
