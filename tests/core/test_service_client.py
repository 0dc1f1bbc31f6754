"""The Python client of the terminal's commands against a service in the same process."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from sidecar.service.client import SidecarClient, control
from sidecar.tools import table
from sidecar.tools.caller import Caller
from tests.support.repo import make_repo
from tests.support.service import ends, eventually, running


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "r", {"sub/a.txt": "x"})


@pytest.fixture
def cancelled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`codex_status` answers who calls, `codex_wait_any` waits for ever and notes its cancelling here."""
    noted: list[str] = []

    async def who(caller: Caller, checked: Any) -> Any:
        return {"cwd": caller.client.cwd, "frontend": caller.client.frontend}

    async def wait(caller: Caller, checked: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            noted.append(checked.job_ids[0])
            raise

    for name, handler in (("codex_status", who), ("codex_wait_any", wait)):
        monkeypatch.setitem(table.BY_NAME, name, dataclasses.replace(table.BY_NAME[name], handler=handler))
    return noted


@pytest.mark.usefixtures("cancelled")
async def test_calls_and_their_errors(repo: Path) -> None:
    async with running(repo), SidecarClient.connect(repo / "sub") as client:
        assert await client.call("codex_status") == {"cwd": str(repo / "sub"), "frontend": "cli"}
        answers = await asyncio.gather(*(client.call("codex_status", {}) for _ in range(50)))
        assert len(answers) == 50
        with pytest.raises(SidecarError) as caught:
            await client.call("codex_status", {"nope": 1})
        assert caught.value.kind == "invalid-arguments"
        assert caught.value.details["field"] == "nope"
        assert (await client.control("status") or {})["clients"] == 1


async def test_cancelling_a_call_ends_the_wait_in_the_service(repo: Path, cancelled: list[str]) -> None:
    async with running(repo), SidecarClient.connect(repo) as client:
        waiting = asyncio.create_task(client.call("codex_wait_any", {"jobIds": ["one"]}))
        other = asyncio.create_task(client.call("codex_wait_any", {"jobIds": ["two"]}))
        await client.call("codex_status")
        waiting.cancel()
        await eventually(lambda: cancelled == ["one"])
        assert not other.done()
        assert await client.call("codex_status")
        other.cancel()


@pytest.mark.usefixtures("cancelled")
async def test_the_end_of_the_service_ends_every_call(repo: Path) -> None:
    async with running(repo) as (server, _), SidecarClient.connect(repo) as client:
        waiting = asyncio.create_task(client.call("codex_wait_any", {"jobIds": ["one"]}))
        await client.call("codex_status")
        server.request_end("test")
        for call in (waiting, client.call("codex_status")):
            with pytest.raises(SidecarError) as caught:
                await asyncio.wait_for(call, 30)
            assert caught.value.kind == "state-unavailable"


async def test_leaving_ends_the_connection(repo: Path) -> None:
    async with running(repo) as (server, _):
        async with SidecarClient.connect(repo):
            assert [client.frontend for client in server.connections.clients] == ["cli"]
        await eventually(lambda: not server.connections.busy)


async def test_without_a_sidecar_and_without_starting_one(repo: Path) -> None:
    assert await control(repo, "status") is None
    with pytest.raises(SidecarError) as caught:
        async with SidecarClient.connect(repo, start=False):
            pass
    assert caught.value.kind == "state-unavailable"


async def test_outside_a_repository(tmp_path: Path) -> None:
    for use in (control(tmp_path, "status"), SidecarClient.connect(tmp_path).__aenter__()):
        with pytest.raises(SidecarError) as caught:
            await use
        assert caught.value.kind == "not-a-repository"
        assert caught.value.details == {"directory": str(tmp_path)}


async def test_a_question_that_the_service_refuses(repo: Path) -> None:
    async with running(repo):
        with pytest.raises(SidecarError) as caught:
            await control(repo, "dance")
    assert caught.value.kind == "invalid-arguments"


async def test_waiting_for_the_end_of_the_service(repo: Path) -> None:
    async with running(repo) as (_, task):
        assert (await control(repo, "stop", wait_for_end=30) or {})["stopping"] is True
        assert await control(repo, "status") is None
        assert await ends(task) == 0
