"""The words of the view: names, times, what a worker does, tooltips. Whole texts of conflicts are in `a2.messages`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from sidecar.a2 import messages
from sidecar.lsp.transcript import escaped
from sidecar.lsp.view.shapes import File, Job
from sidecar.model.conflict import Conflict, ConflictJob
from sidecar.model.job import Usage

ERROR_CHARS = 120
TASK_CHARS = 400
"""How much of a task a tooltip shows."""
TOOLTIP_FILES = 10


def foreign(text: str) -> str:
    """One line of text that is not ours."""
    return messages.one_line(text)


def plain(text: str) -> str:
    """One line that Markdown shows as it is, in editors that make icons of `$(name)`, too."""
    return escaped(text).replace("$(", "\\$(")


def short(text: str, most: int) -> str:
    """The beginning of a text, with an ellipsis where something is left out."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def name(worker: messages.Worker) -> str:
    """`w1 · add retries`."""
    return " · ".join(part for part in (worker.label, foreign(worker.title)) if part)


def spoken(*parts: str | None) -> str:
    """What a screen reader says: the parts, with commas."""
    return ", ".join(part for part in parts if part)


LINKS = (
    "spawn",
    "nextAttention",
    "cancelAll",
    "cancel",
    "openTranscript",
    "openChanges",
    "openResult",
    "showServerLog",
)
"""The actions that links run: an editor lets Markdown run what it knows to be wanted."""


def link(text: str, action: str, top: str, target: Mapping[str, str] | None = None) -> str:
    """A link in Markdown that runs an action of the client's palette."""
    arguments = quote(json.dumps([target or {}, top]), safe="")
    return f"[{text}](command:codexSidecar.{action}?{arguments})"


# Times -------------------------------------------------------------------------------------------


def moment(timestamp: str | None) -> datetime | None:
    """An ISO 8601 timestamp in local time; None for none, and for what is no timestamp."""
    try:
        return datetime.fromisoformat((timestamp or "").replace("Z", "+00:00")).astimezone()
    except ValueError:
        return None


def clock(timestamp: str | None) -> str:
    """`14:02` in local time; empty where there is no time."""
    at = moment(timestamp)
    return at.strftime("%H:%M") if at else ""


def seconds_between(start: str | None, end: str | None) -> int | None:
    """Whole seconds, never below 0; None where one of the times is missing."""
    first, last = moment(start), moment(end)
    return None if first is None or last is None else max(0, int((last - first).total_seconds()))


