"""Versions and transcripts as files, for editors that have no virtual documents.

They lie in the state directory, where no work tree and no `git status` sees them, and can be made again at any time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from sidecar.jobs import durable

logger = logging.getLogger(__name__)

NAME_BYTES_MAX = 200


class DocumentFiles:
    """The files under `<state directory>/documents/`: 0600, in directories of 0700."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "documents"

    def path(self, *parts: str) -> Path:
        """Where a document lies.

        Args:
            parts: a name for each level; the last may be a path in the repository.

        Raises:
            ValueError: a part would lead out of the directory.
        """
        *levels, last = parts
        names = [quote(level, safe="")[:NAME_BYTES_MAX] for level in levels] + last.split("/")
        if any(name in ("", ".", "..") for name in names):
            raise ValueError(f"{parts!r} names no document")
        return self._directory.joinpath(*names)

    async def write(self, path: Path, content: bytes) -> bool:
        """Puts the content into the file; False where that cannot be, which is logged."""
        try:
            await asyncio.to_thread(self._write, path, content)
        except OSError as exc:
            logger.warning("cannot write %s: %s", path, exc)
            return False
        return True

    def _write(self, path: Path, content: bytes) -> None:
        levels = [path.parent, *path.parent.parents]
        for directory in reversed(levels[: levels.index(self._directory) + 1]):
            directory.mkdir(mode=0o700, exist_ok=True)
        if not path.is_symlink() and path.is_file() and path.read_bytes() == content:
            return  # An editor that shows it would otherwise think that it has changed.
        durable.write_file(path, content, sync=False)

    async def sweep(self, run_id: str, keep_days: float) -> None:
        """Removes the versions of other runs, and transcripts that are older than snapshots may be."""
        await asyncio.to_thread(self._sweep, quote(run_id, safe="")[:NAME_BYTES_MAX], time.time() - keep_days * 86_400)

    def _sweep(self, kept: str, oldest: float) -> None:
        try:
            entries = list(os.scandir(self._directory))
        except OSError:
            return  # Nothing was ever written.
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != kept:
                        shutil.rmtree(entry.path)
                elif entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.path)
            except OSError as exc:
                logger.warning("cannot remove %s: %s", entry.path, exc)
