"""Wakes whoever reads a file when it grows: inotify on Linux (0.3 ms), a slow look elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.05


class GrowthWatcher:
    """One watcher for all spools of a sidecar. Callbacks run on the event loop and must not block."""

    def __init__(self) -> None:
        self._callbacks: dict[Path, Callable[[], None]] = {}
        self._watches: dict[Path, Any] = {}
        self._inotify: Any = None
        self._task: asyncio.Task[None] | None = None

    def add(self, path: Path, callback: Callable[[], None]) -> None:
        """Calls `callback` soon after each growth of `path`, which must exist."""
        self._callbacks[path] = callback
        if sys.platform == "linux":
            self._add_inotify(path)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="spool-watcher")

    def _add_inotify(self, path: Path) -> None:
        from asyncinotify import Inotify, Mask

        if self._inotify is None:
            self._inotify = Inotify()
        try:
            watch = self._inotify.add_watch(path, Mask.MODIFY)
        except OSError as exc:
            # The number of watches is limited by the system; reading at the worker's end still finds everything.
            logger.warning("no watch on %s: %s", path, exc)
            return
        self._watches[path] = watch

    def remove(self, path: Path) -> None:
        """Stops watching; unknown paths are ignored."""
        self._callbacks.pop(path, None)
        watch = self._watches.pop(path, None)
        if watch is not None and self._inotify is not None:
            with contextlib.suppress(OSError):  # The kernel has dropped the watch already where the file is gone.
                self._inotify.rm_watch(watch)

    async def _run(self) -> None:
        if self._inotify is None:
            while self._callbacks:
                for callback in list(self._callbacks.values()):
                    callback()
                await asyncio.sleep(POLL_SECONDS)
            return
        async for event in self._inotify:
            if event.path is not None and (wake := self._callbacks.get(Path(event.path))):
                wake()

    def close(self) -> None:
        """Stops everything."""
        if self._task is not None:
            self._task.cancel()
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
