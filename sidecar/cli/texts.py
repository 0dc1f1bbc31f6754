"""What the answers of the tools look like to a person at a terminal.

Everything that a worker or a client wrote goes through `one_line` or `paragraphs`: it may hold escape sequences.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sidecar.cli.output import one_line, paragraphs, sentence

Answer = dict[str, Any]
TITLE_WIDTH = 32


def duration(seconds: float) -> str:
    """`0.8 s`, `48 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def parse_time(stamp: str | None) -> float | None:
    """An ISO 8601 time of an answer as seconds since 1970."""
    return None if stamp is None else datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def local_time(stamp: str) -> str:
    """An ISO 8601 time of an answer on this person's clock: `2026-11-25 14:02:31`."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(job: Answer, now: float | None = None) -> float | None:
    """Seconds from a job's start to its end, or to `now` (seconds since 1970) while it runs; None before its start."""
    start, end = parse_time(job.get("startedAt")), parse_time(job.get("finishedAt"))
    until = end if end is not None else now
    return None if start is None or until is None else max(until - start, 0.0)


def tokens(usage: Answer | None) -> str:
    """`480`, `4.1k`, `1.2M`: tokens in and out together; empty where nothing was counted yet."""
    total = sum(usage[key] for key in ("inputTokens", "outputTokens")) if usage else 0
    if not total:
        return ""
    if total < 1000:
        return str(total)
    return f"{total / 1000:.1f}k" if total < 999_950 else f"{total / 1_000_000:.1f}M"


def plural(count: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def name(job: Answer) -> str:
    """`w3 rename config`."""
    return f"{job['label']} {one_line(job['title'], TITLE_WIDTH)}"


def files(result: Answer) -> list[tuple[str, str]]:
    """(path, what happened to it) of a `codex_result`, by path; what was only reported says so."""
    found: dict[str, str] = {}
    for file in result.get("touchedFiles") or []:
        doubt = {"reported": ", reported only", "ambiguous": ", maybe by another worker"}.get(file["attribution"], "")
        found[file["path"]] = file["change"] + doubt
    for path in result.get("modifiedFiles") or []:
        found.setdefault(path, "modified, reported only")
    return sorted(found.items())


def file_list(result: Answer) -> str:
    """`src/app.py (modified), src/new.py (added)`."""
    return ", ".join(f"{one_line(path)} ({what})" for path, what in files(result))


def spawned(answer: Answer) -> str:
    place = f", position {answer['queuePosition']}" if answer["queuePosition"] is not None else ""
    return f"{name(answer)}: {answer['status']}{place} ({answer['sandbox']})\njob {answer['jobId']}"


def waited(answer: Answer) -> str:
    left = plural(len(answer["remainingJobIds"]), "job")
    if answer["completedJobId"] is not None:
        return f"{answer['label']}: {answer['status']} (job {answer['completedJobId']})"
    return f"none has ended yet; {left} still to wait for" if answer["timedOut"] else "none of these jobs is known"


def cancelled(answer: Answer) -> str:
    if not answer["success"]:
        return f"{answer['label']}: had ended before ({answer['status']})"
    return f"{answer['label']}: {answer['status']}"


def result(answer: Answer) -> str:
    """Status, files, error, then the whole final message."""
    facts = [answer["status"]]
    seconds = took(answer)
    if seconds is not None:
        facts[0] += f" in {duration(seconds)}"
    if used := tokens(answer.get("usage")):
        facts.append(f"{used} tokens")
    if answer.get("reportMissing"):
        facts.append("without the report it was asked for")
    lines = [f"{name(answer)}: {', '.join(facts)}"]
    if listed := file_list(answer):
        lines.append(f"files: {listed}")
    if answer["error"] is not None:
        lines.append(f"error: {error(answer['error'])}")
    if answer["finalMessage"]:
        lines += ["", paragraphs(answer["finalMessage"])]
        if answer["finalMessageTruncated"]:
            lines.append("… (cut; --max-chars shows more)")
    return "\n".join(lines)


def error(found: Answer) -> str:
    """A job's error in one line, with the remedy."""
    return sentence(found["message"], found["hint"])


def job_line(job: Answer, now: float) -> list[str]:
    """One job as columns: label, title, status, what it does or did."""
    doing = []
    if job["queuePosition"] is not None:
        doing.append(f"position {job['queuePosition']}")
    if job["activity"]:
        doing.append(one_line(job["activity"], 60))
    if job["stalled"]:
        doing.append("quiet for long")
    if job["error"] is not None:
        doing.append(one_line(job["error"]["message"], 100))
    seconds = took(job, now)
    if seconds is not None:
        doing.append(duration(seconds))
    if used := tokens(job["usage"]):
        doing.append(f"{used} tokens")
    return [job["label"], one_line(job["title"], TITLE_WIDTH), job["status"], " · ".join(doing)]


def status(answer: Answer, now: float) -> str:
    """All jobs, then the limits and the open run."""
    if "jobs" not in answer:
        return "  ".join(job_line(answer, now))
    lines = columns([job_line(job, now) for job in answer["jobs"]]) or ["no workers yet"]
    if answer["omitted"]:
        lines.append(f"… and {plural(answer['omitted'], 'older job')}")
    use = []
    for kind, words in (("read", "reading"), ("write", "writing")):
        slot = answer["limits"][kind]
        waiting = f", {slot['queued']} queued" if slot["queued"] else ""
        use.append(f"{words} {slot['running']} of {slot['limit']}{waiting}")
    run = answer["run"]
    at = f" · run {run['runId']} from {run['head'][:10] if run['head'] else 'an empty branch'}" if run else ""
    return "\n".join([*lines, " · ".join(use) + at])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns aligned, two spaces between."""
    if not rows:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


BY_TOOL: dict[str, Callable[[Answer], str]] = {
    "codex_spawn": spawned,
    "codex_resume": spawned,
    "codex_wait_any": waited,
    "codex_cancel": cancelled,
    "codex_result": result,
}
"""Answers whose text needs nothing but the answer."""


def hanging(start: str, text: str) -> str:
    """`start` and the text, wrapped to the terminal's width (at most 100), further lines indented below the text."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    return textwrap.fill(
        text, max(width, 40), initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
    )
