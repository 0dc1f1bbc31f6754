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
    commit: str | None = None


class Row(Shape, frozen=True):
    """One row of the tree. See docs/protocol.md."""

    id: str
    label: str
    context: str
    aria: str
    target: Target
    description: str
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


class Counts(Shape, frozen=True):
    """How many there are of what a command or a menu depends on."""

    running: int
    queued: int
    done: int
    conflicts: int
    notes: int
    attention: int
    ended: int
    changed_files: int
    snapshots: int


class Badge(Shape, frozen=True):
    """The number at the view, and what it counts."""

    value: int
    tooltip: str


class Status(Shape, frozen=True):
    """The item of the status bar. Of several repositories the highest `level` decides about the icon."""

    text: str
    icon: str
    level: Literal[0, 1, 2]
    """0: all is done, 1: workers run or wait, 2: a person is needed, which the item warns of."""


class Summary(Shape, frozen=True):
    """What the whole repository comes to."""

    id: Literal["summary"]
    roots: list[str]
    """The ids of the topmost rows in order."""
    counts: Counts
    message: str | None
    """A line above the tree."""
    badge: Badge | None
    status: Status | None
    """None: there is nothing to say."""
    menu: str
    """Markdown."""
    baseline: bool
    """Whether a run is open."""
    setup: SetupNeed | None


NOTHING = Summary(
    id="summary",
    roots=[],
    counts=Counts(**dict.fromkeys(Counts.__struct_fields__, 0)),
    message=None,
    badge=None,
    status=None,
    menu="",
    baseline=False,
    setup=None,
)
"""Of a repository that nothing is known of."""


class RowItem(Row, frozen=True, tag_field="kind", tag="row"):
    """A row that is new or different."""


class MarkItem(Mark, frozen=True, tag_field="kind", tag="mark"):
    """A mark that is new or different."""


class SummaryItem(Summary, frozen=True, tag_field="kind", tag="summary"):
    """The summary, where it is different."""


class CoreItem(Shape, frozen=True, tag_field="kind"):
    """What the rows are drawn from; its other fields are for clients that draw by themselves."""

    id: str


class JobItem(CoreItem, frozen=True, tag="job"):
    """See docs/protocol.md, as for the next three."""


class RunItem(CoreItem, frozen=True, tag="run"):
    """The open run."""


class LimitsItem(CoreItem, frozen=True, tag="limits"):
    """How many workers run and wait."""


class ConflictItem(CoreItem, frozen=True, tag="conflict"):
    """An open conflict."""


Item = RowItem | MarkItem | SummaryItem | JobItem | RunItem | LimitsItem | ConflictItem


class Removed(Shape, frozen=True):
    """The item that is no more."""

    kind: Literal["row", "mark", "summary", "job", "run", "limits", "conflict"]
    id: str


class Full(Shape, frozen=True):
    """Everything that is drawn."""

    rows: list[Row]
    marks: list[Mark]
    summary: Summary


class StateMessage(Shape, frozen=True):
    """`codexSidecar/state`: everything, or what has changed since the message with the `seq` before."""

    seq: int
    full: Full | None = None
    changed: list[Item] | None = None
    removed: list[Removed] | None = None


class Owned(Shape, frozen=True):
    """Whose some neighbouring lines are. Lines count from 0, both ends are included."""

    start: int
    end: int
    text: str


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
        undone: files that workers wrote and that are as the baseline has them again.
        head: from which commit a person moved HEAD during the run, and to which.
        cleared, seen: ids of ended jobs.
        tasks: the beginning of the prompt of each job, where it is known already.
        finished: the last worker has just ended.
        still: nothing that is drawn may change by time alone.
        now: seconds since 1970.
    """

    top: str = ""
    jobs: Sequence[Job] = ()
    run: Mapping[str, Any] | None = None
    conflicts: Sequence[Conflict] = ()
    missing: Container[str] = ()
    commits: Sequence[tuple[str, str]] = ()
    undone: Container[str] = ()
    head: tuple[str | None, str | None] | None = None
    cleared: Container[str] = ()
    seen: Container[str] = ()
    tasks: Mapping[str, str] = field(default_factory=dict)
    snapshots: int = 0
    setup: SetupNeed | None = None
    marks: MarksWanted = "conflicts"
    finished: bool = False
    still: bool = False
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
