"""Real Codex leads real Codex workers through `codex-cli-wrapper`, with both shapes in which models call tools."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.script import MARKER
from tests.support import transcript
from tests.support.boss import BossModel, boss_home, call, events_of, start_boss
from tests.support.raw import no_service_left
from tests.support.referee import Referee
from tests.support.repo import git, make_repo

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(180)]
SHAPES = pytest.mark.parametrize("shape", ["gpt-5.5", "gpt-6.1-sol"])
Thoughts = Generator[list[dict[str, Any]], list[dict[str, Any]], str]
TEXT = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"app.py": TEXT, "README.md": "hello\n"})
    with no_service_left(path):
        yield path


def task(title: str, *steps: object) -> str:
    return f"{title}. {MARKER} {json.dumps(steps)}"


def report(summary: str, *files: str, **modifiers: object) -> dict[str, object]:
    return {"json": {"summary": summary, "modifiedFiles": list(files)}, **modifiers}


def edit(number: int, words: str, **modifiers: object) -> dict[str, object]:
    lines = f" line {number - 1}\n-line {number}\n+{words}\n"
    return {"patch": f"*** Begin Patch\n*** Update File: app.py\n@@\n{lines}*** End Patch\n", **modifiers}


def all_of(jobs: list[str]) -> Generator[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """The loop of the server's instructions."""
    order = []
    while jobs:
        (waited,) = yield [call("codex_wait_any", jobIds=jobs, timeoutMs=20_000)]
        if waited["completedJobId"]:
            order.append(waited["completedJobId"])
        jobs = waited["remainingJobIds"]
    return order


def lead(repo: Path, tmp_path: Path, shape: str, brain: Any) -> tuple[BossModel, list[dict[str, Any]]]:
    with BossModel(brain) as model:
        boss = start_boss(repo, boss_home(tmp_path / "codex", model, shape, dict(os.environ)))
        out, err = boss.communicate(timeout=150)
        assert boss.returncode == 0, err
    return model, events_of(out)


def said(events: list[dict[str, Any]]) -> str:
    texts = [event["item"]["text"] for event in events if event.get("item", {}).get("type") == "agent_message"]
    answer: str = json.loads(texts[-1])["summary"]
    return answer


@SHAPES
def test_a_round_with_a_conflict_and_its_repair(repo: Path, tmp_path: Path, shape: str) -> None:
    referee = Referee(repo, tmp_path / "known")
    stale = {"sh": "sed 's/^line 8$/second/' draft.txt > app.py; rm draft.txt", **referee.after("first")}
    three = report("three", "app.py", **referee.after("second", 2))

    def brain() -> Thoughts:
        tasks = [
            {"prompt": task("look", report("ten lines")), "title": "look"},
            {
                "prompt": task("first", edit(3, "first", **referee.after("second")), three),
                "title": "first",
                "sandbox": "workspace-write",
            },
            {
                "prompt": task("second", {"sh": "cp app.py draft.txt"}, stale, report("eight", "app.py")),
                "title": "second",
                "sandbox": "workspace-write",
            },
        ]
        (group,) = yield [call("codex_spawn_group", jobs=tasks)]
        jobs = [entry["jobId"] for entry in group["results"]]
        yield from all_of(jobs)
        results = yield [call("codex_result", jobId=job) for job in jobs]
        assert [result["finalMessage"] for result in results] == ["ten lines", "three", "eight"]
        (found,) = yield [call("codex_conflicts")]
        (conflict,) = found["conflicts"]
        merge = {"conflictId": conflict["conflictId"], "strategy": "merge"}
        (preview,) = yield [call("codex_resolve", **merge)]
        (done,) = yield [call("codex_resolve", **merge, token=preview["token"])]
        (after,) = yield [call("codex_conflicts")]
        (again,) = yield [call("codex_resume", jobId=jobs[0], prompt=task("more", report("still ten")))]
        yield from all_of([again["jobId"]])
        (last,) = yield [call("codex_result", jobId=again["jobId"], view="finalMessage")]
        (page,) = yield [call("codex_events", jobId=jobs[1])]
        return json.dumps(
            [conflict["kind"], bool(done["snapshotId"]), after["conflicts"], last["finalMessage"], page["done"]]
        )

    with referee:
        model, events = lead(repo, tmp_path, shape, brain)
    assert json.loads(said(events)) == ["lost-update", True, [], "still ten", True]
    transcript.check(model.talk)
    assert (repo / "app.py").read_text() == TEXT.replace("line 3\n", "first\n").replace("line 8\n", "second\n")
    assert git(repo, "rev-list", "--count", "HEAD").strip() == "1"


