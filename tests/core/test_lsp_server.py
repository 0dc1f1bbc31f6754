"""The language server as its clients see it: capabilities, options, settings, documents, commands."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.io_ import run_async
from pygls.lsp.client import LanguageClient

from sidecar import __version__
from sidecar.lsp import protocol
from sidecar.lsp.connection import serve
from sidecar.lsp.server import SidecarServer
from sidecar.model.errors import SidecarError
from sidecar.model.inputs import EventsInput
from sidecar.model.outputs import EventsOutput
from sidecar.tools import table
from sidecar.tools.caller import Client
from tests.support.lsp import (
    PATIENCE,
    AnythingInput,
    AnythingOutput,
    ScriptedCore,
    add_tool,
    connected,
    eventually,
    fast_state,
    serving,
    socket_pair,
)

EXECUTE = "workspace/executeCommand"


@contextlib.asynccontextmanager
async def pygls_client(core: Any) -> AsyncIterator[LanguageClient]:
    """An editor's side made of pygls, over the same kind of connection."""
    (reader, writer), theirs = await socket_pair()
    served = asyncio.ensure_future(serve(core, Client("lsp", "0", cwd="/nowhere", env={}), *theirs))
    client = LanguageClient("editor", "1")
    client.protocol.set_writer(writer)
    reading = asyncio.ensure_future(run_async(threading.Event(), reader, client.protocol))
    try:
        yield client
    finally:
        writer.close()
        await asyncio.wait_for(served, PATIENCE)
        await asyncio.wait_for(reading, PATIENCE)


def servers(monkeypatch: pytest.MonkeyPatch) -> list[SidecarServer]:
    """The server objects that will be made."""
    made: list[SidecarServer] = []
    original = SidecarServer.take_options

    def noted(self: SidecarServer, value: object) -> None:
        made.append(self)
        original(self, value)

    monkeypatch.setattr(SidecarServer, "take_options", noted)
    return made


# -- initialize -------------------------------------------------------------------------------------------------------


async def test_a_pygls_client_goes_through_a_whole_life(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(caller: Any, asked: Any) -> Any:
        raise SidecarError("busy", "Not now.", "Later.", {"jobId": "j"})

    async def works(caller: Any, asked: AnythingInput) -> AnythingOutput:
        return AnythingOutput(value=asked.value)

    add_tool(monkeypatch, "fails", fails)
    add_tool(monkeypatch, "works", works, AnythingInput)
    async with pygls_client(ScriptedCore()) as client:
        result = await client.initialize_async(types.InitializeParams(capabilities=types.ClientCapabilities()))
        assert result.server_info == types.ServerInfo("codex-sidecar", __version__)
        sync = result.capabilities.text_document_sync
        assert isinstance(sync, types.TextDocumentSyncOptions)
        assert (sync.open_close, sync.change) == (True, types.TextDocumentSyncKind.Incremental)
        commands = result.capabilities.execute_command_provider
        assert commands is not None
        assert list(commands.commands) == [tool.name for tool in table.TOOLS]
        client.initialized(types.InitializedParams())
        params = types.ExecuteCommandParams("works", [{"value": {"job-id": 1}}])
        assert await client.workspace_execute_command_async(params) == {"value": {"job-id": 1}}
        with pytest.raises(JsonRpcException) as caught:
            await client.workspace_execute_command_async(types.ExecuteCommandParams("fails"))
        assert caught.value.code == -32022
        assert caught.value.message == "Not now. Later."
        assert caught.value.data == {"kind": "busy", "message": "Not now.", "hint": "Later.", "details": {"jobId": "j"}}
        assert await client.shutdown_async(None) is None
        client.exit(None)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"capabilities": {}},
        {"processId": 1, "rootUri": "file:///tmp", "rootPath": "/tmp", "capabilities": {}, "locale": "de"},
        {"capabilities": {}, "trace": "compact"},
        {"capabilities": {"textDocument": {"documentSymbol": {"symbolKind": {"valueSet": [1, 99]}}}}},
        {"capabilities": {"general": {"positionEncodings": ["utf-7"]}, "newThing": {"a": 1}}},
        {"capabilities": {"workspace": 5, "window": {"workDoneProgress": True}}},
        {"capabilities": {}, "workspaceFolders": [{"uri": "untitled:x", "name": "x"}], "clientInfo": {"name": "x"}},
        {"capabilities": {}, "rootUri": "no uri at all"},
        {"capabilities": {}, "workspaceFolders": "odd", "clientInfo": 3, "unknown": [1]},
    ],
)
async def test_initialize_takes_what_it_can(params: dict[str, Any]) -> None:
    async with serving(ScriptedCore()) as (client, _):
        reply = await client.request("initialize", params)
        assert reply["result"]["serverInfo"] == {"name": "codex-sidecar", "version": __version__}


