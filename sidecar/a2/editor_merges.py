"""The merge that a person makes in an editor: two versions at a time, until every worker's part is in the file.

What is merged holds all that stands in the file (`sidecar.a2.sides`), so that nobody's work is dropped by a merge.
Where more than two workers are in conflict, a first merge joins two of them and the conflict stays open. From then on
the file itself, with what a person goes on to change in it, is the version of these two for the merge with the next; as
long as no worker and no repair writes it meanwhile. What was joined is a fact of the run, so it outlives this process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

from sidecar.a2.plans import Plan, Plans
from sidecar.a2.sides import side_for_file, two_sides
from sidecar.a2.versions import USER, Chain
from sidecar.a2.weave import Weave
from sidecar.a2.witness import Scene
from sidecar.git.blobs import store_bytes
from sidecar.git.journal import Target
from sidecar.git.worktree import Signature
from sidecar.model.a2_outputs import AppliedMergeOutput, MergeInputsOutput, Preview, VersionOutput
from sidecar.model.conflict import Conflict
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import Job

if TYPE_CHECKING:
    from sidecar.a2.service import A2

JOINED = "joined"
"""The facts of a run that say whose versions a file already joins, by path; the last one counts."""


class Joined(msgspec.Struct, array_like=True, frozen=True):
    """A file whose version `seq` is a person's merge of these jobs' versions, as they were at version `before`."""

    seq: int
    before: int
    jobs: tuple[str, ...]


class EditorMerges:
    """Merges of two versions by a person."""

    def __init__(self, a2: A2, plans: Plans) -> None:
        self._a2 = a2
        self._plans = plans

    async def merge_inputs(self, conflict_id: str, job_ids: list[str] | None) -> MergeInputsOutput:
        """Base, two versions and their marked merge, of a text file; both versions hold what else is in the file.

        Args:
            job_ids: whose versions; None: the first two that no merge has joined yet.

        Raises:
            SidecarError: `unknown-conflict`; `invalid-arguments` for `jobIds` that are not two jobs of the conflict,
                and for a file that cannot be merged as text.
        """
        scene, conflict = await self._plans.with_conflict(conflict_id)
        chain = self._a2.board.chains.get(conflict.path)
        jobs = await self._plans.jobs_of_run([job.job_id for job in conflict.jobs])
        found = await self._joined(scene, conflict)
        joined = frozenset(found.jobs) if found is not None else frozenset[str]()
        one, other = self._chosen(conflict, jobs, job_ids, joined)
        link = scene.now_known(conflict.path).mode == "120000"
        if chain is None or chain.newest.content is None or link or not _is_text(chain):
            raise invalid("conflictId", f"{conflict.path} cannot be merged as text", "Use keep, reconcile or rerun.")
        # Two that are joined already are merged anew, from their own versions.
        in_file = joined if not {one.job_id, other.job_id} <= joined else frozenset[str]()
        ours, theirs = [_marker(job, jobs, in_file) for job in (one, other)]
        pair = (one.job_id, other.job_id)
        ids = {job.job_id for job in jobs}

        def work() -> tuple[list[bytes | None], tuple[bytes, int]]:
            weave = Weave(chain)
            if found is None or in_file.isdisjoint(pair):
                first, second = two_sides(weave, pair, ids.difference(pair))
            else:
                first, second = [
                    chain.newest.content
                    if job_id in in_file
                    else side_for_file(weave, job_id, ids - {job_id}, found.before)
                    for job_id in pair
                ]
            return [first, second], self._a2.board.merge_text(chain, first, second, (ours, "baseline", theirs))

        versions, (marked, count) = await asyncio.to_thread(work)
        return MergeInputsOutput(
            path=conflict.path,
            base=_text(chain.baseline.content),
            versions=[
                VersionOutput(
                    job_id=job.job_id,
                    label=job.label,
                    title=job.title,
                    text=_text(version),
                    joined=job.job_id in in_file,
                )
                for job, version in zip((one, other), versions, strict=True)
            ],
            marked=marked.decode(),
            conflicts=count,
            disk_hash=_hash(scene, conflict.path, pair),
        )

    def _chosen(
        self, conflict: Conflict, jobs: list[Job], job_ids: list[str] | None, joined: frozenset[str]
    ) -> tuple[Job, Job]:
        names = ", ".join(job.label for job in jobs)
        if job_ids is not None:
            by_id = {job.job_id: job for job in jobs}
            if unknown := [one for one in job_ids if one not in by_id]:
                raise invalid("jobIds", f"{unknown[0][:80]!r} is no job of this conflict", f"It is between {names}.")
            if len(job_ids) != 2 or job_ids[0] == job_ids[1]:
                raise invalid("jobIds", "two different jobs are merged at a time", f"Name two of {names}.")
            return by_id[job_ids[0]], by_id[job_ids[1]]
        # The file with what it joins is one side; the first job that it lacks is the other.
        sides = [job for job in jobs if job.job_id in joined][:1] + [job for job in jobs if job.job_id not in joined]
        if len(sides) < 2:
            sides = jobs
        if len(sides) < 2:
            raise invalid("conflictId", f"{conflict.path} has one worker's version only", "Use keep or reconcile.")
        return sides[0], sides[1]

    async def _joined(self, scene: Scene, conflict: Conflict) -> Joined | None:
        """What the file joins now; None as soon as anything but a person has written it since."""
        facts = await self._a2.journal.facts(scene.history.run_id, JOINED)
        found = [msgspec.json.decode(data, type=Joined) for path, data in facts if path == conflict.path]
        if not found:
            return None
        since = [one for one in scene.history.versions.get(conflict.path, []) if one.seq > found[-1].seq]
        return found[-1] if all(one.writers == (USER,) for one in since) else None

    async def apply_merge(self, conflict_id: str, text: str, expected_hash: str) -> AppliedMergeOutput:
        """Writes the editor's merge; the conflict is over once every worker's version is part of the file.

        Raises:
            SidecarError: `unknown-conflict`; `busy` while a worker of it runs; `stale-token` where the file is not the
                one of `codex_merge_inputs`.
        """
        # Taken before the second look: whatever is written after it is not what the hash is compared with.
        expected = await self._plans.signatures([(await self._plans.with_conflict(conflict_id))[1].path])
        scene, conflict = await self._plans.with_conflict(conflict_id)
        self._plans.refuse_while_live(conflict)
        ids = [job.job_id for job in conflict.jobs]
        pairs = (pair for pair in combinations(ids, 2) if _hash(scene, conflict.path, pair) == expected_hash)
        if (pair := next(pairs, None)) is None:
            raise SidecarError(
                "stale-token",
                f"{conflict.path} changed on disk while it was being merged; nothing was written.",
                "Read codex_merge_inputs again and merge anew.",
                {"path": conflict.path},
            )
        try:
            data = text.encode()
        except UnicodeEncodeError as exc:
            raise invalid("text", "holds half a character (a lone surrogate)") from exc

        def store() -> str:
            with self._a2.repository.plumbing() as git:
                return store_bytes(git, data)

        mode = scene.now_known(conflict.path).mode or "100644"
        target = Target("file", await asyncio.to_thread(store), permissions(mode))
        found = await self._joined(scene, conflict)
        before = found.before if found is not None else scene.now_known(conflict.path).seq
        joined = set(pair)
        if found is not None and len(joined & set(found.jobs)) == 1:
            joined |= set(found.jobs)
        chain = self._a2.board.chains.get(conflict.path)
        lacking = [job for job in ids if job not in joined and chain is not None and chain.written_by(job)]
        reason = f"before {conflict.path} is merged"
        if lacking:
            fact = Joined(0, before, tuple(sorted(joined)))
            snapshot = await self._write_part(scene, conflict.path, target, reason, expected, fact)
        else:
            jobs = await self._plans.jobs_of_run(ids)
            empty = Preview(text="", files=[], jobs=[], user_edits=[], untouched=[])
            plan = Plan(empty, lambda _: "", [conflict.path], jobs, {conflict.path: target}, expected=expected)
            snapshot = (await self._plans.act(scene, plan, reason, "merged in the editor")).snapshot.id
        return AppliedMergeOutput(conflict_id=conflict_id, path=conflict.path, snapshot_id=snapshot)

    async def _write_part(
        self, scene: Scene, path: str, target: Target, reason: str, expected: Mapping[str, Signature], joined: Joined
    ) -> str:
        """Writes a merge that some worker's version is still missing in: the conflict stays open."""
        async with self._a2.repairing:
            async with self._a2.frozen([path]):
                done = await asyncio.to_thread(
                    lambda: self._a2.repairs.apply({path: target}, reason=reason, expected=expected)
                )
                await self._a2.witness.absorb([path])
            fact = msgspec.structs.replace(joined, seq=scene.now_known(path).seq)
            await self._a2.journal.add_facts(scene.history.run_id, [(JOINED, path, msgspec.json.encode(fact))])
        await self._a2.refresh()
        return done.snapshot.id


def permissions(mode: str) -> int:
    """The permissions of a file that git knows by this mode."""
    return 0o755 if mode == "100755" else 0o644


def _hash(scene: Scene, path: str, pair: tuple[str, ...]) -> str:
    """Names what stands at a path together with the two jobs that are being merged there, in any order."""
    known = scene.now_known(path)
    named = "\0".join([path, str(known.oid), known.mode, *sorted(pair)])
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()


def _marker(job: Job, jobs: list[Job], in_file: frozenset[str]) -> str:
    """What stands beside a conflict marker."""
    if job.job_id in in_file:
        return " and ".join(one.label for one in jobs if one.job_id in in_file) + " merged"
    return f"{job.label} {job.title}"


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode()


def _is_text(chain: Chain) -> bool:
    """Whether every content is UTF-8 text: what an editor gives back of other bytes is not what they were."""
    try:
        for version in chain.versions:
            _text(version.content)
    except UnicodeDecodeError:
        return False
    return not chain.binary
