"""What people read: whole sentences, right in number, nothing claimed that is not known."""

from __future__ import annotations

import pytest

from sidecar.a2 import dialogs, messages
from sidecar.a2.dialogs import Undone, UserEdit
from sidecar.a2.messages import Named
from sidecar.model.conflict import KINDS, Conflict, ConflictJob, ConflictKind, LineRange, Role, severity
from sidecar.model.job import Attribution, JobStatus

TITLES = {"w1": "add retries", "w2": "typed errors", "w3": "cleanup"}
W1, W2, W3 = (Named(label, title) for label, title in TITLES.items())


def job(label: str, *ranges: tuple[int, int], role: Role = "changed", attribution: Attribution = "seen") -> ConflictJob:
    return ConflictJob(label, label, TITLES[label], attribution, [LineRange(*lines) for lines in ranges], role)


def conflict(kind: ConflictKind, *jobs: ConflictJob, live: bool = False, path: str = "src/app.py") -> Conflict:
    return Conflict(
        conflict_id="conflict-1",
        path=path,
        kind=kind,
        severity=severity(kind, live=live),
        confirmed=not live,
        jobs=list(jobs),
        mergeable=False,
        suggested="reconcile",
        live=live,
    )


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], ""),
        ([(4, 4)], "line 4"),
        ([(3, 5)], "lines 3-5"),
        ([(3, 5), (9, 9)], "lines 3-5 and 9"),
        ([(1, 1), (3, 3)], "lines 1 and 3"),
        ([(1, 1), (3, 3), (5, 6), (8, 8)], "lines 1, 3, 5-6 and 8"),
        ([(1, 1), (3, 3), (5, 5), (7, 7), (9, 9)], "lines 1, 3, 5 and 2 more places"),
    ],
)
def test_lines(ranges: list[tuple[int, int]], expected: str) -> None:
    assert messages.lines([LineRange(*found) for found in ranges]) == expected


