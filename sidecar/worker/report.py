"""Reads a worker's last message: the report that it was asked for, or whatever it wrote instead.

Codex does not check an answer against the schema, so all of this is a claim by the model and is read with patience.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import msgspec

_CANDIDATES = 20
_PATH_BYTES = 4096
_NAME_BYTES = 255
_OBJECT = re.compile(r'\{\s*"(?:summary|modifiedFiles)"')
_LABEL = re.compile(r"^[ \t>*_#`-]*modified[ _-]?files[`*_]*[ \t]*:[*_`]*[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_BULLET = re.compile(r"(?:[-*+•]|\d{1,4}[.)])[ \t]+(.+)")
_REMARK = re.compile(r"^(`[^`]+`|\S+)[ \t]+(?:\(.*\)|[-–—:].*)$")
_NONE = frozenset({"", "none", "(none)", "[]", "-", "n/a", "no files", "(no files)", "nothing"})


class Report(msgspec.Struct, frozen=True):
    """What a worker answered.

    `modified_files` are paths relative to the top level where they are inside it; None where it did not say.
    `missing`: the message is no report; `summary` then is the whole of it.
    """

    summary: str
    modified_files: list[str] | None
    missing: bool


def parse_report(text: str | None, top: str = "") -> Report:
    """Finds the report in a last message; never raises.

    Args:
        text: the message; None where there was none.
        top: the repository's top level, to make absolute paths relative.
    """
    if text is None:
        return Report("", None, True)
    for value in _objects(text):
        files = value.get("modifiedFiles")
        summary = value.get("summary")
        if isinstance(summary, str) and isinstance(files, list) and all(isinstance(one, str) for one in files):
            return Report(summary, normalise(files, top), False)
    listed = _listed(text)
    if listed is not None:
        return Report(text, normalise(listed, top), False)
    return Report(text, None, True)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in the order of trust: the whole text, the last fenced blocks, the last that stand in the text."""
    yield from _decoded(text.strip())
    for block in reversed(text.split("```")[1::2][-_CANDIDATES:]):
        yield from _decoded(block.strip().removeprefix("json").removeprefix("JSON").lstrip())
    for found in reversed(list(_OBJECT.finditer(text))[-_CANDIDATES:]):
        yield from _decoded(text[found.start() :], whole=False)


def _decoded(text: str, *, whole: bool = True) -> Iterator[dict[str, Any]]:
    if not text.startswith("{"):
        return
    try:
        value = json.loads(text) if whole else json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        yield value


def _listed(text: str) -> list[str] | None:
    """The files behind the last `modifiedFiles:` of a plain text, on its line or as bullets below; None without one."""
    labels = list(_LABEL.finditer(text))
    if not labels:
        return None
    found = labels[-1]
    inline = found[1].strip().rstrip(".")
    if _bare(inline).lower() in _NONE and inline:
        return []
    if inline:
        return [_bare(part) for part in inline.strip("[]").split(",")]
    files: list[str] = []
    for line in text[found.end() :].splitlines()[1:]:
        bullet = _BULLET.match(line.strip())
        if bullet is None:
            if line.strip():
                break
            if files:
                break
            continue
        remark = _REMARK.match(bullet[1])
        files.append(_bare(remark[1] if remark else bullet[1]))
    if [name.lower() for name in files] and all(name.lower() in _NONE for name in files):
        return []
    rest = text[found.end() :].strip().lower()
    return files or ([] if rest in _NONE and rest else None)


def _bare(text: str) -> str:
    return text.strip().strip("`*\"'").strip()


def normalise(paths: list[str], top: str) -> list[str]:
    """Paths as everything else names them: relative to `top` with `/`, without repetitions, in the given order.

    Paths outside `top` stay as they are. What no file system could hold (a NUL, a name above 255 bytes) is dropped.
    """
    found: dict[str, None] = {}
    for path in dict.fromkeys(paths):
        name = relative_to_top(path.strip(), top)
        if name not in ("", ".") and _possible(name):
            found[name] = None
    return list(found)


def relative_to_top(path: str, top: str) -> str:
    """A path relative to `top`, `/`-separated; an absolute path that is outside stays absolute."""
    plain = os.path.normpath(path) if path else ""
    if not top or not plain.startswith("/"):
        return plain
    prefix = top.rstrip("/") + "/"
    return plain[len(prefix) :] if plain.startswith(prefix) else ("" if plain == top else plain)


def _possible(path: str) -> bool:
    raw = path.encode("utf-8", "surrogatepass")
    return b"\0" not in raw and len(raw) < _PATH_BYTES and all(len(name) <= _NAME_BYTES for name in raw.split(b"/"))
