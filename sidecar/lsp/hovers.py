"""Who wrote the line under the pointer."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from lsprotocol import types

from sidecar.a2 import messages
from sidecar.a2.versions import USER
from sidecar.lsp.contents import Contents
from sidecar.lsp.findings import Findings, Owner
from sidecar.lsp.links import Links
from sidecar.lsp.transcript import escaped
from sidecar.model.conflict import LineRange
from sidecar.model.errors import SidecarError

logger = logging.getLogger(__name__)

LINK_SECONDS = 0.3
"""How long a hover waits for a transcript to be written; later ones have its link."""


class Hovers:
    """Makes the hovers of one client."""

    def __init__(self, findings: Findings, contents: Contents, links: Links, *, markdown: bool) -> None:
        self._findings = findings
        self._contents = contents
        self._links = links
        self._markdown = markdown
        self._writing: dict[str, asyncio.Task[str | None]] = {}

    async def at(self, path: str, row: int) -> types.Hover | None:
        """The hover of an editor's row, from 0; None where no worker's line is there, or it is not saved."""
        owners = await self._findings.owners(path)
        if not owners:
            return None
        view = await self._contents.view(path)
        if (line := view.line(row)) is None:
            return None
        here = [owner for owner in owners if owner.start <= line <= owner.end and owner.writers]
        if not here:
            return None
        told = [text for owner in here for text in await self._told(owner)]
        first, last = min(owner.start for owner in here), max(owner.end for owner in here)
        kind = types.MarkupKind.Markdown if self._markdown else types.MarkupKind.PlainText
        content = types.MarkupContent(kind, ("\n\n" if self._markdown else "\n").join(told))
        return types.Hover(content, view.range(LineRange(first, last)))

    async def _told(self, owner: Owner) -> list[str]:
        at = None if owner.at is None else datetime.fromtimestamp(owner.at).strftime("%H:%M")
        told = []
        for job_id, label, title in owner.writers:
            text = messages.hover(messages.Named(label, title), owner.attribution, at)
            if not self._markdown:
                told.append(text)
                continue
            link = None if job_id == USER else await self._link(job_id, label, title)
            told.append(escaped(text) + (f" · [Transcript]({link})" if link else ""))
        return told

    async def _link(self, job_id: str, label: str, title: str) -> str | None:
        task = self._writing.get(job_id)
        if task is None:
            task = self._writing[job_id] = asyncio.ensure_future(self._transcript(job_id, label, title))
            task.add_done_callback(lambda _: self._writing.pop(job_id, None))
        await asyncio.wait({task}, timeout=LINK_SECONDS)
        return task.result() if task.done() else None

    async def _transcript(self, job_id: str, label: str, title: str) -> str | None:
        try:
            return await self._links.transcript(job_id, label, title)
        except SidecarError as exc:
            logger.info("no transcript for a hover: %s", exc.message)
            return None
