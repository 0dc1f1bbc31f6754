"""Where the plumbing keeps what is not an object: temporary files, the trash of repairs, and the lock over both."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sidecar.git.plumbing import Git
from sidecar.git.repository import Repository
from sidecar.git.worktree import WorkTree
from sidecar.model.errors import SidecarError

LOCK_SECONDS = 30.0
"""How long one repair waits for another one to end."""


class State:
    """The plumbing's part of the state directory `<git dir>/codex-sidecar/`; everything in it is 0700 or 0600."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trash = directory / "trash"
        self.temporary = directory / "tmp"

    def prepare(self) -> None:
        """Makes the directories. Blocks."""
        for path in (self.directory, self.trash, self.temporary):
            path.mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory that is gone afterwards; what a crash leaves of one goes at the next `clear`."""
        self.prepare()
        path = Path(tempfile.mkdtemp(dir=self.temporary))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def clear(self) -> None:
        """Removes what crashes left of scratch directories. Only while nothing else works here. Blocks."""
        if self.temporary.exists():
            for path in self.temporary.iterdir():
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Only one repair or recovery at a time, over all processes; a process that dies lets go of it.

        Raises:
            SidecarError: `busy` after `LOCK_SECONDS`.
        """
        self.prepare()
        deadline = time.monotonic() + LOCK_SECONDS
        with open(self.directory / "repair.lock", "ab", opener=_private) as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise SidecarError(
                            "busy", "Another repair of this work tree is at work.", "Try again when it has ended."
                        ) from None
                    time.sleep(0.01)
            yield


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


class Work(NamedTuple):
    """What one operation works with, in one thread."""

    git: Git
    tree: WorkTree
    state: State


@contextlib.contextmanager
def open_work(repository: Repository, state_dir: Path) -> Iterator[Work]:
    """Opens everything for one operation. Blocks.

    Raises:
        SidecarError: also for what git says inside the `with` block, and `state-unavailable` for a file system's error.
    """
    state = State(state_dir)
    try:
        state.prepare()
        with repository.plumbing() as git, WorkTree(repository.top) as tree:
            yield Work(git, tree, state)
    except OSError as exc:
        raise SidecarError(
            "state-unavailable",
            f"The file system refused: {exc.strerror or exc}"
            + (f" ({os.fspath(exc.filename)!r})." if exc.filename else "."),
            "Make room or mend the permissions, then try again.",
            {"errno": exc.errno},
        ) from exc


def write_lasting(path: Path, data: bytes) -> None:
    """A new file, 0600, that is on the disk whole or not there under its name. Blocks."""
    fd, temporary = tempfile.mkstemp(prefix=".new.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes names in `path` lasting. Blocks."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
