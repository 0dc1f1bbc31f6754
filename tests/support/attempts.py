"""Attempts of workers for the tests of the runner and of the local executor. Workers are real processes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidecar.jobs import attempt_files as files
from sidecar.jobs import processes
from sidecar.jobs import runner as runner_module
from sidecar.jobs.executor import AttemptSpec

RUNNER = [sys.executable, "-I", "-S", runner_module.__file__]
TORTURE = str(Path(__file__).with_name("torture.py"))
_numbers = itertools.count(1)


def make_spec(
    root: Path,
    argv: list[str],
    *,
    prompt: str = "the task",
    env: dict[str, str] | None = None,
    cwd: str | None = None,
    timeout: float = 60.0,
    grace: float = 0.3,
) -> AttemptSpec:
    """An attempt with a directory and a job id of its own below `root`."""
    job_id = f"job-{os.getpid()}-{next(_numbers)}"
    directory = root / "jobs" / job_id / "1"
    directory.mkdir(mode=0o700, parents=True)
    (directory / files.PROMPT).write_text(prompt)
    return AttemptSpec(
        job_id=job_id,
        attempt=1,
        access="write",
        argv=tuple(argv),
        env={"PATH": os.environ["PATH"], **(env or {})},
        cwd=cwd or str(root),
        directory=directory,
        timeout_seconds=timeout,
        grace_seconds=grace,
    )


def python(code: str, *args: str) -> list[str]:
    """The command line of a worker that runs `code`."""
    return [sys.executable, "-I", "-S", "-c", code, *args]


def torture(spec_root: Path, exit_code: int | None = None) -> tuple[list[str], Path]:
    """The command line of the worker that does not want to die, and the file its four pids are in."""
    pids = spec_root / f"pids-{next(_numbers)}"
    return [sys.executable, "-I", "-S", TORTURE, str(pids), *([] if exit_code is None else [str(exit_code)])], pids


def survivors(spec: AttemptSpec, pids: Path | None = None) -> list[int]:
    """Everything of the attempt that is alive: by its marker, and of the pids in the file."""
    marker = f"{files.MARKER_ENV}={spec.job_id}/{spec.attempt}"
    found = [p.pid for p in processes.table() if p.living and processes.carries(p.pid, marker)]
    if pids is not None and pids.exists():
        noted = (processes.look(int(line)) for line in pids.read_text().split())
        found += [p.pid for p in noted if p is not None and p.living and p.pid not in found]
    return found


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Waits for `condition` to be true and returns its value; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
    return value


async def soon(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """`until` for tests on the event loop."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.002)
    return value


def output(spec: AttemptSpec) -> bytes:
    """What the worker has printed so far."""
    spool = spec.directory / files.SPOOL
    return spool.read_bytes() if spool.exists() else b""


def private_mounts() -> list[str] | None:
    """What to put before a program that mounts file systems nobody else sees; None where that is not allowed."""
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        try:
            done = subprocess.run([*command, "true"], capture_output=True, timeout=60)
        except FileNotFoundError:
            continue
        if done.returncode == 0:
            return command
    return None
