"""What a boss and the server say to each other in a test, as docs/boss.md shows it.

The page holds the transcript of a real run with its ids made short and its lists cut. The test that makes it compares
calls and the fields of the answers, which are the same in every run; `CODEX_SIDECAR_WRITE_DOCS=1` writes it anew.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from sidecar.demo.script import MARKER

PAGE = Path(__file__).resolve().parents[2] / "docs" / "boss.md"
WRITE_ENV = "CODEX_SIDECAR_WRITE_DOCS"
# Read at once: tests run without the caller's environment.
_WRITE = bool(os.environ.get(WRITE_ENV))
_BEGIN, _END = "<!-- transcript: begin -->", "<!-- transcript: end -->"
_ID = re.compile(r"\b[0-9a-f]{32}\b")
SHOWN_CHARACTERS = 240
SHOWN_ENTRIES = 3

Talk = list[tuple[dict[str, Any], dict[str, Any]]]
"""Calls (`tool` and `args`) and their answers."""


def check(talk: Talk) -> None:
    """Fails where the page shows another conversation than this one; writes the page where that is asked for."""
    text = PAGE.read_text()
    before, rest = text.split(_BEGIN)
    shown, after = rest.split(_END)
    if _WRITE:
        PAGE.write_text(f"{before}{_BEGIN}\n```text\n{render(talk)}```\n{_END}{after}")
        return
    said = [line.split(" ", 2) for line in shown.splitlines() if line.startswith("boss ")]
    heard = [json.loads(line.partition(" ")[2]) for line in shown.splitlines() if line.startswith("answer ")]
    found = [
        (tool, sorted(json.loads(args)), sorted(answer)) for (_, tool, args), answer in zip(said, heard, strict=True)
    ]
    real = [(call["tool"], sorted(call["args"]), sorted(answer)) for call, answer in _without_repeats(talk)]
    assert found == real, f"docs/boss.md shows another conversation; renew it with {WRITE_ENV}=1"


def render(talk: Talk) -> str:
    """One line for each call and each answer; a wait that is repeated is shown once."""
    names: dict[str, str] = {}

    def short(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"id{len(names) + 1}")

    lines = []
    for call, answer in _without_repeats(talk):
        for begin, value in ((f"boss {call['tool']}", call["args"]), ("answer", answer)):
            lines.append(f"{begin} {_ID.sub(short, json.dumps(_cut(value), ensure_ascii=False))}\n")
    return "".join(lines)


def _without_repeats(talk: Talk) -> Talk:
    """Only the last of several waits in a row: how many there are is chance."""
    following = [call["tool"] for call, _ in talk[1:]] + [""]
    return [one for one, after in zip(talk, following, strict=True) if not one[0]["tool"] == after == "codex_wait_any"]


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    if isinstance(value, list):
        more = [f"… {len(value) - SHOWN_ENTRIES} more"] if len(value) > SHOWN_ENTRIES else []
        return [_cut(item) for item in value[:SHOWN_ENTRIES]] + more
    if isinstance(value, str):
        text = value.split(f" {MARKER}")[0].replace("\n", " ")
        return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    return value
