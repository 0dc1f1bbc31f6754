"""A file that changes between the look at it and the act, by a person or by another repair: nothing is done to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sidecar.a2 import editor_merges
from sidecar.model.errors import SidecarError
from tests.core.test_a2_round import TEXT, collide, edit, gate, known, report
from tests.support.repo import make_repo
from tests.support.round import Round, open_round, until

MINE = "saved by a person at that very moment\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT})


def save(repo: Path) -> None:
    with (repo / "app.py").open("a") as file:
        file.write(MINE)


async def test_what_is_saved_after_the_token_was_checked_is_not_touched(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_round(repo) as round_:
        one, _, _ = await collide(round_, repo)
        check = round_.core.a2.tokens.check

        def check_and_save(*args: Any) -> None:
            check(*args)
            save(repo)

        snapshot = (await round_.act("codex_rollback", paths=["app.py"]))["snapshotId"]
        await round_.act("codex_restore", snapshotId=snapshot)
        for tool, asked in (
            ("codex_rollback", {"paths": ["app.py"]}),
            ("codex_rerun", {"jobIds": [one["jobId"]]}),
            ("codex_restore", {"snapshotId": snapshot}),
        ):
            preview = await round_.call(tool, **asked)
            with monkeypatch.context() as patch:
                patch.setattr(round_.core.a2.tokens, "check", check_and_save)
                with pytest.raises(SidecarError) as caught:
                    await round_.call(tool, **asked, token=preview["token"])
            assert caught.value.kind == "stale-token"
            assert {"preview", "token"} <= caught.value.details.keys()
            assert (repo / "app.py").read_text().endswith(MINE)
        assert (repo / "app.py").read_text().count(MINE) == 3
        await round_.call(tool, **asked, token=caught.value.details["token"])
        assert MINE not in (repo / "app.py").read_text()


async def test_a_conflict_that_two_repair_at_once_is_repaired_once(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_round(repo) as round_:
        one, _, conflict = await collide(round_, repo)
        act, checked, go_on = round_.core.a2.plans.act, [], asyncio.Event()

        async def act_together(*args: Any) -> Any:
            checked.append(args)
            if len(checked) == 2:
                go_on.set()
            await asyncio.wait_for(go_on.wait(), 60)
            return await act(*args)

        monkeypatch.setattr(round_.core.a2.plans, "act", act_together)
        asked = {"conflictId": conflict["conflictId"], "strategy": "keep", "jobId": one["jobId"]}
        tokens = [(await round_.call("codex_resolve", **asked))["token"] for _ in range(2)]
        both = [round_.call("codex_resolve", **asked, token=token) for token in tokens]
        answers = await asyncio.gather(*both, return_exceptions=True)
        (done,) = [answer for answer in answers if isinstance(answer, dict)]
        (refused,) = [answer for answer in answers if isinstance(answer, SidecarError)]
        assert done["files"] == ["app.py"]
        assert refused.kind == "unknown-conflict"
        assert len((await round_.call("codex_snapshots"))["snapshots"]) == 1


async def test_what_is_saved_while_a_merge_by_hand_is_written_is_not_touched(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_round(repo) as round_:
        _, _, conflict = await collide(round_, repo)
        found = await _inputs(round_, conflict)
        store = editor_merges.store_bytes

        def save_and_store(*args: Any) -> str:
            save(repo)
            return store(*args)

        asked = {"conflictId": conflict["conflictId"], "text": "merged\n", "expectedHash": found["diskHash"]}
        with monkeypatch.context() as patch:
            patch.setattr(editor_merges, "store_bytes", save_and_store)
            with pytest.raises(SidecarError) as caught:
                await round_.call("codex_apply_merge", **asked)
        assert caught.value.kind == "stale-token"
        assert (repo / "app.py").read_text().endswith(MINE)
        again = await _inputs(round_, conflict)
        with pytest.raises(SidecarError, match="text") as caught:
            await round_.call("codex_apply_merge", **{**asked, "text": "\ud800", "expectedHash": again["diskHash"]})
        assert caught.value.kind == "invalid-arguments"


async def test_a_merge_by_hand_waits_for_the_workers(repo: Path) -> None:
    async with open_round(repo) as round_:
        ends = gate(repo, "end")
        jobs = [
            await round_.write("first", edit(2, "two"), report("app.py") | ends),
            await round_.write("second", edit(9, "nine") | gate(repo, "known"), report("app.py") | ends),
        ]
        await known(round_, "app.py")
        (repo.parent / "known").touch()
        await until(lambda: round_.core.a2.conflicts(), "a conflict while both run")
        (conflict,) = await round_.conflicts()
        found = await _inputs(round_, conflict)
        asked = {"conflictId": conflict["conflictId"], "text": "merged\n", "expectedHash": found["diskHash"]}
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_apply_merge", **asked)
        assert caught.value.kind == "busy"
        assert "merged" not in (repo / "app.py").read_text()
        (repo.parent / "end").touch()
        assert await round_.ended(*jobs) == ["done", "done"]


async def _inputs(round_: Round, conflict: dict[str, Any]) -> dict[str, Any]:
    return await round_.call("codex_merge_inputs", conflictId=conflict["conflictId"])


@pytest.mark.parametrize("how", ["files", "jobs"])
async def test_no_run_begins_or_closes_while_it_is_repaired(repo: Path, how: str) -> None:
    async with open_round(repo) as round_:
        a2 = round_.core.a2

        async def run_of_new_job() -> str:
            job = await round_.write("nothing", report())
            assert await round_.ended(job) == ["done"]
            await a2.ends_known()
            return (await round_.core.manager.job(job["jobId"])).run_id or ""

        first = await run_of_new_job()
        if how == "files":
            await a2.repairing.acquire()
        else:
            a2.rerunning += 1
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_baseline", begin=True)
        assert caught.value.kind == "busy"
        assert await run_of_new_job() == first
        if how == "files":
            a2.repairing.release()
        else:
            a2.rerunning -= 1
        assert await run_of_new_job() != first, "nothing differs from the baseline any more"
