"""The program `codex-sidecar`. Editors and bosses start it often, so nothing is imported before it is needed."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs one command and returns the exit code: 0 done, 1 failed, 2 wrong use, 3 the environment lacks something."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--repo"]:
        arguments = arguments[2:3] + arguments[:2] + arguments[3:]
    if arguments and arguments[0] in ("lsp", "mcp"):
        from sidecar import pump

        return pump.main(arguments[0], arguments[1:])
    from sidecar.cli.main import main as run_command

    return run_command(sys.argv[1:])
