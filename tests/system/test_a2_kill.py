"""The sidecar is killed in the middle of a repair: before or after, nothing is lost, and it can be done again.

`python -m tests.system.test_a2_kill REPO TOOL ARGUMENTS` is a sidecar to be killed: it previews a repair, prints
`ready`, does it and prints `done`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_a2_intents import BASE, all_ended, check, saved, tree, two_workers, written
from tests.core.test_a2_round import TEXT, collide
from tests.support.repo import git, make_repo
from tests.support.round import open_round

TRIALS = int(os.environ.get("CODEX_SIDECAR_KILL_TRIALS", "20"))
TRIALS_OF_EACH = int(os.environ.get("CODEX_SIDECAR_KILL_TRIALS", "12"))
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
        killer = threading.Timer(random.uniform(0, 0.12), process.kill)
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


class Trials:
    """The same repair again and again in the same repository, each time killed at another moment."""

    def __init__(self, repo: Path, tool: str, arguments: dict[str, Any]) -> None:
        self.repo = repo
        self.tool = tool
        self.arguments = arguments
        self.pristine = repo.with_name("pristine")
        self.ran = repo.with_name("ran")
        self.ran_before = self.ran.read_text()
        shutil.copytree(repo, self.pristine, symlinks=True)
        self.index = (repo / ".git" / "index").read_bytes()
        # How long it takes here and now, so that the kills are spread over all of it.
        self.seconds = self.run(None)

    def run(self, kill_after: float | None) -> float:
        """Begins anew, and kills the repair after that many seconds; how long it went on."""
        shutil.rmtree(self.repo)
        shutil.copytree(self.pristine, self.repo, symlinks=True)
        self.ran.write_text(self.ran_before)
        command = [sys.executable, "-m", "tests.system.test_a2_kill", str(self.repo), self.tool]
        process = subprocess.Popen([*command, json.dumps(self.arguments)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        killer = threading.Timer(kill_after or 0.0, process.kill)
        if kill_after is not None:
            killer.start()
        rest = process.stdout.readline()
        seconds = time.monotonic() - began
        assert kill_after is not None or rest == "done\n"
        process.stdout.read()
        process.wait()
        killer.cancel()
        return seconds

    def kill_somewhere(self) -> None:
        self.run(random.uniform(0, self.seconds * 1.1))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kill_9_in_the_middle_of_a_rerun(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    trials = Trials(repo, "codex_rerun", {"jobIds": old})
    async with open_round(repo) as round_:
        assert await check(round_, old) == "after"
    seen = {"before": 0, "after": 0}
    for _ in range(TRIALS_OF_EACH):
        trials.kill_somewhere()
        async with open_round(repo) as round_:
            outcome = await check(round_, old)
            seen[outcome] += 1
            assert (repo / ".git" / "index").read_bytes() == trials.index
            assert not list((round_.core.state_dir / "rerun").glob("*"))
            git(repo, "gc", "--prune=now", "-q")
            if outcome == "after":
                assert _bytes(written(1)) <= saved(repo), "what was rolled back is in a snapshot"
            else:
                await round_.act("codex_rerun", jobIds=old)
                assert await check(round_, old) == "after"
    assert sum(seen.values()) == TRIALS_OF_EACH
    print(seen, f"{trials.seconds:.2f} s")


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kill_9_in_the_middle_of_a_roll_back(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    trials = Trials(repo, "codex_rollback", {"jobIds": old})
    after = {**BASE, "new.py": None}
    assert tree(repo) == after
    await _before_or_after(trials, written(1), after)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kill_9_in_the_middle_of_a_restore(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    async with open_round(repo) as round_:
        snapshot = (await round_.act("codex_rollback", jobIds=old))["snapshotId"]
    (repo / "app.py").write_text("written by a person after the roll back\n")
    before = tree(repo)
    assert snapshot is not None
    trials = Trials(repo, "codex_restore", {"snapshotId": snapshot})
    assert tree(repo) == written(1)
    await _before_or_after(trials, before, written(1))


async def _before_or_after(trials: Trials, before: dict[str, str | None], after: dict[str, str | None]) -> None:
    """Kills a repair that changes files only; each time it is whole, nothing is lost, and it can be done again."""
    repo = trials.repo
    seen = {"before": 0, "after": 0}
    for _ in range(TRIALS_OF_EACH):
        trials.kill_somewhere()
        async with open_round(repo) as round_:
            found = tree(repo)
            assert found in (before, after)
            seen["before" if found == before else "after"] += 1
            assert (repo / "README.md").read_text() == "my own words\n"
            assert (repo / ".git" / "index").read_bytes() == trials.index
            git(repo, "gc", "--prune=now", "-q")
            assert _bytes(before) - _bytes(found) <= saved(repo), "every byte is in the tree or in a snapshot"
            if found == before:
                await round_.act(trials.tool, **trials.arguments)
                assert tree(repo) == after
                assert _bytes(before) - _bytes(after) <= saved(repo)
            await all_ended(round_)
            assert round_.repo.with_name("ran").read_text() == trials.ran_before, "no worker was started"
    assert sum(seen.values()) == TRIALS_OF_EACH
    print(seen, f"{trials.seconds:.2f} s")


def _bytes(files: dict[str, str | None]) -> set[bytes]:
    return {text.encode() for text in files.values() if text is not None}


async def main(repo: Path, tool: str, arguments: dict[str, Any]) -> None:
    async with open_round(repo) as round_:
        preview = await round_.call(tool, **arguments)
        print("ready", flush=True)
        await round_.call(tool, **arguments, token=preview["token"])
        print("done", flush=True)
        # Closing would cancel what was spawned; it is left as by a sidecar that is killed right after its answer.
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
