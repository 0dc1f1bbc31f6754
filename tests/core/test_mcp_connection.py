"""One connection, byte by byte: both eras, calls and their errors, and nothing printed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sidecar import __version__
from sidecar.model.errors import SidecarError
from tests.support.mcp import (
    META,
    MODERN,
    VERSIONS,
    AnythingInput,
    AnythingOutput,
    Gate,
    add_tool,
    checked,
    connected,
    give,
    serving,
    soon,
)

LISTS = {
    "prompts/list": ("prompts", 1),
    "resources/list": ("resources", 0),
    "resources/templates/list": ("resourceTemplates", 5),
}
"""Each list with its member, and how many entries it has outside a repository."""


# -- both eras ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [*VERSIONS, "1999-01-01", MODERN])
async def test_the_handshake(asked: str) -> None:
    async with serving() as (client, _):
        result = await client.initialize(asked)
        assert result["protocolVersion"] == (asked if asked in VERSIONS else VERSIONS[-1])
        assert result["serverInfo"] == {"name": "codex-cli-wrapper", "title": "Codex Sidecar", "version": __version__}
        assert set(result["capabilities"]) == {"tools", "prompts", "resources"}
        assert "codex_wait_any" in result["instructions"]
        assert (await client.request("ping"))["result"] == {}
        assert len((await client.request("tools/list"))["result"]["tools"]) >= 8
        assert (await client.call("codex_status", {"jobId": 1}))["isError"] is True


async def test_the_stateless_era() -> None:
    async with serving(None) as (client, _):
        found = (await client.request("server/discover", {"_meta": META}))["result"]
        assert found["supportedVersions"] == [MODERN]
        assert "codex_wait_any" in found["instructions"]
        listed = (await client.request("tools/list", {"_meta": META}))["result"]
        assert listed["resultType"] == "complete"
        assert listed["tools"][0]["name"] == "codex_spawn"
        reply = await client.request("tools/call", {"name": "codex_status", "arguments": {}, "_meta": META})
        assert checked(reply["result"])["structuredContent"]["kind"] == "not-a-repository"
        for method, (member, number) in LISTS.items():
            assert len((await client.request(method, {"_meta": META}))["result"][member]) == number
        for gone in ("ping", "logging/setLevel", "initialize"):
            assert "error" in await client.request(gone, {"_meta": META})


async def test_lists_have_one_page() -> None:
    async with connected(None) as client:
        for method, (member, number) in LISTS.items():
            result = (await client.request(method))["result"]
            assert set(result) == {member}
            assert len(result[member]) == number
            assert (await client.request(method, {}))["result"] == result
        for method in (*LISTS, "tools/list"):
            assert (await client.request(method, {"cursor": "abc"}))["error"]["code"] == -32602
        assert (await client.request("prompts/get", {"name": "x"}))["error"]["code"] == -32602
        assert (await client.request("resources/read", {"uri": "x:y"}))["error"]["code"] == -32602


async def test_nothing_is_served_before_the_handshake_but_ping() -> None:
    async with serving() as (client, _):
        assert (await client.request("tools/list"))["error"]["code"] == -32602
        assert (await client.request("ping"))["result"] == {}


async def test_a_handshake_and_requests_in_one_piece() -> None:
    async with serving() as (client, _):
        start = client.start(
            "initialize",
            {"protocolVersion": VERSIONS[-1], "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
        )
        client.notify("notifications/initialized")
        listed = client.start("tools/list")
        assert "result" in await client.reply(start)
        assert "result" in await client.reply(listed)


# -- calls --------------------------------------------------------------------------------------------------------


async def test_an_answer_is_structured_and_text_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"none": None, "list": [None, {"deep": None}], "text": "ä\u2028\n\x00😀", "big": 10**30, "float": 1.5}
    give(monkeypatch, "test_values", value)
    async with connected() as client:
        result = await client.call("test_values")
        assert result["structuredContent"] == {"value": value}
        assert result["isError"] is False


async def test_halves_of_surrogate_pairs_break_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "test_values", ["a\ud800b", "\ud83d\ude00"])
    async with connected() as client:
        assert (await client.call("test_values"))["structuredContent"] == {"value": ["a\ufffdb", "\U0001f600"]}
        result = await client.call("codex_status", {"jobId": "\ud800", "\udfff": 1})
        assert result["structuredContent"]["kind"] in ("invalid-arguments", "internal")
        name = client.start("tools/\ud800")
        assert (await client.reply(name))["error"]["code"] == -32601
        assert (await client.request("tools/call", {"name": "\ud800"}))["error"]["code"] == -32602


async def test_an_answer_that_is_no_json_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "test_values", float("nan"))
    async with connected() as client:
        result = await client.call("test_values")
        assert result["isError"] is True
        assert result["structuredContent"]["kind"] == "internal"


async def test_a_failed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(caller: Any, asked: Any) -> AnythingOutput:
        raise SidecarError("dirty-tree", "No.", "Commit.", {"files": ["a", "ä"]})

    async def crash(caller: Any, asked: Any) -> AnythingOutput:
        raise ZeroDivisionError("secret words")

    add_tool(monkeypatch, "test_refuse", refuse)
    add_tool(monkeypatch, "test_crash", crash)
    async with connected() as client:
        result = await client.call("test_refuse")
        assert result["isError"] is True
        assert result["structuredContent"] == {
            "kind": "dirty-tree",
            "message": "No.",
            "hint": "Commit.",
            "details": {"files": ["a", "ä"]},
        }
        result = await client.call("test_crash")
        assert result["structuredContent"]["kind"] == "internal"
        assert "secret" not in json.dumps(result)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"jobId": 5}, "jobId"),
        ({"jobId": "x", "force": "yes"}, "force"),
        ({"jobId": "x", "force": 1}, "force"),
        ({"job_id": "x"}, "job_id"),
        ({}, "jobId"),
    ],
)
async def test_bad_arguments_are_a_tool_error_that_names_the_field(arguments: dict[str, Any], field: str) -> None:
    async with connected() as client:
        result = await client.call("codex_cancel", arguments)
        assert result["isError"] is True
        assert result["structuredContent"]["kind"] == "invalid-arguments"
        assert result["structuredContent"]["details"]["field"] == field


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"name": "no_such_tool"},
        {"name": "codex_Status"},
        {"name": ""},
        {"name": 5},
        {"name": None},
        {"name": "codex_status", "arguments": []},
        {"name": "codex_status", "arguments": "x"},
        {"name": "codex_status", "arguments": {}, "_meta": 5},
    ],
)
async def test_calls_that_are_none_are_protocol_errors(params: Any) -> None:
    async with connected() as client:
        reply = await client.request("tools/call", params)
        assert reply["error"]["code"] == -32602
        if isinstance(params, dict) and isinstance(params.get("name"), str) and "arguments" not in params:
            assert reply["error"]["data"]["kind"] == "invalid-arguments"
            assert "codex_spawn" in reply["error"]["data"]["hint"]


async def test_a_tool_of_the_editor_is_none_of_a_boss(monkeypatch: pytest.MonkeyPatch) -> None:
    add_tool(monkeypatch, "test_gate", Gate(), editor_only=True)
    async with connected() as client:
        assert (await client.request("tools/call", {"name": "test_gate"}))["error"]["code"] == -32602


async def test_outside_a_repository_every_tool_says_so() -> None:
    arguments: dict[str, dict[str, Any]] = {
        "codex_spawn": {"prompt": "-x"},
        "codex_wait_any": {"jobIds": ["x"]},
        "codex_resume": {"jobId": "x", "prompt": "y"},
        **{name: {"jobId": "x"} for name in ("codex_events", "codex_result", "codex_cancel")},
    }
    async with connected(None) as client:
        tools = (await client.request("tools/list"))["result"]["tools"]
        for tool in tools:
            result = await client.call(tool["name"], arguments.get(tool["name"], {}))
            assert result["isError"] is True
            assert result["structuredContent"]["kind"] == "not-a-repository"


async def test_calls_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Gate(), Gate()
    add_tool(monkeypatch, "test_first", first, waits=True)
    add_tool(monkeypatch, "test_second", second, waits=True)
    async with connected() as client:
        one, two = client.start_call("test_first"), client.start_call("test_second")
        await soon(first.begun)
        await soon(second.begun)
        assert (await client.request("ping"))["result"] == {}
        second.go.set()
        assert (await client.reply(two))["result"]["structuredContent"] == {"value": "gone through"}
        assert not client.replies_to(one)
        first.go.set()
        assert "result" in await client.reply(one)


async def test_a_thousand_calls_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(caller: Any, asked: Any) -> AnythingOutput:
        return AnythingOutput(value=asked.value)

    add_tool(monkeypatch, "test_echo", echo, AnythingInput)
    async with connected() as client:
        names = [client.start_call("test_echo", {"value": number}) for number in range(1000)]
        for number, name in enumerate(names):
            assert (await client.reply(name))["result"]["structuredContent"] == {"value": number}


# -- the process ------------------------------------------------------------------------------------------------------

SCRIPT = """
import asyncio, importlib, logging, socket, sys, threading, warnings
warnings.simplefilter("error")

