"""What the terminal shows of conflicts and repairs, and the commands that it tells a person to type."""

from __future__ import annotations

import io
import shlex
import sys
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.a2 import dialogs
from sidecar.cli import a2_texts, flags
from sidecar.cli.command import Parser
from sidecar.cli.conflict_watch import ConflictWatch, of_jobs
from sidecar.cli.repair import choices
from sidecar.model.conflict import Conflict, ConflictJob, LineRange
from sidecar.model.errors import SidecarError
from sidecar.tools import table

NASTY = "\x1b]0;owned\x07\x1b[31mred\u202egnirts\r\nnext\0\x9b2J"


def a_conflict(**changes: Any) -> Conflict:
    facts: dict[str, Any] = {
        "conflict_id": "conflict-1",
        "path": "src/app.py",
        "kind": "overlapping-edit",
        "severity": "warning",
        "confirmed": True,
        "jobs": [
            ConflictJob("j1", "w1", "add retries", "seen", [LineRange(3, 5)]),
            ConflictJob("j2", "w2", "typed errors", "seen", [LineRange(3, 4)]),
        ],
        "mergeable": False,
        "suggested": "reconcile",
        **changes,
    }
    return Conflict(**facts)


def shown(**changes: Any) -> dict[str, Any]:
    """The conflict as it stands in an answer."""
    return msgspec.to_builtins(a_conflict(**changes))


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cs") or char in "\u202a\u202e\u2066" for char in text)


def test_a_warning_says_file_workers_and_lines_while_they_run() -> None:
    assert a2_texts.warning(shown(live=True)) == "! src/app.py: w1 and w2 changed the same lines (3-5) so far"


def test_a_conflict_is_one_line_with_the_command_that_repairs_it() -> None:
    assert a2_texts.conflict_line(shown()) == (
        'warning      src/app.py: w1 "add retries" and w2 "typed errors" changed the same lines (3-5). '
        "To let another worker reconcile them: codex-sidecar resolve src/app.py reconcile"
    )
    live = a2_texts.conflict_line(shown(live=True, severity="information"))
    assert live.startswith("information  src/app.py: ")
    assert live.endswith(" A worker of it is still running.")
    assert "codex-sidecar" not in live


def test_on_a_terminal_the_command_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    lines = a2_texts.conflict_line(shown()).split("\n")
    assert max(map(len, lines[:-1])) < 60
    assert lines[1].startswith(" " * 13)
    assert lines[-1] == (" " * 13 + "To let another worker reconcile them: codex-sidecar resolve src/app.py reconcile")


@pytest.mark.parametrize(
    ("path", "typed"),
    [("src/app.py", "src/app.py"), ("it's here.py", "'it'\"'\"'s here.py'"), ("-f", "conflict-1"),
     ("new\nline", "conflict-1"), ("conflict-2", "conflict-1")],
)  # fmt: skip
def test_the_command_names_the_file_where_that_can_be_typed(path: str, typed: str) -> None:
    assert a2_texts.resolve_command(a_conflict(path=path), "merge") == f"codex-sidecar resolve {typed} merge"
    assert shlex.split(f"x {typed}")[1] in (path, "conflict-1")


def test_keeping_needs_a_worker() -> None:
    assert a2_texts.resolve_command(a_conflict(), "keep") == "codex-sidecar resolve src/app.py keep w1"


def test_all_that_was_found() -> None:
    answer = {
        "runId": "run-1",
        "conflicts": [shown()],
        "unclaimed": ["b.py", "c.py"],
        "missingReports": ["j2"],
        "headMoved": {"from": "a" * 40, "to": None},
        "workerCommits": [{"jobId": "j1", "label": "w1", "commit": "b" * 40}],
    }
    lines = a2_texts.conflicts(answer, {"j1": "w1", "j2": "w2"}).splitlines()
    assert lines[1:] == [
        "b.py and c.py: changed since the baseline, but no worker reported it.",
        "w2 finished without a modifiedFiles list; its changes may be incomplete here.",
        "HEAD moved from aaaaaaa to an empty branch. Roll back is limited to file contents.",
        "w1 created commit bbbbbbb; workers must not commit.",
    ]
    nothing = {"unclaimed": [], "missingReports": [], "headMoved": None, "workerCommits": [], "conflicts": []}
    assert a2_texts.conflicts({"runId": "run-1", **nothing}, {}) == "no conflicts"
    assert a2_texts.conflicts({"runId": None, **nothing}, {}) == "no run is open, so there are no conflicts"


