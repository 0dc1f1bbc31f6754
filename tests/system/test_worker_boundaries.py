"""What a worker of the real Codex cannot do from inside its sandbox, and what of its front end nobody else sees.

That a worker outside any sandbox is refused too, and that Codex's own configuration of servers is read as Codex reads
it, is tested where those are (`test_daemon_jobs`, `test_worker_codex`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from tests.support.codex import native_codex, write_codex_home
from tests.support.mcp import RawClient
from tests.support.mcp_clients import http_server
from tests.support.raw import endpoint, no_service_left, state_dir, wait_until
from tests.support.repo import git, make_repo

pytestmark = pytest.mark.slow
PROGRAM = (sys.executable, "-m", "sidecar")


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"a.txt": "one\n"})
    with no_service_left(path):
        yield path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedModel]:
    """Real Codex, led by the scripted model, in whose configuration the sidecar is installed as its user would."""
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url)
        monkeypatch.setenv("CODEX_HOME", str(home))
        monkeypatch.setenv("CODEX_SIDECAR_CODEX", str(native_codex()))
        subprocess.run([*PROGRAM, "install", "codex"], check=True, capture_output=True)
        assert "[mcp_servers.codex-cli-wrapper]" in (home / "config.toml").read_text()
        yield model


@contextlib.asynccontextmanager
async def boss(repo: Path, env: dict[str, str] | None = None) -> AsyncIterator[RawClient]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "mcp", cwd=repo, env={**os.environ, **(env or {})}, stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    assert process.stdin is not None
    client = RawClient(process.stdout, process.stdin)
    try:
        await client.initialize()
        yield client
    finally:
        await client.close()
        await asyncio.wait_for(process.wait(), 20)


async def outputs(boss: RawClient, sandbox: str, *commands: str) -> list[str]:
    """What commands print that a worker runs in its sandbox."""
    steps = [{"sh": command, "args": {"yield_time_ms": 30_000}} for command in commands]
    prompt = f"Try. {MARKER} {json.dumps([*steps, {'json': {'summary': 'tried', 'modifiedFiles': []}}])}"
    job = (await boss.call("codex_spawn", {"prompt": prompt, "sandbox": sandbox}))["structuredContent"]
    timed_out = True
    while timed_out:
        waited = (await boss.call("codex_wait_any", {"jobIds": [job["jobId"]], "timeoutMs": 10_000}))[
            "structuredContent"
        ]
        timed_out = waited["timedOut"]
    assert waited["status"] == "done", waited
    page = (await boss.call("codex_events", {"jobId": job["jobId"], "maxEvents": 200, "maxBytes": 200_000}))[
        "structuredContent"
    ]
    assert page["done"] is True
    found = [event["content"]["output"] for event in page["events"] if event["type"] == "tool_result"]
    assert len(found) == len(commands), page
    return found


CONNECT = """
import socket, sys
try:
    sock = socket.socket(socket.AF_UNIX) if sys.argv[1] == 'unix' else socket.socket()
    sock.connect(sys.argv[2] if sys.argv[1] == 'unix' else ('127.0.0.1', int(sys.argv[2])))
    print('connected')
except OSError as exc:
    print('refused', type(exc).__name__)
"""


def connect(kind: str, where: object) -> str:
    return shlex.join([sys.executable, "-c", CONNECT, kind, str(where)])


@pytest.mark.codex
async def test_a_sandboxed_worker_reaches_nothing_of_the_sidecar(repo: Path, model: ScriptedModel) -> None:
    spawn = shlex.join([*PROGRAM, "--repo", str(repo), "spawn", "more of me", "--json"])
    with http_server(repo) as (url, _):
        async with boss(repo) as client:
            where = endpoint(repo)
            assert where is not None
            ways = [connect("unix", where["socket"]), connect("tcp", url.split(":")[2].split("/")[0])]
            for way in ways:
                assert subprocess.check_output(way, shell=True, text=True) == "connected\n", "outside of a sandbox"
            for sandbox in ("read-only", "workspace-write"):
                *reached, spawned, unmarked, environment = await outputs(
                    client, sandbox,
                    *ways,
                    f"{spawn}; echo exit=$?",
                    f"env -u CODEX_SIDECAR_JOB {spawn}; echo exit=$?",
                    "env -0 | tr '\\0' '\\n' | grep -o '^CODEX_SIDECAR[A-Z_]*'; true",
                )  # fmt: skip
                assert reached == ["refused PermissionError\n"] * 2
                assert "A worker of Codex Sidecar cannot use Codex Sidecar itself." in spawned
                assert "This shell is in a sandbox that forbids sockets" in unmarked, (
                    "the mark is gone, the sandbox not"
                )
                for said in (spawned, unmarked):
                    assert said.endswith("exit=3\n")
                assert environment == "CODEX_SIDECAR_JOB\n", "the mark of a worker is all that it has of us"
            jobs = (await client.call("codex_status"))["structuredContent"]["jobs"]
            assert [job["label"] for job in jobs] == ["w1", "w2"]
    asked = json.dumps(model.requests)
    assert "exec_command" in asked, "the test looks at the right place"
    for word in ("codex_cli_wrapper", "codex-cli-wrapper", "codex_spawn_group", "mcp__"):
        assert word not in asked
    assert git(repo, "status", "--porcelain") == ""


POST = """
import sys, urllib.error, urllib.request
from pathlib import Path
(token,) = Path(sys.argv[2]).glob('*.token')
head = {'Authorization': 'Bearer ' + token.read_text().strip(), 'Content-Type': 'application/json'}
try:
    print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], b'{}', head)).status)