LOST = (job("w1", (3, 5), role="lost"), job("w2", (3, 5), role="overwrote"))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            conflict("lost-update", *LOST),
            'w2 "typed errors" overwrote lines that w1 "add retries" had changed (lines 3-5). w1\'s version is stored.',
        ),
        (
            conflict("lost-update", *LOST, live=True),
            'w2 "typed errors" overwrote lines that w1 "add retries" had changed (lines 3-5) so far. '
            "w1's version is stored.",
        ),
        (
            conflict("lost-update", job("w1", (4, 4), role="lost", attribution="ambiguous"), LOST[1]),
            'w2 "typed errors" overwrote lines that w1 "add retries" had changed (line 4).',
        ),
        (
            conflict("lost-update", job("w1", role="lost"), job("w2", role="lost")),
            'w1 "add retries" and w2 "typed errors" overwrote each other\'s lines. '
            "w1's and w2's versions are stored.",
        ),
        (
            conflict("lost-update", *LOST, job("w3", (9, 9), role="elsewhere")),
            'w2 "typed errors" overwrote lines that w1 "add retries" had changed (lines 3-5). w1\'s version is stored. '
            'w3 "cleanup" changed this file too.',
        ),
        (
            conflict("overlapping-edit", job("w1", (3, 4)), job("w2", (4, 5))),
            'w1 "add retries" and w2 "typed errors" changed the same lines (3-5).',
        ),
        (
            conflict("overlapping-edit", job("w1", (4, 4)), job("w2", (4, 4)), live=True),
            'w1 "add retries" and w2 "typed errors" changed the same line (4) so far.',
        ),
        (
            conflict("overlapping-edit", job("w1"), job("w2")),
            'w1 "add retries" and w2 "typed errors" changed the same part of this file.',
        ),
        (
            conflict(
                "overlapping-edit",
                job("w1", (4, 4)),
                job("w2", (4, 4)),
                job("w3", (20, 20), role="elsewhere", attribution="ambiguous"),
            ),
            'w1 "add retries" and w2 "typed errors" changed the same line (4). w3 "cleanup" may have changed this file '
            "too.",
        ),
        (
            conflict("same-file-edit", job("w1", (1, 1)), job("w2", (9, 9))),
            'w1 "add retries" and w2 "typed errors" changed different parts of this file.',
        ),
        (
            conflict("same-file-edit", job("w1"), job("w2"), job("w3")),
            'w1 "add retries", w2 "typed errors" and w3 "cleanup" changed this file.',
        ),
        (
            conflict("edit-and-delete", job("w1"), job("w3", role="deleted")),
            'w3 "cleanup" deleted this file; w1 "add retries" changed it.',
        ),
        (
            conflict("user-edit", job("w1", (10, 12))),
            'You and w1 "add retries" both changed lines 10-12 while it was running.',
        ),
        (
            conflict("user-edit", job("w1", (10, 10)), live=True),
            'You and w1 "add retries" both changed line 10 so far.',
        ),
        (
            conflict("user-edit", job("w1"), job("w2")),
            'You, w1 "add retries" and w2 "typed errors" changed this file while they were running.',
        ),
        (
            conflict("reported-only", job("w1", attribution="reported"), job("w2", attribution="reported")),
            "w1 and w2 both report a change to this file, but no separate versions were stored.",
        ),
        (
            conflict("reported-only", *(job(label, attribution="ambiguous") for label in TITLES)),
            "w1, w2 and w3 all seem to have changed this file, but no separate versions were stored.",
        ),
    ],
)
def test_diagnostics(found: Conflict, expected: str) -> None:
    assert messages.diagnostic(found) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_title_cannot_break_a_sentence(kind: ConflictKind) -> None:
    """Titles come from prompts: sentences, line breaks and escape sequences stay within the quotes."""
    odd = "Fix it. Then\n\x1b[31mtest. "
    jobs = [
        ConflictJob(label, label, odd, "seen", [], role)
        for label, role in (("w1", "lost" if kind == "lost-update" else "changed"), ("w2", "deleted"))
    ]
    text = messages.diagnostic(conflict(kind, *jobs, live=True))
    assert "\n" not in text
    assert "\x1b" not in text
    assert text.count(" so far.") == 1
    if kind != "reported-only":
        assert '"Fix it. Then [31mtest."' in text


@pytest.mark.parametrize(
    ("found", "at", "expected"),
    [
        (job("w1", (3, 5)), "14:02", 'w1 "add retries" changed lines 3-5 at 14:02'),
        (job("w1", (4, 4)), None, 'w1 "add retries" changed line 4'),
        (job("w1"), None, 'w1 "add retries" changed this file'),
        (job("w1", (3, 5), role="lost"), "14:02", 'w1 "add retries" had changed lines 3-5 at 14:02'),
        (job("w2", (3, 5), role="overwrote"), None, 'w2 "typed errors" overwrote lines 3-5'),
        (job("w3", role="deleted"), "14:02", 'w3 "cleanup" deleted this file at 14:02'),
        (job("w1", attribution="reported"), "14:02", 'w1 "add retries" reports a change to this file'),
        (job("w1", (3, 3), attribution="ambiguous"), None, 'w1 "add retries" may have changed line 3'),
    ],
)
def test_related_information(found: ConflictJob, at: str | None, expected: str) -> None:
    assert messages.related(found, at) == expected


def test_other_diagnostics() -> None:
    assert messages.unclaimed() == "Changed since the baseline, but no worker reported it."
    assert messages.missing_report(W3) == (
        "w3 finished without a modifiedFiles list; its changes may be incomplete here."
    )
    assert messages.unsaved_edit(W1).startswith('w1 "add retries" has changed this file on disk')


