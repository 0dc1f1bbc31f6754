"""The journal: what was saved is there after a kill -9, and a refused save changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.jobs.journal import Journal
from sidecar.model.errors import SidecarError
from sidecar.model.job import Job, Run


def make(number: int, status: str = "queued", run_id: str | None = None) -> Job:
    return Job(
        job_id=f"job-{number}",
        number=number,
        title="t",
        sandbox="workspace-write",
        status=status,  # type: ignore[arg-type]
        working_directory="/",
        timeout_ms=1000,
        created_at=1.5,
        run_id=run_id,
        config={"a": [1, "x"]},
    )


async def opened(path: Path) -> Journal:
    journal = Journal(path)
    await journal.open()
    return journal


async def test_jobs_and_runs_come_back_as_they_were(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "jobs.sqlite")
    run = Run(run_id="r1", head="abc", recorded_at=2.5)
    await journal.save(run, make(1, run_id="r1"), make(2, "done"), make(3, "running"))
    await journal.save(make(1, "running", "r1"))
    await journal.close()
    journal = await opened(tmp_path / "jobs.sqlite")
    assert await journal.job("job-1") == make(1, "running", "r1")
    assert await journal.job("nothing") is None
    assert [job.number for job in await journal.unfinished()] == [1, 3]
    assert [job.number for job in await journal.recent(2)] == [2, 3]
    assert [job.number for job in await journal.of_run("r1")] == [1]
    assert await journal.last_number() == 3
    assert await journal.open_run() == run
    await journal.save(Run(run_id="r1", head="abc", recorded_at=2.5, closed_at=3.0))
    assert await journal.open_run() is None
    await journal.close()


async def test_the_file_is_private(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "jobs.sqlite")
    await journal.save(make(1))
    assert {entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()} == {0o600}
    await journal.close()


async def test_something_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database, but somebody's" * 100)
    with pytest.raises(SidecarError) as caught:
        await opened(path)
    assert caught.value.kind == "state-unavailable"
    assert str(path) in caught.value.message
    assert path.read_bytes() == b"not a database, but somebody's" * 100


async def test_a_full_disk_refuses_the_save_and_keeps_what_was_there(tmp_path: Path) -> None:
    journal = await opened(tmp_path / "jobs.sqlite")
    await journal.save(make(1))
    # SQLite's own limit acts like a full disk: the transaction fails with "database or disk is full".
    await journal._run(lambda: journal._db().execute("PRAGMA max_page_count = 1"))
    big = make(2)
    big.config = {"x": "y" * 500_000}
    with pytest.raises(SidecarError, match="full"):
        await journal.save(make(1, "running"), big)
    assert await journal.job("job-1") == make(1)
    await journal._run(lambda: journal._db().execute("PRAGMA max_page_count = 1000000"))
    await journal.save(big)
    assert await journal.job("job-2") == big
    await journal.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from tests.core.test_journal import make, opened

async def main() -> None:
    journal = await opened(Path(sys.argv[1]))
    number = await journal.last_number()
    while True:
        number += 1
        await journal.save(make(number))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_an_acknowledged_job_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    told = 0
    for trial in range(12):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(3 + 7 * trial % 23):
            told = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        for line in writer.stdout:
            told = int(line)
        writer.wait()
        journal = await opened(path)
        numbers = [job.number for job in await journal.unfinished()]
        await journal.close()
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= told
