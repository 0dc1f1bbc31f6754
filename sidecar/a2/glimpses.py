"""What stood in a file at the moment when a worker spoke of it: read at once, before another worker writes there.

A look asks git and takes tens of milliseconds; when several workers write one file, the next write may come before.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from sidecar.git.worktree import WorkTree
from sidecar.model.errors import SidecarError
from sidecar.model.job import now

GLIMPSE_BYTES = 256 * 1024
"""A larger file is left to the next look: the event loop may not be held up."""
TRIES = 3


class Glimpse(NamedTuple):
    """A file's content as it stood at some moment between `began` and `ended` (wall clock)."""

    data: bytes
    mode: str
    changed_at: float
    """The file's ctime."""
    began: float
    ended: float
    named: bool = False
    """Whether a worker's own event names the file."""

    def is_blob(self, oid: str | None) -> bool:
        """Whether this content is the blob of that name."""
        if not oid:
            return False
        kind = "sha1" if len(oid) == 40 else "sha256"
        head = b"blob %d\0" % len(self.data)
        return hashlib.new(kind, head + self.data, usedforsecurity=False).hexdigest() == oid


def glimpse(top: Path, path: str) -> Glimpse | None:
    """Reads a regular file of the work tree now. Blocks for less than a millisecond.

    Returns:
        None for anything that is no regular file of at most `GLIMPSE_BYTES`, and for an empty one: whoever writes a
        file anew empties it first.
    """
    try:
        with WorkTree(top) as tree:
            for _ in range(TRIES):
                began = now()
                before = tree.signature(path)
                if before.kind != "file" or not 0 < before.size <= GLIMPSE_BYTES:
                    return None
                data = tree.read(path)
                if data and tree.signature(path) == before:
                    mode = "100755" if before.mode & 0o100 else "100644"
                    return Glimpse(data, mode, before.ctime_ns / 1e9, began, now())
    except (OSError, ValueError, SidecarError):
        # It went away or may not be read, or the path is none of the tree's; a look says so where it matters.
        return None
    return None
