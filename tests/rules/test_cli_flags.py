"""Flags are made from the tool table: what a flag says arrives as the JSON that every front end sends."""

from __future__ import annotations

import argparse
import io
import json
import string
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli import flags
from sidecar.cli.command import Parser
from sidecar.model.errors import SidecarError
from sidecar.tools import table

TOOLS = list(table.BY_COMMAND.values())
FIELDS = [(tool, field) for tool in TOOLS for field in tool.input_schema["properties"]]


def parse(command: str, *argv: str) -> dict[str, Any]:
    tool = table.BY_COMMAND[command]
    parser = Parser(prog=command, allow_abbrev=False)
    flags.add_flags(parser, tool)
    return flags.collect(tool, parser.parse_intermixed_args(list(argv)))


def refused(command: str, *argv: str) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        table.check(table.BY_COMMAND[command], parse(command, *argv))
    assert caught.value.kind == "invalid-arguments"
    return flags.as_flags(caught.value)


@pytest.mark.parametrize(("tool", "field"), FIELDS, ids=lambda value: getattr(value, "command", value))
def test_every_field_has_its_flag(tool: table.Tool, field: str) -> None:
    flag = flags.flag_of(field)
    assert flag == "--" + "".join(f"-{char.lower()}" if char.isupper() else char for char in field)
    schema = tool.input_schema["properties"][field]
    given, expected = {
        "integer": (["7"], 7),
        "boolean": ([], True),
        "array": (["a", flag, "b"], ["a", "b"]),
        "object": (["k=1", flag, "l=x"], {"k": 1, "l": "x"}),
    }.get(schema.get("type", ""), (["some text"], "some text"))
    if schema.get("type") == "array" and schema["items"].get("type") == "object":
        given, expected = ['[{"a": [1]}]'], [{"a": [1]}]
    if "enum" in schema:
        given, expected = [schema["enum"][-1]], schema["enum"][-1]
    assert parse(tool.command or "", flag, *given)[field] == expected


def test_what_was_not_given_is_not_sent() -> None:
    assert parse("spawn", "do it") == {"prompt": "do it"}
    assert parse("status") == {}
    assert parse("cancel", "w1") == {"jobId": "w1"}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("resume", "w1", "go on"), {"jobId": "w1", "prompt": "go on"}),
        (("resume", "w1", "--prompt", "go on"), {"jobId": "w1", "prompt": "go on"}),
        (("resume", "--job-id", "w1", "--prompt", "go on"), {"jobId": "w1", "prompt": "go on"}),
        (("wait-any", "a", "--timeout-ms", "5", "b", "--job-ids", "c"), {"jobIds": ["a", "b", "c"], "timeoutMs": 5}),
        (("spawn", "--sandbox", "workspace-write", "x y"), {"prompt": "x y", "sandbox": "workspace-write"}),
        (("spawn", "--", "--no flag"), {"prompt": "--no flag"}),
    ],
)
def test_jobs_and_prompts_may_stand_without_a_flag(argv: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert parse(*argv) == expected


def test_a_prompt_comes_from_a_file_or_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tmp_path / "task.md"
    task.write_text("größer\nzwei\n", encoding="utf-8")
    assert parse("spawn", f"@{task}") == {"prompt": "größer\nzwei\n"}
    assert parse("spawn", "--prompt", f"@{task}") == {"prompt": "größer\nzwei\n"}
    assert parse("spawn", "@@home is a word") == {"prompt": "@home is a word"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("aus der Röhre".encode())))
    assert parse("spawn", "-") == {"prompt": "aus der Röhre"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = refused("spawn", f"@{tmp_path}/none.md")
    assert "--prompt" in missing.message
    assert "none.md" in missing.message
    (tmp_path / "latin.txt").write_bytes(b"\xe4")
    assert "UTF-8" in refused("spawn", f"@{tmp_path}/latin.txt").message


@pytest.mark.parametrize(
    ("argv", "flag"),
    [
        (("spawn", "x", "--timeout-ms", "1"), "--timeout-ms"),
        (("spawn", "x", "--timeout-ms", "soon"), "--timeout-ms"),
        (("spawn", "x", "--sandbox", "everything"), "--sandbox"),
        (("spawn", "x", "--isolation", "none"), "--isolation"),
        (("spawn", "x", "--title", ""), "--title"),
        (("spawn", ""), "--prompt"),
        (("spawn",), "--prompt"),
        (("spawn", "x", "--reasoning-effort", "VERY"), "--reasoning-effort"),
        (("spawn", "x", "--expected-files", "a", "--expected-files", ""), "--expected-files"),
        (("spawn", "x", "--config", "novalue"), "--config"),
        (("spawn", "x", "--config", "bad key=1"), "--config"),
        (("spawn", "x", "--prompt", "y"), "--prompt"),
        (("events", "w1", "--max-events", "201"), "--max-events"),
        (("events", "w1", "--max-bytes", "1"), "--max-bytes"),
        (("result", "w1", "--view", "half"), "--view"),
        (("wait-any",), "--job-ids"),
        (("cancel",), "--job-id"),
        (("resume", "w1"), "--prompt"),
        (("spawn", "x", "--no-such-flag"), "--no-such-flag"),
        (("spawn", "x", "--time", "5000"), "--time"),
    ],
)
def test_a_refusal_names_the_flag_and_never_a_field(argv: tuple[str, ...], flag: str) -> None:
    error = refused(*argv)
    assert flag in error.message.split(":")[0] + error.message
    assert not any(field in error.message for _, field in FIELDS if not field.islower())
    assert "\n" not in error.sentence()


@given(st.text(string.ascii_letters, min_size=1), st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(), lambda inner: st.lists(inner, max_size=3)
))  # fmt: skip
def test_a_config_value_is_toml_or_a_string(key: str, value: Any) -> None:
    # JSON of these values is TOML, too, but for null, and for strings whose escapes TOML does not know.
    text = json.dumps(value)
    found_key, found = flags.read_pair(f"{key}={text}")
    assert found_key == key
    assert found in (value, text)
    if "null" not in text and "\\" not in text and "\x7f" not in text:
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=low", "low"),
        ("a=5", 5),
        ("a=5.5", 5.5),
        ("a=true", True),
        ('a="x=y"', "x=y"),
        ("a=x=y", "x=y"),
        ("a=[1, 'b']", [1, "b"]),
        ("a={b = 1}", {"b": 1}),
        ("a=", ""),
        ("a=2026-01-01", "2026-01-01"),
        ("a=nan", "nan"),
        ("a=1\nb = 2", "1\nb = 2"),
        ("a=" + "[" * 5000, "[" * 5000),
    ],
)
def test_config_values(text: str, expected: Any) -> None:
    assert flags.read_pair(text) == ("a", expected)


