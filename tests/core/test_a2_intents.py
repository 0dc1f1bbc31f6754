"""A sidecar that dies in the middle of a re-run: nothing has happened, or every job runs again exactly once.

`python -m tests.core.test_a2_intents REPO POINT` is such a sidecar: it kills itself at that point of a `codex_rerun`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.a2.intents import Intents
from sidecar.a2.plans import Plans
from sidecar.a2.witness import Witness
from sidecar.git import swap
from sidecar.jobs.manager import JobManager
from sidecar.model.errors import SidecarError
from tests.core.test_a2_round import known
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until

TEXT = "".join(f"line {n}\n" for n in range(1, 11))
BASE = {"app.py": TEXT, "gone.py": "old\n"}
SECRET = "k9-only-in-the-environment-of-the-caller"


def written(run: int) -> dict[str, str | None]:
    """What the two workers leave when they run for the `run`-th time."""
    return {
        "app.py": TEXT.replace("line 4\n", f"four by w1, run {run}\n"),
        "new.py": f"made by w2, run {run}\n",
        "gone.py": None,
    }


def tree(repo: Path) -> dict[str, str | None]:
    """What stands in the work tree of those files."""
    paths = {name: repo / name for name in ("app.py", "new.py", "gone.py")}
    return {name: path.read_text() if path.exists() else None for name, path in paths.items()}


async def two_workers(repo: Path) -> list[str]:
    """A repository in which two workers have ended, and a person has written a file; their job ids."""
    make_repo(repo, {**BASE, "README.md": "hello\n"})
    change = 'echo w1 >> ../ran; sed -i "s/^line 4$/four by w1, run $(grep -c w1 ../ran)/" app.py'
    make = "echo w2 >> ../ran; echo made by w2, run $(grep -c w2 ../ran) > new.py; rm gone.py"
    make += '; echo "${TEST_SECRET-none}" >> ../seen'
    async with open_round(repo) as round_:
        one = await round_.write("first", {"sh": change}, {"json": {"summary": "did", "modifiedFiles": ["app.py"]}})
        assert await round_.ended(one) == ["done"]
        files = ["new.py", "gone.py"]
        two = await round_.write("second", {"sh": make}, {"json": {"summary": "did", "modifiedFiles": files}})
        assert await round_.ended(two) == ["done"]
        await round_.core.a2.ends_known()
    assert tree(repo) == written(1)
    (repo / "README.md").write_text("my own words\n")
    return [one["jobId"], two["jobId"]]


async def all_ended(round_: Round) -> None:
    """Waits until every job has its final status and what it left has been looked at."""
    await until(lambda: not round_.core.manager.live, "all jobs end")
    await round_.core.a2.ends_known()


async def check(round_: Round, old: list[str]) -> str:
    """What became of the re-run, `before` or `after`; AssertionError for anything in between."""
    await all_ended(round_)
    jobs, _ = round_.core.manager.known_jobs(100)
    new = [job for job in jobs if job.replaces is not None]
    ran = (round_.repo.parent / "ran").read_text().split()
    assert (round_.repo / "README.md").read_text() == "my own words\n"
    if not new:
        assert ran == ["w1", "w2"]
        assert tree(round_.repo) == written(1)
        return "before"
    assert [job.replaces for job in new] == old
    assert [job.status for job in new] == ["done", "done"]
    assert [job.follows for job in new] == [[], [new[0].job_id]]
    assert len({job.run_id for job in jobs}) == 1
    assert ran == ["w1", "w2", "w1", "w2"], "each of them ran again exactly once, in order"
    assert tree(round_.repo) == written(2)
    assert await round_.conflicts() == []
    return "after"


def saved(repo: Path) -> set[bytes]:
    """The contents of all files that snapshots hold, as plain git gets them out."""
    found = set()
    for ref in git(repo, "for-each-ref", "--format=%(refname)", "refs/codex-sidecar/snapshots/").split():
        for line in git(repo, "ls-tree", "-r", f"{ref}:files").splitlines():
            blob = line.split()[2]
            done = subprocess.run(["git", "-C", repo, "cat-file", "blob", blob], check=True, capture_output=True)
            found.add(done.stdout)
    return found


def run_program(repo: Path, point: str) -> int:
    """Plays a sidecar that dies at `point`; its exit code."""
    env = {**os.environ, "TEST_SECRET": SECRET}
    command = [sys.executable, "-m", "tests.core.test_a2_intents", str(repo), point]
    return subprocess.run(command, env=env, timeout=120, check=False).returncode


def secrets_in(state: Path) -> list[Path]:
    """Files that hold the caller's environment."""
    found = []
    for directory, _, names in os.walk(state):
        for path in (Path(directory, name) for name in names):
            # What earlier jobs and repairs left is tidied up meanwhile; what went away holds no secret.
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and SECRET.encode() in path.read_bytes():
                    found.append(path)
    return found


