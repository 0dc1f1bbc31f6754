"""Subscriptions to resources: what is told, how often, and to whom; in both eras."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.jobs.changes import Change
from sidecar.mcp import streams, uris, watching
from tests.support.mcp import META, PATIENCE, RawClient, connected, serving
from tests.support.repo import make_repo
from tests.support.round import open_round, until

UPDATED = "notifications/resources/updated"
REPORT = {"json": {"summary": "did it", "modifiedFiles": []}}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": "one\n"})


async def read(client: RawClient, uri: str) -> str:
    text: str = (await client.request("resources/read", {"uri": uri}))["result"]["contents"][0]["text"]
    return text


async def test_a_legacy_client_is_told_of_events_and_of_the_end(repo: Path, tmp_path: Path) -> None:
    async with open_round(repo) as round_:
        go = tmp_path / "go"
        job = (await round_.write("w", {"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, REPORT))["jobId"]
        other = (await round_.call("codex_spawn", prompt=f"SCRIPT: {json.dumps([REPORT])}"))["jobId"]
        uri = f"codex-sidecar://jobs/{job}/transcript"
        async with connected(round_.core) as client:
            for view in ("transcript", "result"):
                reply = await client.request("resources/subscribe", {"uri": f"codex-sidecar://jobs/{job}/{view}"})
                assert reply["result"] == {}
            assert "error" in await client.request("resources/subscribe", {"uri": f"{uri}?from=1"})
            assert "error" in await client.request("resources/subscribe", {"uri": "codex-sidecar://jobs/x/result"})
            go.touch()
            await round_.ended({"jobId": job}, {"jobId": other})
            seen = len(client.received)
            await until(lambda: {one["uri"] for one in client.of_method(UPDATED)} == {uri, uri[:-10] + "result"})
            # What is read after the last update is the end.
            while "its last event" not in await read(client, uri):
                await client.wait_for(lambda one: one.get("method") == UPDATED, after=seen)
                seen = len(client.received)
            await client.request("resources/unsubscribe", {"uri": uri})
            await client.request("resources/unsubscribe", {"uri": uri})
            assert all(other not in one["uri"] for one in client.of_method(UPDATED))


async def test_a_modern_client_listens_to_a_stream(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LAST_CALLS_SECONDS", 100 * PATIENCE)
    async with open_round(repo) as round_:
        go = tmp_path / "go"
        job = await round_.write("w", {"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, REPORT)
        uri = f"codex-sidecar://jobs/{job['jobId']}/result"
        async with serving(round_.core) as (client, task):
            await client.request("server/discover", {"_meta": META})
            wanted = {"notifications": {"resourceSubscriptions": [uri]}, "_meta": META}
            stream = client.start("subscriptions/listen", wanted)
            await client.wait_for(lambda one: one.get("method") == "notifications/subscriptions/acknowledged")
            go.touch()
            await round_.ended(job)
            told = await client.wait_for(lambda one: one.get("method") == UPDATED)
            assert told["params"]["uri"] == uri
            assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == stream
            # A stream has no end of its own, and does not keep a client that leaves.
            client.end_of_stream()
            assert await asyncio.wait_for(task, PATIENCE) == 0


LIST_CHANGED = "notifications/resources/list_changed"


async def test_a_legacy_client_that_has_listed_is_told_of_new_jobs(repo: Path) -> None:
    async with open_round(repo) as round_:
        await round_.ended(await round_.write("before", REPORT))
        async with connected(round_.core) as client, connected(round_.core) as other:
            await client.request("resources/list")
            assert client.of_method(LIST_CHANGED) == []
            job = await round_.write("new", REPORT)
            await client.wait_for(lambda one: one.get("method") == LIST_CHANGED)
            listed = (await client.request("resources/list"))["result"]["resources"]
            assert job["jobId"] in listed[0]["uri"]
            await round_.ended(job)
            # Its end changes no list; the job after it does, and that is told a second later at the earliest.
            await round_.ended(await round_.write("newer", REPORT))
            seen = client.received.index({"jsonrpc": "2.0", "method": LIST_CHANGED})
            await client.wait_for(lambda one: one.get("method") == LIST_CHANGED, after=seen + 1)
            assert sum(one.get("method") == LIST_CHANGED for one in client.received) == 2
            await other.request("ping")
            assert other.of_method(LIST_CHANGED) == []


async def test_the_capabilities_say_what_is_told(repo: Path) -> None:
    async with serving(None) as (client, _):
        assert (await client.initialize())["capabilities"]["resources"] == {"subscribe": True, "listChanged": True}
    async with serving(None) as (client, _):
        found = (await client.request("server/discover", {"_meta": META}))["result"]["capabilities"]
        assert found["resources"] == {"subscribe": True, "listChanged": True}


async def test_a_modern_client_is_told_of_new_jobs_on_its_stream(repo: Path) -> None:
    async with open_round(repo) as round_, serving(round_.core) as (client, _):
        wanted = {"notifications": {"resourcesListChanged": True}, "_meta": META}
        client.start("subscriptions/listen", wanted)
        await client.wait_for(lambda one: one.get("method") == "notifications/subscriptions/acknowledged")
        job = await round_.write("new", REPORT)
        await client.wait_for(lambda one: one.get("method") == LIST_CHANGED)
        await round_.ended(job)
        assert client.of_method(UPDATED) == []


async def test_a_client_that_does_not_take_its_news_holds_up_nobody_and_nothing_piles_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "INTERVAL_SECONDS", 0.02)
    free = asyncio.Event()
    told = {"stuck": 0, "other": 0}

    class Changing:
        def subscribe(self, listener: Any) -> Any:
            self.listener = listener
            return lambda: None

    def notify(name: str) -> Any:
        async def run(uri: str) -> None:
            told[name] += 1
            if name == "stuck":
                await free.wait()

        return run

    core: Any = Changing()
    watched = watching.Watching(core)
    watched.add("a", uris.Address("j", "transcript"), notify("stuck"))
    watched.add("b", uris.Address("k", "transcript"), notify("other"))
    for _ in range(20):
        core.listener(Change("events", "j"))
        core.listener(Change("events", "k"))
        await asyncio.sleep(0.02)
    await until(lambda: told["other"] > 3)
    assert told["stuck"] == 1
    free.set()
    await until(lambda: told["stuck"] == 2)
    watched.forget("a")
    watched.remove("b", uris.Address("k", "transcript"))
    before = dict(told)
    core.listener(Change("events", "j"))
    core.listener(Change("events", "k"))
    await asyncio.sleep(0.1)
    await watched.close()
    assert told == before
    assert watched.count("a") == watched.count("b") == 0


async def test_updates_of_one_resource_are_a_second_apart_and_the_last_is_never_lost() -> None:
    class Changing:
        def subscribe(self, listener: Any) -> Any:
            self.listener = listener
            return lambda: None

    core: Any = Changing()
    told: list[int] = []
    state = 0
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def notify(uri: str) -> None:
        assert uri == "codex-sidecar://jobs/j/transcript"
        told.append(state)

    watched = watching.Watching(core)
    watched.add("me", uris.Address("j", "transcript"), notify)
    for number in range(1, 120):
        state = number
        core.listener(Change("events", "j"))
        core.listener(Change("events", "other"))
        core.listener(Change("conflicts", "j"))
        await asyncio.sleep(0.01)
    await until(lambda: told and told[-1] == 119)
    assert 2 <= len(told) <= (loop.time() - start) / watching.INTERVAL_SECONDS + 1
    core.listener(Change("events", "j"))
    await watched.close()
    before = len(told)
    await asyncio.sleep(0)
    assert len(told) == before
