"""Ends what is left of an attempt whose runner was killed. All functions block.

Without its subreaper a worker's tree falls apart: orphans belong to init. Two traces are left: the worker's own
process, recorded with its start time, with all that still descends from it; and the marker in the environment of
everything it started. Neither is enough alone: the environment of a process that made itself undumpable, as Codex does,
can be read by root only, and an orphan has no parent to be found by.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import msgspec

from sidecar.jobs import attempt_files as files
from sidecar.jobs import processes
from sidecar.jobs.processes import Process


class Left:
    """What one pass found: how many are alive, and whether any of them could be signalled."""

    def __init__(self, living: int, *, signalled: bool) -> None:
        self.living = living
        self.signalled = signalled


def read_runner(directory: Path) -> dict[str, Any]:
    """What RUNNER says; empty where it is not there, not whole, or from another boot of the machine."""
    try:
        record = msgspec.json.decode((directory / files.RUNNER).read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return record if record.get("bootId") == processes.boot_id() else {}


def recorded_runner(directory: Path) -> Process | None:
    """The runner that RUNNER names, if it still exists."""
    record = read_runner(directory)
    process = processes.look(int(record.get("pid", 0)))
    return process if process is not None and process.start == record.get("startTime") else None


def once(directory: Path, marker: str) -> Left:
    """One pass of SIGKILL over everything of the attempt; to be repeated until nobody is left.

    Args:
        marker: `<job id>/<attempt>`.
    """
    record = read_runner(directory)
    child = int(record.get("childPid", 0))
    if not processes.available():
        return _group_once(child)
    start = int(record.get("childStartTime", 0))
    # Frozen first: whoever is stopped can not start others while they are being looked for.
    found: dict[tuple[int, int], Process] = {}
    while new := [process for process in _belonging(child, start, marker) if process.key not in found]:
        for process in new:
            found[process.key] = process
            with contextlib.suppress(PermissionError):  # Told by `signalled` below.
                processes.send(process, signal.SIGSTOP)
    signalled = False
    for process in found.values():
        with contextlib.suppress(PermissionError):
            signalled |= processes.send(process, signal.SIGKILL)
    return Left(len(found), signalled=signalled)


def _belonging(child: int, start: int, marker: str) -> list[Process]:
    table = processes.table()
    roots = [process for process in table if process.pid == child and process.start == start]
    entry = f"{files.MARKER_ENV}={marker}"
    roots += [process for process in table if processes.carries(process.pid, entry)]
    below = processes.descendants([process.pid for process in roots], table)
    # The session of the worker's own process is its own as long as that process is there to own it.
    ours = {process.pid for process in roots if process.pid == child}
    session = [process for process in table if process.session in ours]
    mine = os.getpid()
    return [process for process in (*roots, *below, *session) if process.living and process.pid != mine]


def _group_once(child: int) -> Left:
    """Where there is no /proc: the worker's process group, if the worker still leads it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # Gone, or the pid is somebody else's by now.
        if child > 0 and os.getpgid(child) == child:
            os.killpg(child, signal.SIGKILL)
            return Left(1, signalled=True)
    return Left(0, signalled=False)
