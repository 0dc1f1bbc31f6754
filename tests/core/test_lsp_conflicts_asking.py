"""Questions to the person at an editor without dialogs: nothing is undone that was not agreed to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sidecar.a2 import dialogs, messages
from sidecar.lsp import notices
from sidecar.lsp.asking import WRITE_MARKERS
from tests.support.lsp import PATIENCE, RawClient, eventually
from tests.support.lsp_conflicts import RUN, World, overlap, problem, span, world

__all__ = ["world"]

ASK = "window/showMessageRequest"
SHOW = "window/showDocument"
SHOWS = {"window": {"showDocument": {"support": True}}}
KEEP = {"conflictId": "c:src/app.py", "strategy": "keep", "jobId": "job-w1", "ask": True}


def answer(client: RawClient, question: dict[str, Any], title: str | None) -> None:
    result = None if title is None else {"title": title}
    client.send({"jsonrpc": "2.0", "id": question["id"], "result": result})


async def question(client: RawClient, after: int = 0) -> dict[str, Any]:
    return await client.wait_for_method(ASK, after)


def questions(client: RawClient) -> list[dict[str, Any]]:
    return client.of_method(ASK)


# -- two steps --------------------------------------------------------------------------------------------------------


async def test_a_code_action_asks_and_acts_when_agreed_to(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        reply = await client.call("codex_resolve", KEEP)
        assert reply["result"]["preview"]["text"] == "keep src/app.py?"
        assert reply["result"]["token"]
        asked = await question(client)
        assert asked["params"] == {
            "type": 2,
            "message": "keep src/app.py?",
            "actions": [{"title": 'Keep w1 "add retries"'}],
        }
        assert world.a2.acts == []
        answer(client, asked, 'Keep w1 "add retries"')
        await eventually(lambda: bool(world.a2.acts))
        done = {"conflictId": "c:src/app.py", "strategy": "keep", "jobId": "job-w1"}
        assert world.a2.acts == [("resolve", done)]


@pytest.mark.parametrize("title", [None, "Something else"])
async def test_without_agreement_nothing_happens(world: World, title: str | None) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        await client.call("codex_resolve", KEEP)
        answer(client, await question(client), title)
        await client.request("codexSidecar/getState")
        await asyncio.sleep(0.05)
        assert world.a2.acts == []
        assert len(questions(client)) == 1


async def test_a_client_that_cannot_ask_changes_nothing(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        await client.call("codex_resolve", KEEP)
        asked = await question(client)
        client.send({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}})
        await client.request("codexSidecar/getState")
        assert world.a2.acts == []


async def test_plain_tools_never_ask(world: World) -> None:
    plain = {name: value for name, value in KEEP.items() if name != "ask"}
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        for given in (plain, {**plain, "ask": False}):
            preview = (await client.call("codex_resolve", given))["result"]
        for name, more in (("codex_rollback", {}), ("codex_rerun", {}), ("codex_restore", {"snapshotId": "s"})):
            assert (await client.call(name, more))["result"]["token"]
        preview = (await client.call("codex_resolve", plain))["result"]
        reply = await client.call("codex_resolve", {**plain, "token": preview["token"]})
        assert reply["result"]["snapshotId"] == "s1"
        assert questions(client) == []


async def test_with_a_token_there_is_nothing_to_ask(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        preview = (await client.call("codex_resolve", {**KEEP, "ask": False}))["result"]
        await client.call("codex_resolve", {**KEEP, "token": preview["token"]})
        assert len(world.a2.acts) == 1
        assert questions(client) == []


@pytest.mark.parametrize(
    ("name", "given", "button"),
    [
        ("codex_rollback", {"paths": ["a"]}, dialogs.SAVE_AND_ROLL_BACK),
        ("codex_rerun", {}, dialogs.ROLL_BACK_AND_RERUN),
        ("codex_restore", {"snapshotId": "s0"}, dialogs.SAVE_AND_RESTORE),
    ],
)
async def test_every_tool_in_two_steps_can_ask(world: World, name: str, given: dict[str, Any], button: str) -> None:
    async with world.editor() as client:
        await client.call(name, {**given, "ask": True})
        asked = await question(client)
        assert asked["params"]["actions"] == [{"title": button}]
        answer(client, asked, button)
        await eventually(lambda: bool(world.a2.acts))
        assert world.a2.acts[0][0] == name.removeprefix("codex_")


@pytest.mark.parametrize(
    ("strategy", "button"),
    [
        ("merge", "Merge w1 and w2"),
        ("reconcile", "Let a worker reconcile w1 and w2"),
        ("rerun", "Roll back src/app.py and re-run w1, then w2"),
    ],
)
async def test_the_button_says_what_it_does(world: World, strategy: str, button: str) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information", mergeable=True))
        await client.call("codex_resolve", {"conflictId": "c:src/app.py", "strategy": strategy, "ask": True})
        assert (await question(client))["params"]["actions"] == [{"title": button}]


async def test_what_has_moved_meanwhile_is_asked_again(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        await client.call("codex_resolve", KEEP)
        first = await question(client)
        world.a2.moved = True
        count = len(client.received)
        answer(client, first, 'Keep w1 "add retries"')
        second = await question(client, count)
        assert second["params"]["message"] == "keep src/app.py? (again)"
        assert world.a2.acts == []
        answer(client, second, 'Keep w1 "add retries"')
        await eventually(lambda: bool(world.a2.acts))


async def test_a_failure_after_the_answer_is_shown(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        await client.call("codex_resolve", KEEP)
        asked = await question(client)
        world.a2.drop()
        answer(client, asked, 'Keep w1 "add retries"')
        told = await client.wait_for_method("window/showMessage")
        assert told["params"] == {"type": 1, "message": "There is no such conflict."}


async def test_a_failure_before_the_question_is_the_commands(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information", live=True))
        error = (await client.call("codex_resolve", KEEP))["error"]
        assert error["data"]["kind"] == "busy"
        assert questions(client) == []


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("codex_resolve", {**KEEP, "ask": "yes"}, "ask"),
        ("codex_status", {"ask": True}, "ask"),
        ("codex_conflicts", {"show": "compare"}, "show"),
        ("codex_merge_inputs", {"conflictId": "c", "show": "all"}, "show"),
        ("codex_merge_inputs", {"conflictId": "c", "ask": True}, "ask"),
    ],
)
async def test_the_fields_for_questions_are_checked(world: World, name: str, given: Any, field: str) -> None:
    async with world.editor() as client:
        error = (await client.call(name, given))["error"]
        assert error["data"]["kind"] == "invalid-arguments"
        assert error["data"]["details"]["field"] == field


async def test_an_open_question_holds_up_nothing(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information"))
        await client.call("codex_resolve", KEEP)
        await question(client)
        await client.call("codex_rollback", {"ask": True})
        await eventually(lambda: len(questions(client)) == 2)
        assert (await client.request("shutdown"))["result"] is None
        client.notify("exit")
        await asyncio.wait_for(client.ended.wait(), PATIENCE)
        assert world.a2.acts == []


# -- showing ----------------------------------------------------------------------------------------------------------


def versions(world: World) -> None:
    world.a2.versions |= {
        ("src/app.py", "base"): b"zero\n",
        ("src/app.py", "w1"): b"one\nsame\n",
        ("src/app.py", "w2"): b"two\nsame\n",
    }


COMPARE = {"conflictId": "c:src/app.py", "jobIds": ["job-w1", "job-w2"], "show": "compare"}


async def test_two_versions_are_compared_as_a_document(world: World) -> None:
    versions(world)
    async with world.editor(capabilities=SHOWS) as client:
        client.answers[SHOW] = lambda params: {"success": True}
        world.a2.put(overlap(severity="information"))
        reply = await client.call("codex_merge_inputs", COMPARE)
        assert [one["label"] for one in reply["result"]["versions"]] == ["w1", "w2"]
        shown = await client.wait_for_method(SHOW)
        path = shown["params"]["uri"].removeprefix("file://")
        with open(path) as file:
            assert file.read() == "--- w1/src/app.py\n+++ w2/src/app.py\n@@ -1,2 +1,2 @@\n-one\n+two\n same\n"
        assert shown["params"]["takeFocus"] is True
        assert client.of_method("window/showMessage") == []


@pytest.mark.parametrize("can_show", [False, True])
async def test_an_editor_that_opens_nothing_is_told_where_it_is(world: World, can_show: bool) -> None:
    versions(world)
    async with world.editor(capabilities=SHOWS if can_show else None) as client:
        client.answers[SHOW] = lambda params: {"success": False}
        world.a2.put(overlap(severity="information"))
        await client.call("codex_merge_inputs", COMPARE)
        told = await client.wait_for_method("window/showMessage")
        assert "w1 and w2" in told["params"]["message"]
        assert "file://" in told["params"]["message"]


async def test_a_client_with_documents_of_its_own_shows_them_itself(world: World) -> None:
    versions(world)
    async with world.editor({"virtualDocs": True, "mergeEditor": True}, SHOWS) as client:
        world.a2.put(overlap(severity="information"))
        for given in (COMPARE, {"conflictId": "c:src/app.py", "show": "merge"}):
            assert (await client.call("codex_merge_inputs", given))["result"]["marked"]
        await client.request("codexSidecar/getState")
        await asyncio.sleep(0.05)
        assert not any("id" in one and "method" in one for one in client.received)


async def test_a_merge_by_hand_begins_with_markers_in_the_file(world: World) -> None:
    versions(world)
    async with world.editor(capabilities=SHOWS) as client:
        client.answers[SHOW] = lambda params: {"success": True}
        world.a2.put(overlap(severity="information"))
        await client.call("codex_merge_inputs", {"conflictId": "c:src/app.py", "show": "merge"})
        asked = await question(client)
        assert "w1 and w2 into src/app.py" in asked["params"]["message"]
        answer(client, asked, WRITE_MARKERS)
        shown = await client.wait_for_method(SHOW)
        assert shown["params"]["uri"] == world.uri("src/app.py")
        ((_, merged),) = world.a2.acts
        told = await client.wait_for_method("window/showMessage")
        kept = "What was there before is kept as refs/codex-sidecar/snapshots/s1."
        assert told["params"] == {"type": 3, "message": kept}
        assert merged["text"].startswith("<<<<<<< w1")
        assert merged["expectedHash"] == "hash"


@pytest.mark.parametrize("moved", [False, True])
async def test_a_merge_that_is_declined_or_too_late_writes_nothing(world: World, moved: bool) -> None:
    versions(world)
    async with world.editor(capabilities=SHOWS) as client:
        world.a2.put(overlap(severity="information"))
        await client.call("codex_merge_inputs", {"conflictId": "c:src/app.py", "show": "merge"})
        asked = await question(client)
        world.a2.moved = moved
        answer(client, asked, WRITE_MARKERS if moved else None)
        if moved:
            told = await client.wait_for_method("window/showMessage")
            assert told["params"]["type"] == 1
        else:
            await client.request("codexSidecar/getState")
        assert world.a2.acts == []


# -- notices ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "COLLECT_SECONDS", 0.15)


@pytest.mark.usefixtures("quick")
async def test_conflicts_are_told_once_a_run_and_together(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap())
        world.a2.put(overlap("other.py"))
        asked = await question(client)
        assert asked["params"]["message"] == "2 files were changed by more than one worker."
        assert [one["title"] for one in asked["params"]["actions"]] == ["Review", "Later"]
        answer(client, asked, "Later")
        world.a2.put(overlap("third.py"))
        await asyncio.sleep(0.4)
        assert len(questions(client)) == 1
        world.core.set_run("run-2")
        world.a2.publish()
        await eventually(lambda: len(questions(client)) == 2)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("ui", "facts"),
    [
        ({"dialogs": True}, {}),
        (None, {"confirmed": False}),
        (None, {"severity": "information"}),
        (None, {"kind": "same-file-edit"}),
    ],
)
async def test_there_is_no_notice(world: World, ui: Any, facts: dict[str, Any]) -> None:
    async with world.editor(ui) as client:
        world.a2.put(overlap(**facts))
        await problem(client, world.uri("src/app.py"))
        await asyncio.sleep(0.4)
        assert questions(client) == []


@pytest.mark.usefixtures("quick")
async def test_a_conflict_that_goes_at_once_is_no_news(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap())
        world.a2.drop()
        await asyncio.sleep(0.4)
        assert questions(client) == []
        world.a2.put(overlap())
        asked = await question(client)
        assert asked["params"]["message"] == "w1 and w2 changed the same lines in src/app.py."


@pytest.mark.usefixtures("quick")
async def test_review_opens_the_worst_conflict_at_its_lines(world: World) -> None:
    async with world.editor(capabilities=SHOWS) as client:
        client.answers[SHOW] = lambda params: {"success": True}
        world.a2.put(overlap())
        answer(client, await question(client), "Review")
        shown = await client.wait_for_method(SHOW)
        assert shown["params"]["uri"] == world.uri("src/app.py")
        assert shown["params"]["selection"] == span((2, 0), (4, 6))


@pytest.mark.usefixtures("quick")
async def test_review_says_it_where_nothing_can_be_opened(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap())
        answer(client, await question(client), "Review")
        told = await client.wait_for_method("window/showMessage")
        assert told["params"]["message"] == messages.diagnostic(overlap())


@pytest.mark.usefixtures("quick")
async def test_a_window_that_opens_again_does_not_repeat_what_was_answered(world: World) -> None:
    world.a2.put(overlap())
    async with world.editor() as client:
        await question(client)
    async with world.editor() as client:
        answer(client, await question(client), "Later")
        await client.request("codexSidecar/getState")
    async with world.editor() as client:
        await problem(client, world.uri("src/app.py"))
        await asyncio.sleep(0.4)
        assert questions(client) == []
    assert world.core.run == {"runId": RUN, "head": "0" * 40}
