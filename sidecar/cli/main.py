"""The program `codex-sidecar`: finds the command, runs it, turns every end into an exit code and one sentence."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from sidecar import __version__
from sidecar.cli import exits, signals
from sidecar.cli.command import PROGRAM, Command, parser_for
from sidecar.cli.flags import as_flags
from sidecar.cli.output import Output
from sidecar.model.errors import SidecarError, invalid

FRONT_ENDS = {
    "lsp": "language server on stdio, for an editor",
    "mcp": "MCP server `codex-cli-wrapper` on stdio (or HTTP: --http), for an agent that commands workers",
}


def commands() -> dict[str, Command]:
    """All commands by their names, in the order of the help."""
    from sidecar.cli import daemon, demo, doctor, install, report, run, tool_commands

    listed = [
        run.COMMAND,
        *tool_commands.commands(),
        report.COMMAND,
        doctor.COMMAND,
        install.INSTALL,
        install.UNINSTALL,
        daemon.COMMAND,
        demo.COMMAND,
    ]
    return {command.name: command for command in listed}


def main(argv: Sequence[str]) -> int:
    """Runs the program with `argv` (without the program's name), prints every error, and returns the exit code."""
    options = list(argv)[: list(argv).index("--")] if "--" in argv else list(argv)
    out = Output(as_json="--json" in options)
    try:
        return _dispatch(list(argv), out)
    except SidecarError as exc:
        out.error(as_flags(exc))
        return exits.of_error(exc.kind)
    except BrokenPipeError:
        # Nobody reads on; the interpreter must not complain about it when it flushes at its end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BROKEN_PIPE
    except KeyboardInterrupt:
        out.note("interrupted.")
        return exits.INTERRUPTED
    except Exception as exc:  # noqa: BLE001 - the one place where a bug of ours becomes a sentence
        out.error(_unexpected(exc))
        return exits.of_error("internal")


def _dispatch(argv: list[str], out: Output) -> int:
    repo, argv = _leading_repo(argv)
    first = argv[0] if argv else ""
    if first in ("--version", "-V"):
        print(f"{PROGRAM} {__version__}")
        return exits.DONE
    known = commands()
    if first in ("--help", "-h", "help"):
        print(_overview(known))
        return exits.DONE
    if not argv:
        raise SidecarError("invalid-arguments", "No command was given.", _list(known))
    if first in FRONT_ENDS:  # Behind a leading --repo; else the program's entry has sent them to the pump already.
        from sidecar import pump

        return pump.main(first, [*(["--repo", repo] if repo is not None else []), *argv[1:]])
    if first not in known:
        what = "option" if first.startswith("-") else "command"
        raise SidecarError("invalid-arguments", f"There is no {what} {first[:80]!r}.", _list(known))
    command = known[first]
    try:
        found = parser_for(command).read(argv[1:])
    except SystemExit as exc:  # argparse has printed the help.
        return exc.code if isinstance(exc.code, int) else exits.DONE
    if found.repo is None:
        found.repo = repo
    if found.repo is not None and not Path(found.repo).is_dir():
        raise invalid("--repo", f"{found.repo[:200]!r} is not a directory", "Name a directory of a Git repository.")
    try:
        return signals.run(command.run(found, out))
    except signals.Interrupted as exc:
        out.note(f"interrupted; {command.on_interrupt}" if command.on_interrupt else "interrupted.")
        return 128 + exc.signal_number


def _leading_repo(argv: list[str]) -> tuple[str | None, list[str]]:
    """`--repo DIR` may stand before the command, too."""
    if argv[:1] == ["--repo"]:
        if len(argv) < 2:
            raise invalid("--repo", "expected a directory")
        return argv[1], argv[2:]
    if argv and argv[0].startswith("--repo="):
        return argv[0].partition("=")[2], argv[1:]
    return None, argv


def _overview(known: dict[str, Command]) -> str:
    rows = {**FRONT_ENDS, **{command.name: command.summary for command in known.values()}}
    width = max(map(len, rows))
    return "\n".join(
        [
            f"usage: {PROGRAM} [--repo DIR] COMMAND …",
            "",
            "Runs many Codex workers on one repository: from an editor, from an agent, from here.",
            "",
            "commands:",
            *(f"  {name.ljust(width)}  {summary}" for name, summary in rows.items()),
            "",
            f"`{PROGRAM} COMMAND --help` lists what a command takes; --version says the version.",
            "Every command takes --repo DIR (default: the repository of the current directory).",
            "",
            exits.HELP.rstrip(),
        ]
    )


def _list(known: dict[str, Command]) -> str:
    return f"The commands are {', '.join([*FRONT_ENDS, *known])}."


def _unexpected(exc: Exception) -> SidecarError:
    frames = traceback.extract_tb(exc.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return SidecarError(
        "internal",
        f"The program failed unexpectedly ({type(exc).__name__}: {exc}{at}).",
        "Please report this sentence; the workers go on running.",
    )