def test_a_preview_names_what_is_typed_here() -> None:
    worker = a_conflict().jobs[0]
    dialog = dialogs.roll_back(["a.py"], [dialogs.Undone(worker, ["a.py"])], keep_days=14)
    text = a2_texts.preview({"text": dialog.text})
    assert text.startswith("Roll back 1 file to the baseline?\n\nUndone in this folder: w1")
    assert "`codex-sidecar restore` brings everything back" in text
    assert "Codex Sidecar:" not in text


def test_what_was_done_and_the_way_back() -> None:
    back = "The state before is kept: `codex-sidecar restore s1` brings it back."
    rolled = {"snapshotId": "s1", "files": ["a.py", "b.py"], "kept": {"c.py": "it is a directory now"}}
    assert a2_texts.rolled_back(rolled, {}).splitlines() == [
        "rolled back 2 files: a.py and b.py", "left as it is: c.py (it is a directory now)", back
    ]  # fmt: skip
    assert a2_texts.restored({"snapshotId": None, "files": [], "kept": {}}, {}) == "nothing was restored"
    jobs = [{"jobId": "j3", "label": "w3", "replaces": "j1"}, {"jobId": "j4", "label": "w4", "replaces": "j2"}]
    again = {"jobs": jobs, "snapshotId": "s1", "files": ["a.py"]}
    assert a2_texts.rerun(again, {"j1": "w1", "j2": "w2"}).splitlines() == [
        "rolled back 1 file: a.py", "w3 runs in place of w1", "w4 runs in place of w2", back,
        "w3: job j3", "w4: job j4", "Wait for them: codex-sidecar wait-any w3 w4",
    ]  # fmt: skip
    merged = {"strategy": "merge", "files": ["a.py"], "jobs": [], "snapshotId": "s1"}
    assert a2_texts.resolved(merged, {}).splitlines() == ["merged: a.py", back]
    closed = {"strategy": "dismiss", "files": [], "jobs": [], "snapshotId": None}
    assert a2_texts.resolved(closed, {}) == "left as it is; the conflict is closed"
    reconciling = {"strategy": "reconcile", "files": [], "snapshotId": None}
    reconciling["jobs"] = [{"jobId": "j5", "label": "w5", "replaces": None}]
    assert a2_texts.repaired(reconciling, {}) == "w5 reconciles them"


def test_snapshots_stand_in_columns() -> None:
    one = {"snapshotId": "20261125-1", "createdAt": "2026-11-25T12:00:00.000Z", "reason": "before a roll back"}
    answer = {"snapshots": [{**one, "files": 1, "ref": "r"}, {**one, "snapshotId": "2", "files": 12, "ref": "r"}]}
    first, second, how = a2_texts.snapshots(answer, {}).splitlines()
    assert first.split("  ")[0] == "20261125-1"
    assert first.endswith("1 file    before a roll back")
    assert second.index("12 files") == first.index("1 file ")
    assert how == "`codex-sidecar restore SNAPSHOT` brings one back."
    assert a2_texts.snapshots({"snapshots": []}, {}) == "no snapshots"


def test_what_a_stopped_worker_left_behind() -> None:
    stopped = {"jobId": "j2", "label": "w2", "title": "x", "status": "cancelled"}
    assert a2_texts.left_changes(stopped, ["a.py", "b.py"]) == (
        "w2 was cancelled and left 2 files changed (a.py and b.py). "
        "To undo just that: codex-sidecar rollback --job-ids w2"
    )
    assert "w2 failed and left 1 file changed" in a2_texts.left_changes({**stopped, "status": "failed"}, ["a.py"])


@given(st.text(min_size=1), st.text(), st.sampled_from(["overlapping-edit", "lost-update", "reported-only"]))
def test_whatever_titles_and_paths_hold_a_line_stays_one_safe_line(path: str, title: str, kind: Any) -> None:
    for text in (path + NASTY, path):
        jobs = [ConflictJob(f"j{n}", f"w{n}", title + NASTY, "seen", [LineRange(1, 1)]) for n in (1, 2)]
        item = shown(path=text, jobs=jobs, kind=kind)
        assert is_safe(a2_texts.conflict_line(item))
        assert is_safe(a2_texts.warning(item))