@pytest.mark.parametrize("params", [{"capabilities": 5}, {"processId": "x", "capabilities": {}}])
async def test_an_initialize_without_sense_is_refused_and_may_be_sent_again(params: dict[str, Any]) -> None:
    async with serving(ScriptedCore()) as (client, _):
        assert (await client.request("initialize", params))["error"]["code"] == -32602
        assert await client.initialize()


async def test_a_capability_that_is_unknown_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    made = servers(monkeypatch)
    capabilities = {"workspace": {"applyEdit": "yes!", "x": 1}, "textDocument": 7, "window": {"workDoneProgress": True}}
    async with connected(ScriptedCore(), capabilities=capabilities):
        known = made[0].client_capabilities
        assert known.window is not None
        assert known.window.work_done_progress is True
        assert known.text_document is None


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["utf-8", "utf-16"], "utf-8"), (["utf-16"], "utf-16"), (None, "utf-16")]
)
async def test_the_position_encoding_is_the_clients_choice(offered: Any, chosen: str) -> None:
    general = {"positionEncodings": offered} if offered else {}
    async with serving(ScriptedCore()) as (client, _):
        result = await client.initialize(capabilities={"general": general})
        assert result["capabilities"]["positionEncoding"] == chosen


# -- options and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"ui": {"state": True}}, {"codexSidecar": {}, "ui": {"state": True}}])
async def test_a_client_that_routes_by_itself_is_told_no_commands(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def works(caller: Any, asked: Any) -> AnythingOutput:
        return AnythingOutput(value=1)

    add_tool(monkeypatch, "codex_status", works)
    async with serving(ScriptedCore()) as (client, _):
        result = await client.initialize(options)
        assert result["capabilities"]["executeCommandProvider"]["commands"] == []
        assert (await client.call("codex_status"))["result"] == {"value": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"limits": {"read": 5}},
        {"limits.read": 5},
        {"codexSidecar": {"limits": {"read": 5}}},
        {"codexSidecar.limits.read": 5, "ui": {}},
        {"codexSidecar": {"limits": {"read": 5}, "trace": {"server": "off"}}, "limits": {"read": 6}},
    ],
)
async def test_settings_come_with_initialize(options: dict[str, Any]) -> None:
    core = ScriptedCore()
    async with connected(core, options) as client:
        assert core.settings.limits.read == 5
        assert client.of_method("window/logMessage") == []


@pytest.mark.parametrize("options", [None, {}, {"ui": {"events": True}}, {"unknown": 1}, {"codexSidecar": {"x": 1}}])
async def test_a_client_without_settings_leaves_those_of_another(options: Any) -> None:
    core = ScriptedCore()
    core.apply_settings({"limits": {"read": 3}})
    async with connected(core, options):
        assert core.settings.limits.read == 3


