"""Conflicts and repairs: what collided, how it stands, what was saved and how to get it back."""

from __future__ import annotations

from sidecar.a2.messages import count, listed
from sidecar.report.clock import Clock
from sidecar.report.facts import Conflict, ConflictWorker, Report
from sidecar.report.html import Html, el, join, one_line

TEXT_CHARS = 1_000
SHOWN_CONFLICTS = 1_000
SHOWN_WORKERS = 10
SHOWN_REPAIRS = 500

_STATES = {"open": ("open", "failed"), "settled": ("settled", "done"), "unchecked": ("not checked", "queued")}
_SETTLED = (
    "It is not among the open conflicts: it was repaired, dismissed, closed with its run, or turned out to be none."
)


def conflicts(report: Report) -> Html:
    """Every conflict of the run, the worst first."""
    numbers = {worker.job_id: number for number, worker in enumerate(report.workers, 1)}
    if not report.conflicts:
        words = "No two workers touched the same file at the same time."
        return el("p", words if report.conflicts_known else "The sidecar could not be asked.", class_="empty")
    shown = [
        _conflict(conflict, index, numbers) for index, conflict in enumerate(report.conflicts[:SHOWN_CONFLICTS], 1)
    ]
    more = len(report.conflicts) - len(shown)
    return join(
        el("ol", *shown, class_="conflicts"),
        el("p", f"… and {more} more: ", el("code", "codex-sidecar conflicts"), class_="more") if more else None,
    )


def _conflict(conflict: Conflict, index: int, numbers: dict[str, int]) -> Html:
    is_open = conflict.state == "open"
    style = severity_class(conflict)
    word, colour = _STATES[conflict.state]
    state = el("span", word, class_=f"pill {colour}")
    parts = [_part(worker, numbers.get(worker.job_id)) for worker in conflict.workers[:SHOWN_WORKERS]]
    if len(conflict.workers) > SHOWN_WORKERS:
        parts.append(el("li", f"… and {count(len(conflict.workers) - SHOWN_WORKERS, 'more worker')}"))
    remedy = None
    if is_open and conflict.suggestion:
        command = join(": ", el("code", one_line(conflict.command, TEXT_CHARS))) if conflict.command else None
        remedy = el("p", "→ Suggested: ", one_line(conflict.suggestion, TEXT_CHARS), command, class_="remedy")
    return el(
        "li",
        el(
            "h3",
            el("bdi", one_line(conflict.path, TEXT_CHARS)),
            " ",
            el("span", ("" if style == "settled" else "! ") + one_line(conflict.kind, 40), class_=f"badge {style}"),
            " ",
            state,
        ),
        el("p", el("bdi", one_line(conflict.sentence, TEXT_CHARS))),
        el("ul", *parts) if parts else None,
        el("p", one_line(conflict.settled or _SETTLED, TEXT_CHARS)) if conflict.state == "settled" else None,
        remedy,
        class_=f"conflict {style}",
        id=f"conflict-{index}",
    )


def severity_class(conflict: Conflict) -> str:
    """The CSS class of a conflict: only words that the style knows."""
    if conflict.state == "settled":
        return "settled"
    return conflict.severity if conflict.severity in ("error", "warning", "information") else "warning"


def _part(worker: ConflictWorker, number: int | None) -> Html:
    label = one_line(worker.label, 16)
    name = el("a", label, href=f"#worker-{number}") if number is not None else el("b", label)
    title = el("bdi", one_line(worker.title, 200))
    what = join(": ", el("bdi", one_line(worker.what, TEXT_CHARS))) if worker.what else None
    return el("li", name, " ", title, what)


def repairs(report: Report, clock: Clock) -> Html:
    """The snapshots, each with the command that brings it back."""
    if not report.repairs:
        words = "Nothing was rolled back, merged or restored."
        return el("p", words if report.repairs_known else "The sidecar could not be asked.", class_="empty")
    rows = [
        el(
            "tr",
            el("td", clock.element(repair.created_at)),
            el("td", el("bdi", one_line(repair.reason, TEXT_CHARS))),
            el("td", count(repair.files, "file")),
            el("td", el("code", one_line(repair.snapshot_id, 128)), title=one_line(repair.ref, TEXT_CHARS)),
            el("td", el("code", one_line(repair.command, TEXT_CHARS))),
        )
        for repair in report.repairs[:SHOWN_REPAIRS]
    ]
    heads = [el("th", name, scope="col") for name in ("saved", "why", "holds", "snapshot", "to bring it back")]
    table = el("table", el("thead", el("tr", *heads)), el("tbody", *rows), class_="list")
    words = "What stood in the files was saved before each repair; a restore shows first what it would change."
    return join(el("p", words, class_="quiet"), el("div", table, class_="wide"))


def verdict(report: Report) -> str:
    """One sentence about the whole run."""
    if not report.workers:
        return "No worker has run yet."
    by_status: dict[str, int] = {}
    for worker in report.workers:
        by_status[worker.status] = by_status.get(worker.status, 0) + 1
    total = len(report.workers)
    if set(by_status) == {"done"}:
        ended = "The worker ended done" if total == 1 else f"All {total} workers ended done"
    else:
        ended = f"Of {count(total, 'worker')} " + listed([f"{number} {_verb(word, number)}" for word, number in
                                                            sorted(by_status.items(), key=_order)])  # fmt: skip
    opened = sum(conflict.state == "open" for conflict in report.conflicts)
    unchecked = sum(conflict.state == "unchecked" for conflict in report.conflicts)
    if opened:
        return f"{ended}; {count(opened, 'conflict')} {'is' if opened == 1 else 'are'} open."
    if unchecked:
        return f"{ended}; {count(unchecked, 'file')} {'was' if unchecked == 1 else 'were'} written by several at once."
    return f"{ended}; no conflict is open." if report.conflicts_known else f"{ended}."


def _order(item: tuple[str, int]) -> int:
    words = ["done", "running", "starting", "stopping", "queued", "failed", "cancelled", "interrupted"]
    return words.index(item[0]) if item[0] in words else len(words)


def _verb(word: str, number: int) -> str:
    be, was = ("is", "was") if number == 1 else ("are", "were")
    if word in ("done", "failed"):
        return "ended done" if word == "done" else "failed"
    return f"{was} {word}" if word in ("cancelled", "interrupted") else f"{be} {one_line(word, 20)}"
