"""The two views of running workers, fed with what a round sees."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from sidecar.cli.output import Output
from sidecar.cli.screen import LineView, TableView, round_lines, shown_jobs, view_for
from sidecar.cli.watch import Round, Watch, Watched


def watched(number: int, status: str, **facts: Any) -> Watched:
    # A Watch that is only built asks nobody.
    spawned = {"jobId": f"j{number}", "label": f"w{number}", "title": f"task {number}", "sandbox": "read-only"}
    job = Watch(None, [{**spawned, "status": status, "startedAt": None}]).jobs[0]  # type: ignore[arg-type]
    job.status.update(facts)
    return job


def event(event_type: str, **content: Any) -> dict[str, Any]:
    return {"seq": 1, "type": event_type, "timestamp": "2026-11-25T12:01:03.500Z", "content": content}


def a_round() -> tuple[list[Watched], Round]:
    running = watched(1, "running", activity="running pytest -q", startedAt="2026-11-25T12:01:02.000Z")
    queued = watched(2, "queued", queuePosition=1, activity="waiting for a write slot (2 of 2 in use)")
    events = [
        (running, event("progress", kind="turn-started")),
        (running, event("tool_call", kind="command", command="pytest -q")),
        (running, event("message", kind="message", text="\x1b[31mred [bold]not markup[/bold]")),
    ]
    return [running, queued], Round(events=events, changed=[running, queued])


def terminal(width: int, height: int) -> tuple[io.StringIO, Console]:
    screen = io.StringIO()
    env = {"TERM": "xterm"}
    return screen, Console(
        file=screen, force_terminal=True, width=width, height=height, color_system=None, highlight=False, _environ=env
    )


def test_lines_elsewhere() -> None:
    lines: list[str] = []
    with LineView(lines.append) as view:
        view.show(a_round()[1])
        view.show(Round())
    assert lines == [
        "w1  started: task 1",
        "w2  queued, position 1, waiting for a write slot (2 of 2 in use): task 2",
        "w1  runs pytest -q",
        "w1  says: [31mred [bold]not markup[/bold]",
    ]


def test_a_start_is_told_once_even_of_a_worker_that_had_ended_when_it_was_looked_at() -> None:
    quick = watched(1, "done", startedAt="2026-11-25T12:01:02.000Z")
    ended = Round(events=[(quick, event("final", kind="final", status="done"))], changed=[quick])
    assert [line for _, line in round_lines(ended)] == ["started: task 1", "done"]
    assert [line for _, line in round_lines(Round(changed=[quick]))] == []
    never = watched(2, "cancelled")
    assert [line for _, line in round_lines(Round(changed=[never]))] == []


def test_who_waited_for_an_end_starts_after_it_also_where_one_look_has_met_both() -> None:
    before, after = watched(1, "done", startedAt="2026-11-25T12:00:00.000Z"), watched(2, "running")
    before.announced = True
    end = event("final", kind="final", status="done")
    after.status["startedAt"] = end["timestamp"]
    found = Round(events=[(before, end)], changed=[before, after])
    assert [line for _, line in round_lines(found)] == ["done", "started: task 2"]


def test_a_table_on_a_terminal() -> None:
    jobs, found = a_round()
    screen, console = terminal(110, 30)
    with TableView(jobs, console) as view:
        view.show(found)
        shown = screen.getvalue()
        assert "w1  started: task 1\n" in shown
        assert "w1  says: [31mred [bold]not markup[/bold]" in shown
        assert "task 1" in shown
        assert "running pytest -q" in shown
        assert "\x1b[31m" not in shown
    assert "\x1b[?25h" in screen.getvalue().rpartition("\x1b[?25l")[2], "the cursor is shown again"


def test_a_long_table_fits_the_terminal_and_shows_what_runs() -> None:
    jobs = [watched(number, "done") for number in range(1, 40)]
    jobs += [watched(40, "running"), watched(41, "queued")]
    assert [job.label for job in shown_jobs(jobs, 4)] == ["w1", "w2", "w40", "w41"]
    assert shown_jobs(jobs, 100) == jobs
    screen, console = terminal(80, 12)
    with TableView(jobs, console) as view:
        view.show(Round())
        assert "… and 35 more workers" in screen.getvalue()


def test_json_shows_nothing_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    jobs, found = a_round()
    with view_for(jobs, Output(as_json=True)) as view:
        view.show(found)
        view.say("Stopping")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 100, 200])
def test_a_table_never_fills_a_line(width: int) -> None:
    screen, console = terminal(width, 30)
    job = watched(100, "interrupted", activity="x" * 80, startedAt="2026-11-25T12:00:00.000Z")
    job.title = "y" * 80
    with TableView([job], console) as view:
        view.show(Round())
    lines = [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line).rstrip() for line in screen.getvalue().splitlines()]
    assert max(map(len, lines)) <= width - 3
    row = next(line for line in lines if "w100" in line)
    assert "interrupted" in row
    assert "yyyyy" in row
    assert ("xxxxx" in row) is (width >= 65)
