"""Whatever a worker prints, the parser answers with one event that every client can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.model.event import EventType, ParsedEvent
from sidecar.worker.stream import StreamParser

STREAMS = Path(__file__).resolve().parent.parent / "data" / "streams"
LINES = sorted({line for path in STREAMS.glob("*.jsonl") for line in path.read_bytes().splitlines()})
FIELDS = sorted(
    {"id", "type", "text", "command", "changes", "path", "kind", "status", "exit_code", "items", "usage", "item"}
    | {"thread_id", "message", "error", "arguments", "result", "input_tokens", "query", "action", "completed"}
)
ITEMS = ["command_execution", "file_change", "mcp_tool_call", "web_search", "todo_list", "reasoning", "agent_message",
         "error", "collab_tool_call", "hologram"]  # fmt: skip
LINE_TYPES = ["item.started", "item.updated", "item.completed", "thread.started", "turn.started", "turn.completed",
              "turn.failed", "error", "surprise"]  # fmt: skip

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(ITEMS + LINE_TYPES + ["completed", "in_progress", "add", "update", "delete", "item_0", "/repo/a"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=5),
    max_leaves=12,
)
items = st.fixed_dictionaries(
    {"type": st.sampled_from(ITEMS) | values, "id": st.text(max_size=5) | values},
    optional={name: values for name in FIELDS if name not in ("type", "id", "item")},
)
events = st.fixed_dictionaries(
    {"type": st.sampled_from(LINE_TYPES) | values},
    optional={"item": items | values, "usage": values, "error": values, "message": values, "thread_id": values},
)


def check(parser: StreamParser, line: bytes) -> ParsedEvent:
    event = parser.parse(line)
    assert event.type in get_args(EventType)
    assert isinstance(event.content["kind"], str)
    text = json.dumps(event.content, allow_nan=False, ensure_ascii=False)
    text.encode()
    msgspec.json.encode(event.content)
    assert parser.turn in ("open", "completed", "failed")
    assert parser.activity is None or (parser.activity.isprintable() and len(parser.activity) <= 130)
    assert isinstance(parser.sandbox_broken, bool)
    for path, touched in parser.touched.items():
        assert path == touched.path
        path.encode()
    report = parser.report()
    assert report.missing == (report.modified_files is None)
    msgspec.json.encode(report)
    return event


@given(st.lists(events, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_json(lines: list[Any]) -> None:
    parser = StreamParser("/repo")
    for line in lines:
        check(parser, json.dumps(line).encode())


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes(line: bytes) -> None:
    check(StreamParser("/repo"), line)


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
def test_damaged_recordings(data: st.DataObject) -> None:
    line = bytearray(data.draw(st.sampled_from([line for line in LINES if len(line) < 2_000])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(line) - 1))
        what = data.draw(st.sampled_from(["flip", "cut", "repeat"]))
        if what == "flip":
            line[at] = data.draw(st.integers(0, 255))
        elif what == "cut" and at > 0:
            del line[at:]
        else:
            line[at:at] = line[at : at + data.draw(st.integers(1, 30))]
    check(StreamParser("/repo-root/repoC"), bytes(line))


NESTED = 100_000


@pytest.mark.parametrize(
    "line",
    [
        b"[" * NESTED,
        b'{"a":' * NESTED,
        b'{"type":"item.completed","item":' + b'{"item":' * NESTED,
        b'{"type":"item.completed","item":{"id":"i","type":"mcp_tool_call","arguments":'
        + b"[" * 900
        + b"]" * 900
        + b"}}",
        b'{"type":"item.completed","item":{"id":"i","type":"mcp_tool_call","arguments":' + b"9" * 5_000 + b"}}",
        b'{"type":"item.completed","item":{"id":"i","type":"command_execution","exit_code":1e999}}',
        b'{"type":"turn.completed","usage":{"input_tokens":"many","output_tokens":-1,"cached_input_tokens":1.5}}',
        b'{"type":"item.completed","item":{"id":7,"type":"agent_message","text":42}}',
        b'{"type":"item.completed","item":{"id":"i","type":"file_change","status":"completed","changes":'
        b'[null,3,{"path":null,"kind":"add"},{"path":"/repo/\\u0000","kind":"add"},{"path":"/repo","kind":"add"}]}}',
        b'{"type":"turn.failed","error":"just text"}',
        b'{"type":"turn.failed"}',
        b'{"type":"item.completed","item":{"id":"i","type":"todo_list","items":[1,null,"x",{"text":3}]}}',
    ],
    ids=lambda line: line[:60].decode() + f" ({len(line)})",
)
def test_hostile_lines(line: bytes) -> None:
    check(StreamParser("/repo"), line)


def test_numbers_instead_of_text_are_shown_as_text() -> None:
    event = check(StreamParser("/r"), b'{"type":"item.completed","item":{"id":7,"type":"agent_message","text":42}}')
    assert event == ParsedEvent("message", {"kind": "message", "itemId": "7", "text": "42"})


def test_deep_arguments_are_cut_not_lost() -> None:
    line = b'{"type":"item.completed","item":{"id":"i","type":"mcp_tool_call","tool":"t","arguments":%s}}'
    event = check(StreamParser("/r"), line % (b"[" * 900 + b"]" * 900))
    assert event.content["tool"] == "t"
    depth, inner = 0, event.content["arguments"]
    while isinstance(inner, list) and inner:
        depth, inner = depth + 1, inner[0]
    assert 100 < depth <= 200
