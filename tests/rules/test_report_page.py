"""The page of a run: whatever the facts are, it is sound HTML that loads and runs nothing and says what they say."""

from __future__ import annotations

import re
import string
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model.job import TouchedFile, Usage
from sidecar.report import shared
from sidecar.report.clock import Clock
from sidecar.report.facts import Conflict, ConflictWorker, Mark, Problem, Repair, Report, Worker
from sidecar.report.html import safe
from sidecar.report.page import page
from sidecar.report.style import STYLE

ROME = timezone(timedelta(hours=2))
BASE = datetime(2026, 6, 1, 14, 0, 0, tzinfo=ROME).timestamp()
VOID = {"meta"}


class Parsed(HTMLParser):
    """Checks that every element is closed in its turn, and keeps what tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._take(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._take(tag, attrs)

    def _take(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()
        if tag in ("dt", "dd", "li", "p", "h1", "h2", "h3", "td", "th", "summary"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)
            if {"td", "th"} & set(self.open):
                self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def sound(report: Report, zone: timezone = ROME) -> Parsed:
    """The page, parsed, after all that must hold for every page has been checked."""
    text = page(report, Clock(zone))
    text.encode("utf-8")
    found = Parsed(text)
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert not {"script", "iframe", "object", "embed", "img", "link", "base", "form", "input"} & found.elements.keys()
    assert found.elements["style"] == 1
    assert len(found.ids) == len(set(found.ids)), [name for name, times in Counter(found.ids).items() if times > 1]
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("src", "srcset", "style", "action", "xlink:href", "ping"), (tag, name)
        if name == "href":
            assert value[0] == "#", (tag, value)
            assert value[1:] in found.ids, f"{value} leads nowhere"
        if name == "aria-labelledby":
            assert value in found.ids
    assert ("meta", "http-equiv", "Content-Security-Policy") in found.attributes
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]", text)
    return found


def worker(number: int, start: float = 0, end: float | None = 10, **facts: Any) -> Worker:
    """`start` and `end` are seconds after BASE."""
    known: dict[str, Any] = {
        "job_id": f"job-{number}",
        "label": f"w{number}",
        "title": f"task {number}",
        "status": "running" if end is None else "done",
        "sandbox": "workspace-write",
        "spawned_at": BASE + start,
        "started_at": BASE + start,
        "finished_at": None if end is None else BASE + end,
    }
    return Worker(**{**known, **facts})


def report(*workers: Worker, **facts: Any) -> Report:
    known: dict[str, Any] = {"repository": "/home/ann/weather", "made_at": BASE + 600, "version": "1.2.3"}
    return Report(workers=list(workers), **{**known, **facts})


def file(path: str, change: str = "modified", attribution: str = "seen") -> TouchedFile:
    return msgspec.convert({"path": path, "change": change, "attribution": attribution}, TouchedFile)


def scene() -> Report:
    """A run with one of everything."""
    one = worker(
        1, 0, 75, title="add retries", usage=Usage(4000, 3000, 100, 40), message="Retries three times.\nThat is all.",
        files=[file("src/app.py"), file("src/new.py", "added")],
        marks=[
            Mark(kind="command", start=BASE + 5, end=BASE + 25, text="pytest -q → exit 1", ok=False),
            Mark(kind="edit", start=BASE + 30, text="src/app.py (modified)"),
        ],
    )  # fmt: skip
    two = worker(
        2, 10, 60, title="rename config", status="failed", spawned_at=BASE, usage=Usage(1000, 0, 50, 0), exit_code=1,
        problem=Problem(kind="timed-out", message="The worker was stopped after 50 s.", remedy="Give it more time."),
        files=[file("src/app.py", "modified", "ambiguous"), file("docs/old.md", "deleted", "reported")],
    )  # fmt: skip
    three = worker(3, 20, 30, sandbox="read-only", status="cancelled", title="explain")
    conflict = Conflict(
        path="src/app.py", kind="overlapping-edit", severity="warning", state="open",
        sentence='w1 "add retries" and w2 "rename config" changed the same lines (3-5).',
        workers=[
            ConflictWorker(job_id="job-1", label="w1", title="add retries", what="changed lines 3-5 (seen)"),
            ConflictWorker(job_id="job-2", label="w2", title="rename config", what="may have changed lines 4-5"),
        ],
        suggestion="merge the versions", command="codex-sidecar resolve src/app.py merge",
    )  # fmt: skip
    repair = Repair(
        snapshot_id="20260601-120130-ab12", created_at=BASE + 90, reason="before a roll back", files=2,
        ref="refs/codex-sidecar/snapshots/20260601-120130-ab12",
        command="codex-sidecar restore 20260601-120130-ab12",
    )  # fmt: skip
    return report(
        one, two, three, run_id="run-7", run_open=True, head="0123456789abcdef", recorded_at=BASE,
        conflicts=[conflict], repairs=[repair], unclaimed=["notes.txt"],
        notices=["w2 failed and left 2 files changed."],
    )  # fmt: skip


# -- what it says ---------------------------------------------------------------------------------------------------


def test_the_head_sums_up() -> None:
    text = sound(scene()).text
    assert "Of 3 workers 1 ended done, 1 failed and 1 was cancelled; 1 conflict is open." in text
    assert "run run-7 (open) baseline 0123456789 time 1 Jun 2026, 14:00:00 to 14:01:15 (UTC+02:00), 1 min 15 s" in text
    assert "3 workers 1 done, 2 not" in text
    assert "3 files" in text
    assert "5.2k tokens 3.0k of them cached" in text
    assert "w2 failed and left 2 files changed." in text
    assert "Made by codex-sidecar 1.2.3 on 1 Jun 2026, 14:10:00 (UTC+02:00)" in text


def test_the_table_tells_change_attribution_and_conflict_without_colour() -> None:
    table = next(table for table in sound(scene()).tables if table[0][0] == "file")
    assert table == [
        ["file", "w1", "w2"],
        ["docs/old.md", "", "(D)"],
        ["src/app.py! overlapping-edit", "M!", "M?!"],
        ["src/new.py", "A", ""],
    ]


def test_every_header_cell_has_a_scope() -> None:
    parsed = sound(scene())
    assert sum((tag, name) == ("th", "scope") for tag, name, _ in parsed.attributes) == parsed.elements["th"]


def test_conflicts_repairs_and_workers() -> None:
    text = sound(scene()).text
    assert 'w1 "add retries" and w2 "rename config" changed the same lines (3-5).' in text
    assert "w1 add retries: changed lines 3-5 (seen)" in text
    assert "→ Suggested: merge the versions: codex-sidecar resolve src/app.py merge" in text
    assert "codex-sidecar restore 20260601-120130-ab12" in text
    assert "before a roll back" in text
    assert "The worker was stopped after 50 s. → Give it more time." in text
    assert "4,000 in (3,000 of them cached), 100 out (40 of them reasoning)" in text
    assert "Retries three times. That is all." in text
    assert "1 file changed since the baseline that no worker accounts for" in text
    assert "No file touched by w3." in text


def test_lanes_are_told_to_who_cannot_see_them() -> None:
    labels = [value for tag, name, value in sound(scene()).attributes if (tag, name) == ("svg", "aria-label")]
    assert labels == [
        "w1 add retries: done, ran from 14:00:00 to 14:01:15, 1 command, 1 edit",
        "w2 rename config: failed: time limit, queued for 10 s, ran from 14:00:10 to 14:01:00",
        "w3 explain: cancelled, ran from 14:00:20 to 14:00:30",
        "1 snapshot, listed under Repairs",
    ]


def test_the_landmarks_are_there() -> None:
    parsed = sound(scene())
    for name in ("header", "nav", "main", "footer"):
        assert parsed.elements[name] == 1
    assert parsed.elements["section"] == 5
    assert [parsed.elements[name] for name in ("h1", "h2")] == [1, 5]


def test_marks_bear_what_happened() -> None:
    text = page(scene(), Clock(ROME))
    assert "<title>14:00:05: pytest -q → exit 1 (20 s)</title>" in text
    assert "<title>14:00:30: src/app.py (modified)</title>" in text
    assert "<title>queued for 10 s, from 14:00:00</title>" in text


@pytest.mark.parametrize(
    ("workers", "conflicts", "expected"),
    [
        ([], [], "No worker has run yet."),
        ([worker(1)], [], "The worker ended done; no conflict is open."),
        ([worker(1), worker(2)], [], "All 2 workers ended done; no conflict is open."),
        ([worker(1), worker(2, 0, None)], [], "Of 2 workers 1 ended done and 1 is running; no conflict is open."),
        (
            [worker(1), worker(2)],
            [Conflict(path="a", kind="same file", severity="warning", sentence="x", state="unchecked")],
            "All 2 workers ended done; 1 file was written by several at once.",
        ),
    ],
)
def test_the_verdict(workers: list[Worker], conflicts: list[Conflict], expected: str) -> None:
    assert expected in sound(report(*workers, conflicts=conflicts)).text


def test_a_run_that_goes_on() -> None:
    text = sound(report(worker(1, 0, None, activity="running make"), made_at=BASE + 42)).text
    assert "14:00:00 to now, 14:00:42" in text
    assert "42 s so far" in text
    assert "running make" in text


def test_what_could_not_be_asked_is_not_told_as_nothing() -> None:
    text = sound(report(worker(1), conflicts_known=False, repairs_known=False)).text
    assert text.count("The sidecar could not be asked.") == 2
    assert "No two workers" not in text


def test_how_a_settled_conflict_ended() -> None:
    def told(*repairs: tuple[float, str], more: list[Worker] | None = None) -> str:
        settled = Conflict(
            path="a.py", kind="same file", severity="warning", sentence="both.", state="settled",
            workers=[ConflictWorker(job_id="job-1", label="w1", title="")],
        )  # fmt: skip
        saved = [
            Repair(snapshot_id=f"s{index}", created_at=BASE + at, reason=reason, files=1, ref="r", command="c")
            for index, (at, reason) in enumerate(repairs)
        ]
        return sound(report(worker(1), *(more or []), conflicts=[settled], repairs=saved)).text

    assert "Repaired at 14:01:00; snapshot s0 holds what stood there before." in told((60, "before a.py is resolved"))
    assert "at 14:01:00 snapshot s0 was saved before a roll back" in told((60, "before a roll back"))
    assert "Reconciled by w9." in told(more=[worker(9, 20, 30, title="reconcile a.py")])
    for other in (told((5, "before a.py is resolved")), told((60, "before b.py is resolved"))):
        assert "It is not among the open conflicts" in other


# -- hostile facts --------------------------------------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`><a href='javascript:alert(3)'>"
    "&lt;\u202egpj.exe\u2066\x1b[31m\x00\ud800</style></title></svg><!-- ]]> {{7*7}} https://example.org/x.js url(https://example.org)"
)


def test_hostile_texts_are_only_read() -> None:
    bad = HOSTILE
    mark = Mark(kind="command", start=BASE + 1, text=bad)
    evil = worker(
        1, label=bad, title=bad, status=bad, sandbox=bad, activity=bad, message=bad * 3, job_id=bad,
        problem=Problem(kind=bad, message=bad, remedy=bad), files=[file(bad)],
        marks=[mark, msgspec.structs.replace(mark, kind="edit"), msgspec.structs.replace(mark, kind="error")],
    )  # fmt: skip
    conflict = Conflict(
        path=bad, kind=bad, severity=bad, sentence=bad, state="open", suggestion=bad, command=bad,
        workers=[ConflictWorker(job_id=bad, label=bad, title=bad, what=bad)],
    )  # fmt: skip
    repair = Repair(snapshot_id=bad, created_at=BASE, reason=bad, files=1, ref=bad, command=bad)
    found = sound(
        report(
            evil,
            repository=bad,
            version=bad,
            run_id=bad,
            head=bad,
            conflicts=[conflict],
            repairs=[repair],
            unclaimed=[bad],
            notices=[bad],
        )
    )
    assert "<script>alert(1)</script>" in found.text, "it is there to be read"
    assert "[U+202E]gpj.exe" in found.text, "what turns the direction of writing is shown"
    assert "␛[31m" in found.text


def test_a_message_of_a_megabyte_is_cut_with_a_note() -> None:
    text = page(report(worker(1, message="x" * 1_000_000)), Clock(ROME))
    assert len(text) < 200_000
    assert "940,000 more characters" in text
    assert "codex-sidecar result w1 --max-chars 1048576" in text
    assert "cut here" not in page(report(worker(1, message="short")), Clock(ROME))
    assert "cut here" in page(report(worker(1, message="short", message_cut=True)), Clock(ROME))


def crowd(jobs: int, files: int) -> Report:
    names = [f"src/package_{index // 20}/module_{index}.py" for index in range(files)]
    touched = [file(name, "modified", ("seen", "ambiguous", "reported")[index % 3]) for index, name in enumerate(names)]
    marks = [
        Mark(kind="edit" if index % 5 == 0 else "command", start=BASE + index, end=BASE + index + 0.5, text="x" * 300)
        for index in range(300)
    ]
    workers = [
        worker(number, number, number + 300, message="word " * 4000, files=touched, marks=marks)
        for number in range(1, jobs + 1)
    ]
    conflicts = shared.conflicts(workers, "settled")
    return report(*workers, conflicts=conflicts, run_id="run-1")


def test_two_hundred_workers_and_files_stay_below_five_megabytes() -> None:
    facts = crowd(200, 200)
    assert len(facts.conflicts) == 200
    begun = time.process_time()
    text = page(facts, Clock(ROME))
    seconds = time.process_time() - begun
    assert len(text.encode()) < 5_000_000
    assert seconds < 20
    parsed = Parsed(text)
    assert parsed.elements["td"] > 40_000, "every cell is there"
    assert "src/package_3/" in parsed.text


def test_many_files_are_grouped_by_directory() -> None:
    names = [f"{folder}/f{index}.py" for folder in ("alpha", "beta", "gamma", "delta") for index in range(25)]
    trouble = Conflict(path="beta/f3.py", kind="same-file-edit", severity="warning", sentence="x", state="open")
    text = page(report(worker(1, files=[file(name) for name in names]), conflicts=[trouble]), Clock(ROME))
    groups = re.findall(r'<details class="group"( open)?><summary><b>(\w+)/</b>', text)
    assert groups == [("", "alpha"), (" open", "beta"), ("", "delta"), ("", "gamma")]


# -- colours --------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAIRS = [
    *(
        ("text", ground)
        for ground in ("page", "card", "faint", "failed-soft", "warn-soft", "running-soft", "info-soft")
    ),
    *(("quiet", ground) for ground in ("page", "card", "faint")),
    *(("link", ground) for ground in ("page", "card", "faint")),
    *((word, "card") for word in ("done", "failed", "cancelled", "interrupted", "running", "queued", "warn")),
    *((word, "faint") for word in ("done", "failed", "cancelled", "interrupted", "running", "queued")),
    *((word, f"{word}-soft") for word in ("done", "failed", "cancelled", "interrupted", "running", "queued")),
    ("warn", "warn-soft"),
    ("info", "info-soft"),
    ("link", "info-soft"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read_on_its_ground(theme: str) -> None:
    light, dark = re.findall(r":root\{(?:color-scheme:light dark;)?\s*(--page.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+):(#[0-9a-f]{3,6})", light if theme == "light" else dark))
    for word, ground in PAIRS:
        bright, dim = sorted((luminance(colours[word]), luminance(colours[ground])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (theme, word, ground)


def test_the_style_loads_nothing_and_names_only_colours_it_has() -> None:
    assert "@import" not in STYLE
    assert re.findall(r"url\((.*?)\)", STYLE) == ["#hatch"]
    assert set(re.findall(r"var\(--([\w-]+)\)", STYLE)) <= set(re.findall(r"--([\w-]+):", STYLE))


# -- properties -----------------------------------------------------------------------------------------------------

TEXT = st.one_of(
    st.text(alphabet=st.characters(), max_size=40),
    st.text(alphabet="<>&\"'/=` \n\t#w1;", max_size=40),
    st.sampled_from([HOSTILE, "", " ", "w1", "run-1", "a/b/c.py", "x" * 500]),
)
TIMES = st.one_of(
    st.floats(BASE, BASE + 10_000), st.sampled_from([0.0, BASE, BASE + 86_400 * 400, -1e9, 1e12]), st.none()
)
USAGE = st.builds(Usage, *(st.integers(0, 10**12) for _ in range(4)))
FILES = st.builds(
    TouchedFile,
    path=TEXT,
    change=st.sampled_from(["added", "modified", "deleted", "renamed", "mode"]),
    attribution=st.sampled_from(["seen", "ambiguous", "reported"]),
)
MARKS = st.builds(
    Mark,
    kind=st.sampled_from(["command", "edit", "call", "error", "cancel"]),
    start=TIMES.filter(lambda at: at is not None),
    end=TIMES,
    text=TEXT,
    ok=st.booleans(),
    about=st.booleans(),
)
STATUSES = st.one_of(st.sampled_from(["queued", "running", "done", "failed", "cancelled", "interrupted"]), TEXT)
WORKERS = st.builds(
    Worker,
    job_id=TEXT,
    label=TEXT,
    title=TEXT,
    status=STATUSES,
    sandbox=st.one_of(st.sampled_from(["read-only", "workspace-write"]), TEXT),
    spawned_at=TIMES,
    started_at=TIMES,
    finished_at=TIMES,
    exit_code=st.one_of(st.none(), st.integers(-64, 255)),
    activity=st.one_of(st.none(), TEXT),
    usage=st.one_of(st.none(), USAGE),
    problem=st.one_of(st.none(), st.builds(Problem, kind=TEXT, message=TEXT, remedy=TEXT)),
    message=st.one_of(st.none(), TEXT),
    message_cut=st.booleans(),
    report_missing=st.booleans(),
    files=st.lists(FILES, max_size=4),
    marks=st.lists(MARKS, max_size=4),
    marks_cut=st.booleans(),
)
CONFLICTS = st.builds(
    Conflict,
    path=TEXT,
    kind=TEXT,
    severity=st.one_of(st.sampled_from(["error", "warning", "information"]), TEXT),
    sentence=TEXT,
    state=st.sampled_from(["open", "settled", "unchecked"]),
    workers=st.lists(st.builds(ConflictWorker, job_id=TEXT, label=TEXT, title=TEXT, what=TEXT), max_size=3),
    suggestion=TEXT,
    command=TEXT,
    settled=TEXT,
)
REPAIRS = st.builds(
    Repair,
    snapshot_id=TEXT,
    created_at=TIMES.filter(lambda at: at is not None),
    reason=TEXT,
    files=st.integers(0, 9999),
    ref=TEXT,
    command=TEXT,
)
REPORTS = st.builds(
    Report,
    repository=TEXT,
    made_at=TIMES.filter(lambda at: at is not None),
    version=TEXT,
    run_id=st.one_of(st.none(), TEXT),
    run_open=st.booleans(),
    head=st.one_of(st.none(), TEXT),
    recorded_at=TIMES,
    workers=st.lists(WORKERS, max_size=4),
    omitted=st.integers(0, 1000),
    conflicts=st.lists(CONFLICTS, max_size=3),
    conflicts_known=st.booleans(),
    repairs=st.lists(REPAIRS, max_size=3),
    repairs_known=st.booleans(),
    unclaimed=st.lists(TEXT, max_size=3),
    notices=st.lists(TEXT, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(REPORTS, st.integers(-12, 14))
def test_any_report_makes_a_sound_page(facts: Report, hours: int) -> None:
    found = sound(facts, timezone(timedelta(hours=hours)))
    assert sum(name.startswith("worker-") for name in found.ids) == len(facts.workers)
    assert sum(name.startswith("conflict-") for name in found.ids) == len(facts.conflicts)


@given(st.text(alphabet=st.characters()))
def test_safe_text_holds_no_markup_and_loses_no_letter(text: str) -> None:
    made = safe(text)
    assert not set("<>\"'") & set(made)
    letters = [char for char in text if char in string.ascii_letters + "äßж漢"]
    back = re.sub(r"&[a-z#0-9x]+;|\[U\+[0-9A-F]+\]", "", made)
    assert [char for char in back if char in string.ascii_letters + "äßж漢"] == letters
    assert safe(made) == made, "what is HTML already is not escaped again"
