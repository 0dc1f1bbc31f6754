"""Whom the lines of a file belong to, and the contents that a file had."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.a2.board import Board
from sidecar.a2.history import EMPTY, StoredVersion
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


def persons_places(board: Board, scene: Scene, paths: Sequence[str]) -> dict[str, int]:
    """In how many places of each file a person's own edits stand, apart from what others did there.

    Files where that cannot be counted are left out: binary ones, and those that are gone. Blocks.
    """
    found: dict[str, int] = {}
    for path, chain in board.load_chains(scene, paths, whole=True).items():
        weave = board.weave_of(chain)
        if not weave.binary and chain.newest.content is not None:
            own = weave.versions_of({USER})
            found[path] = len(weave.edits(own, set(range(len(chain.versions))) - own))
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
    """The files of a job by all three witnesses; where several speak of a file, the surest is heard.

    A job's own versions say best what it did: the events of a patch do not tell of a move, and those of a command of
    nothing. A moved file is there twice: the new path is `renamed`, the old one `deleted`.
    """
    known = {file.path: file for file in job.touched_files}
    for path, versions in scene.history.versions.items():
        mine = [one for one in versions if job.job_id in one.writers]
        if not mine:
            continue
        certain = [one for one in mine if len(one.writers) == 1]
        attribution: Attribution = "seen" if certain else "ambiguous"
        before = known.get(path)
        if before is not None and _SURENESS.index(before.attribution) < _SURENESS.index(attribution):
            continue
        met = _met(scene, path, versions, mine[0])
        change = _change(scene.base_of(path), met, (certain or mine)[-1])
        if change == "added" and before is not None and before.change == "renamed":
            change = "renamed"  # As it was told when the job ended; the tree may not show it any more.
        known[path] = TouchedFile(path=path, change=change, attribution=attribution)
    return _renamed(scene, job, known)


def _met(scene: Scene, path: str, versions: Sequence[StoredVersion], first: StoredVersion) -> StoredVersion:
    """What a job met at a path, whose first version there is `first`."""
    at = next(number for number, one in enumerate(versions) if one.seq == first.seq)
    return versions[at - 1] if at else scene.base_of(path)


def _change(base: StoredVersion, met: StoredVersion, left: StoredVersion) -> Change:
    """What became of a path since the baseline; `mode` only where a job changed nothing else of what it met."""
    if left.oid is None:
        return "deleted"
    if base.oid is None:
        return "added"
    return "mode" if met.oid == left.oid and met.mode != left.mode else "modified"


def _renamed(scene: Scene, job: Job, known: dict[str, TouchedFile]) -> list[TouchedFile]:
    """The files, with the new path of each that the job moved told as `renamed`.

    A file is moved where the same job is seen to have taken one path away and made another with its content: a similar
    one, as git finds it when the tree is looked at, or the very same.
    """
    gone: dict[str, str] = {}
    """The content of what the job took away, by path."""
    come: dict[str, set[str]] = {}
    for path, file in known.items():
        versions = scene.history.versions.get(path, [])
        mine = [one for one in versions if job.job_id in one.writers]
        if file.attribution != "seen" or not mine:
            continue
        if file.change == "deleted" and (oid := _met(scene, path, versions, mine[0]).oid):
            gone[path] = oid
        elif file.change in ("added", "renamed"):
            come[path] = {one.oid for one in mine if one.oid and one.oid not in EMPTY}
    new: set[str] = set()
    # What was told of an ended job goes first: each file has gone to one place only.
    for path in sorted(come, key=lambda path: known[path].change != "renamed"):
        old = scene.moved.get(path)
        if old not in gone:
            old = next((each for each, oid in gone.items() if oid in come[path]), None)
        if old is not None:
            new.add(path)
            del gone[old]
    return [msgspec.structs.replace(file, change="renamed") if file.path in new else file for file in known.values()]
