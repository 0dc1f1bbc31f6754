"""The extension in a real VS Code, with real Codex workers: what a person sees of them, and does about them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.cli import Cli, report, script
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import no_service_left, wait_until
from tests.support.repo import git, make_repo
from tests.support.vscode import Window, build_extension, chromium, open_window

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(1200)]
TEXT = "".join(f"line {number}\n" for number in range(1, 11))
PATH = "app.py"
FIRST = TEXT.replace("line 4", "four by w1")
SECOND = TEXT.replace("line 4", "four by w2")


@dataclass(frozen=True)
class Place:
    """The window, and what its workers need."""

    window: Window
    codex: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    chromium()
    package = build_extension()
    directory = tmp_path_factory.mktemp("vscode")
    for name in ("home", "run"):
        (directory / name).mkdir(mode=0o700)
    settings = {
        "codexSidecar.server.path": str(Path(sys.executable).with_name("codex-sidecar")),
        "codexSidecar.codex.path": str(native_codex()),
    }
    with ScriptedModel() as model:
        codex = {
            "CODEX_HOME": str(write_codex_home(directory / "codex", model.url)),
            "CODEX_SIDECAR_CODEX": str(native_codex()),
        }
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory / "home"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
            **codex,
        }
        with open_window(directory, package, settings, env) as window:
            yield Place(window, codex)


@pytest.fixture
def repo(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of its own for each test; the terminal beside the window has the same workers."""
    for name, value in place.codex.items():
        monkeypatch.setenv(name, value)
    path = make_repo(tmp_path / "repo", {PATH: TEXT, "README.md": "hello\n", ".gitignore": "kept/\n"})
    with no_service_left(path):
        yield path
        place.window.play("leave", "left")
        Cli(path).close()


def spawn(repo: Path, title: str, *steps: Any) -> dict[str, Any]:
    """Somebody else's write worker: the window only hears of it."""
    words = ["spawn", script(*steps, task=title), "--title", title, "--sandbox", "workspace-write"]
    return Cli(repo).json(*words)


def rewrite(text: str) -> str:
    """A command that writes the line 4 of the baseline in one rename."""
    return f"git show HEAD:{PATH} | sed 's/^line 4$/{text}/' > new.tmp && mv new.tmp {PATH}"


def collide(repo: Path) -> None:
    """Two workers change the same line; the second one starts from the text before the first."""
    patch = f"*** Begin Patch\n*** Update File: {PATH}\n@@\n line 3\n-line 4\n+four by w1\n*** End Patch\n"
    meets = {"path": str(repo / PATH), "holds": "four by w1"}
    done = {"path": str(repo / PATH), "holds": "four by w2"}
    one = spawn(repo, "first", {"patch": patch}, {**report("did it", PATH), "until": done, "delay": 1})
    two = spawn(repo, "second", {"sh": rewrite("four by w2"), "until": meets, "delay": 0.5}, report("did it", PATH))
    left = [one["jobId"], two["jobId"]]
    while left:
        left = Cli(repo).json("wait-any", *left)["remainingJobIds"]
    (conflict,) = Cli(repo).json("conflicts", expect=1)["conflicts"]
    assert (conflict["kind"], conflict["severity"]) == ("overlapping-edit", "warning")


def held(title: str) -> list[dict[str, Any]]:
    """The steps of a worker that adds a file and then goes on for longer than any test."""
    patch = "*** Begin Patch\n*** Add File: new.txt\n+new\n*** End Patch\n"
    return [{"patch": patch}, {**report(title, "new.txt"), "delay": 600}]


def wait_for(path: Path, text: str) -> None:
    wait_until(lambda: path.read_text() == text, f"{path.name} holds the text", 180.0)


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