def test_action_titles() -> None:
    assert messages.merge_action([W1, W2]) == "Merge w1 and w2..."
    assert messages.keep_action(W1) == 'Keep w1 "add retries"'
    assert messages.keep_action(Named("w4", " ")) == "Keep w4"
    assert messages.compare_action(W1, W2) == "Compare w1 with w2"
    assert messages.rerun_action("src/app.py", [W1, W2]) == "Roll back src/app.py and re-run w1, then w2..."
    assert messages.dismiss_action() == "Mark as resolved"
    assert messages.reconcile_action([W1, W2]) == "Let a worker reconcile w1 and w2..."


@pytest.mark.parametrize(
    ("found", "lens", "notice"),
    [
        (
            conflict("overlapping-edit", job("w1", (4, 4)), job("w2", (4, 4))),
            "w1 and w2 changed the same lines",
            "w1 and w2 changed the same lines in src/app.py.",
        ),
        (
            conflict("lost-update", *LOST),
            "w2 overwrote lines of w1",
            "w2 overwrote lines of w1 in src/app.py.",
        ),
        (
            conflict("edit-and-delete", job("w1"), job("w3", role="deleted")),
            "w3 deleted this file, w1 changed it",
            "w3 deleted src/app.py, w1 changed it.",
        ),
        (
            conflict("user-edit", job("w1"), job("w2", role="elsewhere")),
            "You and w1 changed this file",
            "You and w1 changed src/app.py.",
        ),
        (
            conflict("same-file-edit", job("w1", (1, 1)), job("w2", (5, 5))),
            "w1 and w2 changed different parts of this file",
            "w1 and w2 changed different parts of src/app.py.",
        ),
        (
            conflict("reported-only", job("w1"), job("w2")),
            "w1 and w2 may have changed this file",
            "w1 and w2 may have changed src/app.py.",
        ),
    ],
)
def test_lens_and_notice(found: Conflict, lens: str, notice: str) -> None:
    assert messages.lens(found) == lens
    assert messages.lens(found, icons=True) == f"$(warning)\u00a0{lens}"
    assert messages.conflict_notice([found]) == notice


def test_notice_of_several_conflicts() -> None:
    plain, user = conflict("same-file-edit", job("w1"), job("w2")), conflict("user-edit", job("w1"))
    assert messages.conflict_notice([plain] * 3) == "3 files were changed by more than one worker."
    assert messages.conflict_notice([user] * 2) == "2 files were changed by you and a worker."
    assert messages.conflict_notice([plain, user]) == (
        "2 files were changed by more than one worker or by you and a worker."
    )


def test_hover() -> None:
    assert messages.hover(W1, "seen", "14:02") == 'w1 "add retries", 14:02 (seen)'
    assert messages.hover(W1, "ambiguous") == 'w1 "add retries" (ambiguous)'


@pytest.mark.parametrize(
    ("status", "files", "expected"),
    [
        ("cancelled", 2, "w2 was cancelled and left 2 files changed."),
        ("failed", 1, "w2 failed and left 1 file changed."),
        ("interrupted", 1, "w2 was interrupted and left 1 file changed."),
    ],
)
def test_what_an_unfinished_worker_left(status: JobStatus, files: int, expected: str) -> None:
    assert messages.left_changes(W2, status, files) == expected


def test_other_notices() -> None:
    assert messages.still_running([W1], "src/app.py") == "w1 is still running and may change src/app.py."
    assert messages.still_running([W1, W2], "a\nb") == "w1 and w2 are still running and may change a b."
    assert messages.head_moved("3f2a91c00", "81be02011") == (
        "HEAD moved from 3f2a91c to 81be020. Roll back is limited to file contents."
    )
    assert messages.head_moved(None, "81be02011").startswith("HEAD moved from an empty branch to 81be020.")
    assert messages.worker_commit(W2, "9ab0123456") == "w2 created commit 9ab0123; workers must not commit."


# Dialogs -------------------------------------------------------------------------------------------


