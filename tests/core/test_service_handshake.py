"""Who gets in, and what everybody else is told."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.service import connections, peers
from tests.support.raw import Raw, endpoint
from tests.support.repo import make_repo
from tests.support.service import ScriptedCore, eventually, running

T = TypeVar("T")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "r")


async def dialled(repo: Path, use: Callable[[Raw], T]) -> T:
    """Runs `use` with a new connection in a thread, so that the service in this process can answer."""

    def work() -> T:
        where = endpoint(repo)
        assert where is not None
        with Raw.dial(where) as raw:
            return use(raw)

    return await asyncio.to_thread(work)


async def refused(repo: Path, use: Callable[[Raw], Any]) -> dict[str, Any]:
    """The error that the service answers; it closes the connection behind it."""

    def work(raw: Raw) -> Any:
        answer = use(raw)
        assert raw.read() == b""
        return answer

    answer = await dialled(repo, work)
    assert answer["ok"] is False
    assert set(answer["error"]) == {"kind", "message", "hint", "details"}
    return dict(answer["error"])


async def test_the_answer_names_the_process_the_version_and_the_connection(repo: Path) -> None:
    async with running(repo):
        first = await dialled(repo, lambda raw: raw.hello("lsp"))
        second = await dialled(repo, lambda raw: raw.hello("cli", something_new={"a": 1}))
    assert first["ok"] is True
    assert first["pid"] == os.getpid()
    assert first["version"] == "0.1.0"
    assert len({first["connection"], second["connection"]}) == 2


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"this is no json\n", "line"),
        (b"\xff\xfe\n", "line"),
        (b"[1]\n", "line"),
        (b'{"sidecar":NaN}\n', "line"),
        (b"[" * 100_000 + b"\n", "line"),
        (b"{}\n", "hello"),
        (b"GET / HTTP/1.1\n", "line"),
        (
            json.dumps({"sidecar": 2, "frontend": "lsp", "version": "9", "cwd": "/", "env": {}}).encode() + b"\n",
            "sidecar",
        ),
        (
            json.dumps({"sidecar": 1, "frontend": "web", "version": "9", "cwd": "/", "env": {}}).encode() + b"\n",
            "hello",
        ),
        (
            json.dumps({"sidecar": 1, "frontend": "lsp", "version": "9", "cwd": "/", "env": {"A": 1}}).encode() + b"\n",
            "hello",
        ),
    ],
)
async def test_a_garbage_first_line_is_refused_by_name(repo: Path, line: bytes, field: str) -> None:
    def use(raw: Raw) -> Any:
        raw.sock.sendall(line)
        return raw.line()

    async with running(repo):
        error = await refused(repo, use)
        assert (await dialled(repo, lambda raw: raw.hello("lsp")))["ok"] is True
    assert error["kind"] == "invalid-arguments"
    assert error["details"]["field"] == field


async def test_fifty_megabytes_without_a_newline_are_cut_off_and_not_kept(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is their number that is refused, not the time that they take.
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 60.0)

    def use(raw: Raw) -> Any:
        megabyte = b"x" * 1_000_000
        try:
            for _ in range(50):
                raw.sock.sendall(megabyte)
            raw.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return "cut off"
        return raw.line()

    async with running(repo):
        answer = await dialled(repo, use)
        assert (await dialled(repo, lambda raw: raw.hello("lsp")))["ok"] is True
    assert answer == "cut off" or "longer than" in answer["error"]["message"]


async def test_silence_is_cut_off(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.3)
    async with running(repo):
        started = time.monotonic()
        error = await refused(repo, lambda raw: raw.line())
        assert time.monotonic() - started > 0.25
    assert error["kind"] == "timed-out"


async def test_a_first_line_that_dribbles_in_is_cut_off_too(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.3)

    def use(raw: Raw) -> bytes:
        try:
            for _ in range(1500):
                raw.sock.sendall(b" ")
                time.sleep(0.02)
        except OSError:
            # Bytes that the service left unread reset the connection behind its answer: a reading to the end loses it.
            return raw.sock.recv(65_536)
        pytest.fail("the service went on reading")

    async with running(repo):
        assert b"timed-out" in await dialled(repo, use)


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(repo: Path) -> None:
    async with running(repo) as (server, _):
        await dialled(repo, lambda raw: raw.sock.sendall(b'{"sidecar": 1, '))
        await dialled(repo, lambda raw: None)
        await eventually(lambda: not server.connections.busy)


async def test_what_a_newer_front_end_sends_behind_its_first_line_is_not_lost(repo: Path) -> None:
    def use(raw: Raw) -> bytes:
        hello = {"sidecar": 1, "frontend": "lsp", "version": "0.1.0", "cwd": "/", "env": {}}
        raw.sock.sendall(json.dumps(hello).encode() + b"\n" + b"first bytes")
        assert raw.line()["ok"] is True
        return raw.read(11)

    async with running(repo):
        assert await dialled(repo, use) == b"first bytes"


async def test_an_environment_with_bytes_that_are_no_utf8(repo: Path) -> None:
    async with running(repo) as (server, _):

        def use(raw: Raw) -> Any:
            answer = raw.hello("lsp", env={"ODD": "a\udcffb"})
            return answer, server.connections.clients[0].env["ODD"]

        answer, seen = await dialled(repo, use)
    assert answer["ok"] is True
    assert os.fsencode(seen) == b"a\xffb"


# Who ----------------------------------------------------------------------------------------------


def test_another_user_is_refused() -> None:
    peers.check_user(os.geteuid())
    with pytest.raises(SidecarError, match=f"not to user {os.geteuid() + 1}"):
        peers.check_user(os.geteuid() + 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_who_can_open_the_socket_is_refused(repo: Path) -> None:
    # The directory keeps others out already; a descriptor of the socket goes past it, as a careless chmod would.
    script = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sock = socket.socket(socket.AF_UNIX); sock.connect(f'/proc/self/fd/{sys.argv[1]}')\n"
        "sys.stdout.buffer.write(sock.makefile('rb').read())\n"
    )
    async with running(repo):
        where = endpoint(repo)
        assert where is not None
        assert os.stat(where["socket"]).st_mode & 0o777 == 0o600
        assert os.stat(os.path.dirname(where["socket"])).st_mode & 0o777 == 0o700
        os.chmod(where["socket"], 0o666)
        fd = os.open(where["socket"], os.O_PATH)
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-I", "-S", "-c", script, str(fd)],
            pass_fds=(fd,),
            capture_output=True,
            text=True,
        )
        os.close(fd)
    answer = json.loads(done.stdout or "null")
    assert answer, done.stderr
    assert answer["error"]["kind"] == "state-unavailable"
    assert "65534" in answer["error"]["message"]


@pytest.mark.parametrize("frontend", ["lsp", "mcp", "cli", "control"])
async def test_a_worker_is_refused_by_the_mark_in_its_environment(repo: Path, frontend: str) -> None:
    async with running(repo):
        error = await refused(repo, lambda raw: raw.hello(frontend, env={"CODEX_SIDECAR_JOB": "j/1"}))
    assert error["kind"] == "limit-reached"
    assert error["hint"]


def _hello_from_below(path: str) -> tuple[subprocess.Popen[str], str]:
    """A process whose grandchild, in a session of its own and with a clean environment, tries to come in."""
    child = (
        "import json, os, socket, sys\n"
        "sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1])\n"
        "hello = {'sidecar': 1, 'frontend': 'cli', 'version': '0.1.0', 'pid': 1, 'cwd': '/', 'env': {}}\n"
        "sock.sendall(json.dumps(hello).encode() + b'\\n'); print(sock.makefile().readline())\n"
    )
    parent = (
        "import subprocess, sys\n"
        "sys.stdin.readline()\n"
        "subprocess.run([sys.executable, '-I', '-c', sys.argv[1], sys.argv[2]], env={}, start_new_session=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", parent, child, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, child


@pytest.mark.parametrize("worker", [True, False])
async def test_a_descendant_of_a_worker_is_refused_whatever_it_says(repo: Path, worker: bool) -> None:
    core = ScriptedCore()
    async with running(repo, core):
        where = endpoint(repo)
        assert where is not None
        process, _ = _hello_from_below(where["socket"])
        if worker:
            core.workers.add(process.pid)
        out, _ = await asyncio.to_thread(process.communicate, "go\n")
    answer = json.loads(out)
    assert answer["ok"] is not worker
    if worker:
        assert answer["error"]["kind"] == "limit-reached"


# Over TCP -----------------------------------------------------------------------------------------


@pytest.fixture
def only_tcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No directory has a path that is short enough for a Unix socket."""
    long = tmp_path / ("d" * 100)
    long.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", str(long))


