"""What flows say that is not about conflicts and their repair; those texts are in `sidecar.a2`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.a2 import messages
from sidecar.a2.dialogs import REVIEW_FIRST
from sidecar.a2.messages import Worker, count, listed, one_line, who
from sidecar.model.conflict import Conflict

__all__ = ["REVIEW_FIRST"]

# Choosing ----------------------------------------------------------------------------------------
WHICH_WORKER = "Which worker?"
WHICH_FILE = "Which file?"
NO_WORKER = "There is no such worker."
NO_CONFLICT = "No file is in conflict."
CONFLICT_OVER = "This conflict is over."

# Two steps ---------------------------------------------------------------------------------------
REVIEW = "review"
REVIEWED = "The changes are open for review. Nothing has been undone yet."
GO_ON = "Go On..."


def status(job: Mapping[str, Any]) -> str:
    """A worker in one line of a list, the word for its state first."""
    facts = [str(job["status"])]
    if job.get("stalled"):
        facts.append("quiet")
    if job.get("activity") and job["status"] in ("queued", "starting", "running"):
        facts.append(one_line(job["activity"]))
    if files := len(job.get("touchedFiles") or ()):
        facts.append(count(files, "file"))
    return ", ".join(facts)


def conflict(found: Conflict) -> str:
    """What happened in a file, by labels."""
    return messages.lens(found)


# Spawning ----------------------------------------------------------------------------------------
SPAWN_1 = "Spawn Worker (1/2)"
SPAWN_2 = "Spawn Worker (2/2)"
TASK = "Task for the worker"
IN_EDITOR = "Write the task in an editor"
TASK_FILE = """\
# Task

<!-- Write the task below, one worker for each heading of level 2, and then run
     "Codex Sidecar: Spawn Workers from This File". Without such a heading the whole text is one task. -->

