"""The shapes that `codexSidecar/state` and `codexSidecar/rows` carry, and the facts that they are made from."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from sidecar.model.conflict import Conflict
from sidecar.model.job import FINAL_STATUSES, Access, JobStatus, Usage

SetupNeed = Literal["noCodex", "notLoggedIn"]
MarksWanted = Literal["conflicts", "touched", "off"]


class Shape(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """Base of everything that goes out; what is as it is by default is left out."""


class Target(Shape, frozen=True):
    """What an action on a row is about. `path` is relative to the repository, `/`-separated."""

    job_id: str | None = None
    conflict_id: str | None = None
    path: str | None = None


class Row(Shape, frozen=True):
    """One row of the tree. See docs/protocol.md."""

    id: str
    label: str
    context: str
    aria: str
    target: Target
    description: str
    since: str | None = None
    icon: str | None = None
    color: str | None = None
    path: str | None = None
    tooltip: str | None = None
    command: str | None = None
    collapsed: bool = False
    children: list[str] | None = None
    lazy: bool = False
    files: str | None = None
    """Changes whenever the rows below a lazy row have changed."""


class Mark(Shape, frozen=True):
    """A mark on a file; `id` is its path. Editors show no badge of more than two characters."""

    id: str
    badge: str
    tooltip: str
    conflict: bool


class File(msgspec.Struct, rename="camel", frozen=True):
    """A file that a worker touched, as the state has it."""

    path: str
    change: str = "modified"
    attribution: str = "seen"


class Problem(msgspec.Struct, frozen=True):
    """Why a job did not end `done`."""

    message: str = ""
    hint: str = ""


class Job(msgspec.Struct, rename="camel", frozen=True):
    """A job, as far as it is shown. Times are ISO 8601."""

    job_id: str
    label: str = ""
    title: str = ""
    run_id: str | None = None
    status: JobStatus = "running"
    sandbox: str = ""
    access: Access = "write"
    model: str | None = None
    exit_code: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    last_activity_at: str | None = None
    stop_requested_at: str | None = None
    activity: str | None = None
    stalled: bool = False
    usage: Usage | None = None
    error: Problem | None = None
    touched_files: list[File] = []

    @property
    def active(self) -> bool:
        return self.status not in FINAL_STATUSES

    @property
    def quiet(self) -> bool:
        """It runs, and nothing was heard of it for too long."""
        return self.active and self.stalled

    @property
    def needs_person(self) -> bool:
        """It did not end as it should, or left changes behind, or is stalled."""
        left = self.status == "cancelled" and bool(self.touched_files)
        return left or self.quiet or self.status in ("failed", "interrupted")


@dataclass(frozen=True)
class Facts:
    """Everything that a view shows.

    Attributes:
        top: the work tree's top level, by which a link finds its repository.
        jobs: oldest first; unfinished ones and the newest finished ones.
        run: the open run as `codexSidecar/state` has it.
        conflicts: worst first.
        missing: ids of the jobs that ended without a list of their files.
        commits: id of the worker and the commit that it made, each once.
        head: from which commit a person moved HEAD during the run, and to which.
        cleared, seen: ids of ended jobs.
        tasks: the beginning of the prompt of each job, where it is known already.
        now: seconds since 1970.
    """

    top: str = ""
    jobs: Sequence[Job] = ()
    run: Mapping[str, Any] | None = None
    conflicts: Sequence[Conflict] = ()
    missing: Container[str] = ()
    commits: Sequence[tuple[str, str]] = ()
    head: tuple[str | None, str | None] | None = None
    cleared: Container[str] = ()
    seen: Container[str] = ()
    tasks: Mapping[str, str] = field(default_factory=dict)
    snapshots: int = 0
    setup: SetupNeed | None = None
    marks: MarksWanted = "conflicts"
    now: float = 0.0

    @property
    def shown(self) -> list[Job]:
        """The jobs without those that the person has cleared; one that has not ended is never hidden."""
        return [job for job in self.jobs if job.active or job.job_id not in self.cleared]

    @property
    def run_id(self) -> str | None:
        return None if self.run is None else self.run.get("runId")


def needs_person(conflict: Conflict) -> bool:
    """Whether somebody has to decide; other conflicts are only told."""
    return conflict.severity != "information"