@pytest.mark.usefixtures("only_tcp")
async def test_without_a_short_path_it_listens_on_loopback_with_a_token(repo: Path) -> None:
    async with running(repo):
        where = endpoint(repo)
        assert where is not None
        assert "socket" not in where
        assert len(where["token"]) == 64
        answers = [
            await dialled(repo, lambda raw, token=token: raw.hello("lsp", token=token))
            for token in (where["token"], None, "", where["token"][:-1], where["token"].upper() + "é", "0" * 64)
        ]
        listening = Path("/proc/net/tcp").read_text()
        assert f"0100007F:{where['port']:04X} 00000000:0000 0A" in listening, "on 127.0.0.1 and nowhere else"
    assert [answer["ok"] for answer in answers] == [True, False, False, False, False, False]
    assert all(where["token"] not in json.dumps(answer) for answer in answers)


async def test_a_long_runtime_directory_falls_back_to_the_temporary_one(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("d" * 100)
    long.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    short = Path("/tmp") / f"t{os.getpid()}"
    short.mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(short))
    try:
        async with running(repo):
            where = endpoint(repo)
            assert where is not None
            directory = os.path.dirname(where["socket"])
            assert directory == str(short / f"codex-sidecar-{os.geteuid()}")
            assert os.stat(directory).st_mode & 0o777 == 0o700
            assert len(where["socket"]) <= limits.SOCKET_PATH_BYTES
        assert not os.path.exists(where["socket"])
        # Somebody else was there first: a directory that others can enter is not used.
        os.chmod(directory, 0o777)
        async with running(repo):
            where = endpoint(repo)
            assert where is not None
            assert os.path.dirname(where["socket"]) != directory
        assert not os.path.exists(os.path.dirname(where["socket"]))
    finally:
        shutil.rmtree(short)
