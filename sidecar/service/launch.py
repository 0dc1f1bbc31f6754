"""Starting the sidecar of a work tree where none listens, and asking a running one.

Who may start a sidecar holds `start.lock`; who is the sidecar holds `service.lock` for life. So of many front ends that
come in the same instant exactly one starts a process, and a starter that dies half-way hinders nobody. Standard library
only, like `link`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sidecar import __version__
from sidecar.service.link import (
    Connection,
    Gone,
    error,
    error_of,
    is_older,
    join,
    read_endpoint,
    read_line,
    refuse_worker,
)
from sidecar.service.place import Place, prepare_state_dir, state_unavailable

START_LOCK = "start.lock"
SERVICE_LOCK = "service.lock"
LOG = "sidecar.log"
START_SECONDS = 15.0
"""How long a front end waits for a sidecar, from its own start on."""
REPLACE_SECONDS = 5.0
"""How long an older sidecar may take to end after it agreed to."""
CONTROL_SECONDS = 5.0
"""How long a control answer may take."""
POLL_SECONDS = 0.005
EXIT_ANOTHER = 75
"""Exit code of a service that found another one serving the same state directory."""


def connect(
    place: Place, frontend: str, *, start: bool = True, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> Connection | None:
    """Connects to the sidecar of a work tree. Blocks, up to `START_SECONDS`.

    Args:
        place: the work tree.
        frontend: `lsp`, `mcp`, `cli` or `control`.
        start: start a sidecar where none listens, and replace one of an older version.
        cwd: the client's working directory; default: this process's.
        env: the client's environment, which its workers get; default: this process's.

    Returns:
        The connection; None only where `start` is false and no sidecar listens.

    Raises:
        SidecarError: it refused, or could not be started.
    """
    refuse_worker(os.environ if env is None else env)
    deadline = time.monotonic() + START_SECONDS

    def try_join(*, older: bool) -> Connection | None:
        if not older and is_older(read_endpoint(place)):
            return None
        with contextlib.suppress(Gone):
            return join(place, frontend, max(1.0, deadline - time.monotonic()), cwd=cwd, env=env)
        return None

    found = try_join(older=not start)
    if found is not None or not start:
        return found
    prepare_state_dir(place)
    with _open_lock(place, START_LOCK) as lock:
        starter: _Starter | None = None
        while time.monotonic() < deadline:
            found = try_join(older=starter is not None and starter.keeps_older)
            if found is not None:
                return found
            if starter is not None:
                starter.step()
            elif _lock(lock):
                starter = _Starter(place)
                continue  # Somebody else may have started one before the lock was free.
            time.sleep(POLL_SECONDS)
    raise _not_started(place, starter is not None)


class _Starter:
    """What the holder of `start.lock` does until a sidecar listens."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.keeps_older = False
        """An older sidecar does not want to be replaced: it is used as it is."""
        self._pid: int | None = None

    def step(self) -> None:
        """Does what is next, without waiting for it.

        Raises:
            SidecarError: the service ended before it listened.
        """
        if self._pid is not None:
            self._look_at_service()
        elif is_served(self.place):
            if is_older(read_endpoint(self.place)):
                answer = control(self.place, "replace", until_end=REPLACE_SECONDS, version=__version__)
                self.keeps_older = answer is not None and not answer.get("replaced")
        else:
            arguments = ["--git-dir", self.place.git_dir, "--top", self.place.top]
            try:
                self._pid = spawn_service(arguments, os.path.join(self.place.state_dir, LOG))
            except OSError as exc:
                raise state_unavailable(self.place, exc) from exc

    def _look_at_service(self) -> None:
        assert self._pid is not None
        with contextlib.suppress(ChildProcessError):  # Somebody in this process reaps all children.
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid == 0:
                return
            self._pid = None
            code = os.waitstatus_to_exitcode(status)
            # Code 0: it was told to stop before we came to connect.
            if code not in (0, EXIT_ANOTHER):
                last = last_log_line(self.place)
                raise error(
                    "state-unavailable",
                    f"The sidecar process ended at once (exit code {code}){': ' + last if last else '.'}",
                    f"{os.path.join(self.place.state_dir, LOG)} has the details.",
                )


