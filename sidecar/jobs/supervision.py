"""The life of one attempt, as the runner lives it: claim, start, watch, stop, sweep, record.

Three promises hold it together. The worker is started at most once: CLAIM is made under the lock, and is on disk
before the start. Nothing of the worker is alive once EXIT is there. And EXIT gets written: its space is taken before
the worker can fill the disk. All paths are relative to the attempt's directory: the repository may be moved meanwhile.

Standard library only, and little of it: every import here delays every worker's start.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator

from sidecar.jobs import attempt_files as files
from sidecar.jobs import processes, records
from sidecar.jobs.alarm import Alarm
from sidecar.jobs.family import Family, Group, adopt_orphans

ENDED = 0
"""The attempt's end is recorded."""
FAILED = 74
"""Nothing was started; standard output says why."""
CLAIMED = 75
"""Nothing was started: another runner has had the attempt, or it was fenced off."""

STARTED = b"\x06"
"""Said on standard output; no text that Python or the runner prints holds this byte."""

LEFTOVER_GRACE_SECONDS = 1.0
"""Between SIGTERM and SIGKILL for what a worker leaves behind when it ends by itself."""
UNKILLABLE_SECONDS = 10.0
"""How long processes that may not be signalled (another user's) are waited for."""
_PAUSE_MAX_SECONDS = 0.25
_LEFTOVER_PAUSE_SECONDS = 0.05
"""How often what the worker left is looked at; only a subreaper is told when it ends."""
_ASK_AGAIN_SECONDS = 0.25
"""How often a stop looks, in the end, whom it has to ask that it could not ask before."""
_TIMER_MAX_SECONDS = 3600.0
_NEVER = float("inf")


