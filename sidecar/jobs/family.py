"""A worker and everything that descends from it, as the runner sees and signals them.

On Linux the runner is a subreaper: whoever loses its parents becomes the runner's child, so walking /proc down from the
runner finds all of them, and having no child left proves that nothing lives. A process group, the portable way, misses
whatever starts its own session, as Codex does with each shell; it is the fallback where there is no subreaper.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from sidecar.jobs import processes
from sidecar.jobs.processes import Process

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """Makes this process the subreaper of its descendants; False where the system knows no such thing."""
    if not sys.platform.startswith("linux") or not processes.available():
        return False
    return ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0  # type: ignore[no-any-return]


class Family:
    """The descendants of a subreaper. `child` is the worker's own process."""

    def __init__(self, child: int) -> None:
        self.child = child
        self.exit_code: int | None = None
        """Of the worker's own process, negative for a signal; None while it runs."""
        self.gone = False
        """Nothing is alive any more."""
        self._told: set[tuple[int, int]] = set()

    def reap(self) -> None:
        """Collects whoever has ended; never waits."""
        while not self.gone:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.gone = True
                return
            if pid == 0:
                return
            if pid == self.child:
                self.exit_code = os.waitstatus_to_exitcode(status)

    def unasked(self) -> int:
        """How many are alive that were not asked to end."""
        return len(self._unasked(self._living()))

    def terminate(self) -> None:
        """SIGTERM, once, to each that is alive; the frozen ones are woken to receive it.

        Whose end would be the end of others, as a sandbox's own processes and the worker above them, is frozen until
        those have ended, and asked then. So this has to be called again; it also reaches whoever was being started
        the time before. What a process that was asked starts from then on belongs to its end (the commands of a
        shell's trap) and is spared.
        """
        living = self._living()
        unasked = self._unasked(living)
        keepers = processes.keepers(living) if unasked else set()
        for process in unasked:
            if process.pid in keepers and not process.frozen:
                _signal(process, signal.SIGSTOP)
        for process in unasked:
            if process.pid not in keepers:
                self._told.add(process.key)
                _signal(process, signal.SIGTERM)
                if process.frozen:
                    _signal(process, signal.SIGCONT)

    def _unasked(self, living: list[Process]) -> list[Process]:
        asked = {process.pid for process in living if process.key in self._told}
        found = []
        for process in living:  # Parents before children.
            if process.parent in asked:
                asked.add(process.pid)
            elif process.key not in self._told:
                found.append(process)
        return found

    def kill(self) -> bool:
        """SIGKILL to each that is alive.

        Returns:
            False where somebody is alive and nobody could be signalled.
        """
        living = self._living()
        self._told.update(process.key for process in living)
        sent = [_signal(process, signal.SIGKILL) for process in living]
        return any(sent) or not sent

    def _living(self) -> list[Process]:
        return [process for process in processes.descendants([os.getpid()], processes.table()) if process.living]


class Group(Family):
    """The process group of `child`, which is its own group's leader."""

    def reap(self) -> None:
        if self.exit_code is None:
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid == 0:
                return
            self.exit_code = os.waitstatus_to_exitcode(status)
        self.gone = self.gone or not self._signal_group(0)

    def unasked(self) -> int:
        return int(not self._told and not self.gone)

    def terminate(self) -> None:
        if self._told:
            return
        self._told.add((self.child, 0))
        self._signal_group(signal.SIGTERM)
        self._signal_group(signal.SIGCONT)

    def kill(self) -> bool:
        """Always False: whether somebody is left in the group can not be told from whether zombies are."""
        self._signal_group(signal.SIGKILL)
        return False

    def _signal_group(self, signum: int) -> bool:
        try:
            os.killpg(self.child, signum)
        except (ProcessLookupError, PermissionError):  # macOS says EPERM where only zombies are left.
            return False
        return True


def _signal(process: Process, signum: int) -> bool:
    try:
        return processes.send(process, signum) or True
    except PermissionError:
        return False
