"""A worker that does everything to survive: run as a program, `torture.py <file for pids> [<exit code>]`.

It ignores SIGTERM and SIGHUP, as does everything it starts: two daemons (forked twice, sessions of their own) that keep
its output open, and one child in a process group of its own. Each adds a line with its pid to the file; once all four
are there, the worker prints `ready`. With an exit code it then leaves the others behind, without one it stays.
"""

from __future__ import annotations

import os
import signal
import sys
import time

PROCESSES = 4
STAYS_SECONDS = 300
"""Longer than any test; not for ever, for a test that fails must not litter the machine."""


def main() -> None:
    pids = sys.argv[1]
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    if os.fork() == 0:
        os.setpgid(0, 0)
        _stay(pids)
    for _ in range(2):
        middle = os.fork()
        if middle == 0:
            os.setsid()
            if os.fork() == 0:
                _stay(pids)
            os._exit(0)
        os.waitpid(middle, 0)
    _note(pids)
    while _lines(pids) < PROCESSES:
        time.sleep(0.002)
    os.write(1, b"ready\n")
    if len(sys.argv) > 2:
        os._exit(int(sys.argv[2]))
    time.sleep(STAYS_SECONDS)


def _stay(pids: str) -> None:
    _note(pids)
    time.sleep(STAYS_SECONDS)
    os._exit(0)


def _note(pids: str) -> None:
    fd = os.open(pids, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, b"%d\n" % os.getpid())
    os.close(fd)


def _lines(pids: str) -> int:
    with open(pids, "rb") as file:
        return file.read().count(b"\n")


if __name__ == "__main__":
    main()
