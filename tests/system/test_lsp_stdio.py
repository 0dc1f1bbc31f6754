"""The language server as an editor meets it: `codex-sidecar lsp` on standard input and output, all processes real."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_lsp
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from sidecar import __version__
from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from sidecar.model import limits
from sidecar.tools import table
from tests.support.codex import native_codex, write_codex_home
from tests.support.lsp import RawClient
from tests.support.raw import no_service_left
from tests.support.repo import git, make_repo

SECONDS = 30.0
PROGRAM = (sys.executable, "-m", "sidecar", "lsp")


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "r")
    with no_service_left(path):
        yield path


@contextlib.asynccontextmanager
async def raw(directory: Path, **env: str) -> AsyncIterator[tuple[RawClient, asyncio.subprocess.Process]]:
    """The program, and a client on its pipes that checks every byte."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, cwd=directory, env={**os.environ, **env}, stdin=pipe, stdout=pipe
    )
    assert process.stdin is not None
    assert process.stdout is not None
    client = RawClient(process.stdout, process.stdin)
    try:
        yield client, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await client.close()
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> int:
    return await asyncio.wait_for(process.wait(), SECONDS)


async def test_an_editor_of_the_test_library_works_over_stdio(repo: Path) -> None:
    client = pytest_lsp.make_test_lsp_client()
    await client.start_io(*PROGRAM, "--repo", str(repo))
    capabilities = pytest_lsp.client_capabilities("visual-studio-code")
    params = types.InitializeParams(capabilities=capabilities, initialization_options={"limits": {"read": 5}})
    result = await asyncio.wait_for(client.initialize_session(params), SECONDS)
    assert result.server_info == types.ServerInfo("codex-sidecar", __version__)
    assert result.capabilities.execute_command_provider is not None
    assert set(result.capabilities.execute_command_provider.commands) == {tool.name for tool in table.TOOLS}
    status = await client.workspace_execute_command_async(types.ExecuteCommandParams("codex_status"))
    assert status["jobs"] == []
    assert status["limits"]["read"]["limit"] == 5
    with pytest.raises(JsonRpcException) as caught:
        await client.workspace_execute_command_async(
            types.ExecuteCommandParams("codex_result", [{"jobId": "no such job"}])
        )
    assert caught.value.data["kind"] == "unknown-job"
    await asyncio.wait_for(client.shutdown_session(), SECONDS)
    assert client._server is not None
    assert client._server.returncode == 0
    assert not client.messages, "nothing pops up"


@pytest.mark.parametrize(
    ("steps", "code"), [(["shutdown", "exit"], 0), (["exit"], 1), ([], 1), (["shutdown"], 0), (["early exit"], 1)]
)
async def test_exit_codes(repo: Path, steps: list[str], code: int) -> None:
    async with raw(repo) as (client, process):
        if "early exit" not in steps:
            await client.initialize()
        if "shutdown" in steps:
            assert (await client.request("shutdown"))["result"] is None
            assert (await client.request("codexSidecar/getState"))["error"]["code"] == -32600
        if steps[-1:] in (["exit"], ["early exit"]):
            client.notify("exit")
        else:
            client.writer.close()
        assert await ended(process) == code


async def test_outside_a_repository_it_serves_by_itself(tmp_path: Path) -> None:
    async with raw(tmp_path) as (client, process):
        result = await client.initialize()
        assert result["serverInfo"]["name"] == "codex-sidecar"
        error = (await client.call("codex_status"))["error"]
        assert error["data"]["kind"] == "not-a-repository"
        await client.request("shutdown")
        client.notify("exit")
        assert await ended(process) == 0


async def test_two_editors_share_one_sidecar(repo: Path) -> None:
    async with raw(repo) as (first, _), raw(repo) as (second, _):
        for client in (first, second):
            await client.initialize()
            await client.wait_for_method("codexSidecar/state")
        first.notify("workspace/didChangeConfiguration", {"settings": {"codexSidecar": {"limits": {"write": 1}}}})
        note = await second.wait_for(lambda one: bool(one.get("params", {}).get("changed")))
        assert note["params"]["changed"][0]["write"]["limit"] == 1
        states = [(await client.request("codexSidecar/getState"))["result"]["full"] for client in (first, second)]
        assert states[0] == states[1]
    assert git(repo, "status", "--porcelain") == ""


