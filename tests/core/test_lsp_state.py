"""`codexSidecar/state`: full once, then what changed for this client; and `codexSidecar/getState`."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.lsp.state import StatePublisher
from sidecar.model import limits
from tests.support.lsp import RawClient, ScriptedCore, connected, eventually, fast_state, serving

STATE = "codexSidecar/state"


class Picture:
    """What a client knows that follows the rules of the interface and nothing else."""

    def __init__(self) -> None:
        self.seq = 0
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def take_full(self, full: dict[str, Any]) -> None:
        self.items = {("job", job["jobId"]): job for job in full["jobs"]}
        if full["run"]:
            self.items["run", full["run"]["runId"]] = full["run"]
        self.items["limits", "limits"] = full["limits"]

    def take(self, note: dict[str, Any]) -> None:
        if note["seq"] <= self.seq:
            return
        assert note["seq"] == self.seq + 1, "a notification is missing"
        self.seq = note["seq"]
        if "full" in note:
            self.take_full(note["full"])
            return
        for item in note["changed"]:
            facts = {name: value for name, value in item.items() if name not in ("kind", "id")}
            self.items[item["kind"], item["id"]] = facts
        for gone in note["removed"]:
            assert set(gone) == {"kind", "id"}
            self.items.pop((gone["kind"], gone["id"]), None)

    def is_like(self, state: dict[str, Any]) -> bool:
        other = Picture()
        other.take_full(state)
        return other.items == self.items and list(self.items_of("job")) == list(other.items_of("job"))

    def items_of(self, kind: str) -> list[str]:
        return [name for item, name in self.items if item == kind]


def sum_of(client: RawClient) -> Picture:
    picture = Picture()
    for note in client.of_method(STATE):
        picture.take(note)
    return picture


def goes_on_from(client: RawClient, answer: dict[str, Any]) -> Picture:
    """The picture of a client that took the answer to a getState for the truth, and what came after it."""
    picture = Picture()
    picture.take_full(answer["result"]["full"])
    picture.seq = answer["result"]["seq"]
    for note in client.received[client.received.index(answer) :]:
        if note.get("method") == STATE:
            picture.take(note["params"])
    return picture


async def test_the_full_state_comes_first_and_only_after_initialized() -> None:
    core = ScriptedCore()
    core.put("a", title="one")
    core.set_run("r1")
    async with serving(core) as (client, _):
        await client.request("initialize", {"capabilities": {}})
        state = await client.request("codexSidecar/getState")
        assert state["result"] == {"seq": 0, "full": core.state()}
        assert client.of_method(STATE) == []
        client.notify("initialized", {})
        client.notify("initialized", {})
        first = await client.wait_for_method(STATE)
        assert first["params"] == {"seq": 1, "full": core.state()}
        await client.request("codexSidecar/getState")
        assert len(client.of_method(STATE)) == 1


async def test_a_change_carries_the_item_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    core = ScriptedCore()
    core.put("a", title="one")
    core.put("b", title="two")
    core.set_run("r1")
    async with connected(core) as client:
        core.put("b", status="done")
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 2)
        job = {"kind": "job", "id": "b", "jobId": "b", "status": "done", "title": "two"}
        numbers = {"kind": "limits", "id": "limits", "read": {"limit": 8, "running": 1, "queued": 0}}
        assert note["params"] == {"seq": 2, "changed": [job, numbers], "removed": []}
        core.set_run(None)
        core.drop("a")
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 3)
        assert note["params"]["removed"] == [{"kind": "job", "id": "a"}, {"kind": "run", "id": "r1"}]
        core.set_run("r2")
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 4)
        assert note["params"]["changed"] == [{"kind": "run", "id": "r2", "runId": "r2", "head": "0" * 40}]


async def test_no_change_is_no_notification(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    core = ScriptedCore()
    core.put("a")
    async with connected(core) as client:
        core.put("a")
        core.publish("limits", "limits")
        core.publish("events", "a")
        await asyncio.sleep(0.1)
        assert len(client.of_method(STATE)) == 1


async def test_a_state_that_the_core_changes_in_place_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    core = ScriptedCore()
    kept = {"limit": 1}
    state = {"jobs": [], "run": None, "limits": {"read": kept}, "conflicts": []}
    monkeypatch.setattr(core, "state", lambda: state)
    async with connected(core) as client:
        kept["limit"] = 2
        core.publish("limits", "limits")
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 2)
        assert note["params"]["changed"][0]["read"] == {"limit": 2}


async def test_at_most_two_a_second_and_the_first_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two times of one loop the earlier comes first, however busy the machine is, so nothing here is measured."""
    assert limits.STATE_INTERVAL_SECONDS == 0.5
    core = ScriptedCore()
    sent: list[float] = []
    send = StatePublisher._send

    def noted(self: StatePublisher, content: dict[str, Any]) -> None:
        sent.append(asyncio.get_running_loop().time())
        send(self, content)

    monkeypatch.setattr(StatePublisher, "_send", noted)
    async with connected(core) as client:
        for count in (2, 3):
            await asyncio.sleep(0.6)
            core.put("a", tick=count)
            await client.request("no/such")
            assert len(client.of_method(STATE)) == count, "the first after a pause comes before the next reply"
        for count in (4, 5, 6):
            end = asyncio.get_running_loop().time() + 0.6
            while asyncio.get_running_loop().time() < end:
                core.put("a", tick=end - asyncio.get_running_loop().time())
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.005)  # The loop may have been held up before the end: whatever was due is done now.
            await client.request("no/such")
            assert len(client.of_method(STATE)) >= count, "it comes as soon as it may"
        await client.wait_for(lambda one: f'"tick": {core.jobs["a"]["tick"]}' in json.dumps(one))
    assert all(later - earlier > 0.499 for earlier, later in itertools.pairwise(sent))


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcd"), st.sampled_from(["queued", "running", "done"])),
        st.tuples(st.just("drop"), st.sampled_from("abcd"), st.none()),
        st.tuples(st.just("run"), st.sampled_from(["r1", "r2", None]), st.none()),
        st.tuples(st.just("limit"), st.integers(1, 3), st.none()),
        st.tuples(st.just("ask"), st.none(), st.none()),
        st.tuples(st.just("join"), st.none(), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.002, 0.008]), st.none()),
    ),
    max_size=25,
)


@given(actions=ACTIONS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sum_of_the_notifications_is_the_state(actions: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """For a client that only listens, and for one that asks in between and goes on from the answer."""
    fast_state(monkeypatch, 0.004)

    async def play() -> None:
        core = ScriptedCore()
        async with connected(core) as listening, connected(core) as asking:
            answer = None
            for action, name, value in actions:
                if action == "put":
                    core.put(name, status=value)
                elif action == "drop":
                    core.drop(name)
                elif action == "run":
                    core.set_run(name)
                elif action == "limit":
                    core.apply_settings({"limits": {"read": name}})
                elif action == "join":
                    async with connected(core) as late:
                        assert sum_of(late).is_like(core.state())
                elif action == "ask":
                    answer = await asking.request("codexSidecar/getState")
                else:
                    await asyncio.sleep(name)
            await eventually(lambda: sum_of(listening).is_like(core.state()))
            await eventually(lambda: sum_of(asking).is_like(core.state()))
            if answer is not None:
                await eventually(lambda: goes_on_from(asking, answer).is_like(core.state()))

    asyncio.run(play())
