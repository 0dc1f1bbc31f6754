"""Strict input, for every field of every tool. The cases are made from the schemas, so a new field has them at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model.errors import SidecarError
from sidecar.tools.table import BY_NAME, TOOLS, check
from sidecar.tools.tool import Tool

WORDS = ("x", "low", "a.b", "1")
NO_STRINGS: list[Any] = [None, True, False, 0, 1, 1.0, [], ["x"], {}, {"x": "y"}]


def valid(schema: dict[str, Any]) -> Any:
    """A value that the schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "string":
        return next(word for word in WORDS if re.search(schema.get("pattern", ""), word))
    if kind == "integer":
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    if kind == "array":
        return [valid(schema["items"])] * max(1, schema.get("minItems", 0))
    if kind == "object":
        return {}
    raise NotImplementedError(f"this test knows no valid value for {schema}")


def bad(schema: dict[str, Any], *, entries: bool = True) -> Iterator[tuple[str, Any]]:
    """Values that the schema forbids, each with the end of the path where the fault is; `entries`: also a list's."""
    if "enum" in schema:
        word = schema["enum"][0]
        for value in [*NO_STRINGS, "", "yes", word.upper(), f" {word}", f"{word} ", word[:-1]]:
            yield "", value
        return
    kind = schema.get("type")
    if kind == "string":
        wrong = list(NO_STRINGS)
        if "maxLength" in schema:
            wrong.append("x" * (schema["maxLength"] + 1))
        if schema.get("minLength"):
            wrong.append("")
        if "pattern" in schema:
            # Python's `$` also matches before a line break at the end; the patterns of JSON Schema mean the very end.
            wrong.append(f"{valid(schema)}\n")
            wrong += [
                one for one in ("", "A", "a b", "ä", "-", "x" * 300, "x\ny") if not re.search(schema["pattern"], one)
            ]
    elif kind == "integer":
        wrong = [None, True, False, "3", "", "yes", 1.0, 2000.0, 3.5, [], [1], {}, float("inf"), float("nan")]
        wrong += [schema["minimum"] - 1, -1, -(10**30)] if "minimum" in schema else []
        wrong += [schema["maximum"] + 1, 10**30] if "maximum" in schema else []
    elif kind == "boolean":
        wrong = [None, 0, 1, 1.0, "", "yes", "no", "true", "True", "1", [], [True], {}]
    elif kind == "array":
        one = valid(schema["items"])
        wrong = [None, True, 1, 1.0, one, {}, {"0": one}]
        wrong += [[one] * (schema["maxItems"] + 1)] if "maxItems" in schema else []
        wrong += [[one] * (schema["minItems"] - 1)] if schema.get("minItems") else []
        if entries:
            for path, value in bad(schema["items"]):
                yield f"[0]{path}", [value]
                yield f"[1]{path}", [one, value]
    elif kind == "object":
        wrong = [None, True, 1, 1.0, "x", [], [["a", "b"]]]
        if "maxProperties" in schema:
            wrong.append({f"k{index}": 1 for index in range(schema["maxProperties"] + 1)})
        if "propertyNames" in schema:
            wrong += [{"": 1}, {"a b": 1}, {"ä": 1}, {"x" * 300: 1}, {"good": 1, "a\n": 1}]
        if isinstance(schema.get("additionalProperties"), dict):
            wrong.append({"good": 1, "nothing": None})
    else:
        raise NotImplementedError(f"this test knows no bad value for {schema}")
    for value in wrong:
        yield "", value


def least(tool: Tool) -> dict[str, Any]:
    """The smallest valid input."""
    schema = tool.input_schema
    return {name: valid(schema["properties"][name]) for name in schema.get("required", [])}


def refusal(tool: Tool, arguments: object) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        check(tool, arguments)
    error = caught.value
    assert error.kind == "invalid-arguments"
    field = error.details["field"]
    assert isinstance(field, str)
    assert field
    assert field.isprintable()
    assert field in error.message
    assert error.message.isprintable()
    assert len(error.message) < 600
    return error


FIELDS = [(tool, name) for tool in TOOLS for name in tool.input_schema["properties"]]
REQUIRED = [(tool, name) for tool in TOOLS for name in tool.input_schema.get("required", [])]


def names(value: object) -> str | None:
    return value.name if isinstance(value, Tool) else None


@pytest.mark.parametrize("tool", TOOLS, ids=names)
def test_the_least_input_is_taken(tool: Tool) -> None:
    check(tool, least(tool))
    if not tool.input_schema.get("required"):
        check(tool, None)