def test_roll_back_names_all_that_goes_and_all_that_stays() -> None:
    dialog = dialogs.roll_back(
        ["src/app.py", "src/new.py", "src/x.py"],
        [Undone(W1, ["src/app.py", "src/new.py"]), Undone(W2, ["src/app.py"])],
        removed=["src/new.py"],
        user_edits=[UserEdit("src/app.py", 2)],
        untouched=["README.md"],
        snapshot="refs/codex-sidecar/snapshots/20261122-1550",
        keep_days=14,
    )
    assert dialog.message == "Roll back 3 files to the baseline?"
    assert dialog.detail.splitlines() == [
        'Undone in this folder: w1 "add retries" (src/app.py, src/new.py) and w2 "typed errors" (src/app.py).',
        "src/new.py did not exist before and will be removed.",
        "Also undone: your own edits in src/app.py (2 places).",
        "Not touched: your edits in README.md, ignored files, commits, branches, the index.",
        "A snapshot is saved first: refs/codex-sidecar/snapshots/20261122-1550. "
        '"Codex Sidecar: Restore Snapshot..." brings everything back. '
        "Snapshots are kept for 14 days in this repository only.",
    ]
    assert dialog.buttons == ("Save Snapshot and Roll Back", "Roll Back and Re-run One by One", "Review Changes First")
    assert dialog.text == f"{dialog.message}\n\n{dialog.detail}"


def test_what_another_worker_did_is_not_called_yours() -> None:
    left = [Undone(W1, ["c.txt"]), Undone(W2, ["c.txt", "d.txt"])]
    dialog = dialogs.roll_back(["a"], [Undone(W3, ["a"])], untouched=["b.txt"], left=left, keep_days=14)
    assert (
        "Not touched: your edits in b.txt, w1's changes in c.txt, w2's changes in c.txt and d.txt, ignored files, "
        "commits, branches, the index."
    ) in dialog.detail.splitlines()


def test_roll_back_claims_only_what_is_true() -> None:
    dialog = dialogs.roll_back(["a"], [Undone(W1, ["a"])], keep_days=1)
    assert dialog.message == "Roll back 1 file to the baseline?"
    assert dialog.detail.splitlines() == [
        'Undone in this folder: w1 "add retries" (a).',
        "Not touched: ignored files, commits, branches, the index.",
        'A snapshot is saved first. "Codex Sidecar: Restore Snapshot..." brings everything back. '
        "Snapshots are kept for 1 day in this repository only.",
    ]


def test_roll_back_to_run_again() -> None:
    dialog = dialogs.roll_back(["a", "b"], [Undone(W1, ["a"])], keep_days=14, rerun=[W1, W2])
    assert dialog.message == "Roll back 2 files to the baseline and re-run w1, then w2?"
    assert "one by one, each told what the ones before it changed" in dialog.detail
    assert dialog.buttons[0] == "Roll Back and Re-run One by One"
    alone = dialogs.roll_back(["a"], [Undone(W1, ["a"])], keep_days=14, rerun=[W1])
    assert alone.message == "Roll back 1 file to the baseline and re-run w1?"
    assert "one by one" not in alone.detail


def test_long_lists_are_cut() -> None:
    paths = [f"f{number}" for number in range(9)]
    dialog = dialogs.roll_back(paths, [Undone(W1, paths)], removed=paths, keep_days=14)
    assert "(f0, f1, f2, f3, f4, 4 more files)" in dialog.detail
    assert "f0, f1, f2, f3, f4 and 4 more files did not exist before" in dialog.detail
    assert dialogs.paths_listed(paths[:6]) == "f0, f1, f2, f3, f4 and f5", "one more is shorter than saying so"


def test_cancel_with_changes() -> None:
    dialog = dialogs.cancel_with_changes(W1, 2)
    assert dialog.message == 'Cancel w1 "add retries"?'
    assert dialog.detail == (
        "It has changed 2 files. They stay as they are; roll back afterwards if you do not want them."
    )
    assert dialog.buttons == ("Cancel Worker", "Cancel and Roll Back Its Files...")
    assert dialogs.cancel_with_changes(W1, 1).detail == (
        "It has changed 1 file. It stays as it is; roll back afterwards if you do not want it."
    )


