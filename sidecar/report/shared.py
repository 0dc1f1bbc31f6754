"""The protocol's rule, where no open conflict says more: one file of several workers whose times overlapped.

A worker that began after another's end builds on its work; that is no conflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sidecar.a2.messages import listed
from sidecar.model.job import TouchedFile
from sidecar.report.facts import Conflict, ConflictState, ConflictWorker, Worker
from sidecar.report.html import one_line

SHOWN_LABELS = 10
KIND = "same file"


def conflicts(workers: Sequence[Worker], state: ConflictState) -> list[Conflict]:
    """One for each file that at least two workers name who may write and whose times overlapped, by path."""
    by_path: dict[str, list[tuple[Worker, TouchedFile]]] = {}
    for worker in workers:
        for file in worker.files if worker.may_write and worker.started_at is not None else ():
            by_path.setdefault(file.path, []).append((worker, file))
    found = []
    for path, touched in sorted(by_path.items()):
        meeting = _meeting([worker for worker, _ in touched]) if len(touched) > 1 else set()
        if meeting:
            found.append(_conflict(path, [pair for pair in touched if pair[0].job_id in meeting], state))
    return found


def _meeting(workers: Iterable[Worker]) -> set[str]:
    """Job ids of the workers that met another one."""
    met: set[str] = set()
    last: tuple[float, str] | None = None
    # In the order of their start, a worker meets an earlier one exactly if it began before the latest end so far.
    for start, end, job_id in sorted(map(_time, workers)):
        if last is not None and start < last[0]:
            met |= {job_id, last[1]}
        if last is None or end > last[0]:
            last = (end, job_id)
    return met


def _time(worker: Worker) -> tuple[float, float, str]:
    end = float("inf") if worker.finished_at is None else worker.finished_at
    return worker.started_at or 0.0, end, worker.job_id


def _conflict(path: str, touched: Sequence[tuple[Worker, TouchedFile]], state: ConflictState) -> Conflict:
    labels = [one_line(worker.label, 16) for worker, _ in touched[:SHOWN_LABELS]]
    if len(touched) > SHOWN_LABELS:
        labels.append(f"{len(touched) - SHOWN_LABELS} more")
    return Conflict(
        path=path,
        kind=KIND,
        severity="warning",
        sentence=f"{listed(labels)} name this file, and their times overlapped.",
        state=state,
        workers=[
            ConflictWorker(
                job_id=worker.job_id,
                label=worker.label,
                title=worker.title,
                what=f"{file.change} it ({file.attribution})" if file.change != "mode" else "changed its mode",
            )
            for worker, file in touched
        ],
    )
