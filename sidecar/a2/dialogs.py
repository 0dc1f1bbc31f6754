"""What a person is asked before work is undone: the message, what exactly will happen, and the ways on.

A client adds its own Cancel, so no button is named so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sidecar.a2.messages import SHOWN_FILES, SHOWN_JOBS, Worker, count, cut, listed, one_line, who


@dataclass(frozen=True)
class Dialog:
    """A question. The first button is what Enter means."""

    message: str
    detail: str
    buttons: tuple[str, ...]

    @property
    def text(self) -> str:
        """Message and detail together, as a preview shows them."""
        return f"{self.message}\n\n{self.detail}"


@dataclass(frozen=True)
class Undone:
    """A worker and those of its files (paths) that are rolled back, or that stay as they are."""

    worker: Worker
    paths: Sequence[str]


@dataclass(frozen=True)
class UserEdit:
    """A file that a person changed, in so many places; 0 where they cannot be counted."""

    path: str
    places: int = 0


SAVE_AND_ROLL_BACK = "Save Snapshot and Roll Back"
ROLL_BACK_AND_RERUN = "Roll Back and Re-run One by One"
REVIEW_FIRST = "Review Changes First"
CANCEL_WORKER = "Cancel Worker"
CANCEL_AND_ROLL_BACK = "Cancel and Roll Back Its Files..."
CANCEL_ALL = "Cancel All Workers"
SAVE_AND_RESTORE = "Save Snapshot and Restore"


def paths_listed(paths: Sequence[str]) -> str:
    return listed(_cut(paths))


def _cut(paths: Sequence[str]) -> list[str]:
    return cut([one_line(path) for path in paths], SHOWN_FILES, "file")


def roll_back(
    paths: Sequence[str],
    undone: Sequence[Undone],
    *,
    removed: Sequence[str] = (),
    user_edits: Sequence[UserEdit] = (),
    untouched: Sequence[str] = (),
    left: Sequence[Undone] = (),
    snapshot: str | None = None,
    keep_days: int,
    rerun: Sequence[Worker] = (),
    running: Sequence[Worker] = (),
) -> Dialog:
    """Before files are rolled back.

    Args:
        paths: all files that are rolled back.
        removed: those that did not exist before and go away.
        user_edits: the person's own edits that are undone with them.
        untouched: files with the person's edits that stay.
        left: what workers did to other files, which stays, too.
        snapshot: the ref that will hold the state before; None: no name is told.
        keep_days: how long snapshots are kept.
        rerun: the workers that run again afterwards, in this order.
        running: those of the workers that have not ended.
    """
    again = f" and re-run {', then '.join(worker.label for worker in rerun)}" if rerun else ""
    where = count(len(paths), "file")
    shown = [f"{who(each.worker)} ({', '.join(_cut(each.paths))})" for each in undone]
    lines = [f"Undone in this folder: {listed(cut(shown, SHOWN_JOBS, 'worker'))}."] if undone else []
    if running:
        names = listed(cut([worker.label for worker in running], SHOWN_JOBS, "worker"))
        lines.append(f"{names} {'still runs' if len(running) == 1 else 'still run'} and may write again.")
    if removed:
        lines.append(f"{paths_listed(removed)} did not exist before and will be removed.")
    if user_edits:
        lines.append(f"Also undone: your own edits in {_edits_listed(user_edits)}.")
    kept = [f"your edits in {paths_listed(untouched)}"] if untouched else []
    kept += cut([f"{each.worker.label}'s changes in {paths_listed(each.paths)}" for each in left], SHOWN_JOBS, "worker")
    lines.append(f"Not touched: {', '.join([*kept, 'ignored files', 'commits', 'branches', 'the index'])}.")
    if len(rerun) > 1:
        lines.append("Then these workers run again one by one, each told what the ones before it changed.")
    lines.append(snapshot_kept(snapshot, keep_days))
    buttons = (ROLL_BACK_AND_RERUN, REVIEW_FIRST) if rerun else (SAVE_AND_ROLL_BACK, ROLL_BACK_AND_RERUN, REVIEW_FIRST)
    if rerun and not paths:
        # What is in conflict is as it was at the baseline, so no file has to move.
        return Dialog(f"{again.removeprefix(' and ').capitalize()}?", "\n".join(lines), buttons)
    return Dialog(f"Roll back {where} to the baseline{again}?", "\n".join(lines), buttons)


def cancel_with_changes(worker: Worker, files: int) -> Dialog:
    """Before a worker is cancelled that has changed files."""
    them = (
        "it stays as it is; roll back afterwards if you do not want it"
        if files == 1
        else ("they stay as they are; roll back afterwards if you do not want them")
    )
    return Dialog(
        f"Cancel {who(worker)}?",
        f"It has changed {count(files, 'file')}. {them[0].upper()}{them[1:]}.",
        (CANCEL_WORKER, CANCEL_AND_ROLL_BACK),
    )


def cancel_all(workers: Sequence[tuple[Worker, int]]) -> Dialog:
    """Before all workers are cancelled, each with the number of files that it has changed."""
    lines = [f"{who(worker)}: {count(files, 'file')} changed" if files else who(worker) for worker, files in workers]
    if any(files for _, files in workers):
        lines.append("Changed files stay as they are; roll back afterwards if you do not want them.")
    return Dialog(f"Cancel {count(len(workers), 'worker')}?", "\n".join(lines), (CANCEL_ALL,))


def clock(at: float) -> str:
    """A time (seconds since 1970) on this machine's clock, as a list of snapshots shows it: `2026-11-25 14:02:31`."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def restore(
    taken: str,
    reason: str,
    paths: Sequence[str],
    *,
    removed: Sequence[str] = (),
    created: Sequence[str] = (),
    user_edits: Sequence[UserEdit] = (),
    index: bool = False,
    snapshot: str | None = None,
    keep_days: int,
) -> Dialog:
    """Before a snapshot is brought back. It saves one itself, the undo of the undo.

    Args:
        taken: when the snapshot was taken, as the reader is to see it.
        reason: why it was taken, as a part of a sentence.
        paths: files that get the snapshot's contents.
        removed: those of them that the snapshot does not have, so that they go away.
        created: those of them that are not there now, so that they come back.
        user_edits: the person's own edits that are replaced.
        index: whether the index comes back too.
        snapshot: the ref that will hold the state before; None: no name is told.
        keep_days: how long snapshots are kept.
    """
    lines = [] if paths else ["Every file is as the snapshot has it."]
    if replaced := [path for path in paths if path not in {*removed, *created}]:
        lines.append(f"Replaced in this folder: {paths_listed(replaced)}.")
    if created:
        lines.append(
            f"{paths_listed(created)} {'is' if len(created) == 1 else 'are'} not there now and will be created."
        )
    if removed:
        lines.append(f"{paths_listed(removed)} did not exist then and will be removed.")
    if user_edits:
        lines.append(f"Also replaced: your own edits in {_edits_listed(user_edits)}.")
    if index:
        lines.append("The index comes back too, as it was then.")
    lines.append(f"Not touched: ignored files, commits, branches{'' if index else ', the index'}.")
    lines.append(snapshot_kept(snapshot, keep_days))
    message = f"Restore {count(len(paths), 'file')} from the snapshot of {one_line(taken)} ({one_line(reason)})?"
    return Dialog(message, "\n".join(lines), (SAVE_AND_RESTORE, REVIEW_FIRST))


def _edits_listed(edits: Sequence[UserEdit]) -> str:
    shown = [f"{one_line(e.path)} ({count(e.places, 'place')})" if e.places else one_line(e.path) for e in edits]
    return listed(cut(shown, SHOWN_FILES, "file"))


def snapshot_kept(ref: str | None, keep_days: int) -> str:
    """That a snapshot is saved first, under which ref (None: no name is told), and for how long it is kept."""
    named = f"A snapshot is saved first: {ref}." if ref else "A snapshot is saved first."
    return (
        f'{named} "Codex Sidecar: Restore Snapshot..." brings everything back. '
        f"Snapshots are kept for {count(keep_days, 'day')} in this repository only."
    )
