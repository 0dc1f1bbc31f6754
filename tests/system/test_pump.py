"""The pump as a process: every byte, every end, no word too many. The service is real, its front ends echo."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw import SECONDS, Pump, control, endpoint, state_dir, wait_until
from tests.support.repo import git, make_repo

MEGABYTE = 1_000_000


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "r", {"sub/a.txt": "x"})


@pytest.fixture
def service(repo: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A service process of the repository, listening; its `lsp` echoes, its `mcp` is silent."""
    process = subprocess.Popen([sys.executable, "-m", "tests.support.service", str(repo)])
    wait_until(lambda: endpoint(repo), "the service listens")
    yield process
    process.kill()
    process.wait()


def same_both_ways(pump: Pump, size: int, *, pause: float = 0.0) -> None:
    """Sends `size` random bytes while reading them back; the reader sleeps first, so everything has to wait."""
    data = random.Random(size).randbytes(size)

    def write() -> None:
        for start in range(0, size, 70_001):
            pump.write(data[start : start + 70_001])

    writing = threading.Thread(target=write)
    writing.start()
    time.sleep(pause)
    back = pump.stdout.read(size)
    writing.join()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()


@pytest.mark.usefixtures("service")
def test_fifty_megabytes_both_ways_past_a_reader_that_pauses(repo: Path) -> None:
    with Pump("lsp", cwd=repo) as pump:
        paused_rss: list[int] = []
        watching = threading.Timer(0.8, lambda: paused_rss.append(_rss_kilobytes(pump.process.pid)))
        watching.start()
        same_both_ways(pump, 50 * MEGABYTE, pause=1.0)
        pump.stdin.close()
        assert pump.stdout.read() == b"%d bytes" % (50 * MEGABYTE)
        assert pump.end() == (0, "")
    assert paused_rss[0] < 40_000, "the pump keeps nothing back"


def _rss_kilobytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


@pytest.mark.usefixtures("service")
def test_the_end_of_input_closes_one_half_only(repo: Path) -> None:
    with Pump("lsp", cwd=repo) as pump:
        pump.write(b"abc")
        pump.stdin.close()
        assert pump.stdout.read() == b"abc3 bytes"
        assert pump.end() == (0, "")


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("code", [0, 1, 5])
def test_it_exits_with_what_the_sidecar_decided(repo: Path, code: int) -> None:
    with Pump("lsp", cwd=repo) as pump:
        pump.write(b"exit %d" % code)
        assert pump.end() == (code, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("blocked", [False, True])
def test_a_signal_ends_it_at_once(
    repo: Path, service: subprocess.Popen[bytes], number: int, code: int, blocked: bool
) -> None:
    """It waits for nobody: the sidecar is stopped meanwhile, and would not answer."""
    with Pump("lsp", cwd=repo) as pump:
        pump.write(b"abc")
        assert pump.stdout.read(3) == b"abc"
        if blocked:
            # Nobody reads: the pump hangs in its write to us, and soon in its write to the sidecar too.
            os.set_blocking(pump.stdin.fileno(), False)
            for _ in range(40):
                try:
                    os.write(pump.stdin.fileno(), b"x" * 65_536)
                except BlockingIOError:
                    time.sleep(0.01)
        service.send_signal(signal.SIGSTOP)
        pump.process.send_signal(number)
        assert pump.process.wait(SECONDS) == code
        service.send_signal(signal.SIGCONT)
    wait_until(lambda: control(repo, {"op": "status"})["clients"] == 0, "the sidecar has noticed")


def test_it_says_in_one_sentence_that_the_sidecar_is_gone(repo: Path, service: subprocess.Popen[bytes]) -> None:
    with Pump("lsp", cwd=repo) as pump:
        pump.write(b"abc")
        assert pump.stdout.read(3) == b"abc"
        service.kill()
        code, said = pump.end()
        assert pump.stdout.read() == b""
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith("codex-sidecar: The sidecar process ended.")


def test_an_orderly_end_of_the_sidecar_ends_it_too(repo: Path, service: subprocess.Popen[bytes]) -> None:
    with Pump("mcp", cwd=repo) as pump:
        wait_until(lambda: control(repo, {"op": "status"})["clients"] == 1, "it is connected")
        service.terminate()
        assert service.wait(SECONDS) == 0
        assert pump.end()[0] == 1


@pytest.mark.usefixtures("service")
def test_a_client_that_closes_its_reading_end_ends_it(repo: Path) -> None:
    with Pump("lsp", cwd=repo) as pump:
        pump.stdout.close()
        pump.write(b"abc")
        pump.process.wait(SECONDS)
    wait_until(lambda: control(repo, {"op": "status"})["clients"] == 0, "the sidecar has noticed")


@pytest.mark.usefixtures("service")
def test_without_standard_input_it_ends_like_with_an_empty_one(repo: Path) -> None:
    closed = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m sidecar lsp <&-"], cwd=repo, capture_output=True, timeout=30
    )
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, b"0 bytes", b"")


