"""When a service ends, what it leaves behind, and how it stays reachable."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from sidecar.service import connections
from sidecar.service import server as server_module
from sidecar.service.server import Server
from tests.support.raw import endpoint
from tests.support.repo import make_repo
from tests.support.service import ScriptedCore, ask, client, dial, ends, eventually, running


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "r")


# Idle ---------------------------------------------------------------------------------------------


async def test_it_ends_when_nobody_needs_it_and_leaves_nothing(repo: Path) -> None:
    core = ScriptedCore()
    async with running(repo, core, idle_seconds=0.2) as (_, task):
        where = endpoint(repo)
        assert where is not None
        assert await ends(task) == 0
        assert core.closed
        assert endpoint(repo) is None
        assert not os.path.exists(where["socket"])


async def test_a_client_keeps_it_alive_and_a_control_connection_does_not(repo: Path) -> None:
    core = ScriptedCore()
    core.jobs = 1  # Until they are there: on a busy machine that takes longer than it may be idle.
    async with running(repo, core, idle_seconds=0.2) as (_, task):
        stays = await client(repo)
        asks = await client(repo, "control")
        core.jobs = 0
        await asyncio.sleep(0.8)
        assert not task.done()
        stays.close()
        assert await ends(task) == 0
        assert await asyncio.to_thread(asks.line) is None
        asks.close()


async def test_an_unfinished_job_keeps_it_alive(repo: Path) -> None:
    core = ScriptedCore()
    core.jobs = 1
    async with running(repo, core, idle_seconds=0.2) as (_, task):
        await asyncio.sleep(0.8)
        assert not task.done()
        core.jobs = 0
        assert await ends(task) == 0


async def test_the_whole_idle_time_counts_from_the_last_client(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = 0.0, 0

    def monotonic() -> float:
        """Asked once at each look whether somebody needs the service."""
        nonlocal looks
        looks += 1
        return clock

    async def looked() -> None:
        before = looks
        await eventually(lambda: looks > before + 1)

    monkeypatch.setattr(server_module, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(server_module, "WATCH_SECONDS", 0.02)
    async with running(repo, idle_seconds=100.0) as (server, task):
        raw = await client(repo)
        clock = 150.0
        await looked()
        raw.close()
        await eventually(lambda: not server.connections.busy)
        clock = 249.0
        await looked()
        assert not task.done()
        clock = 251.0
        assert await ends(task) == 0


# Asked to end -------------------------------------------------------------------------------------


@pytest.fixture
def unforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that waits for one of its own time limits takes for ever."""
    for name in ("CLOSE_CONNECTIONS_SECONDS", "CLOSE_CORE_SECONDS"):
        monkeypatch.setattr(server_module, name, 1_000.0)
    monkeypatch.setattr(connections, "FLUSH_SECONDS", 1_000.0)


def test_an_orderly_end_takes_less_than_one_and_a_half_seconds() -> None:
    assert server_module.CLOSE_CONNECTIONS_SECONDS + server_module.CLOSE_CORE_SECONDS < 1.5


@pytest.mark.usefixtures("unforced")
async def test_stop_answers_then_ends_and_the_connection_tells_when(repo: Path) -> None:
    async with running(repo) as (_, task):
        front = await client(repo)
        raw = await client(repo, "control")
        assert (await asyncio.to_thread(raw.ask, {"op": "stop"}))["pid"] == os.getpid()
        assert await asyncio.to_thread(raw.line) is None
        assert await ends(task) == 0
        assert await asyncio.to_thread(front.read) == b""
        assert await ask(repo, "status") is None
        raw.close()
        front.close()


