"""Parts of what `codex_conflicts` answers."""

from __future__ import annotations

from sidecar.a2.history import History
from sidecar.model.a2_outputs import BaselineShown, ConflictsOutput, SettledOutput, WorkerCommit
from sidecar.model.job import Run, iso


def shown_baseline(run: Run) -> BaselineShown:
    """The baseline of a run."""
    return BaselineShown(head=run.head, tree=run.tree, recorded_at=iso(run.recorded_at) or "")


def closed_run(run: Run, history: History) -> ConflictsOutput:
    """What is still known of a run that is over."""
    return ConflictsOutput(
        run_id=run.run_id, baseline=shown_baseline(run), conflicts=[], unclaimed=[], missing_reports=[],
        head_moved=None,
        worker_commits=[WorkerCommit(job_id=one.job_id, commit=one.commit) for one in run.worker_commits],
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
