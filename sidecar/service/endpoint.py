"""Where the service listens, and the file that says so.

A Unix socket that only its owner can open; loopback TCP with a token where no path is short enough for one. The socket
lies outside of the repository, in the user's runtime directory, which may vanish while workers run (a log-out takes
`/run/user/<uid>` away): `check` sees it and `open` makes a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import stat
import tempfile
from pathlib import Path

from sidecar import __version__
from sidecar.jobs import durable
from sidecar.model import limits
from sidecar.model.job import iso, now
from sidecar.service.link import ENDPOINT, process_start, read_endpoint
from sidecar.service.place import STATE_NAME, Place, directory_id

BACKLOG = 128


class Listener:
    """The listening socket of one service and its endpoint file. Every method blocks (files, fsync): use a thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._directory = directory_id(place.state_dir)
        self._path: str | None = None
        self._inode: tuple[int, int] | None = None
        self._own_directory: str | None = None
        self.token: str | None = None
        """What a client has to say first; only over TCP."""
        self.address = ""
        """For people: the socket's path, or host and port."""

    def open(self) -> socket.socket:
        """Listens, and writes the endpoint file.

        Returns:
            The listening socket, not blocking.

        Raises:
            OSError: neither a socket nor the file could be made.
        """
        self._forget_socket()
        self._remove_stale()
        sock = self._unix() or self._tcp()
        sock.setblocking(False)
        try:
            self._write(sock)
        except BaseException:
            sock.close()
            self._forget_socket()
            raise
        return sock

    def _write(self, sock: socket.socket) -> None:
        endpoint: dict[str, object] = {
            "pid": os.getpid(),
            "startTime": process_start(os.getpid()),
            "version": __version__,
            "startedAt": iso(now()),
            "directory": self._directory,
        }
        if self._path is not None:
            endpoint["socket"] = self._path
        else:
            endpoint |= {"port": sock.getsockname()[1], "token": self.token}
        durable.write_file(Path(self._place.state_dir, ENDPOINT), json.dumps(endpoint).encode())

    def _unix(self) -> socket.socket | None:
        """A listening Unix socket in the first private directory whose path is short enough."""
        for directory in self._private_directories():
            path = os.path.join(directory, f"{secrets.token_hex(4)}.sock")
            if len(os.fsencode(path)) > limits.SOCKET_PATH_BYTES:
                continue
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.bind(path)
                os.chmod(path, 0o600)
                sock.listen(BACKLOG)
                status = os.stat(path)
            except OSError:
                sock.close()
                continue
            self._path, self._inode, self.address = path, (status.st_dev, status.st_ino), path
            return sock
        return None

    def _private_directories(self) -> list[str]:
        """Directories of ours, 0700; the first that exist or can be made are the best."""
        bases = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()]
        names = [STATE_NAME, f"{STATE_NAME}-{os.geteuid()}"]
        found = []
        for base, name in zip(bases, names, strict=True):
            path = os.path.join(base, name)
            if not os.path.isabs(base) or len(os.fsencode(path)) > limits.SOCKET_PATH_BYTES:
                continue
            with contextlib.suppress(OSError):  # The next one is tried instead.
                if name == STATE_NAME and os.stat(base).st_uid != os.geteuid():
                    continue  # Somebody who became another user kept the variable.
                os.makedirs(path, mode=0o700, exist_ok=True)
                if _is_private(path):
                    found.append(path)
        if not found:
            # Somebody else may have taken the name in the common directory first.
            with contextlib.suppress(OSError):  # TCP needs no directory.
                self._own_directory = tempfile.mkdtemp(prefix=f"{STATE_NAME}-")
                found.append(self._own_directory)
        return found

    def _tcp(self) -> socket.socket:
        # With the protocol left open, asyncio would not switch off Nagle's delay of 40 ms a message.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.bind(("127.0.0.1", 0))
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        self.token = secrets.token_hex(32)
        self.address = f"127.0.0.1:{sock.getsockname()[1]}"
        return sock

    def in_place(self) -> bool:
        """Whether the state directory is still where it was; false: the repository was moved or deleted."""
        try:
            return directory_id(self._place.state_dir) == self._directory
        except OSError:
            return False

    def reachable(self) -> bool:
        """Whether a client that reads the endpoint file would come to this process."""
        endpoint = read_endpoint(self._place)
        if endpoint is None or endpoint.get("pid") != os.getpid() or endpoint.get("socket") != self._path:
            return False
        if self._path is None:
            return True
        try:
            status = os.stat(self._path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._inode

    def close(self) -> None:
        """Takes the endpoint file and the socket away; what another service has written is left alone."""
        endpoint = read_endpoint(self._place)
        if endpoint is not None and endpoint.get("pid") == os.getpid():
            Path(self._place.state_dir, ENDPOINT).unlink(missing_ok=True)
        self._forget_socket()

    def _forget_socket(self) -> None:
        if self._path is not None:
            Path(self._path).unlink(missing_ok=True)
        if self._own_directory is not None:
            with contextlib.suppress(OSError):  # It is in a temporary directory, which is cleaned by others too.
                os.rmdir(self._own_directory)
        self._path = self._inode = self._own_directory = self.token = None

    def _remove_stale(self) -> None:
        """Removes the socket of a service that was killed: the holder of the service lock is the only one alive."""
        path = (read_endpoint(self._place) or {}).get("socket")
        if isinstance(path, str) and os.path.basename(os.path.dirname(path)).startswith(STATE_NAME):
            with contextlib.suppress(OSError):  # It is gone already, or is not ours.
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    os.unlink(path)


def _is_private(path: str) -> bool:
    status = os.lstat(path)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
