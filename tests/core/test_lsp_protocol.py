"""JSON-RPC and the life of a connection: exactly one reply to each request, whatever comes."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import pathlib
import threading
from typing import Any

import pytest

from sidecar.lsp import protocol
from sidecar.lsp.server import SidecarServer
from sidecar.model import limits
from sidecar.model.errors import ERROR_KINDS, SidecarError
from tests.support.lsp import (
    MISSING,
    PATIENCE,
    AnythingInput,
    AnythingOutput,
    RawClient,
    ScriptedCore,
    add_tool,
    connected,
    eventually,
    serving,
)

EXECUTE = "workspace/executeCommand"


async def echo(caller: Any, asked: AnythingInput) -> AnythingOutput:
    return AnythingOutput(value=asked.value)


class Slow:
    """A tool that waits for ever and tells what became of it."""

    def __init__(self, cleanup: float = 0.0) -> None:
        self.started = asyncio.Event()
        self.cleaned = 0
        self.finished = 0
        self._cleanup = cleanup

    async def __call__(self, caller: Any, asked: AnythingInput) -> AnythingOutput:
        self.started.set()
        try:
            await asyncio.sleep(60)
            self.finished += 1
        finally:
            await asyncio.sleep(self._cleanup)
            self.cleaned += 1
        return AnythingOutput()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()
    add_tool(monkeypatch, "slow", made, AnythingInput)
    add_tool(monkeypatch, "echo", echo, AnythingInput)
    return made


async def alive(client: RawClient) -> bool:
    return "result" in await client.request("codexSidecar/getState")


# -- what is no message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "name"),
    [
        (b"{", -32700, None),
        (b"", -32700, None),
        (b"hello", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700, None),
        ('{"jsonrpc":"2.0","id":1,"method":"x"}'.encode("utf-16"), -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":NaN}}', -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"9" * 5000 + b"}}", -32700, None),
        (b"[" * 20_000 + b"]" * 20_000, -32600, None),
        (
            b'{"jsonrpc":"2.0","id":9,"method":"x","params":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
            -32600,
            9,
        ),
        (b'{"jsonrpc":"2.0","id":9,"method":"x","params":{"a":' + b"[" * 300 + b"]" * 300 + b"}}", -32600, 9),
        (b'[{"jsonrpc":"2.0","id":1,"method":"shutdown"}]', -32600, None),
        (b"[]", -32600, None),
        (b'"text"', -32600, None),
        (b"null", -32600, None),
        (b"{}", -32600, None),
        (b'{"id":9,"method":"shutdown"}', -32600, 9),
        (b'{"jsonrpc":"1.0","id":9,"method":"shutdown"}', -32600, 9),
        (b'{"jsonrpc":"2.0","id":9}', -32600, 9),
        (b'{"jsonrpc":"2.0","id":9,"method":7}', -32600, 9),
        (b'{"jsonrpc":"2.0","id":null,"method":"shutdown"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":[1],"method":"shutdown"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"shutdown"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"shutdown"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":9,"method":"shutdown","params":3}', -32602, 9),
        (b'{"jsonrpc":"2.0","id":9,"method":"codexSidecar/getState","params":[1]}', -32602, 9),
    ],
)
async def test_what_is_no_message_is_answered_once(body: bytes, code: int, name: object) -> None:
    async with connected(ScriptedCore()) as client:
        client.send_body(body) if body else client.send_bytes(b"Content-Length: 0\r\n\r\n")
        reply = await client.wait_for(lambda one: "error" in one)
        assert reply["id"] == name
        assert reply["error"]["code"] == code
        assert await alive(client)
        assert sum("error" in one for one in client.received) == 1


async def test_nesting_up_to_the_limit_is_taken(slow: Slow) -> None:
    value: Any = 1
    # The envelope itself is four levels: message, params, arguments, the argument.
    for _ in range(limits.NESTING_MAX - 4):
        value = [value]
    async with connected(ScriptedCore()) as client:
        assert (await client.call("echo", {"value": value}))["result"] == {"value": value}
        assert (await client.call("echo", {"value": [value]}))["error"]["code"] == -32600


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "?"}},
        {"jsonrpc": "2.0", "id": "nobody asked", "result": 1},
        {"jsonrpc": "2.0", "id": 5, "error": "odd"},
        {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": 5},
        {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": 5}},
        {"jsonrpc": "2.0", "method": "textDocument/didOpen"},
        {"jsonrpc": "2.0", "method": "no/such", "params": {}},
        {"jsonrpc": "2.0", "method": "workspace/didChangeConfiguration", "params": {}},
        {"jsonrpc": "2.0", "method": "$/cancelRequest"},
        {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": [1]}},
        {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "unknown"}},
        {"jsonrpc": "2.0", "method": "$/setTrace", "params": {"value": "compact"}},
        {
            "jsonrpc": "2.0",
            "method": "textDocument/didChange",
            "params": {
                "textDocument": {"uri": "file:///x", "version": 1},
                "contentChanges": [{"text": "never opened"}],
            },
        },
    ],
)
async def test_what_must_not_be_answered_is_not(message: dict[str, Any]) -> None:
    async with connected(ScriptedCore()) as client:
        client.send(message)
        assert await alive(client)
        assert [one for one in client.received if "error" in one] == []
        assert client.of_method("window/showMessage") == []


# -- the life of a connection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [EXECUTE, "codexSidecar/getState", "shutdown", "no/such", "textDocument/hover"])
async def test_before_initialize_requests_are_refused(method: str) -> None:
    async with serving(ScriptedCore()) as (client, _):
        assert (await client.request(method, {}))["error"]["code"] == -32002
        client.notify("textDocument/didOpen", {"textDocument": 1})
        assert await client.initialize()


async def test_a_second_initialize_is_refused() -> None:
    async with connected(ScriptedCore()) as client:
        assert (await client.request("initialize", {"capabilities": {}}))["error"]["code"] == -32600
        assert await alive(client)


async def test_after_shutdown_requests_are_refused() -> None:
    async with serving(ScriptedCore()) as (client, served):
        await client.initialize()
        reply = await client.request("shutdown")
        assert reply["result"] is None
        for method in (EXECUTE, "shutdown", "initialize", "codexSidecar/getState", "no/such"):
            assert (await client.request(method, {}))["error"]["code"] == -32600
        client.notify("exit")
        assert await served == 0
        await asyncio.wait_for(client.ended.wait(), PATIENCE)


async def test_exit_without_shutdown_ends_with_1() -> None:
    async with serving(ScriptedCore()) as (client, served):
        await client.initialize()
        client.notify("exit")
        assert await served == 1


async def test_exit_before_initialize_ends_with_1() -> None:
    async with serving(ScriptedCore()) as (client, served):
        client.notify("exit", None)
        assert await served == 1


@pytest.mark.parametrize(("shut", "code"), [(True, 0), (False, 1)])
async def test_the_end_of_the_stream(shut: bool, code: int) -> None:
    core = ScriptedCore()
    async with serving(core) as (client, served):
        await client.initialize()
        if shut:
            await client.request("shutdown")
        client.writer.write_eof()
        assert await served == code
        assert core.listeners == []


async def test_a_connection_that_breaks_ends_with_1() -> None:
    async with serving(ScriptedCore()) as (client, served):
        await client.initialize()
        client.writer.transport.abort()
        assert await served == 1


async def test_shutdown_and_exit_in_one_breath_are_both_served(slow: Slow) -> None:
    async with serving(ScriptedCore()) as (client, served):
        await client.initialize()
        waiting = client.start(EXECUTE, {"command": "slow"})
        down = client.start("shutdown")
        client.notify("exit")
        assert await served == 0
        assert (await client.reply(waiting))["error"]["code"] == -32800
        assert (await client.reply(down))["result"] is None


# -- requests ---------------------------------------------------------------------------------------------------------


async def test_an_unknown_method_is_told_even_with_odd_parameters() -> None:
    async with connected(ScriptedCore()) as client:
        assert (await client.request("no/such"))["error"]["code"] == -32601
        assert (await client.request("textDocument/definition", {"x": 1}))["error"]["code"] == -32601


@pytest.mark.parametrize(
    "params",
    [MISSING, None, {}, {"x": 1}, {"command": 5}, {"command": "echo", "arguments": {"value": 1}}, {"command": None}],
)
async def test_malformed_commands_are_answered(slow: Slow, params: Any) -> None:
    async with connected(ScriptedCore()) as client:
        error = (await client.request(EXECUTE, params))["error"]
        assert error["code"] == -32602
        assert error["data"]["kind"] == "invalid-arguments"
        assert client.of_method("window/showMessage") == []


@pytest.mark.parametrize("params", [MISSING, None, {}, []])
async def test_parameters_may_be_missing(params: Any) -> None:
    async with connected(ScriptedCore()) as client:
        assert (await client.request("codexSidecar/getState", params))["result"]["full"]
        assert (await client.request("shutdown", params))["result"] is None


ODD = {
    "jsonrpc": "2.0",
    "method": "textDocument/didOpen",
    "id": 1,
    "params": {"jsonrpc": "2.0", "id": 2, "result": {"a": 1}},
    "type_name": "x",
    "job-id": 1,
    "class": [{"_x": None, "error": {"code": 1}}],
    "": 0,
    "ünïcode 😀": "\u2028 \x7f",
    "n": [1.5, -0.0, 10**18, 1e300, True, False, None, ""],
}


async def test_arguments_and_results_pass_unchanged(slow: Slow) -> None:
    async with connected(ScriptedCore()) as client:
        reply = await client.call("echo", {"value": ODD})
        assert json.dumps(reply["result"]) == json.dumps({"value": ODD})


async def test_text_that_is_no_unicode_is_refused_and_the_connection_goes_on(slow: Slow) -> None:
    """Half a surrogate pair is legal in JSON and comes from editors; it has no UTF-8, so no file could hold it."""
    async with connected(ScriptedCore()) as client:
        error = (await client.call("echo", {"value": "\ud83d"}))["error"]
        assert (error["data"]["kind"], error["data"]["details"]["field"]) == ("invalid-arguments", "value")
        assert (await client.call("echo", {"value": "ok"}))["result"] == {"value": "ok"}


async def test_ids_are_kept_as_they_are(slow: Slow) -> None:
    async with connected(ScriptedCore()) as client:
        for name in ("1", 1001, 0, -5, 2**40, "", "ü"):
            client.send({"jsonrpc": "2.0", "id": name, "method": EXECUTE, "params": {"command": "echo"}})
            assert (await client.reply(name))["result"] == {"value": None}


async def test_an_id_that_is_in_use_is_refused_and_the_first_request_goes_on(slow: Slow) -> None:
    async with connected(ScriptedCore()) as client:
        name = client.start(EXECUTE, {"command": "slow"})
        client.send({"jsonrpc": "2.0", "id": name, "method": EXECUTE, "params": {"command": "echo"}})
        assert (await client.reply(name))["error"]["code"] == -32600
        assert slow.cleaned == 0
        client.notify("$/cancelRequest", {"id": name})
        await client.wait_for(lambda one: one.get("error", {}).get("code") == -32800)


@pytest.mark.parametrize(
    "result",
    [
        {"a": datetime.datetime(2026, 1, 1)},
        {"a": {1, 2}},
        {"a": b"x"},
        {"a": object()},
        {"a": pathlib.Path("/secret")},
        {"a": float("nan")},
        {"a": float("-inf")},
        {("a", "b"): 1},
        {"a": SidecarError("busy", "x")},
    ],
)
async def test_a_result_without_json_is_an_error_not_silence(result: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SidecarServer, "get_state", lambda self: result)
    async with connected(ScriptedCore()) as client:
        reply = await client.request("codexSidecar/getState")
        assert reply["error"]["code"] == -32603
        assert "/secret" not in json.dumps(reply)
        assert (await client.request("no/such"))["error"]["code"] == -32601


async def test_a_tool_that_returns_nan_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nan(caller: Any, asked: Any) -> AnythingOutput:
        return AnythingOutput(value=float("nan"))

    add_tool(monkeypatch, "nan", nan)
    async with connected(ScriptedCore()) as client:
        assert (await client.call("nan"))["error"]["code"] == -32603


async def test_an_unexpected_failure_shows_no_traceback_and_no_path(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(caller: Any, asked: Any) -> AnythingOutput:
        raise FileNotFoundError(2, "no such file", "/secret/path")

    def fails_too(self: Any) -> Any:
        raise ZeroDivisionError("/secret/path")

    add_tool(monkeypatch, "fails", fails)
    monkeypatch.setattr(SidecarServer, "get_state", fails_too)
    async with connected(ScriptedCore()) as client:
        for reply in (await client.call("fails"), await client.request("codexSidecar/getState")):
            assert reply["error"]["data"]["kind"] == "internal"
            assert reply["error"]["code"] == -32000
            assert "secret" not in json.dumps(reply)
            assert "Traceback" not in json.dumps(reply)
        assert client.of_method("window/showMessage") == []
    assert "/secret/path" in caplog.text, "the log has what the wire has not"


CODES = {
    "invalid-arguments": -32602,
    "internal": -32000,
    "unknown-job": -32010,
    "unknown-conflict": -32011,
    "unknown-snapshot": -32012,
    "dirty-tree": -32013,
    "not-a-repository": -32014,
    "codex-not-found": -32015,
    "codex-failed": -32016,
    "sandbox-unavailable": -32017,
    "timed-out": -32018,
    "limit-reached": -32019,
    "stale-token": -32020,
    "state-unavailable": -32021,
    "busy": -32022,
}


async def test_every_kind_of_error_has_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(caller: Any, asked: AnythingInput) -> AnythingOutput:
        raise SidecarError(asked.value, "It did not work.", "Try again.", {"field": "x"})

    add_tool(monkeypatch, "refuse", refuse, AnythingInput)
    assert set(CODES) == set(ERROR_KINDS)
    async with connected(ScriptedCore()) as client:
        for kind, code in CODES.items():
            assert (await client.call("refuse", {"value": kind}))["error"] == {
                "code": code,
                "message": "It did not work. Try again.",
                "data": {"kind": kind, "message": "It did not work.", "hint": "Try again.", "details": {"field": "x"}},
            }


# -- cancelling -------------------------------------------------------------------------------------------------------


async def test_cancelling_a_command_cancels_its_tool(slow: Slow) -> None:
    async with connected(ScriptedCore()) as client:
        name = client.start(EXECUTE, {"command": "slow", "arguments": []})
        await slow.started.wait()
        client.notify("$/cancelRequest", {"id": name})
        assert (await client.reply(name))["error"]["code"] == -32800
        assert (slow.cleaned, slow.finished) == (1, 0)
        client.notify("$/cancelRequest", {"id": name})
        assert await alive(client)
        assert len(client.replies_to(name)) == 1


async def test_a_tool_may_finish_in_spite_of_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    started = asyncio.Event()

    async def stubborn(caller: Any, asked: Any) -> AnythingOutput:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return AnythingOutput(value="spawned already")
        return AnythingOutput()

    add_tool(monkeypatch, "stubborn", stubborn)
    async with connected(ScriptedCore()) as client:
        name = client.start(EXECUTE, {"command": "stubborn"})
        await started.wait()
        client.notify("$/cancelRequest", {"id": name})
        assert (await client.reply(name))["result"] == {"value": "spawned already"}


async def test_requests_run_side_by_side(slow: Slow) -> None:
    async with connected(ScriptedCore()) as client:
        names = [client.start(EXECUTE, {"command": "slow"}) for _ in range(20)]
        assert (await client.call("echo", {"value": 1}))["result"] == {"value": 1}
        for name in names:
            client.notify("$/cancelRequest", {"id": name})
            await client.reply(name)
        assert slow.cleaned == 20


async def test_a_flood_of_requests_does_not_hold_up_those_before_it(slow: Slow) -> None:
    async with connected(ScriptedCore()) as client:
        first = client.start(EXECUTE, {"command": "echo"})
        last = [client.start("codexSidecar/getState") for _ in range(50)][-1]
        replies = [await client.reply(first), await client.reply(last)]
        assert client.received.index(replies[0]) < client.received.index(replies[1])


async def test_shutdown_answers_what_is_in_flight_first(slow: Slow) -> None:
    async with serving(ScriptedCore()) as (client, served):
        await client.initialize()
        names = [client.start(EXECUTE, {"command": "slow"}) for _ in range(5)]
        await slow.started.wait()
        assert (await client.request("shutdown"))["result"] is None
        for name in names:
            assert [one["error"]["code"] for one in client.replies_to(name)] == [-32800]
        assert slow.cleaned == 5
        client.notify("exit")
        assert await served == 0


async def test_shutdown_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ENDING_SECONDS", 0.1)
    stubborn = Slow(cleanup=0.5)
    add_tool(monkeypatch, "stubborn", stubborn)
    async with serving(ScriptedCore()) as (client, served):
        await client.initialize()
        name = client.start(EXECUTE, {"command": "stubborn"})
        await stubborn.started.wait()
        assert (await client.request("shutdown"))["result"] is None
        assert (await client.reply(name))["error"]["code"] == -32800
        await asyncio.sleep(0.6)
        assert stubborn.cleaned == 1
        assert len(client.replies_to(name)) == 1
        client.notify("exit")
        assert await served == 0


async def test_the_end_of_the_stream_cancels_what_is_in_flight(slow: Slow) -> None:
    async with serving(ScriptedCore()) as (client, served):
        await client.initialize()
        client.start(EXECUTE, {"command": "slow"})
        await slow.started.wait()
        client.writer.write_eof()
        assert await served == 1
        assert slow.cleaned == 1


async def test_nothing_is_kept_after_many_messages(slow: Slow) -> None:
    seen: list[SidecarServer] = []
    original = SidecarServer.start

    def start(self: SidecarServer) -> None:
        seen.append(self)
        original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SidecarServer, "start", start)
        async with connected(ScriptedCore()) as client:
            document = {"uri": "file:///a", "languageId": "x", "version": 1, "text": ""}
            client.notify("textDocument/didOpen", {"textDocument": document})
            for version in range(200):
                change = {"textDocument": {"uri": "file:///a", "version": version}, "contentChanges": [{"text": "x"}]}
                client.notify("textDocument/didChange", change)
                client.notify("workspace/didChangeConfiguration", {"settings": {}})
                client.start(EXECUTE, {"command": "echo"})
            assert await alive(client)
            kept = seen[0].protocol
            await eventually(lambda: len(kept._request_futures) == len(kept._unanswered) == 0)


def test_pygls_logs_no_bodies() -> None:
    for name in ("pygls.protocol.json_rpc", "pygls.protocol.language_server"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


async def test_the_server_starts_no_thread(slow: Slow) -> None:
    before = set(threading.enumerate())  # One of an earlier test may end meanwhile.
    async with connected(ScriptedCore()) as client:
        for _ in range(20):
            await client.call("echo", {"value": 1})
        assert set(threading.enumerate()) <= before
