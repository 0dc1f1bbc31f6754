"""Codex's own configuration as its user wrote it: read only, to keep what a worker must not lose and to find what it
must not get.

Codex lays its files over each other: system, user, profile (`-p`), then the project's `.codex/config.toml` from the top
level down to the working directory where the user trusts the project, then `-c`. A file that cannot be read is left
out here; Codex itself then fails on it with a better message.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The standard library has it since 3.11.
_toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

SYSTEM_CONFIG = Path("/etc/codex/config.toml")
WRAPPER_NAME = "codex-cli-wrapper"
_OUR_PROGRAM = "codex-sidecar"
_OUR_PACKAGE = "sidecar"


@dataclass(frozen=True)
class Orchestrator:
    """A configured MCP server that would let a worker spawn workers. `transport` is `command` or `url` with value."""

    name: str
    transport: tuple[str, str] | None


@dataclass(frozen=True)
class UserConfig:
    """What matters to us of all layers."""

    merged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def developer_instructions(self) -> str | None:
        value = self.merged.get("developer_instructions")
        return value if isinstance(value, str) and value.strip() else None

    @property
    def orchestrators(self) -> list[Orchestrator]:
        servers = self.merged.get("mcp_servers")
        if not isinstance(servers, dict):
            return []
        return [
            Orchestrator(name, _transport(entry))
            for name, entry in servers.items()
            if is_orchestrator(name, entry) and not (isinstance(entry, dict) and entry.get("enabled") is False)
        ]

    @property
    def provider(self) -> tuple[str, Mapping[str, Any]]:
        """Name and table of the model provider; the table is empty where Codex has it built in."""
        name = self.merged.get("model_provider")
        name = name if isinstance(name, str) and name else "openai"
        providers = self.merged.get("model_providers")
        entry = providers.get(name) if isinstance(providers, dict) else None
        return name, entry if isinstance(entry, dict) else {}


def is_orchestrator(name: str, entry: Any) -> bool:
    """Whether an MCP server of this name and entry is ours, under whatever name it was installed."""
    if name.replace("_", "-").lower() == WRAPPER_NAME:
        return True
    if not isinstance(entry, dict):
        return False
    args = entry.get("args")
    words = [entry.get("command"), *(args if isinstance(args, list) else [])]
    names = [os.path.basename(word) for word in words if isinstance(word, str)]
    ours = _OUR_PROGRAM in names or any(name == _OUR_PACKAGE or name.startswith(f"{_OUR_PACKAGE}.") for name in names)
    return ours and "mcp" in names


def _transport(entry: Any) -> tuple[str, str] | None:
    if isinstance(entry, dict):
        for key in ("command", "url"):
            if isinstance(entry.get(key), str):
                return key, entry[key]
    return None


def codex_home(env: Mapping[str, str]) -> Path:
    """Where Codex keeps its state with this environment."""
    return Path(env.get("CODEX_HOME") or Path(env.get("HOME") or os.path.expanduser("~")) / ".codex")


def load_user_config(env: Mapping[str, str], directory: str, top: str, extra_args: Sequence[str] = ()) -> UserConfig:
    """Reads all layers for a worker that starts in `directory` of the work tree at `top`. Blocks (small files)."""
    merged: dict[str, Any] = {}
    home = codex_home(env)
    options = list(_options(extra_args))
    _overlay(merged, _read(SYSTEM_CONFIG))
    if not any(name == "--ignore-user-config" for name, _ in options):
        _overlay(merged, _read(home / "config.toml"))
    for name, value in options:
        if name in ("-p", "--profile") and value:
            _overlay(merged, _read(home / f"{value}.config.toml"))
    if _trusted(merged, directory, top):
        for folder in _down(directory, top):
            _overlay(merged, _read(folder / ".codex" / "config.toml"))
    for name, value in options:
        if name in ("-c", "--config") and "=" in value:
            _overlay(merged, _override(value))
    return UserConfig(merged)


def _read(path: Path) -> dict[str, Any]:
    # Absent is normal; what is broken makes Codex itself fail, with the line and the column.
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return dict(_toml.loads(path.read_text("utf-8")))
    return {}


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = iter(arguments)
    for argument in rest:
        name, mark, value = argument.partition("=")
        if argument.startswith("--") and mark:
            yield name, value
        elif argument in ("-c", "--config", "-p", "--profile"):
            yield argument, next(rest, "")
        elif re.match(r"-[cp].", argument):
            yield argument[:2], argument[2:].removeprefix("=")
        else:
            yield argument, ""


def _override(text: str) -> dict[str, Any]:
    dotted, _, literal = text.partition("=")
    try:
        value = _toml.loads(f"value = {literal}")["value"]
    except (ValueError, RecursionError):
        value = literal.strip()
    result = value
    for part in reversed(dotted.strip().split(".")):
        result = {part: result}
    return result if isinstance(result, dict) else {}


def _overlay(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        inner = below.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            _overlay(inner, value)
        else:
            below[key] = value


def _trusted(config: Mapping[str, Any], directory: str, top: str) -> bool:
    projects = config.get("projects")
    if not isinstance(projects, dict):
        return False
    for place in (directory, top, _main_work_tree(top)):
        entry = projects.get(place)
        if isinstance(entry, dict) and "trust_level" in entry:
            return bool(entry["trust_level"] == "trusted")
    return False


def _main_work_tree(top: str) -> str:
    """For a linked work tree the top level of the main one, whose trust it shares; else `top`."""
    text = ""
    with contextlib.suppress(OSError, ValueError):  # A directory: this is the main work tree.
        text = Path(top, ".git").read_text("utf-8")
    found = re.match(r"gitdir: (.+)/\.git/worktrees/[^/]+\s*$", text)
    return os.path.normpath(os.path.join(top, found[1])) if found else top


def _down(directory: str, top: str) -> list[Path]:
    folders = [Path(directory), *Path(directory).parents]
    inside = [folder for folder in folders if folder == Path(top) or Path(top) in folder.parents]
    return list(reversed(inside))
