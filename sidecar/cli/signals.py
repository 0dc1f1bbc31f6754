"""Ctrl-C without a traceback: it cancels the command, unless the command has something better to do with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from sidecar.model.errors import SidecarError
from sidecar.service import link

T = TypeVar("T")


class Interrupted(Exception):
    """A signal ended the command; `signal_number` says which."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


def run(work: Coroutine[Any, Any, int]) -> int:
    """Runs a command to its end and returns its exit code.

    Raises:
        Interrupted: by SIGINT; what the command cleans up in `finally` has been done.
        SidecarError: `limit-reached` or `state-unavailable`, in a sandbox where no command can work.
    """
    if not _can_send():
        work.close()
        link.refuse_worker(os.environ)
        raise SidecarError(
            "state-unavailable",
            "This shell is in a sandbox that forbids sockets, so no sidecar can be reached.",
            "Run the command outside of the sandbox; an agent can use the MCP server instead.",
        )
    seen: list[int] = []

    async def supervised() -> int:
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            seen.append(signal.SIGINT)
            task.cancel()

        with on_signal(signal.SIGINT, stop):
            try:
                return await work
            except asyncio.CancelledError:
                if seen:
                    raise Interrupted(seen[0]) from None
                raise

    return asyncio.run(supervised())


def _can_send() -> bool:
    """Whether this process may send on a socket.

    Codex's sandbox lets nobody. An event loop is woken by its threads and by signals through a socket, so a command
    would never hear of anything that it waits for, not even of Ctrl-C.
    """
    try:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.send(b"x")
    except PermissionError:
        return False
    return True


@contextlib.contextmanager
def on_signal(number: int, callback: Callable[[], None]) -> Iterator[None]:
    """Calls `callback` on the loop for each such signal; afterwards the handler before holds again."""
    loop = asyncio.get_running_loop()
    before = _handlers.get(number)
    loop.add_signal_handler(number, callback)
    _handlers[number] = callback
    try:
        yield
    finally:
        if before is None:
            loop.remove_signal_handler(number)
            del _handlers[number]
        else:
            loop.add_signal_handler(number, before)
            _handlers[number] = before


async def to_its_end(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Does `work` without being interrupted; returns its result, and whether something tried."""
    running = asyncio.ensure_future(work)
    interrupted = False
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            interrupted = True
    return running.result(), interrupted


_handlers: dict[int, Callable[[], None]] = {}
