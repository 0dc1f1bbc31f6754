"""The A2 protocol on real repositories with real worker processes: what is seen, what conflicts, how it is repaired."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until

TEXT = "".join(f"line {n}\n" for n in range(1, 11))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "other.py": TEXT, "README.md": "hello\n"})


def edit(number: int, words: str, path: str = "app.py") -> dict[str, str]:
    """A step that changes one line by a command."""
    return {"sh": f"sed -i 's/^line {number}$/{words}/' {path}"}


def patch(number: int, words: str, path: str = "app.py") -> dict[str, str]:
    """A step that changes one line by a patch."""
    before = f" line {number - 1}\n" if number > 1 else ""
    return {"patch": f"*** Begin Patch\n*** Update File: {path}\n@@\n{before}-line {number}\n+{words}\n*** End Patch\n"}


def report(*files: str) -> dict[str, Any]:
    """The last step."""
    return {"json": {"summary": "did it", "modifiedFiles": list(files)}}


def gate(repo: Path, name: str) -> dict[str, Any]:
    """What a step waits for with no command open: a file outside the repository."""
    return {"until": {"path": str(repo.parent / name), "holds": ""}}


async def known(round_: Round, *paths: str) -> None:
    """Waits until what was written at these paths is known, and is over: what comes next cannot be a part of it."""
    a2 = round_.core.a2

    def is_known() -> bool:
        scene = a2.witness.scene
        return scene is not None and not scene.windows.any_open() and scene.history.versions.keys() >= {*paths}

    await until(is_known, f"the versions of {paths}")
    # A look that met a file half written is followed by one that did not.
    await a2.witness.settle()


async def in_turn(
    round_: Round, repo: Path, first: list[dict[str, Any]], second: list[dict[str, Any]], *paths: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two workers that run together; the second begins to write when all that the first wrote at `paths` is known."""
    one = await round_.write("first", *first, {**report(*paths), **gate(repo, "second-is-over")})
    second = [{**second[0], **gate(repo, "first-is-known")}, *second[1:]]
    two = await round_.write("second", *second, report(*paths))
    await known(round_, *paths)
    (repo.parent / "first-is-known").touch()
    assert await round_.ended(two) == ["done"]
    (repo.parent / "second-is-over").touch()
    assert await round_.ended(one) == ["done"]
    return one, two


def wait_for(name: str) -> dict[str, str]:
    """A step that waits until another worker made a file outside the repository."""
    return {"sh": f"while [ ! -e ../{name} ]; do sleep 0.02; done"}


def signal(name: str) -> dict[str, str]:
    return {"sh": f"touch ../{name}"}


def promised(offered: dict[str, Any]) -> str:
    """The id of the snapshot whose ref a preview names."""
    found = re.findall(
        r"A snapshot is saved first: refs/codex-sidecar/snapshots/(\d{8}-\d{6}-[0-9a-f]{4})\. ",
        offered["preview"]["text"],
    )
    assert len(found) == 1, offered
    return str(found[0])


