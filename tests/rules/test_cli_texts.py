"""What the terminal shows: one safe line for each event, whatever a worker wrote."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli import texts
from sidecar.cli.event_lines import activity_line, event_line
from sidecar.cli.output import one_line, paragraphs
from sidecar.cli.wording import for_terminal
from sidecar.model.job import iso

NASTY = "\x1b]0;owned\x07\x1b[31mred\u202egnirts\r\nnext\0\x9b2J"


def event(event_type: str, **content: Any) -> dict[str, Any]:
    return {"seq": 1, "type": event_type, "timestamp": "2026-11-25T12:01:03.500Z", "content": content}


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cs") or char in "\u202a\u202e\u2066" for char in text)


@given(st.text(), st.none() | st.integers(0, 200))
def test_one_line_is_one_safe_line(text: str, width: int | None) -> None:
    shown = one_line(text, width)
    assert is_safe(shown)
    assert shown == shown.strip()
    if width is not None:
        assert len(shown) <= max(width, 1)


@given(st.text())
def test_paragraphs_keep_their_lines_and_nothing_else(text: str) -> None:
    assert all(is_safe(line) for line in paragraphs(text).split("\n"))
    plain = "first\n    indented\n\nlast"
    assert paragraphs(plain) == plain


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
KINDS = [
    "command", "file_change", "message", "final", "mcp", "web_search", "error", "reasoning", "todo_list", "warning",
    "spawned", "unknown",
]  # fmt: skip
TYPES = ["spawned", "progress", "message", "tool_call", "tool_result", "error", "final"]
FIELDS = [
    "command", "exitCode", "status", "changes", "text", "message", "error", "tool", "server", "query", "title", "raw"
]  # fmt: skip


@given(st.sampled_from(TYPES), st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_every_event_has_one_safe_line(event_type: str, kind: str, fields: dict[str, Any]) -> None:
    shown = event_line(event(event_type, **{**fields, "kind": kind}))
    assert shown.startswith("12:01:03 ")
    assert is_safe(shown)
    assert is_safe(activity_line(event(event_type, **{**fields, "kind": kind})) or "")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (event("tool_call", kind="command", command="pytest -q"), "runs pytest -q"),
        (event("tool_result", kind="command", command="pytest -q", exitCode=0), None),
        (event("tool_result", kind="command", command="pytest -q", exitCode=1), "exit 1: pytest -q"),
        (event("tool_call", kind="file_change", changes=[{"path": "a", "change": "added"}]), None),
        (
            event(
                "tool_result",
                kind="file_change",
                status="completed",
                changes=[{"path": "a.py", "change": "added"}, {"path": "b.py", "change": "modified"}],
            ),
            "added a.py, modified b.py",
        ),
        (
            event("tool_result", kind="file_change", status="failed", changes=[{"path": "a.py", "change": "added"}]),
            "failed to change: added a.py",
        ),
        (event("message", kind="message", text="done\nwell"), "says: done well"),
        (event("message", kind="message", text='{"summary": "all good", "modifiedFiles": []}'), "says: all good"),
        (event("message", kind="message", text='{"summary": 5}'), 'says: {"summary": 5}'),
        (event("final", kind="final", status="done", exitCode=0), "done"),
        (event("final", kind="final", status="failed", error={"message": "killed"}), "failed: killed"),
        (event("error", kind="error", message="Reconnecting... 1/5"), "error: Reconnecting... 1/5"),
        (event("progress", kind="reasoning", text="hm"), None),
        (event("progress", kind="turn-started"), None),
    ],
)
def test_what_is_worth_a_look(shown: dict[str, Any], expected: str | None) -> None:
    assert activity_line(shown) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"),
     (125, "2 min 05 s"), (3599.7, "1 h 00 min"), (7320, "2 h 02 min")],
)  # fmt: skip
def test_durations(seconds: float, expected: str) -> None:
    assert texts.duration(seconds) == expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [(0, ""), (999, "999"), (1000, "1.0k"), (41_260, "41.3k"), (999_949, "999.9k"), (999_950, "1.0M")],
)
def test_tokens(total: int, expected: str) -> None:
    usage = {"inputTokens": total, "cachedInputTokens": 0, "outputTokens": 0, "reasoningOutputTokens": 0}
    assert texts.tokens(usage) == expected
    assert texts.tokens(None) == ""


def a_result(**changes: Any) -> dict[str, Any]:
    return {
        "jobId": "j1",
        "label": "w1",
        "title": "add retries",
        "status": "done",
        "exitCode": 0,
        "finalMessage": "All done.",
        "finalMessageTruncated": False,
        "modifiedFiles": ["b.py", "c.py"],
        "reportMissing": False,
        "touchedFiles": [
            {"path": "b.py", "change": "modified", "attribution": "seen"},
            {"path": "a.py", "change": "added", "attribution": "ambiguous"},
        ],
        "conflicts": [],
        "usage": {"inputTokens": 4000, "cachedInputTokens": 0, "outputTokens": 100, "reasoningOutputTokens": 0},
        "startedAt": iso(1_700_000_000.0),
        "finishedAt": iso(1_700_000_012.0),
        "error": None,
        **changes,
    }


def test_a_result_says_what_a_person_asks_first() -> None:
    assert texts.result(a_result()) == (
        "w1 add retries: done in 12 s, 4.1k tokens\n"
        "files: a.py (added, maybe by another worker), b.py (modified), c.py (modified, reported only)\n"
        "\n"
        "All done."
    )


def test_a_result_of_a_worker_that_failed_says_why_and_what_helps() -> None:
    error = {"kind": "codex-failed", "message": "The quota is used up.", "hint": "Wait.", "details": {}}
    shown = texts.result(a_result(status="failed", error=error, finalMessage=None, touchedFiles=[], modifiedFiles=None))
    assert shown == "w1 add retries: failed in 12 s, 4.1k tokens\nerror: The quota is used up. Wait."


def test_a_result_is_safe_to_print() -> None:
    shown = texts.result(a_result(title=NASTY, finalMessage=NASTY, modifiedFiles=[NASTY]))
    assert all(is_safe(line) for line in shown.split("\n"))


def test_columns_stand_below_each_other() -> None:
    assert texts.columns([["w1", "a"], ["w10", ""], ["", "bc"]]) == ["w1   a", "w10", "     bc"]
    assert texts.columns([]) == []


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("Use codex_status without arguments.", "Use `codex-sidecar status` without arguments."),
        ("ways are onDirty `snapshot`", "ways are --on-dirty `snapshot`"),
        ("raise timeoutMs, or codex_resume; codex_doctor", "raise --timeout-ms, or `codex-sidecar resume`; "
         "`codex-sidecar doctor`"),
        ("set spawn.timeoutMinutes, the model, the title", "set spawn.timeoutMinutes, the model, the title"),
        ("CODEX_SIDECAR_CODEX and codexSidecar.codex.path", "CODEX_SIDECAR_CODEX and codexSidecar.codex.path"),
        ("npm install -g @openai/codex", "npm install -g @openai/codex"),
    ],
)  # fmt: skip
def test_remedies_name_what_is_typed(hint: str, expected: str) -> None:
    assert for_terminal(hint) == expected
