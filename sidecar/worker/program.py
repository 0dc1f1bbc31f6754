"""Short runs of the Codex CLI (`--version`, `login status`, `sandbox`): no input, a deadline, nothing left over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
OUTPUT_BYTES = 64 * 1024
"""How much of each output is kept."""
KILLED_SECONDS = 2.0
"""How long a program that was killed is waited for: what cut its ties to it may hold its output open for ever."""


@dataclass(frozen=True)
class Ran:
    """`code` is negative for a signal and None where the deadline passed."""

    code: int | None
    stdout: str
    stderr: str


async def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: str, seconds: float) -> Ran:
    """Runs a program to its end, or kills it and all it started after `seconds`, or when the caller is cancelled.

    Raises:
        OSError: it could not be started.
    """
    starting = asyncio.ensure_future(_start(argv, env, cwd))
    try:
        transport, output = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Its start cut short asyncio would kill the program alone, and wait for whatever holds its output.
        await asyncio.wait({starting})
        if starting.exception() is None:
            await _end(*starting.result())
        raise
    timed_out = False
    try:
        await asyncio.wait_for(asyncio.shield(output.ended), seconds)
    except asyncio.TimeoutError:
        timed_out = True
    finally:
        await _end(transport, output)
    out, err = (output.kept[fd].decode("utf-8", "replace") for fd in (1, 2))
    return Ran(None if timed_out else transport.get_returncode(), out, err)


async def _start(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> tuple[asyncio.SubprocessTransport, _Output]:
    return await asyncio.get_running_loop().subprocess_exec(
        _Output,
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )


async def _end(transport: asyncio.SubprocessTransport, output: _Output) -> None:
    """Kills the program and all it started, unless it has ended."""
    if not output.ended.done():
        await asyncio.to_thread(_kill, transport.get_pid())
        await asyncio.wait({output.ended}, timeout=KILLED_SECONDS)
    transport.close()


class _Output(asyncio.SubprocessProtocol):
    """Keeps the start of each output. `ended`: the program is gone, and nobody holds its outputs any more."""

    def __init__(self) -> None:
        self.kept = {1: b"", 2: b""}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.kept[fd] += data[: OUTPUT_BYTES - len(self.kept[fd])]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def _kill(pid: int) -> None:
    """SIGKILL to the program's process group, and to what it started in others. Blocks."""
    import psutil  # type: ignore[import-untyped]

    elsewhere = []
    with contextlib.suppress(psutil.Error):  # It has just ended.
        elsewhere = psutil.Process(pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):  # So has all of its group.
        os.killpg(pid, signal.SIGKILL)
    for process in elsewhere:
        with contextlib.suppress(psutil.Error):  # Gone, or another user's.
            process.kill()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but a cancel waits for the thread: nothing is written behind the caller's back."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # Nobody is there to hear of it any more.
        raise
