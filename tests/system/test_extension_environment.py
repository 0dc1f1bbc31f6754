"""The server that comes along: from an empty storage to a worker, in a real VS Code, by real pip from a real index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.cli import report, script
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import endpoint, no_service_left, wait_until
from tests.support.repo import make_repo
from tests.support.vscode import Window, build_extension, chromium, open_window

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(1200)]

_USERS = Path.home() / ".config" / "pip" / "pip.conf"
INDEX = {
    # Where pip finds its index is the machine's affair. All other settings of this run are the test's own.
    **({"PIP_CONFIG_FILE": str(_USERS)} if _USERS.is_file() else {}),
    **{n: v for n, v in os.environ.items() if n.startswith("PIP_") or n.lower().endswith("_proxy") or "CERT" in n},
}


def old_python(directory: Path) -> Path:
    """A Python that is older than the server can use."""
    directory.mkdir()
    path = directory / "python3"
    path.write_text("#!/bin/sh\necho 3.8.18\n")
    path.chmod(0o755)
    return path


def choose_python(run: Path, python: Path | str) -> None:
    """What the person writes into the settings while the window is open."""
    for kind in ("User", "Machine"):
        path = run / "user-data" / kind / "settings.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "codexSidecar.python.path": str(python)}))


def environments(storage: Path) -> dict[str, bool]:
    """What lies in the extension's storage, and whether it is finished."""
    return {path.name: (path / "ready").exists() for path in storage.iterdir() if path.is_dir()}


def log_of(run: Path) -> str:
    """What the extension has said in its output channel, in all windows."""
    return "\n".join(path.read_text() for path in sorted(run.glob("user-data/logs/**/Codex Sidecar.log")))


def says(run: Path, text: str) -> None:
    """VS Code writes an output channel a while after it was told."""
    wait_until(lambda: text in log_of(run), f"the output channel says {text!r}", 60.0)


def spawn(window: Window, repo: Path, python: Path) -> None:
    """A worker is spawned in the window, and the sidecar that runs it is the installed one."""
    steps = [{"sh": "echo new > new.txt"}, {**report("did it", "new.txt"), "delay": 600}]
    seen = window.play("spawn", "installed-spawned", folder=str(repo), prompt=script(*steps, task="Add a file"))
    assert seen["row"].startswith("w1, Add a file")
    where = endpoint(repo)
    assert where is not None
    assert psutil.Process(where["pid"]).cmdline()[0] == str(python)
    wait_until((repo / "new.txt").exists, "the worker has written its file", 180.0)


def test_the_extension_installs_its_server(tmp_path: Path) -> None:
    chromium()
    package = build_extension()
    assert package.stat().st_size < 3_000_000
    for name in ("home", "run", "vscode"):
        (tmp_path / name).mkdir(mode=0o700)
    run = tmp_path / "vscode"
    storage = run / "user-data" / "User" / "globalStorage" / "codex-sidecar.codex-sidecar"
    settings = {
        "codexSidecar.python.path": str(old_python(tmp_path / "old")),
        "codexSidecar.codex.path": str(native_codex()),
    }
    repo = make_repo(tmp_path / "repo", {"README.md": "hello\n"})
    with ScriptedModel() as model, no_service_left(repo):
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "XDG_RUNTIME_DIR": str(tmp_path / "run"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
            "CODEX_HOME": str(write_codex_home(tmp_path / "codex", model.url)),
            **INDEX,
        }
        with open_window(run, package, settings, env) as window:
            seen = window.play("welcome", "old-python", folder=str(repo), text="Python that was found is too old")
            assert "Set Python Path" in seen["texts"]
            assert "Try Again" in seen["texts"]
            says(run, "python3 is Python 3.8.18.")
            assert not storage.exists() or environments(storage) == {}

            window.begin("welcome", "installing", text="Installing the Codex Sidecar server")
            choose_python(run, sys.executable)
            assert window.answer()["toasts"] == 0
            wait_until(lambda: list(storage.glob("server-*/ready")), "pip has ended", 600.0)
            window.play("welcome", "installed", text="No workers yet.")
            (made,) = environments(storage)
            says(run, "Successfully installed")
            spawn(window, repo, storage / made / "bin" / "python")

            window.play("reload", "installed-reloaded", folder=str(repo))
            assert environments(storage) == {made: True}
            assert log_of(run).count("Making ") == 1, "a second window installs nothing"
            window.play("leave", "left")
        # What a boss's configuration would name: a path that outlives this version of the extension.
        ask = "from sidecar.bosses.entries import program; print(program()[0])"
        python = storage / made / "bin" / "python"
        named = subprocess.run(
            [python, "-c", ask], env=env, cwd="/", check=True, capture_output=True, text=True, timeout=120
        )
        program = named.stdout.strip()
        assert program == str(storage / "codex-sidecar")
        subprocess.run([program, "--repo", repo, "cancel", "w1"], env=env, check=True, timeout=120)