def test_cancel_all_names_every_worker() -> None:
    dialog = dialogs.cancel_all([(W1, 2), (W2, 0)])
    assert dialog.message == "Cancel 2 workers?"
    assert dialog.detail.splitlines() == [
        'w1 "add retries": 2 files changed',
        'w2 "typed errors"',
        "Changed files stay as they are; roll back afterwards if you do not want them.",
    ]
    assert dialogs.cancel_all([(W3, 0)]).detail == 'w3 "cleanup"'


def test_to_run_again_without_a_file_to_move_claims_no_roll_back() -> None:
    dialog = dialogs.roll_back([], [], keep_days=14, rerun=[W1, W2])
    assert dialog.message == "Re-run w1, then w2?"
    assert "A snapshot is saved first." in dialog.detail
    assert "one by one" in dialog.detail


def test_roll_back_says_who_still_runs() -> None:
    one = dialogs.roll_back(["a"], [Undone(W1, ["a"])], keep_days=14, running=[W1])
    assert "w1 still runs and may write again." in one.detail.splitlines()
    two = dialogs.roll_back(["a"], [Undone(W1, ["a"]), Undone(W2, ["a"])], keep_days=14, running=[W1, W2])
    assert "w1 and w2 still run and may write again." in two.detail.splitlines()
    assert "still run" not in dialogs.roll_back(["a"], [Undone(W1, ["a"])], keep_days=14).detail


def test_restore_mirrors_roll_back() -> None:
    dialog = dialogs.restore(
        "15:50", "before a roll back", ["a", "b", "c"], removed=["b"], created=["c"], user_edits=[UserEdit("a", 1)],
        keep_days=14,
    )  # fmt: skip
    assert dialog.message == "Restore 3 files from the snapshot of 15:50 (before a roll back)?"
    assert dialog.detail.splitlines()[:5] == [
        "Replaced in this folder: a.",
        "c is not there now and will be created.",
        "b did not exist then and will be removed.",
        "Also replaced: your own edits in a (1 place).",
        "Not touched: ignored files, commits, branches, the index.",
    ]
    assert "A snapshot is saved first." in dialog.detail


def test_restore_claims_only_what_is_true() -> None:
    both = dialogs.restore("15:50", "x", ["c", "d"], created=["c", "d"], keep_days=14)
    assert both.detail.splitlines()[0] == "c and d are not there now and will be created."
    assert "Replaced" not in both.detail
    nothing = dialogs.restore("15:50", "before a roll back", [], snapshot="refs/x", keep_days=14)
    assert nothing.detail.splitlines() == [
        "Every file is as the snapshot has it.",
        "Not touched: ignored files, commits, branches, the index.",
        'A snapshot is saved first: refs/x. "Codex Sidecar: Restore Snapshot..." brings everything back. '
        "Snapshots are kept for 14 days in this repository only.",
    ]
    index = dialogs.restore("15:50", "before a roll back", [], index=True, snapshot="refs/x", keep_days=14)
    assert index.detail.splitlines()[:3] == [
        "Every file is as the snapshot has it.",
        "The index comes back too, as it was then.",
        "Not touched: ignored files, commits, branches.",
    ]
    assert "A snapshot is saved first: refs/x." in index.detail


def test_no_button_is_only_cancel() -> None:
    every = [
        dialogs.roll_back(["a"], [], keep_days=1),
        dialogs.cancel_with_changes(W1, 1),
        dialogs.cancel_all([(W1, 1)]),
        dialogs.restore("now", "x", ["a"], keep_days=1),
    ]
    assert all(button != "Cancel" for dialog in every for button in dialog.buttons)
