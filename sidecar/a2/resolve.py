"""Resolving one conflict: merge, keep, reconcile, run again, dismiss."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from sidecar.a2 import dialogs, messages
from sidecar.a2.board import by_nobody
from sidecar.a2.editor_merges import EditorMerges, permissions
from sidecar.a2.history import StoredVersion
from sidecar.a2.plans import Plan, facts_of
from sidecar.a2.reconcile import reconcile_prompt
from sidecar.a2.tokens import stale
from sidecar.a2.versions import USER, Chain
from sidecar.a2.witness import Scene
from sidecar.git.journal import Target
from sidecar.git.swap import Moved
from sidecar.git.worktree import NO_FILE, Signature
from sidecar.jobs.new_job import NewJob
from sidecar.model.a2_outputs import (
    Preview,
    PreviewFile,
    PreviewJob,
    PreviewOutput,
    ReplacedJob,
    ResolvedOutput,
)
from sidecar.model.conflict import Conflict
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import Job

RECONCILE = "reconcile"
"""The kind of fact that says which conflict a job reconciles; another sidecar may see its end."""


class _Reconciling(msgspec.Struct, frozen=True):
    path: str
    jobs: list[str]


class Resolver(EditorMerges):
    """Repairs of single conflicts of the open run."""

    # -- resolve ------------------------------------------------------------------------------------------------

    async def resolve(
        self, conflict_id: str, strategy: str, job_id: str | None, token: str | None, client: Any
    ) -> PreviewOutput | ResolvedOutput:
        """Repairs one conflict by one of the strategies."""
        scene, conflict = await self._plans.with_conflict(conflict_id)
        if job_id is not None and strategy != "keep":
            raise invalid("jobId", "goes with strategy `keep` only", "Leave it out.")
        if strategy == "dismiss":
            await self._plans.settle(scene, [conflict.path], "dismissed", [job.job_id for job in conflict.jobs], None)
            await self._a2.refresh()
            return ResolvedOutput(conflict_id=conflict_id, strategy=strategy, snapshot_id=None, files=[], jobs=[])
        self._plans.refuse_while_live(conflict)
        plan = await self._resolve_plan(scene, conflict, strategy, job_id)
        call = ("resolve", conflict_id, strategy, job_id)
        if token is None:
            return self._a2.tokens.offer(call, plan.preview, plan.seen, plan.named)
        plan.saved_as = self._a2.tokens.check(token, call, plan.preview, plan.seen, plan.named)
        if strategy == "reconcile":
            return await self._reconcile(scene, conflict, plan, client)
        new: list[ReplacedJob] = []
        try:
            if strategy == "rerun":
                done, new = await self._plans.do_rerun(scene, plan, client)
            else:
                done = await self._plans.act(scene, plan, f"before {conflict.path} is resolved", strategy)
        except Moved as exc:
            raise stale(await self.resolve(conflict_id, strategy, job_id, None, client)) from exc
        return ResolvedOutput(
            conflict_id=conflict_id,
            strategy=strategy,
            snapshot_id=done.snapshot.id,
            files=list(done.changed),
            jobs=new,
        )

    async def _resolve_plan(self, scene: Scene, conflict: Conflict, strategy: str, job_id: str | None) -> Plan:
        jobs = await self._plans.jobs_of_run([job.job_id for job in conflict.jobs])
        if strategy == "rerun":
            return await self._plans.rerun_plan(scene, jobs)
        chain = self._a2.board.chains.get(conflict.path)
        if chain is None:
            raise invalid("strategy", f"no versions of {conflict.path} were stored", "Use rerun or dismiss.")
        if strategy == "merge":
            target, action = await self._merged(scene, conflict, chain)
        elif strategy == "keep":
            target, action = self._kept(scene, conflict, jobs, job_id)
        else:
            target, action = None, f"is given to a new worker with the versions of {_labels(jobs)}"
        # What a repair wrote, a person had merged or restored.
        mine = [conflict.path] if USER in scene.history.writers(conflict.path) or by_nobody(chain) else []
        signatures = await self._plans.signatures([conflict.path])
        moves = target is not None and not _stands(
            target, signatures[conflict.path], scene.now_known(conflict.path)
        )  # fmt: skip
        text = f"{conflict.path} {action}."
        others: list[str] = []
        if target is not None and not moves:
            mine = []
            text += " It already is: no file is changed."
        if moves and strategy == "keep" and (others := await self._later(scene, conflict, chain, job_id)):
            text += f" What {messages.listed(others)} did to it later is undone too."
        if mine and strategy != "reconcile":
            text += (
                " Your own edits in it become part of the result."
                if strategy == "merge"
                else " Your own edits in it are undone too."
            )
        keep_days = self._a2.settings().snapshots.keep_days

        def named(snapshot: str | None) -> str:
            return f"{text} {dialogs.snapshot_kept(snapshot, keep_days)}"

        preview = Preview(
            text=named(None),
            files=[PreviewFile(path=conflict.path, action=action)],
            jobs=[PreviewJob(job_id=job.job_id, label=job.label, title=job.title) for job in jobs],
            user_edits=mine if strategy == "keep" else [],
            untouched=sorted(self._a2.witness.changed - {conflict.path}),
        )
        targets = None if target is None else {conflict.path: target}
        seen = (sorted(signatures.items()), target, mine, others, await self._a2.runs.head())
        return Plan(preview, named, [conflict.path], jobs, targets, seen, signatures)

    async def _merged(self, scene: Scene, conflict: Conflict, chain: Chain) -> tuple[Target, str]:
        sides = self._a2.board.sides(conflict, chain)
        if by_nobody(chain):
            raise invalid(
                "strategy",
                f"{conflict.path} holds what was merged by hand or restored, which no worker's version does",
                "Use codex_merge_inputs to go on by hand, or keep (jobId), reconcile, rerun or dismiss; "
                f"suggested: {conflict.suggested}.",
                suggested=conflict.suggested,
            )
        if not conflict.mergeable:
            raise _not_merged(conflict)
        names = await self._names(sides)
        merged = await asyncio.to_thread(self._a2.board.merge, scene, conflict.path, chain, names)
        if merged is None or not merged.clean:
            raise _not_merged(conflict)
        entry = merged.files[conflict.path].entry
        action = f"becomes the merge of {' and '.join(names[side] for side in sides)}"
        if entry is None:
            return Target("absent"), action
        return Target("link" if entry.mode == "120000" else "file", entry.oid, permissions(entry.mode)), action

    def _kept(self, scene: Scene, conflict: Conflict, jobs: list[Job], job_id: str | None) -> tuple[Target, str]:
        if job_id is None:
            raise invalid("jobId", "missing", f"`keep` needs the job whose version stays: {_labels(jobs)}.")
        job = next((one for one in jobs if one.job_id == job_id), None)
        if job is None:
            raise invalid("jobId", "is no job of this conflict", f"It is between {_labels(jobs)}.")
        last = _own_version(scene, conflict.path, job.job_id)
        if last is None:
            written = any(job_id in one.writers for one in scene.history.versions.get(conflict.path, []))
            why = ": what is there may be another's" if written else ""
            raise invalid(
                "jobId",
                f"no version that is certainly {job.label}'s was stored{why}",
                f"Use keep with another job, reconcile, rerun or dismiss; suggested: {conflict.suggested}.",
                suggested=conflict.suggested,
            )
        action = f"becomes {job.label}'s version"
        if last.oid is None:
            return Target("absent"), f"is removed, as {job.label} did"
        if not last.oid:
            raise invalid("jobId", f"{job.label}'s version was too large to be stored", "Use rerun or dismiss.")
        return Target("link" if last.mode == "120000" else "file", last.oid, permissions(last.mode)), action

    async def _others(self, conflict: Conflict, chain: Chain) -> list[str]:
        """The labels of workers that wrote the file and are in no conflict over it."""
        known = {USER, *(job.job_id for job in conflict.jobs)}
        return list(
            (await self._names([one for one in self._a2.board.sides(conflict, chain) if one not in known])).values()
        )

    async def _later(self, scene: Scene, conflict: Conflict, chain: Chain, job_id: str | None) -> list[str]:
        """Whose work beside that of the conflict's others goes, where the newest own version of a job is kept.

        Who is in no conflict over the file, and whoever of several wrote what came after that version.
        """
        found = await self._others(conflict, chain)
        last = None if job_id is None else _own_version(scene, conflict.path, job_id)
        in_order = [*(job.job_id for job in self._a2.run_jobs()), USER]
        for one in scene.history.versions.get(conflict.path, []):
            if last is not None and one.seq > last.seq and len(one.writers) > 1 and job_id in one.writers:
                names = await self._names([name for name in in_order if name in one.writers])
                found.append(" or ".join(names.values()))
        return list(dict.fromkeys(found))

    async def _names(self, sides: Sequence[str]) -> dict[str, str]:
        jobs = {job.job_id: job for job in self._a2.run_jobs()}
        return {side: "your edits" if side == USER else jobs[side].label for side in sides}

    # -- reconcile ----------------------------------------------------------------------------------------------

    async def _reconcile(self, scene: Scene, conflict: Conflict, plan: Plan, client: Any) -> ResolvedOutput:
        """A new worker that gets the tasks and both versions; the conflict is over when it has ended `done`."""
        # That worker writes over the file, so it is saved first, as before any other act.
        saved = await asyncio.to_thread(
            lambda: self._a2.snapshots_store.capture(
                f"before {conflict.path} is reconciled", [conflict.path], saved_as=plan.saved_as
            )
        )
        store = self._a2.manager.store
        tasks = {job.job_id: await asyncio.to_thread(store.prompt, job) for job in plan.jobs}
        own = {job.job_id: _own_version(scene, conflict.path, job.job_id) for job in plan.jobs}
        prompt = reconcile_prompt(
            conflict, plan.jobs, tasks, {key: one.oid for key, one in own.items() if one is not None},
            scene.base_of(conflict.path).oid, await self._besides(conflict),
        )  # fmt: skip
        facts = facts_of(plan.jobs[0], client) | {
            "title": f"reconcile {conflict.path}"[:120], "sandbox": "workspace-write", "config": {},
            "expected_files": [conflict.path],
        }  # fmt: skip
        made = await self._a2.manager.spawn(NewJob(prompt, dict(client.env), facts), on_dirty="refuse")
        about = msgspec.json.encode(_Reconciling(conflict.path, [one.job_id for one in conflict.jobs]))
        await self._a2.journal.add_facts(scene.history.run_id, [(RECONCILE, made.job_id, about)])
        return ResolvedOutput(
            conflict_id=conflict.conflict_id, strategy="reconcile", snapshot_id=saved.id, files=[],
            jobs=[ReplacedJob(job_id=made.job_id, label=made.label, replaces=None)],
        )  # fmt: skip

    async def _besides(self, conflict: Conflict) -> list[str]:
        """What is in the file and in no version of the conflict's workers, in words for another worker."""
        chain = self._a2.board.chains.get(conflict.path)
        if chain is None:
            return []
        found = [f"the later edits of {label}" for label in await self._others(conflict, chain)]
        found += ["a person's own edits"] if chain.written_by(USER) else []
        return found + (["what a person has merged by hand or restored"] if by_nobody(chain) else [])

    async def job_ended(self, job: Job) -> None:
        """A reconcile worker that ended `done` has ended its conflict."""
        scene = self._a2.witness.scene
        if job.status != "done" or scene is None:
            return
        for job_id, data in await self._a2.journal.facts(scene.history.run_id, RECONCILE):
            if job_id == job.job_id:
                about = msgspec.json.decode(data, type=_Reconciling)
                await self._plans.settle(scene, [about.path], "reconciled", about.jobs, None)


def _own_version(scene: Scene, path: str, job_id: str) -> StoredVersion | None:
    """The newest version that this worker wrote for certain; None: there is none."""
    written = [one for one in scene.history.versions.get(path, []) if one.writers == (job_id,)]
    return written[-1] if written else None


def _not_merged(conflict: Conflict) -> SidecarError:
    why = (
        f"there is no version of {conflict.path} for each worker"
        if conflict.kind == "reported-only"
        else f"the versions of {conflict.path} do not merge"
    )
    return invalid(
        "strategy",
        why,
        f"Use keep (jobId), reconcile, rerun or dismiss; suggested: {conflict.suggested}.",
        suggested=conflict.suggested,
    )


def _stands(target: Target, signature: Signature, known: StoredVersion) -> bool:
    """Whether a path is what it is to become: `known` is the content of what has this signature."""
    if target.kind == "absent":
        return signature.kind in NO_FILE
    if signature.kind != target.kind or known.oid != target.oid:
        return False
    return target.kind == "link" or signature.mode == target.mode


def _labels(jobs: Sequence[Job]) -> str:
    return " and ".join(job.label for job in jobs)
