"""The extension in a real VS Code, with real Codex workers: what a person sees of them, and does about them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, report, script
from tests.support.codex import native_codex
from tests.support.pythons import program
from tests.support.raw import no_service_left, processes, wait_until
from tests.support.repo import git
from tests.support.vscode_place import (
    FIRST,
    PATH,
    SECOND,
    TEXT,
    Place,
    collide,
    ended,
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
    window = place.window
    (repo / "README.md").write_text("mine\n")
    prompt, dirty = script(*held("held"), task="Add retries"), "1 file has uncommitted changes"
    seen = window.play("spawn", "spawned", folder=str(repo), prompt=prompt, dirty=dirty)
    assert seen["toasts"] == 0
    edits, reads = seen["labels"]
    assert "Can edit files" in edits
    assert "workspace-write" in edits
    assert "2 of 2 write slots free" in edits
    assert "8 of 8 read slots free" in reads
    assert seen["row"].startswith("w1, Add retries")
    (job,) = Cli(repo).json("status")["jobs"]
    assert (job["sandbox"], job["status"]) == ("workspace-write", "running")
    chosen = window.directory / "user-data" / "User" / "settings.json"
    remembered = "codexSidecar.baseline.dirtyTree"
    # As text: it may be looked at while it is being written.
    wait_until(lambda: f'"{remembered}": "snapshot"' in chosen.read_text(), "the choice is remembered", 180.0)
    wait_until(lambda: is_json(chosen.read_text()), "the settings are written")
    window.choose({remembered: "refuse"})


def is_json(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(json.loads(text))
    return False


def test_tasks_are_those_of_a_selection_or_of_a_file(place: Place, repo: Path) -> None:
    look = script(report("looked"), task="").strip()
    tasks = f"## Read it\n\n{look}\n\n## Read it again\n\n{look}\n"
    seen = place.window.play("tasks", "tasks", folder=str(repo), file=PATH, task=f"Explain. {look}", tasks=tasks)
    assert seen["value"] == "app.py:1-10: "
    assert [row.split(",")[0] for row in seen["listed"]] == ["Read it", "Read it again"]
    jobs = Cli(repo).json("status")["jobs"]
    ended(repo, *jobs)
    titles = [job["title"].partition(" SCRIPT")[0] for job in jobs]
    assert titles == ["app.py:1-10: Explain.", "Read it", "Read it again"]
    assert {job["sandbox"] for job in jobs} == {"read-only"}


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


# -- what is missing is said by the view, and nowhere else ------------------------------------------------------------

SERVER = str(Path(sys.executable).with_name("codex-sidecar"))


def welcome(place: Place, name: str, text: str, buttons: list[str], **facts: Any) -> None:
    """The view says it, with these ways out, and no notification does."""
    seen = place.window.play("welcome", name, text=text, **facts)
    paragraphs = [one for one in seen["texts"] if one not in buttons]
    assert [one for one in seen["texts"] if one in buttons] == buttons
    assert len(paragraphs) == 1, "no stack trace"
    assert seen["toasts"] == 0


def ready(place: Place, name: str, **settings: Any) -> None:
    """Once it is set right the view is there without a reload."""
    place.window.choose({f"codexSidecar.{key}": value for key, value in settings.items()})
    place.window.play("welcome", name, text="No workers yet.")


@pytest.mark.parametrize("path", ["no-such-codex", "/nowhere/codex"], ids=["on-path", "path"])
def test_codex_is_missing(place: Place, repo: Path, path: str) -> None:
    place.window.choose({"codexSidecar.codex.path": path})
    buttons = ["Set Codex Path", "Check Setup", "Try Again"]
    name = f"no-codex-{Path(path).parent.name or 'on-path'}"
    welcome(place, name, "The Codex CLI was not found.", buttons, folder=str(repo))
    report = place.window.play("setup", f"{name}-setup", shows="Something that is needed is missing.")
    (said,) = [line for line in report.splitlines() if line.startswith("- ✗")]
    assert path in said
    ready(place, f"{name}-found", **{"codex.path": str(native_codex())})


def test_the_folder_is_no_repository(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    window = place.window
    # The button is VS Code's own command for Git.
    window.choose({"git.enabled": True})
    try:
        buttons = ["Initialize Repository", "Try Again"]
        press = {"folder": str(folder), "press": "Initialize Repository"}
        welcome(place, "not-git", "This folder is not a Git repository.", buttons, **press)
        with no_service_left(folder):
            window.play("welcome", "not-git-initialized", text="No workers yet.")
            assert (folder / ".git").is_dir()
            window.play("leave", "left")
            Cli(folder).close()
    finally:
        window.choose({"git.enabled": False})


def test_signing_in_is_left_to_codex(place: Place, repo: Path) -> None:
    window = place.window
    home = Path(place.codex["CODEX_HOME"])
    config = home / "config.toml"
    before = config.read_text()
    config.write_text(before.replace("requires_openai_auth = false", "requires_openai_auth = true"))
    # Without the GPU's help the terminal's text can be read in the page; Codex finds no browser to open.
    terminal = {"gpuAcceleration": "off", "env.linux": {"BROWSER": "true"}}
    window.choose({f"terminal.integrated.{key}": value for key, value in terminal.items()})
    try:
        buttons = ["Sign In in Terminal", "Check Setup", "Try Again"]
        welcome(place, "signed-out", "Codex is installed but not signed in.", buttons, folder=str(repo))
        window.play("sign-in", "signing-in", button=buttons[0], says="Starting local login server")
        # Somewhere else, with a key: the view is there by itself.
        login = [place.codex["CODEX_SIDECAR_CODEX"], "login", "--with-api-key"]
        subprocess.run(login, input=b"key\n", env={**os.environ, "CODEX_HOME": str(home)}, check=True)
        window.play("welcome", "signed-in", text="No workers yet.")
    finally:
        config.write_text(before)
        (home / "auth.json").unlink(missing_ok=True)


def test_the_server_cannot_start(place: Place, repo: Path, tmp_path: Path) -> None:
    window = place.window
    window.choose({"codexSidecar.server.path": "", "codexSidecar.python.path": "/nowhere/python"})
    try:
        buttons = ["Set Python Path", "Try Again", "Show Server Log"]
        welcome(place, "no-python", "Python 3.10 or newer was not found.", buttons, folder=str(repo))
        ready(place, "python-found", **{"server.path": SERVER, "python.path": ""})

        broken = tmp_path / "broken"
        broken.write_text("#!/bin/sh\necho 'Traceback (most recent call last):' >&2\nexit 1\n")
        broken.chmod(0o755)
        window.choose({"codexSidecar.server.path": str(broken)})
        buttons = ["Restart Server", "Show Server Log"]
        welcome(place, "failed", "The Codex Sidecar server stopped.", buttons)
        ready(place, "server-found", **{"server.path": SERVER})
    finally:
        window.choose({"codexSidecar.server.path": SERVER, "codexSidecar.python.path": ""})


def test_a_server_that_has_ended_is_told(place: Place, repo: Path, tmp_path: Path) -> None:
    window, gone = place.window, tmp_path / "gone"
    wrapped = program(tmp_path / "wrapped", f"[ -e '{gone}' ] && exit 1\nexec '{SERVER}' \"$@\"")
    window.choose({"codexSidecar.server.path": str(wrapped)})
    try:
        window.play("open", "opened", folder=str(repo))
        gone.touch()
        (front,) = processes(lambda words: {"lsp", str(repo)} <= set(words))
        os.kill(front, signal.SIGKILL)
        assert window.play("status", "stopped", text="Codex: stopped") == "Codex: stopped"
        welcome(place, "stopped", "The Codex Sidecar server stopped.", ["Restart Server", "Show Server Log"])
        gone.unlink()
        window.play("welcome", "restarting", text="The Codex Sidecar server stopped.", press="Restart Server")
        window.play("welcome", "restarted", text="No workers yet.")
        window.play("status", "restarted-quiet")
    finally:
        window.choose({"codexSidecar.server.path": SERVER})


# -- another program becomes the boss ---------------------------------------------------------------------------------


def test_a_boss_is_shown_before_it_is_written(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    codex = Path(place.codex["CODEX_HOME"]) / "config.toml"
    claude = window.directory / "home" / ".claude.json"
    claude.write_text('{"numStartups": 3}\n')
    before = codex.read_text()
    try:
        for boss, path, shows in (
            ("Codex", codex, "[mcp_servers.codex-cli-wrapper]"), ("Claude Code", claude, '"codex-cli-wrapper": {'),
        ):  # fmt: skip
            asks = {"command": "Codex Sidecar: Set Up an Agent as Boss...", "pick": boss}
            asks["question"] = f"Make {boss} a boss of this sidecar?"
            was = path.read_text()
            text = window.play("question", f"boss-{path.stem}-left", **asks)
            assert f"This entry belongs into {path}; nothing was written." in text
            assert shows in text
            assert path.read_text() == was, "Escape changes nothing"
            told = f"{boss} is a boss now: {path} has the entry."
            window.play("question", f"boss-{path.stem}", **asks, answer="Write It", told=told)
        assert codex.read_text().startswith(before.rstrip())
        assert "[mcp_servers.codex-cli-wrapper]" in codex.read_text()
        servers = json.loads(claude.read_text())
        assert (servers["numStartups"], list(servers["mcpServers"])) == (3, ["codex-cli-wrapper"])
    finally:
        codex.write_text(before)
        claude.unlink()
