"""What a run has used, and limits that stop new spawns: durable, by name, and never a worker that runs."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.demo.script import MARKER
from sidecar.jobs import budgets
from sidecar.model.errors import SidecarError
from sidecar.model.job import Budget, Run, Usage
from tests.support.plain import ended, open_manager, task
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until

SECONDS = 40.0
HOLD = {"sh": "while [ ! -e ../go ]; do sleep 0.02; done"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": "one\n"})


async def refusal(round_: Round, tool: str = "codex_spawn", **arguments: Any) -> SidecarError:
    before = (await round_.call("codex_status"))["jobs"]
    with pytest.raises(SidecarError) as caught:
        await round_.call(tool, **(arguments or {"prompt": "look"}))
    assert caught.value.kind == "limit-reached"
    assert "codex_baseline" in caught.value.hint
    assert len((await round_.call("codex_status"))["jobs"]) == len(before)
    return caught.value


async def run_of(round_: Round) -> dict[str, Any]:
    run: dict[str, Any] = (await round_.call("codex_status"))["run"]
    return run


async def begin_anew(round_: Round) -> None:
    """Begins a new run, once what follows a job's end is done."""
    for _ in range(int(SECONDS / 0.05)):
        try:
            await round_.call("codex_baseline", begin=True, onDirty="snapshot")
            return
        except SidecarError as exc:
            if exc.kind != "busy":
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("the run stays busy")


async def test_no_more_jobs_than_the_run_may_have_and_those_that_run_go_on(repo: Path) -> None:
    async with open_round(repo) as round_:
        baseline = await round_.call("codex_baseline", maxJobs=2)
        assert (await run_of(round_))["budget"] == {"maxTokens": None, "maxJobs": 2, "maxMinutes": None}
        first = await round_.write("one", {"sh": "echo two >> app.py"}, HOLD)
        second = await round_.call("codex_spawn", prompt="look")
        error = await refusal(round_)
        run = await run_of(round_)
        assert error.details == {"limit": "maxJobs", "value": 2, "used": 2, "runId": run["runId"]}
        assert "maxJobs" in error.message
        assert "2 of 2 jobs" in error.message
        assert run["jobs"] == 2
        await refusal(round_, prompt="change", sandbox="workspace-write")
        results = (await round_.call("codex_spawn_group", jobs=[{"prompt": "x"}]))["results"]
        assert [one["error"]["kind"] for one in results] == ["limit-reached"]
        (repo.parent / "go").touch()
        assert await round_.ended(first, second) == ["done", "done"]
        await refusal(round_, "codex_resume", jobId=first["jobId"], prompt="go on")
        assert baseline["head"] == run["head"]


@pytest.mark.parametrize("way", ["commit", "roll back"])
async def test_a_used_up_budget_ends_with_its_run(repo: Path, way: str) -> None:
    async with open_round(repo) as round_:
        await round_.call("codex_baseline", maxJobs=1, maxTokens=1)
        first = await round_.write("one", {"sh": "echo two >> app.py"})
        await round_.ended(first)
        before = await run_of(round_)
        error = await refusal(round_)
        assert ("1 of 1 jobs" in error.message, "commit" in error.hint) == (True, True)
        await refusal(round_, prompt="change", sandbox="workspace-write")
        await refusal(round_, "codex_resume", jobId=first["jobId"], prompt="go on")
        assert await run_of(round_) == before, "a refused spawn changes nothing"
        if way == "commit":
            git(repo, "commit", "-qam", "by a person")
        else:
            await round_.act("codex_rollback")
        for _ in range(2):
            await round_.ended(await round_.call("codex_spawn", prompt="look"))
        # A reader begins no run: it would record a baseline that nobody asked for.
        assert (await run_of(round_))["runId"] == before["runId"]
        await round_.ended(await round_.write("two", {"sh": "echo three >> app.py"}))
        run = await run_of(round_)
        assert (run["runId"] != before["runId"], run["budget"]["maxJobs"], run["jobs"]) == (True, None, 1)


