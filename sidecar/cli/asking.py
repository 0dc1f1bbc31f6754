"""Questions to a person at a terminal. Nobody is asked where no person can answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from sidecar.cli import a2_texts
from sidecar.cli.output import Output, paragraphs
from sidecar.cli.two_steps import Approve

_ANSWER_BYTES = 4096


@dataclass(frozen=True)
class Choice:
    """One way on.

    Attributes:
        keys: what is typed for it; the first is shown.
        text: what it does.
        meaning: what it is to the one who asks.
    """

    keys: tuple[str, ...]
    text: str
    meaning: Mapping[str, str]


class Terminal:
    """A person at a terminal.

    Args:
        source: where answers are read; stdin.
        shown: where questions are shown; stdout, or stderr where stdout goes elsewhere.
    """

    def __init__(self, source: TextIO | None = None, shown: TextIO | None = None) -> None:
        self._source = source or sys.stdin
        self._shown = shown or (sys.stdout if sys.stdout.isatty() else sys.stderr)

    def show(self, text: str) -> None:
        """Lines for the person who is about to be asked."""
        self._write(text + "\n")

    async def confirm(self, question: str) -> bool:
        """Whether the answer is yes. Enter, the end of input and everything else mean no."""
        return (await self._read(f"{question} [y/N] ")).lower() in ("y", "yes")

    async def choose(self, question: str, choices: Sequence[Choice]) -> Choice | None:
        """The choice that was typed; None for Enter and at the end of input. An unknown answer is asked again."""
        width = max(len(choice.keys[0]) for choice in choices)
        self.show("\n".join(f"  {choice.keys[0]:>{width}}  {paragraphs(choice.text)}" for choice in choices))
        while answer := (await self._read(f"{question} ")).lower():
            for choice in choices:
                if answer in choice.keys:
                    return choice
            self.show(f"Type one of {', '.join(choice.keys[0] for choice in choices)}, or just Enter.")
        return None

    async def _read(self, question: str) -> str:
        """One line of the terminal. Ctrl-C still comes through: no thread is left behind that waits for the line."""
        self._write(question)
        loop = asyncio.get_running_loop()
        line: asyncio.Future[bytes] = loop.create_future()
        source = self._source.fileno()

        def ready() -> None:
            # A terminal hands out whole lines, so this reads one and does not wait.
            if not line.done():
                try:
                    line.set_result(os.read(source, _ANSWER_BYTES))
                except OSError as exc:
                    line.set_exception(exc)

        loop.add_reader(source, ready)
        try:
            data = await line
        except OSError:
            data = b""  # The terminal was closed: nobody answers.
        finally:
            loop.remove_reader(source)
        if not data.endswith(b"\n"):
            with contextlib.suppress(OSError):  # After Ctrl-D the next line begins on its own; a closed one has none.
                self._write("\n")
        return data.decode(errors="replace").strip()

    def _write(self, text: str) -> None:
        encoding = self._shown.encoding or "utf-8"
        self._shown.write(text.encode(encoding, "replace").decode(encoding))
        self._shown.flush()


def terminal(out: Output) -> Terminal | None:
    """The person to ask; None where stdin is no terminal, and with `--json`, which is for programs."""
    return Terminal() if not out.as_json and sys.stdin.isatty() else None


def approval(person: Terminal | None) -> Approve:
    """Shows each preview to the person and asks; without a person everything is approved."""

    async def approve(preview: dict[str, Any]) -> bool:
        if person is None:
            return True
        person.show(a2_texts.preview(preview))
        return await person.confirm("Do it?")

    return approve