def _not_started(place: Place, had_lock: bool) -> Exception:
    log = os.path.join(place.state_dir, LOG)
    if had_lock and is_served(place):
        endpoint = read_endpoint(place) or {}
        who = f"process {endpoint['pid']}" if "pid" in endpoint else "a process of another container or machine"
        return error(
            "state-unavailable",
            f"A sidecar that cannot be reached serves {place.top} already ({who}).",
            "End it there, or use it from there; the workers keep running.",
        )
    return error("state-unavailable", f"No sidecar listened within {START_SECONDS:.0f} s.", f"{log} has the details.")


@contextmanager
def _open_lock(place: Place, name: str) -> Iterator[int]:
    """The lock file, open and not locked yet; closing it unlocks."""
    try:
        fd = os.open(os.path.join(place.state_dir, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise state_unavailable(place, exc) from exc
    try:
        yield fd
    except OSError as exc:
        raise state_unavailable(place, exc) from exc  # A file system without locks, for instance.
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_served(place: Place) -> bool:
    """Whether a service lives for this state directory, listening or not."""
    with _open_lock(place, SERVICE_LOCK) as fd:
        return not _lock(fd)


def take_service_lock(place: Place) -> int | None:
    """For the service: its lock, to be kept open for life; None: another service has it."""
    fd = os.open(os.path.join(place.state_dir, SERVICE_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(10):
        if _lock(fd):
            return fd
        time.sleep(POLL_SECONDS)  # A front end may be looking whether it is taken, which takes it for an instant.
    os.close(fd)
    return None


def spawn_service(arguments: list[str], log: str | None, pass_fds: tuple[int, ...] = ()) -> int:
    """Starts `python -m sidecar.service`, detached from this process, its session and its descriptors.

    Args:
        arguments: of the service.
        log: where its standard error goes; None: to this process's.
        pass_fds: descriptors that it keeps.

    Returns:
        Its process number; whoever lives longer than it should reap it.
    """
    import subprocess

    stderr = None if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar.service", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, pass_fds=pass_fds,
            start_new_session=True,
            # With -m the working directory comes first in the module path: it must not be one that others write to.
            cwd="/",
        )  # fmt: skip
    finally:
        if stderr is not None:
            os.close(stderr)
    process.returncode = 0  # Popen would warn about a child that it thinks is forgotten.
    return process.pid


def last_log_line(place: Place) -> str:
    """The last thing that the service wrote; empty where it wrote nothing."""
    try:
        with open(os.path.join(place.state_dir, LOG), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def control(place: Place, op: str, *, until_end: float | None = None, **fields: object) -> dict[str, object] | None:
    """One question to a running sidecar. Blocks, up to `CONTROL_SECONDS` (+ `until_end`).

    Args:
        place: the work tree.
        op: `status`, `stop`, `replace` or `exit-code`.
        until_end: wait so many seconds for the sidecar's end after its answer.
        fields: the rest of the request.

    Returns:
        The answer; None where no sidecar listens.

    Raises:
        SidecarError: it refused, or does not answer (`busy`).
    """
    connection = connect(place, "control", start=False, env={})
    if connection is None:
        return None
    with contextlib.closing(connection.sock) as sock:
        sock.settimeout(CONTROL_SECONDS)
        try:
            sock.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
            answer = json.loads(read_line(sock))
            if until_end is not None and "error" not in answer:
                sock.settimeout(until_end)
                with contextlib.suppress(ConnectionError):  # The end is what is waited for.
                    sock.recv(1)
        except (Gone, BrokenPipeError):
            return None
        except TimeoutError as exc:
            hint = f"End process {connection.pid}; the workers keep running."
            raise error("busy", "The sidecar process does not answer.", hint, pid=connection.pid) from exc
    if "error" in answer:
        raise error_of(answer)
    return dict(answer)