"""
CAN_EDIT = "Can edit files"
READ_ONLY = "Read only"
MODEL = "Model for the worker"
MODEL_DEFAULT = "Codex's own choice"
MODEL_PROMPT = "Leave it empty for the default."
SNAPSHOT_BASELINE = "Use them as the baseline (snapshot)"
SNAPSHOT_DETAIL = "They stay as they are; roll back returns to this state"
SHOW_CHANGES = "Show changes"
REMEMBER_DETAIL = "Writes it into your user settings, for every repository"
DIRTY_TREE = "codexSidecar.baseline.dirtyTree"
NO_TASK = "There is no task in this file yet."
NO_SELECTION = "Nothing is selected."


def remember(on: bool) -> str:
    return f"$({'check' if on else 'circle-large-outline'}) Remember my choice{' (on)' if on else ''}"


def not_remembered(why: str) -> str:
    return f"The choice could not be remembered: {one_line(why)}"


def free_slots(kind: str, limit: int, running: int, queued: int) -> str:
    """`1 of 2 write slots free`, or where a worker will stand in the queue."""
    if queued == 0 and running < limit:
        return f"{limit - running} of {count(limit, f'{kind} slot')} free"
    return f"will wait in the queue (position {queued + 1})"


def dirty(files: int) -> str:
    return f"{count(files, 'file')} {'has' if files == 1 else 'have'} uncommitted changes"


def selection(path: str, first: int, last: int, text: str, language: str | None) -> str:
    """The part of a task that names selected lines, which count from 1."""
    where = f"line {first}" if first == last else f"lines {first}-{last}"
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{path}, {where}:\n\n{fence}{language or ''}\n{text.rstrip()}\n{fence}\n"


def selected(path: str, first: int, last: int) -> str:
    return f"Task for {path}:{first}-{last}" if first != last else f"Task for {path}:{first}"


def from_file(tasks: int) -> str:
    return f"Spawn {count(tasks, 'worker')} from this file"


def group_failed(failed: Sequence[tuple[str, str]], spawned: int) -> str:
    """What of a group could not be spawned, with the reason of the first."""
    names = listed(messages.cut([f'"{one_line(title)}"' for title, _ in failed], 3, "task"))
    begun = f"{count(spawned, 'worker')} spawned. " if spawned else ""
    return f"{begun}Not spawned: {names}. {failed[0][1]}"


# Workers -----------------------------------------------------------------------------------------
OPEN_RESULT = "Open Result"
NO_ACTIVE = "No worker is running."
RENAME_PROMPT = "At most 120 characters"
SAME_TASK = "Run the same task again"
NEXT_TASK = "What to do next"


def rerun(worker: Worker) -> str:
    return f"Re-run {who(worker)}"


def resume(worker: Worker) -> str:
    return f"Continue {who(worker)}"


def rename(worker: Worker) -> str:
    return f"Rename {who(worker)}"


def ended(worker: Worker, status: str) -> str:
    return f"{who(worker)} has ended: {status}."


# Documents ---------------------------------------------------------------------------------------
SINCE_BASELINE = "Changes since the baseline"
NOW = "now"
NO_CHANGES = "No worker has changed a file."
NOTHING_LEFT = "Nothing to show: these files were made and removed again."


def many_files(files: int) -> str:
    return f"{files} files: which ones?"


def reported(worker: Worker, path: str) -> str:
    return (
        f"{worker.label} reports a change to {one_line(path)}, but no version of its own is stored: "
        "this is the file as it is now."
    )


def not_stored(worker: Worker, path: str) -> str:
    return f"No version of {one_line(path)} by {worker.label} is stored any more: this is the file as it is now."


def not_before(worker: Worker, path: str) -> str:
    return f"{worker.label} removed {one_line(path)}, which the baseline does not have."


def file_change(path: str, label: str) -> str:
    return f"{one_line(path)} (baseline ↔ {label})"


# Repair ------------------------------------------------------------------------------------------
ROLL_BACK_WHICH = "Roll back which files?"
OWN_EDITS = "your own edits, no worker's"
WITH_OWN_EDITS = "with your own edits"
WHICH_SNAPSHOT = "Which snapshot?"
WHICH_ORDER = "Run again one by one, in which order?"
SNAPSHOT_CHANGES = "What the snapshot brings back"
NO_SNAPSHOT = "There is no snapshot yet."


def in_turn(labels: Sequence[str]) -> str:
    return ", then ".join(labels)


def first(label: str) -> str:
    return f"{label} first"


def kept(paths: Mapping[str, str]) -> str:
    """Paths that were left as they are, with the reason of the first."""
    names = listed(messages.cut([one_line(path) for path in paths], messages.SHOWN_FILES, "file"))
    return f"Left as they are: {names} ({next(iter(paths.values()))})."


# Conflicts ---------------------------------------------------------------------------------------
WHICH_VERSIONS = "Which two versions?"
NO_VERSIONS = "No version of this file is stored."
KEEP_BASELINE = "Keep the baseline's version..."
COMPARE = "Compare"
MERGE_AGAIN = "Merge Again"
OVERWRITE = "Overwrite (snapshot kept)"
MERGE_NEXT = "Merge the Next Version"
JOINED = "merged so far"
WITH_OTHERS = "the file with what you have merged"


def resolve(path: str) -> str:
    return f"How do you want to resolve {one_line(path)}?"


def keep_which(path: str) -> str:
    return f"Keep whose version of {one_line(path)}?"


def not_text(path: str) -> str:
    return f"{one_line(path)} cannot be merged line by line: keep which version?"


def gone(path: str) -> str:
    return f"{one_line(path)} (removed)"


def compared(path: str, labels: Sequence[str]) -> str:
    sides = labels if len(labels) > 1 else ["baseline", *labels]
    return f"{one_line(path)} ({' ↔ '.join(sides)})"


def all_in_turn(labels: Sequence[str]) -> str:
    return f"All, two at a time: {', then '.join([' and '.join(labels[:2]), *labels[2:]])}"


def merge_number(merges: int, *, begun: bool) -> str:
    if begun and merges > 2:
        return f"Next of {merges} merges"
    return f"Merge {2 if begun else 1} of {merges}"


def finished(at: str) -> str:
    return f"finished {at}"


def wait_for(labels: str) -> str:
    return f"Wait for {labels}"


def cancel(labels: str) -> str:
    return f"Cancel {labels}"


def can_resolve(labels: str, path: str) -> str:
    return f"{labels} {'have' if ' and ' in labels else 'has'} ended; {one_line(path)} can be resolved now."


def moved(path: str) -> str:
    return f"{one_line(path)} changed on disk while you were merging."


def disk_and_merge(path: str) -> str:
    return f"{one_line(path)} (on disk ↔ your merge)"


def merged_in_part(path: str) -> str:
    return f"{one_line(path)} is merged in part: another worker's version is not in it yet."


# Setup -------------------------------------------------------------------------------------------
SIGN_IN = "Codex: sign in"
SAMPLE_CONFLICT = "Codex Sidecar: sample conflict"
CLOSE_TERMINAL = "Press Enter to close this terminal. "
WHICH_BOSS = "Which program is to start workers?"
BOSS_DETAIL = "Shows the entry first; nothing is written before you agree"
WRITE_IT = "Write It"
BOSS_FAILED = "The installer failed."


def write_entry(boss: str) -> str:
    return f"Make {boss} a boss of this sidecar?"


def write_detail(note: str) -> str:
    """Where an entry goes; `note` is what the installer says of it: `belongs into PATH; nothing was written.`"""
    return f"This entry {note} Everything else in that file stays as it is."


def boss_installed(boss: str, path: str, outcome: str) -> str:
    if outcome == "unchanged":
        return f"{boss} is a boss already: {path} has this entry."
    return f"{boss} is a boss now: {path} has the entry. Start it again to use it."


# Attention and notices ---------------------------------------------------------------------------
STATUS = "Workers"
NO_WORKERS = "No workers yet."
NO_ATTENTION = "Nothing needs attention."
SHOW = "Show"
OPEN_CHANGES = "Open Changes"
DO_NOT_SHOW = "Don't Show Again"


def trouble(jobs: Sequence[tuple[str, str, int | None]]) -> str:
    """Workers that need a person: label, status and, of one that still runs, for how many minutes it has been quiet."""
    told = [_trouble(*job) for job in jobs]
    if len(told) == 1:
        return f"{told[0]}."
    return (
        f"{count(len(told), 'worker')} need attention: {', '.join(messages.cut(told, messages.SHOWN_JOBS, 'worker'))}."
    )


def _trouble(label: str, status: str, minutes: int | None) -> str:
    if status == "failed":
        return f"{label} failed"
    if status == "interrupted":
        return f"{label} was interrupted"
    return f"{label} has been quiet" + (f" for {count(minutes, 'minute')}" if minutes is not None else "")


def finished_all(done: int, files: int) -> str:
    changed = f"{count(files, 'file')} changed" if files else "no file changed"
    return f"{count(done, 'worker')} finished: {changed}."
