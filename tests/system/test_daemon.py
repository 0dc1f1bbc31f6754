"""The sidecar process as front ends meet it: started once, found again, replaced, ended. All processes are real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from sidecar.service import launch
from sidecar.service.connections import FLUSH_SECONDS
from sidecar.service.place import find_place
from tests.support.raw import (
    SECONDS,
    Pump,
    Raw,
    control,
    endpoint,
    is_alive,
    no_service_left,
    services,
    state_dir,
    wait_until,
)
from tests.support.repo import git, make_repo
from tests.support.versions import install


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "r")
    with no_service_left(path):
        yield path


def connect(repo: Path, *, start: bool = True) -> int | None:
    """The process that serves the repository now, started if need be by this process."""
    place = find_place(str(repo))
    assert place is not None
    connection = launch.connect(place, "control", start=start)
    if connection is None:
        return None
    connection.sock.close()
    assert isinstance(connection.pid, int)
    return connection.pid


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "it is dead")


def write_endpoint(repo: Path, **changes: Any) -> None:
    path = state_dir(repo) / "endpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# Started once -------------------------------------------------------------------------------------


def test_the_first_editor_starts_it_and_the_second_one_finds_it(repo: Path) -> None:
    with Pump("lsp", cwd=repo) as first:
        assert "capabilities" in first.initialize()
        (pid,) = services(repo)
        with Pump("lsp", cwd=repo) as second:
            second.initialize()
            assert services(repo) == [pid]
            assert control(repo, {"op": "status"})["clients"] == 2
            assert second.request(2, "shutdown")["result"] is None
            second.notify("exit")
            assert second.end() == (0, "")
        first.notify("exit")
        assert first.end()[0] == 1, "exit without shutdown"
    assert is_alive(pid), "it outlives its clients"


def test_it_is_a_process_of_its_own(repo: Path) -> None:
    with Pump("lsp", cwd=repo) as pump:
        pump.initialize()
        (pid,) = services(repo)
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.readlink(f"/proc/{pid}/fd/0") == os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"
        log = state_dir(repo) / "sidecar.log"
        assert os.readlink(f"/proc/{pid}/fd/2") == str(log)
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
        inherited = {os.readlink(f"/proc/{pump.process.pid}/fd/{fd}") for fd in (0, 1, 2)}
        kept = set()
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # It has just closed it.
                kept.add(os.readlink(path))
        assert str(log) in kept
        assert not inherited & kept
    assert git(repo, "status", "--porcelain") == ""


def start_together(repo: Path, trials: int, fronts: int = 4) -> None:
    """`fronts` processes that wait for a word, then all connect in the same instant; `trials` times anew."""
    script = (
        "import sys\n"
        "from sidecar.service import launch\n"
        "from sidecar.service.place import find_place\n"
        "place = find_place(sys.argv[1])\n"
        "for line in sys.stdin:\n"
        "    connection = launch.connect(place, 'control')\n"
        "    print(connection.pid, flush=True)\n"
        "    connection.sock.close()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(repo)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(fronts)
    ]
    try:
        for trial in range(trials):
            for process in processes:
                assert process.stdin
                process.stdin.write("go\n")
                process.stdin.flush()
            pids = {int(process.stdout.readline()) for process in processes if process.stdout}
            assert len(pids) == 1, f"trial {trial}"
            assert set(services(repo)) == pids, f"trial {trial}"
            if trial % 3 == 2:
                killed(pids.pop())
            else:
                assert control(repo, {"op": "stop"})["stopping"] is True
                if trial % 3 == 1:
                    wait_until(lambda: not services(repo), "it has ended")
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe
                pipe.close()


def test_of_many_front_ends_in_the_same_instant_one_starts_it(repo: Path) -> None:
    start_together(repo, 12)


@pytest.mark.slow
def test_of_many_front_ends_in_the_same_instant_one_starts_it_a_hundred_times(repo: Path) -> None:
    start_together(repo, 100)


def test_a_starter_that_is_killed_half_way_hinders_nobody(repo: Path) -> None:
    with Pump("lsp", cwd=repo) as pump:
        wait_until(lambda: services(repo), "the service was started")
        pump.process.kill()
        pid = connect(repo)
    # Where its child had no lock yet, two were started; the one that came too late goes by itself.
    wait_until(lambda: services(repo) == [pid], "one is left")


def test_each_work_tree_has_its_own(repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "w"
    git(repo, "worktree", "add", "-q", str(other))
    with no_service_left(other):
        first, second = connect(repo), connect(other)
        assert first != second
        assert control(other, {"op": "status"})["repository"] == str(other)
        assert control(other, {"op": "stop"})["pid"] == second
        assert control(repo, {"op": "status"})["pid"] == first
    assert git(repo, "status", "--porcelain") == git(other, "status", "--porcelain") == ""


def test_front_ends_with_another_runtime_directory_find_it(repo: Path, tmp_path: Path) -> None:
    pid = connect(repo)
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    with Pump("lsp", cwd=repo, env=env) as pump:
        pump.initialize()
        assert services(repo) == [pid]


# Found dead ---------------------------------------------------------------------------------------


def test_after_a_kill_the_next_front_end_starts_a_new_one(repo: Path) -> None:
    first = connect(repo)
    assert first is not None
    where = endpoint(repo)
    assert where is not None
    killed(first)
    assert os.path.exists(where["socket"]), "a killed process cleans nothing up"
    assert connect(repo, start=False) is None
    second = connect(repo)
    assert services(repo) == [second]
    assert not os.path.exists(where["socket"])


@pytest.mark.parametrize("found", ["{", "[]", "{}", '"x"', "\udc00", '{"socket": "/nowhere", "pid": 1}'])
def test_an_endpoint_file_that_says_nothing_is_as_good_as_none(repo: Path, found: str) -> None:
    (state_dir(repo)).mkdir(mode=0o700)
    (state_dir(repo) / "endpoint.json").write_bytes(found.encode("utf-8", "surrogatepass"))
    assert connect(repo, start=False) is None
    pid = connect(repo)
    assert services(repo) == [pid]


def test_a_token_is_not_given_to_another_process_at_the_same_port(repo: Path) -> None:
    first = connect(repo)
    assert first is not None
    killed(first)
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        port = trap.getsockname()[1]
        # The number of the process is in use again, by one that was started at another time.
        write_endpoint(repo, socket=None, port=port, token="secret", pid=os.getpid(), startTime=1)
        assert connect(repo, start=False) is None
        with pytest.raises(TimeoutError):
            trap.accept()


def test_one_that_hangs_is_reported_as_busy(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = connect(repo)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(launch, "START_SECONDS", 1.0)
            with pytest.raises(SidecarError) as caught:
                connect(repo)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert caught.value.kind == "busy"
    assert str(pid) in caught.value.hint
    assert connect(repo) == pid


def test_one_that_cannot_be_reached_is_named(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = find_place(str(repo))
    assert place is not None
    launch.prepare_state_dir(place)
    lock = launch.take_service_lock(place)
    assert lock is not None
    monkeypatch.setattr(launch, "START_SECONDS", 0.5)
    with pytest.raises(SidecarError, match="cannot be reached"):
        connect(repo)
    os.close(lock)
    assert services(repo) == [], "no second one was started"


# Not started --------------------------------------------------------------------------------------


def as_ordinary_user(command: list[str]) -> list[str]:
    """The command without root's right to write where permissions forbid it."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *command]


