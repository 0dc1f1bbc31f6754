"""The merge in an editor, two versions at a time, with real workers and real git."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from tests.core.test_a2_round import TEXT, edit, report
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT})


def wrote(round_: Round, job_id: str, word: str) -> bool:
    """Whether this worker's whole edit is known, and that it is over: what comes next cannot be a part of it."""
    scene = round_.core.a2.witness.scene
    if scene is None or scene.windows.any_open():
        return False
    newest = scene.history.newest("app.py")
    data = (round_.repo / "app.py").read_bytes()
    oid = hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()
    return f"{word}\n".encode() in data and newest is not None and (newest.writers, newest.oid) == ((job_id,), oid)


async def three(round_: Round) -> tuple[list[str], str]:
    """Three workers in one file at once: w1 changes line 2, w2 line 4, w3 line 9; their ids and the conflict's."""
    # Three write at once only where the limit lets them.
    round_.core.apply_settings({"limits": {"write": 3}})

    def when(word: str) -> dict[str, Any]:
        """A worker that waits without a command, so that whatever is written meanwhile cannot be its own."""
        return {"until": {"path": str(round_.repo.parent / "gate"), "holds": word}}

    gate = round_.repo.parent / "gate"
    gate.write_text("")
    # By a rename, which nobody can meet half done.
    steps = {"first": edit(2, "two"), "second": edit(4, "four"), "third": edit(9, "nine")}
    jobs = [await round_.write(word, step | when(word), report("app.py") | when("end")) for word, step in steps.items()]
    for job, word, line in zip(jobs, steps, ("two", "four", "nine"), strict=True):
        with gate.open("a") as file:
            file.write(f"{word}\n")
        # Two writes between two looks would be one; so the next one writes when this one's is known.
        await until(functools.partial(wrote, round_, job["jobId"], line), f"the edit of {job['label']}")
        # The command is over; a look after that knows that it wrote nothing more.
        await round_.core.a2.witness.settle()
    with gate.open("a") as file:
        file.write("end\n")
    assert await round_.ended(*jobs) == ["done", "done", "done"]
    (conflict,) = await round_.conflicts()
    assert {job["jobId"] for job in conflict["jobs"]} == {job["jobId"] for job in jobs}
    return [job["jobId"] for job in jobs], conflict["conflictId"]


def only(*edits: tuple[int, str]) -> str:
    """The file with only these lines changed."""
    text = TEXT
    for number, words in edits:
        text = text.replace(f"line {number}\n", f"{words}\n")
    return text


ONE, TWO, THREE = (2, "two"), (4, "four"), (9, "nine")
BY_HAND = (6, "six by hand")


async def inputs(round_: Round, conflict: str, *jobs: str) -> dict[str, Any]:
    more = {"jobIds": list(jobs)} if jobs else {}
    return await round_.call("codex_merge_inputs", conflictId=conflict, **more)