def duration(seconds: int | None) -> str:
    """`8s`, `2m 10s`, `1h 05m`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds}s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def elapsed(seconds: float) -> str:
    """`45s`, `2m`, `1h 05m`: a time that goes on, in steps of five seconds, then of minutes."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    if minutes == 0:
        return f"{rest - rest % 5}s"
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def duration_spoken(seconds: int | None) -> str:
    """`2 minutes 10 seconds`, `1 hour 5 minutes`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return messages.count(seconds, "second")
    minutes, rest = divmod(seconds, 60)
    big, small = (minutes, "minute"), (rest, "second")
    if minutes >= 60:
        big, small = (minutes // 60, "hour"), (minutes % 60, "minute")
    return " ".join(messages.count(number, word) for number, word in (big, small) if number)


# Workers -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Doing:
    """What stands behind a worker's name.

    Attributes:
        shown: the description.
        said: the same for a screen reader, without times that go on.
    """

    shown: str
    said: str


def state_word(job: Job) -> str:
    """The one word that says how a worker is."""
    return "stalled" if job.quiet else job.status


def time_of(job: Job, now: float, *, still: bool) -> str:
    """How long a worker has run, or been silent: `45s`, `for 2m`; empty for one that does not run.

    Args:
        now: seconds since 1970.
        still: the text must not change by time alone: `since 14:02`.
    """
    began = job.last_activity_at or job.started_at if job.stalled else job.started_at
    since = moment(began) if job.status == "running" else None
    if since is None:
        return ""
    if still:
        return f"since {since:%H:%M}"
    gone = elapsed(now - since.timestamp())
    return f"for {gone}" if job.stalled else gone


def doing(job: Job, *, missing: bool, time: str = "") -> Doing:
    """What a worker does or how it ended.

    Args:
        missing: it ended without a list of its files.
        time: of `time_of`.
    """
    files = messages.count(len(job.touched_files), "file") if job.touched_files else ""
    seconds = seconds_between(job.started_at, job.finished_at)
    took, took_said = duration(seconds), duration_spoken(seconds)
    unlisted = "no file list" if missing else ""
    error = short(foreign(job.error.message), ERROR_CHARS) if job.error else ""
    match job.status:
        case "queued":
            return _told(foreign(job.activity or "") or "waiting")
        case "starting":
            return _told("starting", said="")
        case "stopping":
            return _told("stopping…", files, said=files)
        case "running":
            return _running(job, files, time)
        case "failed":
            # After a signal there is no exit code; 0 is that of a worker whose answer was no good.
            ended = f"exit {job.exit_code}" if job.exit_code else ""
            shown = f"failed, {ended}" if ended else "failed"
            return _told(shown, error, took, files, said=spoken(ended, error, took_said, files))
        case "cancelled":
            left = f"{files} changed" if files else ""
            return _told(spoken("cancelled", left), said=left)
        case "interrupted":
            return _told("interrupted by a restart", files, said=spoken("by a restart", files))
        case _:
            what = "read only" if job.access == "read" else files or "no files"
            tokens = thousands(job.usage.tokens) if job.usage else ""
            return _told(took, what, unlisted, tokens, said=spoken(took_said, what, unlisted, tokens))


def _running(job: Job, files: str, time: str) -> Doing:
    if job.stalled:
        return _told(f"no activity {time}".rstrip(), files, said=spoken("no activity", files))
    activity = foreign(job.activity or "")
    return _told(activity, time, files, said=spoken(activity, files))


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _told(*parts: str, said: str | None = None) -> Doing:
    return Doing(_joined(*parts), spoken(*parts) if said is None else said)


def thousands(tokens: int) -> str:
    """`41k tokens`; empty below 500."""
    return f"{round(tokens / 1000)}k tokens" if tokens >= 500 else ""


def tokens(usage: Usage) -> str:
    """`41,200 tokens in, 1,800 out`."""
    return f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"


def worker_tooltip(job: Job, task: str | None, top: str, *, missing: bool) -> str:
    """A worker in Markdown: its task, how it is, its files, what it used, and what can be done with it."""
    paragraphs = [f"**{plain(name(job))}**"]
    if task:
        paragraphs.append(f"> {plain(short(foreign(task), TASK_CHARS))}")
    facts = [
        state_word(job),
        job.sandbox,
        f"model {job.model}" if job.model else "",
        f"started {clock(job.started_at)}" if clock(job.started_at) else "",
        f"last event {clock(job.last_activity_at)}" if job.active and clock(job.last_activity_at) else "",
        f"finished {clock(job.finished_at)}" if clock(job.finished_at) else "",
    ]
    paragraphs.append(plain(spoken(*facts)))
    if job.error:
        paragraphs.append(plain(f"{job.error.message} {job.error.hint}"))
    if job.touched_files and job.status in ("failed", "cancelled", "interrupted"):
        paragraphs.append(plain(messages.left_changes(job, job.status, len(job.touched_files))))
    if missing:
        paragraphs.append(plain(messages.missing_report(job)))
    if job.touched_files:
        told = [plain(f"{file.path}, {file.change} ({file.attribution})") for file in _some(job.touched_files)]
        shown = [*told, f"and {len(job.touched_files) - len(told)} more"] if _more(job.touched_files, told) else told
        paragraphs.append("\n".join(f"- {line}" for line in shown))
    if job.usage:
        paragraphs.append(plain(tokens(job.usage)))
    paragraphs.append(" · ".join(link(text, action, top, {"jobId": job.job_id}) for text, action in _links(job)))
    return "\n\n".join(paragraphs)


def _links(job: Job) -> list[tuple[str, str]]:
    links = [("Transcript", "openTranscript")]
    if job.touched_files:
        links.append(("Changes", "openChanges"))
    if not job.active:
        links.append(("Result", "openResult"))
    elif job.status != "stopping":
        links.append(("Cancel", "cancel"))
    return links


def _some(files: Sequence[File]) -> Sequence[File]:
    return files if len(files) <= TOOLTIP_FILES + 1 else files[:TOOLTIP_FILES]


def _more(files: Sequence[File], told: Sequence[str]) -> bool:
    return len(told) < len(files)


# Conflicts ---------------------------------------------------------------------------------------


def conflict(found: Conflict) -> str:
    """What happened to a file, in few words."""
    return messages.lens(found) + (" so far" if found.live else "")


_PARTS = {
    "changed": "",
    "lost": "overwritten",
    "overwrote": "in the folder now",
    "deleted": "deleted the file",
    "elsewhere": "other lines",
}


def part(job: ConflictJob) -> str:
    """A worker's part in a conflict: `lines 3-5, overwritten`."""
    unstored = "" if job.attribution == "seen" else "no stored version"
    return spoken(messages.lines(job.ranges), _PARTS[job.role], unstored) or "changed the file"