@SHAPES
def test_a_boss_that_is_killed_and_another_that_takes_over(repo: Path, tmp_path: Path, shape: str) -> None:
    go = tmp_path / "go"

    def first() -> Thoughts:
        (job,) = yield [
            call("codex_spawn", prompt=task("wait", report("at last", until={"path": str(go), "holds": "go"})))
        ]
        yield from all_of([job["jobId"]])
        return "never"

    with BossModel(first) as model:
        boss = start_boss(repo, boss_home(tmp_path / "one", model, shape, dict(os.environ)))
        end = time.monotonic() + 60
        while not any(tool == "codex_spawn" for tool, _ in list(model.seen)):
            assert time.monotonic() < end, "the boss never spawned"
            time.sleep(0.05)
        boss.kill()
        boss.communicate()

        def second() -> Thoughts:
            (status,) = yield [call("codex_status")]
            jobs = [job["jobId"] for job in status["jobs"]]
            go.write_text("go")
            yield from all_of(jobs)
            (result,) = yield [call("codex_result", jobId=jobs[0])]
            return f"{len(jobs)} {result['status']} {result['finalMessage']}"

        # The worker's own model is the one of the first boss, which goes on serving it.
        _, events = lead(repo, tmp_path, shape, second)
    assert said(events) == "1 done at last"


@SHAPES
def test_calls_in_one_answer_run_at_the_same_time(repo: Path, tmp_path: Path, shape: str) -> None:
    """One waits for a job that only the other call's cancel ends: one after another it would take the whole wait."""

    def brain() -> Thoughts:
        (job,) = yield [call("codex_spawn", prompt=task("sleep", {"sh": "sleep 613"}, report("never")))]
        waited, stopped = yield [
            call("codex_wait_any", jobIds=[job["jobId"]], timeoutMs=50_000),
            call("codex_cancel", jobId=job["jobId"], force=True),
        ]
        return json.dumps([waited["status"], waited["timedOut"], stopped["success"]])

    _, events = lead(repo, tmp_path, shape, brain)
    assert json.loads(said(events)) == ["cancelled", False, True]


def test_thirty_jobs_with_conflicts_cost_little_of_the_boss_context(repo: Path, tmp_path: Path) -> None:
    """What each answer costs the boss, in bytes of JSON; docs/boss.md tells the figures."""

    def brain() -> Thoughts:
        reads = [{"prompt": task(f"look {n}", {"sh": "cat app.py"}, report(f"read {n}"))} for n in range(26)]
        edits = {n: {"sh": f"sed -i 's/^line {n}$/by {n}/' app.py"} for n in (2, 4, 6, 8)}
        writes = [
            {"prompt": task(f"write {n}", step, report(f"w {n}", "app.py")), "sandbox": "workspace-write"}
            for n, step in edits.items()
        ]
        (group,) = yield [call("codex_spawn_group", jobs=[*reads, *writes])]
        jobs = [entry["jobId"] for entry in group["results"]]
        order = yield from all_of(jobs)
        assert sorted(order) == sorted(jobs)
        results = []
        for start in range(0, len(jobs), 5):
            results += yield [call("codex_result", jobId=job) for job in jobs[start : start + 5]]
        assert {result["status"] for result in results} == {"done"}
        (found,) = yield [call("codex_conflicts")]
        (preview,) = yield [call("codex_rerun")]
        replaced: list[str] = []
        if found["conflicts"]:
            (rerun,) = yield [call("codex_rerun", token=preview["token"])]
            replaced = [job["jobId"] for job in rerun["jobs"]]
            yield from all_of(replaced)
        (status,) = yield [call("codex_status")]
        (after,) = yield [call("codex_conflicts")]
        listed = status["jobs"] + status["brief"]
        return json.dumps([len(found["conflicts"]), len(replaced), len(listed), after["conflicts"]])

    model, events = lead(repo, tmp_path, "gpt-5.5", brain)
    conflicts, replaced, known, left = json.loads(said(events))
    assert known == 30 + replaced
    assert left == []
    assert (conflicts > 0) == (replaced > 0)
    assert (repo / "app.py").read_text().count("by ") == 4
    sizes: dict[str, list[int]] = {}
    for tool, text in model.seen:
        sizes.setdefault(tool, []).append(len(text.encode()))
    print({tool: (len(all_sizes), max(all_sizes), sum(all_sizes)) for tool, all_sizes in sizes.items()})
    assert max(sizes["codex_result"]) <= 2048
    assert max(sizes["codex_wait_any"]) <= 4096
    assert max(sizes["codex_spawn_group"]) <= 8192
    assert max(sizes["codex_status"]) <= 16_384
