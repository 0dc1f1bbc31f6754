"""The extension from within: what VS Code's own agent can do with it, and how much it makes VS Code draw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.mcp import catalog
from tests.support.cli import Cli, report, script
from tests.support.raw import wait_until
from tests.support.referee import Referee
from tests.support.vscode_place import FILES, SECOND, Place, colliding, ended, open_place, open_repo, spawn, wait_for

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(1200)]
WAIT = 'until [ -e "kept/$1" ]; do sleep 0.1; done\n'
ADDED = "*** Begin Patch\n*** Add File: new.txt\n+new\n*** End Patch\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("vscode"), host=True) as place:
        yield place


@pytest.fixture
def repo(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`sh wait NAME` in it ends once the ignored file `kept/NAME` is there."""
    with open_repo(place, tmp_path, monkeypatch, {**FILES, "wait": WAIT}) as path:
        (path / "kept").mkdir()
        yield path


# -- for VS Code's agent ----------------------------------------------------------------------------------------------


def call(place: Place, tool: str, *, confirm: str = "", **given: Any) -> dict[str, Any]:
    """What the agent is answered."""
    facts = {"tool": tool, "input": given, "confirm": confirm}
    (text,) = place.window.play("agent", f"agent-{tool}", **facts)
    answer: dict[str, Any] = json.loads(text)
    return answer


def test_vs_codes_agent_is_a_boss(place: Place, repo: Path) -> None:
    window = place.window
    window.choose({"chat.disableAIFeatures": False})
    try:
        window.play("open", "opened", folder=str(repo))
        assert window.play("mcp", "mcp", server="Codex workers") == len(catalog.listed())
        jobs = []
        with Referee(repo, repo.parent / "known") as referee:
            for title, steps in zip(("first", "second"), colliding(referee), strict=True):
                # What can change something is asked by VS Code, what only reads is not.
                given = {"prompt": script(*steps, task=title), "title": title, "sandbox": "workspace-write"}
                jobs.append(call(place, "codex_spawn", confirm="Spawn a Codex worker", **given)["jobId"])
                assert f"w{len(jobs)}, {title}" in window.play("row", f"agent-row-{len(jobs)}", text=title)
            left = jobs
            while left:
                left = call(place, "codex_wait_any", jobIds=left, timeoutMs=50_000)["remainingJobIds"]
        for job in jobs:
            assert call(place, "codex_result", jobId=job)["status"] == "done"
        (conflict,) = call(place, "codex_conflicts")["conflicts"]
        assert [one["jobId"] for one in conflict["jobs"]] == jobs
        window.play("row", "agent-conflict", text="Needs attention (1)")
        wait_for(repo / "app.py", SECOND)
    finally:
        window.choose({"chat.disableAIFeatures": True})


# -- what is drawn ----------------------------------------------------------------------------------------------------


def test_rows_stand_still_for_a_screen_reader(place: Place, repo: Path) -> None:
    window = place.window
    window.choose({"editor.accessibilitySupport": "on"})
    try:
        spawn(repo, "long one", {"sh": "sh wait never"})
        window.play("queue", "still-running", folder=str(repo), texts=["sh wait never"], status="1 running")
        (said,) = window.play("still", "still", row="w1 · long one", seconds=7)
        assert ", running, " in said
        window.choose({"editor.accessibilitySupport": "off"})
        assert len(window.play("still", "not-still", row="w1 · long one")) > 1, "else time goes on"
    finally:
        window.choose({"editor.accessibilitySupport": "off"})


def test_only_what_changes_is_drawn(place: Place, repo: Path) -> None:
    window = place.window
    done = []
    for n in range(4):
        names = [f"d{n}/{at}.txt" for at in range(3)]
        done.append(spawn(repo, f"done {n}", {"sh": f"mkdir d{n}; touch {' '.join(names)}"}, report("did it", *names)))
    ended(repo, *done)
    busy = spawn(
        repo, "busy", {"sh": "sh wait one"}, {"patch": ADDED}, {"sh": "sh wait two"}, report("did it", "new.txt")
    )

    expand = ["Done (4)", *(f"done {n}" for n in range(4))]
    facts = {"folder": str(repo), "expand": expand, "go": str(repo / "kept" / "one"), "shows": "sh wait two"}
    seen = window.play("drawn", "drawn-file", **facts)
    assert set(seen["items"]) == {f"job:{busy['jobId']}"}
    assert seen["children"] == []

    window.begin("drawn", "drawn-spawned", go=str(repo / "kept" / "none"), shows="w6 ·")
    wait_until((repo / "kept" / "none").exists, "the test looks on", 180.0)
    more = spawn(repo, "more", {"sh": "sh wait none"}, {"sh": "sh wait two"}, report("did it"))
    seen = window.answer()
    assert f"job:{more['jobId']}" in seen["items"]
    assert not {f"job:{job['jobId']}" for job in done} & {*seen["items"], *seen["children"]}


# -- two windows ------------------------------------------------------------------------------------------------------


def test_two_windows_show_the_same_workers(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    kept = spawn(repo, "goes on", {"sh": "sh wait one"}, report("did it"))
    # One that has changed nothing would be stopped unasked.
    spawn(repo, "is stopped", {"patch": ADDED}, {"sh": "sh wait never"})
    texts = ["Running (2)", "1 file", "sh wait one", "sh wait never"]
    window.play("queue", "windows-first", texts=texts, status="2 running")
    facts = {"folder": str(repo), "texts": texts, "worker": "w2", "row": "is stopped", "gone": "cancelled, 1 file"}
    seen = window.play("windows", "windows", **facts)
    for first, second in (seen["before"], seen["after"]):
        assert first == second, "both windows say the same"
    assert [row for row in seen["after"][0] if row.startswith("w2, is stopped, cancelled")]
    # The second window has been closed.
    assert "running" in window.play("row", "windows-left", text="goes on")
    (repo / "kept" / "one").touch()
    ended(repo, kept)
    window.play("queue", "windows-done", texts=["Done (1)", "goes on"], gone="Running", status="1 needs attention")
    assert Cli(repo).json("result", kept["jobId"])["status"] == "done"
