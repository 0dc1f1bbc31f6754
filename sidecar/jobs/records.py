"""The runner's files: its lock, its claim, the specification it reads, and records whose space is taken beforehand.

Everything is relative to the current directory, which is the attempt's. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select

from sidecar.jobs import attempt_files as files

_RESERVED_BYTES = 4096
_LOCK_PATIENCE_SECONDS = 1.0


class Spec:
    """What to start, as the executor wrote it."""

    def __init__(self, text: str) -> None:
        record = json.loads(text)
        self.job_id = str(record["jobId"])
        self.attempt = int(record["attempt"])
        self.argv = [str(word) for word in record["argv"]]
        self.env = {str(name): str(value) for name, value in record["env"].items()}
        self.cwd = str(record["cwd"])
        self.timeout = float(record["timeoutSeconds"])
        self.grace = float(record["graceSeconds"])

    @classmethod
    def read(cls) -> Spec:
        """
        Raises:
            OSError, ValueError, KeyError, TypeError: there is none, or it is not one.
        """
        with open(files.SPEC, encoding="utf-8") as file:
            return cls(file.read())


def lock() -> int | None:
    """Takes the lock of a fresh attempt for as long as this process lives; None where the attempt was claimed."""
    fd = os.open(files.LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    waited = 0.0
    while waited < _LOCK_PATIENCE_SECONDS:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A runner holds it, or somebody looks for a moment whether one does.
            if os.path.lexists(files.CLAIM):
                return None
            select.select([], [], [], 0.005)
            waited += 0.005
        else:
            return None if os.path.lexists(files.CLAIM) else fd
    return None


def claim() -> bool:
    """Makes CLAIM, on disk when this returns; False where it was there.

    Without the sync a power cut could take the claim of a worker that ran, and the attempt would be started again.
    """
    try:
        os.close(os.open(files.CLAIM, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    _sync_directory()
    return True


class Reserved:
    """A record that gets its space now and its content later: then a full disk can not keep it from being written."""

    def __init__(self, name: str) -> None:
        """
        Raises:
            OSError: there is no space.
        """
        self._name = name
        self._temporary = f".{name}.reserved"
        try:
            self._put(b"")
        except OSError:
            self.drop()
            raise

    def write(self, content: dict[str, object], *, lasting: bool) -> None:
        """Puts the record in its place, by rename. `lasting`: it outlives a power cut once this returns.

        Raises:
            OSError: it is not there yet; may be called again.
        """
        self._put(json.dumps(content).encode("ascii"), lasting=lasting)
        os.rename(self._temporary, self._name)
        if lasting:
            _sync_directory()

    def _put(self, data: bytes, *, lasting: bool = False) -> None:
        # In place, and cut only within its one block: this needs no space that is not there.
        padded = data.ljust(_RESERVED_BYTES)
        fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            if os.pwrite(fd, padded, 0) < len(padded):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if data:
                os.ftruncate(fd, len(data))
            if lasting:
                os.fsync(fd)
        finally:
            os.close(fd)

    def drop(self) -> None:
        """Gives the space back where the record was not written."""
        remove(self._temporary)


def remove(*names: str) -> None:
    """Deletes what is there of these files."""
    for name in names:
        with contextlib.suppress(OSError):  # A name that stays is deleted by the sidecar or with the job.
            os.unlink(name)


def reserve(*names: str) -> list[Reserved]:
    """Reserves all of these records or none.

    Raises:
        OSError: there is no space.
    """
    reserved: list[Reserved] = []
    try:
        for name in names:
            reserved.append(Reserved(name))
    except OSError:
        for record in reserved:
            record.drop()
        raise
    return reserved


def _sync_directory() -> None:
    fd = os.open(".", os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
