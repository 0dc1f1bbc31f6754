"""Actions on conflicts: resolving, comparing and merging, asked by the server and answered by a scripted person."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.a2.dialogs import ROLL_BACK_AND_RERUN
from sidecar.lsp.documents import merge_uri
from sidecar.lsp.flows import texts
from sidecar.model.errors import SidecarError, invalid
from tests.support.flows import put
from tests.support.lsp_conflicts import World, conflict, overlap, worker, world
from tests.support.person import item, person_at

__all__ = ["world"]

ID = "c:src/app.py"
TARGET = {"conflictId": ID}
BASE = "codex-sidecar:/src/app.py?run=run-1&side=base"
W1 = "codex-sidecar:/src/app.py?run=run-1&side=w1"
W2 = "codex-sidecar:/src/app.py?run=run-1&side=w2"


@pytest.fixture
def collided(world: World) -> World:
    """Two workers that changed the same lines, with stored versions."""
    world.a2.put(overlap())
    world.a2.versions.update({
        ("src/app.py", "base"): b"base\n",
        ("src/app.py", "w1"): b"one\n",
        ("src/app.py", "w2"): b"two\n",
        ("src/app.py", "w3"): b"three\n",
    })  # fmt: skip
    put(world, "w1", "done", "src/app.py", finishedAt="2026-11-22T14:02:11.000Z")
    put(world, "w2", "done", "src/app.py")
    return world


def three(**more: Any) -> Any:
    return conflict("src/app.py", worker("w1", (3, 5)), worker("w2", (4, 4)), worker("w3", (4, 5)), **more)


# -- choosing and opening ---------------------------------------------------------------------------------------------


async def test_a_conflict_opens_at_its_first_line(collided: World) -> None:
    async with person_at(collided.core) as person:
        (shown,) = await person.does("openConflict", TARGET)
        assert (shown["kind"], shown["uri"], shown["line"]) == ("open", collided.uri("src/app.py"), 2)


async def test_a_file_that_is_gone_opens_as_what_was_written(world: World) -> None:
    world.a2.put(conflict("gone.py", worker("w1", (1, 1)), worker("w2", role="deleted"), kind="edit-and-delete"))
    async with person_at(world.core) as person:
        (shown,) = await person.does("openConflict", {"conflictId": "c:gone.py"})
        assert (shown["kind"], shown["left"]) == ("diff", None)
        assert shown["right"] == "codex-sidecar:/gone.py?run=run-1&side=w1"


async def test_the_file_is_asked_for_where_none_is_named(collided: World) -> None:
    collided.a2.put(overlap("b.py"))
    async with person_at(collided.core) as person:
        seen = await person.picks("src/app.py").does("openConflict")
        assert [(one["label"], one["description"]) for one in seen[0]["items"]] == [
            ("src/app.py", "w1 and w2 changed the same lines"),
            ("b.py", "w1 and w2 changed the same lines"),
        ]
        assert seen[1]["uri"] == collided.uri("src/app.py")


async def test_the_ways_to_resolve_are_those_of_the_code_actions(collided: World) -> None:
    async with person_at(collided.core) as person:
        (asked,) = await person.dismisses("pick").does("resolveConflict", TARGET)
        assert asked["title"] == "How do you want to resolve src/app.py?"
        assert [one["label"] for one in asked["items"]] == [
            "Merge w1 and w2...",
            'Keep w1 "add retries"',
            'Keep w2 "typed errors"',
            "Compare w1 with w2",
            "Let a worker reconcile w1 and w2...",
            "Roll back src/app.py and re-run w1, then w2...",
            "Mark as resolved",
        ]
        assert collided.a2.acts == []


# -- resolving --------------------------------------------------------------------------------------------------------


async def test_keep_asks_with_the_text_of_the_preview(collided: World) -> None:
    async with person_at(collided.core) as person:
        seen = await person.picks("Keep w2").clicks('Keep w2 "typed errors"').does("resolveConflict", TARGET)
        assert seen[1]["message"] == "keep src/app.py?"
        assert collided.a2.acts == [("resolve", {"conflictId": ID, "strategy": "keep", "jobId": "job-w2"})]


@pytest.mark.parametrize(
    ("label", "strategy"),
    [("Let a worker", "reconcile"), ("Roll back src/app.py", "rerun")],
)
async def test_other_strategies_carry_their_own_button(collided: World, label: str, strategy: str) -> None:
    async with person_at(collided.core) as person:
        seen = await person.picks(label).dismisses("modal").does("resolveConflict", TARGET)
        title = item(seen[0], label)["label"].removesuffix("...")
        assert seen[1]["buttons"][0]["label"] == title
        assert collided.a2.acts == []
        await person.picks(label).clicks(title).does("resolveConflict", TARGET)
        assert collided.a2.acts[0][1]["strategy"] == strategy


def ended(world: World, *labels: str) -> World:
    for label in labels:
        put(world, label, "done", "src/app.py")
    return world


async def test_enter_runs_the_workers_again_in_the_order_of_their_spawn(collided: World) -> None:
    async with person_at(ended(collided, "w1", "w2").core) as person:
        seen = await person.picks("").dismisses("modal").does("rerunSequential")
        assert [(one["label"], one["detail"]) for one in seen[0]["items"]] == [
            ("w1, then w2", "title of w1, title of w2"),
            ("w2 first", "w2, then w1"),
        ]
        assert collided.a2.acts == []
        await person.picks("").clicks(ROLL_BACK_AND_RERUN).does("rerunSequential")
        assert collided.a2.acts == [("rerun", {"jobIds": None})]


async def test_the_order_of_a_rerun_is_chosen(collided: World) -> None:
    async with person_at(ended(collided, "w1", "w2").core) as person:
        await person.dismisses("pick").does("rerunSequential")
        seen = await person.picks("w2 first").clicks(ROLL_BACK_AND_RERUN).does("rerunSequential")
        assert [one["kind"] for one in seen] == ["pick", "modal"], "of two there is nothing left to choose"
        assert collided.a2.acts == [("rerun", {"jobIds": ["job-w2", "job-w1"], "order": "given"})]


async def test_any_order_of_three_can_be_chosen(collided: World) -> None:
    collided.a2.put(overlap(), conflict("b.py", worker("w2", (1, 1)), worker("w3", (1, 1))))
    async with person_at(ended(collided, "w1", "w2", "w3").core) as person:
        seen = (
            await person.picks("w2 first")
            .picks("w3 first")
            .picks("")
            .clicks(ROLL_BACK_AND_RERUN)
            .does("rerunSequential")
        )
        assert [one["items"][0]["label"] for one in seen[:3]] == [
            "w1, then w2, then w3",
            "w2, then w1, then w3",
            "w3, then w2, then w1",
        ]
        assert [one["detail"] for one in seen[1]["items"][1:]] == ["w1, then w2, then w3", "w3, then w2, then w1"]
        assert collided.a2.acts[0][1]["jobIds"] == ["job-w3", "job-w2", "job-w1"]


async def test_a_worker_that_still_runs_is_put_in_no_order(collided: World) -> None:
    put(ended(collided, "w1"), "w2", "running")
    async with person_at(collided.core) as person:
        (asked,) = await person.dismisses("modal").does("rerunSequential")
        assert asked["message"] == "Roll back and run again?"


async def test_what_has_moved_meanwhile_is_asked_again(collided: World) -> None:
    async with person_at(collided.core) as person:

        def late(asked: dict[str, Any]) -> Any:
            collided.a2.moved = True
            return {"id": "act"}

        person.unasked.append(("modal", late))
        seen = await person.clicks('Keep w1 "add retries"').does("keepVersion", {**TARGET, "jobId": "job-w1"})
        assert [one["message"] for one in seen] == ["keep src/app.py?", "keep src/app.py? (again)"]
        assert len(collided.a2.acts) == 1


async def test_escape_at_the_second_text_changes_nothing(collided: World) -> None:
    async with person_at(collided.core) as person:

        def late(asked: dict[str, Any]) -> Any:
            collided.a2.moved = True
            return {"id": "act"}

        person.unasked.append(("modal", late))
        await person.dismisses("modal").does("keepVersion", {**TARGET, "jobId": "job-w1"})
        assert collided.a2.acts == []


async def test_keep_without_a_worker_asks_which(collided: World) -> None:
    async with person_at(collided.core) as person:
        seen = await person.picks("Keep w1").dismisses("modal").does("keepVersion", TARGET)
        assert [one["label"] for one in seen[0]["items"]] == ['Keep w1 "add retries"', 'Keep w2 "typed errors"']
        assert collided.a2.acts == []


async def test_mark_as_resolved_asks_nothing(collided: World) -> None:
    async with person_at(collided.core) as person:
        assert await person.does("dismissConflict", TARGET) == []
        assert collided.a2.acts[0][1]["strategy"] == "dismiss"


async def test_a_code_action_runs_the_same_flow(collided: World) -> None:
    async with person_at(collided.core) as person:
        target = {"conflictId": ID, "strategy": "keep", "jobId": "job-w1"}
        await person.clicks('Keep w1 "add retries"').does("codex_resolve", target)
        assert collided.a2.acts == [("resolve", target)]


# -- while a worker runs ----------------------------------------------------------------------------------------------


@pytest.fixture
def running(collided: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """w1 still runs; waiting for it makes it end."""
    from tests.support.flows import Calls

    calls = Calls(monkeypatch, "codex_cancel")
    collided.cancels = calls  # type: ignore[attr-defined]
    collided.a2.put(overlap(live=True, severity="information"))
    put(collided, "w1", "running", "src/app.py")

    from dataclasses import replace

    from sidecar.model.outputs import WaitAnyOutput
    from sidecar.tools import table

    async def wait(caller: Any, asked: Any) -> WaitAnyOutput:
        put(collided, "w1", "done", "src/app.py")
        collided.a2.put(overlap())
        return WaitAnyOutput(
            completed_job_id="job-w1", label="w1", status="done", timed_out=False, remaining_job_ids=[],
            missing_job_ids=[],
        )  # fmt: skip

    monkeypatch.setitem(table.BY_NAME, "codex_wait_any", replace(table.BY_NAME["codex_wait_any"], handler=wait))
    return collided


@pytest.mark.parametrize("action", ["merge", "keepVersion", "resolveConflict"])
async def test_a_worker_that_may_still_change_the_file_is_named(running: World, action: str) -> None:
    async with person_at(running.core) as person:
        if action == "resolveConflict":
            person.picks("Keep w1")
        seen = await person.dismisses("modal").does(action, {**TARGET, "jobId": "job-w1"})
        assert seen[-1]["message"] == "w1 is still running and may change src/app.py."
        assert [one["label"] for one in seen[-1]["buttons"]] == ["Wait for w1", "Cancel w1"]
        assert running.a2.acts == []
        assert running.cancels.made == []  # type: ignore[attr-defined]


async def test_after_a_wait_nothing_opens_before_the_person_says_so(running: World) -> None:
    async with person_at(running.core) as person:
        seen = await person.clicks("Wait for w1").clicks(texts.GO_ON, "toast").does("merge", TARGET)
        assert seen[1]["message"] == "w1 has ended; src/app.py can be resolved now."
        assert seen[2]["kind"] == "merge"
        assert running.cancels.made == []  # type: ignore[attr-defined]


async def test_a_dismissed_notice_after_a_wait_opens_nothing(running: World) -> None:
    async with person_at(running.core) as person:
        seen = await person.clicks("Wait for w1").dismisses("toast").does("merge", TARGET)
        assert [one["kind"] for one in seen] == ["modal", "toast"]


async def test_a_worker_can_be_cancelled_for_a_merge(running: World) -> None:
    async with person_at(running.core) as person:
        seen = await person.clicks("Cancel w1").does("merge", TARGET)
        assert running.cancels.names == ["codex_cancel"]  # type: ignore[attr-defined]
        assert seen[-1]["kind"] == "merge"


# -- comparing --------------------------------------------------------------------------------------------------------


async def test_two_versions_are_compared(collided: World) -> None:
    async with person_at(collided.core) as person:
        _, shown = await person.picks("Compare").does("resolveConflict", TARGET)
        assert (shown["left"], shown["right"], shown["title"]) == (W1, W2, "src/app.py (w1 ↔ w2)")
        (again,) = await person.does("codex_merge_inputs", {**TARGET, "show": "compare"})
        assert again == shown


async def test_of_three_versions_the_pair_is_asked_for(collided: World) -> None:
    collided.a2.put(three())
    async with person_at(collided.core) as person:
        seen = await person.picks("w1 · w3").does("compare", TARGET)
        assert [one["label"] for one in seen[0]["items"]] == ["w1 · w2", "w1 · w3", "w2 · w3"]
        assert (seen[1]["left"], seen[1]["right"]) == (W1, W2.replace("w2", "w3"))


# -- merging ----------------------------------------------------------------------------------------------------------


async def test_the_merge_editor_gets_everything_that_it_shows(collided: World) -> None:
    async with person_at(collided.core) as person:
        (shown,) = await person.does("merge", TARGET)
        detail = shown["inputs"][0].pop("detail")
        assert detail.startswith("finished ")
        assert shown == {
            "kind": "merge",
            "conflictId": ID,
            "jobIds": ["job-w1", "job-w2"],
            "path": "src/app.py",
            "base": BASE,
            "inputs": [
                {"uri": W1, "title": "w1 add retries", "description": "worker w1"},
                {"uri": W2, "title": "w2 typed errors", "description": "worker w2", "detail": ""},
            ],
            "output": merge_uri("src/app.py", collided.core.top),
            "marked": "<<<<<<< w1\none\n=======\ntwo\n>>>>>>> w2\n",
            "expectedHash": "hash",
        }
        assert collided.a2.acts == []


async def test_of_three_versions_two_are_merged_at_a_time(collided: World) -> None:
    collided.a2.put(three())
    async with person_at(collided.core) as person:
        seen = await person.picks("w1 · w2").does("merge", TARGET)
        assert seen[0]["items"][0]["label"] == "All, two at a time: w1 and w2, then w3"
        assert seen[1]["title"] == "Merge 1 of 2"
        assert seen[1]["jobIds"] == ["job-w1", "job-w2"]
        collided.a2.acts.clear()
        assert len(await person.dismisses("pick").does("merge", TARGET)) == 1


async def test_a_side_that_joins_others_is_the_text_itself(collided: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from sidecar.model.a2_outputs import MergeInputsOutput, VersionOutput

    collided.a2.put(three())

    async def inputs(conflict_id: str, job_ids: Any) -> MergeInputsOutput:
        return MergeInputsOutput(
            path="src/app.py",
            base=None,
            versions=[
                VersionOutput(job_id="job-w1", label="w1", title="add retries", text="one and two\n", joined=True),
                VersionOutput(job_id="job-w3", label="w3", title="rename config", text="three\n"),
            ],
            marked="m",
            conflicts=1,
            disk_hash="h",
        )

    monkeypatch.setattr(collided.a2, "merge_inputs", inputs)
    async with person_at(collided.core) as person:
        shown = (await person.picks("All").does("merge", TARGET))[-1]
        assert [one["title"] for one in shown["inputs"]] == [texts.JOINED, "w3 rename config"]
        assert shown["title"] == "Merge 2 of 2"
        for uri, text in ((shown["inputs"][0]["uri"], "one and two\n"), (shown["base"], "")):
            reply = await person.client.request("workspace/textDocumentContent", {"uri": uri})
            assert reply["result"]["text"] == text


async def test_what_is_no_text_is_kept_from_one_side(collided: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def inputs(conflict_id: str, job_ids: Any) -> Any:
        raise invalid("conflictId", "src/app.py cannot be merged as text", "Use keep.")

    monkeypatch.setattr(collided.a2, "merge_inputs", inputs)
    async with person_at(collided.core) as person:
        seen = await person.picks("Keep w2").clicks('Keep w2 "typed errors"').does("merge", TARGET)
        assert [one["label"] for one in seen[0]["items"]] == [
            'Keep w1 "add retries"',
            'Keep w2 "typed errors"',
            "Keep the baseline's version...",
        ]
        assert collided.a2.acts[0][1] == {"conflictId": ID, "strategy": "keep", "jobId": "job-w2"}


async def test_a_removed_file_can_go_back_to_the_baseline(world: World) -> None:
    kept = worker("w1", (1, 1)), worker("w2", role="deleted")
    world.a2.put(conflict("src/app.py", *kept, kind="edit-and-delete"))
    async with person_at(world.core) as person:
        person.picks("Keep the baseline").clicks("Save Snapshot and Roll Back")
        await person.does("merge", TARGET)
        assert world.a2.acts == [("rollback", {"paths": ["src/app.py"], "jobIds": None})]


async def test_escape_keeps_no_version(world: World) -> None:
    world.a2.put(conflict("src/app.py", worker("w1"), worker("w2", role="deleted"), kind="edit-and-delete"))
    async with person_at(world.core) as person:
        await person.dismisses("pick").does("merge", TARGET)
        await person.picks("Keep the baseline").dismisses("modal").does("merge", TARGET)
        assert world.a2.acts == []


# -- finishing a merge ------------------------------------------------------------------------------------------------

FINISH = {"conflictId": ID, "jobIds": ["job-w1", "job-w2"], "text": "merged\n", "expectedHash": "hash"}


async def test_a_finished_merge_is_written(collided: World) -> None:
    async with person_at(collided.core) as person:
        assert await person.does("finishMerge", FINISH) == []
        assert collided.a2.acts == [("apply_merge", {"text": "merged\n", "expectedHash": "hash"})]


async def test_text_and_hash_may_stand_beside_the_target(collided: World) -> None:
    async with person_at(collided.core) as person:
        params = {"action": "finishMerge", "target": TARGET, "text": "merged\n", "expectedHash": "hash"}
        assert (await person.client.request("codexSidecar/act", params))["result"] == {}
        assert collided.a2.acts[0][1]["text"] == "merged\n"


class Moving:
    """`codex_apply_merge` that takes only the newest hash."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.hash = world, "new"
        apply, inputs = world.a2.apply_merge, world.a2.merge_inputs

        async def apply_merge(conflict_id: str, text: str, expected_hash: str) -> Any:
            if expected_hash != self.hash:
                raise SidecarError("stale-token", "src/app.py changed on disk.", "Again.")
            return await apply(conflict_id, text, expected_hash)

        async def merge_inputs(conflict_id: str, job_ids: Any) -> Any:
            from msgspec.structs import replace

            return replace(await inputs(conflict_id, job_ids), disk_hash=self.hash)

        monkeypatch.setattr(world.a2, "apply_merge", apply_merge)
        monkeypatch.setattr(world.a2, "merge_inputs", merge_inputs)


