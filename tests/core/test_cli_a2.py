"""Asking a person at a terminal, and the two steps of whatever can undo work: real terminals, real tokens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

import msgspec
import pytest

from sidecar.a2.tokens import Tokens
from sidecar.cli import two_steps
from sidecar.cli.asking import Choice, Terminal, approval, terminal
from sidecar.cli.output import Output
from sidecar.model.a2_outputs import Preview, PreviewFile
from sidecar.model.errors import SidecarError


class Pty:
    """A terminal, `theirs`, and our hand on it."""

    def __init__(self, ours: int, stdin: TextIO, stdout: TextIO) -> None:
        self._ours = ours
        self.shown = ""
        self.stdin, self.stdout = stdin, stdout
        self.theirs = Terminal(stdin, stdout)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read(self, wanted: str) -> str:
        """What has been shown, once `wanted` is among it."""
        while wanted not in self.shown:
            self.shown += os.read(self._ours, 65_536).decode()
        return self.shown

    def hang_up(self) -> None:
        os.close(self._ours)
        self._ours = -1

    def close(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)


@pytest.fixture
def pty() -> Iterator[Pty]:
    ours, theirs = os.openpty()
    # What is written to a terminal that has been hung up is lost, also at its close.
    hung_up = contextlib.suppress(OSError)
    with hung_up, open(os.dup(theirs), encoding="utf-8") as stdin, open(theirs, "w", encoding="utf-8") as stdout:
        found = Pty(ours, stdin, stdout)
        yield found
        found.close()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("y\n", True), ("YES\n", True), ("  yes \n", True), ("n\n", False), ("\n", False), ("sure\n", False)],
)
async def test_only_yes_is_yes(pty: Pty, typed: str, expected: bool) -> None:
    pty.type(typed)
    assert await pty.theirs.confirm("Do it?") is expected
    assert "Do it? [y/N] " in pty.read("[y/N] ")


async def test_a_terminal_that_is_gone_means_no(pty: Pty) -> None:
    asking = asyncio.ensure_future(pty.theirs.confirm("Do it?"))
    await asyncio.sleep(0.05)
    pty.hang_up()
    assert await asking is False


async def test_the_end_of_input_means_no(pty: Pty) -> None:
    pty.type("\x04")
    assert await pty.theirs.confirm("Do it?") is False


async def test_a_question_can_be_broken_off(pty: Pty) -> None:
    before = set(threading.enumerate())
    asking = asyncio.ensure_future(pty.theirs.confirm("Do it?"))
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert set(threading.enumerate()) <= before, "no thread is left that waits for a line"
    pty.type("y\n")
    assert await pty.theirs.confirm("And now?") is True


CHOICES = [Choice(("m", "merge"), "merge them", {"a": "1"}), Choice(("w1",), "keep \x1b[31mw1", {"a": "2"})]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("m\n", CHOICES[0]), ("MERGE\n", CHOICES[0]), ("w1\n", CHOICES[1]), ("\n", None), ("\x04", None),
     ("what?\nw1\n", CHOICES[1])],
)  # fmt: skip
async def test_a_choice(pty: Pty, typed: str, expected: Choice | None) -> None:
    pty.type(typed)
    assert await pty.theirs.choose("Which?", CHOICES) is expected
    shown = pty.read("Which? ")
    assert "   m  merge them" in shown
    assert "\x1b" not in shown
    if "what?" in typed:
        assert "Type one of m, w1, or just Enter." in pty.read("Enter.")


def test_who_can_be_asked(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", pty.stdin)
    assert terminal(Output()) is not None
    assert terminal(Output(as_json=True)) is None, "a program reads the answer"
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert terminal(Output()) is None


async def test_a_question_stays_out_of_a_redirected_answer(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", pty.stdout)
    with open(os.devnull, "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        pty.type("y\n")
        assert await Terminal(pty.stdin).confirm("Do it?") is True
    assert "Do it?" in pty.read("[y/N] ")


class Tool:
    """A tool of two steps with the sidecar's own tokens; `world` is what a preview relies on."""

    def __init__(self, *, restless: int = 0) -> None:
        self.tokens = Tokens()
        self.world = 0
        self.acted: list[int] = []
        self.previews = 0
        self._restless = restless

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Before each of the first `restless` acts something changes."""
        preview = Preview(
            text=f"Undo {self.world}?",
            files=[PreviewFile(path="a", action="goes back")],
            jobs=[],
            user_edits=[],
            untouched=[],
        )
        if "token" not in arguments:
            self.previews += 1
            return msgspec.to_builtins(self.tokens.offer(tool, preview, self.world, lambda _: preview.text))
        if self._restless:
            self._restless -= 1
            self.world += 1
            preview = msgspec.structs.replace(preview, text=f"Undo {self.world}?")
        self.tokens.check(arguments["token"], tool, preview, self.world, lambda _: preview.text)
        self.acted.append(self.world)
        return {"snapshotId": "s1", "files": ["a"], "kept": {}}

    async def perform(self, *answers: bool, token: str | None = None) -> tuple[list[str], dict[str, Any], bool]:
        """What was shown, and how it ended; each preview is answered by the next of `answers`."""
        shown: list[str] = []

        async def approve(preview: dict[str, Any]) -> bool:
            shown.append(preview["text"])
            return answers[len(shown) - 1]

        arguments = {"paths": ["a"], **({"token": token} if token is not None else {})}
        return shown, *await two_steps.perform(self, "rollback", arguments, approve)  # type: ignore[arg-type]


async def test_a_preview_comes_before_the_act() -> None:
    tool = Tool()
    shown, answer, done = await tool.perform(True)
    assert (shown, answer["snapshotId"], done, tool.acted) == (["Undo 0?"], "s1", True, [0])


async def test_no_means_that_nothing_is_done() -> None:
    tool = Tool()
    shown, answer, done = await tool.perform(False)
    assert (shown, done, tool.acted) == (["Undo 0?"], False, [])
    assert two_steps.is_preview(answer), "its token can still be used"


async def test_a_preview_that_has_grown_stale_is_shown_anew() -> None:
    tool = Tool(restless=2)
    shown, _, done = await tool.perform(True, True, True)
    assert shown == ["Undo 0?", "Undo 1?", "Undo 2?"]
    assert done
    assert tool.acted == [2]
    assert tool.previews == 1, "the new ones came with the refusals"


async def test_the_new_preview_can_be_refused() -> None:
    tool = Tool(restless=1)
    shown, _, done = await tool.perform(True, False)
    assert (shown, done, tool.acted) == (["Undo 0?", "Undo 1?"], False, [])


async def test_a_world_that_never_rests_is_an_error_in_the_end() -> None:
    tool = Tool(restless=9)
    with pytest.raises(SidecarError) as caught:
        await tool.perform(True, True, True)
    assert caught.value.kind == "stale-token"
    assert tool.acted == []


async def test_a_good_token_acts_at_once_and_a_bad_one_is_asked_about() -> None:
    tool = Tool()
    offered = await tool.call("rollback", {"paths": ["a"]})
    shown, _, done = await tool.perform(token=offered["token"])
    assert (shown, done, tool.acted) == ([], True, [0])
    shown, _, done = await tool.perform(True, token="t-unknown")
    assert (shown, done, tool.acted) == (["Undo 0?"], True, [0, 0])


async def test_other_errors_go_on() -> None:
    async def call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        raise SidecarError("busy", "w1 is still running.", details={"preview": {}})

    tool = Tool()
    tool.call = call  # type: ignore[method-assign]
    with pytest.raises(SidecarError, match="still running"):
        await tool.perform(True)


async def test_a_person_reads_the_preview_before_the_question(pty: Pty) -> None:
    pty.type("y\n")
    assert await approval(pty.theirs)({"text": "Roll back 1 file to the baseline?\n\nUndone: \x1b[2Jeverything"})
    shown = pty.read("[y/N] ").replace("\r\n", "\n")
    assert shown.index("Undone: [2Jeverything\n") < shown.index("Do it? [y/N] ")
    assert await approval(None)({"text": "x"}), "who said yes beforehand is not asked"
