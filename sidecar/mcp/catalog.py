"""The table of tools as MCP lists it, kept small: a boss pays for every byte of it in each of its conversations."""

from __future__ import annotations

from functools import cache
from typing import Any

import mcp_types as types

from sidecar.model.outputs import SpawnOutput
from sidecar.tools import table
from sidecar.tools.tool import Tool

_LEFT_TO_THE_SERVER = frozenset({"minLength", "maxLength", "maxItems", "maxProperties", "propertyNames"})
"""Sizes of text and lists are far beyond what a model sends. The server refuses more by name all the same."""


def find(name: str) -> Tool | None:
    """The tool of this name, where MCP has it."""
    tool = table.BY_NAME.get(name)
    return None if tool is None or tool.editor_only else tool


@cache
def listed() -> list[types.Tool]:
    """All tools that MCP has, in the order of the table."""
    return [_listed(tool) for tool in table.TOOLS if not tool.editor_only]


def _listed(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.input_schema),
        output_schema=output_schema(tool.output_schema),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            # A worker that is started talks to a model; everything else stays on this machine.
            open_world_hint=SpawnOutput in tool.outputs,
        ),
    )


def input_schema(full: dict[str, Any]) -> dict[str, Any]:
    """What a model needs to call the tool: fields, types, ranges, meanings. Unknown fields stay forbidden."""
    small: dict[str, Any] = {**full, "properties": {name: _input(sub) for name, sub in full["properties"].items()}}
    if not small.get("required"):
        small.pop("required", None)
    return small


def _input(full: dict[str, Any]) -> dict[str, Any]:
    small = {key: value for key, value in full.items() if key not in _LEFT_TO_THE_SERVER}
    if "items" in small:
        small["items"] = {key: value for key, value in _input(small["items"]).items() if key != "description"}
    if small.get("type") == "object" and isinstance(small.get("additionalProperties"), dict):
        del small["additionalProperties"]
    return small


def output_schema(full: dict[str, Any]) -> dict[str, Any]:
    """Names and types of the answer's members.

    None is required: clients made with the TypeScript SDK check the structured content of a failed call too, and where
    the error's `{kind, message, hint, details}` did not fit they would show a schema violation in place of the error.
    """
    return {"type": "object", "properties": {name: _output(sub) for name, sub in full["properties"].items()}}


def _output(full: dict[str, Any]) -> dict[str, Any]:
    variants = full.get("anyOf", [full])
    types_of = [str(variant.get("type", "string")) for variant in variants]
    small: dict[str, Any] = {"type": types_of[0] if len(types_of) == 1 else types_of}
    if "items" in full and full["items"].get("type"):
        small["items"] = _output(full["items"])
    return small
