"""What the page of a run is made from: who belongs on it, where times stand, what events and files amount to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import TouchedFile, iso
from sidecar.report import shared
from sidecar.report.clock import Clock, parse_time
from sidecar.report.facts import Mark, Worker
from sidecar.report.gather import gather
from sidecar.report.marks import marks_of
from sidecar.report.rounds import choose
from sidecar.report.scale import LABEL_WIDTH, Scale

ROME = timezone(timedelta(hours=2))
BASE = datetime(2026, 6, 1, 14, 0, 0, tzinfo=ROME).timestamp()


def worker(number: int, start: float, end: float | None, paths: set[str]) -> Worker:
    """`start` and `end` are seconds after BASE."""
    return Worker(
        job_id=f"job-{number}",
        label=f"w{number}",
        title=f"task {number}",
        status="running" if end is None else "done",
        sandbox="workspace-write",
        started_at=BASE + start,
        finished_at=None if end is None else BASE + end,
        files=[TouchedFile(path=path, change="modified", attribution="seen") for path in sorted(paths)],
    )


# -- where times stand ----------------------------------------------------------------------------------------------

SPANS = st.lists(
    st.tuples(st.floats(BASE, BASE + 200_000), st.floats(0, 5_000)).map(lambda pair: (pair[0], sum(pair))),
    min_size=1,
    max_size=30,
)


@given(SPANS, st.lists(st.floats(BASE - 10, BASE + 210_000), max_size=10))
def test_the_scale_keeps_the_order_of_times_within_the_page(
    spans: list[tuple[float, float]], more: list[float]
) -> None:
    scale = Scale(spans)
    times = sorted([*more, *(at for span in spans for at in span)])
    places = [scale.x(at) for at in times]
    assert places == sorted(places)
    assert all(0 <= place <= 100 + 1e-9 for place in places)
    assert scale.x(min(start for start, _ in spans)) == 0


def test_the_scale_fills_the_page() -> None:
    scale = Scale([(BASE, BASE + 30), (BASE + 20, BASE + 40)])
    assert [scale.x(BASE + at) for at in (-5, 0, 10, 40, 50)] == pytest.approx([0, 0, 25, 100, 100])


@given(SPANS, st.sampled_from([ROME, timezone.utc, timezone(timedelta(hours=5, minutes=45))]))
def test_ticks_are_few_in_order_and_apart(spans: list[tuple[float, float]], zone: timezone) -> None:
    ticks = Scale(spans).ticks(Clock(zone))
    assert 1 <= len(ticks) <= 14
    assert all(ticks[at + 1].x - ticks[at].x >= LABEL_WIDTH for at in range(len(ticks) - 1))
    assert all(tick.label for tick in ticks)


def test_ticks_stand_at_round_local_times() -> None:
    ticks = Scale([(BASE + 7, BASE + 7 + 1500)]).ticks(Clock(ROME))
    assert [tick.label for tick in ticks] == ["14:05", "14:10", "14:15", "14:20"]
    short = Scale([(BASE + 0.35, BASE + 1.9)]).ticks(Clock(ROME))
    assert [tick.label for tick in short][:2] == ["14:00:00.4", "14:00:00.6"]
    night = Scale([(BASE + 9 * 3600, BASE + 12 * 3600)]).ticks(Clock(ROME))
    assert [tick.label for tick in night] == ["23:00", "23:30", "2 Jun 00:00", "00:30", "01:00", "01:30"]


def test_a_long_pause_is_drawn_short() -> None:
    scale = Scale([(BASE, BASE + 60), (BASE + 3660, BASE + 3720)])
    assert [round(pause.seconds) for pause in scale.pauses()] == [3600]
    assert scale.x(BASE + 60) == pytest.approx(48.5)
    assert scale.x(BASE + 3660) == pytest.approx(51.5)
    assert Scale([(BASE, BASE + 60), (BASE + 65, BASE + 100)]).pauses() == []


RUNS = st.lists(
    st.tuples(st.floats(0, 50), st.one_of(st.none(), st.floats(0, 20)), st.sets(st.sampled_from("abc"), max_size=3)),
    max_size=7,
)


@given(RUNS)
def test_shared_files_are_those_of_workers_that_met(runs: list[tuple[float, float | None, set[str]]]) -> None:
    workers = [
        worker(number, start, None if length is None else start + length, paths)
        for number, (start, length, paths) in enumerate(runs)
    ]
    far = float("inf")

    def meet(one: Worker, other: Worker) -> bool:
        assert one.started_at is not None
        assert other.started_at is not None
        ends = [far if each.finished_at is None else each.finished_at for each in (one, other)]
        return one.started_at < ends[1] and other.started_at < ends[0]

    expected: dict[str, set[str]] = {}
    for one in workers:
        for other in workers:
            if one.job_id < other.job_id and meet(one, other):
                for path in {each.path for each in one.files} & {each.path for each in other.files}:
                    expected.setdefault(path, set()).update((one.job_id, other.job_id))
    found = {each.path: {part.job_id for part in each.workers} for each in shared.conflicts(workers, "settled")}
    assert found == expected


# -- what is made of answers ----------------------------------------------------------------------------------------


def event(seq: int, type_: str, at: float, **content: Any) -> dict[str, Any]:
    return {"seq": seq, "type": type_, "timestamp": iso(BASE + at), "content": content}


def test_marks_of_events() -> None:
    change = {"path": "a.py", "change": "modified"}
    marks = marks_of(
        [
            event(1, "spawned", 0, kind="spawned", title="x"),
            event(2, "tool_call", 1, kind="command", itemId="i1", command="make", exitCode=None, status="in_progress"),
            event(3, "tool_call", 2, kind="command", itemId="i2", command="sleep 9", exitCode=None),
            event(4, "tool_result", 3, kind="file_change", itemId="i3", changes=[change], status="completed"),
            event(5, "tool_result", 4, kind="command", itemId="i1", command="make", exitCode=2, status="failed"),
            event(6, "error", 5, kind="error", message="Reconnecting... 1/5", approximateTime=True),
            event(7, "final", 6, kind="final", status="failed", error={"message": "x"}),
        ]
    )
    assert marks == [
        Mark(kind="command", start=BASE + 1, end=BASE + 4, text="make → exit 2", ok=False),
        Mark(kind="command", start=BASE + 2, text="sleep 9"),
        Mark(kind="edit", start=BASE + 3, text="a.py (modified)"),
        Mark(kind="error", start=BASE + 5, text="Reconnecting... 1/5", ok=False, about=True),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CONTENTS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["command", "file_change", "mcp", "web_search", "error", "cancel", "spawned", "other"])},
    optional={
        "itemId": st.sampled_from(["i1", "i2"]) | JSON, "command": JSON, "changes": JSON, "status": JSON,
        "exitCode": st.none() | st.integers(), "message": JSON, "tool": JSON, "server": JSON, "query": JSON,
    },
)  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["spawned", "progress", "message", "tool_call", "tool_result", "error", "final"]),
        "timestamp": st.sampled_from([iso(BASE), iso(BASE + 5), "", "yesterday", None]),
        "content": CONTENTS | JSON,
    }
)


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=8))
def test_marks_come_in_order_whatever_the_events_are(events: list[dict[str, Any]]) -> None:
    marks = marks_of(events)
    assert [mark.start for mark in marks] == sorted(mark.start for mark in marks)
    assert all(mark.end is None or mark.end >= mark.start for mark in marks)
    assert len(marks) <= len(events)


def job(number: int, start: float | None, end: float | None, run: str | None = None) -> dict[str, Any]:
    known = {"jobId": f"job-{number}", "finishedAt": iso(None if end is None else BASE + end)}
    known["startedAt"] = iso(None if start is None else BASE + start)
    return {**known, "runId": run} if run is not None else known


@pytest.mark.parametrize(
    ("jobs", "run", "wanted", "expected"),
    [
        # Everybody who was there while the open run was.
        ([job(1, 0, 50), job(2, 90, 200), job(3, 120, None), job(4, None, None)], 100, None, [2, 3, 4]),
        # A run's first write job begins a moment before its baseline is recorded.
        ([job(1, 99, 99.5, "run-1"), job(2, 101, 105, "run-1")], 100, None, [1, 2]),
        # No run is open: back to the last long pause.
        ([job(1, 0, 50), job(2, 1000, 1010), job(3, 1100, 1200)], None, None, [2, 3]),
        ([job(1, 0, 5000), job(2, 10, 20), job(3, 4000, 4500)], None, None, [1, 2, 3]),
        ([job(1, 0, 5, "run-9"), job(2, 20, 25), job(3, 1, 4)], None, None, [1, 3]),
        # A closed run: its jobs and who worked meanwhile, but no job of another run.
        ([job(1, 0, 9, "run-9"), job(2, 5, 7), job(3, 8, 30, "run-8"), job(4, 20, 22)], 100, "run-9", [1, 2]),
        ([job(1, 0, 9)], 100, "run-7", []),
        ([], None, None, []),
    ],
)
def test_who_belongs_on_the_page(
    jobs: list[dict[str, Any]], run: float | None, wanted: str | None, expected: list[int]
) -> None:
    opened = {"runId": "run-1", "head": "abc", "recordedAt": iso(BASE + run)} if run is not None else None
    chosen = choose({"jobs": jobs, "run": opened}, wanted)
    assert [one["jobId"] for one in chosen.jobs] == [f"job-{number}" for number in expected]


def test_times_of_answers() -> None:
    assert parse_time(iso(BASE + 0.25)) == BASE + 0.25
    assert [parse_time(value) for value in (None, "", "soon", 7)] == [None] * 4


# -- what is asked --------------------------------------------------------------------------------------------------


class Answers:
    """Plays a sidecar's answers; what is not there is refused as an older sidecar refuses it."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.events = [
            event(1, "spawned", -3, kind="spawned", title="x"),
            event(2, "tool_result", 2, kind="command", itemId="i", command="make", exitCode=0),
            event(3, "final", 9, kind="final", status="failed"),
        ]

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if tool == "codex_events":
            at = int(arguments.get("cursor", "0"))
            return {"events": self.events[at : at + 1], "nextCursor": str(at + 1), "done": at + 1 == len(self.events)}
        if tool not in self.answers:
            raise invalid("name", f"no tool is called {tool!r}")
        answer = self.answers[tool]
        return answer(arguments) if callable(answer) else answer


