"""What wakes the runner: the end of a process, a stop that is asked for, a signal to the runner itself.

Standard library only; paths are relative to the attempt's directory.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal

from sidecar.jobs import attempt_files as files

_LOOK_AGAIN_SECONDS = 0.25
"""How often STOP is looked at where no FIFO can be made."""


class Alarm:
    """Made once, before anything is started: from then on no signal is missed."""

    def __init__(self) -> None:
        self._signals, wakeup = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._control: int | None = None
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)

    def open_control(self) -> None:
        """Listens at CONTROL from now on. Where a FIFO can not be made, STOP is looked at from time to time."""
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileExistsError):
                os.mkfifo(files.CONTROL, 0o600)
            # Open for writing too: there is always a writer, so the FIFO is never at its end.
            self._control = os.open(files.CONTROL, os.O_RDWR | os.O_NONBLOCK)
            self._poll.register(self._control, select.POLLIN)

    def requested(self) -> str | None:
        """The stop that STOP asks for: `term`, `kill` or None."""
        with contextlib.suppress(OSError):
            with open(files.STOP, encoding="ascii", errors="replace") as file:
                return "kill" if file.read(16).strip() == "kill" else "term"
        return None

    def wait(self, seconds: float) -> str | None:
        """Sleeps until something happens, `seconds` at most; returns the stop that was asked for meanwhile."""
        if self._control is None:
            seconds = min(seconds, _LOOK_AGAIN_SECONDS)
        self._poll.poll(max(0.0, seconds) * 1000)
        signals, said = _drain(self._signals), b"" if self._control is None else _drain(self._control)
        asked = self.requested() if said or self._control is None else None
        # The byte itself counts too: on a full disk STOP can not be written.
        if asked == "kill" or b"k" in said:
            return "kill"
        return "term" if asked or b"t" in said or signal.SIGTERM in signals or signal.SIGINT in signals else None


def _drain(fd: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(fd, 65_536)
    return b""
