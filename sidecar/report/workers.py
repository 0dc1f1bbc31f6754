"""What each worker was asked, did, and answered."""

from __future__ import annotations

from sidecar.a2.messages import count
from sidecar.report.clock import Clock, duration, tokens_in_words
from sidecar.report.facts import Mark, Report, Worker
from sidecar.report.html import Html, cut, el, join, listed, one_line
from sidecar.report.matrix import KNOWN, PATH_CHARS, cell_sign
from sidecar.report.timeline import status_class, status_in_words

ALL_MESSAGES = 600_000
"""Characters of all final messages together."""
MESSAGE_CHARS = (2_000, 60_000)
"""Characters of one, at least and at most."""
ALL_ROWS = 5_000
"""Things done, of all workers together."""
ROWS = (20, 400)
SHOWN_FILES = 40
FIRST_CHARS = 100
"""An answer that is no longer, and of one line, is not folded."""
TEXT_CHARS = (120, 300)
"""Characters of one thing done: on a page of many workers, and of few."""
MANY = 30
FACT_CHARS = 2_000


def workers(report: Report, clock: Clock) -> Html:
    """One article for each worker, in the order of their spawn."""
    number = max(len(report.workers), 1)
    message = _portion(ALL_MESSAGES, MESSAGE_CHARS, number)
    rows = _portion(ALL_ROWS, ROWS, number)
    width = TEXT_CHARS[number <= MANY]
    files = _portion(ALL_ROWS, (5, SHOWN_FILES), number)
    shown = [
        _worker(worker, index, report, clock, message, rows, width, files)
        for index, worker in enumerate(report.workers, 1)
    ]
    return join(*shown)


def _portion(all_: int, one: tuple[int, int], number: int) -> int:
    return min(max(all_ // number, one[0]), one[1])


def _worker(
    worker: Worker, index: int, report: Report, clock: Clock, message: int, rows: int, width: int, files: int
) -> Html:
    title = one_line(worker.title, FACT_CHARS)
    return el(
        "article",
        el(
            "h3",
            el("span", one_line(worker.label, 16), class_="label"),
            " ",
            el("bdi", title),
            " ",
            el("span", status_in_words(worker), class_=f"pill {status_class(worker)}"),
        ),
        _facts(worker, report, clock),
        _problem(worker),
        _message(worker, message),
        _files(worker, files),
        _done(worker, clock, rows, width),
        class_="worker",
        id=f"worker-{index}",
    )


def _facts(worker: Worker, report: Report, clock: Clock) -> Html:
    facts: list[tuple[str, str]] = []
    if worker.started_at is not None:
        facts.append(("started", clock.element(worker.started_at)))
    ran = worker.seconds(report.made_at)
    if ran is not None:
        facts.append(("ran", duration(ran) + ("" if worker.finished_at is not None else " so far")))
    if worker.spawned_at is not None and worker.started_at is not None:
        waited = worker.started_at - worker.spawned_at
        if waited >= 0.05:
            facts.append(("queued", duration(waited)))
    facts.append(("sandbox", one_line(worker.sandbox, 40)))
    if worker.usage is not None:
        facts.append(("tokens", tokens_in_words(worker.usage)))
    if worker.exit_code not in (None, 0):
        facts.append(("exit code", str(worker.exit_code)))
    if worker.activity and not worker.is_final:
        facts.append(("now", one_line(worker.activity, TEXT_CHARS[1])))
    if worker.report_missing:
        facts.append(("report", "missing: its list of files may be incomplete"))
    return el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in facts))


def _problem(worker: Worker) -> Html | None:
    if worker.problem is None:
        return None
    remedy = el("p", f"→ {one_line(worker.problem.remedy, FACT_CHARS)}") if worker.problem.remedy else None
    return el("div", el("p", one_line(worker.problem.message, FACT_CHARS)), remedy, class_="problem")


def _message(worker: Worker, most: int) -> Html | None:
    if not worker.message:
        return None
    shown, left = cut(worker.message, most)
    first = one_line(shown, FIRST_CHARS)
    if first == shown.strip() and not left and not worker.message_cut:
        return el("p", el("b", "Answer"), " ", el("bdi", first))
    note = None
    if left or worker.message_cut:
        rest = f"{left:,} more characters are" if left and not worker.message_cut else "The rest is"
        command = f"codex-sidecar result {one_line(worker.label, 16)} --max-chars 1048576"
        note = el("p", f"… cut here. {rest} in: ", el("code", command), class_="more")
    summary = el("summary", "Answer", el("span", f" {first}", class_="preview"))
    return el("details", summary, el("pre", shown, dir="auto"), note)


def _files(worker: Worker, most: int) -> Html | None:
    if not worker.files:
        return None
    items = [
        join(
            el("b", cell_sign(file), title=f"{file.change}, {KNOWN.get(file.attribution, file.attribution)}"),
            " ",
            el("bdi", one_line(file.path, PATH_CHARS)),
        )
        for file in worker.files[: most + 1]
    ]
    items += [Html("")] * (len(worker.files) - len(items))
    return el("details", el("summary", count(len(worker.files), "file")), listed(items, most, "file"), class_="files")


def _done(worker: Worker, clock: Clock, most: int, width: int) -> Html | None:
    """The marks of the timeline as a table: for who cannot see it, and for who wants to read them."""
    if not worker.marks:
        return None
    ordered = sorted(worker.marks, key=lambda mark: mark.start)
    rows = [_row(mark, clock, width) for mark in ordered[:most]]
    heads = el("tr", *(el("th", name, scope="col") for name in ("time", "did", "what", "took")))
    table = el("table", el("thead", heads), el("tbody", *rows), class_="log")
    note = None
    if len(ordered) > most or worker.marks_cut:
        left = f"{len(ordered) - most:,} later ones are" if len(ordered) > most else "Later ones are"
        command = f"codex-sidecar events {one_line(worker.label, 16)}"
        note = el("p", f"… {left} in: ", el("code", command), class_="more")
    return el("details", el("summary", _counted(ordered)), el("div", table, class_="wide"), note)


def _counted(marks: list[Mark]) -> str:
    """`4 commands, 1 edit`."""
    words = {"command": "command", "edit": "edit", "call": "other call", "error": "error"}
    numbers = {kind: sum(mark.kind == kind for mark in marks) for kind in words}
    shown = [count(number, words[kind]) for kind, number in numbers.items() if number]
    return ", ".join(shown) or "what it did"


_WORDS = {"command": "ran", "edit": "edited", "call": "called", "error": "error", "cancel": "cancelled"}


def _row(mark: Mark, clock: Clock, width: int) -> Html:
    took = duration(mark.end - mark.start) if mark.end is not None and mark.end - mark.start >= 0.05 else ""
    word = _WORDS[mark.kind] + ("" if mark.ok or mark.kind in ("error", "cancel") else ", failed")
    when = ("about " if mark.about else "") + clock.time(mark.start)
    text = el("bdi", one_line(mark.text, width))
    return el("tr", el("td", when), el("td", word), el("td", text), el("td", took), class_=None if mark.ok else "bad")