def test_only_what_is_possible_is_offered() -> None:
    assert [one.keys[0] for one in choices(a_conflict())] == ["w1", "w2", "c", "r", "d"]
    assert [one.text for one in choices(a_conflict()) if "suggested" in one.text] == [
        "let another worker reconcile them (suggested)"
    ]
    mergeable = choices(a_conflict(mergeable=True, suggested="merge"))
    assert (mergeable[0].keys, mergeable[0].meaning) == (("m", "merge"), {"strategy": "merge"})
    assert mergeable[1].meaning == {"strategy": "keep", "jobId": "j1"}
    told = [ConflictJob(f"j{n}", f"w{n}", "x", "reported", []) for n in (1, 2)]
    assert [one.keys[0] for one in choices(a_conflict(jobs=told, kind="reported-only", suggested="rerun"))] == [
        "c", "r", "d"
    ]  # fmt: skip


def test_a_conflict_is_told_once_and_again_when_it_grows_worse() -> None:
    watch = ConflictWatch(None, ["j1", "j2"])  # type: ignore[arg-type] # A watch that is only told asks nobody.
    mild = shown(live=True, kind="same-file-edit", severity="information")
    assert watch.tell([mild]) == ["! src/app.py: w1 and w2 changed different parts of this file so far"]
    assert watch.tell([mild]) == []
    assert watch.tell([shown(live=True)]) == ["! src/app.py: w1 and w2 changed the same lines (3-5) so far"]
    assert watch.tell([mild]) == [], "that it grew milder is told after the round"
    third = ConflictJob("j3", "w3", "more", "seen", [LineRange(4, 4)])
    more = shown(live=True, jobs=[*a_conflict().jobs, third])
    assert watch.tell([more]) == ["! src/app.py: w1, w2 and w3 changed the same lines (3-5) so far"]
    assert watch.tell([]) == ["! src/app.py: not in conflict any more"]
    assert watch.tell([]) == []
    assert watch.tell([shown(live=False)]) == [], "what is settled is told with all the rest"


def test_conflicts_of_other_rounds_are_left_to_them() -> None:
    other = shown(conflict_id="conflict-2", jobs=[ConflictJob("j8", "w8", "x", "seen", [])])
    assert [item["conflictId"] for item in of_jobs([shown(), other], ["j2", "j9"])] == ["conflict-1"]


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=20)


@given(st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=3))
def test_the_command_that_is_told_sends_the_same_again(paths: list[str], jobs: list[str]) -> None:
    tool = table.BY_COMMAND["rollback"]
    asked = {"paths": paths, "jobIds": jobs}
    words = shlex.split(flags.as_command(tool, {**asked, "token": "t1"}))
    assert words[:2] == ["codex-sidecar", "rollback"]
    parser = Parser(prog="rollback", allow_abbrev=False)
    flags.add_flags(parser, tool)
    assert flags.collect(tool, parser.read([*words[2:], "--token", "-t2"])) == {**asked, "token": "-t2"}


def test_an_id_may_begin_with_a_dash() -> None:
    tool = table.BY_COMMAND["wait-any"]
    parser = Parser(prog="wait-any", allow_abbrev=False)
    flags.add_flags(parser, tool)
    found = flags.collect(tool, parser.read(["--job-ids", "-x", "w1", "--job-ids", "--y", "--timeout-ms", "5"]))
    assert found == {"jobIds": ["w1", "-x", "--y"], "timeoutMs": 5}
    with pytest.raises(SidecarError, match="--job-ids"):
        parser.read(["--job-ids", "--timeout-ms", "5"])


@pytest.mark.parametrize(
    ("command", "argv", "expected"),
    [
        ("resolve", ["a.py", "merge"], {"conflictId": "a.py", "strategy": "merge"}),
        ("resolve", ["a.py", "keep", "w1"], {"conflictId": "a.py", "strategy": "keep", "jobId": "w1"}),
        ("restore", ["20261125-1"], {"snapshotId": "20261125-1"}),
        ("rollback", ["w1", "w2"], {"jobIds": ["w1", "w2"]}),
        ("rollback", ["--paths", "a", "--paths", "b"], {"paths": ["a", "b"]}),
        ("baseline", ["--begin", "--on-dirty", "stash"], {"begin": True, "onDirty": "stash"}),
    ],
)  # fmt: skip
def test_what_is_typed_for_a_repair(command: str, argv: list[str], expected: dict[str, Any]) -> None:
    tool = table.BY_COMMAND[command]
    parser = Parser(prog=command, allow_abbrev=False)
    flags.add_flags(parser, tool)
    assert flags.collect(tool, parser.parse_intermixed_args(argv)) == expected
