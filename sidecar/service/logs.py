"""The sidecar's log: what a developer needs later, never a prompt, an environment or a file's content.

Records are written by a thread of their own, so a slow disk delays no answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sys
import time
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import IO, Any

LOG_BYTES = 2 * 1024 * 1024
"""Size at which the log is turned over; one older file is kept."""
STALL_SECONDS = 0.02
"""The loop must not be busy for longer at a time."""
FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

logger = logging.getLogger(__name__)


class _PrivateFile(RotatingFileHandler):
    """A rotating file, 0600, that the process's standard error goes into as well, for a crash of the interpreter."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> IO[str]:  # type: ignore[override]
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.dup2(fd, 2)
        return os.fdopen(fd, "a", encoding=self.encoding, errors=self.errors)


def set_up(path: Path | None) -> QueueListener:
    """Sends all records to the file, or to standard error where there is none. `stop()` of the result flushes.

    Raises:
        OSError: the file cannot be opened.
    """
    target: logging.Handler = logging.StreamHandler(sys.stderr) if path is None else _PrivateFile(path)
    formatter = logging.Formatter(FORMAT)
    formatter.converter = time.gmtime
    formatter.default_msec_format = "%s.%03dZ"
    target.setFormatter(formatter)
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    root = logging.getLogger()
    root.addHandler(QueueHandler(records))
    root.setLevel(logging.WARNING)
    logging.getLogger("sidecar").setLevel(logging.WARNING if path is None else logging.INFO)
    # Both log whole messages, prompts included, below this level.
    for name in ("pygls", "mcp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    listener = QueueListener(records, target)
    listener.start()
    return listener


def log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody caught is logged and ends nothing else."""
    logger.error("%s", context.get("message"), exc_info=context.get("exception"))


async def watch_stalls() -> None:
    """Logs each time the loop was busy for too long; looks only while the level is `debug`."""
    while True:
        if not logger.isEnabledFor(logging.DEBUG):
            await asyncio.sleep(1)
            continue
        before = time.monotonic()
        await asyncio.sleep(STALL_SECONDS)
        late = time.monotonic() - before - STALL_SECONDS
        if late > STALL_SECONDS:
            logger.debug("the loop was busy for %.0f ms", late * 1000)
