"""How running workers look: a table that moves on a terminal, one line for each thing that happens elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from sidecar.cli import texts
from sidecar.cli.event_lines import activity_line
from sidecar.cli.output import Output, one_line
from sidecar.cli.watch import Round, Watched

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

LABEL_STYLES = ("cyan", "magenta", "yellow", "blue", "green")
STATUS_STYLES = {
    "queued": "dim",
    "starting": "dim",
    "running": "bold",
    "stopping": "yellow",
    "done": "green",
    "failed": "red",
    "cancelled": "yellow",
    "interrupted": "red",
}
_MARGIN_LINES = 6
"""Lines of the terminal that the table leaves free."""
_GAP = 2
_NARROW = 12
"""Narrower than this a task or an activity says nothing."""
_ACTIVITY_WIDTH = 60


class View(Protocol):
    """Shows what `Watch.follow` sees."""

    def __enter__(self) -> View: ...
    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, found: Round) -> None: ...
    def say(self, text: str) -> None: ...


def view_for(jobs: Sequence[Watched], out: Output) -> View:
    """The moving table where stdout is a terminal that can show it, else lines; with `--json` nothing."""
    if out.as_json:
        return LineView(lambda text: None)
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
        if console.is_terminal and not console.is_dumb_terminal:
            return TableView(jobs, console)
    return LineView(out.text)


def round_lines(found: Round) -> list[tuple[Watched, str]]:
    """One line for each state change, command, file change and message, in the order of their times."""
    ends = [event["timestamp"] for _, event in found.events if event["type"] == "final"]

    def begins(job: Watched) -> str:
        """When it begins, if that is after an end: who waited for it starts after it, also where one look met both."""
        at = job.status["startedAt"] or ""
        return at if any(end <= at for end in ends) else ""

    lines = [(event["timestamp"], job, line) for job, event in found.events if (line := activity_line(event))]
    # An end is told by the job's last event; a start has no event of its own.
    lines += [(begins(job), job, line) for job in found.changed if (line := _begun(job)) is not None]
    return [(job, line) for _, job, line in sorted(lines, key=lambda one: one[0])]


def _begun(job: Watched) -> str | None:
    status, title = job.status["status"], one_line(job.title, texts.TITLE_WIDTH)
    if status == "queued":
        place = f", position {job.status['queuePosition']}" if job.status["queuePosition"] is not None else ""
        why = f", {one_line(job.status['activity'], 60)}" if job.status["activity"] else ""
        return f"queued{place}{why}: {title}"
    if status == "stopping":
        return "stopping"
    # A quick worker may have ended between two looks; it had started all the same.
    if status == "starting" or job.announced or job.status["startedAt"] is None:
        return None
    job.announced = True
    return f"started: {title}"


class LineView:
    """Plain lines, for pipes, logs and simple terminals."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def __enter__(self) -> LineView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, found: Round) -> None:
        for job, line in round_lines(found):
            self._write(f"{job.label:<3} {line}")
        for line in found.warnings:
            self._write(line)

    def say(self, text: str) -> None:
        self._write(text)


class TableView:
    """The table at the lower edge of a terminal, what happens above it."""

    def __init__(self, jobs: Sequence[Watched], console: Console) -> None:
        from rich.live import Live

        self._jobs = jobs
        self._console = console
        self._styles = {job.job_id: LABEL_STYLES[index % len(LABEL_STYLES)] for index, job in enumerate(jobs)}
        self._live = Live(
            console=console, auto_refresh=False, transient=True, get_renderable=self._table, redirect_stderr=False
        )

    def __enter__(self) -> TableView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, found: Round) -> None:
        from rich.text import Text

        for job, line in round_lines(found):
            text = Text(f"{job.label:<3} ", style=self._styles[job.job_id])
            text.append(line, style=STATUS_STYLES.get(line.partition(":")[0], "default"))
            self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
        for line in found.warnings:
            self._console.print(Text(line, style="bold yellow"))
        self._live.refresh()

    def say(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text))

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        widths = column_widths(self._console.width)
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, _GAP, 0, 0), caption_justify="left")
        for heading, width in widths.items():
            right = heading in ("time", "tokens")
            table.add_column(heading, width=width, no_wrap=True, justify="right" if right else "left")
        now = time.time()
        shown = shown_jobs(self._jobs, max(self._console.height - _MARGIN_LINES, 3))
        for job in shown:
            status = job.status["status"]
            seconds = texts.took(job.status, now)
            doing = "quiet for long" if job.status["stalled"] else job.status["activity"] or ""
            cells = {
                "": Text(job.label, style=self._styles[job.job_id]),
                "task": Text(one_line(job.title, widths["task"])),
                "status": Text(status, style=STATUS_STYLES.get(status, "")),
                "activity": Text(one_line(doing, widths.get("activity", 0)), style="dim"),
                "time": Text("" if seconds is None else texts.duration(seconds)),
                "tokens": Text(texts.tokens(job.status["usage"])),
            }
            table.add_row(*(cells[heading] for heading in widths))
        if hidden := len(self._jobs) - len(shown):
            table.caption = f"… and {texts.plural(hidden, 'more worker')}"
        return table


def column_widths(terminal: int) -> dict[str, int]:
    """The columns, by their headings, that fit a terminal of so many characters, and how wide each is.

    The table never fills the last three: what the terminal itself echoes there (`^C`) would break its last line.
    """
    widths = {"": 4, "task": _NARROW, "status": 11}
    optional = {"activity": _NARROW, "time": 11, "tokens": 6}

    def room() -> int:
        return terminal - 3 - sum(width + _GAP for width in widths.values())

    # In the order of what is missed most; the order of the columns stays.
    for heading in ("time", "activity", "tokens"):
        if room() >= optional[heading] + _GAP:
            widths[heading] = optional[heading]
    share = room() if "activity" not in widths else room() // 2
    widths["task"] += min(max(share, 0), texts.TITLE_WIDTH - _NARROW)
    if "activity" in widths:
        widths["activity"] = min(widths["activity"] + max(room(), 0), _ACTIVITY_WIDTH)
    return {heading: widths[heading] for heading in ("", "task", "status", *optional) if heading in widths}


def shown_jobs(jobs: Sequence[Watched], room: int) -> list[Watched]:
    """At most `room` jobs in their order; the ones that run come before the ones that wait or have ended."""
    if len(jobs) <= room:
        return list(jobs)
    weight = {"running": 0, "stopping": 0, "starting": 0, "queued": 1}
    wanted = sorted(range(len(jobs)), key=lambda index: (weight.get(jobs[index].status["status"], 2), index))[:room]
    return [jobs[index] for index in sorted(wanted)]
