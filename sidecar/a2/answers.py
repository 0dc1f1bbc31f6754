"""Parts of what `codex_conflicts` and `codex_snapshots` answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sidecar.a2.history import History
from sidecar.git.snapshot import Snapshot
from sidecar.jobs.journal import Journal
from sidecar.model.a2_outputs import (
    BaselineShown,
    ConflictsOutput,
    SettledOutput,
    SnapshotOutput,
    SnapshotsOutput,
    WorkerCommit,
)
from sidecar.model.conflict import Conflict
from sidecar.model.errors import invalid
from sidecar.model.job import Job, Run, iso

LEFT_OPEN = "left-open"
"""The facts of a run that hold its open conflicts. A crash right before its close leaves one; the last one counts."""


def shown_baseline(run: Run) -> BaselineShown:
    """The baseline of a run."""
    return BaselineShown(head=run.head, tree=run.tree, recorded_at=iso(run.recorded_at) or "")


def shown_commits(run: Run, jobs: Iterable[Job]) -> list[WorkerCommit]:
    """The commits that workers made in a run, which they must not. `jobs`: all of its write jobs that have started."""
    labels = {job.job_id: job.label for job in jobs}
    return [
        WorkerCommit(job_id=one.job_id, label=labels.get(one.job_id, ""), commit=one.commit)
        for one in run.worker_commits
    ]


async def record_left_open(journal: Journal, run_id: str, conflicts: Sequence[Conflict]) -> None:
    """Keeps the conflicts that are open while a run closes.

    Raises:
        SidecarError: `state-unavailable`.
    """
    await journal.add_facts(run_id, [(LEFT_OPEN, "", msgspec.json.encode(list(conflicts)))])


async def closed_run(run_id: str, journal: Journal, history: History) -> ConflictsOutput:
    """What is known of a run that is over: the conflicts that were open at its end, and those settled before.

    Raises:
        SidecarError: `invalid-arguments` for a run that is not known, `state-unavailable`.
    """
    run = await journal.run(run_id)
    if run is None:
        raise invalid("runId", f"no run {run_id[:80]!r} is known", "Leave it out for the open run.")
    await history.load()
    left = await journal.facts(run_id, LEFT_OPEN)
    jobs = await journal.of_run(run_id)
    return ConflictsOutput(
        run_id=run.run_id, baseline=shown_baseline(run),
        conflicts=msgspec.json.decode(left[-1][1], type=list[Conflict]) if left else [], unclaimed=[],
        missing_reports=[job.job_id for job in jobs if job.is_final and job.report_missing],
        head_moved=None,
        worker_commits=shown_commits(run, jobs),
        settled=settled(history),
    )  # fmt: skip


def settled(history: History) -> list[SettledOutput]:
    """What was repaired or dismissed in a run, oldest first."""
    return [
        SettledOutput(
            path=one.path, how=one.how, at=iso(one.at) or "", job_ids=list(one.jobs), snapshot_id=one.snapshot_id
        )
        for one in history.repairs
    ]


def saved(snapshots: Sequence[Snapshot]) -> SnapshotsOutput:
    """What `codex_snapshots` answers."""
    return SnapshotsOutput(
        snapshots=[
            SnapshotOutput(
                snapshot_id=one.id,
                created_at=iso(one.created_at) or "",
                reason=one.reason,
                files=one.files,
                ref=one.ref,
            )
            for one in snapshots
        ]
    )
