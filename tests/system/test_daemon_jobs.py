"""A sidecar process comes and goes while its worker works. The worker is scripted, everything else is the product."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sidecar.service import launch
from sidecar.service.place import find_place
from tests.support.raw import Raw, control, endpoint, is_alive, no_service_left, services, wait_until
from tests.support.repo import make_repo
from tests.support.versions import install

WORKER = """
import json, os, subprocess, sys, time
from pathlib import Path
if "--version" in sys.argv:
    print("scripted-worker 1.0"); raise SystemExit
home = Path(__file__).parent
print(json.dumps({"type": "thread.started", "thread_id": "t-1"}), flush=True)
(home / "pid").write_text(str(os.getpid()))
intruder = home / "intruder.py"
if intruder.exists():
    # Far away from the worker: another session, another parent, nothing of its environment.
    subprocess.run([sys.executable, "-c",
        "import os, subprocess, sys\\n"
        "if os.fork() == 0:\\n"
        "    os.setsid()\\n"
        "    subprocess.run([sys.executable, sys.argv[1]], env={'PATH': os.environ['PATH']})", str(intruder)])
while not (home / "go").exists():
    time.sleep(0.02)
item = {"id": "i", "type": "agent_message", "text": json.dumps({"summary": "well done", "modifiedFiles": []})}
print(json.dumps({"type": "item.completed", "item": item}), flush=True)
usage = {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 1}
print(json.dumps({"type": "turn.completed", "usage": usage}))
"""


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "r")
    with no_service_left(path):
        yield path


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Path]:
    """Where the worker lives; it ends when `go` is there, also where a test fails before."""
    home = tmp_path / "worker"
    home.mkdir()
    (home / "worker.py").write_text(WORKER)
    yield home
    (home / "go").touch()


def environment(worker: Path, base: Mapping[str, str] | None = None) -> dict[str, str]:
    command = shlex.join([sys.executable, str(worker / "worker.py")])
    return {**(os.environ if base is None else base), "CODEX_SIDECAR_CODEX": command}


def client(repo: Path, env: Mapping[str, str]) -> Raw:
    """A connection of the terminal's commands; the sidecar is started if none runs."""
    place = find_place(str(repo))
    assert place is not None
    connection = launch.connect(place, "cli", env=env)
    assert connection is not None
    return Raw(connection.sock)


def call(repo: Path, env: Mapping[str, str], tool: str, **arguments: Any) -> dict[str, Any]:
    with client(repo, env) as raw:
        answer = raw.ask({"id": 1, "tool": tool, "arguments": arguments})
    assert "result" in answer, answer
    return dict(answer["result"])


def started(repo: Path, worker: Path, env: Mapping[str, str]) -> tuple[str, int]:
    """A job whose worker runs: its id, and the worker's process."""
    job = call(repo, env, "codex_spawn", prompt="do it")["jobId"]
    pid = int(wait_until(lambda: (worker / "pid").exists() and (worker / "pid").read_text(), "the worker runs"))
    # It may run a moment before the sidecar has recorded that.
    wait_until(lambda: call(repo, env, "codex_status", jobId=job)["status"] == "running", "the sidecar knows it")
    return job, pid


def finish(repo: Path, worker: Path, env: Mapping[str, str], job: str) -> dict[str, Any]:
    (worker / "go").touch()
    answer = call(repo, env, "codex_wait_any", jobIds=[job], timeoutMs=20_000)
    assert answer["completedJobId"] == job
    return call(repo, env, "codex_result", jobId=job)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_worker_outlives_the_sidecar_and_the_next_one_takes_it_up(repo: Path, worker: Path, end: str) -> None:
    env = environment(worker)
    job, pid = started(repo, worker, env)
    (first,) = services(repo)
    if end == "stop":
        assert control(repo, {"op": "stop"})["pid"] == first
    else:
        os.kill(first, signal.SIGKILL)
    wait_until(lambda: not services(repo), "the sidecar has ended")
    assert is_alive(pid)
    assert call(repo, env, "codex_status", jobId=job)["status"] == "running"
    (second,) = services(repo)
    assert second != first
    result = finish(repo, worker, env, job)
    assert (result["status"], result["finalMessage"]) == ("done", "well done")


def test_a_newer_version_takes_the_worker_over(repo: Path, worker: Path, tmp_path: Path) -> None:
    env = environment(worker)
    job, pid = started(repo, worker, env)
    newer = environment(worker, install(tmp_path / "newer", "0.2.0"))
    script = (
        "import json, sys\nfrom sidecar.service import launch\nfrom sidecar.service.place import find_place\n"
        "print(launch.connect(find_place(sys.argv[1]), 'control').version)"
    )
    # With -c the working directory comes before PYTHONPATH.
    done = subprocess.run(
        [sys.executable, "-c", script, str(repo)], cwd=tmp_path, env=newer, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0.2.0"
    assert control(repo, {"op": "status"})["version"] == "0.2.0"
    assert is_alive(pid)
    assert finish(repo, worker, env, job)["status"] == "done"


def test_it_does_not_end_for_idleness_while_a_worker_runs(
    repo: Path, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_SIDECAR_IDLE_SECONDS", "0.3")
    env = environment(worker)
    _, pid = started(repo, worker, env)
    (service,) = services(repo)
    with pytest.raises(AssertionError, match="not within"):
        wait_until(lambda: not is_alive(service), "it ends", 1.5)
    (worker / "go").touch()
    wait_until(lambda: not is_alive(service), "it ends once the worker is done")
    assert not is_alive(pid)


def test_a_worker_cannot_use_the_sidecar_however_far_it_goes(repo: Path, worker: Path) -> None:
    env = environment(worker)
    call(repo, env, "codex_status")
    where = endpoint(repo)
    assert where is not None
    hello = {"sidecar": 1, "frontend": "cli", "version": "0.1.0", "pid": 1, "cwd": "/", "env": {}}
    (worker / "intruder.py").write_text(
        "import os, socket\n"
        f"sock = socket.socket(socket.AF_UNIX); sock.connect({where['socket']!r})\n"
        f"sock.sendall({json.dumps(hello)!r}.encode() + b'\\n')\n"
        f"open({str(worker / 'part')!r}, 'wb').write(sock.makefile('rb').readline())\n"
        f"os.rename({str(worker / 'part')!r}, {str(worker / 'answer')!r})\n"
    )
    job, _ = started(repo, worker, env)
    wait_until(lambda: (worker / "answer").exists(), "the intruder was answered")
    answer = json.loads((worker / "answer").read_text())
    assert answer["ok"] is False
    assert answer["error"]["kind"] == "limit-reached"
    assert finish(repo, worker, env, job)["status"] == "done"
