"""What a command of the program is, and the parser that all of them share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sidecar.cli import exits
from sidecar.cli.output import Output
from sidecar.model.errors import SidecarError

PROGRAM = "codex-sidecar"
_NAMING = ("--token", "--job-id", "--job-ids", "--depends-on", "--snapshot-id", "--conflict-id")
"""Flags whose values are made at random; one in 64 begins with a dash, which argparse takes for a flag."""
GOES_ON = f"the workers go on running; `{PROGRAM} status` shows them."


@dataclass(frozen=True)
class Command:
    """One word of the program.

    Attributes:
        name: the word.
        summary: one line for the list of commands.
        add_flags: adds what it takes; `--repo` and `--json` are there already.
        run: does it; returns the exit code, raises SidecarError.
        description: what `--help` says on top.
        on_interrupt: what is said after Ctrl-C, behind `interrupted; `.
        has_json: whether there is a `--json`.
    """

    name: str
    summary: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Output], Coroutine[Any, Any, int]]
    description: str = ""
    on_interrupt: str = ""
    has_json: bool = True


class Parser(argparse.ArgumentParser):
    """An argparse parser that reports a wrong use as the one error shape instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        shown = message.removeprefix("argument ").strip()
        shown = shown[:1].upper() + shown[1:] if not shown.startswith("-") else shown
        raise SidecarError("invalid-arguments", f"{shown}.", f"`{self.prog} --help` lists what it takes.")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """What `argv` says. Flags and words may stand in any order, and an id or a token may begin with a dash.

        Raises:
            SidecarError: `invalid-arguments`.
            SystemExit: `--help` was printed.
        """
        words: list[str] = []
        for index, word in enumerate(argv):
            before = words[-1] if words else ""
            if before in _NAMING and word.startswith("-") and word not in self._option_string_actions:
                words[-1] = f"{before}={word}"
            elif word == "--":
                return self.parse_intermixed_args([*words, *argv[index:]])
            else:
                words.append(word)
        return self.parse_intermixed_args(words)


def parser_for(command: Command) -> Parser:
    """The parser of one command."""
    parser = Parser(
        prog=f"{PROGRAM} {command.name}",
        description=command.description or command.summary,
        epilog=exits.HELP,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repo", metavar="DIR", default=None, help="The repository. Default: that of the current directory."
    )
    if command.has_json:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="Print exactly one JSON object on stdout."
        )
    command.add_flags(parser)
    return parser
