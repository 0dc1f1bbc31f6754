"""Short runs of the Codex CLI (`--version`, `login status`, `sandbox`): no input, a deadline, nothing left over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OUTPUT_BYTES = 64 * 1024
"""How much of each output is kept."""


@dataclass(frozen=True)
class Ran:
    """`code` is negative for a signal and None where the deadline passed."""

    code: int | None
    stdout: str
    stderr: str


async def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: str, seconds: float) -> Ran:
    """Runs a program to its end, or kills its process group after `seconds`.

    Raises:
        OSError: it could not be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    reading = asyncio.gather(_start_of(process.stdout), _start_of(process.stderr))
    timed_out = False
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.gather(reading, process.wait())), seconds)
    except asyncio.TimeoutError:
        timed_out = True
    finally:
        if process.returncode is None or not reading.done():
            with contextlib.suppress(ProcessLookupError):  # It has just ended, with all of its group.
                os.killpg(process.pid, signal.SIGKILL)
        out, err = await reading
        await process.wait()
    return Ran(None if timed_out else process.returncode, out, err)


async def _start_of(stream: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stream.read(OUTPUT_BYTES):
        kept += chunk[: OUTPUT_BYTES - len(kept)]
    return kept.decode("utf-8", "replace")
