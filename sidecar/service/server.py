"""The life of one sidecar process: it listens, serves, and ends when nobody needs it any more.

Its end is never the end of a worker. Whatever ends it (nobody there, a signal, a newer version, a repository that is
gone), the order is: no new connection, the old ones closed, the jobs left to their runners, the lock free.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar import __version__
from sidecar.model import limits
from sidecar.service import control_connection, http_tokens
from sidecar.service.connections import Connections, Serve, load
from sidecar.service.endpoint import Listener
from sidecar.service.launch import LOG
from sidecar.service.logs import log_loop_error, watch_stalls
from sidecar.service.place import Place

if TYPE_CHECKING:
    from sidecar.service.core import Core

IDLE_ENV = "CODEX_SIDECAR_IDLE_SECONDS"
WATCH_SECONDS = 2.0
"""How often the service looks whether it is needed, reachable, and still where its repository is."""
REFUSE_SECONDS = 1.0
"""How long a service that cannot work stays to tell its clients why."""
CLOSE_CONNECTIONS_SECONDS = 0.4
CLOSE_CORE_SECONDS = 1.0
"""Both together stay below the 1.5 s that an orderly end may take."""

logger = logging.getLogger(__name__)

OpenCore = Callable[[Path, Path], Awaitable["Core"]]


async def _open_core(git_dir: Path, top: Path) -> Core:
    # In a thread: whoever only asks for the status, or to stop, need not wait for the import.
    module = await asyncio.to_thread(importlib.import_module, "sidecar.service.core")
    core: Core = await module.open_core(git_dir, top)
    return core


class Server:
    """One service for one work tree."""

    def __init__(
        self,
        place: Place,
        *,
        open_core: OpenCore = _open_core,
        load: Callable[[str], Awaitable[Serve]] = load,
        idle_seconds: float | None = None,
    ) -> None:
        """
        Args:
            place: the work tree; its state directory exists and its service lock is ours.
            open_core: gives the core.
            load: gives the `serve` of a front end.
            idle_seconds: how long nobody may need it before it ends; default: the environment, else the limit.
        """
        self._place = place
        self._open_core = open_core
        self._idle_seconds = (
            float(os.environ.get(IDLE_ENV) or limits.IDLE_SECONDS) if idle_seconds is None else idle_seconds
        )
        self._core: asyncio.Task[Core] = asyncio.create_task(self._open())
        self._core.add_done_callback(self._core_opened)
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._failed = False
        self._listener = Listener(place)
        self._accepting: asyncio.Server | None = None
        self._started = time.monotonic()
        self.connections = Connections(
            self._core, lambda reader, writer: control_connection.serve(self, reader, writer),
            load=load, token=lambda: self._listener.token,
        )  # fmt: skip

    async def run(self) -> int:
        """Serves until its end and returns the process's exit code: 0, or 1 where it could not work.

        Raises:
            OSError: it could not listen.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_loop_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_end, f"signal {number.name}")
        # Not SIG_IGN: workers would inherit that.
        loop.add_signal_handler(signal.SIGHUP, logger.info, "SIGHUP changes nothing")
        await asyncio.to_thread(http_tokens.remove_stale, Path(self._place.state_dir))
        await self._listen()
        watchers = [asyncio.create_task(self._watch()), asyncio.create_task(watch_stalls())]
        logger.info("version %s listens on %s for %s", __version__, self._listener.address, self._place.top)
        reason = await self._end
        logger.info("ends: %s", reason)
        for watcher in watchers:
            watcher.cancel()
        await self._close()
        return 1 if self._failed else 0

    async def _open(self) -> Core:
        # Being reachable comes first: clients wait for the core in their handshake, and hear there if it fails.
        return await self._open_core(Path(self._place.git_dir), Path(self._place.top))

    def _core_opened(self, opening: asyncio.Task[Core]) -> None:
        if opening.cancelled() or (exc := opening.exception()) is None:
            return
        self._failed = True
        logger.error("the jobs cannot be served: %s", exc, exc_info=exc)
        asyncio.get_running_loop().call_later(REFUSE_SECONDS, self.request_end, "it cannot work")

    async def _listen(self) -> None:
        sock = await asyncio.to_thread(self._listener.open)
        # asyncio takes any listening stream socket here, TCP too.
        self._accepting = await asyncio.start_server(self._accept, sock=sock, limit=limits.MESSAGE_BYTES_MAX)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._end.done() or not self._listener.in_place():
            # Without an answer the client looks again who listens for its repository.
            writer.close()
            self.request_end("the repository was moved or deleted")
            return
        self.connections.accept(reader, writer)

    def request_end(self, reason: str) -> None:
        """Begins the orderly end; the first reason is the one that is logged."""
        if not self._end.done():
            self._end.set_result(reason)

    def status(self) -> dict[str, Any]:
        """What `codex-sidecar daemon status` shows."""
        return {
            "running": not self._end.done(),
            "pid": os.getpid(),
            "version": __version__,
            "clients": len(self.connections.clients),
            "jobs": self._active_jobs(),
            "uptimeSeconds": round(time.monotonic() - self._started, 3),
            "repository": self._place.top,
            "address": self._listener.address,
            "log": os.path.join(self._place.state_dir, LOG),
        }

    async def announced(self) -> dict[str, Any]:
        """Those settings that the terminal's commands follow, as a client announced them last; else the defaults."""
        core = await asyncio.shield(self._core)
        return {"conflicts": {"onConflict": core.settings.conflicts.on_conflict}}

    def _active_jobs(self) -> int:
        if self._core.done() and not self._core.cancelled() and self._core.exception() is None:
            return self._core.result().active_jobs()
        return 0

    async def _watch(self) -> None:
        needed = time.monotonic()
        while True:
            await asyncio.sleep(min(WATCH_SECONDS, self._idle_seconds / 4))
            if not await asyncio.to_thread(self._listener.in_place):
                self.request_end("the repository was moved or deleted")
            elif not await asyncio.to_thread(self._listener.reachable):
                await self._listen_again()
            if self.connections.busy or self._active_jobs() or not self._core.done():
                needed = time.monotonic()
            elif time.monotonic() - needed >= self._idle_seconds:
                self.request_end("nobody needs it")

    async def _listen_again(self) -> None:
        logger.warning("the socket or the endpoint file is gone; listening anew")
        if self._accepting is not None:
            self._accepting.close()
        try:
            await self._listen()
        except OSError:
            logger.exception("cannot listen")

    async def _close(self) -> None:
        if self._accepting is not None:
            self._accepting.close()
        # A repository that is gone has taken the files with it.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._listener.close)
        await self.connections.close(CLOSE_CONNECTIONS_SECONDS)
        if not self._core.done():
            self._core.cancel()
        try:
            core = await asyncio.wait_for(asyncio.shield(self._core), CLOSE_CORE_SECONDS)
            await asyncio.wait_for(core.close(), CLOSE_CORE_SECONDS)
        except asyncio.CancelledError:
            logger.info("it had not taken up its jobs yet")
        except (asyncio.TimeoutError, TimeoutError):
            logger.warning("the jobs' books took more than %.1f s to close", CLOSE_CORE_SECONDS)
        except Exception:
            # The exception of the opening comes here again; it was logged where it happened.
            if not self._failed:
                logger.exception("the jobs' books were not closed in order")
        await self.connections.close(0.05, controls=True)