def snapshots(repo: Path) -> list[str]:
    """The ids of all snapshots that git itself knows."""
    return git(repo, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/codex-sidecar/snapshots/").split()


async def test_one_worker_alone_makes_no_conflict(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("add", patch(3, "three"), edit(5, "five"), report("app.py"))
        assert await round_.ended(job) == ["done"]
        answer = await round_.call("codex_conflicts")
        assert answer["conflicts"] == []
        assert answer["unclaimed"] == []
        assert answer["missingReports"] == []
        assert answer["headMoved"] is None
        assert answer["baseline"]["head"] == git(repo, "rev-parse", "HEAD").strip()
        assert (repo / "app.py").read_text().splitlines()[2:5] == ["three", "line 4", "five"]


async def test_jobs_one_after_another_never_conflict(repo: Path) -> None:
    async with open_round(repo) as round_:
        first = await round_.write("one", patch(3, "three"), report("app.py"))
        await round_.ended(first)
        second = await round_.write("two", edit(3, "x") | {"sh": "sed -i 's/^three$/THREE/' app.py"}, report("app.py"))
        await round_.ended(second)
        assert await round_.conflicts() == []


async def test_different_parts_of_one_file_merge_and_are_only_information(repo: Path) -> None:
    async with open_round(repo) as round_:
        one, two = await in_turn(round_, repo, [patch(2, "two")], [patch(9, "nine")], "app.py")
        (conflict,) = await round_.conflicts()
        assert (conflict["kind"], conflict["severity"]) == ("same-file-edit", "information")
        assert conflict["confirmed"] is True
        assert conflict["mergeable"] is True
        assert {job["jobId"]: job["ranges"] for job in conflict["jobs"]} == {
            one["jobId"]: [{"start": 2, "end": 2}],
            two["jobId"]: [{"start": 9, "end": 9}],
        }
        assert [job["attribution"] for job in conflict["jobs"]] == ["seen", "seen"]
        assert (await round_.call("codex_result", jobId=one["jobId"]))["conflicts"] == [conflict["conflictId"]]
        dismissed = await round_.call("codex_resolve", conflictId=conflict["conflictId"], strategy="dismiss")
        assert dismissed["strategy"] == "dismiss"
        assert await round_.conflicts() == []


async def collide(round_: Round, repo: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """w1 changes line 4; w2, which started from the old text, writes the whole file with another line 4."""
    whole = TEXT.replace("line 4\n", "four by w2\n")
    writes = {"sh": f"printf '%s' '{whole}' > app.py"}
    one, two = await in_turn(round_, repo, [patch(4, "four by w1")], [writes], "app.py")
    (conflict,) = await round_.conflicts()
    return one, two, conflict


async def test_an_overwritten_edit_is_a_lost_update(repo: Path) -> None:
    async with open_round(repo) as round_:
        one, two, conflict = await collide(round_, repo)
        assert conflict["kind"] in ("lost-update", "overlapping-edit")
        assert conflict["mergeable"] is False
        assert {job["jobId"] for job in conflict["jobs"]} == {one["jobId"], two["jobId"]}
        with pytest.raises(SidecarError, match="do not merge") as caught:
            await round_.call("codex_resolve", conflictId=conflict["conflictId"], strategy="merge")
        assert "rerun" in caught.value.hint

        # Keep w1's version: first a preview that changes nothing, then the act, then the way back.
        asked = {"conflictId": conflict["conflictId"], "strategy": "keep", "jobId": one["jobId"]}
        preview = await round_.call("codex_resolve", **asked)
        assert "four by w2" in (repo / "app.py").read_text()
        assert preview["preview"]["files"] == [{"path": "app.py", "action": "becomes w1's version"}]
        assert snapshots(repo) == []
        done = await round_.call("codex_resolve", **asked, token=preview["token"])
        assert [done["snapshotId"]] == snapshots(repo) == [promised(preview)]
        assert (repo / "app.py").read_text() == TEXT.replace("line 4\n", "four by w1\n")
        assert await round_.conflicts() == []
        (snapshot,) = (await round_.call("codex_snapshots"))["snapshots"]
        assert snapshot["snapshotId"] == done["snapshotId"]
        await round_.act("codex_restore", snapshotId=snapshot["snapshotId"])
        assert "four by w2" in (repo / "app.py").read_text()


async def test_a_merge_brings_both_edits_back(repo: Path) -> None:
    """w2 writes the whole file from the old text and so drops w1's line; both edits merge."""
    whole = TEXT.replace("line 9\n", "nine\n")
    async with open_round(repo) as round_:
        await in_turn(round_, repo, [patch(2, "two")], [{"sh": f"printf '%s' '{whole}' > app.py"}], "app.py")
        (conflict,) = await round_.conflicts()
        assert (conflict["kind"], conflict["severity"], conflict["mergeable"]) == ("lost-update", "error", True)
        assert conflict["suggested"] == "merge"
        asked = {"conflictId": conflict["conflictId"], "strategy": "merge"}
        preview = await round_.call("codex_resolve", **asked)
        done = await round_.call("codex_resolve", **asked, token=preview["token"])
        assert [done["snapshotId"]] == snapshots(repo) == [promised(preview)]
        assert (repo / "app.py").read_text() == TEXT.replace("line 2\n", "two\n").replace("line 9\n", "nine\n")
        assert await round_.conflicts() == []


async def test_a_conflict_is_told_while_the_workers_run(repo: Path) -> None:
    async with open_round(repo) as round_:
        one = await round_.write("first", patch(4, "four by w1"), signal("a"), wait_for("end"), report("app.py"))
        two = await round_.write(
            "second", wait_for("a"), {"sh": "sed -i 's/^four by w1$/four by w2/' app.py"}, signal("b"), wait_for("end"),
            report("app.py"),
        )  # fmt: skip
        await until(lambda: round_.core.a2.conflicts(), "a conflict while both run")
        (conflict,) = round_.core.a2.conflicts()
        assert conflict.live is True
        assert conflict.severity in ("information", "error")
        (repo.parent / "end").touch()
        assert await round_.ended(one, two) == ["done", "done"]


async def test_commands_of_two_workers_at_once_are_ambiguous_and_credited_to_none(repo: Path) -> None:
    async with open_round(repo) as round_:
        one = await round_.write(
            "first",
            {"sh": "touch ../a; until [ -e ../b ]; do sleep 0.02; done; sleep 0.2; echo x >> other.py; touch ../c"},
            wait_for("d"),
            report(),
        )
        writes = {"sh": "touch ../b; until [ -e ../c ]; do sleep 0.02; done; sleep 0.3; touch ../d"}
        two = await round_.write("second", wait_for("a"), writes, report())
        await round_.ended(one, two)
        (conflict,) = await round_.conflicts()
        assert conflict["path"] == "other.py"
        assert {job["attribution"] for job in conflict["jobs"]} == {"ambiguous"}


async def test_roll_back_undoes_only_what_workers_did(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write(
            "work", patch(3, "three"), {"sh": "mkdir -p new; echo n > new/file.py"}, report("app.py", "new/file.py")
        )
        await round_.ended(job)
        (repo / "README.md").write_text("mine\n")
        (repo / "notes.txt").write_text("my notes\n")
        (repo / "staged.txt").write_text("staged\n")
        git(repo, "add", "staged.txt")
        index = (repo / ".git" / "index").read_bytes()
        preview = await round_.call("codex_rollback")
        assert {file["path"] for file in preview["preview"]["files"]} == {"app.py", "new/file.py"}
        assert set(preview["preview"]["untouched"]) == {"README.md", "notes.txt", "staged.txt"}
        assert "Not touched: your edits in" in preview["preview"]["text"]
        done = await round_.call("codex_rollback", token=preview["token"])
        assert [done["snapshotId"]] == snapshots(repo) == [promised(preview)]
        assert sorted(done["files"]) == ["app.py", "new/file.py"]
        assert (repo / "app.py").read_text() == TEXT
        assert not (repo / "new").exists()
        assert (repo / "README.md").read_text() == "mine\n"
        assert (repo / "notes.txt").read_text() == "my notes\n"
        assert (repo / ".git" / "index").read_bytes() == index
        await round_.act("codex_restore", snapshotId=done["snapshotId"])
        assert "three" in (repo / "app.py").read_text()
        assert (repo / "new" / "file.py").read_text() == "n\n"


async def test_a_token_is_stale_as_soon_as_a_named_file_moves(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("work", patch(3, "three"), report("app.py"))
        await round_.ended(job)
        preview = await round_.call("codex_rollback")
        with (repo / "app.py").open("a") as file:
            file.write("written by a person meanwhile\n")
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_rollback", token=preview["token"])
        assert caught.value.kind == "stale-token"
        assert "written by a person" in (repo / "app.py").read_text()
        fresh = caught.value.details
        assert fresh["preview"]["userEdits"] == ["app.py"]
        assert promised(fresh) != promised(preview)
        done = await round_.call("codex_rollback", token=fresh["token"])
        assert [done["snapshotId"]] == snapshots(repo) == [promised(fresh)]
        assert (repo / "app.py").read_text() == TEXT
        with pytest.raises(SidecarError):
            await round_.call("codex_rollback", token=fresh["token"])


async def test_a_preview_says_that_its_worker_still_runs(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("work", patch(3, "three"), wait_for("end"), report("app.py"))
        await until(lambda: "three" in (repo / "app.py").read_text(), "the patch")
        preview = await round_.call("codex_rollback")
        assert f"{job['label']} still runs and may write again." in preview["preview"]["text"]
        (repo.parent / "end").touch()
        await round_.ended(job)
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_rollback", token=preview["token"])
        assert caught.value.kind == "stale-token"
        assert "still runs" not in caught.value.details["preview"]["text"]


async def test_every_preview_has_a_snapshot_name_of_its_own(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.ended(await round_.write("work", patch(3, "three"), report("app.py")))
        first, second = [await round_.call("codex_rollback") for _ in range(2)]
        assert promised(first) != promised(second)
        done = await round_.call("codex_rollback", token=first["token"])
        assert [done["snapshotId"]] == snapshots(repo) == [promised(first)]
        # The way back saves one, too; and another where everything is back already and there is nothing to move.
        asked = {"snapshotId": done["snapshotId"]}
        back, other = [await round_.call("codex_restore", **asked) for _ in range(2)]
        restored = await round_.call("codex_restore", **asked, token=back["token"])
        assert restored["snapshotId"] == promised(back)
        assert set(snapshots(repo)) == {promised(first), promised(back)}
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_restore", **asked, token=other["token"])
        idle = caught.value.details
        assert "Every file is as the snapshot has it." in idle["preview"]["text"]
        nothing = await round_.call("codex_restore", **asked, token=idle["token"])
        assert (nothing["snapshotId"], nothing["files"]) == (promised(idle), [])
        assert set(snapshots(repo)) == {promised(first), promised(back), promised(idle)}


async def test_a_name_that_is_taken_by_now_is_replaced_and_the_answer_tells_the_true_one(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.ended(await round_.write("work", patch(3, "three"), report("app.py")))
        preview = await round_.call("codex_rollback")
        head = git(repo, "rev-parse", "HEAD").strip()
        git(repo, "update-ref", f"refs/codex-sidecar/snapshots/{promised(preview)}", head)
        done = await round_.call("codex_rollback", token=preview["token"])
        assert done["snapshotId"] != promised(preview)
        assert set(snapshots(repo)) == {done["snapshotId"], promised(preview)}
        assert git(repo, "rev-parse", f"refs/codex-sidecar/snapshots/{promised(preview)}").strip() == head
        assert [one["snapshotId"] for one in (await round_.call("codex_snapshots"))["snapshots"]] == [
            done["snapshotId"]
        ]


async def test_what_moves_nothing_saves_a_snapshot_all_the_same(repo: Path) -> None:
    async with open_round(repo) as round_:
        _, two, conflict = await collide(round_, repo)
        (repo / "app.py").chmod(0o644)
        stands = {"conflictId": conflict["conflictId"], "strategy": "keep", "jobId": two["jobId"]}
        preview = await round_.call("codex_resolve", **stands)
        assert preview["preview"]["text"].startswith(
            "app.py becomes w2's version. It already is: no file is changed. A snapshot is saved first: refs/"
        )
        (repo / "app.py").chmod(0o755)
        promised(await round_.call("codex_resolve", **stands))
        (repo / "app.py").chmod(0o644)
        # That the file was touched makes the first token stale, and nothing else.
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_resolve", **stands, token=preview["token"])
        fresh = caught.value.details
        assert fresh["preview"] | {"text": ""} == preview["preview"] | {"text": ""}
        done = await round_.call("codex_resolve", **stands, token=fresh["token"])
        assert ([done["snapshotId"]], done["files"]) == (snapshots(repo), [])
        assert done["snapshotId"] == promised(fresh)
        held = git(repo, "show", f"refs/codex-sidecar/snapshots/{done['snapshotId']}:files/app.py")
        assert held == (repo / "app.py").read_text()
        assert await round_.conflicts() == []


async def test_rerun_runs_the_jobs_again_one_by_one_and_tells_what_changed(repo: Path) -> None:
    async with open_round(repo) as round_:
        one, two, _ = await collide(round_, repo)
        preview = await round_.call("codex_rerun")
        again = await round_.call("codex_rerun", token=preview["token"])
        assert [again["snapshotId"]] == snapshots(repo) == [promised(preview)]
        assert [job["replaces"] for job in again["jobs"]] == [one["jobId"], two["jobId"]]
        jobs = {job["jobId"]: job["runId"] for job in (await round_.call("codex_status"))["jobs"]}
        assert len(set(jobs.values())) == 1, "a re-run belongs to the run that it repairs"
        assert await round_.ended(*again["jobs"]) == ["done", "done"]
        starts = [await round_.core.manager.job(job["jobId"]) for job in again["jobs"]]
        assert (starts[1].started_at or 0) >= (starts[0].finished_at or 1e18)
        assert (repo / "app.py").read_text() == TEXT.replace("line 4\n", "four by w2\n")
        assert await round_.conflicts() == []


async def test_rerun_keeps_the_order_that_is_given(repo: Path) -> None:
    async with open_round(repo) as round_:
        jobs = [await round_.write(word, {"sh": f"echo {word} >> app.py"}, report("app.py")) for word in ("one", "two")]
        assert await round_.ended(*jobs) == ["done", "done"]
        one, two = (job["jobId"] for job in jobs)
        with pytest.raises(SidecarError, match="goes with jobIds"):
            await round_.call("codex_rerun", order="given")
        other = await round_.call("codex_rerun", jobIds=[two, one])
        assert "re-run w1, then w2?" in other["preview"]["text"], "the first spawned first, unless asked otherwise"
        preview = await round_.call("codex_rerun", jobIds=[two, one], order="given")
        assert "re-run w2, then w1?" in preview["preview"]["text"]
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_rerun", jobIds=[two, one], order="given", token=other["token"])
        assert caught.value.kind == "stale-token"
        again = await round_.call("codex_rerun", jobIds=[two, one], order="given", token=preview["token"])
        assert [job["replaces"] for job in again["jobs"]] == [two, one]
        assert await round_.ended(*again["jobs"]) == ["done", "done"]
        assert (repo / "app.py").read_text() == TEXT + "two\none\n"


async def test_a_person_and_a_worker(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("work", patch(4, "four by w1") | gate(repo, "go"), report("app.py"))
        await until(lambda: round_.core.manager.live[job["jobId"]].log.lines, "it has begun")
        (repo / "app.py").write_text(TEXT.replace("line 8\n", "eight by me\n"))
        await round_.core.a2.look()
        (repo.parent / "go").touch()
        await round_.ended(job)
        (conflict,) = await round_.conflicts()
        assert (conflict["kind"], conflict["severity"]) == ("user-edit", "warning")
        assert conflict["mergeable"] is True
        owners = {owner.start: owner.writers[0][1] for owner in await round_.core.a2.owners("app.py")}
        assert owners == {4: "w1", 8: "you"}


async def test_a_save_that_an_editor_announces_is_the_persons_even_while_a_command_runs(repo: Path) -> None:
    async with open_round(repo) as round_:
        command = "touch ../a; until [ -e ../go ]; do sleep 0.02; done; sed -i 's/^line 2$/two/' app.py"
        job = await round_.write("work", {"sh": command}, report("app.py"))
        await until((repo.parent / "a").exists)
        # No look is under way while the person saves: what it meets before the editor's word has no name yet.
        await round_.core.a2.look()
        (repo / "app.py").write_text(TEXT.replace("line 8\n", "eight by me\n"))
        round_.core.a2.note_saved("app.py")
        await round_.core.a2.ends_known()
        (repo.parent / "go").touch()
        await round_.ended(job)
        (conflict,) = await round_.conflicts()
        assert conflict["kind"] == "user-edit"
        owners = {owner.start: owner.writers[0][1] for owner in await round_.core.a2.owners("app.py")}
        assert owners == {2: "w1", 8: "you"}


async def test_unsaved_edits_under_a_workers_hands_are_known(repo: Path) -> None:
    async with open_round(repo) as round_:
        a2 = round_.core.a2
        job = await round_.write("work", patch(4, "four") | gate(repo, "go"), report("app.py") | gate(repo, "end"))
        await until(lambda: round_.core.manager.live[job["jobId"]].log.lines, "it has begun")
        a2.note_buffer("app.py", "editor 1", dirty=True)
        (repo.parent / "go").touch()
        await until(lambda: a2.unsaved(), "a warning")
        assert {path: one.label for path, one in a2.unsaved().items()} == {"app.py": "w1"}
        (repo.parent / "end").touch()
        await round_.ended(job)
        preview = await round_.call("codex_rollback")
        assert preview["preview"]["userEdits"] == ["app.py"]
        a2.note_buffer("app.py", "editor 1", dirty=False)
        assert a2.unsaved() == {}


async def test_what_a_cancelled_worker_left_is_told_and_rolled_back(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("work", patch(3, "three"), {"sh": "sleep 60"}, report("app.py"))
        scene = round_.core.a2.witness.scene
        assert scene is not None
        await until(scene.windows.open_commands, "the patch was told of, and the next command runs")
        await round_.call("codex_cancel", jobId=job["jobId"], force=True)
        assert await round_.ended(job) == ["cancelled"]
        result = await round_.call("codex_result", jobId=job["jobId"])
        assert [file["path"] for file in result["touchedFiles"]] == ["app.py"]
        await round_.act("codex_rollback", jobIds=[job["jobId"]])
        assert (repo / "app.py").read_text() == TEXT


async def test_dirty_tree_snapshot_and_stash(repo: Path) -> None:
    (repo / "README.md").write_text("mine\n")
    (repo / "notes.txt").write_text("notes\n")
    async with open_round(repo) as round_:
        job = await round_.write("work", {"sh": "echo worker >> README.md"}, report("README.md"), onDirty="snapshot")
        await round_.ended(job)
        await round_.act("codex_rollback")
        assert (repo / "README.md").read_text() == "mine\n"
        await round_.call("codex_baseline", begin=True, onDirty="stash")
        assert git(repo, "status", "--porcelain") == ""
        baseline = await round_.call("codex_baseline")
        preview = await round_.call("codex_restore", snapshotId=baseline["snapshotId"])
        assert "The index comes back too, as it was then." in preview["preview"]["text"]
        done = await round_.call("codex_restore", snapshotId=baseline["snapshotId"], token=preview["token"])
        assert done["snapshotId"] == promised(preview)
        assert (repo / "README.md").read_text() == "mine\n"
        assert (repo / "notes.txt").read_text() == "notes\n"


async def test_everything_is_known_again_after_a_restart(repo: Path) -> None:
    async with open_round(repo) as round_:
        _, _, before = await collide(round_, repo)
    async with open_round(repo) as round_:
        (after,) = await round_.conflicts()
        assert after == before
        versions = git(repo, "for-each-ref", "--format=%(refname)", "refs/codex-sidecar/")
        assert "refs/codex-sidecar/versions/" in versions
        git(repo, "gc", "--prune=now", "-q")
        asked = {"conflictId": after["conflictId"], "strategy": "keep", "jobId": after["jobs"][0]["jobId"]}
        await round_.act("codex_resolve", **asked)
        assert (repo / "app.py").read_text() == TEXT.replace("line 4\n", "four by w1\n")
        assert git(repo, "status", "--porcelain").split() == ["M", "app.py"]
