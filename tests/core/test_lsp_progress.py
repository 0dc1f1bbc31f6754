"""One `$/progress` for the whole run."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from sidecar.lsp import protocol
from sidecar.lsp.progress import Tally
from tests.support.lsp import PATIENCE, RawClient, ScriptedCore, connected, eventually, fast_state

CAN = {"window": {"workDoneProgress": True}}
CREATE = "window/workDoneProgress/create"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)


def values(client: RawClient) -> list[tuple[str, dict[str, Any]]]:
    return [(note["token"], note["value"]) for note in client.of_method("$/progress")]


def shown(client: RawClient, kind: str, number: int) -> bool:
    return sum(value["kind"] == kind for _, value in values(client)) == number


async def until(client: RawClient, kind: str, message: str = "") -> dict[str, Any]:
    note = await client.wait_for(
        lambda one: (
            one.get("method") == "$/progress"
            and one["params"]["value"]["kind"] == kind
            and one["params"]["value"].get("message", "").startswith(message)
        )
    )
    value: dict[str, Any] = note["params"]["value"]
    return value


async def test_one_token_from_the_first_worker_to_the_last() -> None:
    core = ScriptedCore()
    core.put("old", status="done")
    async with connected(core, capabilities=CAN) as client:
        client.answers[CREATE] = lambda params: None
        core.put("a")
        begin = await until(client, "begin")
        assert begin == {
            "kind": "begin",
            "title": "Codex workers",
            "cancellable": False,
            "message": "0 of 1 done",
            "percentage": 0,
        }
        core.put("b")
        core.put("c", status="queued")
        assert (await until(client, "report", "0 of 3 done, 1 waiting"))["percentage"] == 0
        core.put("a", status="failed")
        report = await until(client, "report", "1 of 3 done, 1 waiting")
        assert report["percentage"] == 33
        assert report["cancellable"] is False
        core.put("b", status="cancelled")
        core.put("c", status="running")
        assert (await until(client, "report", "2 of 3 done"))["percentage"] == 66
        core.put("c", status="done")
        assert await until(client, "end") == {"kind": "end", "message": "3 of 3 done"}
        tokens = {token for token, _ in values(client)}
        assert len(tokens) == 1
        assert [params["token"] for params in client.of_method(CREATE)] == list(tokens)
        order = [one.get("method") for one in client.received if one.get("method") in (CREATE, "$/progress")]
        assert order[0] == CREATE


async def test_the_next_activity_has_a_token_of_its_own() -> None:
    core = ScriptedCore()
    async with connected(core, capabilities=CAN) as client:
        client.answers[CREATE] = lambda params: None
        for number, name in enumerate(("a", "b"), 1):
            core.put(name)
            await eventually(functools.partial(shown, client, "begin", number))
            core.put(name, status="done")
            await eventually(functools.partial(shown, client, "end", number))
        messages = [value["message"] for _, value in values(client) if value["kind"] == "end"]
        assert messages == ["1 of 1 done", "1 of 1 done"]
        assert len({token for token, _ in values(client)}) == 2
        kinds = [value["kind"] for _, value in values(client)]
        assert kinds == ["begin", "end", "begin", "end"]


async def test_a_client_that_joins_in_the_middle_gets_progress_too() -> None:
    core = ScriptedCore()
    core.put("a")
    async with connected(core, capabilities=CAN) as client:
        client.answers[CREATE] = lambda params: None
        # The question was asked before the answer was set up.
        created = await client.wait_for_method(CREATE)
        if not client.of_method("$/progress"):
            client.send({"jsonrpc": "2.0", "id": created["id"], "result": None})
        assert (await until(client, "begin"))["message"] == "0 of 1 done"


async def test_the_percentage_never_falls() -> None:
    core = ScriptedCore()
    async with connected(core, capabilities=CAN) as client:
        client.answers[CREATE] = lambda params: None
        core.put("a")
        core.put("b")
        await until(client, "begin")
        core.put("a", status="done")
        assert (await until(client, "report", "1 of 2 done"))["percentage"] == 50
        core.put("c")
        core.put("d")
        assert (await until(client, "report", "1 of 4 done"))["percentage"] == 50


@pytest.mark.parametrize(
    ("options", "capabilities"),
    [
        ({"ui": {"ownsProgress": True}}, CAN),
        ({}, {}),
        ({}, {"window": {}}),
        ({}, {"window": {"workDoneProgress": False}}),
    ],
)
async def test_no_progress_where_it_is_not_wanted(options: dict[str, Any], capabilities: dict[str, Any]) -> None:
    core = ScriptedCore()
    async with connected(core, options, capabilities) as client:
        core.put("a")
        await asyncio.sleep(0.1)
        core.put("a", status="done")
        await asyncio.sleep(0.1)
        assert client.of_method(CREATE) == []
        assert client.of_method("$/progress") == []


@pytest.mark.parametrize("refusal", [None, {"error": {"code": -32603, "message": "no"}}])
async def test_a_client_that_makes_no_token_is_left_alone_until_the_next_activity(
    refusal: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "ASK_SECONDS", 0.2)
    core = ScriptedCore()
    async with connected(core, capabilities=CAN) as client:
        core.put("a")
        created = await client.wait_for_method(CREATE)
        if refusal:
            client.send({"jsonrpc": "2.0", "id": created["id"], **refusal})
        core.put("b")
        await asyncio.sleep(0.4)
        core.put("a", status="done")
        core.put("b", status="done")
        await asyncio.sleep(0.1)
        assert values(client) == []
        assert len(client.of_method(CREATE)) == 1
        # An answer may be late on a busy machine.
        monkeypatch.setattr(protocol, "ASK_SECONDS", PATIENCE)
        client.answers[CREATE] = lambda params: None
        core.put("c")
        assert (await until(client, "begin"))["message"] == "0 of 1 done"


async def test_a_cancelled_progress_disturbs_nothing() -> None:
    core = ScriptedCore()
    async with connected(core, capabilities=CAN) as client:
        client.answers[CREATE] = lambda params: None
        core.put("a")
        await until(client, "begin")
        client.notify("window/workDoneProgress/cancel", {"token": values(client)[0][0]})
        core.put("a", status="done")
        await until(client, "end")


def job(name: str, status: str) -> dict[str, Any]:
    return {"jobId": name, "status": status}


def test_a_job_that_came_and_went_between_two_looks_is_counted() -> None:
    tally = Tally([job("old", "done")])
    tally.count([job("old", "done"), job("a", "running")])
    assert tally.text == "0 of 1 done"
    tally.count([job("old", "done"), job("a", "stopping"), job("b", "done"), job("c", "queued")])
    assert (tally.text, tally.percentage, tally.active) == ("1 of 3 done, 1 waiting", 33, 2)
    tally.count([job("a", "interrupted"), job("b", "done"), job("c", "failed")])
    assert (tally.text, tally.percentage, tally.active) == ("3 of 3 done", 100, 0)
    tally.reset()
    tally.count([job("a", "interrupted"), job("c", "failed"), job("d", "starting")])
    assert tally.text == "0 of 1 done"
