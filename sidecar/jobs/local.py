"""Workers on this machine: each attempt has a runner process of its own, and this talks to it through files.

What was started is found again by its directory alone; the runner's pid only makes waiting for it cheap. Reading the
end is the same for a runner started a moment ago and for one that a sidecar long gone had started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sidecar.jobs import processes, sweep
from sidecar.jobs.attempt import Attempt
from sidecar.jobs.executor import AttemptSpec, Exit, NotStarted, Outcome
from sidecar.jobs.processes import Process
from sidecar.jobs.supervision import CLAIMED, STARTED
from sidecar.model.job import Handle, now

logger = logging.getLogger(__name__)
T = TypeVar("T")
_RUNNER = Path(__file__).with_name("runner.py")
_POLL_SECONDS = 0.05
"""How often a runner is looked at where the system can not tell of its end."""
_UNKILLABLE_SECONDS = 10.0
_FIND_SECONDS = 10.0
"""How long a runner may take from its claim to the record of its worker."""
_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class LocalExecutor:
    """Runs attempts as processes of this machine and this user. One for each event loop."""

    name = "local"

    def __init__(self) -> None:
        # Threads of its own: the end of a worker must not wait behind a long git call in the loop's default ones.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="local-executor")
        self._runners: dict[Path, subprocess.Popen[bytes]] = {}
        """The runners that are children of this process and have to be reaped by it."""
        self._ends: dict[Path, asyncio.Task[Exit]] = {}

    async def start(self, spec: AttemptSpec) -> Handle:
        """Starts the attempt; returns once the worker's process exists (or its end is already recorded).

        Cancelling this call does not stop what it has begun; `find` tells what came of it.

        Raises:
            NotStarted: certainly nothing was started.
        """
        return await asyncio.shield(_consumed(asyncio.create_task(self._start(spec), name=f"start-{spec.job_id}")))

    async def _start(self, spec: AttemptSpec) -> Handle:
        attempt = Attempt(spec.directory)
        try:
            said, runner = await self._in_thread(lambda: self._launch(attempt, spec))
        except (OSError, subprocess.SubprocessError) as exc:
            await self._in_thread(attempt.tidy)
            raise NotStarted(f"no runner: {exc}") from exc
        text = await _first_words(said)
        # Nobody else has the pid before it is reaped, even if the runner has ended by now.
        handle = _handle(attempt, spec.job_id, spec.attempt, processes.look(runner.pid))
        if STARTED in text:
            self._follow(handle)
            return handle
        await _own_runner_ended(runner)
        del self._runners[attempt.directory]
        if runner.returncode == CLAIMED:
            found = await self.find(spec.directory, spec.job_id, spec.attempt)
            if found is None:
                raise NotStarted("the attempt was given up before")
            return found
        if await self._in_thread(attempt.claimed):
            return handle  # The runner was killed in the middle; `wait` sweeps.
        await self._in_thread(attempt.tidy)
        reason = text.decode("utf-8", "replace").strip() or f"the runner ended with {runner.returncode}"
        raise NotStarted(reason)

    def _launch(self, attempt: Attempt, spec: AttemptSpec) -> tuple[int, subprocess.Popen[bytes]]:
        """Starts the runner; returns what its standard output is read from. Blocks."""
        attempt.write_spec(spec)
        said, says = os.pipe()
        try:
            runner = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_RUNNER), str(attempt.directory)],
                stdin=subprocess.DEVNULL,
                stdout=says,
                stderr=says,
                cwd="/",
                # The runner needs no environment, and one with another worker's marker would make it that worker's.
                env={name: os.environ[name] for name in _LIBRARY_PATHS if name in os.environ},
                start_new_session=True,
            )
        except BaseException:
            os.close(said)
            raise
        finally:
            os.close(says)
        self._runners[attempt.directory] = runner
        return said, runner

    async def wait(self, handle: Handle) -> Exit:
        """Returns when the attempt has ended and nothing of it is alive. May be called again after a restart.

        Any number of callers may wait; cancelling one leaves the others alone.

        Raises:
            OSError: the record of the end can not be read.
        """
        return await asyncio.shield(self._follow(handle))

    def _follow(self, handle: Handle) -> asyncio.Task[Exit]:
        directory = _directory(handle)
        task = self._ends.get(directory)
        if task is None:
            task = asyncio.create_task(self._end(handle), name=f"end-{handle.job_id}")
            self._ends[directory] = _consumed(task)
            task.add_done_callback(lambda _: self._ends.pop(directory, None))
        return task

    async def _end(self, handle: Handle) -> Exit:
        attempt = Attempt(_directory(handle))
        runner = self._runners.get(attempt.directory)
        if runner is not None:
            await _own_runner_ended(runner)
            self._runners.pop(attempt.directory, None)
        elif await self._in_thread(attempt.exit) is None:
            await self._runner_ended(handle, attempt)
        return await self._in_thread(attempt.collect) or await self._sweep(handle, attempt)

    async def _runner_ended(self, handle: Handle, attempt: Attempt) -> None:
        """Waits for a runner that an earlier sidecar started."""
        pid, start = handle.token.get("pid", 0), handle.token.get("startTime")
        pidfd = _pidfd(pid) if pid else None
        if pidfd is not None:
            try:
                # The pid may have got a new owner before it was opened; the lock says whether a runner lives.
                process = processes.look(pid)
                if process is not None and process.start == start and attempt.has_runner():
                    await _readable(pidfd)
            finally:
                os.close(pidfd)
        while await self._in_thread(attempt.has_runner):  # noqa: ASYNC110 - nothing else tells of it here.
            await asyncio.sleep(_POLL_SECONDS)

    async def _sweep(self, handle: Handle, attempt: Attempt) -> Exit:
        """Ends what a killed runner left."""
        marker = f"{handle.job_id}/{handle.attempt}"
        loop = asyncio.get_running_loop()
        why, pause, since = "its runner was killed or the machine went down", 0.005, loop.time()
        while (left := await self._in_thread(lambda: sweep.once(attempt.directory, marker))).living:
            if not left.signalled and loop.time() - since > _UNKILLABLE_SECONDS:
                why += "; processes that may not be signalled are left"
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)
        await self._in_thread(attempt.tidy)
        return Exit(outcome=Outcome.LOST, exit_code=None, finished_at=now(), why=why)

    async def cancel(self, handle: Handle, *, force: bool) -> None:
        """Asks for the stop (SIGTERM, SIGKILL after the grace; `force`: SIGKILL at once) and returns without waiting.

        The request is durable: it is carried out even when the sidecar dies right after. An attempt that has ended is
        left alone.

        Raises:
            OSError: the disk is full and no runner is there that could be told.
        """
        await self._in_thread(lambda: Attempt(_directory(handle)).ask_to_stop(force=force))

    async def freeze(self, handles: Sequence[Handle]) -> None:
        """Stops every process of these attempts (not their runners) until `thaw`."""
        await self._in_thread(lambda: _signal_trees(handles, signal.SIGSTOP))

    async def thaw(self, handles: Sequence[Handle]) -> None:
        """Lets them go on; harmless where they were not frozen."""
        await self._in_thread(lambda: _signal_trees(handles, signal.SIGCONT))

    async def reattach(self, handle: Handle) -> bool:
        """After a restart: True if the attempt still runs or its end is recorded; `wait` then tells.

        False: it was lost; whatever was left of it has been ended.
        """
        attempt = Attempt(_directory(handle))
        # In this order: a runner that ends in between has recorded the end.
        if await self._in_thread(attempt.has_runner) or await self._in_thread(attempt.exit) is not None:
            return True
        await self._sweep(handle, attempt)
        return False

    async def over(self, directory: Path) -> bool:
        """Whether an attempt that was started has ended for certain, so that nothing of it has to be waited for.

        Raises:
            OSError: the record of the end can not be read.
        """
        return await self._in_thread(Attempt(directory).over)

    async def find(self, directory: Path, job_id: str, attempt: int) -> Handle | None:
        """The handle of an attempt whose start was under way when the sidecar died.

        None: certainly not started, and it never will be any more (the attempt is fenced off).

        Raises:
            OSError: the attempt's directory can not be read or written.
        """
        it = Attempt(directory)
        if not await self._in_thread(it.recorded) and await self._in_thread(it.fence):
            return None
        give_up = asyncio.get_running_loop().time() + _FIND_SECONDS
        while not await self._in_thread(it.recorded) and await self._in_thread(it.has_runner):
            if asyncio.get_running_loop().time() > give_up:
                break
            await asyncio.sleep(0.005)
        return _handle(it, job_id, attempt, await self._in_thread(lambda: sweep.recorded_runner(directory)))

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)


def _directory(handle: Handle) -> Path:
    return Path(handle.token["directory"])


def _handle(attempt: Attempt, job_id: str, number: int, runner: Process | None) -> Handle:
    token: dict[str, object] = {"directory": str(attempt.directory)}
    if runner is not None:
        token |= {"pid": runner.pid, "startTime": runner.start}
    return Handle(executor=LocalExecutor.name, job_id=job_id, attempt=number, token=token)


def _signal_trees(handles: Sequence[Handle], signum: int) -> None:
    """Signals what descends from the runners, until a pass finds no new process: a fork may be under way. Blocks."""
    runners = [
        int(handle.token["pid"])
        for handle in handles
        if "pid" in handle.token
        and (found := processes.look(int(handle.token["pid"]))) is not None
        and found.start == handle.token.get("startTime")
    ]
    seen: set[tuple[int, int]] = set()
    while runners:
        fresh = [one for one in processes.descendants(runners, processes.table()) if one.key not in seen]
        if not fresh:
            return
        for process in fresh:
            seen.add(process.key)
            with contextlib.suppress(PermissionError):  # Another user's: it can not be held, and is not ours to hold.
                processes.send(process, signum)


def _consumed(task: asyncio.Task[T]) -> asyncio.Task[T]:
    """A task whose failure asyncio does not complain of: whoever waits gets it, and if nobody does it comes again."""

    def look(done: asyncio.Task[T]) -> None:
        if not done.cancelled() and (exc := done.exception()) is not None:
            logger.debug("%s: %s", done.get_name(), exc)

    task.add_done_callback(look)
    return task


async def _first_words(fd: int) -> bytes:
    """What the runner says until it has said that it started, or until it has nothing more to say; closes `fd`."""
    text = b""
    try:
        while STARTED not in text:
            await _readable(fd)
            chunk = os.read(fd, 4096)
            if not chunk:
                break
            text += chunk
    finally:
        os.close(fd)
    return text


async def _own_runner_ended(runner: subprocess.Popen[bytes]) -> None:
    """Waits for a runner that this process started, and reaps it."""
    pidfd = _pidfd(runner.pid) if runner.poll() is None else None
    if pidfd is not None:
        try:
            await _readable(pidfd)
        finally:
            os.close(pidfd)
    while runner.poll() is None:  # noqa: ASYNC110 - nothing else tells of it here.
        await asyncio.sleep(_POLL_SECONDS)


# -- what depends on the system ---------------------------------------------------------------------------------------


def _pidfd(pid: int) -> int | None:
    """Becomes readable when the process ends; None where it has ended, or where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # macOS; an old kernel or a seccomp filter. Callers poll instead.
        return None


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def is_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, is_ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
