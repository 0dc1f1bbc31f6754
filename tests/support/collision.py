"""Two real worker processes that change the same line of a file at the same time, each seen to have written it.

The bundled scripted worker plays the parts, so no account and no Codex is needed; the sidecar, Git, the journal and
the witness of who wrote what are real.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from sidecar.demo.script import MARKER
from tests.support.referee import Referee
from tests.support.repo import make_repo

PATH = "src/app.py"
LINES = ["def run(path):", "    text = open(path).read()", "    return text.upper()", "", "NAME = 'app'"]
WORKER = f"{shlex.quote(sys.executable)} -m sidecar.demo.worker"
"""For `CODEX_SIDECAR_CODEX`."""


def collision_repo(path: Path) -> Path:
    return make_repo(path, {PATH: "".join(f"{line}\n" for line in LINES), "README.md": "hello\n"})


def tasks(*, pause: float = 0.3, referee: Referee | None = None) -> list[dict[str, Any]]:
    """The inputs of two `codex_spawn`: the second worker writes over the first one's line 3.

    Args:
        pause: after so many seconds.
        referee: or as soon as it says that the first one's version is known; the first one ends after the second.
    """
    first, second = "    return text.lower()", "    return text.title()"
    if referee is not None:
        one, other = "lower case", "title case"
        return [
            _spawn(one, [_patch(LINES[2], first), _report(one) | referee.after(other)]),
            _spawn(other, [_patch(first, second) | referee.after(one), _report(other)]),
        ]
    return [
        _task("lower case", [LINES[2], first], before=0.0, after=2 * pause),
        _task("title case", [first, second], before=pause, after=pause),
    ]


def _task(title: str, lines: list[str], *, before: float, after: float) -> dict[str, Any]:
    old, new = lines
    script = [
        {"sh": f"while ! grep -qF '{old.strip()}' {PATH}; do sleep 0.02; done; sleep {before}"},
        _patch(old, new),
        {"sh": f"sleep {after}"},
        _report(title),
    ]
    return _spawn(title, script)


def _patch(old: str, new: str) -> dict[str, Any]:
    return {"patch": f"*** Begin Patch\n*** Update File: {PATH}\n@@\n-{old}\n+{new}\n*** End Patch"}


def _report(title: str) -> dict[str, Any]:
    return {"json": {"summary": f"{title} it is", "modifiedFiles": [PATH]}}


def _spawn(title: str, script: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "prompt": f"Use {title}. {MARKER} {json.dumps(script)}",
        "title": title,
        "sandbox": "danger-full-access",
    }
