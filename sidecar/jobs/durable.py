"""Writing files so that a kill -9 or a full disk leaves the old content or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def temporary_prefix(name: str) -> str:
    """How the names begin that a file has while `write_file` writes it; a kill leaves one behind."""
    return f".{name}."


def write_file(path: Path, data: bytes, mode: int = 0o600, *, sync: bool = True) -> None:
    """Replaces `path` by `data`: temporary file beside it, fsync, rename, fsync of the directory. Blocks.

    Without `sync` a power cut may lose it (not a crash of this process); for what can be made again.

    Raises:
        OSError: nothing was replaced; the temporary file is gone.
    """
    fd, temporary = tempfile.mkstemp(prefix=temporary_prefix(path.name), dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def remove(path: Path) -> None:
    """Deletes what `write_file` wrote, also a half-written file that a kill left behind; nothing there is fine.

    Raises:
        OSError: it may not be deleted.
    """
    path.unlink(missing_ok=True)
    for left in path.parent.glob(f"{temporary_prefix(path.name)}*"):
        left.unlink(missing_ok=True)


def append(path: Path, data: bytes, mode: int = 0o600, *, sync: bool = True) -> None:
    """Appends `data` whole or not at all, and syncs it. Only one process may append to a file. Blocks.

    A torn tail (no final newline) that an earlier crash left is cut off first: it was never acknowledged.

    Raises:
        OSError: the file is as it was before.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        end = _whole_lines_end(fd)
        os.ftruncate(fd, end)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(fd, data[written:], end + written)
            if sync:
                os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, end)
            raise
    finally:
        os.close(fd)


def _whole_lines_end(fd: int) -> int:
    """The offset behind the last newline."""
    position = os.fstat(fd).st_size
    while position > 0:
        start = max(0, position - 65_536)
        newline = os.pread(fd, position - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0


def sync_directory(path: Path) -> None:
    """Makes renames and new names in `path` lasting. Blocks."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