@pytest.mark.parametrize(
    ("options", "about"),
    [
        ([1], "initializationOptions"),
        ("x", "initializationOptions"),
        ({"ui": 3}, "initializationOptions.ui"),
        ({"ui": {"state": "yes", "events": False}}, "initializationOptions.ui.state"),
        ({"codexSidecar": 7}, "codexSidecar"),
        ({"limits": {"read": "many"}}, "limits.read"),
        ({"limits": {"read": 0}}, "limits.read"),
        ({"logLevel": "loud"}, "logLevel"),
    ],
)
async def test_bad_options_are_warned_about_and_their_defaults_hold(options: Any, about: str) -> None:
    core = ScriptedCore()
    async with connected(core, options) as client:
        warning = await client.wait_for_method("window/logMessage")
        assert warning["params"]["type"] == 2
        assert about in warning["params"]["message"]
        assert core.settings.limits.read == 8
        assert client.of_method("window/showMessage") == []


async def test_pushed_settings_are_taken() -> None:
    core = ScriptedCore()
    async with connected(core, {"limits": {"read": 5}}) as client:
        client.notify("workspace/didChangeConfiguration", {"settings": {"codexSidecar": {"limits": {"read": 2}}}})
        await eventually(lambda: core.settings.limits.read == 2)
        client.notify("workspace/didChangeConfiguration", {"settings": {"codexSidecar": {"limits": {"write": "?"}}}})
        warning = await client.wait_for_method("window/logMessage")
        assert "limits.write" in warning["params"]["message"]
        for nothing in ({"other": {}}, None, [], {"codexSidecar": None}, {"codexSidecar": {"x": 1}}):
            client.notify("workspace/didChangeConfiguration", {"settings": nothing})
        await client.request("codexSidecar/getState")
        assert len(core.announced) == 3


async def test_settings_are_pulled_from_a_client_that_answers() -> None:
    core = ScriptedCore()
    capabilities = {"workspace": {"configuration": True}}
    async with serving(core) as (client, _):
        section: Any = {"limits": {"read": 4}}
        asked = []
        client.answers["workspace/configuration"] = lambda params: asked.append(params) or [section]
        await client.initialize(capabilities=capabilities)
        await eventually(lambda: core.settings.limits.read == 4)
        assert asked == [{"items": [{"section": "codexSidecar"}]}]
        section = {"limits": {"read": 6}}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await eventually(lambda: core.settings.limits.read == 6)
        section = None
        client.notify("workspace/didChangeConfiguration", {"settings": {}})
        await eventually(lambda: len(asked) == 3)
        assert core.settings.limits.read == 6


async def test_options_with_settings_are_not_overruled_by_a_pull() -> None:
    core = ScriptedCore()
    async with connected(core, {"limits": {"read": 4}}, {"workspace": {"configuration": True}}) as client:
        assert (await client.request("codexSidecar/getState"))["result"]
        assert client.of_method("workspace/configuration") == []


async def test_a_client_that_can_register_is_asked_for_changes() -> None:
    async with connected(
        ScriptedCore(), capabilities={"workspace": {"didChangeConfiguration": {"dynamicRegistration": True}}}
    ) as client:
        asked = await client.wait_for_method("client/registerCapability")
        (one,) = asked["params"]["registrations"]
        assert one["method"] == "workspace/didChangeConfiguration"
        assert one["registerOptions"] == {"section": "codexSidecar"}


@pytest.mark.parametrize("answer", [None, {"error": {"code": -32601, "message": "no"}}, {"error": 5}, {"result": 7}])
async def test_a_client_that_does_not_answer_a_question_holds_up_nothing(
    answer: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "ASK_SECONDS", 0.1)
    made = servers(monkeypatch)
    core = ScriptedCore()
    async with connected(core, capabilities={"workspace": {"configuration": True}}) as client:
        question = await client.wait_for_method("workspace/configuration")
        if answer is not None:
            client.send({"jsonrpc": "2.0", "id": question["id"], **answer})
        assert (await client.request("codexSidecar/getState"))["result"]
        await asyncio.sleep(0.2)
        late = {"jsonrpc": "2.0", "id": question["id"], "result": [{"limits": {"read": 1}}]}
        client.send(late)
        assert (await client.request("codexSidecar/getState"))["result"]
        assert core.announced == []
        assert made[0].protocol._asked == {}
        assert made[0].protocol._request_futures == {}


