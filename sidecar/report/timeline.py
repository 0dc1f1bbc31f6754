"""Who ran when: one lane for each worker, in SVG. Positions are percent, so the lanes fill whatever width there is."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.a2.messages import count, cut, listed
from sidecar.report.clock import Clock, duration
from sidecar.report.facts import Mark, Report, Worker
from sidecar.report.html import Html, el, join, one_line, percent
from sidecar.report.scale import Scale, Tick

ALL_MARKS = 5_000
"""Marks of all lanes together; where there are more, neighbours of a lane are drawn as one."""
LANE_MARKS = (24, 300)
"""Marks of one lane, at least and at most."""
TITLE_CHARS = 100
SHOWN_PAUSES = 4
LONG = 40
"""More lanes than this scroll in a frame of their own, below an axis that stays."""
HEIGHT = 36
_MIDDLE = 18

DEFINITIONS = Html(
    '<svg class="defs" width="0" height="0" aria-hidden="true" focusable="false"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path d="M0 0V6" class="hatch"/></pattern>'
    '<g id="edit"><path d="M0 -5.5L5.5 0L0 5.5L-5.5 0Z"/></g>'
    '<g id="bad-edit"><path d="M0 -4.8L4.8 0L0 4.8L-4.8 0Z"/></g>'
    '<g id="error"><path d="M0 -5.5L5.5 4.5H-5.5Z"/></g>'
    '<g id="stop"><path d="M-4.5 -4.5L4.5 4.5M4.5 -4.5L-4.5 4.5" class="stroke"/></g>'
    '<g id="clock"><circle r="6" class="stroke"/><path d="M0 -3.5V0H3" class="stroke"/></g>'
    '<g id="save"><path d="M0 -6.5L6 0L0 6.5L-6 0Z"/><path d="M-2.6 0H2.6M0 -2.6V2.6" class="stroke"/></g>'
    "</defs></svg>"
)
"""Shapes that all lanes use."""


def timeline(report: Report, scale: Scale, clock: Clock) -> Html:
    """Legend, time axis and lanes."""
    ticks = scale.ticks(clock)
    most = min(max(ALL_MARKS // max(len(report.workers), 1), LANE_MARKS[0]), LANE_MARKS[1])
    lanes = [
        _lane(worker, index, report, scale, clock, most, numbered=len(report.workers) > 1)
        for index, worker in enumerate(report.workers, 1)
    ]
    parts = [_grid(scale, ticks), _axis(scale, ticks), el("ol", *lanes, class_="lanes")]
    parts += [_snapshots(report, scale, clock)] if report.repairs else []
    if len(lanes) <= LONG:
        return join(_legend(report, scale), el("div", *parts, class_="timeline"))
    scrolled = el("div", *parts, class_="timeline long", tabindex=0, role="region", aria_label="Timeline of workers")
    return join(_legend(report, scale), scrolled)


def _legend(report: Report, scale: Scale) -> Html:
    def sample(shape: Html, text: str) -> Html:
        picture = el("svg", shape, width=26, height=16, aria_hidden="true", focusable="false")
        return el("li", picture, text)

    items = [sample(el("rect", class_="wait", x=1, y=3, width=24, height=10, rx=2), "queued")]
    items.append(sample(el("rect", class_="cmd", x=3, y=5, width=20, height=6, rx=1), "command"))
    items.append(sample(el("rect", class_="cmd bad", x=3, y=3, width=20, height=10, rx=1), "command that failed"))
    items.append(sample(el("use", class_="edit", href="#edit", x=13, y=8), "edit of files"))
    kinds = {mark.kind for worker in report.workers for mark in worker.marks}
    if any(mark.kind == "edit" and not mark.ok for worker in report.workers for mark in worker.marks):
        items.append(sample(el("use", class_="edit bad", href="#bad-edit", x=13, y=8), "edit that failed"))
    if "call" in kinds:
        items.append(sample(el("rect", class_="call", x=9, y=5, width=8, height=6, rx=3), "other tool"))
    if "error" in kinds:
        items.append(sample(el("use", class_="error", href="#error", x=13, y=8), "error"))
    if "cancel" in kinds or any(worker.status == "cancelled" for worker in report.workers):
        items.append(sample(el("use", class_="stop", href="#stop", x=13, y=8), "cancelled"))
    if any(_timed_out(worker) for worker in report.workers):
        items.append(sample(el("use", class_="clock", href="#clock", x=13, y=8), "time limit reached"))
    if pauses := [duration(pause.seconds) for pause in scale.pauses()]:
        words = f"pause without a worker, drawn short ({listed(cut(pauses, SHOWN_PAUSES, 'pause'))})"
        items.append(sample(el("rect", class_="pause", x=8, y=0, width=9, height=16), words))
    return el("ul", *items, class_="legend", aria_label="Signs of the timeline")


# -- axis -----------------------------------------------------------------------------------------------------------


def _grid(scale: Scale, ticks: Sequence[Tick]) -> Html:
    """Drawn once; every lane uses it."""
    lines = [el("line", x1=percent(tick.x), x2=percent(tick.x), y1=0, y2=HEIGHT, class_="rule") for tick in ticks]
    lines += [
        el("rect", x=percent(pause.left), width=percent(pause.right - pause.left), y=0, height=HEIGHT, class_="pause")
        for pause in scale.pauses()
    ]
    drawn = el("defs", el("g", *lines, id="grid"))
    return el("svg", drawn, class_="defs", width=0, height=0, aria_hidden="true", focusable="false")


def _axis(scale: Scale, ticks: Sequence[Tick]) -> Html:
    labels = [
        el("text", tick.label, x=percent(tick.x), y=16, class_="tick" if tick.x > 2 else "tick first") for tick in ticks
    ]
    rules = [el("line", x1=percent(tick.x), x2=percent(tick.x), y1=20, y2=26, class_="rule") for tick in ticks]
    for pause in scale.pauses():
        words = el("title", f"pause of {duration(pause.seconds)}, drawn short")
        width = percent(pause.right - pause.left)
        rules.append(el("rect", words, x=percent(pause.left), width=width, y=0, height=26, class_="pause"))
    drawn = el("svg", *rules, *labels, width="100%", height=26, aria_hidden="true", focusable="false")
    return el("div", el("div", class_="who"), el("div", drawn, class_="life"), class_="axis")


# -- lanes ----------------------------------------------------------------------------------------------------------


def _lane(worker: Worker, index: int, report: Report, scale: Scale, clock: Clock, most: int, *, numbered: bool) -> Html:
    title = one_line(worker.title, TITLE_CHARS)
    ran = worker.seconds(report.made_at)
    facts = ["may write" if worker.may_write else "only reads"]
    if ran is not None:
        facts.append(duration(ran))
    name = el("a", el("b", one_line(worker.label, 16)), " ", el("span", title), href=f"#worker-{index}", title=title)
    who = el("div", name, el("small", " · ".join(facts)), class_="who")
    drawing = el(
        "svg",
        el("use", href="#grid"),
        *_life(worker, report, scale, clock),
        *_marks(worker, scale, clock, most),
        *_end(worker, report, scale, clock),
        width="100%",
        height=HEIGHT,
        role="img",
        aria_label=_in_words(worker, report, clock),
    )
    return el("li", who, el("div", drawing, class_="life"), class_=f"lane {status_class(worker)}")


def status_class(worker: Worker) -> str:
    """The CSS class of a status: only words that the style knows."""
    known = ("queued", "starting", "running", "stopping", "done", "failed", "cancelled", "interrupted")
    return worker.status if worker.status in known else "interrupted"


def _timed_out(worker: Worker) -> bool:
    return worker.problem is not None and worker.problem.kind == "timed-out"


def status_in_words(worker: Worker) -> str:
    """`failed: time limit`: the status word, and what it alone does not tell."""
    return "failed: time limit" if _timed_out(worker) else one_line(worker.status, 20)


def _in_words(worker: Worker, report: Report, clock: Clock) -> str:
    """What the lane shows, for who cannot see it."""
    parts = [f"{one_line(worker.label, 16)} {one_line(worker.title, TITLE_CHARS)}: {status_in_words(worker)}"]
    if worker.started_at is not None:
        if worker.spawned_at is not None and worker.started_at - worker.spawned_at >= 0.5:
            parts.append(f"queued for {duration(worker.started_at - worker.spawned_at)}")
        end = "now" if worker.finished_at is None else clock.time(worker.finished_at)
        parts.append(f"ran from {clock.time(worker.started_at)} to {end}")
    for kind, word in (("command", "command"), ("edit", "edit")):
        number = sum(mark.kind == kind for mark in worker.marks)
        if number:
            parts.append(count(number, word))
    return ", ".join(parts)


def _life(worker: Worker, report: Report, scale: Scale, clock: Clock) -> list[Html]:
    drawn = []
    begin = worker.begin()
    if begin is None:
        return []
    end = report.made_at if worker.finished_at is None else worker.finished_at
    start = worker.started_at if worker.started_at is not None else end
    if start - begin >= 0.05:
        words = f"queued for {duration(start - begin)}, from {clock.time(begin)}"
        drawn.append(_span("wait", scale.x(begin), scale.x(start), 13, 10, words))
    if worker.started_at is not None:
        ended = "not ended yet" if worker.finished_at is None else f"to {clock.time(end)}"
        words = f"{status_in_words(worker)}: from {clock.time(start)} {ended}, {duration(max(end - start, 0))}"
        drawn.append(_span("bar", scale.x(start), scale.x(end), 6, 24, words))
    return drawn


def _span(class_: str, left: float, right: float, y: int, height: int, words: str) -> Html:
    width = percent(max(right - left, 0.05))
    return el("rect", el("title", words), class_=class_, x=percent(left), y=y, width=width, height=height, rx=3)


def _marks(worker: Worker, scale: Scale, clock: Clock, most: int) -> list[Html]:
    # Edits above, what runs below; edits come last, since they matter most and are small.
    below = _merged([mark for mark in worker.marks if mark.kind in ("command", "call")], scale, most)
    above = _merged([mark for mark in worker.marks if mark.kind in ("edit", "error")], scale, most)
    return [_mark(group, scale, clock) for group in below + above]


def _merged(marks: list[Mark], scale: Scale, most: int) -> list[list[Mark]]:
    """Marks in groups; a group is more than one mark only where there are more than `most`."""
    ordered = sorted(marks, key=lambda mark: mark.start)
    if len(ordered) <= most:
        return [[mark] for mark in ordered]
    first, last = scale.x(ordered[0].start), scale.x(ordered[-1].start)
    # Four sorts of marks may stand in each place.
    places = most / 4 / max(last - first, 0.01)
    groups: dict[tuple[int, str, bool], list[Mark]] = {}
    for mark in ordered:
        place = int((scale.x(mark.start) - first) * places)
        groups.setdefault((place, mark.kind, mark.ok), []).append(mark)
    return list(groups.values())


def _mark(group: list[Mark], scale: Scale, clock: Clock) -> Html:
    first = group[0]
    title = el("title", _said(group, clock))
    left = scale.x(first.start)
    bad = "" if first.ok else " bad"
    if first.kind in ("edit", "error"):
        shape = "error" if first.kind == "error" else "edit" if first.ok else "bad-edit"
        return el("use", title, class_=first.kind + bad, href=f"#{shape}", x=percent(left), y=13)
    ends = [mark.end for mark in group if mark.end is not None]
    right = max(scale.x(max(ends)), left) if ends else left
    class_ = "cmd" if first.kind == "command" else "call"
    width = percent(max(right - left, 0.12))
    # What failed is drawn higher, so that it differs not by its colour only.
    y, height = (21, 6) if first.ok else (18, 10)
    return el("rect", title, class_=class_ + bad, x=percent(left), y=y, width=width, height=height, rx=1)


def _said(group: list[Mark], clock: Clock) -> str:
    first = group[0]
    about = "about " if first.about else ""
    text = one_line(first.text, TITLE_CHARS)
    if len(group) > 1:
        word = {"command": "command", "edit": "edit", "error": "error"}.get(first.kind, "call")
        return f"{about}{clock.time(first.start)}: {count(len(group), word)}, the first of them: {text}"
    took = ""
    if first.end is not None and first.end - first.start >= 0.05:
        took = f" ({duration(first.end - first.start)})"
    return f"{about}{clock.time(first.start)}: {text}{took}"


def _end(worker: Worker, report: Report, scale: Scale, clock: Clock) -> list[Html]:
    """The status word behind the bar, and the sign of how it was stopped."""
    if worker.begin() is None:
        return []
    at = scale.x(report.made_at if worker.finished_at is None else worker.finished_at)
    drawn = [
        el("use", el("title", _said([mark], clock)), class_="stop", href="#stop", x=percent(scale.x(mark.start)), y=13)
        for mark in worker.marks
        if mark.kind == "cancel"
    ]
    sign = "clock" if _timed_out(worker) else "stop" if worker.status == "cancelled" else None
    word = el("tspan", status_in_words(worker), dx=24 if sign else 8)
    if sign:
        # Behind the bar: a nested viewport moves it by pixels from a place given in percent.
        shape = el("use", class_=sign, href=f"#{sign}", x=14, y=_MIDDLE)
        drawn.append(el("svg", shape, x=percent(at), width=28, height=HEIGHT, overflow="visible"))
    return [*drawn, el("text", word, x=percent(at), y=_MIDDLE + 4, class_="status")]


# -- snapshots ------------------------------------------------------------------------------------------------------


def _snapshots(report: Report, scale: Scale, clock: Clock) -> Html:
    """A lane with what was saved before each repair."""
    marks = [
        el(
            "use",
            el("title", f"{clock.time(repair.created_at)}: snapshot, {one_line(repair.reason, TITLE_CHARS)}"),
            class_="save",
            href="#save",
            x=percent(scale.x(repair.created_at)),
            y=_MIDDLE,
        )
        for repair in report.repairs
    ]
    words = f"{count(len(report.repairs), 'snapshot')}, listed under Repairs"
    drawing = el("svg", el("use", href="#grid"), *marks, width="100%", height=HEIGHT, role="img", aria_label=words)
    who = el("div", el("a", el("b", "Snapshots"), href="#repairs"), el("small", "before each repair"), class_="who")
    return el("div", who, el("div", drawing, class_="life"), class_="lane saves")
