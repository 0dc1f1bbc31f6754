"""Conflicts while they happen: a line at the moment at which two workers are in each other's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sidecar.cli import a2_texts
from sidecar.cli.output import one_line
from sidecar.model.conflict import KINDS

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller

CALM_SECONDS = 1.0
"""How often a conflict that is known is looked at again, for whether it has grown worse or is gone."""


class ConflictWatch:
    """The conflicts in which some jobs are, as a terminal is told of them."""

    def __init__(self, client: Caller, job_ids: Sequence[str]) -> None:
        self._client = client
        self._job_ids = tuple(job_ids)
        self._told: dict[str, dict[str, Any]] = {}
        self._known: set[str] = set()
        self._looked = float("-inf")

    async def look(self) -> list[str]:
        """One line for each conflict that is new, has grown worse, or is gone.

        Asking for a job's result costs the sidecar nothing; `codex_conflicts` looks at the whole tree, so it is asked
        only where a result names a conflict.

        Raises:
            SidecarError: the sidecar could not be asked.
        """
        asked = [self._client.call("codex_result", {"jobId": job_id, "maxChars": 1}) for job_id in self._job_ids]
        named = {conflict_id for result in await asyncio.gather(*asked) for conflict_id in result["conflicts"]}
        if named == self._known and (not named or time.monotonic() - self._looked < CALM_SECONDS):
            return []
        self._known = named
        found = of_jobs((await self._client.call("codex_conflicts", {}))["conflicts"], self._job_ids)
        self._looked = time.monotonic()
        return self.tell(found)

    def tell(self, found: list[dict[str, Any]]) -> list[str]:
        """The lines for what has changed since the last call. What is settled is told after the round, as a whole."""
        now = {item["conflictId"]: item for item in found}
        lines = [
            f"! {one_line(old['path'])}: not in conflict any more"
            for conflict_id, old in self._told.items()
            if conflict_id not in now
        ]
        for conflict_id in self._told.keys() - now.keys():
            del self._told[conflict_id]
        for conflict_id, item in now.items():
            if item["live"] and _is_news(self._told.get(conflict_id), item):
                lines.append(a2_texts.warning(item))
                self._told[conflict_id] = item
        return lines


def of_jobs(conflicts: list[dict[str, Any]], job_ids: Sequence[str] | set[str]) -> list[dict[str, Any]]:
    """Those of the conflicts in which one of these jobs is."""
    return [item for item in conflicts if any(job["jobId"] in job_ids for job in item["jobs"])]


def _is_news(before: dict[str, Any] | None, item: dict[str, Any]) -> bool:
    if before is None:
        return True
    workers, known = ({job["jobId"] for job in one["jobs"]} for one in (item, before))
    return KINDS.index(item["kind"]) < KINDS.index(before["kind"]) or not workers <= known
