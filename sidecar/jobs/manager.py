"""The job manager: takes jobs, keeps K_read and K_write, follows workers, answers questions, survives restarts.

It knows neither git nor protocols nor Codex: the baseline comes from `open_run`, workers from a backend.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Literal

import msgspec

from sidecar.jobs import admission, conversations, recovery
from sidecar.jobs.backend import Backend
from sidecar.jobs.changes import Change
from sidecar.jobs.endings import Endings, not_started
from sidecar.jobs.executor import Executor
from sidecar.jobs.journal import Journal
from sidecar.jobs.lifecycle import Lifecycle, later_cancel, unexpected
from sidecar.jobs.live import Live
from sidecar.jobs.new_job import NewJob
from sidecar.jobs.slots import Plan, plan
from sidecar.jobs.store import JobStore, disk_refused
from sidecar.jobs.watch import GrowthWatcher
from sidecar.model.errors import SidecarError, unknown_job
from sidecar.model.event import ParsedEvent
from sidecar.model.job import Job, Run, now
from sidecar.model.settings import Settings

logger = logging.getLogger(__name__)
REMEMBERED_JOBS = 200


class JobManager:
    """All jobs of one work tree. Methods are for the event loop; none blocks it."""

    def __init__(
        self,
        *,
        journal: Journal,
        store: JobStore,
        executor: Executor,
        backend: Backend,
        top: str,
        settings: Callable[[], Settings],
        open_run: Callable[[str, bool], Awaitable[Run]],
        run_would_close: Callable[[bool], Awaitable[str | None]],
        note_start: Callable[[Job], Awaitable[str | None]],
        note_end: Callable[[Job], Awaitable[None]],
    ) -> None:
        self.journal = journal
        self.store = store
        self.executor = executor
        self.backend = backend
        self.top = top
        self.settings = settings
        self.watcher = GrowthWatcher()
        self.live: dict[str, Live] = {}
        self.note_start = note_start
        self.note_end = note_end
        self.open_run = open_run
        self.run_would_close = run_would_close
        self.observers: list[Callable[[Job, int, ParsedEvent, float], None]] = []
        self._listeners: list[Callable[[Change], None]] = []
        self._recent: OrderedDict[str, Job] = OrderedDict()
        self._endings = Endings()
        self.lifecycle = Lifecycle(self)
        self._spawning = asyncio.Lock()
        self.next_number = 1
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._reserved: Job | None = None  # About to be recorded as starting; it holds its slot already.

    # -- the world ----------------------------------------------------------------------------------------------

    def observe(self, job: Job, number: int, parsed: ParsedEvent, since: float) -> None:
        """A line of a worker's stream was read, printed after `since`; tells every observer, in order."""
        for observer in self.observers:
            observer(job, number, parsed, since)

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `listener` on the loop after every change; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def publish(self, kind: Literal["job", "run", "limits", "events", "conflicts"], id: str) -> None:
        """Tells every listener; one that fails is logged and does not disturb the others."""
        change = Change(kind, id)
        for listener in list(self._listeners):
            try:
                listener(change)
            except Exception:
                logger.exception("a listener failed")

    def _spawn_task(self, work: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- start and stop of the manager --------------------------------------------------------------------------

    async def recover(self) -> None:
        """Takes up every unfinished job of an earlier sidecar. Returns when all are known, also those that ended."""
        self.next_number = await self.journal.last_number() + 1
        for job in await self.journal.recent(REMEMBERED_JOBS):
            if job.is_final:
                self._recent[job.job_id] = job
        self.live = {live.job.job_id: live for live in await recovery.load(self)}
        interrupted = conversations.to_interrupt(self)
        for live in self.live.values():
            live.job.cancel = live.job.cancel or interrupted.get(live.job.job_id)
            await self._load_dependencies(live.job)
            if live.job.status != "queued":
                live.dispatching = True
                self._go(live, partial(recovery.take_up, self, live))
        self._settle_dependents()
        self.schedule()
        await recovery.settle(self)

    def _go(self, live: Live, work: Callable[[], Awaitable[None]]) -> None:
        """Lets a job's work run by itself."""
        live.task = self._spawn_task(self._guard(live, work), f"job-{live.job.label}")

    async def _guard(self, live: Live, work: Callable[[], Awaitable[None]]) -> None:
        """A fault of ours ends one job with a word, never the others, and never leaves it without an end."""
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            logger.exception("job %s", live.job.label)
            if live.job.handle is not None:
                await self.executor.cancel(live.job.handle, force=True)
                await self.executor.wait(live.job.handle)
            if not live.job.is_final:
                await self.lifecycle.end(live, "failed", error=unexpected(exc))

    async def close(self) -> None:
        """Stops following. Workers run on; the next sidecar takes them up."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.watcher.close()
        for live in self.live.values():
            live.log.close()

    # -- spawn --------------------------------------------------------------------------------------------------

    async def spawn(self, new: NewJob, *, on_dirty: str) -> Job:
        """Takes a job: on disk before this returns, and started as soon as a slot is free.

        Raises:
            SidecarError: what `admission.admit` raises, `state-unavailable`; nothing was changed then.
        """
        # Whoever called may go away now; a job that only the journal knows would block the number of the next.
        return await asyncio.shield(self._spawn_task(self._take(new, on_dirty), "spawn"))

    async def _take(self, new: NewJob, on_dirty: str) -> Job:
        async with self._spawning:
            job = Job(
                job_id=secrets.token_hex(16),
                number=self.next_number,
                status="queued",
                created_at=now(),
                **new.facts,
            )
            await admission.admit(self, job, on_dirty=on_dirty, budgeted=new.budgeted)
            await self._load_dependencies(job)
            if self._endings.failed_dependency(job) is None and job.job_id in self._plan(job).start:
                job.status, job.started_at, job.attempt = "starting", job.created_at, 1
            live = Live(job, self.store, self.backend, self.top, self.observe, watched=True)
            live.dispatching = job.status == "starting"
            self._reserved = job if live.dispatching else None
            try:
                await self._record(live, new)
            finally:
                self._reserved = None
            self.next_number += 1
            self.live[job.job_id] = live
        self.publish("job", job.job_id)
        if job.status == "starting":
            self._go(live, partial(self.lifecycle.run, live))
        else:
            self._settle_dependents()
            self.schedule()
        if job.interrupts and job.resumes is not None:
            await self.cancel(job.resumes, force=False, by=job.job_id)
        return job

    async def _record(self, live: Live, new: NewJob) -> None:
        job = live.job
        try:
            await asyncio.to_thread(self.store.create, job, new.prompt, new.env)
            content = {"kind": "spawned", "title": job.title, "sandbox": job.sandbox, "label": job.label}
            await live.log.append("spawned", content)
            await self.journal.save(job)
        except (OSError, SidecarError) as exc:
            # Without a row in the journal the directory is never looked at; its secrets must not stay.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.store.forget_env, job)
            if isinstance(exc, OSError):
                raise disk_refused(exc, self.store.directory(job.job_id)) from exc
            raise

    async def _load_dependencies(self, job: Job) -> None:
        for other in job.depends_on:
            if other not in self.live and other not in self._endings:
                found = await self.journal.job(other)
                self._endings.note(other, found.status if found else "interrupted", [job])

    # -- scheduling ---------------------------------------------------------------------------------------------

    def _queued(self) -> list[Job]:
        return [live.job for live in self.live.values() if live.job.status == "queued" and not live.dispatching]

    def _holding_slots(self) -> list[Job]:
        holding = [live.job for live in self.live.values() if live.dispatching or live.job.status != "queued"]
        return holding + ([self._reserved] if self._reserved is not None else [])

    def _plan(self, extra: Job | None = None) -> Plan:
        wanted = self.settings().limits
        return plan(
            self._queued() + ([extra] if extra else []),
            [job for job in self._holding_slots() if not job.is_final],
            read=wanted.read,
            write=wanted.write,
            is_done=self._endings.is_done,
            has_ended=lambda other: other not in self.live,
        )

    def schedule(self) -> None:
        """Starts whoever may start now."""
        if self._closed:
            return
        for job_id in self._plan().start:
            live = self.live[job_id]
            live.dispatching = True
            self._go(live, partial(self.lifecycle.run, live))

    def schedule_later(self, seconds: float) -> None:
        """Tries again after a while, for instance when the disk was full."""
        asyncio.get_running_loop().call_later(seconds, self.schedule)

    def _settle_dependents(self) -> None:
        """Cancels queued jobs whose dependency did not end `done`; theirs follow when they have ended."""
        for live in list(self.live.values()):
            if live.job.status != "queued" or live.dispatching:
                continue
            if (failed := self._endings.failed_dependency(live.job)) is not None:
                live.dispatching = True
                self._go(live, partial(self.lifecycle.end, live, "cancelled", error=not_started(*failed)))

    def ended(self, live: Live) -> None:
        """After a job's final status is durable: frees its slot and tells everybody who waits."""
        job = live.job
        live.dispatching = False
        live.log.close()
        self.live.pop(job.job_id, None)
        self._recent[job.job_id] = job
        while len(self._recent) > REMEMBERED_JOBS:
            self._recent.popitem(last=False)
        self._endings.note(job.job_id, job.status, [other.job for other in self.live.values()])
        live.finished.set()
        self.publish("events", job.job_id)
        self._settle_dependents()
        self.schedule()
        self.publish("limits", "limits")
        for other in self._queued():
            self.publish("job", other.job_id)

    def forget_secrets(self, job: Job) -> None:
        """Removes the environment and the private temporary directory of a job that has ended. Blocks."""
        self.store.forget_env(job)
        self.backend.cleanup(job)

    async def amend(self, job_id: str, **facts: Any) -> Job:
        """Corrects what is known of a job that has ended; its status stays."""
        job = msgspec.structs.replace(await self.job(job_id), **facts)
        await self.journal.save(job)
        if job_id in self._recent:
            self._recent[job_id] = job
        self.publish("job", job_id)
        return job

    # -- cancel -------------------------------------------------------------------------------------------------

    async def cancel(self, job_id: str, *, force: bool, by: str | None = None) -> tuple[Job, bool]:
        """Asks for a stop and answers at once; True where there was something to stop. `by`: the job that asks.

        Raises:
            SidecarError: `unknown-job`.
        """
        live = self.live.get(job_id)
        if live is None:
            return await self.job(job_id), False
        cancel = later_cancel(live.job.cancel, force, by)
        if live.job.status == "queued" and not live.dispatching:
            live.dispatching = True
            live.job.cancel = cancel
            await self._guard(live, partial(self.lifecycle.end, live, "cancelled", error=None))
            return live.job, True
        live.job.cancel = cancel
        try:
            await self.lifecycle.transition(live, "stopping", cancel=cancel)
        except SidecarError as exc:
            # The stop itself must not wait for the disk.
            logger.error("cancel of %s not recorded: %s", live.job.label, exc)
        live.cancelled.set()
        if live.job.is_final:
            return live.job, False
        await self.lifecycle.stop(live)
        return live.job, True

    # -- questions ----------------------------------------------------------------------------------------------

    async def job(self, job_id: str) -> Job:
        """The job as it is now.

        Raises:
            SidecarError: `unknown-job`.
        """
        if (known := self.known_job(job_id)) is not None:
            return known
        found = await self.journal.job(job_id)
        if found is None:
            raise unknown_job(job_id)
        return found

    def known_jobs(self, limit: int) -> tuple[list[Job], int]:
        """All unfinished jobs and the newest finished ones (`limit`), oldest first; how many are left out."""
        finished = sorted(self._recent.values(), key=lambda job: job.number)[-limit:]
        jobs = sorted([*finished, *(live.snapshot() for live in self.live.values())], key=lambda job: job.number)
        return jobs, self.next_number - 1 - len(jobs)

    def known_job(self, job_id: str) -> Job | None:
        """The job if it is unfinished or among the newest finished ones."""
        live = self.live.get(job_id)
        return live.snapshot() if live is not None else self._recent.get(job_id)

    def queue(self) -> Plan:
        """Places and reasons of all queued jobs."""
        return self._plan()

    def is_stalled(self, job_id: str) -> bool:
        """Whether a running worker has been silent for longer than the setting allows (0: never)."""
        live = self.live.get(job_id)
        after = self.settings().stalled_after_seconds
        return (
            live is not None
            and live.job.status == "running"
            and after > 0
            and time.monotonic() - live.last_activity > after
        )

    def slot_counts(self) -> dict[str, tuple[int, int]]:
        """For `read` and `write`: how many hold a slot, how many wait."""
        holding, waiting = self._holding_slots(), self._queued()
        return {
            access: (sum(job.access == access for job in holding), sum(job.access == access for job in waiting))
            for access in ("read", "write")
        }

    def active_pids(self) -> set[int]:
        """Process ids of all runners, to tell a client that descends from a worker."""
        handles = [live.job.handle for live in self.live.values()]
        return {int(handle.token["pid"]) for handle in handles if handle is not None and "pid" in handle.token}

    async def wait_any(self, job_ids: Iterable[str], seconds: float) -> str | None:
        """The first of these known jobs that has ended, waiting up to `seconds` (monotonic); None: none has.

        Of several that have ended the one that ended first is named.
        """
        wanted = list(dict.fromkeys(job_ids))
        done = [await self.job(job_id) for job_id in wanted if job_id not in self.live]
        if not done:
            waits = [self._spawn_task(self.live[job_id].finished.wait(), "wait-any") for job_id in wanted]
            try:
                await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            done = [await self.job(job_id) for job_id in wanted if job_id not in self.live]
        done.sort(key=lambda job: (job.finished_at or 0.0, job.number))
        return done[0].job_id if done else None

    def final_text(self, job: Job) -> str | None:
        """What the worker has answered so far; blocks for a job that has ended (one small file)."""
        if (live := self.live.get(job.job_id)) is None:
            return self.store.final_message(job)
        return live.parser.report().summary if live.parser.final_text is not None else None
