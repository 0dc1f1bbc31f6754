"""The demo's project, its four tasks, and the scripts that play them.

The tasks are ones a person would give. Beside the text each prompt holds a script, so the demo needs no account: the
scripted model answers what the script says, everything else (Codex, its sandbox, commands, patches) is real.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.demo.script import MARKER

PROJECT = {
    ".gitignore": "__pycache__/\ndrafts/\n",
    "README.md": "# weather\n\nReads the reports of weather stations.\n",
    "weather/__init__.py": '"""Reports of weather stations."""\n',
    "weather/fetch.py": '''\
"""Downloads the report of one station."""

from urllib.request import urlopen


def fetch(url, opener=urlopen):
    with opener(url, timeout=5) as answer:
        return answer.read().decode()
''',
    "weather/report.py": '''\
"""Turns the lines of a report into numbers."""


def parse(line):
    name, value = line.split("=")
    return name.strip(), float(value)


def warmest(lines):
    return max((parse(line) for line in lines), key=lambda pair: pair[1])
''',
    "tests/__init__.py": "",
    "tests/test_fetch.py": """\
import io
import unittest

from weather.fetch import fetch


class FetchTest(unittest.TestCase):
    def test_reads_the_text(self):
        self.assertEqual(fetch("x", lambda url, timeout: io.BytesIO(b"oslo = 4")), "oslo = 4")
""",
    "tests/test_report.py": """\
import unittest

from weather.report import parse


class ReportTest(unittest.TestCase):
    def test_reads_a_line(self):
        self.assertEqual(parse("oslo = 4"), ("oslo", 4.0))
""",
}
"""The scratch repository's files: path → text."""

_FETCH = {
    "weather/fetch.py": '''\
"""Downloads the report of one station."""

import time
from urllib.request import urlopen

TRIES = 3


def fetch(url, opener=urlopen, sleep=time.sleep):
    for attempt in range(1, TRIES + 1):
        try:
            with opener(url, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            if attempt == TRIES:
                raise
            sleep(2**attempt)
''',
    "tests/test_fetch.py": PROJECT["tests/test_fetch.py"]
    + """
    def test_tries_three_times(self):
        waits = []

        def broken(url, timeout):
            raise OSError("no network")

        with self.assertRaises(OSError):
            fetch("x", broken, waits.append)
        self.assertEqual(waits, [2, 4])
""",
}

_REPORT = {
    "weather/errors.py": '''\
"""What can be wrong with a report."""


class ReportError(ValueError):
    """A line that is no `station = number`."""
''',
    "weather/report.py": '''\
"""Turns the lines of a report into numbers."""

from weather.errors import ReportError


def parse(line):
    try:
        name, value = line.split("=")
        return name.strip(), float(value)
    except ValueError as exc:
        raise ReportError(f"not a report line: {line!r}") from exc


def warmest(lines):
    return max((parse(line) for line in lines), key=lambda pair: pair[1])
''',
    "tests/test_report.py": PROJECT["tests/test_report.py"].replace(
        "from weather.report", "from weather.errors import ReportError\nfrom weather.report"
    )
    + """
    def test_names_the_bad_line(self):
        with self.assertRaisesRegex(ReportError, "warm"):
            parse("warm")
""",
}


@dataclass(frozen=True)
class Task:
    """One of the demo's workers.

    Attributes:
        title: for people.
        request: what a person would write.
        script: the model's answers, one for each step.
        writes: the files it leaves, path → text; empty for a reader.
    """

    title: str
    request: str
    script: list[Any]
    writes: Mapping[str, str] = field(default_factory=dict)

    @property
    def sandbox(self) -> str:
        return "workspace-write" if self.writes else "read-only"

    @property
    def prompt(self) -> str:
        """The request with its script."""
        return f"{self.request}\n\n{MARKER} {json.dumps(self.script)}\n"


def patch(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The patch, in the form that Codex applies, that turns the texts of `before` into those of `after`."""
    lines = ["*** Begin Patch"]
    for path, text in after.items():
        new = text.splitlines()
        if path not in before:
            lines += [f"*** Add File: {path}", *(f"+{line}" for line in new)]
            continue
        lines.append(f"*** Update File: {path}")
        old = before[path].splitlines()
        for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(3):
            lines.append("@@")
            for kind, a, b, c, d in group:
                if kind == "equal":
                    lines += [f" {line}" for line in old[a:b]]
                else:
                    lines += [f"-{line}" for line in old[a:b]] + [f"+{line}" for line in new[c:d]]
    return "\n".join([*lines, "*** End Patch"]) + "\n"


def _report(summary: str, files: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"summary": summary, "modifiedFiles": sorted(files or ())}


def _writer(look: str, files: Mapping[str, str], tests: str, summary: str, pause: float) -> list[Any]:
    """Looks around, edits, runs the tests, reports. `pause` seconds before each answer, as if it thought."""
    return [
        {"sh": look, "delay": pause, "usage": [4210, 3900, 96, 40]},
        {"patch": patch(PROJECT, files), "delay": pause, "usage": [4980, 4100, 640, 210]},
        {"sh": f"python3 -B -m unittest -q {tests}", "delay": pause, "usage": [5730, 4900, 58, 20]},
        {"json": _report(summary, files), "delay": pause / 2, "usage": [6010, 5600, 120, 30]},
    ]


TASKS = (
    Task(
        "Retry the download",
        "fetch() in weather/fetch.py gives up at the first network error. Try three times, waiting longer each time, "
        "and add a test for it.",
        _writer(
            "cat weather/fetch.py",
            _FETCH,
            "tests.test_fetch",
            "fetch() now tries three times and waits 2 s, then 4 s in between; the last error is raised as before. "
            "A test covers it, all tests of the module pass.",
            1.1,
        ),
        _FETCH,
    ),
    Task(
        "Say which line is bad",
        "A bad line in a report ends in a bare ValueError. Raise an error of our own that shows the line, and add a "
        "test for it.",
        _writer(
            "cat weather/report.py",
            _REPORT,
            "tests.test_report",
            "parse() raises ReportError (new, in weather/errors.py) that shows the line. It is a ValueError, so "
            "callers that caught that go on working.",
            1.2,
        ),
        _REPORT,
    ),
    Task(
        "Find what has no test",
        "Which functions of the package have no test at all? Do not change anything.",
        [
            {"sh": "grep -n 'def ' weather/*.py", "delay": 1.0, "usage": [3870, 3600, 61, 20]},
            {"sh": "grep -rn 'import' tests", "delay": 1.4, "usage": [4120, 3800, 48, 20]},
            {
                "json": _report("warmest() in weather/report.py has no test. fetch() and parse() have one each."),
                "delay": 1.0,
                "usage": [4350, 4100, 70, 30],
            },
        ],
    ),
    Task(
        "Look for missing time-outs",
        "Does every network call in this project have a time-out? Do not change anything.",
        [
            {"sh": "grep -rn 'urlopen\\|socket' --include=*.py .", "delay": 1.2, "usage": [3850, 3600, 55, 20]},
            {
                "json": _report("Yes: the only network call is in weather/fetch.py, and it gives up after 5 s."),
                "delay": 1.8,
                "usage": [4040, 3900, 66, 30],
            },
        ],
    ),
)
"""Two writers that edit different files, and two readers."""


def expected_tree() -> dict[str, str]:
    """The project's files after all four: path → text."""
    tree = dict(PROJECT)
    for task in TASKS:
        tree.update(task.writes)
    return tree
