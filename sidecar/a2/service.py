"""The A2 protocol of one work tree, whole: baseline, witness, conflicts, repair, snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.a2.answers import closed_run, record_left_open, saved, settled, shown_baseline, shown_commits
from sidecar.a2.board import Board
from sidecar.a2.buffers import Buffers
from sidecar.a2.history import History
from sidecar.a2.intents import Intents, finish
from sidecar.a2.owners import LineOwner, own_edits, owners_of, stored, touched_files
from sidecar.a2.plans import Plans
from sidecar.a2.resolve import Resolver
from sidecar.a2.runs import Runs
from sidecar.a2.tokens import Tokens
from sidecar.a2.tree_watch import TreeWatch
from sidecar.a2.windows import Window
from sidecar.a2.witness import Scene, Witness
from sidecar.git.baseline import Baselines
from sidecar.git.repair import Recovery, Repairs
from sidecar.git.repository import Repository
from sidecar.git.snapshot import Snapshots
from sidecar.jobs.changes import Change
from sidecar.model.a2_outputs import (
    BaselineOutput,
    ConflictsOutput,
    HeadMoved,
    SnapshotsOutput,
)
from sidecar.model.conflict import Conflict
from sidecar.model.errors import SidecarError
from sidecar.model.job import Job, Run, TouchedFile, iso, now
from sidecar.model.settings import Settings

if TYPE_CHECKING:
    from sidecar.jobs.journal import Journal
    from sidecar.jobs.manager import JobManager

logger = logging.getLogger(__name__)


class A2:
    """What the A2 tools, diagnostics and hovers ask."""

    def __init__(
        self, repository: Repository, journal: Journal, state_dir: Path, settings: Callable[[], Settings]
    ) -> None:
        self.repository = repository
        self.state_dir = state_dir
        self.journal = journal
        self.settings = settings
        self.baselines = Baselines(repository, state_dir)
        self.repairs = Repairs(repository, state_dir, self.baselines)
        self.snapshots_store = Snapshots(repository, state_dir)
        self.runs = Runs(journal, repository, self.baselines)
        self.runs.closing = self._closing
        self.witness = Witness(repository, self.baselines, state_dir, self._seen, self._catch_up)
        self.board = Board(repository, state_dir)
        self.tokens = Tokens()
        self.tree_watch = TreeWatch(str(repository.top), self.witness.nudge)
        self.intents = Intents(state_dir)
        self.plans = Plans(self)
        self.resolver = Resolver(self, self.plans)
        self.repairing = asyncio.Lock()
        self.rerunning = 0  # Re-runs that still spawn their jobs.
        self.ended_jobs: dict[str, Job] = {}
        self.buffers = Buffers()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pending: set[asyncio.Task[Any]] = set()
        """Those that an answer has to wait for."""
        self._manager: JobManager | None = None

    @property
    def manager(self) -> JobManager:
        assert self._manager is not None, "attach() comes first"
        return self._manager

    def attach(self, manager: JobManager) -> None:
        """Names the manager whose workers are witnessed."""
        self._manager = manager
        manager.observers.append(self.witness.observe)
        manager.subscribe(self._job_changed)

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Ends repairs and re-runs that a crash interrupted and takes up the open run.

        Before the job manager takes up its jobs.

        Raises:
            SidecarError: `state-unavailable`.
        """
        recovered: list[Recovery] = []
        if (self.state_dir / "trash").exists():
            recovered = await asyncio.to_thread(self.repairs.recover)
            for found in recovered:
                logger.warning("an interrupted repair of %s was taken %s", ", ".join(found.paths[:5]), found.outcome)
        await self.runs.load()
        if self.runs.open is not None:
            await self._enter(self.runs.open)
        await finish(self, recovered)
        self.witness.start()
        self._spawn(self._tidy(), pending=False)

    async def _tidy(self) -> None:
        """Lets old snapshots go, and what repairs displaced as soon as no worker can have it open any more."""
        try:
            await asyncio.to_thread(self.snapshots_store.expire, self.settings().snapshots.keep_days)
            writing = any(live.job.access == "write" for live in self.manager.live.values())
            if not writing and (self.state_dir / "trash").exists():
                await asyncio.to_thread(self.repairs.empty_trash)
        except SidecarError as exc:
            logger.error("tidying: %s", exc.message)

    async def close(self) -> None:
        """Stops witnessing; what was not taken into account yet is read again by the next sidecar."""
        for task in list(self._tasks):
            task.cancel()
        await self.tree_watch.close()
        await self.witness.close()

    async def _enter(self, run: Run) -> None:
        self.board.clear()
        try:
            baseline = await asyncio.to_thread(self.baselines.load, run.run_id)
        except SidecarError as exc:
            logger.error("the baseline of %s cannot be read: %s", run.run_id, exc.message)
            self.witness.scene = None
            return
        history = History(run.run_id, self.journal, self.repository)
        await history.load()
        scene = Scene(history, baseline)
        of_run = await self.journal.of_run(run.run_id)
        self.ended_jobs = {job.job_id: job for job in of_run if job.is_final}
        # Whatever changed while no sidecar watched may be any unfinished worker's.
        for job in of_run:
            if not job.is_final and job.status != "queued":
                scene.windows.open(Window(job.job_id, "unwatched", None, 0.0))
        if history.versions:
            held = await asyncio.to_thread(self.baselines.held, baseline, sorted(history.versions))
            scene.learn(held)
        self.witness.scene = scene

    async def _closing(self, run: Run) -> None:
        """Keeps what is still in conflict when a run closes, so that a person can look back."""
        scene = self.witness.scene
        if scene is not None and scene.history.run_id == run.run_id:
            await self.board.refresh(scene, self.run_jobs())
            await record_left_open(self.journal, run.run_id, self.board.conflicts)

    async def open_run(self, on_dirty: str, unfinished: bool) -> Run:
        """The run of a new write job; for the job manager."""
        before = self.runs.open
        busy = unfinished or self.under_repair
        run = await self.runs.for_write_job(on_dirty, unfinished=busy)  # type: ignore[arg-type]
        if before is None or before.run_id != run.run_id:
            await self._enter(run)
            self.manager.publish("run", run.run_id)
            self._publish()
        return run

    def _spawn(self, work: Any, *, pending: bool) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        for tasks in [self._tasks, self._pending] if pending else [self._tasks]:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task

    def keep(self, work: Any) -> asyncio.Task[Any]:
        """Lets work go on whether or not its caller waits for it; it ends with this sidecar."""
        return self._spawn(work, pending=False)

    def _publish(self) -> None:
        self.manager.publish("conflicts", self.runs.open.run_id if self.runs.open else "")

    # -- what is seen -------------------------------------------------------------------------------------------

    def _job_changed(self, change: Change) -> None:
        if change.kind == "events" or self.witness.scene is None:
            return
        if any(live.job.access == "write" for live in self.manager.live.values()):
            self.tree_watch.start()
        else:
            self.tree_watch.stop()
        self.witness.watched = self.tree_watch.active
        job = self.manager.known_job(change.id) if change.kind == "job" else None
        if job is None or job.run_id != self.witness.scene.history.run_id:
            return
        if job.is_final and job.job_id not in self.ended_jobs:
            self.ended_jobs[job.job_id] = job
            self._spawn(self._after_end(job), pending=True)

    async def _after_end(self, job: Job) -> None:
        try:
            if self.witness.scene is not None:
                self.witness.scene.windows.close_job(job.job_id, job.finished_at or now())
            await self.witness.settle()
            await self.resolver.job_ended(job)
            touched = self.touched(job)
            if touched != job.touched_files:
                self.ended_jobs[job.job_id] = await self.manager.amend(job.job_id, touched_files=touched)
            await self.refresh()
            self._spawn(self._tidy(), pending=False)
        except SidecarError as exc:
            logger.error("after the end of %s: %s", job.label, exc.message)

    async def _catch_up(self) -> int:
        """Reads what every write worker has printed until now; how many there are."""
        writing = [live for live in self.manager.live.values() if live.job.access == "write"]
        for live in writing:
            await live.log.catch_up()
        return len(writing)

    async def _seen(self) -> None:
        """The witness has new versions."""
        if (scene := self.witness.scene) is not None:
            self.buffers.look(scene.history)
        await self.refresh()

    async def look(self) -> None:
        """Takes everything into account that has happened until now."""
        await self.ends_known()
        await self.witness.settle()
        await self.refresh()

    async def ends_known(self) -> None:
        """Returns when what the ended jobs left has been looked at, and what editors saved."""
        while self._pending:
            await asyncio.wait(set(self._pending))

    async def refresh(self) -> None:
        """Works the conflicts out anew and tells when they are different."""
        scene = self.witness.scene
        if scene is None:
            return
        await self.board.refresh(scene, self.run_jobs())
        self._publish()

    def run_jobs(self) -> list[Job]:
        """The write jobs of the open run that have started, in the order of their spawn."""
        scene = self.witness.scene
        if scene is None or self._manager is None:
            return []
        running = [live.snapshot() for live in self.manager.live.values() if live.job.run_id == scene.history.run_id]
        ended = [job for job in self.ended_jobs.values() if job.run_id == scene.history.run_id]
        jobs = {job.job_id: job for job in [*ended, *running] if job.started_at is not None}
        return sorted(jobs.values(), key=lambda job: job.number)

    # -- what is asked ------------------------------------------------------------------------------------------

    def conflicts(self) -> list[Conflict]:
        """The open conflicts of the open run, the worst first."""
        return self.board.conflicts

    def touched(self, job: Job) -> list[TouchedFile]:
        """The files of a job by all three witnesses: streamed, observed, declared."""
        scene = self.witness.scene
        if scene is None or job.run_id != scene.history.run_id:
            return job.touched_files
        return touched_files(scene, job)

    def conflict_ids(self, job_id: str) -> list[str]:
        """The open conflicts that a job is part of."""
        return [one.conflict_id for one in self.board.conflicts if any(job.job_id == job_id for job in one.jobs)]

    def unclaimed(self) -> list[str]:
        """Paths changed since the baseline that no worker wrote or reported."""
        scene = self.witness.scene
        if scene is None:
            return []
        claimed = scene.history.by_jobs()
        for job in self.run_jobs():
            claimed |= {file.path for file in job.touched_files} | set(job.modified_files or ())
        return sorted(self.witness.changed - claimed)

    def missing_reports(self) -> list[Job]:
        """Write jobs that ended without a list of their files."""
        return [job for job in self.run_jobs() if job.is_final and job.report_missing]

    async def owners(self, path: str) -> list[LineOwner]:
        """Whom the lines of a file belong to that workers or a person changed; baseline lines are left out."""
        scene = self.witness.scene
        if scene is None or path not in scene.history.versions:
            return []
        return await asyncio.to_thread(owners_of, self.board, scene, path, self.run_jobs())

    async def stored_version(self, path: str, side: str) -> bytes | None:
        """A stored content of a file: side `base`, or a worker's label (the last that this worker wrote)."""
        scene = self.witness.scene
        if scene is None:
            return None
        return await asyncio.to_thread(stored, self.repository, scene, path, side, self.run_jobs())

    async def own_edits(self, path: str, label: str) -> bytes | None:
        """What the baseline becomes by this worker's edits alone; None where there are none."""
        scene = self.witness.scene
        jobs = self.run_jobs()
        return None if scene is None else await asyncio.to_thread(own_edits, self.board, scene, path, label, jobs)

    async def report(self, run_id: str | None) -> ConflictsOutput:
        """What `codex_conflicts` answers.

        Raises:
            SidecarError: `invalid-arguments` for a run that is not known.
        """
        run = self.runs.open
        if run_id is not None and (run is None or run_id != run.run_id):
            return await closed_run(run_id, self.journal, History(run_id, self.journal, self.repository))
        if run is None or self.witness.scene is None:
            return ConflictsOutput(
                run_id=None, baseline=None, conflicts=[], unclaimed=[], missing_reports=[], head_moved=None,
                worker_commits=[], settled=[],
            )  # fmt: skip
        await self.look()
        head = await self.runs.head()
        moved = HeadMoved(from_=run.head, to=head) if head != run.head else None
        return ConflictsOutput(
            run_id=run.run_id,
            baseline=shown_baseline(run),
            conflicts=self.board.conflicts,
            unclaimed=self.unclaimed(),
            missing_reports=[job.job_id for job in self.missing_reports()],
            head_moved=moved,
            worker_commits=shown_commits(run, self.run_jobs()),
            settled=settled(self.witness.scene.history),
        )

    async def baseline(self, on_dirty: str | None, *, begin: bool) -> BaselineOutput:
        """What `codex_baseline` answers: the open run's, or a new one.

        Raises:
            SidecarError: `busy` where the open run cannot be closed, `dirty-tree`.
        """
        mode = on_dirty or self.settings().baseline.dirty_tree
        unfinished = any(live.job.access == "write" for live in self.manager.live.values())
        if begin:
            if unfinished or self.under_repair:
                raise SidecarError("busy", "Write jobs or a repair of the open run are not finished.", "Wait for them.")
            await self.look()
            await self.runs.begin(mode)  # type: ignore[arg-type]
        if (run := self.runs.open) is None or run.head != await self.runs.head():  # A person's commit may close it.
            run = await self.open_run(mode, unfinished)
        return BaselineOutput(
            run_id=run.run_id, head=run.head, tree=run.tree or "", recorded_at=iso(run.recorded_at) or "",
            files=run.files, snapshot_id=run.snapshot_id,
        )  # fmt: skip

    async def snapshots(self) -> SnapshotsOutput:
        """All snapshots, oldest first; those older than the setting says are let go."""
        keep = self.settings().snapshots.keep_days
        await asyncio.to_thread(self.snapshots_store.expire, keep)
        return saved(await asyncio.to_thread(self.snapshots_store.all))

    # -- unsaved edits ------------------------------------------------------------------------------------------

    def note_buffer(self, path: str, editor: str, dirty: bool) -> None:
        """An editor holds unsaved edits of a file, or not any more."""
        scene = self.witness.scene
        if self.buffers.note(path, editor, dirty, scene.now_known(path).seq if scene else 0):
            self._publish()

    def note_saved(self, path: str) -> None:
        """An editor said that a person has saved the file."""
        if self.witness.scene is not None:
            self._spawn(self.witness.saved(path), pending=True)

    def unsaved(self) -> dict[str, Job]:
        """Files with unsaved edits in an editor that a worker has just written."""
        found = {path: self.manager.known_job(job_id) for path, job_id in self.buffers.written_over.items()}
        return {path: job for path, job in found.items() if job is not None}

    # -- repair -------------------------------------------------------------------------------------------------

    @property
    def under_repair(self) -> bool:
        """Whether files are being repaired, or a re-run has jobs to spawn: the run stays open meanwhile."""
        return self.repairing.locked() or self.rerunning > 0

    @contextlib.asynccontextmanager
    async def frozen(self, paths: Iterable[str]) -> Any:
        """Holds every write worker still for the moment in which a repair puts these files."""
        handles = [
            live.job.handle
            for live in self.manager.live.values()
            if live.job.access == "write" and live.job.handle is not None
        ]
        await self.manager.executor.freeze(handles)
        try:
            with contextlib.nullcontext() if self.witness.scene is None else self.witness.scene.mending(paths):
                yield
        finally:
            await self.manager.executor.thaw(handles)