@pytest.mark.parametrize("what", ["git directory", "state directory", "a file in its place"])
def test_a_state_directory_that_cannot_be_written_is_named(repo: Path, what: str) -> None:
    directory = state_dir(repo)
    if what == "git directory":
        os.chmod(repo / ".git", 0o500)
    elif what == "state directory":
        directory.mkdir(mode=0o500)
        os.chmod(directory, 0o500)
    else:
        directory.write_text("in the way")
    done = subprocess.run(
        as_ordinary_user([sys.executable, "-m", "sidecar", "lsp"]),
        cwd=repo, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    os.chmod(repo / ".git", 0o700)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert str(directory) in done.stderr
    assert "Make it a directory of yours" in done.stderr
    assert services(repo) == []


def test_one_that_dies_at_its_start_shows_its_last_words(repo: Path, tmp_path: Path) -> None:
    env = install(
        tmp_path / "broken", "0.1.0", edits={"service/server.py": "\nraise RuntimeError('the moon is full')\n"}
    )
    with Pump("mcp", cwd=repo, env=env) as pump:
        code, said = pump.end()
    assert code == 3
    assert said.count("\n") == 1
    assert "RuntimeError: the moon is full" in said
    assert str(state_dir(repo) / "sidecar.log") in said


# Ended --------------------------------------------------------------------------------------------


def test_a_signal_ends_it_in_order(repo: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = service_process(repo)
        where = wait_until(lambda: endpoint(repo), "it listens")
        with Raw.dial(where) as raw:
            assert raw.hello("cli")["ok"] is True
            process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
            assert process.poll() is None
            started = time.monotonic()
            process.send_signal(number)
            assert raw.read() == b""
            assert process.wait(SECONDS) == 0
            assert time.monotonic() - started < FLUSH_SECONDS, "a client that stays holds nothing up"
        assert endpoint(repo) is None
        assert not os.path.exists(where["socket"])
    log = (state_dir(repo) / "sidecar.log").read_text()
    assert "signal SIGTERM" in log
    assert "Traceback" not in log


def service_process(repo: Path, **env: str) -> subprocess.Popen[bytes]:
    arguments = ["--git-dir", str(state_dir(repo).parent), "--top", str(repo)]
    return subprocess.Popen([sys.executable, "-m", "sidecar.service", *arguments], env={**os.environ, **env})


def test_a_second_process_for_the_same_repository_ends_at_once(repo: Path) -> None:
    pid = connect(repo)
    assert service_process(repo).wait(SECONDS) == 75
    assert services(repo) == [pid]


def test_it_ends_when_nobody_needs_it(repo: Path) -> None:
    process = service_process(repo, CODEX_SIDECAR_IDLE_SECONDS="0.3")
    assert process.wait(SECONDS) == 0
    assert endpoint(repo) is None
    assert "nobody needs it" in (state_dir(repo) / "sidecar.log").read_text()


def test_nothing_of_an_environment_is_in_the_log(repo: Path) -> None:
    with Pump("lsp", cwd=repo, env={**os.environ, "SECRET": "hunter2"}) as pump:
        pump.initialize()
    assert control(repo, {"op": "stop"})
    wait_until(lambda: not services(repo), "it has ended")
    log = (state_dir(repo) / "sidecar.log").read_text()
    assert log.count("\n") > 1
    assert "hunter2" not in log


# Replaced -----------------------------------------------------------------------------------------


def test_a_newer_front_end_replaces_it(repo: Path, tmp_path: Path) -> None:
    newer = install(tmp_path / "newer", "0.2.0")
    old = connect(repo)
    with Pump("lsp", cwd=repo) as stays:
        stays.initialize()
        with Pump("lsp", cwd=repo, env=newer) as pump:
            assert pump.initialize()["serverInfo"]["version"] == "0.2.0"
            status = control(repo, {"op": "status"})
            assert status["version"] == "0.2.0"
            assert services(repo) == [status["pid"]]
            assert status["pid"] != old
            assert stays.end()[0] == 1
            # What the older one finds next is newer, and is used as it is.
            with Pump("lsp", cwd=repo) as again:
                again.initialize()
                assert control(repo, {"op": "status"})["pid"] == status["pid"]


def test_asking_does_not_replace_it(repo: Path, tmp_path: Path) -> None:
    newer = install(tmp_path / "newer", "0.2.0")
    old = connect(repo)
    script = (
        "import json, sidecar, sys\nfrom sidecar.service import launch\nfrom sidecar.service.place import find_place\n"
        "print(json.dumps([sidecar.__version__, launch.control(find_place(sys.argv[1]), 'status')]))"
    )
    # With -c the working directory comes before PYTHONPATH.
    done = subprocess.run(
        [sys.executable, "-c", script, str(repo)], cwd=tmp_path, env=newer, capture_output=True, text=True, check=True
    )
    version, status = json.loads(done.stdout)
    assert version == "0.2.0"
    assert (status["pid"], status["version"]) == (old, "0.1.0")
