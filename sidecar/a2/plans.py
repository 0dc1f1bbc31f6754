"""Repairs: what would be done (preview), and doing it (token). Snapshot first, act second, workers held meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sidecar.a2 import dialogs
from sidecar.a2.history import Settled
from sidecar.a2.intents import REASON, Intent, facts_again, facts_of
from sidecar.a2.owners import persons_places
from sidecar.a2.restores import restore
from sidecar.a2.tokens import Named, stale
from sidecar.a2.versions import USER
from sidecar.a2.witness import Scene
from sidecar.git.journal import Target
from sidecar.git.repair import Repaired
from sidecar.git.swap import Moved
from sidecar.git.worktree import Signature
from sidecar.jobs.new_job import NewJob
from sidecar.model.a2_inputs import RerunOrder
from sidecar.model.a2_outputs import (
    ActedOutput,
    Preview,
    PreviewFile,
    PreviewJob,
    PreviewOutput,
    ReplacedJob,
    RerunOutput,
)
from sidecar.model.conflict import Conflict
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import Job, now

if TYPE_CHECKING:
    from sidecar.a2.service import A2

__all__ = ["Plan", "Plans", "facts_of"]


@dataclass
class Plan:
    """One repair, worked out and not done."""

    preview: Preview
    named: Named
    """The preview's text with the name of the snapshot."""
    paths: list[str]
    jobs: list[Job] = field(default_factory=list)
    targets: dict[str, Target] | None = None
    """None: the paths go back to the baseline."""
    seen: Any = None
    expected: Mapping[str, Signature] | None = None
    """What stood at the paths when it was worked out; it is done to nothing else. None: to what is there then."""
    saved_as: str | None = None
    """The id that was promised for the snapshot."""
    also: Sequence[str] = ()
    """Of a re-run: files whose conflicts are over with it. They are saved, too, where nothing of them goes back."""


