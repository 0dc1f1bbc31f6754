"""Real Codex goes on in a worker's conversation, over MCP: of one that has ended, and of one that is interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import endpoint, no_service_left
from tests.support.repo import git, make_repo
from tests.system.test_one_sidecar import front_end, prompt

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(180)]
PATCH = "*** Begin Patch\n*** Update File: b.txt\n@@\n-two\n+two, mended\n*** End Patch\n"


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"a.txt": "one\n", "b.txt": "two\n"})
    with no_service_left(path):
        yield path


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as served:
        yield served


def environment(tmp_path: Path, model: ScriptedModel, shape: str) -> dict[str, str]:
    home = write_codex_home(tmp_path / "codex", model.url, shape)
    return {"CODEX_HOME": str(home), "CODEX_SIDECAR_CODEX": str(native_codex())}


def report(summary: str, *files: str) -> dict[str, object]:
    return {"json": {"summary": summary, "modifiedFiles": list(files)}}


async def ask(boss: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await boss.call(tool, arguments)
    assert not answer["isError"], answer
    found: dict[str, Any] = answer["structuredContent"]
    return found


async def result(boss: Any, job: dict[str, Any]) -> dict[str, Any]:
    """What a job has come to, once it has ended."""
    waited = await ask(boss, "codex_wait_any", jobIds=[job["jobId"]], timeoutMs=50_000)
    assert waited["completedJobId"] == job["jobId"], await ask(boss, "codex_status")
    return await ask(boss, "codex_result", jobId=job["jobId"])


def asked(model: ScriptedModel, words: str) -> list[str]:
    """The input of each request whose newest task begins with these words: JSON, without the backslashes in it."""
    found = []
    for request in model.requests:
        tasks = [
            text["text"]
            for item in request["input"]
            if item.get("role") == "user" and isinstance(item.get("content"), list)
            for text in item["content"]
            if "SCRIPT:" in text.get("text", "")
        ]
        if tasks and tasks[-1].startswith(words):
            found.append(json.dumps(request["input"]).replace("\\", ""))
    return found


def in_order(text: str, *parts: str) -> bool:
    """Whether the text holds all parts one after the other."""
    for part in parts:
        _, found, text = text.partition(part)
        if not found:
            return False
    return True


def files(answer: dict[str, Any]) -> list[str]:
    return [file["path"] for file in answer["touchedFiles"]]


@pytest.mark.parametrize("shape", ["gpt-5.5", "gpt-6.1-sol"])
async def test_a_finished_worker_is_gone_on_with(repo: Path, tmp_path: Path, model: ScriptedModel, shape: str) -> None:
    async with front_end("mcp", repo, environment(tmp_path, model, shape)) as boss:
        first_task = prompt("First words.", {"sh": "echo more-of-it >> a.txt; cat a.txt"}, report("first", "a.txt"))
        first = await ask(boss, "codex_spawn", prompt=first_task, sandbox="workspace-write", title="both files")
        before = await result(boss, first)
        assert (before["status"], before["modifiedFiles"], files(before)) == ("done", ["a.txt"], ["a.txt"])
        second_task = prompt("Second words.", {"patch": PATCH}, report("second", "b.txt"))
        second = await ask(boss, "codex_resume", jobId=first["jobId"], prompt=second_task)
        assert (second["label"], second["title"], second["sandbox"]) == ("w2", "both files", "workspace-write")
        then = await result(boss, second)
        assert (then["status"], then["finalMessage"]) == ("done", "second")
        assert (then["modifiedFiles"], files(then), then["reportMissing"]) == (["b.txt"], ["b.txt"], False)
        for request in asked(model, "Second words."):
            # The task, what the command printed, the answer, the new task.
            assert in_order(
                request, "First words.", "onenmore-of-it", '"role": "assistant"', '"first"', "Second words."
            )
        # The first one once more: the conversation has the second's turn too, and its tokens count once.
        third_task = prompt("Third words.", report("third"))
        third = await ask(boss, "codex_resume", jobId=first["jobId"], prompt=third_task)
        last = await result(boss, third)
        (request,) = asked(model, "Third words.")
        assert in_order(request, "First words.", "Second words.", '"role": "assistant"', '"second"', "Third words.")
        tokens = [answer["usage"]["inputTokens"] for answer in (before, then, last)]
        assert tokens == [100 * len(asked(model, words)) for words in ("First", "Second", "Third")]
        assert (last["modifiedFiles"], files(last)) == ([], [])
        assert files(await ask(boss, "codex_result", jobId=first["jobId"])) == ["a.txt"]
    assert (repo / "a.txt").read_text() == "one\nmore-of-it\n"
    assert (repo / "b.txt").read_text() == "two, mended\n"
    assert git(repo, "rev-list", "--count", "HEAD").strip() == "1"


def sleepers(repo: Path) -> list[psutil.Process]:
    """Processes of a worker of this repository that sleep."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cmdline"] == ["sleep", "613"] and process.info["cwd"] == str(repo):
            found.append(process)
    return found


@pytest.mark.parametrize(("shape", "killed"), [("gpt-5.5", False), ("gpt-6.1-sol", False), ("gpt-5.5", True)])
async def test_a_running_worker_is_interrupted_and_gone_on_with(
    repo: Path, tmp_path: Path, model: ScriptedModel, shape: str, killed: bool
) -> None:
    env = environment(tmp_path, model, shape)
    async with front_end("mcp", repo, env) as boss:
        first_task = prompt(
            "First words.",
            {"sh": "echo more-of-it >> a.txt; cat a.txt"},
            {"sh": "sleep 613", "args": {"yield_time_ms": 30_000}},
            report("never", "a.txt"),
        )
        first = await ask(boss, "codex_spawn", prompt=first_task, sandbox="workspace-write")
        for _ in range(1200):
            if sleepers(repo):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail(f"it never slept: {await ask(boss, 'codex_status')}")
        second_task = prompt("Second words.", {"sh": "cat a.txt; echo again >> b.txt"}, report("second", "b.txt"))
        second = await ask(boss, "codex_resume", jobId=first["jobId"], prompt=second_task)
        assert second["status"] == "queued"
        if killed:
            where = endpoint(repo)
            assert where is not None
            os.kill(where["pid"], signal.SIGKILL)
            await asyncio.wait_for(boss.ended.wait(), 30)
    async with front_end("mcp", repo, env) as boss:
        before = await result(boss, first)
        assert (before["status"], files(before)) == ("cancelled", ["a.txt"])
        assert before["error"]["details"] == {"interruptedBy": second["jobId"]}
        assert not sleepers(repo)
        then = await result(boss, second)
        assert (then["status"], then["finalMessage"]) == ("done", "second")
        assert (then["modifiedFiles"], files(then)) == (["b.txt"], ["b.txt"])
        assert len((await ask(boss, "codex_status"))["jobs"]) == 2
    requests = asked(model, "Second words.")
    assert len(requests) == 2, "it ran once"
    for request in requests:
        assert in_order(request, "First words.", "onenmore-of-it", "Second words.")
    assert (repo / "a.txt").read_text() == "one\nmore-of-it\n"
    assert (repo / "b.txt").read_text() == "two\nagain\n"
    assert git(repo, "rev-list", "--count", "HEAD").strip() == "1"
