"""Who wrote the lines of a file: asked for by a client of its own kind, or as inlay hints where a person wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lsprotocol import types

from sidecar.a2 import messages
from sidecar.lsp.contents import Contents, View
from sidecar.lsp.findings import Findings, Owner
from sidecar.lsp.options import client_setting
from sidecar.lsp.paths import Paths
from sidecar.lsp.view.shapes import Owned
from sidecar.model import limits
from sidecar.model.conflict import LineRange


class Attribution:
    """What one client is told of whose lines are."""

    def __init__(
        self, findings: Findings, paths: Paths, contents: Contents, ask: Callable[[str, Any], Awaitable[Any]]
    ) -> None:
        """
        Args:
            ask: sends a request that the client may refuse.
        """
        self._findings = findings
        self._paths = paths
        self._contents = contents
        self._ask = ask
        self._hints = False
        self._changed = asyncio.Event()

    def take_settings(self, section: object) -> None:
        """Reads from the client's section of settings whether hints are wanted."""
        wanted = client_setting(section, "attribution") == "inlayHints"
        if wanted != self._hints:
            self._hints = wanted
            self._changed.set()

    def touch(self) -> None:
        """Lines may belong to somebody else now."""
        if self._hints:
            self._changed.set()

    async def owners(self, uri: str) -> list[Owned]:
        """Whose the lines of a file are, as the editor shows them."""
        told = []
        for owner, view in await self._found(uri):
            where = view.range(LineRange(owner.start, owner.end))
            told.append(Owned(start=where.start.line, end=where.end.line, text=_text(owner)))
        return told

    async def hints(self, uri: str, where: types.Range) -> list[types.InlayHint]:
        """A hint behind the first of the lines that belong to the same workers; none where none are wanted."""
        made = []
        for owner, view in await self._found(uri) if self._hints else ():
            at = view.range(LineRange(owner.start, owner.start)).end
            if where.start.line <= at.line <= where.end.line:
                made.append(types.InlayHint(at, _text(owner), padding_left=True))
        return made

    async def refresh(self) -> None:
        """Has the client ask for the hints again whenever they may be different, until cancelled."""
        self._changed.clear()  # It asks by itself when it begins.
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._ask(types.WORKSPACE_INLAY_HINT_REFRESH, None)
            await asyncio.sleep(limits.STATE_INTERVAL_SECONDS)

    async def _found(self, uri: str) -> list[tuple[Owner, View]]:
        path = self._paths.relative(uri)
        if path is None:
            return []
        owners = [owner for owner in await self._findings.owners(path) if owner.writers]
        view = await self._contents.view(path) if owners else None
        return [] if view is None else [(owner, view) for owner in owners]


def _text(owner: Owner) -> str:
    """`w1 add retries and w2 typed errors`."""
    return messages.listed([messages.one_line(f"{label} {title}") for _, label, title in owner.writers])
