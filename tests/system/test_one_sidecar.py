"""An editor, a boss and a terminal lead real Codex workers of one repository together, and all see the same jobs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from tests.support import lsp, mcp
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import endpoint, is_alive, no_service_left, wait_until
from tests.support.repo import git, make_repo

pytestmark = [pytest.mark.codex, pytest.mark.slow]


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"a.txt": "one\n", "b.txt": "two\n"})
    with no_service_left(path):
        yield path


@pytest.fixture(params=["gpt-5.5", "gpt-6.1-sol"])
def codex(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment in which real Codex workers ask the scripted model; both ways of offering tools."""
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url, request.param)
        yield {"CODEX_HOME": str(home), "CODEX_SIDECAR_CODEX": str(native_codex())}


@contextlib.asynccontextmanager
async def front_end(name: str, repo: Path, env: dict[str, str]) -> AsyncIterator[Any]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", name, cwd=repo, env={**os.environ, **env}, stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    assert process.stdin is not None
    client = {"lsp": lsp.RawClient, "mcp": mcp.RawClient}[name](process.stdout, process.stdin)
    await client.initialize()
    try:
        yield client
    finally:
        await client.close()
        await asyncio.wait_for(process.wait(), 20)


async def terminal(repo: Path, env: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", *arguments, "--json",
        cwd=repo, env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, json.loads(out)


def prompt(words: str, *steps: object) -> str:
    return f"{words} {MARKER} {json.dumps(steps)}"


PATCH = (
    "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+one, mended\n*** Add File: new/c.txt\n+three\n*** End Patch\n"
)


async def test_three_front_ends_share_the_jobs_of_one_sidecar(repo: Path, codex: dict[str, str]) -> None:
    async with front_end("mcp", repo, codex) as boss, front_end("lsp", repo, codex) as editor:
        writer = (
            await boss.call(
                "codex_spawn",
                {
                    "prompt": prompt(
                        "Mend a.txt.",
                        {"patch": PATCH},
                        {"sh": "echo more >> b.txt; git add -A; git commit -qm no; echo status $?"},
                        {"json": {"summary": "mended", "modifiedFiles": ["a.txt", "new/c.txt", "b.txt"]}},
                    ),
                    "sandbox": "workspace-write",
                },
            )
        )["structuredContent"]
        code, reader = await terminal(
            repo,
            codex,
            "spawn",
            prompt("Wait.", {"sh": "sleep 60", "args": {"yield_time_ms": 30000}}, {"message": "?"}),
        )
        assert code == 0
        assert [writer["label"], reader["label"]] == ["w1", "w2"]
        ids = [writer["jobId"], reader["jobId"]]

        # The editor sees both, and stops the reader; the boss hears of both ends.
        await editor.wait_for(lambda one: ids[1] in str(one.get("params")))
        await editor.wait_for(lambda one: "running sleep 60" in str(one.get("params")))
        stopped = (await editor.call("codex_cancel", {"jobId": ids[1], "force": True}))["result"]
        assert stopped["success"] is True
        ended = []
        remaining = ids
        while remaining:
            answer = (await boss.call("codex_wait_any", {"jobIds": remaining}))["structuredContent"]
            assert answer["completedJobId"]
            ended.append((answer["completedJobId"], answer["status"]))
            remaining = answer["remainingJobIds"]
        assert sorted(ended) == sorted([(ids[0], "done"), (ids[1], "cancelled")])

        # The same answer for everybody.
        from_boss = (await boss.call("codex_result", {"jobId": ids[0]}))["structuredContent"]
        from_editor = (await editor.call("codex_result", {"jobId": ids[0]}))["result"]
        code, from_terminal = await terminal(repo, codex, "result", "w1")
        assert code == 0
        assert from_boss == from_editor == from_terminal
        assert from_boss["finalMessage"] == "mended"
        assert from_boss["modifiedFiles"] == ["a.txt", "new/c.txt", "b.txt"]
        assert from_boss["touchedFiles"] == [
            {"path": "a.txt", "change": "modified", "attribution": "seen"},
            {"path": "new/c.txt", "change": "added", "attribution": "seen"},
            {"path": "b.txt", "change": "modified", "attribution": "seen"},
        ]
        assert (repo / "a.txt").read_text() == "one, mended\n"
        assert (repo / "b.txt").read_text() == "two\nmore\n"
        assert git(repo, "log", "--oneline").count("\n") == 1, "the sandbox keeps a worker from committing"


async def test_a_worker_survives_the_sidecar_and_goes_on_under_the_same_id(repo: Path, codex: dict[str, str]) -> None:
    go = repo.parent / "go"
    slow = prompt(
        "Slowly.",
        {
            "sh": f"until [ -e {go} ]; do sleep 0.05; done; echo late >> a.txt",
            "args": {"yield_time_ms": 30000},
        },
        {"json": {"summary": "finished", "modifiedFiles": ["a.txt"]}},
    )
    code, job = await terminal(repo, codex, "spawn", slow, "--sandbox", "workspace-write")
    assert code == 0
    async with front_end("mcp", repo, codex) as boss:
        status: dict[str, Any] = {"activity": None}
        while "until" not in (status["activity"] or ""):
            status = (await boss.call("codex_status", {"jobId": job["jobId"]}))["structuredContent"]
            assert status["finishedAt"] is None, status
            await asyncio.sleep(0.05)
        page = (await boss.call("codex_events", {"jobId": job["jobId"]}))["structuredContent"]
        first = endpoint(repo)
        assert first is not None
        os.kill(first["pid"], signal.SIGKILL)
        await asyncio.wait_for(boss.ended.wait(), 30)
    go.touch()
    async with front_end("mcp", repo, codex) as boss:
        second = endpoint(repo)
        assert second is not None
        assert second["pid"] != first["pid"]
        answer = (await boss.call("codex_wait_any", {"jobIds": [job["jobId"]], "timeoutMs": 30000}))[
            "structuredContent"
        ]
        assert answer["status"] == "done"
        rest = (await boss.call("codex_events", {"jobId": job["jobId"], "cursor": page["nextCursor"]}))[
            "structuredContent"
        ]
        kinds = [event["content"]["kind"] for event in page["events"] + rest["events"]]
        assert kinds.count("spawned") == kinds.count("final") == kinds.count("turn-completed") == 1
        assert [event["seq"] for event in page["events"] + rest["events"]] == list(range(1, len(kinds) + 1))
        assert rest["done"] is True
        result = (await boss.call("codex_result", {"jobId": job["jobId"]}))["structuredContent"]
        assert (result["finalMessage"], result["exitCode"]) == ("finished", 0)
        assert (repo / "a.txt").read_text() == "one\nlate\n"

        # Its conversation goes on in a new job, which may write as the first one might.
        resumed = (
            await boss.call(
                "codex_resume",
                {
                    "jobId": job["jobId"],
                    "prompt": prompt(
                        "Again.",
                        {"sh": "echo again >> a.txt"},
                        {"json": {"summary": "twice", "modifiedFiles": ["a.txt"]}},
                    ),
                },
            )
        )["structuredContent"]
        assert resumed["label"] == "w2"
        await boss.call("codex_wait_any", {"jobIds": [resumed["jobId"]], "timeoutMs": 30000})
        again = (await boss.call("codex_result", {"jobId": resumed["jobId"]}))["structuredContent"]
        assert (again["status"], again["finalMessage"]) == ("done", "twice")
        assert (repo / "a.txt").read_text() == "one\nlate\nagain\n"
        assert again["usage"]["inputTokens"] == result["usage"]["inputTokens"], "counted once"


async def test_a_cancelled_danger_worker_leaves_no_process(repo: Path, codex: dict[str, str]) -> None:
    torture = prompt(
        "Do not die.",
        {
            "sh": "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; echo $$ >> pids; sleep 100' &);"
            " echo $$ >> pids; sleep 100",
            "args": {"yield_time_ms": 30000},
        },
        {"message": "?"},
    )
    code, job = await terminal(repo, codex, "spawn", torture, "--sandbox", "danger-full-access")
    assert code == 0
    pids = repo / "pids"
    both = lambda: pids.exists() and pids.read_text().count("\n") == 2  # noqa: E731
    await asyncio.to_thread(wait_until, both, "both shells run")
    running = [int(pid) for pid in pids.read_text().split()]
    assert all(map(is_alive, running))
    code, answer = await terminal(repo, codex, "cancel", job["jobId"], "--force")
    assert (code, answer["success"]) == (0, True)
    code, answer = await terminal(repo, codex, "wait-any", job["jobId"])
    assert answer["status"] == "cancelled"
    assert not any(map(is_alive, running))
