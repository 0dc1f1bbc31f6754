"""The extension in a real VS Code, with real Codex workers: what a person sees of them, and does about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Cli, script
from tests.support.repo import git
from tests.support.vscode_place import (
    FIRST,
    PATH,
    SECOND,
    TEXT,
    Place,
    collide,
    held,
    open_place,
    open_repo,
    spawn,
    wait_for,
)

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("vscode")) as place:
        yield place


@pytest.fixture
def repo(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with open_repo(place, tmp_path, monkeypatch) as path:
        yield path


def test_an_empty_repository_offers_to_spawn(place: Place, repo: Path) -> None:
    seen = place.window.play("empty", "empty", folder=str(repo))
    assert seen == {"buttons": 1, "toasts": 0}


def test_a_worker_is_spawned_by_keyboard(place: Place, repo: Path) -> None:
    seen = place.window.play("spawn", "spawned", folder=str(repo), prompt=script(*held("held"), task="Add retries"))
    assert seen["toasts"] == 0
    edits, reads = seen["labels"]
    assert "Can edit files" in edits
    assert "workspace-write" in edits
    assert "2 of 2 write slots free" in edits
    assert "8 of 8 read slots free" in reads
    assert seen["row"].startswith("w1, Add retries")
    (job,) = Cli(repo).json("status")["jobs"]
    assert (job["sandbox"], job["status"]) == ("workspace-write", "running")


def test_a_conflict_appears_and_a_version_is_kept(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo), file=PATH)
    # The window watches from the beginning: a notification hides after some seconds.
    message = 'w1 "first" and w2 "second" changed the same line (4).'
    window.begin("conflict", "conflict", path=PATH, message=message)
    collide(repo)
    seen = window.answer()
    assert seen["buttons"] == ["Review", "Later"]
    assert "w1 and w2 changed the same line" in seen["lens"]

    kept = window.play(
        "keep", "kept", folder=str(repo), path=PATH, line=4,
        choice='Keep w1 "first"', question="w1", confirm="Keep w1",
    )  # fmt: skip
    assert [title for title in kept["titles"] if "Keep" in title] == ['Keep w1 "first"', 'Keep w2 "second"']
    assert "A snapshot is saved first: refs/codex-sidecar/snapshots/" in kept["text"]
    assert (repo / PATH).read_text() == FIRST
    assert Cli(repo).json("conflicts")["conflicts"] == []


def test_a_run_is_rolled_back_and_restored(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    (repo / "kept").mkdir()
    (repo / "kept" / "ignored").write_text("kept\n")
    collide(repo)
    (repo / "README.md").write_text("mine\n")
    head = git(repo, "rev-parse", "HEAD")
    asks = {
        "command": "Codex Sidecar: Roll Back to Baseline...",
        "choose": "Roll back which files?",
        "question": "to the baseline?",
    }

    text = window.play("question", "rollback-left", **asks)
    assert "Roll back 1 file to the baseline?" in text
    assert 'w1 "first" (app.py) and w2 "second" (app.py)' in text
    assert "Not touched: your edits in README.md" in text
    assert "A snapshot is saved first: refs/codex-sidecar/snapshots/" in text
    assert (repo / PATH).read_text() == SECOND, "Escape changes nothing"

    window.play("question", "rollback", **asks, answer="Save Snapshot and Roll Back")
    window.play("row", "rolled-back", text="Done (2)")
    wait_for(repo / PATH, TEXT)
    assert (repo / "README.md").read_text() == "mine\n"
    assert (repo / "kept" / "ignored").read_text() == "kept\n"
    assert git(repo, "rev-parse", "HEAD") == head

    window.play(
        "question", "restored", command="Codex Sidecar: Restore Snapshot...", pick="1 file,",
        question="from the snapshot of", answer="Save Snapshot and Restore",
    )  # fmt: skip
    wait_for(repo / PATH, SECOND)


def test_a_cancelled_worker_is_gone(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    job = spawn(repo, "long one", *held("held"))
    window.play("row", "cancel-running", text="1 file")
    text = window.play("cancel", "cancelled", row="long one", gone="cancelled, 1 file changed")
    assert "It has changed 1 file." in text
    assert Cli(repo).json("result", job["jobId"], expect=1)["status"] == "cancelled"
    assert (repo / "new.txt").read_text() == "new\n"


def test_a_worker_outlives_a_reload(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    job = spawn(repo, "long one", *held("held"))
    window.play("row", "reload-running", text="1 file")
    assert "running" in window.play("reload", "reloaded", folder=str(repo))
    (after,) = Cli(repo).json("status")["jobs"]
    assert (after["jobId"], after["status"]) == (job["jobId"], "running")