@pytest.mark.usefixtures("service")
def test_pipes_that_do_not_block(repo: Path) -> None:
    script = (
        "import os, sys; from sidecar.entry import main\n"
        "os.set_blocking(0, False); os.set_blocking(1, False); sys.exit(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, "lsp"], cwd=repo, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        data = random.Random(1).randbytes(5 * MEGABYTE)
        time.sleep(0.3)
        out, _ = process.communicate(data, timeout=30)
        assert process.returncode == 0
        assert out == data + b"%d bytes" % len(data)


@pytest.mark.usefixtures("service")
def test_what_the_sidecar_is_told(repo: Path, tmp_path: Path) -> None:
    with Pump("lsp", "--repo", str(repo / "sub"), cwd=tmp_path, env={**os.environ, "MARK": "ä"}) as pump:
        pump.write(b"who")
        pump.stdin.close()
        frontend, version, cwd, pid, env = json.loads(pump.stdout.read().rpartition(b"]")[0] + b"]")
        assert (frontend, version, cwd, pid) == ("lsp", "0.1.0", str(repo / "sub"), pump.process.pid)
        assert env == {**os.environ, "MARK": "ä"}


@pytest.mark.usefixtures("service")
def test_the_flags_that_editors_add_are_taken(repo: Path, tmp_path: Path) -> None:
    with Pump("lsp", f"--repo={repo}", "--stdio", "--clientProcessId=1", cwd=tmp_path) as pump:
        pump.stdin.close()
        assert pump.stdout.read() == b"0 bytes"
        assert pump.end() == (0, "")


@pytest.mark.usefixtures("service")
def test_the_repository_may_be_named_before_the_front_end(repo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sidecar", "--repo", str(repo), "lsp"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0 bytes", b"")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--nope"], "--nope"), (["extra"], "extra"), (["--repo"], "--repo"), (["--repo", "/no/such"], "/no/such")],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: list[str], named: str) -> None:
    with Pump("lsp", *arguments, cwd=tmp_path) as pump:
        code, said = pump.end()
        assert pump.stdout.read() == b""
    assert code == 2
    assert named in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("frontend", ["lsp", "mcp"])
def test_help_is_printed(tmp_path: Path, frontend: str) -> None:
    with Pump(frontend, "--help", cwd=tmp_path) as pump:
        assert f"codex-sidecar {frontend}" in pump.stdout.read().decode()
        assert pump.end() == (0, "")


def test_a_worker_is_refused_and_starts_nothing(repo: Path) -> None:
    with Pump("mcp", cwd=repo, env={**os.environ, "CODEX_SIDECAR_JOB": "j/1"}) as pump:
        code, said = pump.end()
    assert code == 3
    assert "worker" in said
    assert not state_dir(repo).exists()


@pytest.mark.usefixtures("service")
def test_a_linked_work_tree_does_not_use_the_main_one_s_sidecar(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", str(tmp_path / "w"))
    assert control(tmp_path / "w", {"op": "status"}) is None
    assert control(repo, {"op": "status"})["running"] is True
