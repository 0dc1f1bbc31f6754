"""How the files of a worker are told: added, modified, deleted, renamed, or only the mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.core.test_a2_round import report
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until

TEXT = "".join(f"line {number} of a file that is long enough to be known again\n" for number in range(1, 21))
EDITED = TEXT.replace("line 3 ", "LINE 3 ")
MOVE_BY_PATCH = (
    "*** Begin Patch\n*** Update File: big.txt\n*** Move to: moved.txt\n@@\n"
    f"-{TEXT.splitlines()[2]}\n+{EDITED.splitlines()[2]}\n*** End Patch\n"
)
MOVED = {"big.txt": "deleted", "moved.txt": "renamed"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(
        tmp_path / "repo", {"big.txt": TEXT, "other.txt": "one\ntwo\n", "src/a.py": TEXT, "src/b.py": "b\n"}
    )


async def changes(round_: Round, job: dict[str, Any]) -> dict[str, str]:
    """The changes that are told of a job; all its files are surely its own."""
    touched = (await round_.call("codex_result", jobId=job["jobId"]))["touchedFiles"]
    assert {file["attribution"] for file in touched} == {"seen"}
    assert len({file["path"] for file in touched}) == len(touched)
    return {file["path"]: file["change"] for file in touched}


async def done(round_: Round, *steps: object) -> dict[str, str]:
    """What is told of a worker that plays these steps, once it has ended."""
    job = await round_.write("work", *steps, report())
    assert await round_.ended(job) == ["done"]
    await round_.core.a2.look()
    return await changes(round_, job)


async def seen_while_open(round_: Round, command: str) -> dict[str, str]:
    """The same of a command that is still open when the tree is looked at, however late its watch may tell."""
    did, seen = round_.repo.parent / "did", round_.repo.parent / "seen"
    job = await round_.write(
        "work", {"sh": f"{command}; touch {did}; while [ ! -e {seen} ]; do sleep 0.02; done"}, report()
    )
    await until(did.exists, "the command has done it")
    await round_.core.a2.look()
    seen.touch()
    assert await round_.ended(job) == ["done"]
    await round_.core.a2.look()
    return await changes(round_, job)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"sh": "mv big.txt moved.txt"}, MOVED),
        ({"sh": "git mv big.txt moved.txt"}, MOVED),
        ({"sh": "mv big.txt moved.txt; echo more >> moved.txt"}, MOVED),
        ({"patch": MOVE_BY_PATCH}, MOVED),
        (
            {"sh": "mv src lib"},
            {"src/a.py": "deleted", "lib/a.py": "renamed", "src/b.py": "deleted", "lib/b.py": "renamed"},
        ),
        ({"sh": "rm big.txt; echo new > moved.txt"}, {"big.txt": "deleted", "moved.txt": "added"}),
        ({"sh": "cp big.txt moved.txt"}, {"moved.txt": "added"}),
        ({"sh": "mv big.txt other.txt"}, {"big.txt": "deleted", "other.txt": "modified"}),
        ({"sh": "rm src/b.py; printf 'b\\n' > c1; printf 'b\\n' > c2"}, None),
    ],
    ids=["mv", "git mv", "mv and an edit", "a patch", "a directory", "no move", "a copy", "over a file", "two copies"],
)
async def test_a_moved_file_is_told_as_renamed(repo: Path, step: dict[str, str], told: dict[str, str] | None) -> None:
    async with open_round(repo) as round_:
        found = await seen_while_open(round_, step["sh"]) if "sh" in step else await done(round_, step)
        if told is not None:
            assert found == told
        else:
            assert sorted(found.values()) == ["added", "deleted", "renamed"]
        before = {
            path: git(repo, "show", f"HEAD:{path}")
            for path in git(repo, "ls-tree", "-r", "--name-only", "HEAD").split()
        }
        # Both paths are known to a roll back.
        await round_.act("codex_rollback")
        files = [path for path in repo.rglob("*") if path.is_file() and ".git" not in path.parts]
        assert {str(path.relative_to(repo)): path.read_text() for path in files} == before


async def test_a_file_that_another_worker_made_and_this_one_moves_is_renamed(repo: Path) -> None:
    async with open_round(repo) as round_:
        one = await round_.write("make", {"sh": "seq 100 > made.txt"}, report())
        await round_.ended(one)
        two = await round_.write("move", {"sh": "mv made.txt moved.txt"}, report())
        await round_.ended(two)
        await round_.core.a2.look()
        assert await changes(round_, one) == {"made.txt": "added"}
        assert await changes(round_, two) == {"made.txt": "deleted", "moved.txt": "renamed"}
        await round_.restart()
        await round_.core.a2.look()
        assert await changes(round_, two) == {"made.txt": "deleted", "moved.txt": "renamed"}


async def test_what_one_worker_took_away_and_another_made_is_no_move(repo: Path) -> None:
    async with open_round(repo) as round_:
        one = await round_.write("take", {"sh": "cp big.txt ../kept; rm big.txt"}, report())
        await round_.ended(one)
        two = await round_.write("make", {"sh": "cp ../kept moved.txt"}, report())
        await round_.ended(two)
        await round_.core.a2.look()
        assert await changes(round_, one) == {"big.txt": "deleted"}
        assert await changes(round_, two) == {"moved.txt": "added"}
        assert await round_.conflicts() == []


async def test_a_move_is_still_told_when_another_worker_has_moved_the_file_on(repo: Path) -> None:
    async with open_round(repo) as round_:
        one = await round_.write("move", {"sh": "mv big.txt moved.txt; echo more >> moved.txt"}, report())
        await round_.ended(one)
        await round_.core.a2.look()
        two = await round_.write("again", {"sh": "mv moved.txt again.txt"}, report())
        await round_.ended(two)
        await round_.core.a2.look()
        assert await changes(round_, one) == MOVED
        assert await changes(round_, two) == {"moved.txt": "deleted", "again.txt": "renamed"}


async def test_the_conflict_of_a_moved_and_an_edited_file_is_that_of_a_deleted_one(repo: Path) -> None:
    async with open_round(repo) as round_:
        a2, gate = round_.core.a2, repo.parent / "gate"
        gate.write_text("")

        def when(word: str) -> dict[str, Any]:
            return {"until": {"path": str(gate), "holds": word}}

        def is_known() -> bool:
            scene = a2.witness.scene
            return scene is not None and not scene.windows.any_open() and "moved.txt" in scene.history.versions

        one = await round_.write(
            "move", {"sh": "mv big.txt moved.txt"}, {**report("big.txt", "moved.txt"), **when("end")}
        )
        two = await round_.write("edit", {"sh": "echo mine > big.txt", **when("moved")}, report("big.txt"))
        await until(is_known, "the move is seen")
        await a2.witness.settle()
        gate.write_text("moved")
        assert await round_.ended(two) == ["done"]
        gate.write_text("end")
        assert await round_.ended(one) == ["done"]
        found = {conflict["path"]: {job["jobId"] for job in conflict["jobs"]} for conflict in await round_.conflicts()}
        assert found == {"big.txt": {one["jobId"], two["jobId"]}}


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (["cp other.txt ../kept; echo x >> other.txt", "cat ../kept > other.txt"], {"other.txt": "modified"}),
        (["chmod +x other.txt"], {"other.txt": "mode"}),
        (["echo x >> other.txt; chmod +x other.txt"], {"other.txt": "modified"}),
        (["echo x > new.txt", "rm new.txt"], {"new.txt": "deleted"}),
        (["rm other.txt", "printf 'one\\ntwo\\n' > other.txt"], {"other.txt": "modified"}),
        (["echo x > new.txt", "echo y >> new.txt"], {"new.txt": "added"}),
    ],
    ids=["written back", "mode", "mode and content", "made and removed", "removed and made anew", "made and changed"],
)
async def test_what_is_told_is_what_the_worker_did(repo: Path, steps: list[str], told: dict[str, str]) -> None:
    (path,) = told
    async with open_round(repo) as round_:
        first, *more = ({"sh": step} for step in steps)
        seen = repo.parent / "seen"
        until_seen = {"until": {"path": str(seen), "holds": "yes"}}
        job = await round_.write("work", first, *({**step, **until_seen} for step in more), {**report(), **until_seen})
        a2 = round_.core.a2
        await until(lambda: a2.witness.scene and path in a2.witness.scene.history.versions, "the first step is seen")
        seen.write_text("yes")
        assert await round_.ended(job) == ["done"]
        await a2.look()
        assert await changes(round_, job) == told


async def test_what_the_baseline_does_not_have_is_added_and_what_it_has_is_not(repo: Path) -> None:
    async with open_round(repo) as round_:
        one = await round_.write("first", {"sh": "echo x > new.txt; rm other.txt"}, report())
        await round_.ended(one)
        again = "*** Begin Patch\n*** Update File: new.txt\n@@\n-x\n+y\n*** Add File: other.txt\n+anew\n*** End Patch\n"
        two = await round_.write("second", {"patch": again}, report())
        await round_.ended(two)
        await round_.core.a2.look()
        assert await changes(round_, one) == {"new.txt": "added", "other.txt": "deleted"}
        assert await changes(round_, two) == {"new.txt": "added", "other.txt": "modified"}
