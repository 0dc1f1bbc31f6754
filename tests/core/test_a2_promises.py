"""What the interface promises of repairs: what is refused, what a token holds for, what is saved, what stays over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.script import MARKER
from sidecar.model.errors import SidecarError
from tests.core.test_a2_round import (
    TEXT,
    collide,
    gate,
    patch,
    promised,
    report,
    signal,
    snapshots,
    wait_for,
)
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until
from tests.support.tree import blob_id


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "other.py": TEXT, "README.md": "hello\n"})


async def refused(round_: Round, tool: str, **arguments: Any) -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        await round_.call(tool, **arguments)
    return caught.value


async def side_by_side(round_: Round, *then: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two workers that changed lines 2 and 9 and still run, until `end` is there; the first does `then` before."""
    repo = round_.repo
    one = await round_.write("one", patch(2, "two"), *then, wait_for("end"), report("app.py"))
    two = await round_.write("two", patch(9, "nine") | gate(repo, "known"), wait_for("end"), report("app.py"))
    await written(round_, one)
    (repo.parent / "known").touch()
    await until(
        lambda: [one.kind for one in round_.core.a2.conflicts()] == ["same-file-edit"], "both have changed the file"
    )
    return one, two


async def written(round_: Round, job: dict[str, Any]) -> None:
    """Waits until what stands in app.py is known to be this worker's, and was looked at after its last word of it."""

    def is_its() -> bool:
        scene = round_.core.a2.witness.scene
        newest = None if scene is None else scene.history.newest("app.py")
        stands = blob_id((round_.repo / "app.py").read_bytes())
        return newest is not None and (newest.writers, newest.oid) == ((job["jobId"],), stands)

    await until(is_its, f"the patch of {job['label']}")
    await round_.core.a2.witness.settle()


def beside(whole: str) -> tuple[str, str]:
    """Two commands that are open together: one only waits while the other writes the file, so it may be of either."""
    holds = "touch ../a; until [ -e ../b ]; do sleep 0.02; done; sleep 0.3; touch ../c"
    writes = (
        f"until [ -e ../a ]; do sleep 0.02; done; sleep 0.3; printf '%s' '{whole}' > app.py; touch ../b; "
        "until [ -e ../c ]; do sleep 0.02; done"
    )
    return holds, writes


# Refusals ------------------------------------------------------------------------------------------


async def test_a_version_that_either_may_have_written_is_merged_and_kept_as_nobodys(repo: Path) -> None:
    """While w1 has a command open w2 writes its old copy over w1's line: only w1's first version is certain."""
    whole = TEXT.replace("line 9\n", "nine by w2\n")
    holds, writes = beside(whole)
    async with open_round(repo) as round_:
        one = await round_.write("one", patch(4, "four by w1"), {"sh": holds}, report("app.py"))
        # It names the file, so whatever is written while it runs may be its own.
        two = await round_.write("two", {"sh": writes} | gate(repo, "known"), report("app.py"))
        await written(round_, one)
        (repo.parent / "known").touch()
        assert await round_.ended(one, two) == ["done", "done"]
        (conflict,) = await round_.conflicts()
        assert (conflict["kind"], conflict["mergeable"]) == ("reported-only", False)
        assert [job["attribution"] for job in conflict["jobs"]] == ["seen", "ambiguous"]
        asked = {"conflictId": conflict["conflictId"]}
        merge = await refused(round_, "codex_resolve", **asked, strategy="merge")
        assert (merge.kind, merge.details["field"]) == ("invalid-arguments", "strategy")
        assert all(way in merge.hint for way in ("keep", "reconcile", "rerun", "dismiss"))
        keep = await refused(round_, "codex_resolve", **asked, strategy="keep", jobId=two["jobId"])
        assert (keep.kind, keep.details["field"]) == ("invalid-arguments", "jobId")
        assert "no version that is certainly w2's" in keep.message
        assert all(way in keep.hint for way in ("another job", "reconcile", "rerun", "dismiss"))
        preview = await round_.call("codex_resolve", **asked, strategy="keep", jobId=one["jobId"])
        assert "already is" not in preview["preview"]["text"]
        assert "What w1 or w2 did to it later is undone too." in preview["preview"]["text"]
        done = await round_.call("codex_resolve", **asked, strategy="keep", jobId=one["jobId"], token=preview["token"])
        assert done["snapshotId"] == promised(preview)
        assert (repo / "app.py").read_text() == TEXT.replace("line 4\n", "four by w1\n")


