"""Tells that something in the work tree changed, so that the witness can look before the next worker writes.

A trigger only: what changed and whose it is, the witness finds out by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

logger = logging.getLogger(__name__)
DEBOUNCE_MS = 50
STEP_MS = 10


class TreeWatch:
    """Watches one work tree while somebody wants it; all but the git directory and what tools cache."""

    def __init__(self, top: str, changed: Callable[[list[str]], None]) -> None:
        """`changed` is called with paths below `top`."""
        self._top = top
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None

    @property
    def active(self) -> bool:
        """Whether changes are told now."""
        return self._task is not None and not self._task.done() and self._stop is not None and not self._stop.is_set()

    def start(self) -> None:
        """Begins to watch; nothing happens where it does already."""
        if self._task is None or self._task.done():
            self._stop = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._run(self._stop), name="tree-watch")

    def stop(self) -> None:
        """Ends it."""
        if self._stop is not None:
            self._stop.set()

    async def close(self) -> None:
        """Ends it and waits for that."""
        self.stop()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, stop: asyncio.Event) -> None:
        from watchfiles import DefaultFilter, awatch

        try:
            async for changes in awatch(
                self._top, watch_filter=DefaultFilter(), debounce=DEBOUNCE_MS, step=STEP_MS, stop_event=stop,
                ignore_permission_denied=True,
            ):  # fmt: skip
                self._changed([os.path.relpath(path, self._top) for _, path in changes])
        except (OSError, RuntimeError) as exc:
            # Watches are limited by the system; the looks around commands and patches still find every change.
            logger.warning("the work tree cannot be watched: %s", exc)
