"""Scripts by which two real Codex workers meet in one file, and the order of what they do does not depend on speed.

Each waits until it is known what the other one has done (see `tests.support.referee`). So no command of one worker is
open while the other one writes, unless a test wants just that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sidecar.demo.script import MARKER
from tests.support.referee import Referee

PATH = "app.py"
TEXT = "".join(f"line {number}\n" for number in range(1, 11))
FILES = {PATH: TEXT, "README.md": "hello\n", ".gitignore": "marks/\n"}
FIRST = TEXT.replace("line 4", "four by w1")
SECOND = TEXT.replace("line 4", "four by w2")
BOTH = TEXT.replace("line 4", "four by both")
IN_TURN = TEXT.replace("line 4", "four by w1 and w2")


def task(title: str, *steps: object) -> dict[str, Any]:
    """The arguments of `codex_spawn` for a write worker that plays `steps`.

    The script has its own line: a title that is made of the prompt's first line must not look like one.
    """
    return {"prompt": f"{title}\n{MARKER} {json.dumps(steps)}", "title": title, "sandbox": "workspace-write"}


def set_mark(name: str) -> dict[str, object]:
    """A step that says to the other workers how far this one is; Git ignores the file."""
    return {"patch": f"*** Begin Patch\n*** Add File: marks/{name}\n+set\n*** End Patch\n"}


def at_mark(repo: Path, name: str) -> dict[str, object]:
    """The modifier of a step that waits for a mark."""
    return {"until": {"path": str(repo / "marks" / name), "holds": "set"}}


def put_mark(repo: Path, name: str) -> None:
    """A test's own mark."""
    (repo / "marks").mkdir(exist_ok=True)
    (repo / "marks" / name).write_text("set\n")


def report(summary: str, *files: str, **modifiers: object) -> dict[str, object]:
    """The last step."""
    return {"json": {"summary": summary, "modifiedFiles": list(files)}, **modifiers}


def change_line(number: int, words: str, **modifiers: object) -> dict[str, object]:
    """A patch of one line of the baseline's text."""
    lines = f" line {number - 1}\n-line {number}\n+{words}\n"
    return {"patch": f"*** Begin Patch\n*** Update File: {PATH}\n@@\n{lines}*** End Patch\n", **modifiers}


def same_line(referee: Referee) -> list[dict[str, Any]]:
    """The first worker changes line 4; the second puts a copy from before that back, with another line 4.

    Run again one after another each builds on what is there (IN_TURN). Who plays the first one's script when both have
    written makes a third line of them (BOTH): a worker that reconciles is given both tasks, and the model plays the
    first script that it finds.
    """
    edits = "s/^line 4$/four by w1/; s/^four by w2$/four by both/"
    adapts = "s/^line 4$/four by w2/; s/^four by w1$/four by w1 and w2/"
    one = task(
        "first",
        # One rename each, so that nobody can see the file half written.
        {"sh": f"sed '{edits}' {PATH} > marks/one && mv marks/one {PATH}", **referee.after("second")},
        report("Four by w1.", PATH, **referee.after("second", 2)),
    )
    two = task(
        "second",
        {"sh": f"mkdir -p marks && cp {PATH} marks/copy"},
        {"sh": f"sed '{adapts}' marks/copy > marks/two && mv marks/two {PATH}", **referee.after("first")},
        report("Four by w2.", PATH),
    )
    return [one, two]


def put_back(referee: Referee) -> list[dict[str, Any]]:
    """The first worker changes line 4; the second puts its copy from before that back, so nothing is left of it."""
    one = task(
        "first",
        change_line(4, "four by w1", **referee.after("second")),
        report("Four by w1.", PATH, **referee.after("second", 2)),
    )
    two = task(
        "second",
        {"sh": f"mkdir -p marks && cp {PATH} marks/copy"},
        {"sh": f"cp marks/copy marks/two && mv marks/two {PATH}", **referee.after("first")},
        report("Nothing to do.", PATH),
    )
    return [one, two]