async def test_a_merge_keeps_what_a_version_of_either_took_away(repo: Path) -> None:
    """Both have changed a line for certain; then, with a command of each open, an old copy is written over both."""
    whole = TEXT.replace("line 7\n", "seven by one of them\n")
    holds, writes = beside(whole)
    async with open_round(repo) as round_:
        both = gate(repo, "both are known")
        one = await round_.write("one", patch(2, "two"), {"sh": holds} | both, report("app.py"))
        second = patch(10, "ten") | gate(repo, "the first is known")
        two = await round_.write("two", second, {"sh": writes} | both, report("app.py"))
        for job, name in ((one, "the first is known"), (two, "both are known")):
            await written(round_, job)
            (repo.parent / name).touch()
        assert await round_.ended(one, two) == ["done", "done"]
        assert (repo / "app.py").read_text() == whole
        (conflict,) = await round_.conflicts()
        assert conflict["mergeable"] is True
        await round_.act("codex_resolve", conflictId=conflict["conflictId"], strategy="merge")
        both = whole.replace("line 2\n", "two\n").replace("line 10\n", "ten\n")
        assert (repo / "app.py").read_text() == both
        assert await round_.conflicts() == []


async def test_without_a_run_what_is_missing_is_named(repo: Path) -> None:
    async with open_round(repo) as round_:
        for strategy in ("merge", "keep", "reconcile", "rerun", "dismiss"):
            error = await refused(round_, "codex_resolve", conflictId="nope", strategy=strategy)
            assert (error.kind, error.details["conflictId"]) == ("unknown-conflict", "nope")
        for tool in ("codex_rollback", "codex_rerun"):
            error = await refused(round_, tool, jobIds=["nope"])
            assert (error.kind, error.details["jobId"]) == ("unknown-job", "nope")
        for tool, asked, field in (
            ("codex_rollback", {}, "paths"),
            ("codex_rollback", {"paths": ["app.py"]}, "paths"),
            ("codex_rerun", {}, "jobIds"),
        ):
            error = await refused(round_, tool, **asked)
            assert (error.kind, error.details["field"]) == ("invalid-arguments", field)
            assert "no run is open" in error.message
            assert "Spawn a write job" in error.hint


async def test_a_workers_commit_is_told_with_its_label(repo: Path) -> None:
    steps = [{"sh": "git commit -q --allow-empty -m forbidden"}, report()]
    async with open_round(repo) as round_:
        prompt = f"commit. {MARKER} {json.dumps(steps)}"
        job = await round_.call("codex_spawn", prompt=prompt, sandbox="danger-full-access")
        await round_.ended(job)
        told = [{"jobId": job["jobId"], "label": "w1", "commit": git(repo, "rev-parse", "HEAD").strip()}]
        answer = await round_.call("codex_conflicts")
        assert answer["workerCommits"] == told
        await round_.call("codex_baseline", begin=True)
        assert (await round_.call("codex_conflicts", runId=answer["runId"]))["workerCommits"] == told


# Tokens --------------------------------------------------------------------------------------------


