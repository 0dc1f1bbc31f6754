"""A service stays reachable, is found by the right repository only, and leaves no second one beside it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from sidecar.service import launch
from tests.support.raw import endpoint
from tests.support.repo import make_repo
from tests.support.service import ask, client, ends, eventually, place_of, running


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "r")


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.service.server.WATCH_SECONDS", 0.05)


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("lost", ["socket", "runtime directory", "endpoint file", "endpoint garbled"])
async def test_it_listens_anew_when_its_address_is_lost(repo: Path, lost: str) -> None:
    async with running(repo) as (_, task):
        where = endpoint(repo)
        assert where is not None
        stays = await client(repo, "lsp")
        file = repo / ".git" / "codex-sidecar" / "endpoint.json"
        if lost == "socket":
            os.unlink(where["socket"])
        elif lost == "runtime directory":
            shutil.rmtree(os.environ["XDG_RUNTIME_DIR"])
        elif lost == "endpoint file":
            file.unlink()
        else:
            file.write_text("{")

        def again() -> bool:
            try:
                found = endpoint(repo)
            except ValueError:
                return False
            return found is not None and found["socket"] != where["socket"] and os.path.exists(found["socket"])

        await eventually(again)
        assert (await ask(repo, "status"))["clients"] == 1
        stays.sock.sendall(b"abc")
        assert await asyncio.to_thread(stays.read, 3) == b"abc"
        stays.close()
        assert not task.done()


@pytest.mark.usefixtures("attentive")
@pytest.mark.parametrize("what", ["repository", "git directory"])
async def test_it_ends_when_its_repository_is_deleted(repo: Path, what: str) -> None:
    async with running(repo) as (_, task):
        where = endpoint(repo)
        assert where is not None
        shutil.rmtree(repo if what == "repository" else repo / ".git")
        assert await ends(task) == 0
        assert not os.path.exists(where["socket"])


async def test_a_client_of_a_moved_repository_is_not_served_by_the_old_place(repo: Path, tmp_path: Path) -> None:
    async with running(repo) as (_, task):
        repo.rename(tmp_path / "moved")
        place = place_of(tmp_path / "moved")
        assert await asyncio.to_thread(launch.connect, place, "control", start=False) is None
        assert await ends(task) == 0


async def test_a_copied_repository_does_not_lead_to_the_original(repo: Path, tmp_path: Path) -> None:
    async with running(repo):
        shutil.copytree(repo, tmp_path / "copy", symlinks=True)
        place = place_of(tmp_path / "copy")
        assert await asyncio.to_thread(launch.connect, place, "control", start=False) is None
        assert not launch.is_served(place)
        connection = await asyncio.to_thread(launch.connect, place_of(repo), "control", start=False)
        assert connection is not None
        connection.sock.close()


async def test_the_socket_of_a_killed_service_is_removed_by_the_next(repo: Path) -> None:
    async with running(repo):
        where = endpoint(repo)
        assert where is not None
        kept = Path(place_of(repo).state_dir, "endpoint.json").read_text()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(where["socket"])
    stale.close()
    Path(place_of(repo).state_dir, "endpoint.json").write_text(kept)
    assert await asyncio.to_thread(launch.connect, place_of(repo), "control", start=False) is None
    found = asyncio.Event()
    task = asyncio.ensure_future(_until(found, repo))
    await eventually(lambda: (endpoint(repo) or {}).get("socket") not in (None, where["socket"]))
    assert not os.path.exists(where["socket"])
    found.set()
    await task


async def _until(over: asyncio.Event, repo: Path) -> None:
    async with running(repo):
        await over.wait()


async def test_a_second_service_cannot_take_the_lock(repo: Path) -> None:
    async with running(repo):
        assert launch.take_service_lock(place_of(repo)) is None
    lock = launch.take_service_lock(place_of(repo))
    assert lock is not None
    os.close(lock)


async def test_files_of_the_service_are_private(repo: Path) -> None:
    async with running(repo):
        directory = repo / ".git" / "codex-sidecar"
        assert (directory / "endpoint.json").stat().st_mode & 0o777 == 0o600
        assert (directory / "service.lock").stat().st_mode & 0o777 == 0o600
        written = json.loads((directory / "endpoint.json").read_text())
    assert set(written) == {"pid", "startTime", "version", "startedAt", "directory", "socket"}
