"""Which files are in conflict, how badly, and between whom.

The rule is the protocol's: a file in the lists of several workers whose times overlapped is a conflict. What the
stored versions say only decides its kind, from "different parts of the file" to "one threw the other's work away".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import get_args

from sidecar.a2.strands import Edit, Loss, Place, collisions
from sidecar.a2.versions import USER, Chain
from sidecar.a2.weave import Weave
from sidecar.model.conflict import (
    KINDS,
    Conflict,
    ConflictJob,
    ConflictKind,
    LineRange,
    Role,
    severity,
    suggested,
    united,
    worst,
)
from sidecar.model.job import Attribution, Job, TouchedFile

_SURE: tuple[Attribution, ...] = get_args(Attribution)
"""From the surest."""
_ROLES: tuple[Role, ...] = ("lost", "overwrote", "deleted", "changed")
"""Of several parts of one worker the first is told."""


@dataclass(frozen=True)
class Work:
    """One worker as the rules see it. Times are seconds since 1970 (UTC); `end` is None while it runs."""

    job_id: str
    label: str
    title: str
    start: float
    end: float | None = None
    modified_files: tuple[str, ...] = ()
    touched: tuple[TouchedFile, ...] = ()

    @classmethod
    def of(cls, job: Job) -> Work | None:
        """What counts of a job; None for one that has not started."""
        if job.started_at is None:
            return None
        return cls(
            job.job_id,
            job.label,
            job.title,
            job.started_at,
            job.finished_at,
            tuple(job.modified_files or ()),
            tuple(job.touched_files),
        )

    def overlaps(self, other: Work) -> bool:
        """Whether both ran at some moment. Who began when the other had ended builds on its work."""
        return (other.end is None or self.start < other.end) and (self.end is None or other.start < self.end)

    def during(self, at: float | None) -> bool:
        """Whether it ran at that time; an unknown time counts as one at which it did."""
        return at is None or (self.start <= at and (self.end is None or at <= self.end))


@dataclass
class _Finding:
    """What is between two workers, or a worker and a person, in one file."""

    kind: ConflictKind
    names: tuple[str, ...]
    roles: dict[str, Role] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)


def conflict_id(run_id: str, path: str) -> str:
    """The same for a path as long as the run lasts, whatever becomes of the conflict in it."""
    digest = hashlib.sha256(f"{run_id}\0{path}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"conflict-{digest[:16]}"


def detect(
    run_id: str,
    jobs: Sequence[Work],
    chains: Mapping[str, Chain],
    *,
    weaves: MutableMapping[str, Weave] | None = None,
    merges: Mapping[str, bool] | None = None,
) -> list[Conflict]:
    """All conflicts of a run, the worst first, then by path.

    Args:
        jobs: the run's write jobs that have started, in the order of their spawn.
        chains: the stored versions of each path that has any.
        weaves: keeps what was worked out for a chain, for the next call with a longer one.
        merges: for paths where it is known (a dry run of git's merge): whether the versions merge cleanly.
    """
    written: dict[str, set[str]] = {}
    for path, chain in chains.items():
        for writer in {writer for version in chain.versions for writer in version.writers}:
            written.setdefault(writer, set()).add(path)
    members: dict[str, list[Work]] = {}
    for job in jobs:
        for path in {*job.modified_files, *(file.path for file in job.touched), *written.get(job.job_id, ())}:
            members.setdefault(path, []).append(job)
    woven: MutableMapping[str, Weave] = {} if weaves is None else weaves
    found = []
    for path, workers in members.items():
        file = _File(path, chains.get(path), workers, woven)
        if conflict := file.conflict(run_id, (merges or {}).get(path)):
            found.append(conflict)
    return sorted(found, key=lambda conflict: (KINDS.index(conflict.kind), conflict.path))


class _File:
    """One path and the workers that have it in their lists."""

    def __init__(self, path: str, chain: Chain | None, workers: list[Work], woven: MutableMapping[str, Weave]) -> None:
        self.path = path
        self.chain = chain
        self.workers = workers
        self._woven = woven

    @cached_property
    def weave(self) -> Weave | None:
        """Made only where a conflict is possible: most files have one writer."""
        if self.chain is None:
            return None
        known = self._woven.get(self.path)
        self._woven[self.path] = weave = known.follow(self.chain) if known else Weave(self.chain)
        return weave

    @cached_property
    def losses(self) -> list[Loss]:
        return self.weave.losses() if self.weave else []

    def conflict(self, run_id: str, merges: bool | None) -> Conflict | None:
        pairs = [(one, other) for one, other in combinations(self.workers, 2) if one.overlaps(other)]
        met = [worker for worker in self.workers if self._met_user(worker)]
        if not pairs and not met:
            return None
        findings = [self._between(one, other) for one, other in pairs] + [self._with_user(worker) for worker in met]
        kind = worst([finding.kind for finding in findings])
        decisive = [finding for finding in findings if finding.kind == kind]
        involved = [w for w in self.workers if w in met or any(w in pair for pair in pairs)]
        mergeable = self._mergeable([worker.job_id for worker in involved], bool(met)) if merges is None else merges
        live = any(worker.end is None for worker in involved)
        chain = self.chain
        return Conflict(
            conflict_id=conflict_id(run_id, self.path),
            path=self.path,
            kind=kind,
            severity=severity(kind, live=live),
            confirmed=all(w.end is not None or (chain is not None and chain.stored_for(w.job_id)) for w in involved),
            jobs=[self._job(worker, decisive) for worker in involved],
            mergeable=mergeable,
            suggested=suggested(kind, mergeable=mergeable, user=bool(met), binary=chain is not None and chain.binary),
            live=live,
        )

    def _job(self, worker: Work, findings: list[_Finding]) -> ConflictJob:
        """A worker's part: what the decisive findings say of it, or else where it wrote."""
        places = [place for finding in findings for place in finding.places.get(worker.job_id, ())]
        roles = [finding.roles.get(worker.job_id, "changed") for finding in findings if worker.job_id in finding.names]
        role: Role = min(roles, key=_ROLES.index, default="elsewhere")
        if not places and role != "deleted":
            places = self._own_places(worker.job_id)
        return ConflictJob(
            job_id=worker.job_id,
            label=worker.label,
            title=worker.title,
            attribution=self._attribution(worker),
            ranges=united(LineRange(*place) for place in places),
            role=role,
        )

    def _attribution(self, worker: Work) -> Attribution:
        """The surest way in which the file is known to be this worker's."""
        ways: list[Attribution] = ["reported"]
        ways += [file.attribution for file in worker.touched if file.path == self.path]
        if self.chain is not None:
            written = [self.chain.versions[index] for index in self.chain.written_by(worker.job_id)]
            ways += [version.attribution if len(version.writers) == 1 else "ambiguous" for version in written]
        return min(ways, key=_SURE.index)

    def _own_places(self, job_id: str) -> list[Place]:
        weave = self.weave
        if weave is None or weave.binary or weave.chain.newest.content is None:
            return []
        own = weave.versions_of({job_id})
        return _places(weave.edits(own, set(range(len(weave.chain.versions))) - own))

    def _between(self, one: Work, other: Work) -> _Finding:
        """What is between two workers that overlapped. A version that either may have made proves nothing."""
        weave = self.weave
        names = (one.job_id, other.job_id)
        sides = [
            weave.versions_of({mine}, without={theirs}) if weave else set() for mine, theirs in (names, names[::-1])
        ]
        if weave is None or not all(sides):
            return self._told(one, other)
        gone = [weave.chain.versions[max(side)].content is None for side in sides]
        if gone[0] != gone[1]:
            return _Finding("edit-and-delete", names, {names[0 if gone[0] else 1]: "deleted"})
        return self._compared(weave, names, sides, "same-file-edit", "overlapping-edit")

    def _told(self, one: Work, other: Work) -> _Finding:
        """What is between two workers without a version of each: what was seen of them, without contents."""
        names = (one.job_id, other.job_id)
        seen = [
            next(
                (file.change for file in worker.touched if file.path == self.path and file.attribution == "seen"), None
            )
            for worker in (one, other)
        ]
        if None not in seen and (seen[0] == "deleted") != (seen[1] == "deleted"):
            return _Finding("edit-and-delete", names, {names[0 if seen[0] == "deleted" else 1]: "deleted"})
        return _Finding("reported-only", names)

    def _met_user(self, worker: Work) -> bool:
        """Whether a person wrote the file while this worker ran."""
        return self.chain is not None and any(
            USER in self.chain.versions[index].writers and worker.during(self.chain.versions[index].at)
            for index in self.chain.written_by(USER)
        )

    def _with_user(self, worker: Work) -> _Finding:
        weave = self.weave
        assert weave is not None, "a person's edit is known by its version only"
        sides = [weave.versions_of({worker.job_id}, without={USER}), weave.versions_of({USER}, without={worker.job_id})]
        return self._compared(weave, (worker.job_id, USER), sides, "user-edit", "user-edit")

    def _compared(
        self,
        weave: Weave,
        names: tuple[str, str],
        sides: Sequence[set[int]],
        plain: ConflictKind,
        colliding: ConflictKind,
    ) -> _Finding:
        """The finding from two writers' own versions; `plain` where they are in different parts of the file."""
        found = _Finding(plain, names)
        if weave.chain.newest.content is None:
            return found
        for loser, taker in (names, names[::-1]):
            for loss in self.losses:
                if loser in loss.losers and taker in loss.takers:
                    if plain != "user-edit":
                        found.kind = "lost-update"
                        found.roles = {**found.roles, taker: found.roles.get(taker, "overwrote"), loser: "lost"}
                    _note(found, names, loss.place)
        if not found.places:
            ground = set(range(len(weave.chain.versions))) - sides[0] - sides[1]
            left, right = (weave.edits(side, ground) for side in sides)
            hits = list(collisions(left, right))
            found.kind = colliding if hits else plain
            for mine, theirs in hits:
                for name, place in zip(names, (mine.place, theirs.place), strict=True):
                    _note(found, (name,), place)
        if weave.binary:
            found.places.clear()
        return found

    def _mergeable(self, job_ids: list[str], user: bool) -> bool:
        """Whether the workers' versions will merge: all are theirs for certain, and no edits touch each other."""
        weave = self.weave
        if weave is None or weave.binary or not weave.exact or weave.chain.newest.content is None:
            return False
        names = [*job_ids, USER] if user else job_ids
        sides = [weave.versions_of({name}) for name in names]
        versions = weave.chain.versions
        for name, side in zip(names, sides, strict=True):
            certain = all(versions[index].writer == name for index in side)
            if not side or not certain or versions[max(side)].content is None:
                return False
        ground = set(range(len(versions))).difference(*sides)
        edits = [weave.edits(side, ground) for side in sides]
        return not any(any(collisions(left, right)) for left, right in combinations(edits, 2))


def _note(found: _Finding, names: Iterable[str], place: Place | None) -> None:
    for name in names:
        found.places.setdefault(name, []).extend([place] if place else [])


def _places(edits: Iterable[Edit]) -> list[Place]:
    return [edit.place for edit in edits if edit.place is not None]