async def test_a_message_that_is_too_long_passes_the_pump_and_is_answered(repo: Path) -> None:
    async with raw(repo) as (client, _):
        await client.initialize()
        prompt = b'{"jsonrpc":"2.0","id":"big","method":"workspace/executeCommand","params":{"x":"'
        body = prompt + b"x" * (limits.MESSAGE_BYTES_MAX + 1) + b'"}}'
        client.send_body(body)
        assert (await client.reply("big"))["error"]["code"] == -32600
        assert (await client.request("codexSidecar/getState"))["result"]


@pytest.mark.codex
async def test_a_worker_from_spawn_to_result(repo: Path, tmp_path: Path) -> None:
    """The real Codex CLI: the tools, the state, the events and the progress all tell the same story."""
    script = '[{"sh": "echo hello; sleep 1"}, {"json": {"summary": "said hello", "modifiedFiles": []}}]'
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url)
        async with raw(repo, CODEX_HOME=str(home), CODEX_SIDECAR_CODEX=str(native_codex())) as (client, process):
            client.answers["window/workDoneProgress/create"] = lambda params: None
            await client.initialize({"ui": {"events": True}}, {"window": {"workDoneProgress": True}})
            task = {"prompt": f"Say hello. {MARKER} {script}", "sandbox": "danger-full-access"}
            job = (await client.call("codex_spawn", task))["result"]
            name = job["jobId"]
            waiting = client.start(
                "workspace/executeCommand", {"command": "codex_wait_any", "arguments": [{"jobIds": [name]}]}
            )
            client.notify("$/cancelRequest", {"id": waiting})
            assert (await client.reply(waiting))["error"]["code"] == -32800
            waited = (await client.call("codex_wait_any", {"jobIds": [name]}))["result"]
            assert waited["completedJobId"] == name
            result = (await client.call("codex_result", {"jobId": name}))["result"]
            assert (result["status"], result["finalMessage"]) == ("done", "said hello")
            await client.wait_for(lambda one: "'kind': 'end'" in str(one.get("params")))
            await client.wait_for(lambda one: "'type': 'final'" in str(one.get("params")))
            check_events(client, name, await all_events(client, name))
            await client.wait_for(lambda one: has_ended(one, name))  # The state comes at most twice a second.
            check_state(client, name)
            check_progress(client)
            await client.request("shutdown")
            client.notify("exit")
            assert await ended(process) == 0


async def all_events(client: RawClient, name: str) -> list[dict[str, Any]]:
    """What the tool `codex_events` has, page by page."""
    found: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"jobId": name}
    while True:
        page = (await client.call("codex_events", asked))["result"]
        found += page["events"]
        asked["cursor"] = page["nextCursor"]
        if page["done"]:
            return found


def check_events(client: RawClient, name: str, expected: list[dict[str, Any]]) -> None:
    notes = client.of_method("codexSidecar/events")
    assert {note["jobId"] for note in notes} == {name}
    assert [event for note in notes for event in note["events"]] == expected
    assert [event["seq"] for event in expected] == list(range(1, len(expected) + 1))
    assert {"spawned", "tool_call", "tool_result", "final"} <= {event["type"] for event in expected}


def has_ended(message: dict[str, Any], name: str) -> bool:
    """Whether it is a state in which the job is done."""
    items = message["params"].get("changed", []) if message.get("method") == "codexSidecar/state" else []
    return any(item["id"] == name and item["status"] == "done" for item in items)


def check_state(client: RawClient, name: str) -> None:
    notes = client.of_method("codexSidecar/state")
    assert [note["seq"] for note in notes] == list(range(1, len(notes) + 1))
    seen = [item["status"] for note in notes[1:] for item in note["changed"] if item["id"] == name]
    assert seen[-1] == "done"
    assert "running" in seen


def check_progress(client: RawClient) -> None:
    notes = client.of_method("$/progress")
    assert len({note["token"] for note in notes}) == 1
    first, *middle, last = [note["value"] for note in notes]
    assert (first["kind"], first["message"].removesuffix(", 1 waiting")) == ("begin", "0 of 1 done")
    assert {value["kind"] for value in middle} <= {"report"}
    assert (last["kind"], last["message"]) == ("end", "1 of 1 done")