async def test_a_token_holds_while_only_other_files_change(repo: Path) -> None:
    async with open_round(repo) as round_:
        one, _, conflict = await collide(round_, repo)
        asked = {"conflictId": conflict["conflictId"], "strategy": "keep", "jobId": one["jobId"]}
        keep = await round_.call("codex_resolve", **asked)
        back = await round_.call("codex_rollback", paths=["app.py"])
        (repo / "new.txt").write_text("a person's, and none of the workers' business\n")
        idle = await round_.write("idle", wait_for("end"), report())
        await until(lambda: round_.core.manager.live[idle["jobId"]].job.status == "running", "another worker runs")
        done = await round_.call("codex_rollback", paths=["app.py"], token=back["token"])
        assert (done["snapshotId"], done["files"]) == (promised(back), ["app.py"])
        await round_.act("codex_restore", snapshotId=done["snapshotId"])
        again = await round_.call("codex_restore", snapshotId=done["snapshotId"])
        (repo / "newer.txt").write_text("another\n")
        assert (await round_.call("codex_restore", snapshotId=done["snapshotId"], token=again["token"]))["files"] == []
        # The file itself was moved and brought back meanwhile.
        assert (await refused(round_, "codex_resolve", **asked, token=keep["token"])).kind == "unknown-conflict"


