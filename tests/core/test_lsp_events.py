"""`codexSidecar/events`: every event of every job once, in order, for the clients that want them."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from sidecar.lsp import events
from sidecar.lsp.protocol import SidecarProtocol
from sidecar.lsp.transport import Outbox
from sidecar.model import limits
from sidecar.model.errors import SidecarError, unknown_job
from sidecar.model.event import Event
from sidecar.model.inputs import EventsInput, untyped
from sidecar.model.outputs import EventsOutput
from tests.support.lsp import RawClient, ScriptedCore, add_tool, connected, eventually

EVENTS = "codexSidecar/events"
WANTED = {"ui": {"events": True}}


class Log:
    """The events of jobs behind the tool `codex_events`, in pages as small as the test wants."""

    def __init__(self, core: ScriptedCore, page: int = 200) -> None:
        self.core = core
        self.page = page
        self.events: dict[str, list[Event]] = {}
        self.asked: list[EventsInput] = []
        self.failures: list[SidecarError] = []

    def add(self, job_id: str, count: int = 1) -> None:
        mine = self.events.setdefault(job_id, [])
        for _ in range(count):
            mine.append(Event(len(mine) + 1, "message", "2026-01-01T00:00:00.000Z", {"kind": "message"}))
        self.core.publish("events", job_id)

    async def __call__(self, caller: Any, asked: EventsInput) -> EventsOutput:
        self.asked.append(asked)
        if self.failures:
            raise self.failures.pop()
        start = int((untyped(asked.cursor) or "c0")[1:])
        mine = self.events[asked.job_id]
        found = mine[start : start + min(self.page, asked.max_events)]
        end = start + len(found)
        ended = self.core.jobs.get(asked.job_id, {}).get("status") == "done"
        return EventsOutput(
            job_id=asked.job_id, label="w1", events=found, next_cursor=f"c{end}", done=ended and end == len(mine)
        )


@pytest.fixture
def core() -> ScriptedCore:
    return ScriptedCore()


@pytest.fixture
def log(core: ScriptedCore, monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log(core)
    add_tool(monkeypatch, "codex_events", made, EventsInput)
    return made


def seqs(client: RawClient, job_id: str) -> list[int]:
    return [event["seq"] for note in client.of_method(EVENTS) if note["jobId"] == job_id for event in note["events"]]


async def test_events_come_with_their_cursor(core: ScriptedCore, log: Log) -> None:
    async with connected(core, WANTED) as client:
        log.add("a", 2)
        note = await client.wait_for_method(EVENTS)
        assert set(note["params"]) == {"jobId", "label", "events", "nextCursor"}
        assert note["params"]["label"] == "w1"
        assert note["params"]["nextCursor"] == "c2"
        first = {"seq": 1, "type": "message", "timestamp": "2026-01-01T00:00:00.000Z", "content": {"kind": "message"}}
        assert note["params"]["events"] == [first, {**first, "seq": 2}]
        log.add("a")
        await eventually(lambda: seqs(client, "a") == [1, 2, 3])
        assert client.of_method(EVENTS)[-1]["nextCursor"] == "c3"


async def test_a_client_that_did_not_ask_gets_none(core: ScriptedCore, log: Log) -> None:
    async with connected(core) as client:
        log.add("a", 2)
        await asyncio.sleep(0.05)
        assert client.of_method(EVENTS) == []
        assert log.asked == []


async def test_none_is_lost_and_none_comes_twice(core: ScriptedCore, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENTS_INTERVAL_SECONDS", 0.001)
    log.page = 7
    async with connected(core, WANTED) as client, connected(core, WANTED) as other:
        for step in range(60):
            for name in ("a", "b", "c"):
                log.add(name, (step * 7 + ord(name)) % 5)
            await asyncio.sleep(0.001)
        for one in (client, other):
            for name, mine in log.events.items():
                await eventually(lambda: seqs(one, name) == list(range(1, len(mine) + 1)))  # noqa: B023
        assert max(len(note["events"]) for note in client.of_method(EVENTS)) <= 7


async def test_more_than_a_page_comes_without_another_change(core: ScriptedCore, log: Log) -> None:
    log.page = 7
    async with connected(core, WANTED) as client:
        log.add("a", 20)
        await eventually(lambda: seqs(client, "a") == list(range(1, 21)))


async def test_at_most_ten_a_second_for_a_job_and_jobs_do_not_wait_for_each_other(
    core: ScriptedCore, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two times of one loop the earlier comes first, however busy the machine is, so nothing here is measured."""
    assert limits.EVENTS_INTERVAL_SECONDS == 0.1
    sent: dict[str, list[float]] = {"a": [], "b": []}
    notify = SidecarProtocol.notify

    def noted(self: SidecarProtocol, method: str, params: Any = None) -> None:
        if method == EVENTS:
            sent[params["jobId"]].append(asyncio.get_running_loop().time())
        notify(self, method, params)

    monkeypatch.setattr(SidecarProtocol, "notify", noted)
    async with connected(core, WANTED) as client:
        for count in range(1, 9):
            end = asyncio.get_running_loop().time() + 0.12
            while asyncio.get_running_loop().time() < end:
                log.add("a")
                log.add("b")
                await asyncio.sleep(0.004)
            await asyncio.sleep(0.004)  # The loop may have been held up before the end: whatever was due is done now.
            await client.request("codexSidecar/getState")
            assert min(map(len, sent.values())) >= count
        await eventually(lambda: len(seqs(client, "a")) == len(log.events["a"]))
        await eventually(lambda: len(seqs(client, "b")) == len(log.events["b"]))
    for times in sent.values():
        assert all(later - earlier > 0.099 for earlier, later in itertools.pairwise(times))


