"""The MCP server as a boss meets it: `codex-sidecar mcp` on standard input and output, all processes real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mcp.client.client import Client as SdkClient
from mcp.client.stdio import StdioServerParameters

from sidecar import __version__
from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from sidecar.model import limits
from sidecar.tools.table import BY_NAME
from tests.support.codex import native_codex, write_codex_home
from tests.support.mcp import MODERN, RawClient
from tests.support.raw import no_service_left, services, wait_until
from tests.support.repo import git, make_repo

SECONDS = 30.0
PROGRAM = (sys.executable, "-m", "sidecar", "mcp")
WORKER = shlex.join([sys.executable, "-m", "sidecar.demo.worker"])


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository whose workers are scripted."""
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", WORKER)
    path = make_repo(tmp_path / "r")
    with no_service_left(path):
        yield path


def task(*steps: Any, summary: str = "done", files: tuple[str, ...] = ()) -> str:
    return f"{MARKER} {json.dumps([*steps, {'json': {'summary': summary, 'modifiedFiles': list(files)}}])}"


@contextlib.asynccontextmanager
async def boss(directory: Path) -> AsyncIterator[tuple[RawClient, asyncio.subprocess.Process]]:
    """The program, and a client on its pipes that checks every byte; standard error must stay empty."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, cwd=directory, stdin=pipe, stdout=pipe, stderr=pipe, limit=64 * 1024 * 1024
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    client = RawClient(process.stdout, process.stdin)
    try:
        yield client, process
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0
        assert await process.stderr.read() == b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await client.close()
        await process.wait()


async def answer(client: SdkClient, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's answer, checked against the whole schema of the table and not only against the listed one."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error is False, result.structured_content
    assert result.structured_content is not None
    jsonschema.validate(result.structured_content, BY_NAME[tool].output_schema)
    return result.structured_content


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_the_loop_of_a_boss(repo: Path, era: str) -> None:
    server = StdioServerParameters(command=PROGRAM[0], args=[*PROGRAM[1:]], cwd=repo, env=dict(os.environ))
    async with SdkClient(server, mode=era) as client:
        await client.list_tools()
        spawned = [
            await answer(client, "codex_spawn", prompt=task(summary=f"answer {number}"), title=f"look {number}")
            for number in range(3)
        ]
        assert [job["label"] for job in spawned] == ["w1", "w2", "w3"]
        pending = [job["jobId"] for job in spawned]
        answers = {}
        while pending:
            waited = await answer(client, "codex_wait_any", jobIds=pending)
            pending = waited["remainingJobIds"]
            if not waited["timedOut"]:
                result = await answer(client, "codex_result", jobId=waited["completedJobId"])
                assert result["status"] == "done", result
                answers[result["label"]] = result["finalMessage"]
        assert answers == {f"w{number + 1}": f"answer {number}" for number in range(3)}
        job = spawned[0]["jobId"]
        short = await answer(client, "codex_result", jobId=job, view="finalMessage", maxChars=3)
        assert (short["finalMessage"], short["finalMessageTruncated"]) == ("ans", True)
        page = await answer(client, "codex_events", jobId=job)
        assert [page["events"][0]["type"], page["events"][-1]["type"], page["done"]] == ["spawned", "final", True]
        assert (await answer(client, "codex_status", jobId=job))["status"] == "done"
        assert [one["label"] for one in (await answer(client, "codex_status"))["jobs"]] == ["w1", "w2", "w3"]
        again = await answer(client, "codex_resume", jobId=job, prompt=task(summary="once more"))
        assert (await answer(client, "codex_wait_any", jobIds=[again["jobId"]]))["completedJobId"] == again["jobId"]
        assert (await answer(client, "codex_cancel", jobId=again["jobId"]))["success"] is False
        checks = {check["name"] for check in (await answer(client, "codex_doctor"))["checks"]}
        assert {"git", "repository"} <= checks
    assert git(repo, "status", "--porcelain") == ""


async def test_a_cancelled_wait_and_the_end_of_the_boss_leave_the_job_alone(repo: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    prompt = task({"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, summary="survived")
    async with boss(repo) as (client, _):
        assert (await client.initialize())["serverInfo"]["version"] == __version__
        job = (await client.call("codex_spawn", {"prompt": prompt}))["structuredContent"]["jobId"]
        waiting = client.start_call("codex_wait_any", {"jobIds": [job]})
        client.notify("notifications/cancelled", {"requestId": waiting})
        status = (await client.call("codex_status", {"jobId": job}))["structuredContent"]["status"]
        assert status in ("starting", "running")
        assert client.replies_to(waiting) == []
        client.start_call("codex_wait_any", {"jobIds": [job]})
    async with boss(repo) as (client, _):
        await client.initialize()
        status = (await client.call("codex_status", {"jobId": job}))["structuredContent"]["status"]
        assert status in ("starting", "running")
        go.touch()
        waited = await client.call("codex_wait_any", {"jobIds": [job]})
        assert waited["structuredContent"]["completedJobId"] == job
        result = await client.call("codex_result", {"jobId": job})
        assert result["structuredContent"]["finalMessage"] == "survived"


async def test_two_bosses_share_the_jobs_and_wait_side_by_side(repo: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    prompt = task({"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"})
    async with boss(repo) as (first, _), boss(repo) as (second, _):
        await first.initialize()
        await second.initialize()
        job = (await first.call("codex_spawn", {"prompt": prompt}))["structuredContent"]["jobId"]
        waits = [client.start_call("codex_wait_any", {"jobIds": [job]}) for client in (first, first, second)]
        jobs = (await second.call("codex_status"))["structuredContent"]["jobs"]
        assert [one["jobId"] for one in jobs] == [job]
        # A child of the sidecar looks like it until its own program runs.
        await asyncio.to_thread(wait_until, lambda: len(services(repo)) == 1, "one sidecar", 5.0)
        go.touch()
        for client, name in zip((first, first, second), waits, strict=True):
            reply = await client.reply(name)
            assert reply["result"]["structuredContent"]["completedJobId"] == job


@pytest.mark.parametrize("closing", [True, False])
def test_a_script_that_pipes_its_requests_gets_all_answers(repo: Path, closing: bool) -> None:
    requests = [
        {
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "x", "version": "1"},
            },
        },
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {"id": 3, "method": "tools/call", "params": {"name": "codex_spawn", "arguments": {"prompt": task()}}},
        {"id": 4, "method": "tools/call", "params": {"name": "codex_spawn", "arguments": {"prompt": 5}}},
    ]
    text = "\n".join(json.dumps({"jsonrpc": "2.0", **request}) for request in requests)
    done = subprocess.run(
        PROGRAM, cwd=repo, input=text + "\n" * closing, capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (0, "")
    replies = {reply["id"]: reply["result"] for reply in map(json.loads, done.stdout.splitlines())}
    assert set(replies) == {1, 2, 3, 4}
    assert replies[1]["protocolVersion"] == "2025-06-18"
    assert replies[3]["structuredContent"]["label"] == "w1"
    assert replies[4]["structuredContent"]["details"]["field"] == "prompt"


async def test_what_is_no_message_passes_the_pump_and_is_answered(repo: Path) -> None:
    async with boss(repo) as (client, _):
        await client.initialize()
        client.send_line(b"hello")
        assert (await client.reply(None))["error"]["code"] == -32700
        client.send_line(b'{"jsonrpc":"2.0","id":"big","x":"' + b"x" * limits.MESSAGE_BYTES_MAX + b'"}')
        assert (await client.reply("big"))["error"]["code"] == -32600
        client.send_line(b'{"jsonrpc":"2.0","id":"deep","x":' + b"[" * 20_000 + b"]" * 20_000 + b"}")
        assert (await client.reply("deep"))["error"]["code"] == -32700
        assert (await client.request("ping"))["result"] == {}


async def test_resources_their_updates_and_the_prompt(repo: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    prompt = task({"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, summary="the end")
    async with boss(repo) as (client, _):
        capabilities = (await client.initialize())["capabilities"]
        assert capabilities["resources"]["subscribe"] is True
        reply = await client.request("prompts/get", {"name": "a2-round", "arguments": {"task": "tidy up"}})
        assert reply["result"]["messages"][0]["content"]["text"].endswith("tidy up")
        job = (await client.call("codex_spawn", {"prompt": prompt}))["structuredContent"]["jobId"]
        uris = [one["uri"] for one in (await client.request("resources/list"))["result"]["resources"]]
        assert uris == [f"codex-sidecar://jobs/{job}/{view}" for view in ("result", "transcript")]
        assert (await client.request("resources/subscribe", {"uri": uris[0]}))["result"] == {}
        go.touch()
        await client.wait_for(lambda one: one.get("method") == "notifications/resources/updated")
        await client.call("codex_wait_any", {"jobIds": [job]})
        text = (await client.request("resources/read", {"uri": uris[0]}))["result"]["contents"][0]["text"]
        assert json.loads(text)["finalMessage"] == "the end"


async def test_outside_a_repository(tmp_path: Path) -> None:
    async with boss(tmp_path) as (client, _):
        assert (await client.initialize())["serverInfo"]["name"] == "codex-cli-wrapper"
        assert len((await client.request("tools/list"))["result"]["tools"]) >= 8
        result = await client.call("codex_spawn", {"prompt": "x"})
        assert (result["isError"], result["structuredContent"]["kind"]) == (True, "not-a-repository")


async def test_a_boss_that_is_killed_leaves_nothing_behind_but_the_sidecar(repo: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*PROGRAM, cwd=repo, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    client = RawClient(process.stdout, process.stdin)
    await client.initialize()
    await client.call("codex_status")
    process.kill()
    await process.wait()
    await client.close()
    async with boss(repo) as (other, _):
        await other.initialize()
        assert (await other.call("codex_status"))["isError"] is False
        assert len(services(repo)) == 1


@pytest.mark.codex
def test_the_real_codex_as_boss(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codex lists the tools, spawns, waits, reads an error and the result; the model sees what the sidecar said."""
    server = "mcp__codex_cli_wrapper__"
    steps: list[Any] = [
        {"mcp": f"{server}codex_spawn", "args": {"prompt": task(summary="the worker's answer"), "title": "look"}},
        {"mcp": f"{server}codex_result", "args": {"jobId": "unknown"}},
        {"mcp": f"{server}codex_status", "args": {}},
        {"message": "all done"},
    ]
    with ScriptedModel() as model:
        config = f"""
[mcp_servers.codex-cli-wrapper]
command = {json.dumps(PROGRAM[0])}
args = {json.dumps([*PROGRAM[1:]])}
required = true
startup_timeout_sec = 60
supports_parallel_tool_calls = true
default_tools_approval_mode = "approve"
[mcp_servers.codex-cli-wrapper.env]
CODEX_SIDECAR_CODEX = {json.dumps(WORKER)}
"""
        # To this model Codex shows a server's tools at once; to older ones only after a search.
        home = write_codex_home(tmp_path / "codex", model.url, model="gpt-6")
        with (home / "config.toml").open("a") as file:
            file.write(config)
        monkeypatch.setenv("CODEX_HOME", str(home))
        done = subprocess.run(
            [native_codex(), "exec", "--json", "-s", "danger-full-access", f"{MARKER} {json.dumps(steps)}"],
            cwd=repo, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
    calls = [
        event["item"]
        for event in events
        if event["type"] == "item.completed" and event["item"]["type"] == "mcp_tool_call"
    ]
    assert [call["tool"] for call in calls] == ["codex_spawn", "codex_result", "codex_status"]
    spawned, missing, status = [call["result"]["structured_content"] for call in calls]
    assert missing["kind"] == "unknown-job"
    assert [job["jobId"] for job in status["jobs"]] == [spawned["jobId"]]
    seen = json.dumps([body["input"] for body in model.requests])
    assert spawned["jobId"] in seen
    assert "unknown-job" in seen
    wait_until(lambda: not _unfinished(repo), "the worker ends")


def _unfinished(repo: Path) -> list[Any]:
    text = subprocess.run(
        [sys.executable, "-m", "sidecar", "status", "--json"], cwd=repo, check=True, capture_output=True, text=True
    ).stdout
    final = ("done", "failed", "cancelled", "interrupted")
    return [job for job in json.loads(text)["jobs"] if job["status"] not in final]
