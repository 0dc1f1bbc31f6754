"""What the view shows of a state: rows, their words, marks, counts. Pure: no server, no clock."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.lsp.options import client_setting
from sidecar.lsp.view import rows, summary, texts
from sidecar.lsp.view.shapes import Facts, File, Job, Problem, Row, Target
from sidecar.model.conflict import KINDS, SEVERITIES, Conflict, ConflictJob, LineRange
from sidecar.model.job import Usage

START = "2026-01-01T12:00:00.000Z"
NOON = datetime.fromisoformat("2026-01-01T12:00:00+00:00").timestamp()
SPEC = File("a.py")


def job(label: str, **changes: Any) -> Job:
    facts: dict[str, Any] = {
        "title": f"task {label}",
        "run_id": "run",
        "sandbox": "workspace-write",
        "started_at": START,
        "activity": "editing a.py",
        **changes,
    }
    return Job(job_id=f"id-{label}", label=label, **facts)


def ended(label: str, seconds: int = 30, **changes: Any) -> Job:
    return job(
        label, **{"status": "done", "finished_at": f"2026-01-01T12:{seconds // 60:02d}:{seconds % 60:02d}Z", **changes}
    )


def part(
    label: str, *, attribution: Any = "seen", role: Any = "changed", at: tuple[int, int] | None = (3, 5)
) -> ConflictJob:
    ranges = [LineRange(*at)] if at else []
    return ConflictJob(f"id-{label}", label, f"task {label}", attribution, ranges, role)


def clash(*parts: ConflictJob, kind: Any = "overlapping-edit", **changes: Any) -> Conflict:
    facts: dict[str, Any] = {
        "conflict_id": "c1",
        "path": "src/app.py",
        "severity": SEVERITIES[kind],
        "confirmed": True,
        "mergeable": False,
        "suggested": "reconcile",
        **changes,
    }
    return Conflict(kind=kind, jobs=list(parts) or [part("w1"), part("w2")], **facts)


LATER = NOON + 125
"""When the rows of these tests are drawn."""


def drawn(facts: Facts) -> dict[str, Row]:
    return {row.id: row for row in rows.tree(facts)[1]}


def shown(facts: Facts) -> list[tuple[str, list[str]]]:
    roots, made = rows.tree(facts)
    by_id = {row.id: row for row in made}
    return [(by_id[root].label, [by_id[child].label for child in by_id[root].children or ()]) for root in roots]


def only(one: Job, **facts: Any) -> Row:
    """The row of the only worker, two minutes after its start."""
    return drawn(Facts(**{"jobs": [one], "now": LATER, **facts}))[f"job:{one.job_id}"]


# Groups ------------------------------------------------------------------------------------------


def test_groups_are_ordered_counted_and_left_out_when_empty() -> None:
    jobs = [ended("w1"), job("w2", status="queued"), job("w3"), ended("w4", status="failed", exit_code=1)]
    assert shown(Facts(jobs=jobs)) == [
        ("Needs attention (1)", ["w4 · task w4"]),
        ("Running (1)", ["w3 · task w3"]),
        ("Queued (1)", ["w2 · task w2"]),
        ("Done (1)", ["w1 · task w1"]),
    ]
    assert shown(Facts()) == []


def test_the_newest_of_the_done_ones_stands_first_and_many_are_folded_up() -> None:
    jobs = [ended("w1", 30), ended("w2", 90), ended("w3", 60)]
    assert shown(Facts(jobs=jobs)) == [("Done (3)", ["w2 · task w2", "w3 · task w3", "w1 · task w1"])]
    assert not drawn(Facts(jobs=jobs))["group:done"].collapsed
    assert drawn(Facts(jobs=[ended(f"w{n}") for n in range(6)]))["group:done"].collapsed


def test_what_needs_nobody_is_a_note_and_many_notes_are_folded_up() -> None:
    note = clash(kind="same-file-edit", conflict_id="c2", path="b.py")
    facts = Facts(jobs=[job("w1"), ended("w2")], conflicts=[clash(), note])
    assert shown(facts) == [
        ("Needs attention (1)", ["src/app.py"]),
        ("Running (1)", ["w1 · task w1"]),
        ("Notes (1)", ["b.py"]),
        ("Done (1)", ["w2 · task w2"]),
    ]
    assert not drawn(facts)["group:notes"].collapsed
    many = [clash(kind="same-file-edit", conflict_id=f"c{n}", path=f"{n}.py") for n in range(6)]
    assert drawn(Facts(conflicts=many))["group:notes"].collapsed


def test_a_cleared_job_is_hidden_once_it_has_ended_and_only_then() -> None:
    facts = Facts(jobs=[ended("w1"), job("w2"), ended("w3", status="failed")], cleared={"id-w1", "id-w2", "id-w3"})
    assert shown(facts) == [("Running (1)", ["w2 · task w2"])]


def test_a_cancelled_worker_that_left_changes_needs_attention() -> None:
    jobs = [ended("w1", status="cancelled", touched_files=[SPEC]), ended("w2", status="cancelled")]
    assert shown(Facts(jobs=jobs)) == [("Needs attention (1)", ["w1 · task w1"]), ("Done (1)", ["w2 · task w2"])]


def test_what_concerns_the_whole_run_stands_before_conflicts_and_workers() -> None:
    facts = Facts(
        jobs=[job("w2", status="failed")],
        conflicts=[clash()],
        head=("3f2a91c" + "0" * 33, "81be020" + "0" * 33),
        commits=[("id-w2", "9abcdef" + "0" * 33), ("gone", "1234567" + "0" * 33)],
    )
    made = drawn(facts)
    group = made["group:attention"]
    assert group.label == "Needs attention (5)"
    head, commit, other, conflict, worker = (made[child] for child in group.children or ())
    assert (head.label, head.description) == (
        "HEAD moved from 3f2a91c to 81be020",
        "Roll back is limited to file contents.",
    )
    assert (commit.label, commit.description) == ("w2 created commit 9abcdef", "workers must not commit.")
    made_by = Target(job_id="id-w2", commit="9abcdef" + "0" * 33)
    assert (commit.icon, commit.command, commit.target) == ("error", "showCommit", made_by)
    assert (commit.context, other.context) == ("notice.commit.worker", "notice.commit")
    assert (other.label, other.command) == ("A worker created commit 1234567", "showCommit")
    assert (conflict.id, worker.id) == ("conflict:c1", "job:id-w2")


# Workers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "description", "aria"),
    [
        (job("w1"), "editing a.py · 2m", "w1, task w1, running, editing a.py"),
        (
            job("w1", touched_files=[SPEC, File("b.py")]),
            "editing a.py · 2m · 2 files",
            "w1, task w1, running, editing a.py, 2 files",
        ),
        (job("w1", activity=None, started_at=None), "", "w1, task w1, running"),
        (job("w1", stalled=True), "no activity for 2m", "w1, task w1, stalled, no activity"),
        (
            job("w1", status="queued", activity="waiting for a write slot (2 of 2 in use)"),
            "waiting for a write slot (2 of 2 in use)",
            "w1, task w1, queued, waiting for a write slot (2 of 2 in use)",
        ),
        (
            job("w1", status="queued", activity="waiting: rate limit, retry 14:20"),
            "waiting: rate limit, retry 14:20",
            "w1, task w1, queued, waiting: rate limit, retry 14:20",
        ),
        (job("w1", status="queued", activity=None), "waiting", "w1, task w1, queued, waiting"),
        (job("w1", status="starting"), "starting", "w1, task w1, starting"),
        (job("w1", status="stopping", touched_files=[SPEC]), "stopping… · 1 file", "w1, task w1, stopping, 1 file"),
        (
            ended("w1", 130, status="failed", exit_code=1, error=Problem("The model\nwas unavailable.", "Try again.")),
            "failed, exit 1 · The model was unavailable. · 2m 10s",
            "w1, task w1, failed, exit 1, The model was unavailable., 2 minutes 10 seconds",
        ),
        (ended("w1", 8, status="failed", exit_code=0), "failed · 8s", "w1, task w1, failed, 8 seconds"),
        (ended("w1", status="cancelled"), "cancelled", "w1, task w1, cancelled"),
        (
            ended("w1", status="cancelled", touched_files=[SPEC, File("b.py")]),
            "cancelled, 2 files changed",
            "w1, task w1, cancelled, 2 files changed",
        ),
        (
            ended("w1", status="interrupted", touched_files=[SPEC]),
            "interrupted by a restart · 1 file",
            "w1, task w1, interrupted, by a restart, 1 file",
        ),
        (
            ended("w1", 62, access="read", usage=Usage(input_tokens=40_000, output_tokens=1_200)),
            "1m 02s · read only · 41k tokens",
            "w1, task w1, done, 1 minute 2 seconds, read only, 41k tokens",
        ),
        (ended("w1", 8), "8s · no files", "w1, task w1, done, 8 seconds, no files"),
        (ended("w1", 8, usage=Usage(output_tokens=300)), "8s · no files", "w1, task w1, done, 8 seconds, no files"),
    ],
)
def test_what_stands_behind_a_workers_name(one: Job, description: str, aria: str) -> None:
    row = only(one)
    assert (row.label, row.description, row.aria) == ("w1 · task w1", description, aria)
    assert row.command == "openTranscript"
    assert row.target == Target(job_id="id-w1")


def test_what_the_time_counts_from() -> None:
    assert only(job("w1", last_activity_at="2026-01-01T12:01:00Z")).description == "editing a.py · 2m"
    silent = job("w1", stalled=True, last_activity_at="2026-01-01T12:01:05Z")
    assert only(silent).description == "no activity for 1m"
    assert only(job("w1", stalled=True, started_at=None)).description == "no activity"
    assert only(job("w1", started_at="nonsense")).description == "editing a.py"


def test_time_stands_still_for_a_screen_reader() -> None:
    clock = datetime.fromtimestamp(NOON).strftime("%H:%M")
    jobs = [job("w1"), job("w2", stalled=True)]
    drawings = [rows.tree(Facts(jobs=jobs, still=True, now=NOON + gone)) for gone in (0, 7, 4_000)]
    assert drawings[0] == drawings[1] == drawings[2]
    told = {row.description for row in drawings[0][1]}
    assert told >= {f"editing a.py · since {clock}", f"no activity since {clock}"}


def test_a_worker_that_gave_no_list_of_its_files() -> None:
    row = only(ended("w1", 8, touched_files=[SPEC]), missing={"id-w1"})
    assert row.description == "8s · 1 file · no file list"
    assert "no file list" in row.aria
    assert "w1 finished without a modifiedFiles list" in (row.tooltip or "")


@pytest.mark.parametrize(
    ("one", "icon", "color", "context"),
    [
        (job("w1"), "loading~spin", None, "worker.running.write"),
        (job("w1", touched_files=[SPEC]), "loading~spin", None, "worker.running.write.files"),
        (job("w1", stalled=True), "watch", "editorWarning.foreground", "worker.running.write"),
        (job("w1", status="queued", access="read"), "clock", None, "worker.queued.read"),
        (job("w1", status="starting"), "loading~spin", None, "worker.starting.write"),
        (ended("w1"), "pass-filled", None, "worker.done.write"),
        (ended("w1", status="failed"), "error", "testing.iconFailed", "worker.failed.write"),
        (ended("w1", status="cancelled"), "circle-slash", None, "worker.cancelled.write"),
        (ended("w1", status="interrupted"), "debug-disconnect", None, "worker.interrupted.write"),
    ],
)
def test_icons_and_contexts(one: Job, icon: str, color: str | None, context: str) -> None:
    row = only(one)
    assert (row.icon, row.color, row.context) == (icon, color, context)


def test_a_done_worker_looks_different_once_somebody_has_looked_at_it() -> None:
    assert only(ended("w1")).icon == "pass-filled"
    assert only(ended("w1"), seen={"id-w1"}).icon == "pass"
    assert only(ended("w1", status="failed"), seen={"id-w1"}).icon == "error"


def test_force_stop_is_offered_three_seconds_after_the_cancel() -> None:
    stopping = job("w1", status="stopping", stop_requested_at=START, touched_files=[SPEC])
    assert only(stopping, now=NOON + 2.9).context == "worker.stopping.write.files"
    assert rows.force_in(stopping, NOON + 2.0) == pytest.approx(1.0)
    assert only(stopping, now=NOON + 3.0).context == "worker.stopping.write.files.force"
    assert rows.force_in(stopping, NOON + 3.0) is None
    assert rows.force_in(job("w1", stop_requested_at=START), NOON) is None
    assert only(job("w1", status="stopping")).context == "worker.stopping.write.force"


def test_a_tooltip_tells_the_task_the_facts_the_files_and_the_tokens() -> None:
    failed = ended(
        "w1",
        status="failed",
        model="gpt-5",
        error=Problem("It *broke*.", "Try again."),
        touched_files=[SPEC, File("b.py", "added", "ambiguous")],
        usage=Usage(input_tokens=41_200, output_tokens=1_800),
    )
    clock = datetime.fromisoformat(START.replace("Z", "+00:00")).astimezone().strftime("%H:%M")
    told = only(failed, tasks={"id-w1": "# Fix\n[the](bug) $(zap)"}, top="/a (b)/c").tooltip or ""
    paragraphs = told.replace("\\", "").split("\n\n")
    links = [
        f"[{text}](command:codexSidecar.{action}?%5B%7B%22jobId%22%3A%20%22id-w1%22%7D%2C%20%22%2Fa%20%28b%29%2Fc%22%5D)"
        for text, action in (("Transcript", "openTranscript"), ("Changes", "openChanges"), ("Result", "openResult"))
    ]
    assert paragraphs == [
        "**w1 · task w1**",
        "> # Fix [the](bug) $(zap)",
        f"failed, workspace-write, model gpt-5, started {clock}, finished {clock}",
        "It *broke*. Try again.",
        "w1 failed and left 2 files changed.",
        "- a.py, modified (seen)\n- b.py, added (ambiguous)",
        "41,200 tokens in, 1,800 out",
        " · ".join(links),
    ]
    assert "It \\*broke\\*" in told
    assert "\\[the\\](bug) \\$(zap)" in told


def test_a_tooltip_names_a_dozen_files_at_most() -> None:
    many = [File(f"f{n}.py") for n in range(40)]
    told = only(job("w1", touched_files=many)).tooltip or ""
    assert told.count("\n- ") + told.startswith("- ") <= texts.TOOLTIP_FILES + 1
    assert "and 30 more" in told


def test_a_text_that_is_not_ours_is_one_line() -> None:
    row = only(job("w1", title="add\nretries", activity="editing a.py\n\x1b[1m"))
    assert "\n" not in row.label + row.description + row.aria


# Files -------------------------------------------------------------------------------------------


def test_files_say_what_happened_to_them_and_who_else_changed_them() -> None:
    touched = [File("src/app.py"), File("b.py", "added", "ambiguous"), File("c.py", "deleted"), File("d.sh", "mode")]
    one = job("w1", touched_files=touched)
    made = rows.files(one, [clash(part("w1"), part("w2"), part("w3"))])
    assert [(row.label, row.description) for row in made] == [
        ("src/app.py", "also changed by w2 and w3"),
        ("b.py", "added, ambiguous"),
        ("c.py", "deleted"),
        ("d.sh", "mode changed"),
    ]
    assert {row.context for row in made} == {"worker.file"}
    assert {row.command for row in made} == {"openFileChange"}
    assert made[0].target == Target(job_id="id-w1", path="src/app.py")
    assert made[0].path == "src/app.py"
    assert made[1].aria == "b.py, added by w1, ambiguous"


def test_a_conflict_of_others_is_not_told_of_a_workers_file() -> None:
    made = rows.files(job("w3", touched_files=[File("src/app.py")]), [clash()])
    assert made[0].description == ""


def test_files_are_lazy_and_a_row_tells_when_they_are_different() -> None:
    one = job("w1", touched_files=[File("src/app.py")])
    row = only(one)
    assert row.lazy
    assert row.collapsed
    assert row.children is None
    assert only(job("w1", touched_files=[File("src/app.py", "deleted")])).files != row.files
    assert only(one, conflicts=[clash()]).files != row.files
    assert only(one, conflicts=[clash(part("w2"), part("w3"))]).files == row.files
    assert not only(job("w1")).lazy


def test_more_files_than_a_tree_can_bear_are_counted() -> None:
    made = rows.files(job("w1", touched_files=[File(f"f{n}") for n in range(rows.FILES_SHOWN + 7)]), [])
    assert len(made) == rows.FILES_SHOWN + 1
    assert (made[-1].label, made[-1].command) == ("7 more files", "openChanges")


def test_a_row_made_before_is_used_again_and_only_where_nothing_changed() -> None:
    kept: rows.Kept = {}

    def draw(*jobs: Job, after: float) -> dict[str, Row]:
        return {row.id: row for row in rows.tree(Facts(jobs=jobs, now=NOON + after), kept)[1]}

    first = draw(job("w1"), job("w2"), after=10)
    again = draw(job("w1"), job("w2", activity="thinking"), after=14)
    assert again["job:id-w1"] is first["job:id-w1"]
    assert again["job:id-w2"].description == "thinking · 10s"
    assert draw(job("w1"), after=15)["job:id-w1"].description == "editing a.py · 15s"
    rows.tree(Facts(jobs=[job("w2")]), kept)
    assert set(kept) == {"id-w2"}


# Conflicts ---------------------------------------------------------------------------------------


def test_a_conflict_shows_its_workers_lines() -> None:
    made = drawn(Facts(conflicts=[clash(part("w1", at=(3, 5)), part("w2", at=(4, 4)))]))
    row = made["conflict:c1"]
    assert (row.label, row.description) == ("src/app.py", "w1 and w2 changed the same lines")
    assert (row.context, row.command) == ("conflict.overlapping-edit.versions", "openConflict")
    assert row.aria == "src/app.py, conflict, w1 and w2 changed the same lines"
    assert row.target == Target(conflict_id="c1", path="src/app.py")
    assert row.collapsed
    below = [made[child] for child in row.children or ()]
    assert [(one.label, one.description) for one in below] == [
        ("w1 · task w1", "lines 3-5"),
        ("w2 · task w2", "line 4"),
    ]
    assert {one.context for one in below} == {"conflict.version.stored"}
    assert below[0].target == Target(job_id="id-w1", conflict_id="c1", path="src/app.py")


def test_a_live_conflict_is_told_so_far() -> None:
    row = drawn(Facts(conflicts=[clash(live=True, severity="information")]))["conflict:c1"]
    assert row.description == "w1 and w2 changed the same lines so far"
    assert (row.icon, row.color) == ("info", None)


def test_who_overwrote_whom_and_what_is_stored() -> None:
    parts = part("w1", role="lost"), part("w2", role="overwrote", attribution="reported", at=None)
    made = drawn(Facts(conflicts=[clash(*parts, kind="lost-update")]))
    assert made["conflict:c1"].description == "w2 overwrote lines of w1"
    assert made["conflict:c1"].context == "conflict.lost-update"
    assert made["conflict:c1:id-w1"].description == "lines 3-5, overwritten"
    assert made["conflict:c1:id-w2"].description == "in the folder now, no stored version"
    assert made["conflict:c1:id-w2"].context == "conflict.version"


# Marks -------------------------------------------------------------------------------------------


def test_marks_are_what_the_client_wants() -> None:
    jobs = [
        job("w1", touched_files=[File("src/app.py"), File("a.py"), File("both.py")]),
        job("w10", touched_files=[File("long.py"), File("both.py")]),
        job("w2", run_id="old", touched_files=[File("old.py")]),
    ]

    def marks(wanted: Any) -> list[tuple[str, str, bool]]:
        facts = Facts(jobs=jobs, run={"runId": "run"}, conflicts=[clash()], marks=wanted)
        return [(one.id, one.badge, one.conflict) for one in summary.marks(facts)]

    assert marks("off") == []
    assert marks("conflicts") == [("src/app.py", "w!", True)]
    assert marks("touched") == [
        ("src/app.py", "w!", True),
        ("a.py", "w1", False),
        ("both.py", "w+", False),
        ("long.py", "w+", False),
    ]


def test_what_marks_say() -> None:
    facts = Facts(
        jobs=[job(label, touched_files=[File("a.py")]) for label in ("w1", "w2")],
        run={"runId": "run"},
        conflicts=[clash()],
        marks="touched",
    )
    assert [one.tooltip for one in summary.marks(facts)] == [
        "Conflict: w1 and w2 changed the same lines",
        "Changed by w1 and w2",
    ]
    assert summary.marks(Facts(conflicts=[clash(severity="information")])) == []
    undone = Facts(jobs=[job("w1", touched_files=[SPEC])], run={"runId": "run"}, marks="touched", undone={SPEC.path})
    assert summary.marks(undone) == []
    assert [one.id for one in summary.marks(dataclasses.replace(undone, undone=()))] == [SPEC.path]


def test_a_setting_is_found_nested_and_dotted() -> None:
    assert client_setting({"decorations": {"files": "touched"}}, "decorations.files") == "touched"
    assert client_setting({"decorations.files": "off"}, "decorations.files") == "off"
    assert client_setting({"decorations": 3}, "decorations.files") is None
    assert client_setting(None, "decorations.files") is None


# The whole ---------------------------------------------------------------------------------------


def sums(**facts: Any) -> dict[str, Any]:
    made = Facts(**facts)
    found: dict[str, Any] = msgspec.to_builtins(summary.summary(made, rows.tree(made)[0]))
    return found


def test_counts() -> None:
    jobs = [
        job("w1", touched_files=[SPEC]),
        job("w2", status="queued"),
        ended("w3", touched_files=[SPEC, File("b.py")]),
        ended("w4", status="failed"),
        ended("w5"),
    ]
    found = sums(jobs=jobs, conflicts=[clash(), clash(kind="same-file-edit")], cleared={"id-w5"}, snapshots=4)
    assert found["counts"] == {
        "running": 1,
        "queued": 1,
        "done": 1,
        "conflicts": 1,
        "notes": 1,
        "attention": 2,
        "ended": 2,
        "changedFiles": 2,
        "snapshots": 4,
    }
    assert found["roots"] == ["group:attention", "group:running", "group:queued", "group:notes", "group:done"]
    assert found["baseline"] is False
    assert found["setup"] is None
    assert sums(setup="noCodex")["setup"] == "noCodex"


def test_the_badge_says_what_needs_somebody() -> None:
    assert sums()["badge"] is None
    assert sums(conflicts=[clash(severity="information")])["badge"] is None
    assert sums(conflicts=[clash()])["badge"] == {"value": 1, "tooltip": "1 needs attention: 1 conflict"}
    jobs = [ended("w1", status="failed"), ended("w2", status="failed"), job("w3", stalled=True)]
    found = sums(jobs=jobs, conflicts=[clash()], head=("a" * 40, "b" * 40), commits=[("id-w1", "c" * 40)])
    assert found["badge"] == {
        "value": 6,
        "tooltip": "6 need attention: 2 failed workers, 1 stalled worker, 1 conflict, HEAD moved, 1 commit by workers",
    }


def test_the_message_names_the_baseline() -> None:
    run = {"runId": "run", "head": "3f2a91c" + "0" * 33, "recordedAt": START}
    clock = datetime.fromisoformat(START.replace("Z", "+00:00")).astimezone().strftime("%H:%M")
    jobs = [job("w1", touched_files=[SPEC]), job("w2", run_id="old", touched_files=[File("b.py")])]
    found = sums(run=run, jobs=jobs)
    assert found["message"] == f"Baseline 3f2a91c, {clock}. 1 file changed by workers."
    both = [job("w1", touched_files=[SPEC, File("b.py")])]
    assert sums(run=run, jobs=both, undone={"b.py"})["message"] == found["message"]
    assert found["baseline"] is True
    assert sums(run=run)["message"] is None
    assert sums(run={**run, "head": None}, jobs=[job("w1")])["message"] == (
        f"Baseline without a commit, {clock}. 0 files changed by workers."
    )


def test_the_status_bar_says_what_runs_and_what_needs_somebody() -> None:
    def status(*jobs: Job, **facts: Any) -> tuple[str, str, int] | None:
        found = sums(jobs=jobs, **facts)["status"]
        return None if found is None else (found["icon"], found["text"], found["level"])

    failed = ended("w9", status="failed")
    assert status() is None
    assert status(job("w1"), job("w2"), job("w3", status="queued")) == ("sync~spin", "2 running, 1 queued", 1)
    assert status(conflicts=[clash()]) == ("warning", "1 conflict", 2)
    assert status(job("w1"), failed, conflicts=[clash()]) == ("warning", "1 running, 1 conflict, 1 needs attention", 2)
    assert status(failed, ended("w8", status="interrupted")) == ("warning", "2 need attention", 2)
    assert status(ended("w1"), finished=True) == ("check", "1 done", 0)
    assert status(ended("w1")) is None
    assert status(ended("w1", status="cancelled"), finished=True) is None
    assert status(job("w1"), ended("w2"), finished=True) == ("sync~spin", "1 running", 1)


def links_of(markdown: str) -> list[str]:
    found = re.findall(r"command:codexSidecar\.(\w+)\?", markdown)
    assert set(found) <= set(texts.LINKS), "an editor does not run it"
    return found


def test_a_tooltip_links_what_fits_the_worker() -> None:
    assert links_of(only(job("w1")).tooltip or "") == ["openTranscript", "cancel"]
    assert links_of(only(job("w1", status="queued")).tooltip or "") == ["openTranscript", "cancel"]
    assert links_of(only(job("w1", status="stopping")).tooltip or "") == ["openTranscript"]
    assert links_of(only(ended("w1")).tooltip or "") == ["openTranscript", "openResult"]


def test_the_menu_has_a_line_a_worker_and_the_tokens_of_all() -> None:
    used = Usage(input_tokens=20_000, output_tokens=500)
    jobs = [job("w1", title="a*b", usage=used), job("w2", status="queued", activity=None), ended("w3", usage=used)]
    menu = sums(jobs=jobs)["menu"]
    assert menu.replace("\\", "").split("\n\n")[:-1] == [
        "w1 · a*b: running, editing a.py",
        "w2 · task w2: queued, waiting",
        "40,000 tokens in, 1,000 out",
    ]
    assert "a\\*b" in menu
    assert links_of(menu) == ["spawn", "cancelAll", "showServerLog"]
    assert links_of(sums(conflicts=[clash()])["menu"]) == ["spawn", "nextAttention", "showServerLog"]


# Times -------------------------------------------------------------------------------------------


def test_time_goes_on_in_steps_of_five_seconds_then_of_minutes() -> None:
    seconds = (-10, 3, 55, 59.9, 60, 1859, 3900)
    assert [texts.elapsed(one) for one in seconds] == ["0s", "0s", "55s", "55s", "1m", "30m", "1h 05m"]


def test_times_in_words() -> None:
    assert [texts.duration(seconds) for seconds in (0, 8, 60, 130, 3900, None)] == [
        "0s", "8s", "1m 00s", "2m 10s", "1h 05m", "",
    ]  # fmt: skip
    assert [texts.duration_spoken(seconds) for seconds in (1, 60, 130, 3660, None)] == [
        "1 second", "1 minute", "2 minutes 10 seconds", "1 hour 1 minute", "",
    ]  # fmt: skip
    assert texts.seconds_between(START, "2026-01-01T12:00:08.900Z") == 8
    assert texts.seconds_between("2026-01-01T12:00:08Z", START) == 0
    assert texts.seconds_between(None, START) is None
    assert texts.clock("nonsense") == ""


# Any state ---------------------------------------------------------------------------------------

WORDS = st.text(st.characters(), max_size=12)
TIMES = st.sampled_from([None, START, "2026-01-01T13:00:00.000Z", "nonsense"])
PATHS = st.sampled_from(["a.py", "src/app.py", "b c.py", "ü\udcff.txt", "x\ny"])
FILES = st.lists(
    st.builds(
        File,
        PATHS,
        st.sampled_from(["added", "modified", "deleted", "renamed", "mode"]),
        st.sampled_from(["seen", "ambiguous", "reported"]),
    ),
    max_size=4,
)
NUMBERS = st.integers(1, 120)


def jobs_of(numbers: list[int]) -> st.SearchStrategy[list[Job]]:
    return st.tuples(*[st.just(number).flatmap(any_job) for number in numbers]).map(list)


def any_job(number: int) -> st.SearchStrategy[Job]:
    return st.builds(
        Job,
        job_id=st.just(f"id-w{number}"),
        label=st.just(f"w{number}"),
        title=WORDS,
        run_id=st.sampled_from([None, "run", "old"]),
        status=st.sampled_from(
            ["queued", "starting", "running", "stopping", "done", "failed", "cancelled", "interrupted"]
        ),
        access=st.sampled_from(["read", "write"]),
        exit_code=st.sampled_from([None, 0, 1]),
        started_at=TIMES,
        finished_at=TIMES,
        last_activity_at=TIMES,
        stop_requested_at=TIMES,
        activity=st.none() | WORDS,
        stalled=st.booleans(),
        usage=st.none() | st.builds(Usage, st.integers(0, 10**6)),
        error=st.none() | st.builds(Problem, WORDS, WORDS),
        touched_files=FILES,
    )


def conflicts_of(numbers: list[int]) -> st.SearchStrategy[list[Conflict]]:
    parts = st.builds(
        part,
        st.sampled_from([f"w{number}" for number in numbers]),
        attribution=st.sampled_from(["seen", "ambiguous", "reported"]),
        role=st.sampled_from(["changed", "lost", "overwrote", "deleted", "elsewhere"]),
        at=st.none() | st.just((3, 5)),
    )
    one = st.builds(
        lambda path, kind, live, severity, found: clash(
            *found, kind=kind, live=live, severity=severity, path=path, conflict_id=f"c:{path}"
        ),
        PATHS,
        st.sampled_from(KINDS),
        st.booleans(),
        st.sampled_from(["error", "warning", "information"]),
        st.lists(parts, min_size=1, max_size=3, unique_by=lambda found: found.job_id),
    )
    return st.lists(one, max_size=3, unique_by=lambda found: found.conflict_id)


@st.composite
def states(draw: st.DrawFn) -> Facts:
    numbers = draw(st.lists(NUMBERS, min_size=1, max_size=5, unique=True))
    ids = st.frozensets(st.sampled_from([f"id-w{number}" for number in numbers]))
    return Facts(
        jobs=draw(jobs_of(sorted(numbers))),
        run=draw(st.none() | st.just({"runId": "run", "head": None, "recordedAt": START})),
        conflicts=draw(conflicts_of(numbers)),
        missing=draw(ids),
        commits=draw(
            st.lists(st.tuples(st.sampled_from(["id-w1", "gone"]), st.just("c" * 40)), max_size=2, unique=True)
        ),
        head=draw(st.none() | st.just((None, "b" * 40))),
        cleared=draw(ids),
        seen=draw(ids),
        finished=draw(st.booleans()),
        still=draw(st.booleans()),
        marks=draw(st.sampled_from(["conflicts", "touched", "off"])),
        now=draw(st.sampled_from([0.0, NOON, NOON + 1e6])),
    )


@given(states())
@settings(max_examples=30, deadline=None)
def test_any_state_gives_a_whole_tree(facts: Facts) -> None:
    roots, made = rows.tree(facts)
    below = [row for job in facts.jobs for row in rows.files(job, facts.conflicts)]
    ids = [row.id for row in [*made, *below]]
    assert len(set(ids)) == len(ids)
    by_id = {row.id: row for row in made}
    told = summary.summary(facts, roots)
    reached = list(told.roots)
    for row in made:
        reached += row.children or []
    # Every row stands in exactly one place.
    assert sorted(reached) == sorted(by_id)
    for row in [*made, *below]:
        assert row.label.strip()
        assert row.aria.strip()
        assert row.context
        for text in (row.label, row.description, row.aria):
            assert "\n" not in text
    for job in facts.shown:
        words = by_id[f"job:{job.job_id}"].aria.split(", ")
        state = "stalled" if job.stalled and job.active else job.status
        # Right behind the name, whatever the title is made of.
        title = texts.foreign(job.title)
        assert by_id[f"job:{job.job_id}"].aria.startswith(", ".join(filter(None, [job.label, title, state])))
        assert words[0] == job.label
    for one in facts.conflicts:
        assert ", conflict, " in by_id[f"conflict:{one.conflict_id}"].aria


@given(states())
@settings(max_examples=30, deadline=None)
def test_any_state_gives_marks_that_are_shown_and_counts_that_agree(facts: Facts) -> None:
    marks = summary.marks(facts)
    assert len({mark.id for mark in marks}) == len(marks)
    for mark in marks:
        assert 1 <= len(mark.badge) <= 2
        assert mark.tooltip
    found = summary.summary(facts, rows.tree(facts)[0])
    counts = found.counts
    assert (found.badge is None) == (counts.attention == 0)
    assert (found.status is not None and found.status.level == 2) == (counts.attention > 0)
    assert counts.running + counts.queued + counts.ended == len(facts.shown)
