"""What goes to stdout and stderr, and how foreign text is made safe for a terminal."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any

from sidecar.cli.wording import for_terminal
from sidecar.model.errors import SidecarError


def one_line(text: str, width: int | None = None) -> str:
    """Text of a worker or a client as one printable line: no control characters, no direction marks.

    Args:
        text: anything.
        width: most characters; longer text ends in `…`.
    """
    shown = " ".join("".join(_safe(char) for char in text).split())
    return shown if width is None or len(shown) <= width else shown[: max(width - 1, 0)].rstrip() + "…"


def paragraphs(text: str) -> str:
    """Text of several lines, safe to print: newlines stay, tabs become spaces, other controls go."""
    lines = ("".join(_safe(char) for char in line.expandtabs(4)) for line in text.splitlines())
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def sentence(message: str, hint: str) -> str:
    """An error's message and remedy in one line, as a person at a terminal can follow it."""
    shown = one_line(message)
    stop = "." if shown and shown[-1] not in ".!?…" else ""
    return f"{shown}{stop} {one_line(for_terminal(hint))}".strip()


def _safe(char: str) -> str:
    # Cc: escape sequences and the like; Cf: marks that turn the direction of writing; Cs: halves of pairs.
    if char in "\t\r\n":
        return " "
    return "" if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\u200d" else char


class Output:
    """Where a command says what it has to say; with `--json`, one object and nothing else on stdout."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def text(self, text: str) -> None:
        """Lines for people; nothing with `--json`."""
        if not self.as_json:
            _write(text + "\n")

    def result(self, value: dict[str, Any], text: str) -> None:
        """The answer of the command: `value` with `--json`, else `text`."""
        if self.as_json:
            self._object(value)
        else:
            self.text(text)

    def error(self, error: SidecarError) -> None:
        """One sentence with the remedy on stderr; with `--json` the error's object on stdout as well."""
        if self.as_json:
            self._object(error.to_dict())
        self.note(sentence(error.message, error.hint))

    def note(self, text: str) -> None:
        """One line beside the answer, on stderr."""
        sys.stdout.flush()
        print(f"codex-sidecar: {one_line(text)}", file=sys.stderr, flush=True)

    def _object(self, value: dict[str, Any]) -> None:
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        indent = 2 if sys.stdout.isatty() else None
        _write(json.dumps(value, ensure_ascii=not utf8, indent=indent) + "\n")


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
