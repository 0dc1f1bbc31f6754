"""Who is at the other end of a connection, and who is refused.

The socket is in a directory that only its owner can enter; this is the second lock. And a worker must never become a
boss of its own sidecar: it would spawn workers past every limit.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping

from sidecar.jobs.attempt_files import MARKER_ENV
from sidecar.model.errors import SidecarError

_CREDENTIALS = struct.Struct("3i")


def credentials(sock: socket.socket) -> tuple[int, int] | None:
    """Process and user that connected, as the kernel says; None where it does not say (TCP)."""
    if sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def check_user(uid: int) -> None:
    """Raises SidecarError (`state-unavailable`) unless it is the user that this process runs as."""
    if uid != os.geteuid():
        raise SidecarError(
            "state-unavailable",
            f"This sidecar process belongs to user {os.geteuid()}, not to user {uid}.",
            "Use the repository as the user who started the sidecar, or end it with `codex-sidecar daemon stop` there.",
        )


def check_token(expected: str, said: str | None) -> None:
    """Raises SidecarError (`state-unavailable`) unless the client read the token from the endpoint file."""
    if not hmac.compare_digest(expected.encode(), (said or "").encode("utf-8", "surrogatepass")):
        raise SidecarError("state-unavailable", "The token is wrong.", "Read it from the state directory again.")


def check_worker(env: Mapping[str, str], pid: int | None, is_worker: Callable[[int], bool]) -> None:
    """Raises SidecarError (`limit-reached`) for a worker, or whatever a worker started.

    Args:
        env: the client's environment, as it says itself.
        pid: the client's process; a worker that cleaned its environment is known by its ancestors.
        is_worker: whether a process is one of our workers' runners.
    """
    if env.get(MARKER_ENV) or (pid is not None and any(map(is_worker, ancestors(pid)))):
        raise SidecarError(
            "limit-reached",
            "A worker of Codex Sidecar cannot use Codex Sidecar itself.",
            "Report what else has to be done in the worker's answer; whoever spawned it can spawn more.",
        )


def ancestors(pid: int) -> Iterator[int]:
    """The process, its parent, and so on up; ends where one cannot be looked at."""
    while pid > 0:
        yield pid
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            return
