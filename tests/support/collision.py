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
from tests.support.repo import make_repo

PATH = "src/app.py"
LINES = ["def run(path):", "    text = open(path).read()", "    return text.upper()", "", "NAME = 'app'"]
WORKER = f"{shlex.quote(sys.executable)} -m sidecar.demo.worker"
"""For `CODEX_SIDECAR_CODEX`."""


def collision_repo(path: Path) -> Path:
    return make_repo(path, {PATH: "".join(f"{line}\n" for line in LINES), "README.md": "hello\n"})


def tasks(*, pause: float = 0.3) -> list[dict[str, Any]]:
    """The inputs of two `codex_spawn`: the second worker writes over the first one's line 3 after `pause` seconds."""
    first, second = "    return text.lower()", "    return text.title()"
    return [
        _task("lower case", [LINES[2], first], before=0.0, after=2 * pause),
        _task("title case", [first, second], before=pause, after=pause),
    ]


def _task(title: str, lines: list[str], *, before: float, after: float) -> dict[str, Any]:
    old, new = lines
    patch = f"*** Begin Patch\n*** Update File: {PATH}\n@@\n-{old}\n+{new}\n*** End Patch"
    script = [
        {"sh": f"while ! grep -qF '{old.strip()}' {PATH}; do sleep 0.02; done; sleep {before}"},
        {"patch": patch},
        {"sh": f"sleep {after}"},
        {"json": {"summary": f"{title} it is", "modifiedFiles": [PATH]}},
    ]
    return {
        "prompt": f"Use {title}. {MARKER} {json.dumps(script)}",
        "title": title,
        "sandbox": "danger-full-access",
    }
