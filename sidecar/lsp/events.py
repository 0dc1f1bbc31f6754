"""`codexSidecar/events`: the events of every job, batched, for a client that shows transcripts live.

Pages are read through the tool `codex_events`, so a notification and a page that a client asks for are the same thing
and a cursor from one can be used in the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.tools import table
from sidecar.tools.caller import Caller

logger = logging.getLogger(__name__)

METHOD = "codexSidecar/events"
RETRY_SECONDS = 1.0
"""Pause after a page could not be read for a reason that passes."""


class EventsPublisher:
    """Sends each job's events in order, each once, with at most ten notifications a second for a job."""

    def __init__(
        self,
        caller: Caller,
        notify: Callable[[str, Any], None],
        drained: Callable[[], Awaitable[None]],
        start: Callable[[Any], asyncio.Task[None]],
    ) -> None:
        self._caller = caller
        self._notify = notify
        self._drained = drained
        self._start = start
        self._cursors: dict[str, str] = {}
        self._fresh: set[str] = set()
        self._following: set[str] = set()

    def touch(self, job_id: str) -> None:
        """There may be events of this job that the client has not got yet."""
        self._fresh.add(job_id)
        if job_id not in self._following:
            self._following.add(job_id)
            self._start(self._follow(job_id))

    async def _follow(self, job_id: str) -> None:
        """Sends pages until there is nothing new; `touch` starts it again."""
        try:
            while job_id in self._fresh:
                self._fresh.discard(job_id)
                await self._drained()
                if not await self._send_page(job_id):
                    return
        finally:
            self._following.discard(job_id)

    async def _send_page(self, job_id: str) -> bool:
        """Sends the next page, if there is one, and keeps the pause after it; False where the job is gone."""
        asked: dict[str, Any] = {
            "jobId": job_id,
            "maxEvents": limits.EVENTS_MAX,
            "maxBytes": limits.CLIENT_CONGESTED_BYTES,
        }
        if job_id in self._cursors:
            asked["cursor"] = self._cursors[job_id]
        try:
            page = await table.call("codex_events", asked, self._caller)
        except SidecarError as exc:
            logger.warning("cannot follow the events of a job: %s", exc.message)
            if exc.kind == "unknown-job":
                return False
            self._fresh.add(job_id)
            await asyncio.sleep(RETRY_SECONDS)
            return True
        if page["events"]:
            self._cursors[job_id] = page["nextCursor"]
            self._notify(METHOD, {name: page[name] for name in ("jobId", "label", "events", "nextCursor")})
            if not page["done"]:
                self._fresh.add(job_id)
            await asyncio.sleep(limits.EVENTS_INTERVAL_SECONDS)
        return True
