"""One question a run when a conflict is certain: nobody has to look at the list of problems to learn of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from lsprotocol import types

from sidecar.a2 import messages
from sidecar.lsp.asking import Person
from sidecar.lsp.contents import Contents
from sidecar.lsp.findings import Findings, places
from sidecar.lsp.paths import Paths
from sidecar.model.conflict import Conflict
from sidecar.model.settings import ConflictLevel

COLLECT_SECONDS = 1.0
"""Workers that end together make one notice."""
REVIEW = "Review"
LATER = "Later"

_ANSWERED: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()
"""The runs of each core whose notice a person has answered: a window that is opened again does not repeat it."""


def answered(core: object) -> set[str]:
    """The runs of a core whose notice a person has answered, in whatever window."""
    return _ANSWERED.setdefault(core, set())


def certain(findings: Findings) -> list[Conflict]:
    """The conflicts that somebody has to decide, worst first."""
    return [one for one in findings.conflicts() if one.confirmed and one.severity in ("error", "warning")]


class Notices:
    """Tells the person at one client that workers collided."""

    def __init__(
        self,
        core: object,
        findings: Findings,
        paths: Paths,
        contents: Contents,
        person: Person,
        run_id: Callable[[], str | None],
        level: Callable[[], ConflictLevel],
        start: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._answered = answered(core)
        self._findings = findings
        self._paths = paths
        self._contents = contents
        self._person = person
        self._run_id = run_id
        self._level = level
        self._start = start
        self._told: set[str] = set()

    def touch(self) -> None:
        """The conflicts have changed."""
        run_id = self._run_id()
        if run_id is None or run_id in self._told or run_id in self._answered or not certain(self._findings):
            return
        self._told.add(run_id)
        self._start(self._tell(run_id))

    async def _tell(self, run_id: str) -> None:
        await asyncio.sleep(COLLECT_SECONDS)
        found = certain(self._findings)
        if not found or self._run_id() != run_id or self._level() == "off":
            self._told.discard(run_id)
            return
        chosen = await self._person.choice(types.MessageType.Warning, messages.conflict_notice(found), REVIEW, LATER)
        if chosen is None:
            return
        self._answered.add(run_id)
        if chosen == REVIEW:
            await self._review(found[0])

    async def _review(self, seen: Conflict) -> None:
        """Opens the worst conflict that is still there, at its first line."""
        conflict = self._findings.conflict(seen.conflict_id) or seen
        lines = places(conflict)
        where = (await self._contents.view(conflict.path)).range(lines[0] if lines else None)
        await self._person.show(self._paths.uri(conflict.path), where, messages.diagnostic(conflict))
