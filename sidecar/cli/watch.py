"""Follows jobs until they have ended: their status and every event, a few times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sidecar.cli.conflict_watch import ConflictWatch
from sidecar.model import limits
from sidecar.model.job import FINAL_STATUSES

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller

INTERVAL_SECONDS = 0.2
PAGE = {"maxEvents": 200, "maxBytes": 65_536}
PAGES_AT_ONCE = 10
"""Most pages of one job in one round, so that a talkative worker does not hold back the others."""


@dataclass
class Watched:
    """One job that is followed; `status` is its newest `codex_status`."""

    job_id: str
    label: str
    title: str
    sandbox: str
    status: dict[str, Any]
    cursor: str | None = None
    drained: bool = False
    seen_status: str = ""
    announced: bool = False
    """Whether its start was shown."""

    @property
    def is_final(self) -> bool:
        return self.status["status"] in FINAL_STATUSES


@dataclass
class Round:
    """What is new: events as (job, event) in the order of their times, jobs whose status word changed, and a line for
    each conflict that the jobs have come into."""

    events: list[tuple[Watched, dict[str, Any]]] = field(default_factory=list)
    changed: list[Watched] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Watch:
    """The jobs of one run, as a terminal follows them."""

    def __init__(self, client: Caller, spawned: Sequence[dict[str, Any]], warnings: list[str] | None = None) -> None:
        """
        Args:
            warnings: what is said about conflicts is added to it.
        """
        self._client = client
        self.jobs = [
            Watched(job["jobId"], job["label"], job["title"], job["sandbox"], {**_NOTHING_KNOWN, **job})
            for job in spawned
        ]
        writing = [job.job_id for job in self.jobs if job.sandbox != "read-only"]
        self._conflicts = ConflictWatch(client, writing)
        self.warnings: list[str] = [] if warnings is None else warnings

    async def follow(self, show: Callable[[Round], None]) -> None:
        """Calls `show` after each look, and returns when all jobs have ended and all their events were shown.

        Raises:
            SidecarError: the sidecar could not be asked.
        """
        while True:
            show(await self._look())
            if all(job.is_final and job.drained for job in self.jobs):
                return
            await self._pause()

    async def _look(self) -> Round:
        found = Round()
        await self._read_status()
        for job in self.jobs:
            if job.status["status"] != job.seen_status:
                job.seen_status = job.status["status"]
                found.changed.append(job)
        pages = await asyncio.gather(*(self._read_events(job) for job in self.jobs if not job.drained))
        found.events = sorted((pair for page in pages for pair in page), key=lambda pair: pair[1]["timestamp"])
        found.warnings = await self._conflicts.look()
        self.warnings += found.warnings
        return found

    async def _read_status(self) -> None:
        by_id = {job["jobId"]: job for job in (await self._client.call("codex_status", {}))["jobs"]}
        for job in self.jobs:
            if not job.is_final:
                # An old finished job is not in the list of all.
                job.status = by_id.get(job.job_id) or await self._client.call("codex_status", {"jobId": job.job_id})

    async def _read_events(self, job: Watched) -> list[tuple[Watched, dict[str, Any]]]:
        found: list[tuple[Watched, dict[str, Any]]] = []
        for _ in range(PAGES_AT_ONCE):
            asked = {"jobId": job.job_id, **PAGE, **({"cursor": job.cursor} if job.cursor else {})}
            page = await self._client.call("codex_events", asked)
            job.cursor, job.drained = page["nextCursor"], page["done"]
            found += [(job, event) for event in page["events"]]
            if job.drained or not page["events"]:
                break
        return found

    async def _pause(self) -> None:
        """Until the next look, or until a job ends."""
        running = [job.job_id for job in self.jobs if not job.is_final][: limits.LIST_ITEMS]
        if running:
            await self._client.call("codex_wait_any", {"jobIds": running, "timeoutMs": round(INTERVAL_SECONDS * 1000)})
        else:
            await asyncio.sleep(INTERVAL_SECONDS / 4)


_NOTHING_KNOWN: dict[str, Any] = {
    "exitCode": None,
    "startedAt": None,
    "finishedAt": None,
    "lastActivityAt": None,
    "activity": None,
    "stalled": False,
    "queuePosition": None,
    "usage": None,
    "error": None,
}
