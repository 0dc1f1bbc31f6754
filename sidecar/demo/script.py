"""The little language in which a prompt tells the bundled model and the bundled worker what to do.

A prompt holds `SCRIPT:` followed by a JSON list. Each element is one answer of the model: an object, or a list of
objects that come in one answer. What is before and after the list is ignored, so a script can stand in a real task.

    {"message": "text"}                 a message; as the last thing of an answer it ends the turn
    {"json": {...}}                     a message that is this JSON, for the report
    {"reasoning": "text"}               a summary of thoughts
    {"sh": "echo hi", "args": {}}       a shell command; `"leave": true` does not wait for its end
    {"patch": "*** Begin Patch…"}       a patch
    {"mcp": "mcp__server__tool", "args": {}}
    {"web_search": "query"}             ends the turn too, unless a tool call stands beside it
    {"call": "name", "args": {}, "namespace": "…"}, {"custom": "name", "input": "…"}, {"js": "…"}, {"raw": {...}}
                                        what the Responses API calls so, verbatim

Any object of an answer may also say how the answer comes (see `Modifiers`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARKER = "SCRIPT:"
DEFAULT_REPORT = {"summary": "ok", "modifiedFiles": []}
UNTIL_SECONDS = 20.0
"""How long an answer waits at most for what its `until` names."""


@dataclass(frozen=True)
class Modifiers:
    """How an answer comes. `delay` and `stall` are seconds: before the headers, and before the first item.

    `until` makes scripts of several workers meet however slow the machine is: the answer waits until the file `path`
    (absolute) holds the text `holds`, and `delay` comes on top.
    """

    delay: float = 0.0
    until: dict[str, str] | None = None
    stall: float = 0.0
    usage: tuple[int, int, int, int] = (100, 10, 20, 5)
    """Input, cached input, output and reasoning tokens."""
    http: int | None = None
    """This status, with `body` and `headers`, instead of an answer."""
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    sse: str | None = None
    """malformed, truncated, empty, failed, incomplete, reset or hang."""
    times: int | None = None
    """`http` and `sse` hold for the first so many requests of this step only; None: for all."""


@dataclass(frozen=True)
class Step:
    """One answer of the model."""

    actions: tuple[dict[str, Any], ...]
    modifiers: Modifiers = Modifiers()


def wait_until(modifiers: Modifiers, pause: Callable[[float], Any]) -> None:
    """Waits for what `until` names, at most `UNTIL_SECONDS`. `pause` sleeps; what it returns true for ends the wait."""
    if modifiers.until is None:
        return
    path, text = Path(modifiers.until["path"]), modifiers.until["holds"]
    end = time.monotonic() + UNTIL_SECONDS
    while not (path.is_file() and text in path.read_text(errors="replace")):
        if time.monotonic() > end or pause(0.02):
            return


def say(text: str) -> Step:
    """A step that ends the turn with a report which says `text`."""
    return Step(({"json": {**DEFAULT_REPORT, "summary": text}},))


def find_script(text: str) -> list[Step] | None:
    """The script in a prompt; None where it has none. A broken one becomes a step that says what is wrong with it."""
    _, marker, rest = text.partition(MARKER)
    if not marker:
        return None
    try:
        steps = json.JSONDecoder().raw_decode(rest.lstrip())[0]
    except ValueError as exc:
        return [say(f"bad script: {exc}")]
    if not isinstance(steps, list):
        return [say("bad script: not a list")]
    try:
        return [_step(step) for step in steps]
    except (TypeError, ValueError) as exc:
        return [say(f"bad script: {exc}")]


def _step(value: Any) -> Step:
    parts = value if isinstance(value, list) else [value]
    names = Modifiers.__dataclass_fields__.keys()
    given: dict[str, Any] = {}
    actions = []
    for part in parts:
        if not isinstance(part, dict):
            raise ValueError(f"{part!r} is not an object")
        given.update((name, value) for name, value in part.items() if name in names)
        action = {name: value for name, value in part.items() if name not in names}
        if action:
            actions.append(action)
    if "usage" in given:
        given["usage"] = tuple([*given["usage"], 0, 0, 0, 0][:4])
    return Step(tuple(actions), Modifiers(**given))
