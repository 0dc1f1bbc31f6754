"""Races of several writers of one file, each made to happen by gates: nobody gets a line of another's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sidecar.a2.tree_watch import TreeWatch
from sidecar.a2.versions import USER
from sidecar.a2.witness import Witness
from tests.core.test_a2_round import TEXT, gate, patch, report
from tests.support.repo import make_repo
from tests.support.round import Round, open_round, until


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "README.md": "hello\n"})


async def owners(round_: Round) -> dict[str, tuple[str, set[str]]]:
    """Of each changed line of app.py: how its owners are known, and their job ids."""
    lines = (round_.repo / "app.py").read_text().splitlines()
    found = {}
    for owner in await round_.core.a2.owners("app.py"):
        for number in range(owner.start, owner.end + 1):
            found[lines[number - 1]] = (owner.attribution, {job for job, _, _ in owner.writers})
    return found


async def test_a_write_right_after_a_patch_does_not_take_the_patch_along(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second patch lands when the first one's end is known, and before a look has read the file."""
    read = Witness._contents

    async def late(self: Witness, paths: Iterable[str]) -> Any:
        await until(lambda: "nine" in (repo / "app.py").read_text(), "the second patch")
        return await read(self, paths)

    async with open_round(repo) as round_:
        a2 = round_.core.a2
        monkeypatch.setattr(Witness, "_contents", late)
        ended = Witness.observe

        def observe(self: Witness, of: Any, number: int, event: Any, since: float) -> None:
            ended(self, of, number, event, since)
            if of.title == "first" and event.type == "tool_result":
                (repo.parent / "go").touch()

        # Before the first worker is there: it patches while the second one is still being spawned.
        monkeypatch.setattr(round_.core.manager, "observers", [observe.__get__(a2.witness)])
        one = await round_.write("first", patch(2, "two"), {**report("app.py"), **gate(repo, "end")})
        two = await round_.write("second", {**patch(9, "nine"), **gate(repo, "go")}, {**report(), **gate(repo, "end")})
        await until(lambda: "nine" in (repo / "app.py").read_text(), "both have written")
        (repo.parent / "end").touch()
        await round_.ended(one, two)
        await a2.look()
        assert await owners(round_) == {"two": ("seen", {one["jobId"]}), "nine": ("seen", {two["jobId"]})}
        (conflict,) = await round_.conflicts()
        assert (conflict["kind"], conflict["mergeable"]) == ("same-file-edit", True)
        assert (await a2.stored_version("app.py", "w1") or b"").decode() == TEXT.replace("line 2\n", "two\n")


async def test_what_a_command_wrote_that_still_runs_is_not_given_to_who_patches_the_file_next(repo: Path) -> None:
    async with open_round(repo) as round_:
        begin = "sed -i 's/^line 3$/three/' app.py; touch ../a; while [ ! -e ../end ]; do sleep 0.02; done"
        one = await round_.write("first", {"sh": begin}, report("app.py"))
        two = await round_.write("second", {**patch(8, "eight"), **gate(repo, "a")}, report("app.py"))
        await round_.ended(two)
        await round_.core.a2.look()
        found = await owners(round_)
        assert one["jobId"] in found["three"][1]
        assert two["jobId"] in found["eight"][1]
        (repo.parent / "end").touch()
        await round_.ended(one)


async def test_a_patch_whose_words_come_after_another_was_named_is_heard_still(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_round(repo) as round_:
        a2 = round_.core.a2
        one = await round_.write("first", {**patch(2, "two"), **gate(repo, "b")}, {**report(), **gate(repo, "end")})
        await until(lambda: round_.core.manager.live[one["jobId"]].log.lines, "the first has begun")
        # Of the second nothing is read until the first has its version.
        monkeypatch.setattr(round_.core.manager.watcher, "add", lambda path, callback: None)
        caught_up = a2.witness._catch_up

        async def hear_nothing() -> int:
            return 2

        monkeypatch.setattr(a2.witness, "_catch_up", hear_nothing)
        # Nor does a look come between the two writes, which would meet a change of which nobody has said anything.
        monkeypatch.setattr(a2.witness, "_nudged", True)
        two = await round_.write("second", {**patch(9, "nine"), **gate(repo, "c")}, {**report(), **gate(repo, "end")})
        # Its stream is read once when its start is recorded; after that nobody does.
        await until(lambda: round_.core.manager.live[two["jobId"]].job.status == "running", "the second has begun")
        (repo.parent / "c").touch()
        await until(lambda: "nine" in (repo / "app.py").read_text(), "the second has written")
        (repo.parent / "b").touch()
        await until(lambda: a2.witness.scene and a2.witness.scene.history.versions.get("app.py"), "a version")
        monkeypatch.setattr(a2.witness, "_catch_up", caught_up)
        monkeypatch.setattr(a2.witness, "_nudged", False)
        (repo.parent / "end").touch()
        await round_.ended(one, two)
        await a2.look()
        both = ("ambiguous", {one["jobId"], two["jobId"]})
        found = await owners(round_)
        assert found["two"] == both
        # What is read when the first says that it begins may hold the second one's line already, and be anybody's.
        assert (found["nine"][0], two["jobId"] in found["nine"][1]) == ("ambiguous", True)
        await round_.restart()
        await round_.core.a2.look()
        assert await owners(round_) == found, "it is kept"


async def test_an_unannounced_save_is_placed_where_it_was_made_not_where_it_was_seen(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TreeWatch, "start", lambda self: None)
    async with open_round(repo) as round_:
        job = await round_.write("first", patch(2, "two"), {**report("app.py"), **gate(repo, "end")})
        scene = await until(lambda: round_.core.a2.witness.scene, "a run")
        await until(lambda: scene.history.versions.get("app.py"), "the patch is known")
        text = (repo / "app.py").read_text()
        # By the file system's clock whoever writes right at the end of a patch may be the worker.
        probe, known = repo.parent / "probe", time.time()
        await until(lambda: probe.write_text("") is not None and probe.stat().st_ctime > known, "a tick of the clock")
        (repo / "app.py").write_text(text.replace("line 8\n", "eight\n"))
        (repo.parent / "end").touch()
        await round_.ended(job)
        (conflict,) = await round_.conflicts()
        assert conflict["kind"] == "user-edit"
        assert scene.history.versions["app.py"][-1].writers == (USER,)


async def test_what_a_repair_puts_is_nobodys_though_a_look_meets_it_first(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_round(repo) as round_:
        a2, loop = round_.core.a2, asyncio.get_running_loop()
        job = await round_.write("first", patch(2, "two"), report("app.py"))
        await round_.ended(job)
        preview = await round_.call("codex_rollback")
        roll_back = a2.repairs.rollback

        def and_a_look(*arguments: Any, **more: Any) -> Any:
            done = roll_back(*arguments, **more)
            asyncio.run_coroutine_threadsafe(a2.look(), loop).result(30)
            return done

        monkeypatch.setattr(a2.repairs, "rollback", and_a_look)
        await round_.call("codex_rollback", token=preview["token"])
        assert (repo / "app.py").read_text() == TEXT
        scene = a2.witness.scene
        assert scene is not None
        newest = scene.history.newest("app.py")
        assert newest is not None
        assert (newest.writers, newest.oid) == ((), scene.base_of("app.py").oid)
        # What comes after it is somebody's again.
        (repo / "app.py").write_text(TEXT.replace("line 8\n", "eight\n"))
        await a2.look()
        newest = scene.history.newest("app.py")
        assert newest is not None
        assert newest.writers == (USER,)
