"""What a person at a terminal reads about conflicts and their repair. The sentences are those of every front end."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sidecar.a2 import messages
from sidecar.cli.command import PROGRAM
from sidecar.cli.output import one_line, paragraphs
from sidecar.cli.texts import columns, local_time, plural, result
from sidecar.model.conflict import Conflict, Strategy

Answer = dict[str, Any]
Labels = Mapping[str, str]
"""Job ids → labels."""
SHOWN_FILES = 12
_SEVERITY_WIDTH = len("information")
_INDENT = " " * (_SEVERITY_WIDTH + 2)
_RESTORE_IN_EDITOR = '"Codex Sidecar: Restore Snapshot..."'


def conflict_of(item: Answer) -> Conflict:
    """A conflict as it stands in an answer."""
    return msgspec.convert(item, Conflict)


def warning(item: Answer) -> str:
    """A conflict in one short line, while workers run: `! src/app.py: w1 and w2 changed the same lines (3-5) so far`.

    Titles are left out: the workers are on the screen.
    """
    conflict = conflict_of(item)
    short = msgspec.structs.replace(conflict, jobs=[msgspec.structs.replace(job, title="") for job in conflict.jobs])
    return f"! {one_line(conflict.path)}: {one_line(messages.diagnostic(short)).removesuffix('.')}"


def conflict_line(item: Answer) -> str:
    """Severity, file, what happened, and the command of the suggested repair: one line for programs; on a terminal
    wrapped, with the command in a line of its own that can be copied."""
    conflict = conflict_of(item)
    said = f"{one_line(conflict.path)}: {one_line(messages.diagnostic(conflict))}"
    if conflict.live:
        said += " A worker of it is still running."
    line = _hung(f"{conflict.severity:<{_SEVERITY_WIDTH}}  {said}")
    if conflict.live:
        return line
    how = f"To {messages.STRATEGIES[conflict.suggested]}: {resolve_command(conflict, conflict.suggested)}"
    return f"{line}\n{_INDENT}{how}" if sys.stdout.isatty() else f"{line} {how}"


def resolve_command(conflict: Conflict, strategy: Strategy) -> str:
    """What is typed to repair it so: `codex-sidecar resolve src/app.py merge`."""
    plain = conflict.path.isprintable() and not conflict.path.startswith(("-", "conflict-"))
    named = shlex.quote(conflict.path) if plain else conflict.conflict_id
    kept = f" {conflict.jobs[0].label}" if strategy == "keep" and conflict.jobs else ""
    return f"{PROGRAM} resolve {named} {strategy}{kept}"


def _hung(line: str) -> str:
    """On a terminal a long line is broken between words; for a pipe it stays one line."""
    if not sys.stdout.isatty():
        return line
    width = max(min(shutil.get_terminal_size((100, 24)).columns, 120) - 1, 40)
    return textwrap.fill(line, width, subsequent_indent=_INDENT, break_on_hyphens=False, break_long_words=False)


def conflicts(answer: Answer, labels: Labels) -> str:
    """The whole answer of `codex_conflicts`: conflicts from the worst, then what else a person should look at."""
    lines = [conflict_line(item) for item in answer["conflicts"]]
    if not lines:
        lines.append("no conflicts" if answer["runId"] is not None else "no run is open, so there are no conflicts")
    return "\n".join(lines + beside(answer, labels))


def beside(answer: Answer, labels: Labels) -> list[str]:
    """What `codex_conflicts` found that is no conflict, one line each."""
    lines = []
    if answer["unclaimed"]:
        lines.append(f"{file_names(answer['unclaimed'])}: {_lower(messages.unclaimed())}")
    for job_id in answer["missingReports"]:
        lines.append(messages.missing_report(_named(job_id, labels)))
    if moved := answer["headMoved"]:
        lines.append(messages.head_moved(moved["from"], moved["to"]))
    for commit in answer["workerCommits"]:
        lines.append(messages.worker_commit(_named(commit["jobId"], labels), commit["commit"]))
    return [one_line(line) for line in lines]


def file_names(paths: Sequence[str]) -> str:
    """`a.py, b.py and 12 more files`."""
    return messages.listed(messages.cut([one_line(path) for path in paths], SHOWN_FILES, "file"))


def baseline(answer: Answer, labels: Labels) -> str:
    head = f"commit {answer['head'][:10]}" if answer["head"] else "an empty branch"
    more = f" and {plural(answer['files'], 'file')} that no commit holds" if answer["files"] else ""
    lines = [f"{answer['runId']}: {head}{more}, recorded {local_time(answer['recordedAt'])}"]
    if answer["snapshotId"] is not None:
        lines.append(put_aside(answer["snapshotId"]))
    return "\n".join(lines)


def put_aside(snapshot_id: str) -> str:
    """What became of a person's uncommitted work under `onDirty: stash`."""
    return f"Your uncommitted changes were saved; `{PROGRAM} restore {one_line(snapshot_id)}` brings them back."


