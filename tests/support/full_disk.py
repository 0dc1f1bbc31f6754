"""Runs attempts on a disk of 1 MB that is full: `full_disk.py <mount point>`, in a mount namespace of its own.

Prints one JSON object: what became of each attempt.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sidecar.jobs import attempt_files as files
from sidecar.jobs import processes
from sidecar.jobs.executor import NotStarted
from sidecar.jobs.local import LocalExecutor
from tests.support.attempts import make_spec, output, python, read_json, soon, survivors

FILL = "import os\ntry:\n while True: os.write(1, b'x' * 1000 + b'\\n')\nexcept OSError as exc: full = exc.errno\n"


def ballast(disk: Path) -> Path:
    """Fills what is left of the disk to the last byte."""
    path = disk / "ballast"
    with open(path, "wb", buffering=0) as file:
        for size in (65_536, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return path


def empty(disk: Path) -> None:
    """Makes room again."""
    for path in sorted(disk.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


async def spooling(disk: Path) -> dict[str, Any]:
    """The worker itself fills the disk and ends."""
    executor = LocalExecutor()
    spec = make_spec(disk, python(FILL + "os._exit(full)"))
    end = await executor.wait(await executor.start(spec))
    return {"outcome": end.outcome.value, "exit": end.exit_code, "spool": len(output(spec))}


async def cancelling(disk: Path, *, force: bool) -> dict[str, Any]:
    """The worker fills the disk and stays; the stop can not be stored."""
    executor = LocalExecutor()
    spec = make_spec(disk, python(FILL + "import time\ntime.sleep(60)"))
    handle = await executor.start(spec)
    await soon(lambda: output(spec))
    await asyncio.sleep(0.1)
    left = ballast(disk)
    await executor.cancel(handle, force=force)
    end = await executor.wait(handle)
    stored = (spec.directory / files.STOP).exists()
    left.unlink()
    return {"outcome": end.outcome.value, "exit": end.exit_code, "stored": stored, "left": survivors(spec)}


async def starting(disk: Path) -> str:
    """The disk is full from the beginning."""
    spec = make_spec(disk, ["true"])
    ballast(disk)
    try:
        await LocalExecutor().start(spec)
    except NotStarted as exc:
        return f"not started: {exc}, claimed: {(spec.directory / files.CLAIM).exists()}"
    return "started"


async def patience(disk: Path) -> dict[str, Any]:
    """Even the space taken for the record is lost: the runner waits until there is some."""
    executor = LocalExecutor()
    # Whatever the worker waits for it must be told on a full disk.
    spec = make_spec(disk, ["sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done"])
    handle = await executor.start(spec)
    await soon(lambda: output(spec))
    (spec.directory / f".{files.EXIT}.reserved").unlink()
    left = ballast(disk)
    worker = read_json(spec.directory / files.RUNNER)["childPid"]
    os.kill(worker, signal.SIGUSR1)
    await soon(lambda: processes.look(worker) is None)
    await asyncio.sleep(0.4)
    before = (spec.directory / files.EXIT).exists()
    running = await executor.reattach(handle)
    left.unlink()
    began = time.monotonic()
    await executor.wait(handle)
    record = read_json(spec.directory / files.EXIT)
    return {"before": before, "running": running, "exit": record["exitCode"], "waited": time.monotonic() - began}


async def main(disk: Path) -> None:
    result: dict[str, Any] = {}
    for name, case in {
        "spooling": spooling(disk),
        "term": cancelling(disk, force=False),
        "kill": cancelling(disk, force=True),
        "starting": starting(disk),
        "patience": patience(disk),
    }.items():
        empty(disk)
        result[name] = await case
    print(json.dumps(result))


if __name__ == "__main__":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "full", sys.argv[1]], check=True)
    asyncio.run(main(Path(sys.argv[1])))
