"""A sidecar is killed while a worker is interrupted by a new message: the old one goes on or the new one runs, once.

`python -m tests.system.test_kill_resume STATE TOP MODE POINT` is a sidecar to be killed. MODE `resume` starts a worker,
prints `ready`, resumes it and prints `told`; MODE `on` takes up what is there. Both go on until every job has ended and
print `ended`. POINT `before:3` kills it before its third step (each call that stores or starts or stops something),
`after:3` after it, `none` never.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.jobs.manager import JobManager
from sidecar.model.settings import LimitSettings, Settings
from tests.support.plain import ended, open_manager, task, until

RANDOM_TRIALS = int(os.environ.get("CODEX_SIDECAR_KILL_TRIALS", "6"))
SECONDS = 60.0
# A slot is free: only the interruption itself makes the new one wait.
TWO = Settings(limits=LimitSettings(read=1, write=2))

# Whoever works holds `turn` with all its descendants, so two that work at once see each other.
TURN = """
import fcntl, os, time
def mark(name, data=b"x"):
    fd = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, data)
    os.close(fd)
turn = open("turn", "a")
try:
    fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    mark("clash")
print("thread T1")
"""
OLD = f"""{TURN}
print("usage 7")
mark("old")
writer = os.fork()
if writer == 0:
    os.setsid()
    while True:
        mark("work", b"a whole line\\n")
        time.sleep(0.002)
while not os.path.exists("work"):
    time.sleep(0.002)
print("wrote work", flush=True)
while not os.path.exists("go"):
    time.sleep(0.005)
os.kill(writer, 9)
os.waitpid(writer, 0)
"""
NEW = f"""{TURN}
print("usage 12")
mark("new")
size = os.path.getsize("work")
mark("more", b"by the new one\\n")
time.sleep(0.03)
if os.path.getsize("work") != size:
    mark("clash")
print("wrote more")
"""


def start(state: Path, top: Path, mode: str, point: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.system.test_kill_resume", str(state), str(top), mode, point]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run(state: Path, top: Path, mode: str, point: str, kill_after: float | None = None) -> list[str]:
    """The lines of a sidecar that was killed at `point`, or so many seconds after it was ready, or not at all."""
    process = start(state, top, mode, point)
    assert process.stdout is not None
    lines = [process.stdout.readline().strip()]
    killer = threading.Timer(kill_after or 0.0, process.kill)
    if kill_after is not None:
        killer.start()
    lines += process.stdout.read().split()
    process.wait()
    killer.cancel()
    assert process.returncode in (0, -signal.SIGKILL), lines
    return lines


async def outcome(state: Path, top: Path, lines: list[str]) -> str:
    """Takes up what the killed sidecar left, checks it to the end, and says who went on."""
    async with open_manager(state, top, TWO) as manager:
        jobs = await manager.journal.recent(10)
        if len(jobs) == 1:
            assert "told" not in lines, "an answered call is kept"
            (top / "go").touch()
        else:
            assert len(jobs) == 2
        for job in jobs:
            await ended(manager, job.job_id, SECONDS)
        first, *others = await manager.journal.recent(10)
        assert [job.job_id for job in (first, *others)] == [job.job_id for job in jobs], "nobody came or went"
        for then in others:
            assert (first.status, then.status) == ("cancelled", "done"), (first.error, then.error)
            assert first.error is not None
            assert first.error.details == {"interruptedBy": then.job_id}
            assert then.touched_files[0].path == "more"
            assert then.usage is not None
            assert then.usage.input_tokens == 5
        assert others or first.status == "done"
        assert [file.path for file in first.touched_files] == ["work"]
        assert not list(manager.store.directory("").rglob("*env.json*")), "no secret is left"
    check_work(top, 1 if others else 0)
    return "new" if others else "old"


def check_work(top: Path, times: int) -> None:
    assert (top / "old").read_bytes() == b"x", "the old one was started once"
    assert (top / "new").exists() == bool(times)
    if times:
        assert (top / "new").read_bytes() == b"x", "the new one was started once"
        assert (top / "more").read_bytes() == b"by the new one\n"
    assert not (top / "clash").exists(), "both wrote at once"
    lines = (top / "work").read_text().splitlines(keepends=True)
    assert lines
    assert set(lines) == {"a whole line\n"}
    with (top / "turn").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: a process of theirs is alive.


def place(tmp_path: Path, name: str) -> tuple[Path, Path]:
    state, top = tmp_path / name / "state", tmp_path / name / "top"
    top.mkdir(parents=True)
    return state, top


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("side", ["before", "after"])
async def test_kill_9_at_every_step_of_an_interruption(tmp_path: Path, side: str) -> None:
    seen = {"old": 0, "new": 0}
    for number in range(1, 40):
        state, top = place(tmp_path, str(number))
        lines = run(state, top, "resume", f"{side}:{number}")
        if lines[-1] == "ended":
            break
        if number % 3 == 0:
            run(state, top, "on", f"{side}:{number // 3}")
        seen[await outcome(state, top, lines)] += 1
    else:
        pytest.fail("it never ends by itself")
    # Queued, the old one stopping, told to stop, its end, the new one starting, started, running, its end.
    assert seen["new"] >= 7
    assert seen["old"] == (1 if side == "before" else 0), "only before it is stored there is no new one"
    print(seen)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kill_9_at_random_moments_of_an_interruption(tmp_path: Path) -> None:
    seen = {"old": 0, "new": 0}
    for number in range(RANDOM_TRIALS):
        state, top = place(tmp_path, str(number))
        lines = run(state, top, "resume", "none", random.uniform(0, 0.25))
        if number % 2 and lines[-1] != "ended":
            run(state, top, "on", "none", random.uniform(0, 0.1))
        seen[await outcome(state, top, lines)] += 1
    print(seen)


def kill_at(point: str, manager: JobManager) -> None:
    """Lets this process die before or after so many of the steps from now on."""
    side, _, number = point.partition(":")
    taken = 0

    def watched(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **more: Any) -> Any:
            nonlocal taken
            taken += 1
            mine = str(taken) == number
            if mine and side == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = await step(*arguments, **more)
            if mine and side == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    manager.journal.save = watched(manager.journal.save)  # type: ignore[method-assign]
    for name in ("start", "cancel"):
        setattr(manager.executor, name, watched(getattr(manager.executor, name)))


async def main(state: Path, top: Path, mode: str, point: str) -> None:
    async with open_manager(state, top, TWO) as manager:
        if mode == "resume":
            old = await manager.spawn(task(OLD, top, "workspace-write"), on_dirty="refuse")
            live = manager.live[old.job_id]
            await until(lambda: live.parser.touched and live.job.status == "running", SECONDS)
        kill_at(point, manager)
        print("ready", flush=True)
        if mode == "resume":
            new = task(NEW, top, "workspace-write", resumes=old.job_id, resume_thread="T1")
            await manager.spawn(new, on_dirty="refuse")
            print("told", flush=True)
        while manager.live:
            await asyncio.sleep(0.005)
        print("ended", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]))
