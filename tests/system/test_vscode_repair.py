"""Merging, repair and failures in a real VS Code, with real Codex workers: nothing of anybody is lost on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, report, script
from tests.support.raw import endpoint, is_alive, processes, wait_until
from tests.support.referee import Referee
from tests.support.repo import git
from tests.support.vscode import ROOT
from tests.support.vscode_place import PATH, Place, ended, held, open_place, open_repo, spawn, wait_for

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(1200)]

BASE = "".join(f"line {number}\n" for number in range(1, 21))
FIRST = BASE.replace("line 6\n", "six by w1\n").replace("line 10\n", "ten by w1\n")
SECOND = FIRST.replace("ten by w1\n", "ten by w2\n").replace("line 18\n", "eighteen by w2\n")
MERGED = SECOND.replace("ten by w2\n", "ten by w1\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("vscode")) as opened:
        yield opened


@pytest.fixture
def repo(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with open_repo(place, tmp_path, monkeypatch, {PATH: BASE, "README.md": "hello\n"}) as path:
        yield path


def sed(*changes: tuple[str, str]) -> str:
    """A command that changes these lines, in one rename."""
    words = "; ".join(f"s/^{old}$/{new}/" for old, new in changes)
    return f"sed '{words}' {PATH} > new.tmp && mv new.tmp {PATH}"


def collide(repo: Path) -> None:
    """Both change line 10 and a line of their own."""
    first = sed(("line 6", "six by w1"), ("line 10", "ten by w1"))
    second = sed(("ten by w1", "ten by w2"), ("line 18", "eighteen by w2"))
    with Referee(repo, repo.parent / "known") as referee:
        one = spawn(repo, "add retries", {"sh": first}, {**report("did it", PATH), **referee.after("typed errors")})
        two = spawn(repo, "typed errors", {"sh": second, **referee.after("add retries")}, report("did it", PATH))
        ended(repo, one, two)
    (conflict,) = Cli(repo).json("conflicts", expect=1)["conflicts"]
    assert conflict["kind"] == "overlapping-edit"
    assert (repo / PATH).read_text() == SECOND


def open_merge(place: Place, repo: Path, name: str) -> dict[str, Any]:
    """The merge editor with its one conflict open."""
    seen: dict[str, Any] = place.window.play(
        "merge-open", name, folder=str(repo), path=PATH, line=10, choice="Merge w1 and w2..."
    )
    assert "Merging: app.py" in seen["tab"]
    assert seen["remaining"] == "1 Conflict Remaining"
    first, second = (" ".join(head) for head in seen["heads"])
    assert "w1 add retries" in first
    assert "w2 typed errors" in second
    assert "six by w1" in seen["text"], "what only one has changed is merged"
    assert "eighteen by w2" in seen["text"]
    return seen


def no_conflict(repo: Path) -> bool:
    return bool(Cli(repo).json("conflicts")["conflicts"] == [])


@pytest.mark.parametrize("saving", ["afterDelay", "off"])
def test_two_versions_are_merged(place: Place, repo: Path, saving: str) -> None:
    window = place.window
    window.choose({"files.autoSave": saving, "files.autoSaveDelay": 100})
    collide(repo)
    # A line of the person's own, written after the workers.
    mine = SECOND.replace("line 14\n", "mine\n")
    (repo / PATH).write_text(mine)
    seen = open_merge(place, repo, f"merge-{saving}")
    assert "mine" in seen["text"]
    assert (repo / PATH).read_text() == mine
    assert window.play("merge-aside", f"merge-{saving}-aside", path=PATH) == 0
    seen = window.play("merge-accept", f"merge-{saving}-accepted", accept="Accept w1 add retries")
    assert seen["remaining"] == "0 Conflicts Remaining"
    assert "ten by w1" in seen["text"]
    assert (repo / PATH).read_text() == mine, "only Finish Merge writes"
    window.play("merge-finish", f"merge-{saving}-finished")
    wait_for(repo / PATH, MERGED.replace("line 14\n", "mine\n"))
    assert no_conflict(repo)


def test_a_file_that_moved_meanwhile_is_not_lost(place: Place, repo: Path) -> None:
    window = place.window
    collide(repo)
    open_merge(place, repo, "moved-merge")
    window.play("merge-accept", "moved-accepted", accept="Accept w1 add retries")
    later = SECOND + "written meanwhile\n"
    (repo / PATH).write_text(later)
    told = "app.py changed on disk while you were merging."
    assert window.play("merge-finish", "moved-told", toast=told) == [
        "Compare", "Merge Again", "Overwrite (snapshot kept)",
    ]  # fmt: skip
    assert (repo / PATH).read_text() == later
    # Whoever closes the message has the text of the merge again, beside what was written meanwhile.
    window.play("merge-finish", "moved-closed", toast=told, answer="close")
    seen = window.play("merge-accept", "moved-kept", remaining="1 Conflict Remaining")
    assert "ten by w1" in seen["text"]
    confirm = ["Complete with Conflicts", "Close with Conflicts"]
    window.play("merge-finish", "moved-told-again", confirm=confirm, toast=told)
    window.play("merge-finish", "moved-compared", toast=told, answer="Compare")
    seen = window.play("diff", "moved-diff", text="on disk ↔ your merge", shows="written meanwhile")
    assert "ten by w1" in seen
    window.play("merge-finish", "moved-again", toast=told, answer="Merge Again")
    seen = window.play("merge-accept", "moved-again-accepted", accept="Accept w1 add retries")
    assert "meanwhile" in seen["text"], "the merge is that of the file as it is now"
    assert (repo / PATH).read_text() == later

    latest = SECOND + "written once more\n"
    (repo / PATH).write_text(latest)
    window.play("merge-finish", "moved-told-last", toast=told)
    window.play("merge-finish", "moved-overwritten", toast=told, answer="Overwrite")
    wait_for(repo / PATH, MERGED + "written meanwhile\n")
    assert no_conflict(repo)
    (snapshot, *_) = Cli(repo).json("snapshots")["snapshots"]
    Cli(repo).run("restore", snapshot["snapshotId"], "--yes")
    assert (repo / PATH).read_text() == latest


# -- the sidecar is killed --------------------------------------------------------------------------------------------


def kill_sidecar(repo: Path, *, and_runner: bool = False) -> None:
    """SIGKILL to the sidecar, or to the runner of its only worker first; returns when the window has another one."""
    where = endpoint(repo)
    assert where is not None
    if and_runner:
        os.kill(where["pid"], signal.SIGSTOP)
        (runner,) = processes(lambda words: is_runner_in(words, repo))
        os.kill(runner, signal.SIGKILL)
        wait_until(lambda: not is_alive(runner), "the runner has ended")
    os.kill(where["pid"], signal.SIGKILL)
    wait_until(lambda: (now := endpoint(repo)) and now["pid"] != where["pid"], "another sidecar", 180.0)


def is_runner_in(words: list[str], repo: Path) -> bool:
    return any(word.endswith("sidecar/jobs/runner.py") for word in words) and any(str(repo) in word for word in words)


def accessible(seen: dict[str, Any], state: str, status: str) -> None:
    """Every row and the status item is read out, with the word for the state; axe has nothing against ours."""
    assert all(seen["rows"])
    assert any(f", {state}" in label for label in seen["rows"])
    assert status in seen["status"]
    assert seen["violations"] == [], seen["violations"]


def test_workers_outlive_a_killed_sidecar(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    job = spawn(repo, "long one", *held("held"))
    window.play("row", "kill-running", text="1 file")
    kill_sidecar(repo)
    label = window.play("row", "kill-restarted", text="long one")
    assert "running" in label
    seen = window.play("accessible", "kill-accessible", rows=["Running (1)", "long one"], status="1 running")
    accessible(seen, "running", "1 running")
    (now,) = Cli(repo).json("status")["jobs"]
    assert (now["jobId"], now["status"]) == (job["jobId"], "running")

    # Now the worker's runner goes with it: nobody can say any more how the worker would have ended.
    kill_sidecar(repo, and_runner=True)
    row = "interrupted by a restart"
    assert "interrupted" in window.play("row", "kill-interrupted", text=row)
    seen = window.play("accessible", "kill-interrupted-accessible", rows=[row], status="1 needs attention")
    accessible(seen, "interrupted", "1 needs attention")
    window.play("row-action", "kill-rerun", row=row, action="Re-run Worker...", shows="Re-run w1")


def test_a_commit_of_a_worker_is_shown(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    commits = {"sh": f"{sed(('line 6', 'six by w1'))} && git commit -qam 'As I like it'"}
    words = ["spawn", script(commits, report("did it", PATH), task="commit it"), "--sandbox", "danger-full-access"]
    ended(repo, Cli(repo).json(*words))
    head = git(repo, "rev-parse", "--short=7", "HEAD").strip()
    row = f"w1 created commit {head}"
    facts = {"row": row, "button": "Show Commit", "document": f"Commit%20{head}", "line": "+six by w1"}
    assert window.play("row-button", "commit", **facts) == f"{row}; workers must not commit."


# -- what a question named has changed --------------------------------------------------------------------------------


def test_a_roll_back_is_asked_again_when_something_changed(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    collide(repo)
    command = "Codex Sidecar: Roll Back and Re-run One by One..."
    text = window.play("question", "order", command=command, pick="w2 first", question="and re-run w2, then w1?")
    assert "each told what the ones before it changed" in text
    assert (repo / PATH).read_text() == SECOND, "Escape changes nothing"

    command, choose = "Codex Sidecar: Roll Back to Baseline...", "Roll back which files?"
    text = window.play(
        "question-open", "changing-question", command=command, choose=choose, question="to the baseline?"
    )
    assert "Roll back 1 file to the baseline?" in text
    assert "your own edits" not in text
    seen = window.play("accessible", "changing-accessible", dialog="to the baseline?")
    assert "Roll back 1 file to the baseline?" in seen["dialog"]
    assert seen["violations"] == [], seen["violations"]

    (repo / PATH).write_text(SECOND + "mine\n")
    yes = "Save Snapshot and Roll Back"
    text = window.play("question-answer", "changing-again", answer=yes, again="your own edits")
    assert "Also undone: your own edits in app.py" in text
    assert (repo / PATH).read_text() == SECOND + "mine\n", "nothing is undone that the question had not named"

    # Whoever has started meanwhile is named, too.
    spawn(repo, "late one", {"patch": add("late.txt")}, {**report("did it", "late.txt"), "delay": 600})
    wait_until((repo / "late.txt").exists, "the worker has written its file", 180.0)
    text = window.play("question-answer", "changing-refused", answer=yes, again="w3")
    assert "Roll back 2 files to the baseline?" in text
    assert 'w3 "late one" (late.txt)' in text
    assert "late.txt did not exist before and will be removed." in text
    assert "A snapshot is saved first: refs/codex-sidecar/snapshots/" in text
    assert (repo / PATH).read_text() == SECOND + "mine\n"


def add(path: str) -> str:
    return f"*** Begin Patch\n*** Add File: {path}\n+new\n*** End Patch\n"


# -- who wrote a line -------------------------------------------------------------------------------------------------


def test_lines_are_told_whose_they_are(place: Place, repo: Path) -> None:
    window = place.window
    window.choose({"codexSidecar.attribution": "currentLine"})
    collide(repo)
    window.play("file", "attribution-open", folder=str(repo), path=PATH)
    seen = window.play("attribution", "attribution-line", path=PATH, line=18, text="w2 typed errors")
    assert seen == "eighteen by w2|w2 typed errors"
    window.choose({"codexSidecar.attribution": "inlayHints"})
    seen = window.play("attribution", "attribution-hints", path=PATH, text="w2 typed errors")
    window.choose({"codexSidecar.attribution": "off"})
    lines = [" ".join(line.split()) for line in seen.splitlines()]
    assert [line for line in lines if "retries" in line or "errors" in line] == [
        "six by w1w1 add retries", "ten by w2w2 typed errors", "eighteen by w2w2 typed errors",
    ]  # fmt: skip


# -- the walkthrough --------------------------------------------------------------------------------------------------


def test_the_walkthrough_plays_a_sample(place: Place, repo: Path) -> None:
    window = place.window
    # Only without the GPU's help a terminal's text can be read in the page.
    window.choose({"terminal.integrated.gpuAcceleration": "off"})
    window.play("open", "opened", folder=str(repo))
    seen = window.play(
        "walkthrough", "walkthrough", spawn="Spawn a read-only worker", step="When two workers meet",
        button="Try with a Sample Conflict", playing="Codex Sidecar demo with",
        over="Press Enter to close this terminal.",
    )  # fmt: skip
    assert seen["ticked"] == [[], ["spawn"], ["spawn", "conflict"], ["setup", "spawn", "conflict"]]
    words = json.loads((ROOT / "vscode-extension" / "package.nls.json").read_text())
    steps = ["setup", "spawn", "watch", "review", "conflict"]
    assert [one["title"] for one in seen["pictures"]] == [words[f"step.{step}.title"] for step in steps]
    assert [one["label"] for one in seen["pictures"]] == [words[f"step.{step}.alt"] for step in steps]
    assert {one["stroke"] for one in seen["pictures"]} == {rgb(seen["color"])}, "the theme's own color"


def rgb(color: str) -> str:
    """`rgb(32, 32, 32)` of `#202020`."""
    red, green, blue = bytes.fromhex(color.strip().removeprefix("#"))
    return f"rgb({red}, {green}, {blue})"