@given(st.lists(st.text(min_size=1).filter(lambda text: text[0] not in "-@"), min_size=1, max_size=5))
def test_lists_arrive_whole_and_in_order(names: list[str]) -> None:
    argv = [word for name in names for word in ("--expected-files", name)]
    assert parse("spawn", "x", *argv)["expectedFiles"] == names


def test_only_errors_of_fields_are_said_as_flags() -> None:
    other = SidecarError("unknown-job", "No job 'w9' is known.", "", {"jobId": "w9"})
    assert flags.as_flags(other) is other
    unnamed = SidecarError("invalid-arguments", "arguments is strange", "", {"field": "prompt"})
    assert flags.as_flags(unnamed) is unnamed


def test_help_names_every_flag_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    from sidecar.cli.command import parser_for
    from sidecar.cli.tool_commands import commands

    for command in commands():
        with pytest.raises(SystemExit):
            parser_for(command).parse_args(["--help"])
        shown = capsys.readouterr().out
        tool = table.BY_COMMAND[command.name]
        for field in tool.input_schema["properties"]:
            assert flags.flag_of(field) in shown
        assert "exit codes:" in shown
        assert "--repo DIR" in shown
        assert "--json" in shown
        assert argparse.SUPPRESS not in shown


def test_a_list_of_objects_is_json_from_the_flag_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [{"prompt": "é", "dependsOn": ["w1"]}, 7]
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps(jobs))
    assert parse("spawn-group", "--jobs", json.dumps(jobs)) == {"jobs": jobs}
    assert parse("spawn-group", "--jobs", f"@{file}") == {"jobs": jobs}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(jobs).encode())))
    assert parse("spawn-group", "--jobs", "-") == {"jobs": jobs}
    for bad in ("{", "", "[" * 100_000, "nothing", "@/nowhere/jobs.json"):
        assert refused("spawn-group", "--jobs", bad).message.startswith("--jobs: ")
    assert refused("spawn-group", "--jobs", "{}").message.startswith("--jobs: expected `array`")
