"""A process with a job manager under load, to be killed at any moment.

Usage: python -m tests.support.load_program STATE TOP MODE

Mode `load` takes up what is there and spawns job after job, at most six unfinished; for each one that the manager has
acknowledged it prints `number jobId exitCode`. Mode `drain` waits until all jobs have ended and prints `drained`.
Each job leaves a mark whenever it is started, so a second start can be seen.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from sidecar.model.settings import LimitSettings, Settings
from tests.support.plain import open_manager, task

SETTINGS = Settings(limits=LimitSettings(read=3, write=2))
LINES = 3


def program(marks: Path, name: str, code: int) -> str:
    """A job that marks its start, prints some lines with pauses and exits with `code`."""
    return f"""
import os, sys, time
fd = os.open({str(marks / name)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(fd, b"x")
for n in range({LINES}):
    print("line", n, flush=True)
    time.sleep({random.uniform(0, 0.03)!r})
sys.exit({code})
"""


async def main(state: Path, top: Path, mode: str) -> None:
    marks = top / "marks"
    async with open_manager(state, top, SETTINGS) as manager:
        print("ready", flush=True)
        while mode == "load":
            if len(manager.live) >= 6:
                await asyncio.sleep(0.005)
                continue
            code = random.randrange(8)
            name = f"{random.getrandbits(64):x}"
            sandbox = random.choice(["read-only", "workspace-write"])
            new = task(program(marks, name, code), top, sandbox, title=name)
            job = await manager.spawn(new, on_dirty="refuse")
            print(name, job.job_id, code, flush=True)
        while manager.live:
            await asyncio.sleep(0.02)
        print("drained", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
