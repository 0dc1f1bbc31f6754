"""Real Codex workers collide in each way there is; a boss over MCP hears of it and repairs it in each way there is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from tests.support import mcp
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import no_service_left
from tests.support.referee import Referee
from tests.support.repo import git, make_repo
from tests.system.test_one_sidecar import front_end

pytestmark = [pytest.mark.codex, pytest.mark.slow]
TEXT = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"app.py": TEXT, "README.md": "hello\n"})
    with no_service_left(path):
        yield path


@pytest.fixture(params=["gpt-5.5", "gpt-6.1-sol"])
async def boss(repo: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[mcp.RawClient]:
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url, request.param)
        env = {"CODEX_HOME": str(home), "CODEX_SIDECAR_CODEX": str(native_codex())}
        async with front_end("mcp", repo, env) as client:
            yield client


async def call(boss: mcp.RawClient, tool: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await boss.call(tool, arguments))["structuredContent"]
    return answer


async def act(boss: mcp.RawClient, tool: str, **arguments: Any) -> dict[str, Any]:
    """Both steps."""
    preview = await call(boss, tool, **arguments)
    assert preview["preview"]["text"]
    return await call(boss, tool, **arguments, token=preview["token"])


async def spawn(boss: mcp.RawClient, title: str, *steps: object) -> str:
    prompt = f"{title}. {MARKER} {json.dumps(steps)}"
    job = await call(boss, "codex_spawn", prompt=prompt, title=title, sandbox="workspace-write")
    name: str = job["jobId"]
    return name


async def ended(boss: mcp.RawClient, *jobs: str) -> None:
    remaining = list(jobs)
    while remaining:
        remaining = (await call(boss, "codex_wait_any", jobIds=remaining, timeoutMs=5000))["remainingJobIds"]


def patch(number: int, words: str, **modifiers: object) -> dict[str, object]:
    body = (
        f"*** Begin Patch\n*** Update File: app.py\n@@\n line {number - 1}\n-line {number}\n+{words}\n*** End Patch\n"
    )
    return {"patch": body, **modifiers}


def report(**modifiers: object) -> dict[str, object]:
    return {"json": {"summary": "did it", "modifiedFiles": ["app.py"]}, **modifiers}


async def collide(boss: mcp.RawClient, repo: Path, second: str) -> tuple[str, str, dict[str, Any]]:
    """The first worker patches line 4; when that is known the second one's command `second` runs."""
    with Referee(repo, repo.parent / "known") as referee:
        one = await spawn(boss, "first", patch(4, "four by w1"), report(**referee.after("second")))
        two = await spawn(boss, "second", {"sh": second, **referee.after("first")}, report())
        await ended(boss, one, two)
    (conflict,) = (await call(boss, "codex_conflicts"))["conflicts"]
    assert (await call(boss, "codex_result", jobId=one))["conflicts"] == [conflict["conflictId"]]
    return one, two, conflict


def rewrite(before: str, after: str) -> str:
    """A command that puts the text of the baseline back, but for one line, in one rename."""
    return f"git show HEAD:app.py | sed 's/^{before}$/{after}/' > new.tmp && mv new.tmp app.py"


async def test_a_lost_update_is_merged(boss: mcp.RawClient, repo: Path) -> None:
    _, _, conflict = await collide(boss, repo, rewrite("line 9", "nine by w2"))
    assert (conflict["kind"], conflict["severity"], conflict["mergeable"]) == ("lost-update", "error", True)
    done = await act(boss, "codex_resolve", conflictId=conflict["conflictId"], strategy="merge")
    assert (repo / "app.py").read_text() == TEXT.replace("line 4", "four by w1").replace("line 9", "nine by w2")
    assert (await call(boss, "codex_conflicts"))["conflicts"] == []
    await act(boss, "codex_restore", snapshotId=done["snapshotId"])
    assert (repo / "app.py").read_text() == TEXT.replace("line 9", "nine by w2")


async def test_an_overlapping_edit_is_kept_from_one_of_them(boss: mcp.RawClient, repo: Path) -> None:
    one, _, conflict = await collide(boss, repo, rewrite("line 4", "four by w2"))
    assert (conflict["kind"], conflict["severity"], conflict["mergeable"]) == ("overlapping-edit", "warning", False)
    refused = await boss.call("codex_resolve", {"conflictId": conflict["conflictId"], "strategy": "merge"})
    assert refused["isError"] is True
    await act(boss, "codex_resolve", conflictId=conflict["conflictId"], strategy="keep", jobId=one)
    assert (repo / "app.py").read_text() == TEXT.replace("line 4", "four by w1")


async def test_an_edit_and_a_deletion_are_run_again_one_by_one(boss: mcp.RawClient, repo: Path) -> None:
    one, two, conflict = await collide(boss, repo, "rm app.py")
    assert (conflict["kind"], conflict["severity"]) == ("edit-and-delete", "warning")
    again = await act(boss, "codex_rerun")
    assert [job["replaces"] for job in again["jobs"]] == [one, two]
    await ended(boss, *(job["jobId"] for job in again["jobs"]))
    assert not (repo / "app.py").exists()
    assert (await call(boss, "codex_conflicts"))["conflicts"] == []


async def test_different_parts_are_dismissed_and_all_is_rolled_back(boss: mcp.RawClient, repo: Path) -> None:
    _, _, conflict = await collide(boss, repo, "sed 's/^line 9$/nine/' app.py > new.tmp && mv new.tmp app.py")
    assert (conflict["kind"], conflict["severity"]) == ("same-file-edit", "information")
    await call(boss, "codex_resolve", conflictId=conflict["conflictId"], strategy="dismiss")
    assert (await call(boss, "codex_conflicts"))["conflicts"] == []
    (repo / "README.md").write_text("mine\n")
    await act(boss, "codex_rollback")
    assert (repo / "app.py").read_text() == TEXT
    assert git(repo, "status", "--porcelain") == " M README.md\n"


async def test_a_reconcile_worker_ends_the_conflict(boss: mcp.RawClient, repo: Path) -> None:
    _, _, conflict = await collide(boss, repo, rewrite("line 4", "four by w2"))
    done = await act(boss, "codex_resolve", conflictId=conflict["conflictId"], strategy="reconcile")
    (job,) = done["jobs"]
    await ended(boss, job["jobId"])
    result = await call(boss, "codex_result", jobId=job["jobId"])
    assert result["status"] == "done", result
    assert (await call(boss, "codex_conflicts"))["conflicts"] == []