async def test_a_token_is_stale_when_a_worker_starts_meanwhile_and_touches_a_file_of_it(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.ended(await round_.write("one", patch(3, "three"), report("app.py")))
        whole = await round_.call("codex_rollback")
        named = await round_.call("codex_rollback", paths=["app.py"])
        two = await round_.write(
            "two", patch(5, "five", "other.py"), signal("a"), wait_for("b"), patch(7, "7"), report()
        )
        await until((repo.parent / "a").exists)
        error = await refused(round_, "codex_rollback", token=whole["token"])
        assert error.kind == "stale-token"
        assert [one["path"] for one in error.details["preview"]["files"]] == ["app.py", "other.py"]
        assert [one["label"] for one in error.details["preview"]["jobs"]] == ["w1", "w2"]
        (repo.parent / "b").touch()
        await round_.ended(two)
        error = await refused(round_, "codex_rollback", paths=["app.py"], token=named["token"])
        assert error.kind == "stale-token"
        assert [one["label"] for one in error.details["preview"]["jobs"]] == ["w1", "w2"]


async def test_a_token_is_stale_after_a_commit(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.ended(await round_.write("one", patch(3, "three"), report("app.py")))
        preview = await round_.call("codex_rollback")
        git(repo, "commit", "-q", "--allow-empty", "-m", "a person's")
        assert (await refused(round_, "codex_rollback", token=preview["token"])).kind == "stale-token"


async def test_a_preview_calls_nobody_elses_edits_yours(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.ended(await round_.write("one", patch(3, "three", "other.py"), report("other.py")))
        await round_.ended(await round_.write("two", patch(3, "three"), report("app.py")))
        (repo / "README.md").write_text("mine\n")
        preview = (await round_.call("codex_rollback", paths=["app.py"]))["preview"]
        assert "Not touched: your edits in README.md, w1's changes in other.py, ignored files," in preview["text"]
        assert preview["untouched"] == ["README.md", "other.py"]


# Snapshots -----------------------------------------------------------------------------------------


async def test_a_merge_that_changes_nothing_saves_a_snapshot(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs = await side_by_side(round_)
        (repo.parent / "end").touch()
        assert await round_.ended(*jobs) == ["done", "done"]
        (conflict,) = await round_.conflicts()
        asked = {"conflictId": conflict["conflictId"], "strategy": "merge"}
        preview = await round_.call("codex_resolve", **asked)
        assert "It already is: no file is changed." in preview["preview"]["text"]
        done = await round_.call("codex_resolve", **asked, token=preview["token"])
        assert ([done["snapshotId"]], done["files"]) == (snapshots(repo), [])
        assert done["snapshotId"] == promised(preview)


async def test_reconcile_saves_a_snapshot_before_its_worker_writes(repo: Path) -> None:
    async with open_round(repo) as round_:
        _, _, conflict = await collide(round_, repo)
        before = (repo / "app.py").read_text()
        asked = {"conflictId": conflict["conflictId"], "strategy": "reconcile"}
        preview = await round_.call("codex_resolve", **asked)
        done = await round_.call("codex_resolve", **asked, token=preview["token"])
        assert [done["snapshotId"]] == snapshots(repo) == [promised(preview)]
        assert git(repo, "show", f"refs/codex-sidecar/snapshots/{done['snapshotId']}:files/app.py") == before


async def test_a_rerun_that_moves_no_file_saves_a_snapshot(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("idle", report())
        await round_.ended(job)
        preview = await round_.call("codex_rerun", jobIds=[job["jobId"]])
        done = await round_.call("codex_rerun", jobIds=[job["jobId"]], token=preview["token"])
        assert ([done["snapshotId"]], done["files"]) == (snapshots(repo), [])
        assert done["snapshotId"] == promised(preview)
        await round_.ended(*done["jobs"])
        (saved,) = (await round_.call("codex_snapshots"))["snapshots"]
        assert (saved["snapshotId"], saved["files"]) == (done["snapshotId"], 0)
        restored = await round_.act("codex_restore", snapshotId=saved["snapshotId"])
        assert restored["files"] == []


# What is over --------------------------------------------------------------------------------------


async def test_what_was_dismissed_while_its_workers_ran_stays_over_when_they_end(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs = await side_by_side(round_)
        (conflict,) = await round_.conflicts()
        await round_.call("codex_resolve", conflictId=conflict["conflictId"], strategy="dismiss")
        assert await round_.conflicts() == []
        (repo.parent / "end").touch()
        assert await round_.ended(*jobs) == ["done", "done"]
        assert await round_.conflicts() == []
        await round_.restart()
        assert await round_.conflicts() == []


async def test_what_was_rolled_back_while_its_workers_ran_stays_over_when_they_end(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs = await side_by_side(round_)
        await round_.act("codex_rollback", paths=["app.py"])
        assert await round_.conflicts() == []
        (repo.parent / "end").touch()
        assert await round_.ended(*jobs) == ["done", "done"]
        assert await round_.conflicts() == []


async def test_a_later_write_of_one_of_its_workers_brings_a_dismissed_conflict_back(repo: Path) -> None:
    later = {"patch": "*** Begin Patch\n*** Update File: app.py\n@@\n line 1\n-two\n+TWO\n*** End Patch\n"}
    async with open_round(repo) as round_:
        jobs = await side_by_side(round_, wait_for("more"), later)
        (conflict,) = await round_.conflicts()
        await round_.call("codex_resolve", conflictId=conflict["conflictId"], strategy="dismiss")
        assert await round_.conflicts() == []
        (repo.parent / "more").touch()
        await until(lambda: "TWO" in (repo / "app.py").read_text(), "the later patch")
        (again,) = await round_.conflicts()
        assert {job["jobId"] for job in again["jobs"]} == {job["jobId"] for job in jobs}
        (repo.parent / "end").touch()
        assert await round_.ended(*jobs) == ["done", "done"]
        assert [one["conflictId"] for one in await round_.conflicts()] == [conflict["conflictId"]]


# Runs ----------------------------------------------------------------------------------------------


async def test_a_write_job_joins_the_run_that_was_begun(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.ended(await round_.write("before", report()))
        begun = await round_.call("codex_baseline", begin=True)
        assert (await round_.call("codex_baseline"))["runId"] == begun["runId"]
        job = await round_.write("one", patch(3, "three"), report("app.py"))
        assert (await round_.call("codex_status", jobId=job["jobId"]))["runId"] == begun["runId"]
        await round_.ended(job)
        assert (await round_.call("codex_conflicts"))["runId"] == begun["runId"]


async def test_a_persons_commit_in_between_begins_another_run(repo: Path) -> None:
    async with open_round(repo) as round_:
        begun = await round_.call("codex_baseline", begin=True)
        git(repo, "commit", "-q", "--allow-empty", "-m", "a person's")
        job = await round_.write("one", patch(3, "three"), report("app.py"))
        assert (await round_.call("codex_status", jobId=job["jobId"]))["runId"] != begun["runId"]
        await round_.ended(job)
        assert (await round_.call("codex_conflicts"))["baseline"]["head"] == git(repo, "rev-parse", "HEAD").strip()
