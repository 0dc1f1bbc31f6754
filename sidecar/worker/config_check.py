"""Refuses Codex configuration of a job that would break the worker contract, by name, before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.model.errors import invalid
from sidecar.worker.toml_text import to_toml
from sidecar.worker.user_config import is_orchestrator

VALUE_BYTES = 100_000
"""Longest value: Linux takes no more than 128 KiB in one argument of a program."""

_SANDBOX = "the sandbox is the spawn's own argument"
_TEMPORARY = "each worker has a private temporary directory and no other"
_AGENTS = "workers may not start agents"
_PROTECTED: tuple[tuple[str, str, str], ...] = (
    ("sandbox_mode", _SANDBOX, "Give `sandbox` to codex_spawn."),
    ("default_permissions", _SANDBOX, "Give `sandbox` to codex_spawn."),
    ("permissions", _SANDBOX, "Give `sandbox` to codex_spawn."),
    ("sandbox_workspace_write.exclude_slash_tmp", _TEMPORARY, ""),
    ("sandbox_workspace_write.exclude_tmpdir_env_var", _TEMPORARY, ""),
    ("approval_policy", "nobody is there to approve anything", ""),
    ("approvals_reviewer", "nobody is there to approve anything", ""),
    ("agents", _AGENTS, "Spawn another job instead."),
    ("features.multi_agent", _AGENTS, "Spawn another job instead."),
    ("features.multi_agent_v2", _AGENTS, "Spawn another job instead."),
    ("features.collab", _AGENTS, "Spawn another job instead."),
    ("developer_instructions", "the worker contract stands there", "Put it into the prompt, or into AGENTS.md."),
)


def check_config(config: Mapping[str, Any]) -> None:
    """Checks the `config` of a spawn.

    Raises:
        SidecarError: `invalid-arguments`, naming the key `config.<key>`.
    """
    for key, value in config.items():
        field = f"config.{key}"
        parts = key.split(".")
        if not all(parts) or '"' in key:
            raise invalid(field, "not a dotted key of Codex's configuration", "Quotes and empty parts are not known.")
        try:
            text = to_toml(value)
        except ValueError as exc:
            raise invalid(field, f"holds {exc}, which Codex's configuration cannot express") from None
        except RecursionError:
            raise invalid(field, "nests too deep") from None
        if len(text.encode()) > VALUE_BYTES:
            raise invalid(field, f"longer than {VALUE_BYTES} bytes")
        for path, leaf in _leaves(parts, value):
            _check_leaf(field, path, leaf)


def _check_leaf(field: str, path: list[str], leaf: Any) -> None:
    dotted = ".".join(path)
    for protected, why, hint in _PROTECTED:
        if dotted == protected or dotted.startswith(f"{protected}."):
            raise invalid(field, f"`{protected}` may not be set: {why}", hint)
    if path[0] == "mcp_servers" and len(path) > 1:
        entry = {path[2]: leaf} if len(path) > 2 else leaf
        names_us = path[2:3] == ["command"] and is_orchestrator("", {"command": leaf, "args": ["mcp"]})
        if names_us or is_orchestrator(path[1], entry):
            why = "a worker does not get the tools that spawn workers"
            raise invalid(field, f"`mcp_servers.{path[1]}` may not be set: {why}", "")


def _leaves(parts: list[str], value: Any) -> list[tuple[list[str], Any]]:
    """Every (path, value) that the key sets, tables opened; a table of an MCP server stays whole for a look at it."""
    found = [(parts, value)]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += _leaves([*parts, *str(name).split(".")], inner)
    return found