except urllib.error.HTTPError as exc:
    print(exc.code)
"""


@pytest.mark.codex
async def test_without_a_sandbox_the_http_listener_knows_a_worker(repo: Path, model: ScriptedModel) -> None:
    """It can read the token, since it may read whatever its user may; the listener looks at who connects."""
    with http_server(repo) as (url, _):
        tokens = repo / ".git" / "codex-sidecar"
        async with boss(repo) as client:
            (status,) = await outputs(
                client, "danger-full-access", shlex.join([sys.executable, "-c", POST, url, str(tokens)])
            )
        mine = subprocess.run(
            [sys.executable, "-c", POST, url, str(tokens)], check=True, capture_output=True, text=True
        )
    assert status == "403\n"
    assert mine.stdout == "400\n", "for anybody else it is only a bad message"


SECRET = "sk-test-0a1b2c3d4e5f60718293a4b5c6d7e8f9"


async def test_a_secret_of_the_front_end_is_in_no_answer_no_log_and_no_file(repo: Path, tmp_path: Path) -> None:
    worker = shlex.join([sys.executable, "-m", "sidecar.demo.worker"])
    env = {"OPENAI_API_KEY": SECRET, "CODEX_SIDECAR_CODEX": worker}
    go = tmp_path / "go"
    # The worker has it, which is what it is for.
    steps = [
        {"sh": f"printf %s $OPENAI_API_KEY | sha256sum > {tmp_path}/has"},
        {"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"},
        {"http": 401, "body": {}},
    ]
    prompt = f"{MARKER} {json.dumps(steps)}"
    answers: list[Any] = []
    async with boss(repo, env) as client:

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            answers.append(await client.call(tool, arguments))
            content: dict[str, Any] = answers[-1]["structuredContent"]
            return content

        running = await call("codex_spawn", prompt=prompt, sandbox="danger-full-access")
        queued = await call("codex_spawn", prompt="later", dependsOn=[running["jobId"]])
        await call("codex_wait_any", jobIds=[running["jobId"]], timeoutMs=1)
        # While a worker is being started files come and go.
        has = tmp_path / "has"
        await asyncio.to_thread(wait_until, lambda: has.exists() and has.read_text(), "the worker runs")
        private = holders(state_dir(repo))
        assert private, "until the end it has to be kept"
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
        go.touch()
        await call("codex_wait_any", jobIds=[running["jobId"]], timeoutMs=20_000)
        await call("codex_wait_any", jobIds=[queued["jobId"]], timeoutMs=20_000)
        for job in (running["jobId"], queued["jobId"]):
            assert (await call("codex_result", jobId=job))["status"] in ("failed", "cancelled")
            await call("codex_events", jobId=job, maxEvents=200, maxBytes=100_000)
        for tool in ("codex_status", "codex_doctor", "codex_conflicts", "codex_snapshots", "codex_baseline"):
            await call(tool)
        for tool in ("codex_rollback", "codex_rerun", "codex_spawn", "codex_restore", "codex_resume"):
            await call(tool)
        await call("codex_result", jobId="unknown")
    async with boss(repo, {**env, "CODEX_SIDECAR_CODEX": "/nowhere/codex"}) as client:
        answers.append(await client.call("codex_spawn", {"prompt": "x"}))
        answers.append(await client.call("codex_doctor"))
        answers.append((await client.request("resources/list"))["result"])
    assert (tmp_path / "has").read_text().split()[0] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert holders(state_dir(repo)) == []
    assert sum(bool(answer.get("isError")) for answer in answers) >= 4
    assert SECRET not in json.dumps(answers)
    for words in (["status"], ["doctor"], ["spawn", "x"], ["daemon", "status"]):
        done = subprocess.run([*PROGRAM, *words, "--json"], cwd=repo, env={**os.environ, **env}, capture_output=True)
        assert SECRET.encode() not in done.stdout + done.stderr
    assert (state_dir(repo) / "sidecar.log").stat().st_size > 0


def holders(directory: Path) -> list[Path]:
    """The files that hold the secret."""
    return [path for path in directory.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
