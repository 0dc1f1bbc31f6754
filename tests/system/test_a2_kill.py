"""The sidecar is killed in the middle of resolving a conflict: before or after, and it can be done again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.core.test_a2_round import TEXT, collide
from tests.support.repo import git, make_repo
from tests.support.round import open_round

TRIALS = int(os.environ.get("CODEX_SIDECAR_KILL_TRIALS", "20"))
BEFORE = TEXT.replace("line 4\n", "four by w2\n")
AFTER = TEXT.replace("line 4\n", "four by w1\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_kill_9_in_the_middle_of_a_repair(tmp_path: Path) -> None:
    master = make_repo(tmp_path / "master", {"app.py": TEXT, "README.md": "hello\n"})
    async with open_round(master) as round_:
        await collide(round_, master)
        await round_.core.a2.ends_known()
    (master / "README.md").write_text("my own words\n")
    seen = {"before": 0, "after": 0}
    for number in range(TRIALS):
        repo = tmp_path / f"trial-{number}"
        shutil.copytree(master, repo, symlinks=True)
        index = (repo / ".git" / "index").read_bytes()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.repair_program", str(repo), "keep"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        killer = threading.Timer(random.uniform(0, 0.12), os.kill, (process.pid, signal.SIGKILL))
        killer.start()
        process.stdout.read()
        process.wait()
        killer.cancel()

        async with open_round(repo) as round_:
            text = (repo / "app.py").read_text()
            assert text in (BEFORE, AFTER)
            seen["before" if text == BEFORE else "after"] += 1
            assert (repo / "README.md").read_text() == "my own words\n"
            assert (repo / ".git" / "index").read_bytes() == index
            git(repo, "gc", "--prune=now", "-q")
            for conflict in await round_.conflicts():
                # Killed before it was written down that the conflict is over: it can be resolved again.
                job = conflict["jobs"][0]["jobId"]
                await round_.act("codex_resolve", conflictId=conflict["conflictId"], strategy="keep", jobId=job)
            assert (repo / "app.py").read_text() == AFTER
            assert await round_.conflicts() == []
            snapshots = (await round_.call("codex_snapshots"))["snapshots"]
            assert snapshots, "what was there before is in a snapshot"
            await round_.act("codex_restore", snapshotId=snapshots[0]["snapshotId"])
            assert (repo / "app.py").read_text() == BEFORE
        shutil.rmtree(repo)
    assert sum(seen.values()) == TRIALS
    print(seen)
