"""The parser against recordings of the real Codex CLI."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.model import limits
from sidecar.model.event import ParsedEvent
from sidecar.model.job import TouchedFile, Usage
from sidecar.worker.stream import StreamParser

STREAMS = Path(__file__).resolve().parent.parent / "data" / "streams"
TOP = "/repo-root/repoC"


def lines_of(name: str) -> list[bytes]:
    return (STREAMS / f"{name}.jsonl").read_bytes().splitlines()


def played(name: str, top: str = TOP) -> tuple[StreamParser, list[ParsedEvent]]:
    parser = StreamParser(top)
    return parser, [parser.parse(line) for line in lines_of(name)]


def contents(events: list[ParsedEvent], kind: str) -> list[dict[str, Any]]:
    return [event.content for event in events if event.content["kind"] == kind]


def seen(path: str, change: Any) -> TouchedFile:
    return TouchedFile(path=path, change=change, attribution="seen")


@pytest.mark.parametrize("path", sorted(STREAMS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_line_is_one_known_event(path: Path) -> None:
    parser = StreamParser(TOP)
    lines = path.read_bytes().splitlines()
    events = [parser.parse(line) for line in lines]
    assert len(events) == len(lines)
    assert not [event for event in events if event.content["kind"] in ("unknown", "unparsed", "oversized")]
    if lines:
        assert events[0] == ParsedEvent("progress", {"kind": "thread-started", "threadId": parser.thread_id})


@pytest.mark.parametrize(
    ("name", "turn", "final", "tokens_in"),
    [
        ("a-readonly-direct", "completed", "read it", 200),
        ("b-apply_patch-direct", "completed", "patched", 200),
        ("d2-left-running", "completed", "left it running", 200),
        ("e-conn-refused-bounded", "failed", None, None),
        ("e-conn-refused", "open", None, None),
        ("e-http429", "failed", None, None),
        ("e-http500-then-ok", "completed", "recovered", 100),
        ("e-midturn-500", "failed", None, None),
        ("e-sse-truncated", "failed", "half", None),
        ("g-int-native-danger", "open", None, None),
        ("g-term-native-ws", "open", None, None),
        ("m2-mcp-approve-codemode", "completed", "end", 800),
        ("r2-resume", "completed", "second", 400),
        ("s-nogit", "open", None, None),
        ("s-schema-violated", "completed", "not json at all", 100),
    ],
)
def test_how_a_stream_ends(name: str, turn: str, final: str | None, tokens_in: int | None) -> None:
    parser, _ = played(name)
    assert (parser.turn, parser.final_text) == (turn, final)
    assert (parser.usage.input_tokens if parser.usage else None) == tokens_in
    assert (parser.activity is None) == (turn != "open" or name == "s-nogit")


def test_usage_is_counted_as_codex_counts() -> None:
    parser, events = played("r2-resume")
    assert parser.usage == Usage(input_tokens=400, cached_input_tokens=40, output_tokens=80, reasoning_output_tokens=20)
    assert contents(events, "turn-completed")[0]["usage"]["inputTokens"] == 400


def test_a_command_is_a_call_and_a_result() -> None:
    parser, events = played("c2-shell-outside-direct")
    call, result = (event for event in events if event.content["kind"] == "command")
    assert call.type == "tool_call"
    assert result.type == "tool_result"
    assert call.content["command"].startswith("echo x > /repo-root/outside.txt; ")
    assert call.content["exitCode"] is None
    assert result.content["exitCode"] == 7
    assert result.content["status"] == "failed"
    assert "Read-only file system" in result.content["output"]
    assert call.content["itemId"] == result.content["itemId"] == "item_0"
    assert parser.open_commands == {}
    assert parser.touched == {}


def test_a_command_left_running_stays_open() -> None:
    parser, _ = played("d2-left-running")
    assert parser.open_commands == {"item_0": "sleep 77"}


def test_patches_are_touched_files_relative_to_the_top() -> None:
    parser, events = played("b-apply_patch-direct")
    assert parser.touched == {"a.txt": seen("a.txt", "modified"), "new/c.txt": seen("new/c.txt", "added")}
    call, result = contents(events, "file_change")
    assert call["changes"] == result["changes"]
    assert result["changes"] == [
        {"path": "a.txt", "change": "modified"},
        {"path": "new/c.txt", "change": "added"},
    ]
    assert [call["status"], result["status"]] == ["in_progress", "completed"]


def test_paths_outside_the_top_stay_absolute() -> None:
    parser, _ = played("b-apply_patch-direct", top="/repo-root/repo")
    assert set(parser.touched) == {"/repo-root/repoC/a.txt", "/repo-root/repoC/new/c.txt"}


def test_another_name_of_the_top_counts_as_the_top() -> None:
    parser = StreamParser("/link/to/repo", ["/repo-root/repoC"])
    for line in lines_of("b-apply_patch-direct"):
        parser.parse(line)
    assert set(parser.touched) == {"a.txt", "new/c.txt"}


def test_delete_and_move() -> None:
    parser, _ = played("b3-apply_patch-delete-move-direct")
    assert parser.touched == {"a.txt": seen("a.txt", "modified"), "moved.txt": seen("moved.txt", "deleted")}


def test_errors_are_not_terminal_but_a_failed_turn_is() -> None:
    parser, events = played("e-http429")
    errors = [event for event in events if event.type == "error"]
    assert [event.content["terminal"] for event in errors] == [False] * 6 + [True]
    assert errors[-1].content["kind"] == "turn-failed"
    assert parser.last_error == "exceeded retry limit, last status: 429 Too Many Requests"


def test_activity_says_that_the_model_is_waited_for() -> None:
    parser, _ = played("e-conn-refused")
    assert parser.activity is not None
    assert parser.activity.startswith("waiting for the model: Reconnecting... waiting for network")


def test_activity_of_a_running_command_and_after_it() -> None:
    parser = StreamParser(TOP)
    said = []
    for line in lines_of("d-long-codemode"):
        parser.parse(line)
        said.append(parser.activity)
    assert said[0:2] == [None, "thinking"] or said[0:2] == ["thinking", "thinking"]
    assert said[2] == "running for i in 1 2 3 4 5 6; do echo tick $i; sleep 1; done"
    assert said[3:] == ["thinking", "thinking", None]


def test_activity_of_an_edit() -> None:
    parser = StreamParser(TOP)
    said = [parser.activity for line in lines_of("b-apply_patch-direct") if parser.parse(line)]
    assert "editing a.txt and 1 more" in said


def test_mcp_calls() -> None:
    _, events = played("m2-mcp-approve-codemode")
    calls = contents(events, "mcp")
    assert [event.type for event in events if event.content["kind"] == "mcp"] == ["tool_call", "tool_result"] * 7
    first, failed = calls[1], calls[7]
    assert (first["server"], first["tool"], first["arguments"]) == ("jobs", "echo_ro", {"text": "a"})
    assert first["result"]["content"] == [{"type": "text", "text": "RO:a"}]
    assert failed["status"] == "failed"


def test_todo_list_is_progress() -> None:
    _, events = played("p1-todo_list")
    lists = [event for event in events if event.content["kind"] == "todo_list"]
    assert [event.type for event in lists] == ["progress"] * 3
    assert lists[-1].content["items"] == [{"text": "a", "completed": True}, {"text": "b", "completed": False}]


def test_reasoning_is_progress_and_messages_are_messages() -> None:
    _, events = played("b-apply_patch-direct")
    assert ParsedEvent("progress", {"kind": "reasoning", "itemId": "item_0", "text": "**Thinking** about it"}) in events
    assert ParsedEvent("message", {"kind": "message", "itemId": "item_2", "text": "patched"}) in events


def test_a_web_search_keeps_the_id_of_its_item() -> None:
    line = (
        b'{"type":"item.started","item":{"id":"item_3","type":"web_search","id":"ws_9bcc","query":"q",'
        b'"action":{"type":"search","query":"q"}}}'
    )
    parser = StreamParser(TOP)
    event = parser.parse(line)
    assert event.type == "tool_call"
    assert (event.content["itemId"], event.content["query"]) == ("item_3", "q")
    assert parser.activity == "searching the web: q"


def test_the_report_comes_from_the_last_message() -> None:
    parser, _ = played("s-schema-gpt-5.5")
    report = parser.report()
    assert (report.summary, report.modified_files, report.missing) == ("did", ["n.txt"], False)
    violated, _ = played("s-schema-violated")
    assert violated.report().missing
    assert violated.report().summary == "not json at all"


def test_codex_warnings_are_shown_and_end_nothing() -> None:
    parser = StreamParser(TOP)
    event = parser.parse(b'{"type":"item.completed","item":{"id":"item_0","type":"error","message":"no metadata"}}')
    assert event == ParsedEvent(
        "error", {"kind": "warning", "itemId": "item_0", "message": "no metadata", "terminal": False}
    )
    assert parser.last_error is None
    assert parser.turn == "open"


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"item.started","item":{"id":"item_9","type":"hologram","beam":1}}',
        b'{"type":"turn.paused","why":"x"}',
        b'{"type":"item.completed","item":null}',
        b"{}",
    ],
)
def test_unknown_lines_stay_visible(line: bytes) -> None:
    event = StreamParser(TOP).parse(line)
    assert event.type == "progress"
    assert event.content["kind"] == "unknown"
    assert event.content["raw"] == line.decode()


@pytest.mark.parametrize("line", [b"thread 'main' panicked", b"[1]", b"null", b'{"type":', b"\xff\xfe", b'"x"'])
def test_what_is_no_event_stays_visible(line: bytes) -> None:
    event = StreamParser(TOP).parse(line)
    assert event == ParsedEvent("progress", {"kind": "unparsed", "raw": line.decode("utf-8", "replace")})


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    line = b'{"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"a\xff\xfeb \\ud800"}}'
    parser = StreamParser(TOP)
    event = parser.parse(line)
    assert event.type == "message"
    assert event.content["text"] == "a��b �"
    assert parser.final_text == "a��b �"


def test_a_line_that_is_too_long_is_shown_by_its_start() -> None:
    parser = StreamParser(TOP)
    parser.parse(b'{"type":"item.started","item":{"id":"item_7","type":"command_execution","command":"x"}}')
    start = b'{"type":"item.completed","item":{"id":"item_7","type":"command_execution","aggregated_output":"'
    event = parser.parse(start + b"y" * limits.SPOOL_LINE_BYTES)
    assert event.content["kind"] == "oversized"
    assert event.content["raw"].startswith(start.decode())
    assert len(event.content["raw"]) < 10_000
    assert parser.open_commands == {}, "the command is over although its result was not read"


def test_a_long_line_below_the_limit_is_read_whole() -> None:
    line = b'{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"' + b"z" * 1_300_000 + b'"}}'
    assert len(StreamParser(TOP).parse(line).content["text"]) == 1_300_000


def test_an_added_file_stays_added_until_it_is_deleted() -> None:
    parser = StreamParser(TOP)

    def patch(kind: str) -> None:
        parser.parse(
            b'{"type":"item.completed","item":{"id":"i","type":"file_change","status":"completed",'
            b'"changes":[{"path":"/repo-root/repoC/n.py","kind":"%s"}]}}' % kind.encode()
        )

    patch("add")
    patch("update")
    assert parser.touched["n.py"].change == "added"
    patch("delete")
    assert parser.touched["n.py"].change == "deleted"


def test_a_failed_patch_touches_nothing() -> None:
    parser = StreamParser(TOP)
    parser.parse(
        b'{"type":"item.completed","item":{"id":"i","type":"file_change","status":"failed",'
        b'"changes":[{"path":"/repo-root/repoC/n.py","kind":"add"}]}}'
    )
    assert parser.touched == {}


BWRAP = "bwrap: execvp codex-linux-sandbox: No such file or directory\\n"


def finished(code: int, output: str) -> bytes:
    item = f'"id":"i","type":"command_execution","exit_code":{code},"aggregated_output":"{output}"'
    return f'{{"type":"item.completed","item":{{{item}}}}}'.encode()


def test_the_sandbox_is_broken_only_when_it_started_nothing() -> None:
    parser = StreamParser(TOP)
    assert not parser.sandbox_broken
    parser.parse(finished(1, BWRAP))
    assert parser.sandbox_broken
    parser.parse(finished(1, "bwrap: Creating new namespace failed: nesting depth or (ENOSPC)\\n"))
    assert parser.sandbox_broken
    parser.parse(finished(1, "pytest failed"))
    assert not parser.sandbox_broken
    for output in ("building\\nbwrap: x\\n", "tests failed\\n"):
        other = StreamParser(TOP)
        other.parse(finished(1, output))
        assert not other.sandbox_broken
    healthy = StreamParser(TOP)
    healthy.parse(finished(0, BWRAP))
    assert not healthy.sandbox_broken


def test_taking_off_the_quotes_of_long_commands_is_quick() -> None:
    command = "it's " * 200_000
    item = {"id": "i", "type": "command_execution", "command": f"/bin/bash -lc {shlex.quote(command)}"}
    line = json.dumps({"type": "item.started", "item": item}).encode()
    began = time.process_time()
    assert StreamParser(TOP).parse(line).content["command"] == command
    assert time.process_time() - began < 5


def test_parsing_keeps_up_with_reading_json() -> None:
    """The aim is 0.35 of a bare loop of json.loads; it is about 1.5 on a quiet machine."""
    lines = [line for path in STREAMS.glob("*.jsonl") for line in path.read_bytes().splitlines()] * 20

    def seconds(read: Callable[[bytes], object]) -> float:
        began = time.process_time()
        for line in lines:
            read(line)
        return time.process_time() - began

    ratios = [seconds(json.loads) / seconds(StreamParser(TOP).parse) for _ in range(7)]
    assert max(ratios) >= 0.35


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("/bin/bash -lc 'pytest -q'", "pytest -q"),
        ("/bin/bash -lc ls", "ls"),
        ("/bin/bash -lc \"echo 'a b'\"", "echo 'a b'"),
        ("/bin/bash -lc 'echo '\"'\"'x'\"'\"''", "echo 'x'"),
        (r'''/bin/bash -lc "a \$x \`y\` \\ \"q\" it's"''', r"""a $x `y` \ "q" it's"""),
        ("/bin/bash -lc 'unclosed", "/bin/bash -lc 'unclosed"),
        ("/bin/bash -lc a b", "/bin/bash -lc a b"),
        ("python x.py", "python x.py"),
        ("/bin/bash -lc ''", ""),
    ],
)
def test_the_shell_around_a_command_is_taken_off(raw: str, shown: str) -> None:
    item = {"id": "i", "type": "command_execution", "command": raw, "status": "in_progress"}
    event = StreamParser(TOP).parse(json.dumps({"type": "item.started", "item": item}).encode())
    assert event.content["command"] == shown
