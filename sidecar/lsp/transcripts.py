"""The transcripts that one client has open, kept up with their jobs."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.jobs.attempt_files import SPOOL
from sidecar.lsp.document_files import DocumentFiles
from sidecar.lsp.paths import file_uri
from sidecar.lsp.transcript import Transcript, name
from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.model.job import FINAL_STATUSES
from sidecar.tools import table
from sidecar.tools.caller import Caller

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 0.5
"""A transcript is renewed at most twice a second."""
FOLLOWED_MAX = 32


@dataclass
class _Followed:
    job_id: str
    transcript: Transcript
    cursor: str | None = None
    ended: bool = False
    uri: str | None = None
    """As the client asked for it."""
    current: bool = True
    """The client has asked since it was last told to, so it still shows the document."""
    file: Path | None = None
    renewing: bool = False
    again: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Transcripts:
    """Reads pages through the tool `codex_events`, so a transcript says what every other client is told."""

    def __init__(
        self,
        caller: Caller,
        files: DocumentFiles | None,
        link: Callable[[str], str],
        refresh: Callable[[str], Awaitable[object]],
        start: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """
        Args:
            files: where transcripts are written for a client without virtual documents.
            link: the URI of a file of the repository.
            refresh: tells the client to ask for a document again.
            start: runs a coroutine in the background.
        """
        self._caller = caller
        self._files = files
        self._link = link
        self._refresh = refresh
        self._start = start
        self._followed: OrderedDict[str, _Followed] = OrderedDict()

    async def show(self, job_id: str, uri: str) -> str:
        """The text of a transcript, which the client shows under `uri`.

        Raises:
            SidecarError: `unknown-job`.
        """
        followed = self._follow(job_id)
        followed.uri, followed.current = uri, True
        return await self._text(followed)

    async def write(self, job_id: str, label: str, title: str) -> Path | None:
        """The file of a transcript, which is kept up from now on; None where it cannot be written.

        Raises:
            SidecarError: `unknown-job`.
        """
        if self._files is None:
            return None
        followed = self._follow(job_id)
        if followed.file is not None and followed.ended:
            return followed.file
        path = self._files.path(name(label, title))
        followed.file = path if await self._files.write(path, (await self._text(followed)).encode()) else None
        return followed.file

    def touch(self, job_id: str) -> None:
        """There is something new of this job."""
        followed = self._followed.get(job_id)
        if followed is None or not (followed.file is not None or (followed.uri is not None and followed.current)):
            return
        followed.again = True
        if not followed.renewing:
            followed.renewing = True
            self._start(self._renew(followed))

    def _follow(self, job_id: str) -> _Followed:
        if job_id not in self._followed:
            self._followed[job_id] = _Followed(job_id, Transcript(self._link))
        self._followed.move_to_end(job_id)
        if len(self._followed) > FOLLOWED_MAX:
            self._followed.popitem(last=False)
        return self._followed[job_id]

    async def _renew(self, followed: _Followed) -> None:
        try:
            while followed.again:
                followed.again = False
                if followed.uri is not None and followed.current:
                    followed.current = False
                    await self._refresh(followed.uri)
                if followed.file is not None and self._files is not None:
                    await self._files.write(followed.file, (await self._text(followed)).encode())
                await asyncio.sleep(REFRESH_SECONDS)
        except SidecarError as exc:
            logger.warning("cannot renew a transcript: %s", exc.message)
        finally:
            followed.renewing = False

    async def _text(self, followed: _Followed) -> str:
        async with followed.lock:
            job = await table.call("codex_status", {"jobId": followed.job_id}, self._caller)
            while not followed.ended and await self._read_page(followed):
                continue
            followed.ended = followed.ended and job["status"] in FINAL_STATUSES
            log = await asyncio.to_thread(self._log, followed.job_id) if followed.transcript.shortened else None
            return followed.transcript.page(job, log)

    def _log(self, job_id: str) -> str | None:
        """The URI of what the job's last attempt has printed; None where there is nothing. Blocks."""
        if self._caller.core is None:
            return None
        directory = self._caller.core.state_dir / "jobs" / job_id
        found = [path for path in directory.glob(f"*/{SPOOL}") if path.parent.name.isdecimal()]
        return file_uri(str(max(found, key=lambda path: int(path.parent.name)))) if found else None

    async def _read_page(self, followed: _Followed) -> bool:
        """Takes the next page; False where there is none yet, or none any more."""
        asked: dict[str, Any] = {
            "jobId": followed.job_id,
            "maxEvents": limits.EVENTS_MAX,
            "maxBytes": limits.CLIENT_CONGESTED_BYTES,
        }
        if followed.cursor is not None:
            asked["cursor"] = followed.cursor
        page = await table.call("codex_events", asked, self._caller)
        for event in page["events"]:
            followed.transcript.add(event)
        followed.cursor = page["nextCursor"]
        followed.ended = page["done"]
        return bool(page["events"]) and not page["done"]
