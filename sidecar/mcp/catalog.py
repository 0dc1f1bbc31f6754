"""The table of tools as MCP lists it, kept small: a boss pays for every byte of it in each of its conversations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mcp_types as types

from sidecar.model.a2_outputs import RerunOutput, ResolvedOutput
from sidecar.model.outputs import SpawnGroupOutput, SpawnOutput
from sidecar.tools import table
from sidecar.tools.tool import Tool

ANSWER: dict[str, Any] = {"type": "object"}
"""What is promised of every answer. Members are named by the answers themselves, at no cost before the first call; and
clients made with the TypeScript SDK check the structured content of a failed call too, where a promise that the error's
`{kind, message, hint, details}` breaks would hide the error."""
_STARTING = frozenset({SpawnOutput, SpawnGroupOutput, RerunOutput, ResolvedOutput})
"""The answers of tools that may start workers; `codex_run` does so by its nature."""
_LEFT_TO_THE_SERVER = frozenset(
    {"minLength", "maxLength", "maxItems", "maxProperties", "propertyNames", "pattern", "description", "minimum"}
)
"""Sizes and forms of text and numbers too small are far from what a model sends; the server refuses them by name all
the same. What a field means is said once, in the tool's description."""
_OBVIOUS: dict[str, Callable[[Any], bool]] = {
    "maximum": lambda value: value > 1_000,
    "default": lambda value: value is False,
}
"""What a model would not do otherwise."""
_NOT_LISTED = frozenset({"isolation", "order"})
"""Fields that the server takes all the same: one has no form but its default, the other is a person's wish."""


def find(name: str) -> Tool | None:
    """The tool of this name, where MCP has it."""
    tool = table.BY_NAME.get(name)
    return None if tool is None or tool.editor_only else tool


@cache
def listed(*, tasks: bool = False) -> list[types.Tool]:
    """All tools that MCP has, in the order of the table; with `tasks` also the one that answers with a task."""
    tools = [_listed(tool) for tool in table.TOOLS if not tool.editor_only]
    return [*tools, _listed(table.RUN)] if tasks else tools


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.input_schema, tool.shown),
        output_schema=ANSWER,
        annotations=types.ToolAnnotations(
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            # A worker that is started talks to a model; everything else stays on this machine.
            open_world_hint=tool is table.RUN or not _STARTING.isdisjoint(tool.outputs),
        ),
    )


def input_schema(full: dict[str, Any], shown: tuple[str, ...] | None = None) -> dict[str, Any]:
    """What a model needs to call the tool: fields, types, choices, ranges, defaults.

    Unknown fields stay forbidden, except where only some are `shown`.
    """
    names = [name for name in full["properties"] if name not in _NOT_LISTED and (shown is None or name in shown)]
    small: dict[str, Any] = {**full, "properties": {name: _input(full["properties"][name]) for name in names}}
    if shown is not None:
        del small["additionalProperties"]
    for name in ("properties", "required"):
        if not small.get(name):
            small.pop(name, None)
    return small


def _input(full: dict[str, Any]) -> dict[str, Any]:
    small = {key: value for key, value in full.items() if key not in _LEFT_TO_THE_SERVER}
    for key, obvious in _OBVIOUS.items():
        if key in small and obvious(small[key]):
            del small[key]
    if "items" in small:
        # An entry that is an object is the input of another tool, which the description names.
        items = _input(small["items"])
        small["items"] = {"type": "object"} if items.get("type") == "object" else items
    if small.get("type") == "object" and isinstance(small.get("additionalProperties"), dict):
        del small["additionalProperties"]
    return small
