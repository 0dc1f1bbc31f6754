"""Each job's own temporary directory.

Codex lets a `workspace-write` worker write all of /tmp and $TMPDIR, so workers could disturb each other and work trees
that lie there; and it makes its helper programs in $CODEX_HOME only where that is not below the temporary directory.
A private directory in the user's cache solves both. It is never inside the Git directory, which the sandbox mounts
read-only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import platformdirs

from sidecar.model import limits
from sidecar.model.errors import SidecarError

_LEFT_OVER_SECONDS = limits.TIMEOUT_MS_MAX / 1000 + 24 * 3600
"""Older than any job can be."""


def root() -> Path:
    """Where the directories of all jobs of this user are."""
    return Path(platformdirs.user_cache_dir("codex-sidecar")) / "tmp"


def make(job_id: str) -> Path:
    """The job's directory (0700), made if it is not there. Blocks.

    Raises:
        SidecarError: `state-unavailable`; it cannot be made.
    """
    path = root() / job_id
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink() or path.stat().st_uid != os.getuid():
            raise PermissionError(None, "belongs to somebody else")
    except OSError as exc:
        raise SidecarError(
            "state-unavailable",
            f"The worker's temporary directory {path} cannot be made ({exc.strerror}).",
            "Make its parent writable, or set XDG_CACHE_HOME to a directory that is.",
            {"path": str(path)},
        ) from exc
    return path


def remove(job_id: str) -> None:
    """Removes the job's directory, and those of jobs that can no longer run. Blocks; what cannot be removed stays."""
    _remove_tree(root() / job_id)
    before = time.time() - _LEFT_OVER_SECONDS
    try:
        others = [entry.path for entry in os.scandir(root()) if entry.stat(follow_symlinks=False).st_mtime < before]
    except OSError:
        return
    for path in others:
        _remove_tree(Path(path))


def _remove_tree(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        return
    shutil.rmtree(path, ignore_errors=True)
    # Go's module cache, for one, leaves directories that their owner may not write.
    for folder, inner, _ in os.walk(path):
        for name in inner:
            if not os.path.islink(target := os.path.join(folder, name)):
                with contextlib.suppress(OSError):  # Not ours to change: it stays.
                    os.chmod(target, 0o700)
    shutil.rmtree(path, ignore_errors=True)