class Plans:
    """All repairs of the open run."""

    def __init__(self, a2: A2) -> None:
        self._a2 = a2
        self._one_at_a_time = asyncio.Lock()

    # -- what a repair works on ---------------------------------------------------------------------------------

    async def scene(self, missing: str, job_ids: Sequence[str] = ()) -> Scene:
        """The open run, with all that has happened until now.

        Args:
            missing: the field that is named where no run is open.
            job_ids: those that were asked for.

        Raises:
            SidecarError: where no run is open `unknown-job` for the first of them that is not known, else
                `invalid-arguments`.
        """
        if self._a2.witness.scene is None:
            for job_id in job_ids:
                await self._a2.manager.job(job_id)
            raise invalid(missing, "no run is open", "Spawn a write job first; it records the baseline.")
        await self._a2.look()
        return self._a2.witness.scene

    async def with_conflict(self, conflict_id: str) -> tuple[Scene, Conflict]:
        """The open run with one of its open conflicts.

        Raises:
            SidecarError: `unknown-conflict`, also where no run is open.
        """
        scene = None if self._a2.witness.scene is None else await self.scene("conflictId")
        conflict = None if scene is None else self._a2.board.find(conflict_id)
        if scene is None or conflict is None:
            raise SidecarError(
                "unknown-conflict",
                f"No open conflict {conflict_id[:80]!r} is known{'; no run is open' if scene is None else ''}.",
                "Use codex_conflicts to list the open ones.",
                {"conflictId": conflict_id[:200]},
            )
        return scene, conflict

    def refuse_while_live(self, conflict: Conflict) -> None:
        """Raises `busy` while a worker of the conflict runs."""
        if conflict.live:
            running = [job.label for job in self._a2.run_jobs() if not job.is_final]
            raise SidecarError(
                "busy",
                f"{', '.join(running)} still runs and may change {conflict.path}.",
                "Wait for its end with codex_wait_any, or stop it with codex_cancel.",
            )

    async def jobs_of_run(self, job_ids: Sequence[str], *, in_order: bool = False) -> list[Job]:
        """Write jobs of the open run: the first spawned first, or `in_order` of their ids.

        Raises:
            SidecarError: `unknown-job`; `invalid-arguments`: one is of no use here.
        """
        found = [await self._a2.manager.job(job_id) for job_id in dict.fromkeys(job_ids)]
        known = {job.job_id for job in self._a2.run_jobs()}
        for index, job in enumerate(found):
            if job.job_id not in known:
                raise invalid(f"jobIds[{index}]", f"{job.label} is no write job of the open run", "")
        return found if in_order else sorted(found, key=lambda job: job.number)

    def files_of(self, scene: Scene, job: Job) -> set[str]:
        """What a job wrote, or may have written, or reported, and differs from the baseline now."""
        own = {path for path, all_ in scene.history.versions.items() if any(job.job_id in one.writers for one in all_)}
        own |= {file.path for file in job.touched_files} | set(job.modified_files or ())
        return own & self._a2.witness.changed

    async def signatures(self, paths: Iterable[str]) -> Mapping[str, Signature]:
        return await asyncio.to_thread(self._a2.repairs.signatures, sorted(paths))

    # -- roll back ----------------------------------------------------------------------------------------------

    async def rollback_plan(self, scene: Scene, paths: set[str], jobs: list[Job], rerun: Sequence[Job] = ()) -> Plan:
        ordered = sorted(paths)
        touching = [job for job in self._a2.run_jobs() if self.files_of(scene, job) & paths]
        undone = [dialogs.Undone(job, sorted(self.files_of(scene, job) & paths)) for job in touching]
        removed = [path for path in ordered if scene.base_of(path).oid is None]
        mine = [path for path in ordered if self._is_persons(scene, path)]
        places = await asyncio.to_thread(persons_places, self._a2.board, scene, mine)
        untouched = sorted(self._a2.witness.changed - paths)
        left = [
            dialogs.Undone(job, sorted(files))
            for job in self._a2.run_jobs()
            if (files := self.files_of(scene, job) - paths)
        ]
        workers = {path for each in left for path in each.paths}
        persons = [path for path in untouched if path not in workers or self._is_persons(scene, path)]
        keep_days = self._a2.settings().snapshots.keep_days

        def text(snapshot: str | None) -> str:
            return dialogs.roll_back(
                ordered,
                undone,
                removed=removed,
                user_edits=[dialogs.UserEdit(path, places.get(path, 0)) for path in mine],
                untouched=persons,
                left=left,
                snapshot=snapshot,
                keep_days=keep_days,
                rerun=rerun,
                running=[job for job in touching if not job.is_final],
            ).text

        preview = Preview(
            text=text(None),
            files=[
                PreviewFile(path=path, action="is removed" if path in removed else "goes back to the baseline")
                for path in ordered
            ],
            jobs=[PreviewJob(job_id=job.job_id, label=job.label, title=job.title) for job in touching],
            user_edits=mine,
            untouched=untouched,
        )
        signatures = await self.signatures(ordered)
        seen = (
            sorted(signatures.items()),
            [job.job_id for job in jobs],
            [(job.job_id, job.is_final) for job in touching],
            await self._a2.runs.head(),
        )
        over = {job.job_id for job in rerun}
        also = [one.path for one in self._a2.board.conflicts if {job.job_id for job in one.jobs} <= over]
        return Plan(preview, text, ordered, jobs, seen=seen, expected=signatures, also=also)

    def _is_persons(self, scene: Scene, path: str) -> bool:
        """Whether a person's own edits are in a file, or not saved to it yet."""
        written = scene.history.versions.get(path, [])
        return path in self._a2.buffers.dirty or any(USER in one.writers for one in written)

    async def rollback(
        self, paths: list[str] | None, job_ids: list[str] | None, token: str | None
    ) -> PreviewOutput | ActedOutput:
        """Brings files back to the baseline."""
        scene = await self.scene("paths" if job_ids is None else "jobIds", job_ids or ())
        changed = self._a2.witness.changed
        jobs = await self.jobs_of_run(job_ids) if job_ids is not None else self._a2.run_jobs()
        chosen: set[str] = set()
        if paths is not None:
            for index, path in enumerate(paths):
                if path not in changed:
                    raise invalid(f"paths[{index}]", f"{path[:200]!r} is as it was in the baseline", "")
            chosen = set(paths)
        if paths is None or job_ids is not None:
            chosen |= {path for job in jobs for path in self.files_of(scene, job)}
        if not chosen:
            raise invalid(
                "jobIds" if job_ids else "paths", "nothing differs from the baseline", "There is nothing to undo."
            )
        plan = await self.rollback_plan(scene, chosen, jobs if job_ids is not None else [])
        call = ("rollback", paths, job_ids)
        if token is None:
            return self._a2.tokens.offer(call, plan.preview, plan.seen, plan.named)
        plan.saved_as = self._a2.tokens.check(token, call, plan.preview, plan.seen, plan.named)
        try:
            done = await self.act(scene, plan, "before a roll back", "rolled back")
        except Moved as exc:
            raise stale(await self.rollback(paths, job_ids, None)) from exc
        return ActedOutput(snapshot_id=done.snapshot.id, files=list(done.changed), kept=done.kept)

    async def act(
        self,
        scene: Scene,
        plan: Plan,
        reason: str,
        how: str,
        moved: Callable[[Repaired], Awaitable[None]] | None = None,
    ) -> Repaired:
        """Does what a plan says: workers held, snapshot, swap, and the conflicts of its paths are over.

        Args:
            moved: called as soon as the files are what they are to be, before the trash can be emptied.

        Raises:
            Moved: a path is not as the plan expects; nothing was changed.
        """
        async with self._a2.repairing:
            async with self._a2.frozen(plan.paths):
                expected = plan.expected if plan.expected is not None else await self.signatures(plan.paths)
                if plan.targets is None:
                    done = await asyncio.to_thread(
                        lambda: self._a2.repairs.rollback(
                            scene.baseline,
                            plan.paths,
                            reason=reason,
                            expected=expected,
                            saved_as=plan.saved_as,
                            also=plan.also,
                        )
                    )
                else:
                    targets = plan.targets
                    done = await asyncio.to_thread(
                        lambda: self._a2.repairs.apply(
                            targets, reason=reason, expected=expected, saved_as=plan.saved_as
                        )
                    )
                if moved is not None:
                    await moved(done)
                await self._a2.witness.absorb(plan.paths)
            await self.settle(scene, plan.paths, how, [job.job_id for job in plan.jobs], done.snapshot.id)
        await self._a2.refresh()
        return done

    async def settle(
        self, scene: Scene, paths: Iterable[str], how: str, jobs: Sequence[str], snapshot: str | None
    ) -> None:
        at = now()
        await scene.history.settle(
            Settled(path, scene.now_known(path).seq, how, at, tuple(jobs), snapshot) for path in paths
        )

    # -- run again ----------------------------------------------------------------------------------------------

    async def rerun(
        self, job_ids: list[str] | None, order: RerunOrder, token: str | None, client: Any
    ) -> PreviewOutput | RerunOutput:
        """Rolls back the files of jobs and runs those jobs again one after another."""
        scene = await self.scene("jobIds", job_ids or ())
        if job_ids is None and order == "given":
            raise invalid("order", "goes with jobIds", "Name the jobs in the order in which they are to run.")
        if job_ids is None:
            job_ids = [job.job_id for conflict in self._a2.board.conflicts for job in conflict.jobs]
            if not job_ids:
                raise invalid("jobIds", "no conflict is open", "Name the jobs that are to run again.")
        jobs = await self.jobs_of_run(job_ids, in_order=order == "given")
        plan = await self.rerun_plan(scene, jobs)
        call = ("rerun", job_ids, order)
        if token is None:
            return self._a2.tokens.offer(call, plan.preview, plan.seen, plan.named)
        plan.saved_as = self._a2.tokens.check(token, call, plan.preview, plan.seen, plan.named)
        try:
            done, new = await self.do_rerun(scene, plan, client)
        except Moved as exc:
            raise stale(await self.rerun(job_ids, order, None, client)) from exc
        return RerunOutput(jobs=new, snapshot_id=done.snapshot.id, files=list(done.changed))

    async def rerun_plan(self, scene: Scene, jobs: list[Job]) -> Plan:
        for job in jobs:
            if not job.is_final:
                raise SidecarError(
                    "busy",
                    f"{job.label} is still {job.status}.",
                    "Wait for its end with codex_wait_any, or stop it with codex_cancel; then run it again.",
                    {"jobId": job.job_id, "label": job.label},
                )
        paths = {path for job in jobs for path in self.files_of(scene, job)}
        return await self.rollback_plan(scene, paths, jobs, rerun=jobs)

    async def do_rerun(self, scene: Scene, plan: Plan, client: Any) -> tuple[Repaired, list[ReplacedJob]]:
        """Rolls back and spawns. It goes on when the caller does not wait for it any more."""
        return await asyncio.shield(self._a2.keep(self._one_rerun(scene, plan, client)))

    async def _one_rerun(self, scene: Scene, plan: Plan, client: Any) -> tuple[Repaired, list[ReplacedJob]]:
        self._a2.rerunning += 1
        try:
            async with self._one_at_a_time:
                intent = await self._intend(scene, plan, client)
                try:
                    answer = await self._run_again(scene, plan, intent)
                except Exception:
                    # The caller is told. Only a sidecar that ended meanwhile leaves it to the next one.
                    await asyncio.to_thread(self._a2.intents.end)
                    raise
                await asyncio.to_thread(self._a2.intents.end)
                return answer
        finally:
            self._a2.rerunning -= 1

    async def _intend(self, scene: Scene, plan: Plan, client: Any) -> Intent:
        intents = self._a2.intents
        intent = Intent(
            run_id=scene.history.run_id,
            jobs=[job.job_id for job in plan.jobs],
            paths=plan.paths,
            after=await self._a2.journal.last_number(),
            trash=await asyncio.to_thread(intents.earlier_repairs),
            at=now(),
            frontend=client.frontend,
            env=dict(client.env),
            over=list(plan.also),
        )
        await asyncio.to_thread(intents.write, intent)
        return intent

    async def _run_again(self, scene: Scene, plan: Plan, intent: Intent) -> tuple[Repaired, list[ReplacedJob]]:
        async def moved(done: Repaired) -> None:
            await asyncio.to_thread(self._a2.intents.mark_moved, done.snapshot.id)

        done = await self.act(scene, plan, REASON, "run again", moved)
        # A file in conflict may be as the baseline has it: nothing of it goes back, and its conflict is over, too.
        if over := [path for path in intent.over if path not in plan.paths]:
            await self.settle(scene, over, "run again", intent.jobs, done.snapshot.id)
            await self._a2.refresh()
        new: list[ReplacedJob] = []
        try:
            for job in plan.jobs:
                prompt = await asyncio.to_thread(self._a2.manager.store.prompt, job)
                facts = facts_again(job, intent, [one.job_id for one in new])
                made = await self._a2.manager.spawn(NewJob(prompt, dict(intent.env), facts), on_dirty="refuse")
                new.append(ReplacedJob(job_id=made.job_id, label=made.label, replaces=job.job_id))
        except SidecarError as exc:
            raise _half_done(exc, plan.jobs[len(new)], done, new) from exc
        return done, new

    # -- restore ------------------------------------------------------------------------------------------------

    async def restore(self, wanted: str, token: str | None) -> PreviewOutput | ActedOutput:
        """Brings back what a snapshot holds."""
        return await restore(self._a2, wanted, token)


def _half_done(exc: SidecarError, job: Job, done: Repaired, new: Sequence[ReplacedJob]) -> SidecarError:
    """What is said where the files went back and a job could then not be spawned."""
    snapshot = done.snapshot.id
    return SidecarError(
        exc.kind,
        f"The files were rolled back, but {job.label} could not be spawned again: {exc.message}",
        f"codex_restore brings the files of before back (snapshot {snapshot}). {exc.hint}",
        {**exc.details, "snapshotId": snapshot, "jobs": [one.job_id for one in new]},
    )