def sidecar(**more: Any) -> Answers:
    one = {
        **job(1, 0, 10), "label": "w1", "title": "add", "status": "failed", "sandbox": "workspace-write",
        "exitCode": 1, "activity": None,
    }  # fmt: skip
    touched = [{"path": "a.py", "change": "modified", "attribution": "reported"}]
    result = {
        "status": "failed", "startedAt": one["startedAt"], "finishedAt": one["finishedAt"], "exitCode": 1,
        "finalMessage": "hi", "finalMessageTruncated": False, "modifiedFiles": ["a.py", "b.py"], "reportMissing": False,
        "touchedFiles": touched, "usage": {"inputTokens": 5, "outputTokens": 2},
        "error": {"kind": "timed-out", "message": "Too slow.", "hint": "Use timeoutMs.", "details": {}},
    }  # fmt: skip
    other = {**one, "jobId": "job-2", "label": "w2"}
    run = {"runId": "run-1", "head": "abc", "recordedAt": iso(BASE)}
    status = {"jobs": [one, other], "omitted": 3, "run": run}
    return Answers(codex_status=status, codex_result=result, **more)


async def test_facts_from_a_sidecar_that_knows_no_repairs() -> None:
    found = await gather(sidecar().call, "/repo", "1.0", wording=str.upper)
    first = found.workers[0]
    assert (first.spawned_at, first.started_at, first.finished_at) == (BASE - 3, BASE, BASE + 10)
    assert [(file.path, file.attribution) for file in first.files] == [("a.py", "reported"), ("b.py", "reported")]
    assert first.problem is not None
    assert first.problem.remedy == "USE TIMEOUTMS.", "remedies are said as the reader can type them"
    assert [mark.text for mark in first.marks] == ["make"], "all pages were read"
    assert (found.run_id, found.run_open, found.head, found.omitted) == ("run-1", True, "abc", 3)
    assert (found.conflicts_known, found.repairs_known) == (False, False)
    assert [(one.path, one.state) for one in found.conflicts] == [("a.py", "unchecked"), ("b.py", "unchecked")]