async def test_events_of_a_job_that_runs_already_come_from_its_start(core: ScriptedCore, log: Log) -> None:
    core.put("a")
    core.put("b", status="done")
    log.add("a", 3)
    log.add("b", 3)
    async with connected(core, WANTED) as client:
        await eventually(lambda: seqs(client, "a") == [1, 2, 3])
        assert seqs(client, "b") == []


async def test_the_last_events_of_a_job_come_too(core: ScriptedCore, log: Log) -> None:
    async with connected(core, WANTED) as client:
        core.put("a")
        log.add("a", 3)
        core.put("a", status="done")
        log.add("a", 1)
        await eventually(lambda: seqs(client, "a") == [1, 2, 3, 4])
        log.add("a", 1)
        await eventually(lambda: seqs(client, "a") == [1, 2, 3, 4, 5])


async def test_a_failure_that_passes_loses_nothing(
    core: ScriptedCore, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "RETRY_SECONDS", 0.01)
    log.failures = [SidecarError("state-unavailable", "Not now.")] * 3
    async with connected(core, WANTED) as client:
        log.add("a", 2)
        await eventually(lambda: seqs(client, "a") == [1, 2])
        assert len(log.asked) >= 4


async def test_a_job_that_is_gone_is_not_asked_for_again(core: ScriptedCore, log: Log) -> None:
    log.failures = [unknown_job("a")]
    async with connected(core, WANTED) as client:
        log.add("a", 2)
        await eventually(lambda: len(log.asked) == 1)
        await asyncio.sleep(0.15)
        assert len(log.asked) == 1
        assert client.of_method(EVENTS) == []


async def test_a_paused_client_gets_all_of_it_later(
    core: ScriptedCore, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EVENTS_INTERVAL_SECONDS", 0.001)
    core.put("filler", activity="x" * 1_500_000, status="done")
    sent: list[int] = []
    send = Outbox.send

    def noted(self: Outbox, body: bytes) -> None:
        send(self, body)
        sent.append(len(body))

    monkeypatch.setattr(Outbox, "send", noted)
    async with connected(core, WANTED) as client:
        client.pause()
        sent.clear()
        name = client.start("codexSidecar/getState")
        await eventually(lambda: max(sent, default=0) > 1_500_000)
        for _ in range(50):
            log.add("a", 5)
            await asyncio.sleep(0.002)
        # Held back where they are stored, not queued in memory: at most the page that was on its way.
        assert len(log.asked) <= 2
        client.resume()
        await client.reply(name)
        await eventually(lambda: seqs(client, "a") == list(range(1, 251)))
