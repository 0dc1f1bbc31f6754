"""How a conflict that is open no more may have ended, told from what was saved and who ran since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from sidecar.report.clock import Clock
from sidecar.report.facts import Conflict, Report, Worker
from sidecar.report.html import one_line


def explained(report: Report, clock: Clock) -> Report:
    """The report with a sentence at each settled conflict of which something is known."""
    by_id = {worker.job_id: worker for worker in report.workers}
    conflicts = [
        msgspec.structs.replace(conflict, settled=_ending(conflict, by_id, report, clock))
        if conflict.state == "settled" and not conflict.settled
        else conflict
        for conflict in report.conflicts
    ]
    return msgspec.structs.replace(report, conflicts=conflicts)


def _ending(conflict: Conflict, by_id: dict[str, Worker], report: Report, clock: Clock) -> str:
    ends = [worker.finished_at for part in conflict.workers if (worker := by_id.get(part.job_id)) is not None]
    last = max((end for end in ends if end is not None), default=0.0)
    later = [repair for repair in report.repairs if repair.created_at >= last]
    own = [repair for repair in later if conflict.path in repair.reason]
    if own:
        snapshot = one_line(own[-1].snapshot_id, 128)
        return f"Repaired at {clock.time(own[-1].created_at)}; snapshot {snapshot} holds what stood there before."
    if (worker := _reconciler(conflict.path, report.workers, last)) is not None:
        return f"Reconciled by {one_line(worker.label, 16)}."
    # What may have been done to many files: a roll back, or a re-run of the workers.
    whole = [repair for repair in later if " is " not in repair.reason]
    if whole:
        saved = f"snapshot {one_line(whole[0].snapshot_id, 128)} was saved {one_line(whole[0].reason, 200)}"
        return f"It is not open any more; at {clock.time(whole[0].created_at)} {saved}."
    return ""


def _reconciler(path: str, workers: Sequence[Worker], since: float) -> Worker | None:
    found: Iterable[Worker] = (
        worker
        for worker in workers
        if worker.title == f"reconcile {path}"[:120] and worker.status == "done" and (worker.started_at or 0) >= since
    )
    return next(iter(found), None)