async def test_a_second_answer_to_one_question_is_ignored() -> None:
    core = ScriptedCore()
    async with connected(core, capabilities={"workspace": {"configuration": True}}) as client:
        question = await client.wait_for_method("workspace/configuration")
        for value in (3, 4):
            answer = [{"limits": {"read": value}}]
            client.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
        await eventually(lambda: core.settings.limits.read == 3)
        assert (await client.request("codexSidecar/getState"))["result"]
        assert len(core.announced) == 1


# -- documents --------------------------------------------------------------------------------------------------------


async def test_documents_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = servers(monkeypatch)
    uri = "file:///nowhere/a%20b.py"
    async with connected(ScriptedCore()) as client:
        document = {"uri": uri, "languageId": "python", "version": 1, "text": "eins 😀\nzwei\n"}
        client.notify("textDocument/didOpen", {"textDocument": document})
        # UTF-16: the emoji counts two.
        where = {"start": {"line": 0, "character": 7}, "end": {"line": 1, "character": 4}}
        changes = [
            {"range": where, "text": "!"},
            {"text": "drei\n"},
            {"range": {**where, "start": where["end"]}, "text": "x"},
        ]
        identity = {"uri": uri, "version": 2}
        client.notify("textDocument/didChange", {"textDocument": identity, "contentChanges": changes[:1]})
        await client.request("codexSidecar/getState")
        workspace = made[0].workspace
        assert workspace.get_text_document(uri).source == "eins 😀!\n"
        client.notify("textDocument/didChange", {"textDocument": identity, "contentChanges": changes[1:]})
        await client.request("codexSidecar/getState")
        assert workspace.get_text_document(uri).source == "drei\nx"
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        await client.request("codexSidecar/getState")
        assert workspace.text_documents == {}


# -- commands ---------------------------------------------------------------------------------------------------------


async def test_the_one_argument_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    async def works(caller: Any, asked: AnythingInput) -> AnythingOutput:
        return AnythingOutput(value=asked.value)

    add_tool(monkeypatch, "codex_status", works, AnythingInput)
    async with connected(ScriptedCore()) as client:
        for params in ({}, {"arguments": None}, {"arguments": []}, {"arguments": [{}]}):
            assert (await client.request(EXECUTE, {"command": "codex_status", **params}))["result"] == {"value": None}
        assert (await client.call("codex_status", {"value": [1]}))["result"] == {"value": [1]}
        for arguments in ([{}, {}], [None], [1], ["x"], [[]], [{}, None]):
            error = (await client.call("codex_status", *arguments))["error"]
            assert (error["code"], error["data"]["kind"]) == (-32602, "invalid-arguments")
            assert error["data"]["details"]["field"] == "arguments"


async def test_a_missing_argument_names_the_field() -> None:
    async with connected(ScriptedCore()) as client:
        error = (await client.call("codex_spawn"))["error"]
        assert error["data"]["details"]["field"] == "prompt"
        error = (await client.call("codex_status", {"jobID": "x"}))["error"]
        assert error["data"]["details"]["field"] == "jobID"


async def test_an_unknown_command_is_refused() -> None:
    async with connected(ScriptedCore()) as client:
        error = (await client.call("codexx", {}))["error"]
        assert (error["code"], error["data"]["kind"]) == (-32602, "invalid-arguments")


async def test_a_tool_knows_who_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    callers: list[Any] = []

    async def works(caller: Any, asked: Any) -> AnythingOutput:
        callers.append(caller)
        return AnythingOutput()

    add_tool(monkeypatch, "codex_status", works)
    core = ScriptedCore()
    async with connected(core) as client:
        await client.call("codex_status")
        assert callers[0].core is core
        assert callers[0].client.frontend == "lsp"


