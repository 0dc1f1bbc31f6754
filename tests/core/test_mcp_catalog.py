"""What a boss reads before its first call: complete, strict, small; and answers that fit what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest

from sidecar.mcp import catalog, texts
from sidecar.mcp.catalog import input_schema, output_schema
from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.tools import schema, table
from sidecar.tools.tool import Tool
from tests.support.mcp import connected

TOOLS = [tool for tool in table.TOOLS if not tool.editor_only]
ERROR = SidecarError("internal", "No.", "Try.", {"a": [1]}).to_dict()


def name(value: object) -> str | None:
    return value.name if isinstance(value, Tool) else getattr(value, "__name__", None)


async def listed() -> list[dict[str, Any]]:
    async with connected() as client:
        tools: list[dict[str, Any]] = (await client.request("tools/list"))["result"]["tools"]
        return tools


def size(value: Any) -> int:
    return len(msgspec.json.encode(value))


async def test_the_list_is_the_table() -> None:
    tools = await listed()
    assert [tool["name"] for tool in tools] == [tool.name for tool in TOOLS]
    for seen, tool in zip(tools, TOOLS, strict=True):
        assert set(seen) == {"name", "title", "description", "inputSchema", "outputSchema", "annotations"}
        assert (seen["title"], seen["description"]) == (tool.title, tool.description)
        assert seen["annotations"] == {
            "readOnlyHint": tool.read_only,
            "destructiveHint": tool.destructive,
            "idempotentHint": tool.idempotent,
            "openWorldHint": tool.name in ("codex_spawn", "codex_resume"),
        }


async def test_what_only_looks_runs_without_approval_and_what_writes_does_not() -> None:
    hints = {tool["name"]: tool["annotations"] for tool in await listed()}
    for reader in ("codex_wait_any", "codex_events", "codex_result", "codex_status", "codex_doctor"):
        assert hints[reader]["readOnlyHint"] is True
        assert hints[reader]["destructiveHint"] is False
    for writer in ("codex_spawn", "codex_cancel", "codex_resume"):
        assert hints[writer]["readOnlyHint"] is False
        assert hints[writer]["destructiveHint"] is True


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_the_listed_input_is_no_stricter_than_the_server_and_keeps_what_a_model_needs(tool: Tool) -> None:
    small, full = input_schema(tool.input_schema), tool.input_schema
    jsonschema.Draft202012Validator.check_schema(small)
    assert small["additionalProperties"] is False
    assert small.get("required", []) == full["required"]
    assert list(small["properties"]) == list(full["properties"])
    kept = ("type", "enum", "minimum", "maximum", "minItems", "pattern", "default", "description")
    for field, one in small["properties"].items():
        whole = full["properties"][field]
        assert set(one) <= set(whole)
        assert {key: one.get(key) for key in kept} == {key: whole.get(key) for key in kept}
        if "items" in one:
            assert one["items"]["type"] == whole["items"]["type"]


def samples(node: dict[str, Any]) -> Iterator[Any]:
    """Values that a schema allows: each way of an `anyOf` once, every member there."""
    if "anyOf" in node:
        for one in node["anyOf"]:
            yield from samples(one)
    elif "enum" in node:
        yield node["enum"][0]
    elif node["type"] == "object":
        members = {key: list(samples(one)) for key, one in node.get("properties", {}).items()}
        for index in range(max(map(len, members.values()), default=1)):
            yield {key: values[min(index, len(values) - 1)] for key, values in members.items()}
    elif node["type"] == "array":
        yield []
        yield list(samples(node["items"])) if node.get("items") else [1]
    else:
        yield {"string": "s", "integer": 1, "number": 1.5, "boolean": True, "null": None}[node["type"]]


PAIRS = [(tool, kind) for tool in TOOLS for kind in tool.outputs]


@pytest.mark.parametrize(("tool", "kind"), PAIRS, ids=name)
def test_every_answer_fits_the_listed_output(tool: Tool, kind: type[msgspec.Struct]) -> None:
    promised = output_schema(tool.output_schema)
    answers = [msgspec.to_builtins(msgspec.convert(one, kind)) for one in samples(schema.of_outputs((kind,)))]
    assert len(answers) >= 1
    for answer in answers:
        jsonschema.validate(answer, tool.output_schema)
        jsonschema.validate(answer, promised)
        assert set(answer) <= set(promised["properties"]), "an answer has a member that is not listed"
        for member in answer:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**answer, member: ...}, promised)


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_an_error_fits_the_listed_output_too(tool: Tool) -> None:
    # Clients made with the TypeScript SDK validate the structured content of failed calls as well.
    jsonschema.validate(ERROR, output_schema(tool.output_schema))


def test_the_instructions_say_the_loop_first_and_all_that_matters() -> None:
    text = texts.INSTRUCTIONS
    first = text[:350]
    words = ("codex_spawn every independent job", "codex_wait_any", "codex_result", "timedOut: true is normal")
    assert [first.index(word) for word in words] == sorted(first.index(word) for word in words)
    for word in (f"{limits.K_READ} read-only", f"{limits.K_WRITE} writing", "its prompt", "never instructions"):
        assert word in text
    assert len(text.encode()) < 1200


async def test_a_boss_pays_little(capsys: pytest.CaptureFixture[str]) -> None:
    tools = await listed()
    shown = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in tools]
    instructions = size(texts.INSTRUCTIONS)
    outputs = sum(size(tool["outputSchema"]) for tool in tools)
    wire = size({"tools": tools})
    seen = size(shown) + instructions
    with capsys.disabled():
        print(f"\nMCP: names, descriptions, inputs and instructions, which a model is shown: {seen} B; ", end="")
        print(f"tools/list: {wire} B, of which output schemas {outputs} B; instructions: {instructions} B")
    # A budget for each tool: what a boss pays grows with what it can do, and with nothing else.
    assert size(shown) < 660 * len(tools)
    assert instructions < 1024
    assert wire - outputs - size(shown) < 160 * len(tools)
    assert outputs < 400 * len(tools)


def test_a_tool_is_made_once() -> None:
    assert catalog.listed() is catalog.listed()