@pytest.mark.parametrize("tool", TOOLS, ids=names)
def test_the_fullest_input_is_taken(tool: Tool) -> None:
    check(tool, {name: valid(schema) for name, schema in tool.input_schema["properties"].items()})


@pytest.mark.parametrize(("tool", "field"), FIELDS, ids=names)
def test_bad_values_are_refused_by_the_name_of_the_field(tool: Tool, field: str) -> None:
    count = 0
    for path, value in bad(tool.input_schema["properties"][field], entries=tool.each_by_itself != field):
        error = refusal(tool, {**least(tool), field: value})
        where = error.details["field"].removesuffix("[...]")
        assert where == f"{field}{path}", f"{value!r:.100} gave {error.message}"
        count += 1
    assert count >= (10 if tool.each_by_itself != field else 8)


@pytest.mark.parametrize(("tool", "field"), REQUIRED, ids=names)
def test_a_missing_field_is_named(tool: Tool, field: str) -> None:
    arguments = least(tool)
    del arguments[field]
    error = refusal(tool, arguments)
    assert error.message == f"{field}: missing"


@pytest.mark.parametrize(("tool", "field"), FIELDS, ids=names)
def test_a_range_includes_its_ends(tool: Tool, field: str) -> None:
    schema = tool.input_schema["properties"][field]
    ends: list[Any] = [schema[key] for key in ("minimum", "maximum", "default") if key in schema]
    ends += [schema["enum"][-1]] if "enum" in schema else []
    if schema.get("type") == "string" and "maxLength" in schema:
        ends += ["x" * schema["maxLength"], "x" * schema["minLength"]]
    if schema.get("type") == "array" and "maxItems" in schema:
        ends.append([valid(schema["items"])] * schema["maxItems"])
    for value in ends:
        check(tool, {**least(tool), field: value})


@pytest.mark.parametrize("tool", TOOLS, ids=names)
@pytest.mark.parametrize(
    "unknown",
    ["job_id", "jobID", "Prompt", "timeout", "", "a b", "__proto__", "x\n\x1b[31m", "ä" * 500, "a`b", "`", "$.x"],
)
def test_an_unknown_field_is_named(tool: Tool, unknown: str) -> None:
    error = refusal(tool, {**least(tool), unknown: 1})
    if unknown and unknown.isprintable() and len(unknown) <= 80 and "`" not in unknown:
        assert error.details["field"] == unknown
        assert error.details["known"] == list(tool.input_schema["properties"])


@pytest.mark.parametrize("tool", TOOLS, ids=names)
def test_a_name_that_is_no_unicode_is_refused(tool: Tool) -> None:
    refusal(tool, {**least(tool), "\ud800": 1})


@pytest.mark.parametrize("tool", TOOLS, ids=names)
@pytest.mark.parametrize("arguments", [[], [{}], "x", "", 0, 1, 1.5, True, False], ids=repr)
def test_arguments_that_are_no_object_are_refused(tool: Tool, arguments: object) -> None:
    assert refusal(tool, arguments).details["field"] == "arguments"


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if "prompt" in tool.input_schema["properties"]], ids=names)
def test_a_prompt_may_begin_with_a_dash(tool: Tool) -> None:
    for prompt in ("-", "--help", "-c x=1", "--\nwork"):
        assert check(tool, {**least(tool), "prompt": prompt}).prompt == prompt  # type: ignore[attr-defined]


def test_a_longer_wait_than_the_longest_is_taken() -> None:
    assert check(BY_NAME["codex_wait_any"], {"jobIds": ["x"], "timeoutMs": 10**12}).timeout_ms == 10**12  # type: ignore[attr-defined]


# JSON escapes can hold halves of surrogate pairs, so the text that clients send can.
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@given(data=st.data(), tool=st.sampled_from(TOOLS))
@settings(max_examples=400, deadline=None)
def test_whatever_comes_is_taken_or_refused_with_a_name(data: st.DataObject, tool: Tool) -> None:
    keys = st.sampled_from([*tool.input_schema["properties"], "unknown"]) | TEXT
    arguments = data.draw(JSON | st.dictionaries(keys, JSON, max_size=4))
    if data.draw(st.booleans()) and isinstance(arguments, dict):
        arguments = {**least(tool), **arguments}
    try:
        check(tool, arguments)
    except SidecarError:
        refusal(tool, arguments)
