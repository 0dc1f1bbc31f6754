"""What the A2 protocol has found, as the surfaces of an editor read it.

The shapes name what is used of `sidecar.a2.service`; a core without it has found nothing, so the surfaces stay empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from sidecar.a2.messages import Worker
from sidecar.model.conflict import Conflict, ConflictJob, LineRange, united
from sidecar.model.job import Attribution
from sidecar.model.settings import ConflictLevel

if TYPE_CHECKING:
    from sidecar.service.core import Core


class Owner(Protocol):
    """Who wrote some neighbouring lines of a file. Lines count from 1, both ends are included."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def writers(self) -> Sequence[tuple[str, str, str]]:
        """Job id (or `user`), label and title of each."""

    @property
    def attribution(self) -> Attribution: ...

    @property
    def at(self) -> float | None:
        """Seconds since 1970."""


class Ended(Worker, Protocol):
    """A job, as far as it is named here."""

    @property
    def job_id(self) -> str: ...

    @property
    def is_final(self) -> bool: ...


class A2(Protocol):
    """What the surfaces ask the A2 protocol. All but two answer from memory."""

    def conflicts(self) -> Sequence[Conflict]: ...

    def unclaimed(self) -> Sequence[str]: ...

    def missing_reports(self) -> Sequence[Ended]: ...

    async def owners(self, path: str) -> Sequence[Owner]: ...

    async def stored_version(self, path: str, side: str) -> bytes | None: ...

    async def own_edits(self, path: str, label: str) -> bytes | None: ...

    def note_buffer(self, path: str, editor: str, dirty: bool) -> None: ...
    def note_saved(self, path: str) -> None: ...

    def unsaved(self) -> dict[str, Ended]: ...


class Findings:
    """The A2 protocol of a core, or the nothing that stands for it where there is none."""

    def __init__(self, core: Core | None) -> None:
        self._a2: A2 | None = getattr(core, "a2", None)

    def conflicts(self) -> Sequence[Conflict]:
        """The open conflicts of the open run, worst first."""
        return self._a2.conflicts() if self._a2 else ()

    def of_path(self, path: str) -> list[Conflict]:
        return [conflict for conflict in self.conflicts() if conflict.path == path]

    def conflict(self, conflict_id: object) -> Conflict | None:
        return next((one for one in self.conflicts() if one.conflict_id == conflict_id), None)

    def unclaimed(self) -> Sequence[str]:
        return self._a2.unclaimed() if self._a2 else ()

    def missing_reports(self) -> Sequence[Ended]:
        return self._a2.missing_reports() if self._a2 else ()

    def unsaved(self) -> dict[str, Ended]:
        """Files with unsaved edits in an editor that a worker has just written, and that worker."""
        return self._a2.unsaved() if self._a2 else {}

    async def owners(self, path: str) -> Sequence[Owner]:
        return await self._a2.owners(path) if self._a2 else ()

    async def stored_version(self, path: str, side: str) -> bytes | None:
        """The content of one side (`base` or a worker's label); None where there is none."""
        return await self._a2.stored_version(path, side) if self._a2 else None

    async def own_edits(self, path: str, label: str) -> bytes | None:
        """The baseline's content with one worker's edits alone; None where there are none."""
        return await self._a2.own_edits(path, label) if self._a2 else None

    def note_buffer(self, path: str, editor: str, dirty: bool) -> None:
        if self._a2:
            self._a2.note_buffer(path, editor, dirty)

    def note_saved(self, path: str) -> None:
        """A person has saved the file."""
        if self._a2 is not None:
            self._a2.note_saved(path)


def as_told(conflict: Conflict, level: ConflictLevel) -> Conflict:
    """A conflict as it is told: with `files` it is about its file, and no lines are named."""
    if level != "files":
        return conflict
    jobs = [msgspec.structs.replace(job, ranges=[]) for job in conflict.jobs]
    return msgspec.structs.replace(conflict, jobs=jobs)


def places(conflict: Conflict) -> list[LineRange]:
    """The lines that a conflict is about, in order; none where no lines can be named."""
    jobs = conflict.decisive
    if conflict.kind == "lost-update":
        jobs = [job for job in jobs if job.role == "lost"]
    return united(lines for job in jobs for lines in job.ranges)


def in_order(conflict: Conflict) -> list[ConflictJob]:
    """The workers of a conflict in the order of their spawn."""
    return sorted(conflict.jobs, key=lambda job: (len(job.label), job.label))


def stored(conflict: Conflict) -> list[ConflictJob]:
    """The workers whose own version is stored, in the order of their spawn."""
    return [job for job in in_order(conflict) if job.attribution == "seen"]
