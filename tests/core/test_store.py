"""What is private does not outlive a sidecar that was killed while it wrote it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from sidecar.jobs.store import JobStore
from sidecar.model.job import Job
from tests.support.plain import open_manager

SECRET = "the-token-of-somebody"
KILLED = """
import os, signal, sys
from pathlib import Path
from sidecar.jobs.store import JobStore
from tests.core.test_store import SECRET, job
def die(source, target):
    if Path(target).name == "env.json":
        os.kill(os.getpid(), signal.SIGKILL)
    os.rename(source, target)
os.replace = die
Path(sys.argv[1]).mkdir()
JobStore(Path(sys.argv[1])).create(job(), "a task", {"TOKEN": SECRET})
"""


def job(attempt: int = 0) -> Job:
    return Job(
        job_id="a" * 32, number=1, title="t", sandbox="read-only", status="queued", working_directory="/", timeout_ms=1,
        created_at=0.0, attempt=attempt,
    )  # fmt: skip


def holding(state: Path) -> list[str]:
    """The files that hold the secret."""
    return [path.name for path in state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


async def test_an_environment_that_was_half_written_is_gone_with_the_next_sidecar(tmp_path: Path) -> None:
    state = tmp_path / "state"
    died = subprocess.run([sys.executable, "-c", KILLED, str(state)], check=False)
    assert died.returncode == -signal.SIGKILL
    (left,) = holding(state)
    assert left.startswith(".env.json.")
    (state / "jobs" / "a-file-of-somebody").touch()
    async with open_manager(state, tmp_path):
        assert holding(state) == []


def test_every_attempt_forgets_its_environment(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.create(job(), "a task", {"TOKEN": SECRET})
    store.next_attempt(job(2))
    for number in (1, 2):
        # As a sidecar leaves it that was killed between fencing off an attempt and tidying it.
        (store.directory(job().job_id) / str(number) / "spec.json").write_text(SECRET)
    assert len(holding(tmp_path)) == 3
    store.forget_env(job(2))
    assert holding(tmp_path) == []
