"""What is written for each boss: the program to start, and the limits and permissions that make waiting work."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SERVER = "codex-cli-wrapper"
"""The name of the entry, and of the MCP server."""
PROGRAM = "codex-sidecar"
TOOL_SECONDS = 60
"""Time limit of a call: more than the 50 s that `codex_wait_any` waits at most."""
START_SECONDS = 30
PASSED_ON = ("CODEX_HOME", "CODEX_SIDECAR_CODEX", "CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL")
"""What Codex reads from the environment. Codex starts MCP servers without it, and workers have their boss's."""


def program() -> tuple[str, list[str]]:
    """The program that is running now, by its absolute path, with the argument `mcp`."""
    started = Path(sys.argv[0])
    if started.name == PROGRAM and os.access(started, os.X_OK):
        return os.path.abspath(started), ["mcp"]
    # An environment that the VS Code extension keeps goes with its version; the program beside it stays.
    launcher = Path(sys.prefix).parent / PROGRAM
    if (Path(sys.prefix) / "ready").is_file() and launcher.is_file():
        return str(launcher), ["mcp"]
    found = shutil.which(PROGRAM)
    if found is not None:
        return os.path.abspath(found), ["mcp"]
    return sys.executable, ["-m", "sidecar", "mcp"]


def is_ours(entry: object) -> bool:
    """Whether an entry starts the sidecar, by whatever path."""
    if not isinstance(entry, Mapping):
        return False
    command, arguments = entry.get("command"), entry.get("args")
    if not isinstance(command, str) or not isinstance(arguments, list):
        return False
    words = [str(word) for word in arguments]
    return (Path(command).name == PROGRAM and words == ["mcp"]) or words == ["-m", "sidecar", "mcp"]


def for_codex(config: Mapping[str, Any]) -> dict[str, Any]:
    """The entry for Codex.

    Without `required` a turn starts before the server answers; without the approval mode `codex exec` refuses every
    tool that changes something; without parallel calls a wait holds up everything else.

    Args:
        config: the configuration it goes into; the keys that its model providers name are passed on, too.
    """
    command, arguments = program()
    return {
        "command": command,
        "args": arguments,
        "required": True,
        "startup_timeout_sec": START_SECONDS,
        "tool_timeout_sec": TOOL_SECONDS,
        "supports_parallel_tool_calls": True,
        "default_tools_approval_mode": "approve",
        "env_vars": [*PASSED_ON, *(name for name in _provider_keys(config) if name not in PASSED_ON)],
    }


def for_claude(config: Mapping[str, Any]) -> dict[str, Any]:
    """The entry for Claude Code; its time limit is in milliseconds."""
    command, arguments = program()
    return {"type": "stdio", "command": command, "args": arguments, "timeout": TOOL_SECONDS * 1000}


def for_vscode(config: Mapping[str, Any]) -> dict[str, Any]:
    """The entry for VS Code; the folder tells which repository is meant."""
    command, arguments = program()
    return {"type": "stdio", "command": command, "args": arguments, "cwd": "${workspaceFolder}"}


def _provider_keys(config: Mapping[str, Any]) -> list[str]:
    providers = config.get("model_providers")
    if not isinstance(providers, Mapping):
        return []
    keys = (provider.get("env_key") for provider in providers.values() if isinstance(provider, Mapping))
    return sorted({str(key) for key in keys if key})