@pytest.mark.parametrize(
    ("point", "outcome"),
    [
        ("intended", "before"),
        ("planned", "before"),
        ("staged", "after"),
        ("moved", "after"),
        ("marked", "after"),
        ("settled", "after"),
        ("one spawned", "after"),
        ("all spawned", "after"),
    ],
)
@pytest.mark.timeout(240)
async def test_a_rerun_that_is_killed_happens_whole_or_not_at_all(tmp_path: Path, point: str, outcome: str) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    assert run_program(repo, point) == -signal.SIGKILL
    assert (repo / ".git" / "codex-sidecar" / "rerun" / "intent.json").stat().st_mode & 0o777 == 0o600
    assert secrets_in(repo / ".git" / "codex-sidecar") != []
    for _ in range(2):
        async with open_round(repo) as round_:
            assert await check(round_, old) == outcome
            assert secrets_in(round_.core.state_dir) == []
    git(repo, "gc", "--prune=now", "-q")
    if outcome == "after":
        assert (tmp_path / "seen").read_text().split() == ["none", SECRET], "it runs in its caller's environment"
        assert {text.encode() for text in written(1).values() if text is not None} <= saved(repo)


@pytest.mark.timeout(240)
async def test_a_rerun_is_finished_once_although_its_finishing_is_killed_too(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    assert run_program(repo, "marked") == -signal.SIGKILL
    assert run_program(repo, "finishing") == -signal.SIGKILL
    assert run_program(repo, "finished") == -signal.SIGKILL
    async with open_round(repo) as round_:
        assert await check(round_, old) == "after"
        assert secrets_in(round_.core.state_dir) == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["marked", "settled"])
@pytest.mark.parametrize("more", [False, True], ids=["no file goes back", "another file goes back"])
@pytest.mark.timeout(240)
async def test_a_conflict_in_a_file_that_is_as_the_baseline_is_over_after_a_kill_too(
    tmp_path: Path, point: str, more: bool
) -> None:
    repo = make_repo(tmp_path / "repo", BASE)
    async with open_round(repo) as round_:
        gate = tmp_path / "gate"
        gate.write_text("")
        change = {"sh": "echo w1 >> ../ran; sed -i 's/^line 4$/four/' app.py"}
        old_copy = {"sh": "echo w2 >> ../ran; git show HEAD:app.py > app.py" + ("; echo new > new.py" if more else "")}
        first_known, ended = [{"until": {"path": str(gate), "holds": word}} for word in ("known", "ended")]
        report = {"json": {"summary": "did", "modifiedFiles": ["app.py", "new.py"] if more else ["app.py"]}}
        one = await round_.write("first", change, report | ended)
        two = await round_.write("second", old_copy | first_known, report)
        # Two writes between two looks would be one, and so would two in the time of both commands.
        await known(round_, "app.py")
        gate.write_text("known")
        assert await round_.ended(two) == ["done"]
        gate.write_text("known, ended")
        assert await round_.ended(one) == ["done"]
        (conflict,) = [found for found in await round_.conflicts() if found["path"] == "app.py"]
        assert conflict["kind"] == "lost-update"
        assert (repo / "app.py").read_text() == TEXT
    assert run_program(repo, point) == -signal.SIGKILL
    async with open_round(repo) as round_:
        settled = (await round_.call("codex_conflicts"))["settled"]
        assert ("app.py", "run again") in {(found["path"], found["how"]) for found in settled}
        await all_ended(round_)
        assert await round_.conflicts() == []
        assert (tmp_path / "ran").read_text().split() == ["w1", "w2", "w1", "w2"]


@pytest.mark.parametrize("point", ["roll back staged", "rolled back"])
async def test_a_roll_back_that_is_killed_is_not_taken_for_a_persons_edit(tmp_path: Path, point: str) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    assert run_program(repo, point) == -signal.SIGKILL
    mine = "rolled back" in point
    if mine:
        (repo / "gone.py").write_text("written by a person since\n")
    async with open_round(repo) as round_:
        assert await round_.call("codex_conflicts")
        assert tree(repo)["app.py"] == TEXT
        scene = round_.core.a2.witness.scene
        assert scene is not None
        writers = {path: [one.writers for one in scene.history.versions[path]] for path in tree(repo)}
        assert writers == {
            "app.py": [(old[0],), ()],
            "new.py": [(old[1],), ()],
            "gone.py": [(old[1],), ("user",) if mine else ()],
        }


