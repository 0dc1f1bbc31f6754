"""`python -m sidecar.service`: one sidecar process, started by the first front end that finds none.

Exit codes: 0 it ended in order; 1 it could not work, the log says why; 75 another one serves the same state directory.
With `--standalone`: what the one front end that it serves decided.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from sidecar.model import limits
from sidecar.service import launch, logs
from sidecar.service.place import Place, prepare_state_dir

logger = logging.getLogger("sidecar.service")


def main() -> int:
    """Runs the service and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sidecar.service")
    parser.add_argument("--git-dir", help="the work tree's own git directory, absolute")
    parser.add_argument("--top", help="the work tree's top level, absolute")
    parser.add_argument("--standalone", action="store_true", help="serve one connection outside a repository")
    parser.add_argument("--fd", type=int, help="the connected socket of --standalone")
    parser.add_argument("--frontend", help="shown in the process list")
    options = parser.parse_args()
    if options.standalone:
        return _run_standalone(options.fd)
    place = Place(options.top, options.git_dir)
    prepare_state_dir(place)
    lock = launch.take_service_lock(place)
    if lock is None:
        return launch.EXIT_ANOTHER
    listener = logs.set_up(Path(place.state_dir, launch.LOG))
    try:
        return _run_to_end(_serve(place))
    except Exception:
        logger.exception("the service failed")
        return 1
    finally:
        listener.stop()


async def _serve(place: Place) -> int:
    # Imported here so that an error in it is in the log.
    from sidecar.service.server import Server

    return await Server(place).run()


def _run_to_end(serving: Coroutine[Any, Any, int]) -> int:
    """Like `asyncio.run`, which would wait for threads that still import something or wait for git."""
    return asyncio.new_event_loop().run_until_complete(serving)


def _run_standalone(fd: int) -> int:
    listener = logs.set_up(None)
    try:
        os.set_inheritable(fd, False)
        return _run_to_end(_serve_one(socket.socket(fileno=fd)))
    finally:
        listener.stop()


async def _serve_one(sock: socket.socket) -> int:
    async def no_core() -> None:
        return None

    async def no_control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        return 1

    reader, writer = await asyncio.open_connection(sock=sock, limit=limits.MESSAGE_BYTES_MAX)
    from sidecar.service.connections import Connections

    serving = Connections(no_core(), no_control).accept(reader, writer)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.log_loop_error)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    await asyncio.wait({serving})
    return 128 + signal.SIGTERM if serving.cancelled() else serving.result()


if __name__ == "__main__":
    try:
        status = main()
        sys.stderr.flush()
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 2
    # The interpreter's own end waits for threads, too.
    os._exit(status)
