"""Whom the lines of a file belong to, and the contents that a file had."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.a2.board import Board
from sidecar.a2.history import StoredVersion
from sidecar.a2.versions import USER
from sidecar.a2.witness import Scene
from sidecar.git.blobs import read_blobs
from sidecar.git.repository import Repository
from sidecar.model.job import Attribution, Change, Job, TouchedFile

_SURENESS: tuple[Attribution, ...] = ("seen", "ambiguous", "reported")


class LineOwner(msgspec.Struct, frozen=True):
    """Lines `start` to `end` (from 1, both included) of a file's content and whom they belong to."""

    start: int
    end: int
    writers: tuple[tuple[str, str, str], ...]
    """(job id, label, title); ("user", "you", "") for a person; none: nobody is known."""
    attribution: Attribution
    at: float | None


def owners_of(board: Board, scene: Scene, path: str, run_jobs: Sequence[Job]) -> list[LineOwner]:
    """The owners of all lines that are not the baseline's, neighbours joined. Blocks."""
    jobs = {job.job_id: job for job in run_jobs}
    chain = board.load_chains(scene, [path], whole=True)[path]
    at = {version.writers: version.at for version in chain.versions}
    found: list[LineOwner] = []
    for number, owner in enumerate(board.weave_of(chain).owners(), 1):
        if not owner.writers:
            continue
        names = tuple(
            (one, "you", "") if one == USER else (one, jobs[one].label, jobs[one].title)
            for one in owner.writers
            if one == USER or one in jobs
        )
        kind: Attribution = "seen" if owner.certain else "ambiguous"
        last = found[-1] if found else None
        if last is not None and last.end == number - 1 and (last.writers, last.attribution) == (names, kind):
            found[-1] = msgspec.structs.replace(last, end=number)
        else:
            found.append(LineOwner(number, number, names, kind, at.get(owner.writers)))
    return found


def stored(repository: Repository, scene: Scene, path: str, side: str, run_jobs: Sequence[Job]) -> bytes | None:
    """The baseline's content (`base`) or the last one of a worker (its label); None where there is none. Blocks."""
    if side == "base":
        oid = scene.base_of(path).oid
    else:
        ids = {job.job_id for job in run_jobs if job.label == side}
        written = [one for one in scene.history.versions.get(path, []) if ids & set(one.writers)]
        oid = written[-1].oid if written else None
    if not oid:
        return None
    with repository.plumbing() as git:
        return read_blobs(git, [oid]).get(oid)


def own_edits(board: Board, scene: Scene, path: str, label: str, run_jobs: Sequence[Job]) -> bytes | None:
    """What the baseline becomes by one worker's edits alone; None: it removed the file, or wrote none. Blocks."""
    job_id = next((job.job_id for job in run_jobs if job.label == label), None)
    chain = board.load_chains(scene, [path], whole=True).get(path)
    return board.version_of(chain, job_id) if chain and job_id and chain.written_by(job_id) else None


def touched_files(scene: Scene, job: Job) -> list[TouchedFile]:
    """The files of a job by all three witnesses; where several speak of a file, the surest is heard."""
    known = {file.path: file for file in job.touched_files}
    for path, versions in scene.history.versions.items():
        mine = [one for one in versions if job.job_id in one.writers]
        if not mine:
            continue
        sure = any(len(one.writers) == 1 for one in mine)
        before = known.get(path)
        if before is not None and _SURENESS.index(before.attribution) <= _SURENESS.index(
            "seen" if sure else "ambiguous"
        ):
            continue
        known[path] = TouchedFile(
            path=path, change=_change(scene.base_of(path), mine[-1]), attribution="seen" if sure else "ambiguous"
        )
    return list(known.values())


def _change(base: StoredVersion, last: StoredVersion) -> Change:
    if last.oid is None:
        return "deleted"
    if base.oid is None:
        return "added"
    return "mode" if base.oid == last.oid else "modified"