async def test_a_rerun_goes_on_when_its_caller_goes_away(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    async with open_round(repo) as round_:
        preview = await round_.call("codex_rerun", jobIds=old)
        asked = asyncio.create_task(round_.call("codex_rerun", jobIds=old, token=preview["token"]))
        intent = round_.core.state_dir / "rerun" / "intent.json"
        await until(intent.exists, "the re-run begins")
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await until(lambda: not intent.exists(), "the re-run has spawned its jobs")
        assert await check(round_, old) == "after"


async def test_a_rerun_that_an_orderly_stop_interrupts_is_finished_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    async with open_round(repo) as round_:
        preview = await round_.call("codex_rerun", jobIds=old)
        act, done = round_.core.a2.plans.act, asyncio.Event()

        async def act_and_wait(*args: Any) -> None:
            await act(*args)
            done.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(round_.core.a2.plans, "act", act_and_wait)
        asked = asyncio.create_task(round_.call("codex_rerun", jobIds=old, token=preview["token"]))
        await asyncio.wait_for(done.wait(), 60)
        assert tree(repo) == {**BASE, "new.py": None}
    with pytest.raises(asyncio.CancelledError):
        await asked
    async with open_round(repo) as round_:
        assert await check(round_, old) == "after"


async def test_a_rerun_that_cannot_spawn_says_so_and_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "repo"
    old = await two_workers(repo)
    async with open_round(repo) as round_:
        jobs = round_.core.state_dir / "jobs"
        preview = await round_.call("codex_rerun", jobIds=old)
        act = round_.core.a2.plans.act

        async def act_and_lose_the_disk(*args: Any) -> Any:
            done = await act(*args)
            jobs.rename(jobs.with_name("elsewhere"))
            jobs.touch()
            elsewhere = jobs.with_name("elsewhere")
            monkeypatch.setattr(round_.core.manager.store, "prompt", lambda job: (elsewhere / job.job_id).name)
            return done

        monkeypatch.setattr(round_.core.a2.plans, "act", act_and_lose_the_disk)
        with pytest.raises(SidecarError, match="rolled back, but w1 could not be spawned again") as caught:
            await round_.call("codex_rerun", jobIds=old, token=preview["token"])
        monkeypatch.undo()
        jobs.unlink()
        jobs.with_name("elsewhere").rename(jobs)
        assert caught.value.kind == "state-unavailable"
        assert caught.value.details["jobs"] == []
        assert tree(repo) == {**BASE, "new.py": None}
        assert secrets_in(round_.core.state_dir) == []
    async with open_round(repo) as round_:
        await round_.act("codex_restore", snapshotId=caught.value.details["snapshotId"])
        assert await check(round_, old) == "before"


# -- the sidecar that dies --------------------------------------------------------------------------------------


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(work: Callable[..., Any]) -> Callable[..., Any]:
    def then_die(*args: Any, **more: Any) -> None:
        work(*args, **more)
        die()

    return then_die


def die_after_async(work: Callable[..., Any]) -> Callable[..., Any]:
    async def then_die(*args: Any, **more: Any) -> None:
        await work(*args, **more)
        die()

    return then_die


def die_if_there(intents: Intents) -> None:
    # A start looks too, and removes what is not there.
    if (intents._directory / "intent.json").exists():
        die()


async def die_for_paths(_: Any, paths: list[str]) -> None:
    if paths:
        die()


POINTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "intended": (Plans, "act", die),
    "planned": (swap, "stage", die),
    "staged": (swap, "_go_forward", die),
    "moved": (Intents, "mark_moved", die),
    "marked": (Intents, "mark_moved", die_after(Intents.mark_moved)),
    "settled": (Plans, "act", die_after_async(Plans.act)),
    "one spawned": (JobManager, "spawn", die_after_async(JobManager.spawn)),
    "all spawned": (Intents, "end", die_if_there),
    # Of a roll back.
    "roll back staged": (swap, "_go_forward", die),
    "rolled back": (Witness, "absorb", die_for_paths),
    # Not of the re-run itself: of the start after it.
    "finishing": (JobManager, "job", die),
    "finished": (JobManager, "recover", die),
}


async def main(repo: Path, point: str) -> None:
    where, name, instead = POINTS[point]
    setattr(where, name, instead)
    async with open_round(repo) as round_:
        jobs, _ = round_.core.manager.known_jobs(100)
        tool = "codex_rollback" if point.startswith("roll") else "codex_rerun"
        await round_.act(tool, jobIds=[job.job_id for job in jobs if job.replaces is None])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