def run(directory: str) -> int:
    """Runs the attempt to its end; returns the exit code of the runner.

    Standard output gets STARTED as soon as the worker exists or the attempt's end is recorded, or a text that says why
    nothing was started; then it is closed.
    """
    try:
        os.chdir(directory)
        _detach()
        alarm = Alarm()
        lock = records.lock()
        if lock is None:
            return CLAIMED
        spec = records.Spec.read()
        spool = os.open(files.SPOOL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        stderr = os.open(files.STDERR, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        prompt = os.open(files.PROMPT, os.O_RDONLY)
        runner_record, exit_record = records.reserve(files.RUNNER, files.EXIT)
        alarm.open_control()
        if not records.claim():
            runner_record.drop()
            exit_record.drop()
            return CLAIMED
    except (OSError, ValueError, KeyError, TypeError) as exc:
        if os.path.exists(files.CLAIM):
            # Whoever claimed it has ended already and taken the specification with it.
            return CLAIMED
        _say(f"{type(exc).__name__}: {exc}".encode("utf-8", "replace")[:4000])
        return FAILED

    # From here on the attempt counts as started, whatever happens.
    began = time.monotonic()
    if alarm.requested() is not None:
        ending = Ending("cancelled", None, 0, "it was stopped before it was started")
    else:
        try:
            adopted = adopt_orphans()
            child = _start(spec, prompt, spool, stderr, runner_record)
        except OSError as exc:
            ending = Ending("refused", None, 0, str(exc))
        else:
            _say(STARTED)
            with _crashes_logged():
                family = Family(child) if adopted else Group(child)
                ending = Supervisor(family, alarm, began + spec.timeout, spec.grace).watch()
    _record(ending, exit_record, spool)
    _say(STARTED)
    runner_record.drop()
    records.remove(files.SPEC, files.CONTROL)
    return ENDED


class Ending:
    """What EXIT will say."""

    def __init__(self, outcome: str, exit_code: int | None, strays: int, why: str) -> None:
        self.outcome = outcome
        self.exit_code = exit_code
        self.strays = strays
        self.why = why


class Supervisor:
    """Watches a family until nothing of it is alive. `deadline` is on the monotonic clock: clock changes do nothing."""

    def __init__(self, family: Family, alarm: Alarm, deadline: float, grace: float) -> None:
        self._family = family
        self._alarm = alarm
        self._deadline = deadline
        self._grace = grace
        self._reason: str | None = None
        self._kill_at = _NEVER
        self._ask_again = _NEVER
        self._ask_pause = 0.005
        self._strays: int | None = None
        self._pause = 0.005

    def watch(self) -> Ending:
        """Returns when the worker and all its descendants are gone."""
        family, why = self._family, ""
        while True:
            family.reap()
            if family.gone:
                break
            now = time.monotonic()
            if family.exit_code is not None and self._strays is None:
                self._sweep(now)
            if self._kill_at == _NEVER and now >= self._deadline:
                self._stop("timed-out", "term", now)
            killing = now >= self._kill_at
            if not killing and now >= self._ask_again:
                self._ask(now)
            if killing and not family.kill() and now >= self._kill_at + UNKILLABLE_SECONDS:
                why = "processes that may not be signalled are left"
                break
            asked = self._alarm.wait(self._patience(now, killing))
            if asked is not None:
                family.reap()
                self._stop("cancelled", asked, time.monotonic())
        return Ending(self._reason or "exited", family.exit_code, self._strays or 0, why)

    def _patience(self, now: float, killing: bool) -> float:
        if killing:
            self._pause = min(self._pause * 2, _PAUSE_MAX_SECONDS)
            return self._pause
        pause = _TIMER_MAX_SECONDS if self._family.exit_code is None else _LEFTOVER_PAUSE_SECONDS
        until = self._deadline if self._kill_at == _NEVER else self._kill_at
        return min(until, self._ask_again, now + pause) - now

    def _stop(self, reason: str, how: str, now: float) -> None:
        """A stop is only ever made stronger. A worker that has ended by itself keeps that as its outcome."""
        ended = self._family.exit_code is not None
        if not ended:
            self._reason = self._reason or reason
        if how == "kill":
            self._kill_at = min(self._kill_at, now)
        elif self._kill_at == _NEVER and not ended:
            self._kill_at = now + self._grace
            self._ask(now)

    def _ask(self, now: float) -> None:
        self._family.terminate()
        # Most processes obey at once, and whoever kept them can be asked then.
        self._ask_again = now + self._ask_pause
        self._ask_pause = min(self._ask_pause * 2, _ASK_AGAIN_SECONDS)

    def _sweep(self, now: float) -> None:
        """The worker's own process has ended: what it left by itself has little time, after a stop the whole grace."""
        self._strays = self._family.unasked()
        self._ask(now)
        if self._kill_at == _NEVER:
            self._kill_at = now + LEFTOVER_GRACE_SECONDS


def _detach() -> None:
    """Cuts every tie to whoever started the runner, except standard output, which `_say` uses once."""
    with contextlib.suppress(PermissionError):  # It leads its session already.
        os.setsid()
    while (null := os.open(os.devnull, os.O_RDWR)) < 3:  # Standard streams that are closed must not become files.
        os.set_inheritable(null, True)
    os.dup2(null, 0)
    os.close(null)


_said = False


def _say(text: bytes) -> None:
    """Tells whoever waits at the other end of standard output, which may be nobody any more; only once."""
    global _said
    if _said:
        return
    _said = True
    with contextlib.suppress(OSError):
        os.write(1, text)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


@contextlib.contextmanager
def _crashes_logged() -> Iterator[None]:
    """A fault of ours leaves its traceback in the attempt's directory; the worker then counts as lost."""
    try:
        yield
    except BaseException:
        fd = os.open("runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(fd, 2)
        raise


def _start(spec: records.Spec, prompt: int, spool: int, stderr: int, record: records.Reserved) -> int:
    """Starts the worker; returns its pid once its program runs.

    The process is recorded before it becomes the worker, and does not become it without its runner: so there is no
    moment at which a runner can be killed and leave a worker that nobody finds.

    Raises:
        OSError: it could not be started; the text says what failed.
    """
    failure, report = os.pipe()
    permission, permit = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(permit)
        _become_worker(spec, (prompt, spool, stderr), permission, report)
    os.close(report)
    os.close(permission)
    with contextlib.suppress(OSError):  # Without the record it is still found by its marker.
        record.write(_running(pid), lasting=False)
    os.write(permit, b"+")
    os.close(permit)
    with open(failure, "rb") as file:
        reason = file.read().decode("utf-8", "replace")
    os.close(prompt)
    os.close(stderr)
    if reason:
        os.waitpid(pid, 0)
        raise OSError(reason)
    return pid


def _become_worker(spec: records.Spec, streams: tuple[int, int, int], permission: int, report: int) -> None:
    """What the new process does."""
    doing = "start the worker"
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        # What Python, the runner or whoever started it ignores would stay ignored in the worker.
        for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(signum, signal.SIG_DFL)
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        if os.read(permission, 1):
            doing = f"enter {spec.cwd}"
            os.chdir(spec.cwd)
            doing = f"run {spec.argv[0]}"
            os.execvpe(spec.argv[0], spec.argv, {**spec.env, files.MARKER_ENV: f"{spec.job_id}/{spec.attempt}"})
    except BaseException as exc:  # noqa: BLE001 - whatever it is, the parent says it.
        reason = exc.strerror if isinstance(exc, OSError) else f"{type(exc).__name__}: {exc}"
        os.write(report, f"cannot {doing}: {reason}".encode("utf-8", "replace")[:2000])
    finally:
        os._exit(127)


def _running(child: int) -> dict[str, object]:
    mine, its = processes.look(os.getpid()), processes.look(child)
    return {
        "pid": os.getpid(),
        "startTime": mine.start if mine else 0,
        "childPid": child,
        "childStartTime": its.start if its else 0,
        "startedAt": time.time(),
        "bootId": processes.boot_id(),
    }


def _record(ending: Ending, record: records.Reserved, spool: int) -> None:
    """Writes EXIT, however long the disk stays full; the lock is held meanwhile, so the attempt counts as running."""
    why = ending.why
    try:
        getattr(os, "fdatasync", os.fsync)(spool)
    except OSError as exc:
        why = why or f"the output may be incomplete: {exc.strerror}"
    content: dict[str, object] = {
        "outcome": ending.outcome,
        "exitCode": ending.exit_code,
        "finishedAt": time.time(),
        "strays": ending.strays,
        "why": why[:300],
    }
    pause = 0.05
    while os.stat(".").st_nlink > 0:  # Zero: somebody deleted the attempt, there is nobody to tell.
        try:
            record.write(content, lasting=True)
            return
        except OSError:
            select.select([], [], [], pause)
            pause = min(pause * 2, 5.0)
