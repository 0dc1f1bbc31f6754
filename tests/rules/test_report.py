"""Reading a worker's last message."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.worker.contract import CONTRACT, REPORT_SCHEMA, developer_instructions
from sidecar.worker.report import Report, parse_report, relative_to_top

TOP = "/home/ann/repo"


def as_json(summary: Any, files: Any) -> str:
    return json.dumps({"summary": summary, "modifiedFiles": files})


def test_the_report_that_was_asked_for() -> None:
    assert parse_report(as_json("did it", ["a.py", "b/c.py"]), TOP) == Report("did it", ["a.py", "b/c.py"], False)
    assert parse_report(as_json("looked", []), TOP) == Report("looked", [], False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["./a.py"], ["a.py"]),
        (["a.py", "./a.py", "a.py"], ["a.py"]),
        (["/home/ann/repo/src/x.py"], ["src/x.py"]),
        (["/home/ann/repo2/x.py"], ["/home/ann/repo2/x.py"]),
        (["/home/ann/repo", "", ".", "  "], []),
        (["b//c.py", "b/./c.py", "b/d/../c.py"], ["b/c.py"]),
        (["../other/x"], ["../other/x"]),
        (["a\x00b", "n" * 256, "ok"], ["ok"]),
        (["with space.txt "], ["with space.txt"]),
        (["é/ü.py"], ["é/ü.py"]),
    ],
)
def test_paths_are_named_as_everything_else_names_them(given: list[str], expected: list[str]) -> None:
    assert parse_report(as_json("s", given), TOP).modified_files == expected


@pytest.mark.parametrize(
    "text",
    [
        "All done.\n\n```json\n{}\n```".replace("{}", as_json("fenced", ["a.py"])),
        "```\n{}\n```\nBye.".replace("{}", as_json("fenced", ["a.py"])),
        "Here you are: " + as_json("fenced", ["a.py"]),
        as_json("fenced", ["a.py"]) + "\nHope this helps!",
        "  \n" + as_json("fenced", ["a.py"]) + "\n  ",
        '{"note": 1}\n' + as_json("fenced", ["a.py"]),
        json.dumps({"modifiedFiles": ["a.py"], "summary": "fenced", "extra": 1}, indent=2),
    ],
)
def test_a_report_inside_other_text(text: str) -> None:
    assert parse_report(text, TOP) == Report("fenced", ["a.py"], False)


def test_the_last_report_counts() -> None:
    text = as_json("first", ["a"]) + "\nNo, wait.\n" + as_json("second", ["b"])
    assert parse_report(text, TOP) == Report("second", ["b"], False)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("Done.\nmodifiedFiles: a.py, src/b.py", ["a.py", "src/b.py"]),
        ("Done.\nmodifiedFiles: `a.py`, ./b.py.", ["a.py", "b.py"]),
        ("Done.\nmodifiedFiles: [a.py, 'b.py']", ["a.py", "b.py"]),
        ("Done.\n**Modified files:**\n- a.py\n- `b.py`\n\nBye", ["a.py", "b.py"]),
        ("Modified files:\n\n* a.py (new)\n* `b c.py` - the fix\n", ["a.py", "b c.py"]),
        ("## modified_files:\n1. a.py\n2. b.py", ["a.py", "b.py"]),
        ("modifiedFiles: (none)", []),
        ("modifiedFiles: none", []),
        ("modifiedFiles: []", []),
        ("Modified files:\n- none\n", []),
        ("Modified files:\n(none)", []),
    ],
)
def test_a_plain_text_list(text: str, files: list[str]) -> None:
    assert parse_report(text, TOP) == Report(text, files, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json at all",
        "I modified files as asked.",
        "modifiedFiles:",
        "modifiedFiles:\nI do not know",
        as_json("s", "a.py"),
        as_json("s", [1]),
        as_json(3, ["a.py"]),
        json.dumps({"summary": "s"}),
        json.dumps(["a.py"]),
        "{",
        "[" * 100_000,
        '{"summary": ' * 10_000,
        '{"summary": "' + "x" * 100_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_is_no_report_is_kept_whole(text: str) -> None:
    assert parse_report(text, TOP) == Report(text, None, True)


@pytest.mark.parametrize(
    "text",
    ["```json\n" * 100_000, '{"summary":' * 80_000, "*" * 1_000_000, "modifiedFiles:\n- a" + " " * 1_000_000 + "b",
     "modifiedFiles: \n" * 60_000, "modifiedFiles:\n" + "- a\n" * 250_000, "{" * 1_000_000, "`" * 1_000_000],
    ids=lambda text: repr(text[:25]),
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    began = time.perf_counter()
    parse_report(text, TOP)
    assert time.perf_counter() - began < 5


def test_no_message_at_all() -> None:
    assert parse_report(None, TOP) == Report("", None, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["summary", "modifiedFiles"]) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
pieces = st.sampled_from(
    ["modifiedFiles:", "Modified files:", "- a.py", "* `b`", "\n", "\n\n", "```json\n", "\n```", "{", "}", '"summary"',
     ": ", ",", "(none)", "x.py", "\x00", "[", "]", "é", " ", "1. c"]
)  # fmt: skip


@given(
    st.text() | json_values.map(json.dumps) | st.lists(pieces, max_size=25).map("".join),
    st.sampled_from([TOP, "", "/"]),
)
@settings(max_examples=500, deadline=None)
def test_never_raises_and_loses_nothing(text: str, top: str) -> None:
    report = parse_report(text, top)
    assert report.missing == (report.modified_files is None)
    if report.missing:
        assert report.summary == text
    for path in report.modified_files or []:
        assert path
        assert "\0" not in path
        assert path == relative_to_top(path, top)


@given(st.text(), st.lists(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,3}\.py", fullmatch=True), unique=True))
@settings(deadline=None)
def test_what_follows_the_schema_comes_back(summary: str, files: list[str]) -> None:
    assert parse_report(as_json(summary, files), TOP) == Report(summary, files, False)


def test_the_schema_is_one_that_strict_mode_takes() -> None:
    assert set(REPORT_SCHEMA["required"]) == set(REPORT_SCHEMA["properties"]) == {"summary", "modifiedFiles"}
    assert REPORT_SCHEMA["additionalProperties"] is False


def test_the_contract_says_what_matters() -> None:
    for word in ("modifiedFiles", "summary", "empty list", "no commit", "stash", "reset", "sub-agent", "do not stop",
                 "right before you write", "Never revert", "relative to the repository's top level"):  # fmt: skip
        assert word in CONTRACT


def test_the_users_own_instructions_come_first() -> None:
    text = developer_instructions(
        top="/r", directory="/r/sub", theirs="  Be kind.\n", predecessors=["w1 changed\na.py"]
    )
    assert text.startswith("Be kind.\n\n# Worker contract")
    assert "which is /r)" in text or ", which is /r" in text
    assert text.endswith("- w1 changed a.py")
    assert "which is" not in developer_instructions(top="/r", directory="/r")
