"""Processes as /proc shows them: who descends from whom, who carries a marker, and signals that never hit a stranger.

A pid alone names nothing for long, because it is given out again; here a process is a pid together with its start time
(field 22 of /proc/PID/stat, in clock ticks since boot). Standard library only and cheap to import: the runner uses it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

PROC = "/proc"


class Process:
    """One line of /proc/PID/stat. `start` is in clock ticks since boot."""

    __slots__ = ("parent", "pid", "session", "start", "state", "threads")

    def __init__(self, pid: int, state: str, parent: int, session: int, threads: int, start: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.session = session
        self.threads = threads
        self.start = start

    @property
    def key(self) -> tuple[int, int]:
        """What tells this process from every other one of this boot."""
        return self.pid, self.start

    @property
    def living(self) -> bool:
        """Not a zombie. One whose first thread has ended while others go on shows as Z and lives."""
        return self.state not in "ZXx" or self.threads > 1

    @property
    def frozen(self) -> bool:
        return self.state in "Tt"


def available() -> bool:
    """Whether this machine has a /proc to walk."""
    return look(os.getpid()) is not None


def boot_id() -> str:
    """Names this boot of the machine; empty where the system does not tell. Start times of two boots do not compare."""
    return _read(f"{PROC}/sys/kernel/random/boot_id").decode("ascii").strip()


def look(pid: int) -> Process | None:
    """The process that has this pid now (zombies too), or None."""
    data = _read(f"{PROC}/{pid}/stat")
    # The name stands in parentheses and may itself hold parentheses, spaces and newlines.
    fields = data[data.rfind(b")") + 1 :].split()
    if len(fields) < 20:
        return None
    return Process(pid, fields[0].decode("ascii"), int(fields[1]), int(fields[3]), int(fields[17]), int(fields[19]))


def table() -> list[Process]:
    """All processes of the machine, in about 20 µs each."""
    found = (look(int(name)) for name in os.listdir(PROC) if name.isdigit())
    return [process for process in found if process is not None]


def descendants(roots: Iterable[int], processes: Iterable[Process]) -> list[Process]:
    """Those of `processes` that descend from one of the pids `roots`, parents before children; not the roots."""
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = list(roots)
    while waiting:
        below = children.pop(waiting.pop(0), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def keepers(living: Iterable[Process]) -> set[int]:
    """The pids of those whose end would be the end of others: a sandbox's first process, and whatever stands above it.

    When the first process of a PID namespace ends, the system kills all others in it, and such a process mostly dies
    with its parent. Only those count in whose namespace something else lives.

    Args:
        living: one family, parents before children.
    """
    parents: dict[int, int] = {}
    firsts: dict[int, int] = {}
    found: set[int] = set()
    for process in living:
        parents[process.pid] = process.parent
        above = firsts.get(process.parent)
        if above is not None:
            while above in parents and above not in found:
                found.add(above)
                above = parents[above]
        inner = _namespace_pids(process.pid)
        if len(inner) > 1 and inner[-1] == 1:
            firsts[process.pid] = process.pid
        elif above is not None:
            firsts[process.pid] = firsts[process.parent]
    return found


def _namespace_pids(pid: int) -> list[int]:
    """The process's pid in each PID namespace that it is in, ours first; empty where the system does not tell."""
    for line in _read(f"{PROC}/{pid}/status").split(b"\n"):
        if line.startswith(b"NSpid:"):
            return [int(number) for number in line.split()[1:]]
    return []


def carries(pid: int, marker: str) -> bool:
    """Whether the process was started with `NAME=value` in its environment; False where that may not be read."""
    return marker.encode() in _read(f"{PROC}/{pid}/environ").split(b"\0")


def send(process: Process, signum: int) -> bool:
    """Signals exactly this process, never one that has got its pid since.

    Returns:
        False where it is gone.

    Raises:
        PermissionError: it belongs to another user.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # No pidfds: another system, an old kernel, a seccomp filter.
        return _send_by_pid(process, signum)
    try:
        if not _is_there(process):
            return False
        signal.pidfd_send_signal(pidfd, signum)
        return True
    except ProcessLookupError:
        return False
    except PermissionError:  # Another user's, or a filter that knows pidfd_open only; the plain way tells which.
        return _send_by_pid(process, signum)
    finally:
        os.close(pidfd)


def _send_by_pid(process: Process, signum: int) -> bool:
    try:
        if not _is_there(process):
            return False
        os.kill(process.pid, signum)
        return True
    except ProcessLookupError:
        return False


def _is_there(process: Process) -> bool:
    now = look(process.pid)
    return now is not None and now.start == process.start


def _read(path: str) -> bytes:
    """The whole file, or nothing: a process can go, or be somebody else's, at any moment."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        chunks = []
        while chunk := os.read(fd, 65_536):
            chunks.append(chunk)
        return b"".join(chunks)
    except OSError:
        return b""
    finally:
        os.close(fd)