async def main():
    before = asyncio.get_event_loop_policy()
    connection = await asyncio.to_thread(importlib.import_module, "sidecar.mcp.connection")
    assert asyncio.get_event_loop_policy() is before
    assert logging.getLogger().handlers == [] and logging.getLogger().level == logging.WARNING
    from sidecar.tools.caller import Client
    mine, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=mine)
    ends = await asyncio.open_unix_connection(sock=theirs)
    task = asyncio.ensure_future(connection.serve(None, Client("mcp", "0", cwd="/", env={}), *ends))
    hello = b'{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}'
    writer.write(b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":' + hello + b'}\\n')
    await reader.readline()
    for line in (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', b'nonsense',
                 b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}',
                 b'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"codex_status"}}',
                 b'{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"nope"}}',
                 b'{"jsonrpc":"2.0","id":5,"method":"no/such"}'):
        writer.write(line + b"\\n")
    for _ in range(5):
        await reader.readline()
    writer.write_eof()
    assert await task == 0
    writer.close()
    await writer.wait_closed()
    assert logging.getLogger().handlers == [] and logging.getLogger("mcp").handlers == []
    assert {thread.name for thread in threading.enumerate()} <= {"MainThread", "asyncio_0"}

asyncio.run(main())
"""


def test_nothing_is_printed_or_configured() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""