async def test_an_end_does_not_wait_for_a_client_that_does_not_read(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FLUSH_SECONDS", 1_000.0)
    async with running(repo) as (server, task):
        raw = await client(repo, "lsp")
        raw.sock.setblocking(False)

        async def fill() -> None:
            for _ in range(300):
                try:
                    raw.sock.send(b"x" * 65_536)
                except BlockingIOError:
                    await asyncio.sleep(0.005)

        await fill()
        server.request_end("test")
        assert await ends(task) == 0
        raw.close()


@pytest.mark.parametrize(
    ("version", "replaced"), [("0.2.0", True), ("0.1.0", False), ("0.0.9", False), ("0.1.0rc1", False), ("1", True)]
)
async def test_only_a_newer_version_replaces_it(repo: Path, version: str, replaced: bool) -> None:
    async with running(repo) as (_, task):
        answer = await ask(repo, "replace", version=version)
        assert answer == {"replaced": replaced, "version": "0.1.0", "pid": os.getpid()}
        if replaced:
            assert await ends(task) == 0
        else:
            assert (await ask(repo, "status"))["running"] is True


@pytest.mark.parametrize("request_", [{"op": "dance"}, {}, {"op": "replace"}, {"op": "replace", "version": 3}])
async def test_an_unknown_question_is_answered_and_harms_nothing(repo: Path, request_: dict[str, Any]) -> None:
    async with running(repo):
        raw = await client(repo, "control")
        answer = await asyncio.to_thread(raw.ask, request_)
        assert answer["error"]["kind"] == "invalid-arguments"
        raw.sock.sendall(b"garbage\n")
        assert (await asyncio.to_thread(raw.line))["error"]["details"]["field"] == "line"
        assert (await asyncio.to_thread(raw.ask, {"op": "status"}))["running"] is True
        raw.close()


async def test_status_counts_front_ends_and_jobs(repo: Path) -> None:
    core = ScriptedCore()
    core.jobs = 3
    async with running(repo, core):
        front = await client(repo)
        status = await ask(repo, "status")
        front.close()
    assert status["running"] is True
    assert status["pid"] == os.getpid()
    assert status["version"] == "0.1.0"
    assert (status["clients"], status["jobs"]) == (1, 3)
    assert status["repository"] == str(repo)


# How connections end ------------------------------------------------------------------------------


async def test_the_exit_code_of_a_connection_can_be_asked_for(repo: Path) -> None:
    async with running(repo):
        for code in (0, 1, 7):
            raw = await dial(repo)
            name = (await asyncio.to_thread(raw.hello, "lsp"))["connection"]
            raw.sock.sendall(b"exit %d" % code)
            assert await asyncio.to_thread(raw.read) == b""
            assert await ask(repo, "exit-code", connection=name) == {"code": code}
            raw.close()
        assert await ask(repo, "exit-code", connection="nobody") == {"code": None}


async def test_an_exit_code_is_waited_for_where_the_connection_ends_first(repo: Path) -> None:
    async with running(repo):
        raw = await dial(repo)
        name = (await asyncio.to_thread(raw.hello, "lsp"))["connection"]
        raw.sock.sendall(b"late 7")
        assert await asyncio.to_thread(raw.read) == b""
        assert await ask(repo, "exit-code", connection=name) == {"code": 7}
        raw.close()


async def test_an_exit_code_is_forgotten_after_its_time(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "EXIT_CODE_SECONDS", 0.05)
    async with running(repo) as (server, _):
        names = []
        for _ in range(2):
            raw = await dial(repo)
            names.append((await asyncio.to_thread(raw.hello, "lsp"))["connection"])
            raw.close()
            await eventually(lambda: not server.connections.busy)
            await asyncio.sleep(0.1)
        assert await ask(repo, "exit-code", connection=names[0]) == {"code": None}


async def test_a_front_end_that_fails_ends_its_connection_with_1_and_no_other(repo: Path) -> None:
    async with running(repo):
        other = await client(repo)
        raw = await dial(repo)
        name = (await asyncio.to_thread(raw.hello, "lsp"))["connection"]
        raw.sock.sendall(b"exit nonsense")
        assert await asyncio.to_thread(raw.read) == b""
        assert await ask(repo, "exit-code", connection=name) == {"code": 1}
        assert (await ask(repo, "status"))["clients"] == 1
        raw.close()
        other.close()


async def test_a_half_closed_connection_is_served_to_its_end(repo: Path) -> None:
    async with running(repo):
        raw = await client(repo, "lsp")
        raw.sock.sendall(b"abc")
        raw.sock.shutdown(socket.SHUT_WR)
        assert await asyncio.to_thread(raw.read) == b"abc3 bytes"
        raw.close()


# A core that does not come ------------------------------------------------------------------------


def failing(exc: BaseException, when: asyncio.Event) -> Callable[[], Awaitable[ScriptedCore]]:
    async def opening() -> ScriptedCore:
        await when.wait()
        raise exc

    return opening


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (SidecarError("state-unavailable", "The disk is full.", "Free some."), "state-unavailable"),
        (KeyError("x"), "internal"),
    ],
)
async def test_a_client_hears_why_the_jobs_cannot_be_served(repo: Path, exc: BaseException, kind: str) -> None:
    asked = asyncio.Event()
    async with running(repo, opening=failing(exc, asked)) as (_, task):
        raw = await dial(repo)
        # First the question: a service that cannot work soon ends.
        raw.send({"sidecar": 1, "frontend": "lsp", "version": "0.1.0", "cwd": "/", "env": {}})
        asked.set()
        answer = await asyncio.to_thread(raw.line)
        raw.close()
        assert answer["error"]["kind"] == kind
        assert await ends(task) == 1
        assert endpoint(repo) is None


async def test_an_end_while_the_core_still_opens(repo: Path) -> None:
    never: asyncio.Future[ScriptedCore] = asyncio.get_running_loop().create_future()
    async with running(repo, opening=lambda: never, idle_seconds=0.1) as (server, task):
        await asyncio.sleep(0.4)
        assert not task.done(), "it is not idle before it could serve anybody"
        server.request_end("test")
        assert await ends(task) == 0


async def test_a_core_that_does_not_close_is_left_behind(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(ScriptedCore):
        async def close(self) -> None:
            await asyncio.sleep(1_000)

    async with running(repo, Stuck()) as (server, task):
        await client(repo)
        server.request_end("test")
        assert await ends(task) == 0
    assert "to close" in caplog.text


def test_the_idle_time_comes_from_the_environment_else_from_the_limits(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seconds() -> float:
        async with running(repo) as (server, _):
            return idle(server)

    assert asyncio.run(seconds()) == 600
    monkeypatch.setenv("CODEX_SIDECAR_IDLE_SECONDS", "1.5")
    assert asyncio.run(seconds()) == 1.5


def idle(server: Server) -> float:
    return server._idle_seconds
