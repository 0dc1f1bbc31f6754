"""The schemas that clients see: self-contained, strict, with words for each field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from sidecar.tools.table import BY_COMMAND, BY_NAME, TOOLS
from sidecar.tools.tool import Tool


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a schema."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def name(tool: object) -> str | None:
    return tool.name if isinstance(tool, Tool) else None


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_schemas_are_valid_and_self_contained(tool: Tool) -> None:
    for schema in (tool.input_schema, tool.output_schema):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        for node in nodes(schema):
            assert not {"$ref", "$defs", "definitions"} & set(node)
            assert not isinstance(node.get("title"), str), "names of Python classes are no business of clients"


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_input_forbids_unknown_fields_and_explains_the_known(tool: Tool) -> None:
    schema = tool.input_schema
    assert schema["additionalProperties"] is False
    assert set(schema.get("required", [])) <= set(schema["properties"])
    for field, one in schema["properties"].items():
        text = one["description"]
        assert len(text) > 15, field
        assert text.endswith("."), field
        assert text.isprintable(), field


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_a_default_is_a_value_that_the_schema_allows(tool: Tool) -> None:
    for field, one in tool.input_schema["properties"].items():
        if "default" in one:
            jsonschema.validate(one["default"], one)
        assert field not in tool.input_schema.get("required", []) or "default" not in one


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_what_a_model_reads_about_a_tool(tool: Tool) -> None:
    assert tool.name.startswith("codex_")
    assert tool.description.isprintable()
    assert tool.description.endswith(".")
    assert 25 < len(tool.description) < 600
    assert tool.title
    assert not (tool.read_only and tool.destructive)


def test_names_and_commands_are_unique() -> None:
    assert len(BY_NAME) == len(TOOLS)
    assert len(BY_COMMAND) == len([tool for tool in TOOLS if tool.command])


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_outputs_have_a_type_for_each_member(tool: Tool) -> None:
    for kind, schema in tool.output_schema["properties"].items():
        assert "type" in schema or "anyOf" in schema or "enum" in schema, kind
    error = {"kind", "message", "hint", "details"}
    assert not (error - {"error"}) <= set(tool.output_schema["properties"]), "an answer must not look like an error"
