"""Calls that wait: their progress, their cancel, and the end of the connection, which never ends a job."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.mcp import streams
from sidecar.mcp.connection import serve
from sidecar.model import limits
from sidecar.model.errors import unknown_job
from sidecar.model.job import Job
from sidecar.tools.caller import Client
from tests.support.mcp import (
    CORE,
    PATIENCE,
    Gate,
    RawClient,
    add_tool,
    connected,
    serving,
    socket_pair,
    soon,
)

# -- waiting: progress and cancel -----------------------------------------------------------------------------------


class WaitingManager:
    """As much of the job manager as codex_wait_any uses: jobs that end when the test says so."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.two_wait = asyncio.Event()
        self.waits = 0

    async def job(self, job_id: str) -> Job:
        if job_id != "known":
            raise unknown_job(job_id)
        return Job("known", 1, "t", "read-only", "done" if self.ended.is_set() else "running", "/", 1, 1.0)  # type: ignore[misc]

    async def wait_any(self, job_ids: list[str], seconds: float) -> str | None:
        self.waits += 1
        if self.waits == 2:
            self.two_wait.set()
        try:
            await asyncio.wait_for(self.ended.wait(), seconds)
        except asyncio.TimeoutError:
            return None
        return job_ids[0]


def waiting_core() -> Any:
    return SimpleNamespace(manager=WaitingManager())


@pytest.mark.parametrize("token", ["a-token", 7, 0])
async def test_a_wait_reports_progress_to_who_wants_it(monkeypatch: pytest.MonkeyPatch, token: str | int) -> None:
    monkeypatch.setattr(limits, "WAIT_PROGRESS_SECONDS", 0.05)
    core = waiting_core()
    async with connected(core) as client:
        name = client.start_call("codex_wait_any", {"jobIds": ["known", "other"]}, progressToken=token)
        await client.wait_for(lambda one: one.get("method") == "notifications/progress", after=3)
        await asyncio.sleep(0.1)
        core.manager.ended.set()
        answer = (await client.reply(name))["result"]["structuredContent"]
        assert (answer["completedJobId"], answer["timedOut"]) == ("known", False)
        assert answer["missingJobIds"] == ["other"]
        reports = client.of_method("notifications/progress")
        assert len(reports) >= 2
        assert {report["progressToken"] for report in reports} == {token}
        assert all(report["total"] == limits.WAIT_DEFAULT_MS / 1000 for report in reports)
        amounts = [report["progress"] for report in reports]
        assert amounts == sorted(amounts)
        assert "message" in reports[0]


@pytest.mark.parametrize("meta", [{}, {"other": 1}])
async def test_no_progress_without_a_token(monkeypatch: pytest.MonkeyPatch, meta: dict[str, Any]) -> None:
    monkeypatch.setattr(limits, "WAIT_PROGRESS_SECONDS", 0.02)
    core = waiting_core()
    async with connected(core) as client:
        answer = await client.call("codex_wait_any", {"jobIds": ["known"], "timeoutMs": 100}, **meta)
        assert answer["structuredContent"]["timedOut"] is True
        assert client.of_method("notifications/progress") == []
        assert core.manager.waits == 1


async def test_a_cancelled_call_ends_its_handler_once_and_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LAST_CALLS_SECONDS", 100 * PATIENCE)
    gate = Gate()
    add_tool(monkeypatch, "test_gate", gate)
    async with serving() as (client, task):
        await client.initialize()
        name = client.start_call("test_gate")
        await soon(gate.begun)
        client.notify("notifications/cancelled", {"requestId": name, "reason": "changed my mind"})
        await soon(gate.cancelled)
        # Tidying up with awaits goes through: the handler is cancelled once, not at each of its awaits.
        await soon(gate.tidied)
        assert (await client.request("ping"))["result"] == {}
        assert client.replies_to(name) == []
        # Nor is its answer waited for at the end.
        client.end_of_stream()
        assert await asyncio.wait_for(task, PATIENCE) == 0


async def test_a_cancel_of_nothing_is_ignored() -> None:
    async with connected() as client:
        for params in ({"requestId": 999}, {"requestId": "x"}, {}, {"requestId": None}, {"requestId": [1]}):
            client.notify("notifications/cancelled", params)
        assert (await client.request("ping"))["result"] == {}


async def test_two_waits_of_which_one_is_cancelled() -> None:
    core = waiting_core()
    async with connected(core) as client:
        one = client.start_call("codex_wait_any", {"jobIds": ["known"]})
        two = client.start_call("codex_wait_any", {"jobIds": ["known"]})
        await soon(core.manager.two_wait)
        client.notify("notifications/cancelled", {"requestId": one})
        await client.request("ping")
        core.manager.ended.set()
        assert (await client.reply(two))["result"]["structuredContent"]["completedJobId"] == "known"
        assert client.replies_to(one) == []


# -- the end --------------------------------------------------------------------------------------------------------


async def test_the_end_of_the_stream_ends_it_with_0() -> None:
    for prepared in (False, True):
        async with serving() as (client, task):
            if prepared:
                await client.initialize()
            client.end_of_stream()
            assert await asyncio.wait_for(task, PATIENCE) == 0
            await soon(client.ended)
            assert not client.broken


async def test_the_end_cuts_a_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LAST_CALLS_SECONDS", 100 * PATIENCE)
    gate = Gate()
    add_tool(monkeypatch, "test_gate", gate, waits=True)
    async with serving() as (client, task):
        await client.initialize()
        client.start_call("test_gate")
        await soon(gate.begun)
        client.end_of_stream()
        assert await asyncio.wait_for(task, PATIENCE) == 0
        assert gate.cancelled.is_set()
        assert gate.tidied.is_set()


async def test_calls_under_way_are_answered_after_the_client_stopped_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    add_tool(monkeypatch, "test_gate", gate)
    async with serving() as (client, task):
        await client.initialize()
        name = client.start_call("test_gate")
        listed = client.start("tools/list")
        client.end_of_stream()
        await soon(gate.begun)
        assert "result" in await client.reply(listed)
        assert not task.done()
        gate.go.set()
        assert (await client.reply(name))["result"]["structuredContent"] == {"value": "gone through"}
        assert await asyncio.wait_for(task, PATIENCE) == 0


async def test_a_call_that_never_ends_does_not_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LAST_CALLS_SECONDS", 0.1)
    gate = Gate()
    add_tool(monkeypatch, "test_gate", gate)
    async with serving() as (client, task):
        await client.initialize()
        client.start_call("test_gate")
        await soon(gate.begun)
        client.end_of_stream()
        assert await asyncio.wait_for(task, PATIENCE) == 0
        assert gate.tidied.is_set()


async def test_a_client_that_vanishes(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    add_tool(monkeypatch, "test_gate", gate, waits=True)
    async with serving() as (client, task):
        await client.initialize()
        client.start_call("test_gate")
        await soon(gate.begun)
        client.writer.transport.abort()
        assert await asyncio.wait_for(task, PATIENCE) == 0
        assert gate.tidied.is_set()


async def test_cancelling_the_service_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    add_tool(monkeypatch, "test_gate", gate)
    mine, theirs = await socket_pair()
    task = asyncio.ensure_future(serve(CORE, Client("mcp", "0", cwd="/nowhere", env={}), *theirs))
    client = RawClient(*mine)
    await client.initialize()
    client.start_call("test_gate")
    await soon(gate.begun)
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE)
    assert task.cancelled()
    assert gate.tidied.is_set()
    await soon(client.ended)
    await client.close()
