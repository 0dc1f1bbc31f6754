"""Tells the scripts of workers what the sidecar knows by now, so that no worker overtakes what is known of another one.

A write that comes before the sidecar has read of the write, or of the end of the command, before it is rightly told as
that of either worker. A script whose steps wait for a referee's word (`until`, see `sidecar.demo.script`) does the same
on every machine, however busy it is.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecar.model.errors import SidecarError
from sidecar.service import launch
from sidecar.service.place import find_place
from tests.support.raw import Raw


class Referee:
    """Follows the jobs of one repository. Its words are files in `directory`, which lies outside of the repository.

    Jobs that had ended when it was asked to follow are none of its own.
    """

    def __init__(self, repo: Path, directory: Path) -> None:
        self._repo = repo
        self._directory = directory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="referee")
        self._cursors: dict[str, str | None] = {}
        self._ends: dict[str, int] = {}
        self._before: set[str] | None = None
        directory.mkdir()

    def after(self, title: str, number: int = 1) -> dict[str, Any]:
        """The modifier of a step that waits until it is known what the job's commands and patches up to that one did.

        Args:
            title: of the job.
            number: of the command or patch, from 1.
        """
        return self.said(f"{title}.{number}")

    def said(self, word: str) -> dict[str, Any]:
        """The modifier of a step that waits for a word of the test (see `say`)."""
        return {"until": {"path": str(self._directory / word), "holds": "known"}}

    def say(self, word: str) -> None:
        """Lets steps go on that wait for this word."""
        (self._directory / word).write_text("known\n")

    def __enter__(self) -> Referee:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            # No sidecar runs yet or any more; a script that waits in vain fails its test.
            with contextlib.suppress(OSError, SidecarError, _Ended), self._connected() as raw:
                while not self._stop.wait(0.05):
                    self._look(raw)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Raw]:
        place = find_place(str(self._repo))
        connection = None if place is None else launch.connect(place, "cli", start=False)
        if connection is None:
            raise _Ended
        with Raw(connection.sock) as raw:
            yield raw

    def _look(self, raw: Raw) -> None:
        words = []
        jobs = _call(raw, "codex_status")["jobs"]
        if self._before is None:
            self._before = {job["jobId"] for job in jobs if job["finishedAt"] is not None}
        for job in jobs:
            name = job["jobId"]
            if name in self._before:
                continue
            page = _call(raw, "codex_events", jobId=name, maxEvents=200, cursor=self._cursors.get(name))
            self._cursors[name] = page["nextCursor"]
            for event in page["events"]:
                if event["type"] == "tool_result":
                    self._ends[name] = self._ends.get(name, 0) + 1
                    words.append(f"{job['title']}.{self._ends[name]}")
        if words:
            # Its answer comes when everything that was read so far has been looked at.
            _call(raw, "codex_conflicts")
        for word in words:
            self.say(word)


class _Ended(Exception):
    """The sidecar is gone."""


def _call(raw: Raw, tool: str, **arguments: Any) -> dict[str, Any]:
    given = {name: value for name, value in arguments.items() if value is not None}
    answer = raw.ask({"id": 1, "tool": tool, "arguments": given})
    if answer is None:
        raise _Ended
    assert "result" in answer, answer
    return dict(answer["result"])