async def test_a_used_up_budget_holds_while_a_writer_runs_or_the_commit_is_a_workers(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.call("codex_baseline", maxJobs=1)
        worker = await round_.write("one", {"sh": "echo two >> app.py; touch ../wrote"}, HOLD)
        await until((repo.parent / "wrote").exists)
        git(repo, "commit", "-qam", "by a person, too early")
        await refusal(round_)
        (repo.parent / "go").touch()
        assert await round_.ended(worker) == ["done"]
        await round_.ended(await round_.call("codex_spawn", prompt="look"))
        await round_.call("codex_baseline", begin=True, maxJobs=1)
        commit = "echo three >> app.py; git -c user.name=w -c user.email=w@w commit -qam w"
        prompt = f"commit {MARKER} {json.dumps([{'sh': commit}])}"
        danger = await round_.call("codex_spawn", prompt=prompt, sandbox="danger-full-access")
        assert await round_.ended(danger) == ["done"]
        assert git(repo, "status", "--porcelain") == ""
        await refusal(round_)


async def test_a_refused_spawn_leaves_a_run_without_changes_as_it_is(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.call("codex_baseline", maxJobs=1)
        await round_.ended(await round_.write("nothing"))
        before = await run_of(round_)
        for _ in range(2):
            await refusal(round_, prompt="change", sandbox="workspace-write")
            await refusal(round_)
        assert await run_of(round_) == before


async def test_a_budget_is_raised_or_left_behind(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.call("codex_baseline", maxJobs=1, maxMinutes=600)
        first = await round_.write("one", {"sh": "echo two >> app.py"})
        await round_.ended(first)
        await refusal(round_)
        await round_.call("codex_baseline", maxJobs=2)
        assert (await run_of(round_))["budget"] == {"maxTokens": None, "maxJobs": 2, "maxMinutes": 600}
        await round_.ended(await round_.call("codex_spawn", prompt="look"))
        await refusal(round_)
        await begin_anew(round_)
        run = await run_of(round_)
        assert (run["budget"]["maxJobs"], run["jobs"]) == (None, 0)
        await round_.ended(await round_.write("two", {"sh": "echo three >> app.py"}))
        assert (await run_of(round_))["jobs"] == 1


async def test_a_budget_holds_over_runs_that_changed_nothing_and_over_a_restart(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.call("codex_baseline", maxJobs=2)
        await round_.ended(await round_.write("nothing"))
    async with open_round(repo) as round_:
        assert (await run_of(round_))["budget"]["maxJobs"] == 2
        await round_.ended(await round_.write("nothing again"))
        assert (await refusal(round_, prompt="change", sandbox="workspace-write")).details["used"] == 2
    async with open_round(repo) as round_:
        await refusal(round_)


@pytest.mark.parametrize(("because", "kept"), [("unchanged", True), ("committed", False), ("begun anew", False)])
async def test_only_a_run_that_changed_nothing_hands_its_budget_on(tmp_path: Path, because: str, kept: bool) -> None:
    before = Run(run_id="run-a", head=None, recorded_at=10.0, began=5.0, first_job=3, budget=Budget(max_jobs=9))
    after = Run(run_id="run-b", head=None, recorded_at=20.0)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        await manager.journal.save(msgspec.structs.replace(before, closed_at=19.0, closed_because=because), after)
        await budgets.enter(manager, after, before, 7)
        expected = (before.budget, 3, 5.0) if kept else (None, 7, 20.0)
        assert (after.budget, after.first_job, after.began) == expected
        assert await manager.journal.open_run() == after
        await budgets.enter(manager, after, before, 8)
        assert after.first_job == expected[1]


async def test_a_budget_is_not_half_set_where_the_journal_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise SidecarError("state-unavailable", "The disk is full.")

    run = Run(run_id="run-b", head=None, recorded_at=20.0)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        monkeypatch.setattr(manager.journal, "save", full)
        with pytest.raises(SidecarError, match="full"):
            await budgets.limit(manager, run, {"max_jobs": 1})
        assert run == Run(run_id="run-b", head=None, recorded_at=20.0)


async def test_a_run_without_a_budget_counts_all_the_same(repo: Path) -> None:
    async with open_round(repo) as round_:
        before = await round_.call("codex_spawn", prompt="look")
        assert await run_of(round_) is None
        one = await round_.write("one", {"sh": "echo two >> app.py"})
        two = await round_.call("codex_spawn", prompt="look")
        await round_.ended(before, one, two)
        run = await run_of(round_)
        assert run["jobs"] == 2
        usages = [(await round_.call("codex_result", jobId=job["jobId"]))["usage"] for job in (one, two)]
        assert all(usage["inputTokens"] > 0 for usage in usages)
        assert run["usage"] == {name: sum(usage[name] for usage in usages) for name in usages[0]}


async def test_tokens_of_a_conversation_count_once(tmp_path: Path) -> None:
    run = Run(run_id="run-2", head=None, recorded_at=0.0, first_job=2)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        outside = await manager.spawn(task("print('usage 1000')", tmp_path), on_dirty="refuse")
        await ended(manager, outside.job_id, SECONDS)
        first = await manager.spawn(task("print('thread T1'); print('usage 7')", tmp_path), on_dirty="refuse")
        await ended(manager, first.job_id, SECONDS)
        facts = {"resumes": first.job_id, "resume_thread": "T1"}
        then = await manager.spawn(task("print('usage 12')", tmp_path, **facts), on_dirty="refuse")
        await ended(manager, then.job_id, SECONDS)
        found = await budgets.spent(manager, run)
        assert (found.jobs, found.usage) == (2, Usage(input_tokens=12))


@pytest.mark.parametrize(
    ("given", "limit", "used"),
    [
        ({"max_tokens": 15}, None, None),
        ({"max_tokens": 14}, "maxTokens", 14),
        ({"max_tokens": 1}, "maxTokens", 14),
        ({"max_minutes": 5}, "maxMinutes", 5.0),
        ({"max_minutes": 6}, None, None),
        ({"max_jobs": 2}, "maxJobs", 2),
        ({"max_jobs": 3, "max_tokens": 15, "max_minutes": 6}, None, None),
        ({"max_jobs": 3, "max_tokens": 15, "max_minutes": 4}, "maxMinutes", 5.0),
    ],
)
async def test_each_limit_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, int], limit: str | None, used: float | None
) -> None:
    run = Run(run_id="run-2", head=None, recorded_at=1000.0)
    monkeypatch.setattr(budgets, "now", lambda: 1000.0 + 5 * 60)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        await budgets.limit(manager, run, given)
        assert await manager.journal.open_run() == run
        for _ in range(2):
            job = await manager.spawn(task("print('usage 7')", tmp_path), on_dirty="refuse")
            await ended(manager, job.job_id, SECONDS)
        if limit is None:
            await budgets.check(manager, run)
            return
        with pytest.raises(SidecarError) as caught:
            await budgets.check(manager, run)
        assert caught.value.kind == "limit-reached"
        assert caught.value.details == {
            "limit": limit, "value": given["".join(f"_{c.lower()}" if c.isupper() else c for c in limit)],
            "used": used, "runId": "run-2",
        }  # fmt: skip


def test_usage_adds_up_and_comes_apart_again() -> None:
    one, two = Usage(10, 4, 3, 1), Usage(5, 1, 2, 2)
    for left, right in itertools.permutations((one, two)):
        assert left.plus(right).minus(right) == left
    assert (one.plus(None), one.plus(two).tokens) == (one, 20)
