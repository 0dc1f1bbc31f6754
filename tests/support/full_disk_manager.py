"""A job manager on a full disk of 2 MB: a program, `full_disk_manager.py <mount point>`, in an own mount namespace.

Prints one JSON object: what became of each job.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from sidecar.jobs.attempt_files import SPOOL
from sidecar.model.errors import SidecarError
from tests.support.full_disk import ballast
from tests.support.plain import ended, open_manager, task, until

WAITER = """
import os, time
print('thread T', flush=True)
while not os.path.exists('go'): time.sleep(.02)
print('end')
"""


async def main(disk: Path) -> dict[str, Any]:
    top = Path(tempfile.mkdtemp())
    told: dict[str, Any] = {}
    async with open_manager(disk / "state", top) as manager:
        first = await manager.spawn(
            task(
                WAITER,
                top,
            ),
            on_dirty="refuse",
        )
        # Its first line must be out before there is no room for it: it would rightly fail otherwise.
        spool = disk / "state" / "jobs" / first.job_id / "1" / SPOOL
        await until(lambda: spool.exists() and b"thread T" in spool.read_bytes())
        await until(lambda: manager.live[first.job_id].job.status == "running")
        full = ballast(disk)

        # A new job is refused, nothing is started and nothing is left behind.
        try:
            await manager.spawn(task("open('ran', 'w')", top), on_dirty="refuse")
        except SidecarError as exc:
            told["refused"] = exc.kind
        told["ran"] = (top / "ran").exists()
        told["directories"] = sum(1 for entry in (disk / "state" / "jobs").iterdir() if (entry / "env.json").exists())

        # The running one ends while nothing can be recorded; its end is told as soon as there is room.
        (top / "go").touch()
        told["ended while full"] = await manager.wait_any([first.job_id], 3.0)
        told["status while full"] = (await manager.job(first.job_id)).status
        full.unlink()
        end = await ended(manager, first.job_id)
        told["end"] = [end.status, end.exit_code, end.thread_id]

        # With room again everything goes on, with the next number.
        again = await manager.spawn(task("print('ok')", top), on_dirty="refuse")
        told["again"] = [again.label, (await ended(manager, again.job_id)).status]
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
