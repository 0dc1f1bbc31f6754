"""The directory of one attempt as the sidecar uses it: what it asks of the runner, and what the runner tells.

All methods block (some for an fsync), so they run in threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
from pathlib import Path

import msgspec

from sidecar.jobs import attempt_files as files
from sidecar.jobs import durable
from sidecar.jobs.executor import AttemptSpec, Exit, Outcome

logger = logging.getLogger(__name__)
_FENCED = b"fenced\n"
"""In a CLAIM that no runner made. One cut off by a crash counts as a runner's: better lost than run twice."""
_asking = threading.Lock()


class _ExitRecord(msgspec.Struct, rename="camel"):
    outcome: Outcome
    exit_code: int | None
    finished_at: float
    strays: int = 0
    why: str = ""


class Attempt:
    """The files of `attempt_files`, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def write_spec(self, spec: AttemptSpec) -> None:
        """
        Raises:
            OSError: not written.
        """
        content = {
            "jobId": spec.job_id,
            "attempt": spec.attempt,
            "argv": list(spec.argv),
            "env": dict(spec.env),
            "cwd": spec.cwd,
            "timeoutSeconds": spec.timeout_seconds,
            "graceSeconds": spec.grace_seconds,
        }
        # By rename: a runner that an earlier sidecar started may be reading it, and another start may write it, too.
        # ASCII with escapes: names that are not valid UTF-8 are surrogates in Python and must survive.
        durable.write_file(self.directory / files.SPEC, json.dumps(content).encode("ascii"), sync=False)

    def exit(self) -> Exit | None:
        """The recorded end; None where there is none.

        Raises:
            OSError: the record can not be read.
        """
        try:
            data = (self.directory / files.EXIT).read_bytes()
        except FileNotFoundError:
            return None
        try:
            record = msgspec.json.decode(data, type=_ExitRecord)
        except msgspec.DecodeError as exc:
            logger.error("%s is damaged: %s", self.directory / files.EXIT, exc)
            return None
        return Exit(
            outcome=record.outcome,
            exit_code=record.exit_code,
            finished_at=record.finished_at,
            strays=record.strays,
            why=record.why,
        )

    def collect(self) -> Exit | None:
        """The recorded end, once the runner is gone; deletes what a runner killed right after it may have left.

        Raises:
            OSError: the record can not be read.
        """
        end = self.exit()
        if end is not None:
            self.tidy()
        return end

    def has_runner(self) -> bool:
        """Whether a runner is alive: it holds the lock as long as it lives."""
        try:
            fd = os.open(self.directory / files.LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that those who look do not take each other for a runner.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def recorded(self) -> bool:
        """Whether the worker's start or the attempt's end is recorded."""
        return any((self.directory / name).exists() for name in (files.RUNNER, files.EXIT))

    def over(self) -> bool:
        """Whether its end is recorded, or its runner was killed.

        Raises:
            OSError: the record can not be read.
        """
        # In this order: a runner that ends in between has recorded the end.
        return (self.recorded() and not self.has_runner()) or self.exit() is not None

    def claimed(self) -> bool:
        """Whether a runner claimed the attempt; False too where it was fenced off."""
        try:
            return (self.directory / files.CLAIM).read_bytes() != _FENCED
        except FileNotFoundError:
            return False

    def fence(self) -> bool:
        """Takes the claim so that no runner can start the attempt any more; False where a runner has it.

        Raises:
            OSError: neither.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(self.directory / files.CLAIM, flags, 0o600)
        except FileNotFoundError:  # Without its directory nothing was started either.
            return True
        except FileExistsError:
            return not self.claimed()
        with open(fd, "wb") as file:
            file.write(_FENCED)
        self.tidy()
        return True

    def ask_to_stop(self, *, force: bool) -> None:
        """Makes the stop durable and wakes the runner. `term` never replaces `kill`; nothing happens after the end.

        Raises:
            OSError: the request could neither be stored nor told to a runner.
        """
        stop = self.directory / files.STOP
        with _asking:
            if (self.directory / files.EXIT).exists() or not self.directory.exists():
                return
            asked = stop.read_bytes().strip() if stop.exists() else b""
            wanted = b"kill" if force or asked == b"kill" else b"term"
            try:
                if asked != wanted:
                    durable.write_file(stop, wanted)
            except OSError:
                # The disk is full: a runner that has been told keeps it in mind, which lasts as long as it matters.
                if not self._poke(wanted):
                    raise
            else:
                self._poke(wanted)

    def _poke(self, wanted: bytes) -> bool:
        try:
            fd = os.open(self.directory / files.CONTROL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # No runner listens: not yet up, or no more.
            return False
        try:
            # A full FIFO has woken the runner already.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(fd, wanted[:1])
        finally:
            os.close(fd)
        return True

    def tidy(self) -> None:
        """Deletes what must not outlive the attempt: the worker's environment, and the FIFO."""
        durable.remove(self.directory / files.SPEC)
        (self.directory / files.CONTROL).unlink(missing_ok=True)
