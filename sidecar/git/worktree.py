"""The files of a work tree, reached so that no symbolic link in a parent leads out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from sidecar.git.plumbing import check_path

Kind = Literal["absent", "file", "link", "directory", "other"]

NO_FILE: frozenset[Kind] = frozenset({"absent", "directory"})
"""To git, which knows files only, a directory at a path means that no file is there."""

_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# What `open` says where a parent is missing, is a file, or is a symbolic link: to git the path is not there then.
NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Signature(NamedTuple):
    """What `lstat` says of a path; equal signatures mean an untouched file. Times in nanoseconds since 1970."""

    kind: Kind
    mode: int = 0
    """Permission bits."""
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0

    def same_file(self, other: Signature) -> bool:
        """The same content of the same file, as far as `lstat` can say. Renaming changes only `ctime_ns`."""
        return self._replace(ctime_ns=0) == other._replace(ctime_ns=0)


ABSENT = Signature("absent")


def signature_of(status: os.stat_result) -> Signature:
    """The signature in an answer of `lstat`."""
    return Signature(
        _kind(status.st_mode),
        stat.S_IMODE(status.st_mode),
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISLNK(mode):
        return "link"
    return "directory" if stat.S_ISDIR(mode) else "other"


class WorkTree:
    """An open work tree; a context manager. Paths are relative to the top, `/`-separated. Blocks.

    Raises (all methods):
        SidecarError: `invalid-arguments` for a path that leaves the tree or enters `.git`.
        OSError: what the file system says, except that something is not there.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self._fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folds = os.path.lexists(top / ".GIT") and os.path.samefile(top / ".GIT", top / ".git")

    def __enter__(self) -> WorkTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @contextlib.contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """A descriptor of the directory `path` (`""`: the top), for the `dir_fd` of os functions.

        Raises:
            FileNotFoundError, NotADirectoryError: it is not there, or not without following a symbolic link.
        """
        fd = os.dup(self._fd)
        try:
            for part in check_path(path, folds=self._folds).split("/") if path else ():
                deeper = os.open(part, _STEP, dir_fd=fd)
                os.close(fd)
                fd = deeper
            yield fd
        except OSError as exc:
            if exc.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from exc
            raise
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that holds `path`, and its name there."""
        above, _, name = check_path(path, folds=self._folds).rpartition("/")
        with self.directory(above) as fd:
            yield fd, name

    def signature(self, path: str) -> Signature:
        """What stands at `path` now; `ABSENT` also where a parent is missing, a file or a symbolic link."""
        try:
            with self.parent(path) as (fd, name):
                return signature_of(os.lstat(name, dir_fd=fd))
        except OSError as exc:
            if exc.errno in NOT_THERE:
                return ABSENT
            raise

    def link_target(self, path: str) -> bytes:
        """Where the symbolic link `path` points."""
        with self.parent(path) as (fd, name):
            return os.fsencode(os.readlink(name, dir_fd=fd))

    def read(self, path: str) -> bytes:
        """The bytes of the regular file `path`; never those of a link's target."""
        with self.parent(path) as (fd, name):
            # Without O_NONBLOCK a pipe of that name would hold us for ever.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=fd)
        with os.fdopen(file, "rb") as stream:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return stream.read()

    def is_repository(self, path: str) -> bool:
        """Whether the directory `path` is a repository of its own (it, or something above it in the tree)."""
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            here = "/".join(parts[:count])
            try:
                with self.directory(here) as fd:
                    os.lstat(".git", dir_fd=fd)
                    return True
            except OSError as exc:
                if exc.errno not in NOT_THERE:
                    raise
        return False


def parents(path: str) -> Iterator[str]:
    """The directories above `path`, nearest first, without the top."""
    above = path.rpartition("/")[0]
    while above:
        yield above
        above = above.rpartition("/")[0]