async def test_a_file_that_moved_is_overwritten_only_when_told_to(
    collided: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Moving(collided, monkeypatch)
    async with person_at(collided.core) as person:
        asked, again = await person.dismisses("toast").does("finishMerge", FINISH)
        assert (again["kind"], again["marked"], again["expectedHash"]) == ("merge", "merged\n", "hash"), "it is kept"
        assert asked["severity"] == "warning"
        assert asked["message"] == "src/app.py changed on disk while you were merging."
        assert [one["label"] for one in asked["buttons"]] == ["Compare", "Merge Again", "Overwrite (snapshot kept)"]
        assert collided.a2.acts == []
        await person.clicks("Overwrite (snapshot kept)", "toast").does("finishMerge", FINISH)
        assert collided.a2.acts == [("apply_merge", {"text": "merged\n", "expectedHash": "new"})]


async def test_a_file_that_moved_can_be_compared_and_merged_again(
    collided: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Moving(collided, monkeypatch)
    async with person_at(collided.core) as person:
        person.clicks("Compare", "toast").clicks("Merge Again", "toast")
        seen = await person.does("finishMerge", FINISH)
        assert [one["kind"] for one in seen] == ["toast", "diff", "toast", "merge"]
        assert seen[1]["left"] == collided.uri("src/app.py")
        reply = await person.client.request("workspace/textDocumentContent", {"uri": seen[1]["right"]})
        assert reply["result"]["text"] == "merged\n"
        assert seen[3]["expectedHash"] == "new"
        assert collided.a2.acts == []


async def test_a_merge_in_part_offers_the_next_one(collided: World, monkeypatch: pytest.MonkeyPatch) -> None:
    collided.a2.put(three())
    monkeypatch.setattr(collided.a2, "drop", lambda *ids: None)
    async with person_at(collided.core) as person:
        seen = await person.clicks(texts.MERGE_NEXT, "toast").does("finishMerge", FINISH)
        assert seen[0]["message"] == texts.merged_in_part("src/app.py")
        assert seen[1]["kind"] == "merge"
        assert len(await person.dismisses("toast").does("finishMerge", FINISH)) == 1


@pytest.mark.parametrize("missing", ["conflictId", "text", "expectedHash"])
async def test_a_merge_without_its_parts_is_refused(collided: World, missing: str) -> None:
    async with person_at(collided.core) as person:
        reply = await person.acts("finishMerge", {name: one for name, one in FINISH.items() if name != missing})
        assert reply["error"]["data"]["kind"] == "invalid-arguments"
        assert collided.a2.acts == []
