"""The page: head, timeline, files, conflicts, repairs, workers.

It loads nothing and runs nothing: its policy forbids scripts, and every style and picture is in it.
"""

from __future__ import annotations

from sidecar.a2.messages import count
from sidecar.report import matrix, timeline, trouble, workers
from sidecar.report.clock import Clock, duration, short, tokens
from sidecar.report.facts import Report
from sidecar.report.html import Html, el, join, one_line
from sidecar.report.scale import Scale
from sidecar.report.settled import explained
from sidecar.report.style import STYLE

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
NOTICE_CHARS = 1_000
SHOWN_NOTICES = 50


def page(report: Report, clock: Clock | None = None) -> str:
    """The whole page as HTML, UTF-8 when it is written.

    Args:
        report: what is shown.
        clock: makes local times; None is this machine's zone.
    """
    clock = clock or Clock()
    report = explained(report, clock)
    name = one_line(report.repository.rstrip("/").rpartition("/")[2] or report.repository, 80)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="generator", content=f"codex-sidecar {report.version}"),
        el("title", f"{name}: run of {count(len(report.workers), 'worker')}"),
        el("style", Html(STYLE)),
    )
    body = el("body", timeline.DEFINITIONS, _head(report, name, clock), _main(report, clock), _foot(report, clock))
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


# -- head -----------------------------------------------------------------------------------------------------------


def _head(report: Report, name: str, clock: Clock) -> Html:
    links = [("Timeline", "timeline"), ("Files", "files"), ("Conflicts", "conflicts"), ("Repairs", "repairs")]
    links.append(("Workers", "workers"))
    notices = [el("li", el("bdi", one_line(notice, NOTICE_CHARS))) for notice in report.notices[:SHOWN_NOTICES]]
    return el(
        "header",
        el("p", "Codex Sidecar · run report", class_="brand"),
        el("h1", el("bdi", name)),
        el("p", trouble.verdict(report), class_="verdict"),
        _facts(report, clock),
        _tiles(report),
        el("ul", *notices, class_="notices") if notices else None,
        el("nav", *(el("a", text, href=f"#{target}") for text, target in links), aria_label="Parts of this page"),
    )


def _facts(report: Report, clock: Clock) -> Html:
    facts: list[tuple[str, str]] = [("repository", el("bdi", one_line(report.repository, 500)))]
    if report.run_id is not None:
        facts.append(("run", join(el("code", one_line(report.run_id, 128)), " (open)" if report.run_open else None)))
    if report.run_id is not None or report.head is not None:
        commit = report.head
        shown = el("code", one_line(commit[:10], 10), title=one_line(commit, 80)) if commit else "an empty branch"
        facts.append(("baseline", shown))
    if (span := report.span()) is not None:
        facts.append(("time", _span(report, span, clock)))
    return el("dl", *(el("div", el("dt", term), el("dd", value)) for term, value in facts))


def _span(report: Report, span: tuple[float, float], clock: Clock) -> Html:
    start, end = span
    goes_on = any(worker.finished_at is None for worker in report.workers)
    until = join("now, ", clock.element(end)) if goes_on else clock.element(end, day=clock.day(start) != clock.day(end))
    words = f" ({clock.zone(end)}), {duration(end - start)}"
    return join(clock.element(start, day=True), " to ", until, words)


def _tiles(report: Report) -> Html:
    paths = {file.path for worker in report.workers for file in worker.files}
    opened = sum(conflict.state != "settled" for conflict in report.conflicts)
    failed = sum(worker.status in ("failed", "cancelled", "interrupted") for worker in report.workers)
    done = sum(worker.status == "done" for worker in report.workers)
    used = sum(tokens(worker.usage) for worker in report.workers)
    cached = sum(worker.usage.cached_input_tokens for worker in report.workers if worker.usage is not None)
    writing = sum(worker.may_write for worker in report.workers)
    ended = ", ".join(f"{number} {word}" for number, word in ((done, "done"), (failed, "not")) if number)
    settled = len(report.conflicts) - opened
    tiles = [
        _tile("worker", len(report.workers), ended or "none has ended", "bad" if failed else None),
        _tile("file", len(paths), f"touched by {writing} that may write" if writing else "touched"),
        _tile("conflict", opened, f"{settled} settled" if settled else "open", "warn" if opened else None),
        _tile("repair", len(report.repairs), "each with a snapshot"),
        _tile("token", used, f"{short(cached)} of them cached" if cached else "in and out"),
    ]
    return el("ul", *tiles, class_="tiles", aria_label="Totals")


def _tile(name: str, value: int, words: str, class_: str | None = None) -> Html:
    number = el("b", short(value), title=f"{value:,}")
    word = count(value, name).rpartition(" ")[2]
    return el("li", number, " ", el("span", word), " ", el("small", words), class_=class_)


# -- parts ----------------------------------------------------------------------------------------------------------


def _main(report: Report, clock: Clock) -> Html:
    return el(
        "main",
        _section("timeline", "Timeline", _timeline(report, clock)),
        _section("files", "Files by worker", matrix.matrix(report)),
        _section("conflicts", "Conflicts", trouble.conflicts(report)),
        _section("repairs", "Repairs", trouble.repairs(report, clock)),
        _section("workers", "Workers", workers.workers(report, clock)),
    )


def _section(name: str, title: str, content: Html) -> Html:
    return el("section", el("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")


def _timeline(report: Report, clock: Clock) -> Html:
    if report.span() is None:
        return el("p", "No worker has run yet.", class_="empty")
    spans = []
    for worker in report.workers:
        begin = worker.begin()
        if begin is not None:
            spans.append((begin, report.made_at if worker.finished_at is None else worker.finished_at))
    spans += [(repair.created_at, repair.created_at) for repair in report.repairs]
    return timeline.timeline(report, Scale(spans), clock)


def _foot(report: Report, clock: Clock) -> Html:
    omitted = f"{count(report.omitted, 'older worker')} not shown. " if report.omitted else ""
    return el(
        "footer",
        el(
            "p",
            f"Made by codex-sidecar {one_line(report.version, 40)} on ",
            clock.element(report.made_at, day=True),
            f" ({clock.zone(report.made_at)}) with ",
            el("code", "codex-sidecar report"),
            f" from the sidecar's own record of the run. {omitted}All times are local.",
        ),
        el(
            "p",
            "This file is complete in itself: it loads nothing and runs no script. It holds the workers' commands and "
            "answers as they are, so look through it before you pass it on.",
        ),
    )
