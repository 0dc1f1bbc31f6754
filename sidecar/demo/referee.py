"""Tells scripts of workers what the sidecar knows by now, so that no worker overtakes what is known of another one.

A write that comes before the sidecar has read of the write before it, or of the end of the command before it, is
rightly told as that of either worker. Scripts whose steps wait for a referee's word (`until`, see
`sidecar.demo.script`) come out the same on every machine, however busy it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

EVENTS = 200
"""How many events of a job are asked for at once."""


class Referee:
    """Follows the jobs of one repository. Its words are files in `directory`, which lies outside of the repository.

    Jobs that had ended when it looked first are none of its own.
    """

    def __init__(self, directory: Path) -> None:
        """
        Raises:
            OSError: the directory cannot be made.
        """
        self._directory = directory
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
        """The modifier of a step that waits for a word (see `say`)."""
        return {"until": {"path": str(self._directory / word), "holds": "known"}}

    def say(self, word: str) -> None:
        """Lets steps go on that wait for this word, a file name.

        Raises:
            OSError: it cannot be written.
        """
        (self._directory / word).write_text("known\n")

    async def look(self, call: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
        """Says what has come to be known since the last look.

        Args:
            call: calls a tool.

        Raises:
            OSError: a word cannot be written.
            SidecarError: as a tool answered.
        """
        words = []
        jobs = (await call("codex_status", {}))["jobs"]
        if self._before is None:
            self._before = {job["jobId"] for job in jobs if job["finishedAt"] is not None}
        for job in jobs:
            name = job["jobId"]
            if name in self._before:
                continue
            asked = {"jobId": name, "maxEvents": EVENTS}
            if (cursor := self._cursors.get(name)) is not None:
                asked["cursor"] = cursor
            page = await call("codex_events", asked)
            self._cursors[name] = page["nextCursor"]
            for event in page["events"]:
                if event["type"] == "tool_result":
                    self._ends[name] = self._ends.get(name, 0) + 1
                    words.append(f"{job['title']}.{self._ends[name]}")
        if words:
            # Its answer comes when everything that was read so far has been looked at.
            await call("codex_conflicts", {})
        for word in words:
            self.say(word)