def preview(found: Answer) -> str:
    """What would happen, as the person is to read it before it does; an editor's command is said as one types it."""
    return paragraphs(found["text"].replace(_RESTORE_IN_EDITOR, f"`{PROGRAM} restore`"))


def snapshots(answer: Answer, labels: Labels) -> str:
    rows = [
        [
            one_line(one["snapshotId"]),
            local_time(one["createdAt"]),
            plural(one["files"], "file"),
            one_line(one["reason"], 60),
        ]
        for one in answer["snapshots"]
    ]
    if not rows:
        return "no snapshots"
    return "\n".join([*columns(rows), f"`{PROGRAM} restore SNAPSHOT` brings one back."])


def rolled_back(answer: Answer, labels: Labels) -> str:
    return _acted("rolled back", "nothing was rolled back", answer)


def restored(answer: Answer, labels: Labels) -> str:
    return _acted("restored", "nothing was restored", answer)


def _acted(verb: str, nothing: str, answer: Answer) -> str:
    paths = answer["files"]
    lines = [f"{verb} {plural(len(paths), 'file')}: {file_names(paths)}" if paths else nothing]
    lines += [f"left as it is: {one_line(path)} ({one_line(why)})" for path, why in answer["kept"].items()]
    return "\n".join([*lines, *_way_back(answer)])


def _way_back(answer: Answer) -> list[str]:
    """The snapshot that an act saved first."""
    if answer["snapshotId"] is None:
        return []
    return [f"The state before is kept: `{PROGRAM} restore {one_line(answer['snapshotId'])}` brings it back."]


def repaired(answer: Answer, labels: Labels) -> str:
    """What a repair did, and the workers that it has started."""
    where = file_names(answer["files"])
    match answer["strategy"]:
        case "merge":
            lines = [f"merged: {where}" if where else "merged: the file was right already"]
        case "keep":
            lines = [f"one version kept: {where}" if where else "one version kept: the file was so already"]
        case "dismiss":
            lines = ["left as it is; the conflict is closed"]
        case _:
            lines = [f"rolled back {plural(len(answer['files']), 'file')}: {where}"] if where else []
    for job in answer["jobs"]:
        old = f" runs in place of {_named(job['replaces'], labels).label}" if job["replaces"] else " reconciles them"
        lines.append(f"{job['label']}{old}")
    return "\n".join([*lines, *_way_back(answer)] or ["nothing had to be done"])


def resolved(answer: Answer, labels: Labels) -> str:
    """A repair, with the ids of the workers that it has started and how to wait for them."""
    jobs = answer["jobs"]
    ids = [f"{job['label']}: job {job['jobId']}" for job in jobs]
    wait = [f"Wait for them: {PROGRAM} wait-any {' '.join(job['label'] for job in jobs)}"] if jobs else []
    return "\n".join([repaired(answer, labels), *ids, *wait])


def rerun(answer: Answer, labels: Labels) -> str:
    """The new jobs of a re-run, and how to wait for them."""
    return resolved({"strategy": "rerun", **answer}, labels)


BY_TOOL = {
    "codex_baseline": baseline,
    "codex_conflicts": conflicts,
    "codex_resolve": resolved,
    "codex_rollback": rolled_back,
    "codex_rerun": rerun,
    "codex_snapshots": snapshots,
    "codex_restore": restored,
}
"""The text of each answer that is not a preview."""


def results(found: Sequence[Answer]) -> str:
    """The results of workers; those that said nothing are one line each and need no room between them."""
    blocks = [result(one) for one in found]
    shown = ""
    for before, block in zip(["\n", *blocks], blocks, strict=False):
        shown += ("\n\n" if "\n" in before + block and shown else "\n") + block
    return shown


def left_changes(ended: Answer, paths: Sequence[str]) -> str:
    """A worker that did not finish and has changed files (at least one): what it left and how to undo just that."""
    worker = messages.Named(ended["label"], ended["title"])
    said = messages.left_changes(worker, ended["status"], len(paths)).removesuffix(".")
    return f"{said} ({file_names(paths)}). To undo just that: {PROGRAM} rollback --job-ids {ended['label']}"


def _named(job_id: str, labels: Labels) -> messages.Named:
    return messages.Named(labels.get(job_id, one_line(job_id, 40)), "")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
