"""The demo's second scene: four workers, two at a time, each pair in one file, so that one undoes the other.

The one of a pair patches the file; the other works on a draft that it had copied before, and puts it back. That is
how edits get lost with real workers, too. Done one after another, the same scripts keep both edits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sidecar.demo.referee import Referee
from sidecar.demo.scenario import Task, expected_tree, patch

REPORT, FETCH = "weather/report.py", "weather/fetch.py"
_PACE_SECONDS = 0.3
"""How long a worker seems to think, for whoever watches."""
BEFORE = expected_tree()
"""What the first scene leaves: path → text."""

_SKIPPING = "if line.strip()"
_DESCRIBED = '    """The text of one report; the last OSError when every try failed."""\n'
_REPORT_SKIPS = {REPORT: BEFORE[REPORT].replace("for line in lines)", f"for line in lines {_SKIPPING})")}
_FETCH_DESCRIBED = {
    FETCH: BEFORE[FETCH].replace("sleep=time.sleep):\n", f"sleep=time.sleep):\n{_DESCRIBED}"),
}
AFTER = {
    **BEFORE,
    REPORT: _REPORT_SKIPS[REPORT].replace("pair[1])", "pair[1], default=None)"),
    FETCH: _FETCH_DESCRIBED[FETCH].replace("sleep(2**attempt)", "sleep(min(2**attempt, 30))"),
}
"""The project's files when both edits of each pair are there: path → text."""


def told(path: str) -> str:
    """The referee's word for: the person was warned about this file."""
    return f"{Path(path).stem}.told"


def tasks(referee: Referee) -> list[Task]:
    """The four tasks. Whoever works in a pair waits until it is known what the other one has done."""
    return [
        _patches(
            referee,
            "Skip empty lines",
            "warmest() in weather/report.py must not stumble over empty lines.",
            "warmest() now skips empty lines.",
            _REPORT_SKIPS,
            other="Allow an empty report",
        ),
        _copies(
            referee,
            "Allow an empty report",
            "warmest() in weather/report.py must return None for a report without lines.",
            "warmest() now returns None where there is nothing to compare.",
            {REPORT: AFTER[REPORT]},
            edit=r"s/pair\[1\])$/pair[1], default=None)/",
            tests="tests.test_report",
            other="Skip empty lines",
        ),
        _patches(
            referee,
            "Describe fetch()",
            "fetch() in weather/fetch.py has no docstring. Write one.",
            "fetch() has a docstring.",
            _FETCH_DESCRIBED,
            other="Cap the wait",
        ),
        _copies(
            referee,
            "Cap the wait",
            "fetch() in weather/fetch.py must never wait longer than 30 s between two tries.",
            "fetch() never waits longer than 30 s.",
            {FETCH: AFTER[FETCH]},
            edit=r"s/2\*\*attempt/min(2**attempt, 30)/",
            tests="tests.test_fetch",
            other="Describe fetch()",
        ),
    ]


def _patches(referee: Referee, title: str, request: str, summary: str, writes: dict[str, str], *, other: str) -> Task:
    """Patches the file once the other one has taken its copy."""
    path = next(iter(writes))
    script: list[Any] = [
        {
            "patch": patch(BEFORE, writes),
            **referee.after(other),
            "delay": _PACE_SECONDS,
            "usage": [4730, 4100, 210, 90],
        },
        {"json": {"summary": summary, "modifiedFiles": [path]}, "delay": _PACE_SECONDS, "usage": [5010, 4800, 60, 20]},
    ]
    return Task(title, request, script, writes)


def _copies(
    referee: Referee,
    title: str,
    request: str,
    summary: str,
    writes: dict[str, str],
    *,
    edit: str,
    tests: str,
    other: str,
) -> Task:
    """Copies the file, edits the copy, and puts it back when the other one has written: the other's edit is lost."""
    path = next(iter(writes))
    draft = f"drafts/{Path(path).name}"
    script: list[Any] = [
        {"sh": f"mkdir -p drafts && cp {path} {draft}", "usage": [4120, 3900, 60, 20]},
        {
            "sh": f"sed '{edit}' {draft} >{draft}.new && mv {draft}.new {path}",
            **referee.after(other),
            "delay": _PACE_SECONDS,
            "usage": [4410, 4100, 110, 40],
        },
        {"sh": f"python3 -B -m unittest -q {tests}", "delay": _PACE_SECONDS, "usage": [4630, 4400, 50, 20]},
        {
            "json": {"summary": summary, "modifiedFiles": [path]},
            **referee.said(told(path)),
            "delay": _PACE_SECONDS,
            "usage": [4800, 4600, 60, 20],
        },
    ]
    return Task(title, request, script, writes)
