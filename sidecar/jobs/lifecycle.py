"""One attempt from its start to its end: dispatch, follow, judge, record.

The order of every transition: durable first, then memory, then the world is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from sidecar.jobs import conversations
from sidecar.jobs.backend import Invocation
from sidecar.jobs.executor import AttemptSpec, Exit, NotStarted, Outcome
from sidecar.jobs.log import final_content
from sidecar.model import limits
from sidecar.model.errors import SidecarError, internal
from sidecar.model.job import TRANSITIONS, CancelRequest, Handle, Job, JobError, JobStatus, TouchedFile, now

if TYPE_CHECKING:
    from sidecar.jobs.live import Live
    from sidecar.jobs.manager import JobManager

logger = logging.getLogger(__name__)
T = TypeVar("T")
RETRY_SECONDS = 1.0


class Lifecycle:
    """The moving part of the job manager; it changes jobs only through `transition`."""

    def __init__(self, manager: JobManager) -> None:
        self._m = manager
        self._gate = asyncio.Lock()
        self._last_start: Live | None = None

    async def transition(self, live: Live, status: JobStatus, **facts: Any) -> bool:
        """Moves a job to `status`; durable first.

        Returns:
            False where the job has moved on and this transition no longer applies; nothing was changed then.

        Raises:
            SidecarError: `state-unavailable`; nothing was changed.
        """
        async with live.change:
            if status != live.job.status and status not in TRANSITIONS[live.job.status]:
                return False
            changed = msgspec.structs.replace(live.snapshot(), status=status, **facts)
            await self._m.journal.save(changed)
            # What came in meanwhile is not lost; a cancel makes a transition of its own.
            changed.last_activity_at = live.job.last_activity_at
            changed.cancel = changed.cancel or live.job.cancel
            changed.head_at_start = changed.head_at_start or live.job.head_at_start
            live.job = changed
        self._m.publish("job", changed.job_id)
        return True

    async def insist(self, what: str, action: Callable[[], Awaitable[Any]]) -> None:
        """Repeats an action that must not fail until the disk takes it; the runner's own record keeps meanwhile."""
        while True:
            try:
                await action()
                return
            except (SidecarError, OSError) as exc:
                logger.error("%s: %s; trying again", what, exc)
                await asyncio.sleep(RETRY_SECONDS)

    # -- start --------------------------------------------------------------------------------------------------

    async def run(self, live: Live) -> None:
        """Dispatches a job that has got a slot and follows it to its end."""
        try:
            if live.job.status == "queued":
                facts = await conversations.start_facts(self._m, live.job)
                await self.transition(live, "starting", started_at=now(), attempt=live.job.attempt + 1, **facts)
        except SidecarError as exc:
            # Nothing was started and the journal still says `queued`: the job keeps its place.
            logger.error("job %s not started: %s", live.job.label, exc)
            live.dispatching = False
            self._m.schedule_later(RETRY_SECONDS)
            return
        if live.job.status != "starting":
            live.dispatching = False
            return
        error = None
        try:
            handle = await self._dispatch(live)
        except SidecarError as exc:
            handle, error = None, _job_error(exc)
        except NotStarted as exc:
            handle, error = None, _unstartable(str(exc))
        # A cancel that was answered holds, whatever kept the worker from its start meanwhile.
        if error is not None and live.job.cancel is None:
            await self.end(live, "failed", error=error)
            return
        if handle is None:
            await self.end(live, "cancelled", error=None)
            return
        await self.follow(live, handle)

    async def _unless_cancelled(self, live: Live, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` gives; None where a cancel came first: `work` was cancelled then, and is over."""
        task = asyncio.create_task(work, name=f"prepare-{live.job.label}")
        cancelled = asyncio.create_task(live.cancelled.wait())
        try:
            await asyncio.wait({task, cancelled}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cancelled.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    async def _dispatch(self, live: Live) -> Handle | None:
        """Starts the worker; None where a cancel came first and nothing was started."""
        invocation = await self._unless_cancelled(live, self._prepare(live))
        if invocation is None or not await self._unless_cancelled(live, self._take_turn()):
            return None
        try:
            return await self._start(live, invocation)
        finally:
            self._gate.release()

    async def _prepare(self, live: Live) -> Invocation:
        m, job = self._m, live.job
        env = await asyncio.to_thread(m.store.env, job)
        codex = await m.backend.locate(m.settings().codex, env)
        await m.backend.preflight(job, codex=codex, env=env, top=m.top)
        return await m.backend.prepare(
            job,
            codex=codex,
            env=env,
            directory=m.store.attempt(job),
            top=m.top,
            settings=m.settings().codex,
            predecessors=[_told(await m.job(other), m) for other in job.follows],
        )

    async def _start(self, live: Live, invocation: Invocation) -> Handle | None:
        m, job = self._m, live.job
        live.job.head_at_start = await m.note_start(job)
        if live.job.cancel is not None:
            return None
        spec = AttemptSpec(
            job_id=job.job_id,
            attempt=job.attempt,
            access=job.access,
            argv=tuple(invocation.argv),
            env=invocation.env,
            cwd=invocation.cwd,
            directory=m.store.attempt(job),
            timeout_seconds=job.timeout_ms / 1000,
            grace_seconds=limits.GRACE_SECONDS,
        )
        handle = await m.executor.start(spec)
        self._last_start = live
        live.last_activity = time.monotonic()
        return handle

    async def _take_turn(self) -> bool:
        """Takes the gate, which lets one worker start at a time; True once it is held."""
        await self._gate.acquire()
        try:
            await self._space_starts()
        except BaseException:
            self._gate.release()
            raise
        return True

    async def _space_starts(self) -> None:
        """Waits for the first output of the start before this one: simultaneous starts can lose the sandbox helper."""
        before = self._last_start
        if before is None or before.first_output.is_set():
            return
        remaining = limits.START_SPACING_SECONDS - (time.monotonic() - before.last_activity)
        if remaining > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(before.first_output.wait(), remaining)

    # -- follow -------------------------------------------------------------------------------------------------

    async def follow(self, live: Live, handle: Handle) -> None:
        """Records the start and reads along until the worker's end; also how a restart takes a worker up again."""
        m = self._m
        spool = m.store.spool(live.job)
        watching = False
        with contextlib.suppress(OSError):  # The end of the worker is seen without a watch, too.
            m.watcher.add(spool, live.wake.set)
            watching = True
        ended = asyncio.create_task(m.executor.wait(handle), name=f"wait-{live.job.label}")
        recorded = asyncio.create_task(self._record_start(live, handle), name=f"record-{live.job.label}")
        self._arm_stall_timer(live)
        try:
            live.wake.set()
            while not ended.done():
                woken = asyncio.create_task(live.wake.wait())
                await asyncio.wait({woken, ended}, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                live.wake.clear()
                await self._read(live)
            await recorded
            await self._finish(live, ended.result())
        finally:
            ended.cancel()
            recorded.cancel()
            if watching:
                m.watcher.remove(spool)
            if live.stall_timer is not None:
                live.stall_timer.cancel()

    async def _record_start(self, live: Live, handle: Handle) -> None:
        async def record() -> None:
            # A cancel may move the job to `stopping` in between; the handle has to be recorded all the same.
            while not live.job.is_final:
                status: JobStatus = "running" if live.job.status == "starting" else live.job.status
                if await self.transition(live, status, handle=handle):
                    return

        if live.job.handle != handle or live.job.status == "starting":
            await self.insist(f"start of {live.job.label}", record)
        if live.job.cancel is not None:
            await self.stop(live)

    async def stop(self, live: Live) -> None:
        """Carries out the cancel that the job holds; nothing to do where the worker has no handle yet."""
        handle, cancel = live.job.handle, live.job.cancel
        if handle is not None and cancel is not None:
            await self._m.executor.cancel(handle, force=cancel.force)

    async def _read(self, live: Live) -> None:
        before = len(live.parser.touched), live.parser.activity, live.parser.usage
        count = await live.log.catch_up()
        if not count:
            return
        live.first_output.set()
        live.last_activity = time.monotonic()
        live.job.last_activity_at = now()
        self._arm_stall_timer(live)
        self._m.publish("events", live.job.job_id)
        if before != (len(live.parser.touched), live.parser.activity, live.parser.usage):
            self._m.publish("job", live.job.job_id)

    def _arm_stall_timer(self, live: Live) -> None:
        if live.stall_timer is not None:
            live.stall_timer.cancel()
            live.stall_timer = None
        after = self._m.settings().stalled_after_seconds
        if after > 0:
            loop = asyncio.get_running_loop()
            live.stall_timer = loop.call_later(after + 0.05, self._m.publish, "job", live.job.job_id)

    # -- end ----------------------------------------------------------------------------------------------------

    async def _finish(self, live: Live, exit: Exit) -> None:
        m = self._m
        await live.log.catch_up(ended=True)
        live.first_output.set()
        error: JobError | None = None
        status: JobStatus
        # What was refused never ran, so a cancel that was answered meanwhile holds.
        if exit.outcome is Outcome.CANCELLED or (exit.outcome is Outcome.REFUSED and live.job.cancel is not None):
            status = "cancelled"
        elif exit.outcome is Outcome.TIMED_OUT:
            status, error = "failed", _timed_out(live.job)
        elif exit.outcome is Outcome.LOST:
            status, error = "interrupted", _lost(exit)
        elif exit.outcome is Outcome.REFUSED:
            status, error = "failed", _unstartable(exit.why)
        else:
            tail = await asyncio.to_thread(m.store.stderr_tail, live.job)
            status, error = m.backend.judge(live.parser, exit_code=exit.exit_code, stderr_tail=tail)
        await self.end(live, status, error=error, exit_code=exit.exit_code, finished_at=exit.finished_at)

    async def end(
        self,
        live: Live,
        status: JobStatus,
        *,
        error: JobError | None,
        exit_code: int | None = None,
        finished_at: float | None = None,
    ) -> None:
        """Gives a job its final status. Repeated by a later sidecar if this one dies in between; nothing doubles."""
        m = self._m
        # In a thread: a hostile answer of many megabytes takes longer to read than the loop may be blocked.
        report = await asyncio.to_thread(live.parser.report)
        started = live.log.offset > 0
        if status == "cancelled" and error is None:
            error = conversations.interrupted(m, live.job)
        text = report.summary if started else ""
        modified = None if report.modified_files is None else list(report.modified_files)
        facts: dict[str, Any] = {
            "finished_at": finished_at or now(),
            "exit_code": exit_code,
            "error": error,
            "activity": None,
            "thread_usage": live.parser.usage or live.job.base_usage,
            "modified_files": modified,
            "report_missing": live.job.access == "write" and report.missing and started,
            "touched_files": await asyncio.to_thread(_touched, Path(m.top), live.touched(), modified or []),
        }
        content = final_content(status, exit_code, error)

        async def record() -> None:
            if not live.log.has("final"):
                # The journal's row makes the end lasting; what else tells of it can be made again from there.
                await live.log.append("final", content, ended=started, sync=False)
            await m.note_end(live.job)
            # Before the final status: a sidecar that dies here leaves no secret behind a job that nobody looks at.
            await asyncio.to_thread(self._tidy, live.job, text)
            await self.transition(live, status, **facts)

        await self.insist(f"end of {live.job.label}", record)
        if not live.job.is_final:
            logger.error("job %s did not become %s from %s", live.job.label, status, live.job.status)
        m.ended(live)

    def _tidy(self, job: Job, text: str) -> None:
        """Keeps the answer and removes what is private. Blocks."""
        if text:
            self._m.store.write_final_message(job, text)
        try:
            self._m.forget_secrets(job)
        except OSError as exc:
            logger.error("private files of %s not removed: %s", job.label, exc)


def _told(job: Job, m: JobManager) -> str:
    """What a worker is told of one that ran before it."""
    changed = ", ".join(file.path for file in job.touched_files[:50]) or "no files"
    summary = (m.final_text(job) or "").strip().split("\n", 1)[0][:300]
    return f"{job.label} ({job.title}) ended {job.status} and changed {changed}. {summary}"


def _touched(top: Path, seen: list[TouchedFile], modified: list[str]) -> list[TouchedFile]:
    """What was seen, and after it what was only reported. Blocks (one lstat for each reported path)."""
    known = {file.path for file in seen}
    reported = []
    for path in modified:
        if path not in known:
            known.add(path)
            there = (top / path).is_symlink() or (top / path).exists()
            reported.append(TouchedFile(path=path, change="modified" if there else "deleted", attribution="reported"))
    return seen + reported


def _job_error(exc: SidecarError) -> JobError:
    return JobError(exc.kind, exc.message, exc.hint, exc.details)


def _unstartable(why: str) -> JobError:
    return JobError("codex-failed", f"The worker could not be started ({why}).", "codex_doctor names what is missing.")


def unexpected(exc: BaseException) -> JobError:
    """What a job says that failed by a fault of ours."""
    return _job_error(internal(exc))


def _timed_out(job: Job) -> JobError:
    return JobError(
        "timed-out",
        f"The worker was stopped after {job.timeout_ms / 1000:g} s, its time limit.",
        "Give it more time with timeoutMs, or go on in its conversation with codex_resume.",
        {"timeoutMs": job.timeout_ms},
    )


def _lost(exit: Exit) -> JobError:
    return JobError(
        "codex-failed",
        f"The worker's end was not seen ({exit.why or 'its runner was killed or the machine went down'}).",
        "Look at what it changed; codex_resume goes on in its conversation.",
    )


def later_cancel(before: CancelRequest | None, force: bool, by: str | None) -> CancelRequest:
    """A stop is never weakened: force stays force. Who asked first is remembered."""
    if before is None:
        return CancelRequest(requested_at=now(), force=force, by=by)
    return msgspec.structs.replace(before, force=force or before.force)