ARGUMENTS: dict[str, dict[str, Any]] = {
    "codex_spawn": {"prompt": "x"},
    "codex_wait_any": {"jobIds": ["x"]},
    "codex_events": {"jobId": "x"},
    "codex_result": {"jobId": "x"},
    "codex_cancel": {"jobId": "x"},
    "codex_resume": {"jobId": "x", "prompt": "x"},
}


async def test_outside_a_repository_every_tool_says_so() -> None:
    async with serving(None) as (client, served):
        result = await client.initialize({"ui": {"events": True}}, {"window": {"workDoneProgress": True}})
        assert result["capabilities"]["executeCommandProvider"]["commands"]
        for tool in table.TOOLS:
            error = (await client.call(tool.name, ARGUMENTS.get(tool.name, {})))["error"]
            assert (error["code"], error["data"]["kind"]) == (-32014, "not-a-repository")
        assert (await client.request("codexSidecar/getState"))["error"]["data"]["kind"] == "not-a-repository"
        client.notify("workspace/didChangeConfiguration", {"settings": {"codexSidecar": {"limits": {"read": 2}}}})
        await client.request("shutdown")
        client.notify("exit")
        assert await served == 0
        assert client.of_method("codexSidecar/state") == []


# -- several clients --------------------------------------------------------------------------------------------------


async def test_two_clients_see_the_same_and_each_is_counted_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    core = ScriptedCore()
    async with connected(core) as first:
        core.put("a")
        await first.wait_for(lambda one: one.get("params", {}).get("changed"))
        async with connected(core) as second:
            core.put("b", status="queued")
            for client in (first, second):
                state = await client.request("codexSidecar/getState")
                assert [job["jobId"] for job in state["result"]["full"]["jobs"]] == ["a", "b"]
            await first.wait_for(lambda one: one.get("params", {}).get("seq") == 3)
            assert second.of_method("codexSidecar/state")[0]["seq"] == 1
            first.notify("workspace/didChangeConfiguration", {"settings": {"codexSidecar": {"limits": {"read": 2}}}})
            await second.wait_for(lambda one: "'limit': 2" in str(one.get("params", {}).get("changed")))
        core.put("c")
        assert len(core.listeners) == 1
        assert (await first.request("codexSidecar/getState"))["result"]
    assert core.listeners == []


async def test_a_connection_that_has_ended_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process lives for days; pygls' own caches would keep the last hundred connections and their documents."""
    made: list[weakref.ref[SidecarServer]] = []
    original = SidecarServer.take_options

    def noted(self: SidecarServer, value: object) -> None:
        made.append(weakref.ref(self))
        original(self, value)

    async def no_events(caller: Any, asked: Any) -> EventsOutput:
        return EventsOutput(job_id=asked.job_id, label="w1", events=[], next_cursor="c", done=False)

    monkeypatch.setattr(SidecarServer, "take_options", noted)
    add_tool(monkeypatch, "codex_events", no_events, EventsInput)
    core = ScriptedCore()
    for _ in range(3):
        async with connected(core, {"ui": {"events": True}}, {"window": {"workDoneProgress": True}}) as client:
            core.put("a")
            await client.call("codex_cancel")
            document = {"uri": "file:///a", "languageId": "x", "version": 1, "text": "x"}
            client.notify("textDocument/didOpen", {"textDocument": document})
            await client.request("codexSidecar/getState")
    assert len(made) == 3
    for _ in range(100):  # What the loop has still to run for an end holds it for some turns.
        await asyncio.sleep(0)
    gc.collect()
    assert [one() for one in made] == [None, None, None]
    assert core.listeners == []


def test_a_language_server_does_not_load_the_other_front_end() -> None:
    """`import mcp` takes a second and 25 MB."""
    script = "import sys, sidecar.lsp.connection; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
