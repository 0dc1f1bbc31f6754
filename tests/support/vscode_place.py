"""A window with its workers, and what the tests of the extension have those workers do."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.cli import Cli, report, script
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import no_service_left, wait_until
from tests.support.referee import Referee
from tests.support.repo import make_repo
from tests.support.vscode import Window, build_extension, chromium, open_window

TEXT = "".join(f"line {number}\n" for number in range(1, 11))
PATH = "app.py"
FIRST = TEXT.replace("line 4", "four by w1")
SECOND = TEXT.replace("line 4", "four by w2")
FILES = {PATH: TEXT, "README.md": "hello\n", ".gitignore": "kept/\n"}


@dataclass(frozen=True)
class Place:
    """The window, and what its workers need."""

    window: Window
    codex: dict[str, str]


@contextlib.contextmanager
def open_place(directory: Path, *, host: bool = False) -> Iterator[Place]:
    """A window and a scripted model; everything of theirs lies in the empty `directory`. `host`: see `Window`."""
    chromium()
    package = build_extension()
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
        with open_window(directory, package, settings, env, host=host) as window:
            yield Place(window, codex)


@contextlib.contextmanager
def open_repo(
    place: Place, directory: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str] | None = None
) -> Iterator[Path]:
    """A repository of its own for each test; the terminal beside the window has the same workers."""
    for name, value in place.codex.items():
        monkeypatch.setenv(name, value)
    path = make_repo(directory / "repo", files or FILES)
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


def ended(repo: Path, *jobs: dict[str, Any]) -> None:
    """Returns when all these workers have ended."""
    left = [job["jobId"] for job in jobs]
    while left:
        left = Cli(repo).json("wait-any", *left)["remainingJobIds"]


def colliding(
    referee: Referee, titles: Sequence[str] = ("first", "second"), before: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The steps of two workers that change the same line; the second one starts from the text before the first.

    Args:
        referee: tells each of them what is known of the other.
        titles: of the two jobs.
        before: how many commands come before these steps, in each of them.
    """
    one, two = titles
    patch = f"*** Begin Patch\n*** Update File: {PATH}\n@@\n line 3\n-line 4\n+four by w1\n*** End Patch\n"
    first = {"patch": patch, **(referee.after(two, before) if before else {})}
    second = {"sh": rewrite("four by w2"), **referee.after(one, before + 1)}
    return (
        [first, {**report("did it", PATH), **referee.after(two, before + 1)}],
        [second, report("did it", PATH)],
    )


def collide(repo: Path) -> None:
    """Two workers change the same line."""
    with Referee(repo, repo.parent / "known") as referee:
        scripts = zip(("first", "second"), colliding(referee), strict=True)
        ended(repo, *[spawn(repo, title, *steps) for title, steps in scripts])
    (conflict,) = Cli(repo).json("conflicts", expect=1)["conflicts"]
    assert (conflict["kind"], conflict["severity"]) == ("overlapping-edit", "warning")


def held(title: str) -> list[dict[str, Any]]:
    """The steps of a worker that adds a file and then goes on for longer than any test."""
    patch = "*** Begin Patch\n*** Add File: new.txt\n+new\n*** End Patch\n"
    return [{"patch": patch}, {**report(title, "new.txt"), "delay": 600}]


def wait_for(path: Path, text: str) -> None:
    wait_until(lambda: path.read_text() == text, f"{path.name} holds the text", 180.0)