async def test_facts_of_conflicts_and_repairs() -> None:
    parts = [
        {"jobId": f"job-{n}", "label": f"w{n}", "title": "add", "attribution": "seen", "role": "changed",
         "ranges": [{"start": 3, "end": 5}]}
        for n in (1, 2)
    ]  # fmt: skip
    known = {
        "conflictId": "conflict-1", "path": "a.py", "kind": "overlapping-edit", "severity": "warning",
        "confirmed": True, "jobs": parts, "mergeable": True, "suggested": "merge", "live": False,
    }  # fmt: skip
    conflicts = {
        "runId": "run-1", "baseline": {"head": "abc", "tree": "t", "recordedAt": iso(BASE)},
        "conflicts": [
            known, {**known, "path": "c.py", "kind": "of-tomorrow"}, {**known, "path": "-d.py", "live": True},
        ],
        "unclaimed": ["u.txt"], "missingReports": ["job-2"], "headMoved": {"from": "a" * 40, "to": "b" * 40},
        "workerCommits": [{"jobId": "job-1", "label": "w1", "commit": "c" * 40}],
    }  # fmt: skip
    saved = {"reason": "before a roll back", "files": 2, "ref": "refs/x"}
    snapshots = {
        "snapshots": [
            {**saved, "snapshotId": "old", "createdAt": iso(BASE - 4000)},
            {**saved, "snapshotId": "new", "createdAt": iso(BASE + 60)},
        ]
    }
    found = await gather(sidecar(codex_conflicts=conflicts, codex_snapshots=snapshots).call, "/repo", "1.0")
    assert [(one.path, one.state) for one in found.conflicts] == [
        ("a.py", "open"), ("c.py", "open"), ("-d.py", "open"), ("b.py", "settled"),
    ]  # fmt: skip
    first, unknown, live, settled = found.conflicts
    assert first.sentence == 'w1 "add" and w2 "add" changed the same lines (3-5).'
    assert [part.what for part in first.workers] == ["changed lines 3-5 (seen)"] * 2
    assert (first.suggestion, first.command) == ("merge the versions", "codex-sidecar resolve a.py merge")
    assert unknown.kind == "of-tomorrow"
    assert live.command == "", "a conflict that may still change is not to be repaired yet"
    assert settled.sentence == "w1 and w2 name this file, and their times overlapped."
    attributions = {file.path: file.attribution for file in found.workers[0].files}
    assert attributions == {"a.py": "seen", "b.py": "reported", "c.py": "seen", "-d.py": "seen"}
    assert [repair.snapshot_id for repair in found.repairs] == ["new"]
    assert found.repairs[0].command == "codex-sidecar restore new"
    assert found.unclaimed == ["u.txt"]
    assert found.notices == [
        "HEAD moved from aaaaaaa to bbbbbbb. Roll back is limited to file contents.",
        "w1 created commit ccccccc; workers must not commit.",
        "w1 failed and left 3 files changed.",
        "w2 failed and left 3 files changed.",
        "w2 finished without a modifiedFiles list; its changes may be incomplete here.",
    ]


async def test_a_run_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SidecarError) as caught:
        await gather(sidecar().call, "/repo", "1.0", run_id="run-7")
    assert caught.value.kind == "invalid-arguments"
    assert "run-7" in caught.value.message
