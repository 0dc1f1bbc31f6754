"""The sidecar's job manager is killed with SIGKILL at random moments under load; nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sidecar.jobs.log import JobLog
from sidecar.jobs.paging import Position
from sidecar.model.event import Event
from sidecar.model.job import Job
from tests.support.load_program import LINES, SETTINGS
from tests.support.plain import open_manager

TRIALS = int(os.environ.get("CODEX_SIDECAR_KILL_TRIALS", "100"))


def start(state: Path, top: Path, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.load_program", str(state), str(top), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


async def all_events(manager_log: JobLog) -> list[Event]:
    events: list[Event] = []

    def take(event: Event) -> bool:
        events.append(event)
        return True

    await manager_log.page(Position(), 1000, take)
    return events


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kill_9_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    state, top = tmp_path / "state", tmp_path / "top"
    (top / "marks").mkdir(parents=True)
    told: dict[str, tuple[str, int]] = {}
    for _ in range(TRIALS):
        process = start(state, top, "load")
        assert process.stdout is not None
        lines: list[str] = []
        # The moment is counted from the start of the process, so that taking up is hit as well as the load.
        moment = threading.Timer(random.uniform(0.15, 0.9), os.kill, (process.pid, signal.SIGKILL))
        moment.start()
        lines += process.stdout.read().splitlines()
        process.wait()
        assert process.returncode == -signal.SIGKILL
        for line in lines:
            if line != "ready" and len(line.split()) == 3:
                name, job_id, code = line.split()
                told[name] = (job_id, int(code))
    drain = start(state, top, "drain")
    out, _ = drain.communicate(timeout=120)
    assert out.split() == ["ready", "drained"]
    assert len(told) > TRIALS, "the load was too small to prove anything"

    async with open_manager(state, top, SETTINGS) as manager:
        jobs: dict[str, Job] = {job.title: job for job in await manager.journal.recent(100_000)}
        numbers = sorted(job.number for job in jobs.values())
        assert numbers == list(range(1, len(jobs) + 1))
        for name, (job_id, code) in told.items():
            job = jobs[name]
            assert job.job_id == job_id
            assert (job.status, job.exit_code) == ("failed" if code else "done", code), (job, name)
        for name, job in jobs.items():
            assert job.is_final
            assert (top / "marks" / name).read_bytes() == b"x", "started exactly once"
            log = JobLog(
                manager.store.spool(job), manager.store.own_events(job), manager.store.times(job),
                manager.backend.parser(str(top)), lambda: manager.backend.parser(str(top)), watched=False,
            )  # fmt: skip
            log.load_finished()
            events = await all_events(log)
            log.close()
            assert [event.content["kind"] for event in events] == ["spawned", *["line"] * LINES, "final"]
            assert not (manager.store.directory(job.job_id) / "env.json").exists()


@pytest.mark.slow
async def test_workers_run_on_and_are_taken_up_under_the_same_id(tmp_path: Path) -> None:
    state, top = tmp_path / "state", tmp_path / "top"
    (top / "marks").mkdir(parents=True)
    process = start(state, top, "load")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    names = [process.stdout.readline().split()[0] for _ in range(6)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.3)
    async with open_manager(state, top, SETTINGS) as manager:
        while manager.live:
            ids = list(manager.live)
            assert await manager.wait_any(ids, 20) in ids
        jobs = {job.title: job for job in await manager.journal.recent(1000)}
        assert all(jobs[name].status in ("done", "failed") for name in names)
