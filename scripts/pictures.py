"""`python -m scripts.pictures`: makes the pictures of the extension in docs/images, in the VS Code of the tests."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest

from tests.support.cli import report
from tests.support.vscode import ROOT
from tests.support.vscode_place import ended, open_place, open_repo, spawn

CLIENT = '''"""Talks to the server."""

import json
import urllib.request

TIMEOUT = 10


def fetch(url: str) -> dict:
    """The answer of the server as a dictionary."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:
        return json.load(reply)


def names(url: str) -> list[str]:
    return [one["name"] for one in fetch(url)["all"]]
'''
READ = "    with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:\n        return json.load(reply)\n"
RETRIES = """    for pause in (1, 2, 4):
        with contextlib.suppress(OSError):
            return json.load(urllib.request.urlopen(url, timeout=TIMEOUT))
        time.sleep(pause)
    raise TimeoutError(url)
"""
ERRORS = """    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:
            return json.load(reply)
    except OSError as error:
        raise ServerGone(url) from error
"""
FILES = {"src/client.py": CLIENT, "src/config.py": "NAME = 'demo'\n", "docs/use.md": "# Use\n", "README.md": "# Demo\n"}


def write(text: str) -> str:
    """A command that writes the client with another way to read, in one rename."""
    lines = [
        "import subprocess",
        "text = subprocess.run(['git', 'show', 'HEAD:src/client.py'], stdout=subprocess.PIPE, text=True).stdout",
        f"open('src/new', 'w').write(text.replace({READ!r}, {text!r}))",
    ]
    return "\n".join(["python3 - <<'END'", *lines, "END", "mv src/new src/client.py"])


def patch(name: str, old: str, new: str) -> dict[str, str]:
    return {"patch": f"*** Begin Patch\n*** Update File: {name}\n@@\n-{old}\n+{new}\n*** End Patch\n"}


def make(directory: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_place(run / "vscode") as place, open_repo(place, run, monkeypatch, FILES) as repo:
        client = str(repo / "src" / "client.py")
        jobs = [
            spawn(
                repo, "add retries",
                {"sh": write(RETRIES)},
                {**report("did it", "src/client.py"), "until": {"path": client, "holds": "ServerGone"}, "delay": 1},
            ),
            spawn(
                repo, "typed errors",
                {"sh": write(ERRORS), "until": {"path": client, "holds": "pause"}, "delay": 1},
                report("did it", "src/client.py"),
            ),
        ]  # fmt: skip
        ended(repo, *jobs)
        for title, name, old, new in (
            ("rename config", "src/config.py", "NAME = 'demo'", "TITLE = 'demo'"),
            ("write the docs", "docs/use.md", "# Use", "# How to use it"),
        ):
            spawn(repo, title, patch(name, old, new), {**report("did it", name), "delay": 600})
        spawn(repo, "sort imports", report("did it"))
        rows = ["Needs attention (1)", "w3 · rename config", "1 file", "Queued (1)"]
        place.window.play(
            "picture", "picture", folder=str(repo), file="src/client.py", line=14, conflict="src/client.py", rows=rows,
            directory=str(directory),
        )  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="codex-sidecar-pictures-") as name, contextlib.ExitStack() as stack:
        run = Path(name)
        (run / "vscode").mkdir()
        monkeypatch = pytest.MonkeyPatch()
        stack.callback(monkeypatch.undo)
        monkeypatch.setenv("GIT_AUTHOR_NAME", "Ann Author")
        monkeypatch.setenv("GIT_AUTHOR_EMAIL", "ann@example.org")
        monkeypatch.setenv("GIT_COMMITTER_NAME", "Ann Author")
        monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ann@example.org")
        make(ROOT / "docs" / "images", run, monkeypatch)


if __name__ == "__main__":
    main()