async def test_job_ids_name_the_two_that_are_merged(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs, conflict = await three(round_)
        for chosen, edits, rest in (
            ((0, 1), (ONE, TWO), THREE),
            ((0, 2), (ONE, THREE), TWO),
            ((2, 1), (THREE, TWO), ONE),
        ):
            found = await inputs(round_, conflict, *(jobs[number] for number in chosen))
            assert [version["jobId"] for version in found["versions"]] == [jobs[number] for number in chosen]
            assert [version["text"] for version in found["versions"]] == [only(edit, rest) for edit in edits]
            assert (found["base"], found["marked"], found["conflicts"]) == (TEXT, only(ONE, TWO, THREE), 0)
        assert await inputs(round_, conflict) == await inputs(round_, conflict, jobs[0], jobs[1])
        for wrong in ([jobs[0], "job-nobody"], ["job-nobody"], [jobs[0]], [jobs[0], jobs[0]], jobs):
            with pytest.raises(SidecarError, match="jobIds") as caught:
                await inputs(round_, conflict, *wrong)
            assert caught.value.kind == "invalid-arguments"


async def test_a_merge_of_two_is_followed_by_the_third(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs, conflict = await three(round_)
        first = await inputs(round_, conflict, jobs[0], jobs[2])
        # What a person made of it by hand must survive the next merge.
        assert first["marked"] == only(ONE, TWO, THREE)
        text = only(ONE, THREE).replace("line 6\n", "six by hand\n")
        done = await round_.call("codex_apply_merge", conflictId=conflict, text=text, expectedHash=first["diskHash"])
        assert done["snapshotId"]
        assert (repo / "app.py").read_text() == text
        assert [one["conflictId"] for one in await round_.conflicts()] == [conflict], "w2's part is missing"
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_apply_merge", conflictId=conflict, text="x", expectedHash=first["diskHash"])
        assert caught.value.kind == "stale-token"
        apart = await inputs(round_, conflict, jobs[0], jobs[2])
        assert [version["text"] for version in apart["versions"]] == [only(ONE, BY_HAND), only(THREE, BY_HAND)]
    async with open_round(repo) as round_:
        second = await inputs(round_, conflict)
        assert [version["jobId"] for version in second["versions"]] == [jobs[0], jobs[1]]
        assert [version["text"] for version in second["versions"]] == [
            text,
            only(ONE, TWO, THREE, BY_HAND),
        ], "w2's own line is back, with what else is in the file"
        assert second["marked"] == text.replace("line 4\n", "four\n")
        assert second == await inputs(round_, conflict, jobs[0], jobs[1])
        asked = {"conflictId": conflict, "text": second["marked"], "expectedHash": second["diskHash"]}
        await round_.call("codex_apply_merge", **asked)
        assert (repo / "app.py").read_text() == second["marked"]
        assert await round_.conflicts() == []
        (settled,) = (await round_.call("codex_conflicts"))["settled"]
        assert (settled["how"], sorted(settled["jobIds"])) == ("merged in the editor", sorted(jobs))


async def test_what_a_person_adds_to_a_merge_stays_in_it(repo: Path) -> None:
    async with open_round(repo) as round_:
        _, conflict = await three(round_)
        first = await inputs(round_, conflict)
        asked = {"conflictId": conflict, "text": first["marked"], "expectedHash": first["diskHash"]}
        await round_.call("codex_apply_merge", **asked)
        second = await inputs(round_, conflict)
        (repo / "app.py").write_text(only(ONE, TWO, BY_HAND))
        asked = {"conflictId": conflict, "text": second["marked"], "expectedHash": second["diskHash"]}
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_apply_merge", **asked)
        assert caught.value.kind == "stale-token"
        assert (repo / "app.py").read_text() == only(ONE, TWO, BY_HAND)
        again = await inputs(round_, conflict)
        assert [version["text"] for version in again["versions"]] == [
            only(ONE, TWO, BY_HAND),
            only(ONE, TWO, BY_HAND, THREE),
        ]
        assert again["marked"] == only(ONE, TWO, BY_HAND, THREE)


async def later(round_: Round, number: int, words: str) -> None:
    """A worker that is in no conflict changes a line when the others have ended."""
    job = await round_.write("later", edit(number, words), report("app.py"))
    assert await round_.ended(job) == ["done"]


async def by_hand(round_: Round) -> None:
    """A person changes line 6."""
    path = round_.repo / "app.py"
    path.write_text(path.read_text().replace("line 6\n", "six by hand\n"))
    await round_.conflicts()


EIGHT = (8, "eight, right above w3")
SEVEN = (7, "seven")


async def test_what_a_person_and_a_later_worker_did_before_is_part_of_the_merge(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs, conflict = await three(round_)
        await by_hand(round_)
        await later(round_, *EIGHT)
        first = await inputs(round_, conflict)
        assert [version["jobId"] for version in first["versions"]] == jobs[:2]
        assert [version["text"] for version in first["versions"]] == [
            only(one, THREE, BY_HAND, EIGHT) for one in (ONE, TWO)
        ], "both versions hold what else is in the file"
        assert first["marked"] == only(ONE, TWO, THREE, BY_HAND, EIGHT) == (repo / "app.py").read_text()
        for _ in range(2):
            found = await inputs(round_, conflict)
            asked = {"conflictId": conflict, "text": found["marked"], "expectedHash": found["diskHash"]}
            await round_.call("codex_apply_merge", **asked)
            assert (repo / "app.py").read_text() == only(ONE, TWO, THREE, BY_HAND, EIGHT)
        assert await round_.conflicts() == []


async def test_what_a_later_worker_did_is_part_of_a_merge_by_git(repo: Path) -> None:
    async with open_round(repo) as round_:
        _, conflict = await three(round_)
        await later(round_, *SEVEN)
        (found,) = await round_.conflicts()
        assert found["mergeable"] is True
        asked = {"conflictId": conflict, "strategy": "merge"}
        preview = await round_.call("codex_resolve", **asked)
        assert preview["preview"]["text"].startswith("app.py becomes the merge of w1 and w2 and w3 and w4.")
        await round_.call("codex_resolve", **asked, token=preview["token"])
        assert (repo / "app.py").read_text() == only(ONE, TWO, THREE, SEVEN)


async def test_keep_and_reconcile_name_what_else_is_in_the_file(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs, conflict = await three(round_)
        await by_hand(round_)
        await later(round_, *SEVEN)
        preview = (await round_.call("codex_resolve", conflictId=conflict, strategy="keep", jobId=jobs[2]))["preview"]
        assert preview["userEdits"] == ["app.py"]
        assert "What w4 did to it later is undone too." in preview["text"]
        done = await round_.act("codex_resolve", conflictId=conflict, strategy="reconcile")
        core = round_.core
        task = core.manager.store.prompt(await core.manager.job(done["jobs"][0]["jobId"]))
        assert task.startswith("3 workers changed app.py")
        assert "also holds the later edits of w4 and a person's own edits: that must stay." in task


async def test_a_merge_by_git_never_undoes_a_part_that_was_merged_by_hand(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs, conflict = await three(round_)
        (before,) = await round_.conflicts()
        assert before["mergeable"] is True
        offered = await round_.call("codex_resolve", conflictId=conflict, strategy="merge")
        first = await inputs(round_, conflict)
        text = first["marked"].replace("two\n", "two and six by hand\n")
        await round_.call("codex_apply_merge", conflictId=conflict, text=text, expectedHash=first["diskHash"])
        for more in ({}, {"token": offered["token"]}):
            with pytest.raises(SidecarError, match="merged by hand") as caught:
                await round_.call("codex_resolve", conflictId=conflict, strategy="merge", **more)
            assert caught.value.kind == "invalid-arguments"
            assert "codex_merge_inputs" in caught.value.hint
        assert (repo / "app.py").read_text() == text
        (after,) = await round_.conflicts()
        assert (after["mergeable"], after["suggested"]) == (False, "reconcile")
        kept = await round_.call("codex_resolve", conflictId=conflict, strategy="keep", jobId=jobs[0])
        assert kept["preview"]["userEdits"] == ["app.py"], "the merge by hand is a person's work"


async def test_bytes_that_are_no_utf_8_are_not_merged_as_text(repo: Path) -> None:
    (repo / "app.py").write_bytes(TEXT.encode() + b"caf\xe9\n")
    git(repo, "commit", "-qam", "latin-1")
    async with open_round(repo) as round_:
        _, conflict = await three(round_)
        with pytest.raises(SidecarError, match="cannot be merged as text"):
            await inputs(round_, conflict)
