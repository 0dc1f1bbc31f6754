"""Installing another index, with git's own lock and so that a crash at any point can be told and completed.

Only `onDirty: "stash"` and bringing such a stash back need it: the tree would not be clean with files still staged.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from pathlib import Path

from sidecar.git.blobs import read_blobs
from sidecar.git.journal import Journal
from sidecar.git.staging import sync_file
from sidecar.git.state import Work, sync_directory
from sidecar.model.errors import SidecarError

logger = logging.getLogger(__name__)

LOCK_SECONDS = 3.0
"""How long git's lock is waited for."""


def index_plan(
    work: Work, saved: str | None, *, tree: str | None = None, blob: str | None = None
) -> dict[str, str | None]:
    """What a journal says about the index: what it must say, and what it is to become.

    Args:
        saved: the blob with the bytes that a snapshot has just saved; an index that says something else stays.
        tree: a tree's content, so that nothing is staged; or
        blob: the very bytes of an index that was saved earlier.
    """
    before = hashlib.sha256(b"").hexdigest() if saved is None else staged_digest(work, blob=saved)
    return {"before": before, "tree": tree, "blob": blob}


def staged_digest(work: Work, *, blob: str | None = None, path: Path | None = None) -> str:
    """A digest of what an index says: the present one, saved bytes, or a file.

    What it remembers of the files' times does not count: every `git status`, an editor's too, may write that anew.
    """
    if blob is not None:
        with work.state.scratch() as directory:
            saved = directory / "index"
            saved.write_bytes(read_blobs(work.git, [blob])[blob])
            return staged_digest(work, path=saved)
    env = {} if path is None else {"GIT_INDEX_FILE": os.fspath(path)}
    return hashlib.sha256(work.git.run("ls-files", "-v", "-s", "-z", env=env)).hexdigest()


def stage_index(work: Work, journal: Journal) -> None:
    """Lays the new index ready in the journal's directory.

    Raises:
        SidecarError: git cannot read or make it; nothing was changed.
    """
    plan = journal.index
    if plan is None:
        return
    present, new = work.git.git_dir / "index", journal.directory / "index"
    if plan["blob"]:
        new.write_bytes(read_blobs(work.git, [plan["blob"]])[plan["blob"]])
        # A split index is of no use without its other half.
        work.git.run("ls-files", "-s", "-z", env={"GIT_INDEX_FILE": os.fspath(new)})
    else:
        assert plan["tree"]
        with contextlib.suppress(FileNotFoundError):
            new.write_bytes(present.read_bytes())
        # One tree: entries that stay the same keep what git knows about their files.
        work.git.run("read-tree", "--reset", plan["tree"], env={"GIT_INDEX_FILE": os.fspath(new)})
    with contextlib.suppress(FileNotFoundError):
        os.chmod(new, present.stat().st_mode & 0o777)
    sync_file(new)


def install_index(work: Work, journal: Journal) -> None:
    """Makes the new index the index, if that is still what it was; may be called again after a crash.

    Raises:
        SidecarError: `busy` while another git holds the lock; nothing was changed.
    """
    plan = journal.index
    if plan is None:
        return
    index, lock, new = work.git.git_dir / "index", work.git.git_dir / "index.lock", journal.directory / "index"
    ours = new.stat().st_ino
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            # A hard link: after a crash the inode says that the lock is ours.
            os.link(new, lock)
            break
        except FileExistsError:
            if _inode(lock) == ours:
                break
            if time.monotonic() > deadline:
                raise locked() from None
            time.sleep(0.02)
    try:
        now = staged_digest(work)
        if now == plan["before"]:
            os.rename(lock, index)
        elif now != staged_digest(work, path=new):
            logger.warning("something was staged in the meantime; the index stays as it is")
    finally:
        # Still there where it was not renamed; a rename onto another name of the same file does nothing, too.
        with contextlib.suppress(FileNotFoundError):
            if _inode(lock) == ours:
                os.unlink(lock)
    sync_directory(work.git.git_dir)


def locked() -> SidecarError:
    """The error for an index that another git holds."""
    return SidecarError(
        "busy",
        "Another git process holds the lock of the index (index.lock).",
        "Let it end, then try again; if none runs, remove the file as git says.",
    )


def is_locked(work: Work) -> bool:
    """Whether some git holds the index's lock now."""
    return (work.git.git_dir / "index.lock").exists()


def _inode(path: Path) -> int | None:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None
