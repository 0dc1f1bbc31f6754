"""`codex-sidecar mcp --http` as a person starts it: what it prints, and that nothing listens longer than it runs."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from mcp.client.client import Client as SdkClient
from mcp.client.streamable_http import streamable_http_client

from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from tests.support.codex import native_codex, write_codex_home
from tests.support.mcp import MODERN
from tests.support.raw import SECONDS, control, no_service_left, services, state_dir, wait_until
from tests.support.repo import git, make_repo

pytestmark = pytest.mark.slow
PROGRAM = (sys.executable, "-m", "sidecar", "mcp")
WORKER = shlex.join([sys.executable, "-m", "sidecar.demo.worker"])


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository whose workers are scripted."""
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", WORKER)
    path = make_repo(tmp_path / "r")
    with no_service_left(path):
        yield path


class Front:
    """The program, with what it printed."""

    def __init__(self, repo: Path, *arguments: str, env: dict[str, str] | None = None) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*PROGRAM, "--http", *arguments], cwd=repo, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        assert self.process.stdout is not None
        said = [self.process.stdout.readline() for _ in range(2 + ("--show-token" in arguments))]
        self.said = dict(line.rstrip("\n").split(": ", 1) for line in said if line)

    def __enter__(self) -> Front:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def port(self) -> int:
        return int(self.said["url"].rpartition(":")[2].removesuffix("/mcp"))

    @property
    def token(self) -> str:
        return Path(self.said["token file"]).read_text()

    def status(self) -> int:
        """What a request without a token gets; 0 where nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("GET", "/mcp")
            return connection.getresponse().status
        except ConnectionError:
            return 0
        finally:
            connection.close()


def listening_sockets(repo: Path) -> list[Any]:
    found = [one for pid in services(repo) for one in psutil.Process(pid).net_connections("inet")]
    return [one.laddr for one in found if one.status == psutil.CONN_LISTEN]


def ended(*arguments: str, cwd: Path, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **env}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_a_round_over_http(repo: Path, era: str) -> None:
    with Front(repo, env={"WHO_ASKED": "the front end"}) as front:
        steps = [{"sh": 'printf %s "$WHO_ASKED" > said.txt'}, {"json": {"summary": "x", "modifiedFiles": ["said.txt"]}}]
        arguments = {"prompt": f"{MARKER} {json.dumps(steps)}", "sandbox": "workspace-write"}
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {front.token}"}, timeout=60) as transport:
            async with SdkClient(streamable_http_client(front.said["url"], http_client=transport), mode=era) as client:
                job = (await client.call_tool("codex_spawn", arguments)).structured_content
                assert job is not None
                waited = await client.call_tool("codex_wait_any", {"jobIds": [job["jobId"]]})
                assert waited.structured_content is not None
                assert waited.structured_content["status"] == "done"
        assert (repo / "said.txt").read_text() == "the front end"
        # The terminal sees the same job: it is the repository's one sidecar that listens.
        status = subprocess.run(
            [sys.executable, "-m", "sidecar", "status", "--json"], cwd=repo, check=True, capture_output=True, text=True
        )
        assert [one["jobId"] for one in json.loads(status.stdout)["jobs"]] == [job["jobId"]]
        assert len(services(repo)) == 1
    assert git(repo, "status", "--porcelain").split() == ["??", "said.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_listener_before_the_program_ends(repo: Path, number: signal.Signals) -> None:
    with Front(repo) as front:
        assert front.status() == 401
        token_file = Path(front.said["token file"])
        assert token_file.parent == state_dir(repo)
        front.process.send_signal(number)
        assert front.process.wait(SECONDS) == 128 + number
        assert front.status() == 0
        assert not token_file.exists()
        assert front.process.communicate() == ("", "")


def test_a_front_end_that_is_killed_leaves_no_listener(repo: Path) -> None:
    with Front(repo) as front:
        assert [tuple(one) for one in listening_sockets(repo)] == [("127.0.0.1", front.port)]
        front.process.kill()
        front.process.wait()
        wait_until(lambda: front.status() == 0, "the listener closes")
        wait_until(lambda: not Path(front.said["token file"]).exists(), "the token's file goes")
        assert listening_sockets(repo) == []
        assert len(services(repo)) == 1
        wait_until(lambda: control(repo, {"op": "status"})["clients"] == 0, "nobody is connected")


def test_the_end_of_the_sidecar_ends_the_program_and_the_next_one_cleans_up(repo: Path) -> None:
    with Front(repo) as front:
        (service,) = services(repo)
        os.kill(service, signal.SIGKILL)
        _, said = front.process.communicate(timeout=SECONDS)
        assert front.process.returncode == 1
        assert said.startswith("codex-sidecar: The sidecar process ended")
        assert front.status() == 0
        old = Path(front.said["token file"])
        assert old.exists()
    with Front(repo) as front:
        assert [path.name for path in state_dir(repo).glob("*token*")] == [Path(front.said["token file"]).name]


def test_the_token_is_shown_only_when_asked_for_and_is_in_no_argument_list_or_log(repo: Path) -> None:
    with Front(repo) as plain, Front(repo, "--show-token") as shown:
        assert set(plain.said) == {"url", "token file"}
        assert shown.said["token"] == shown.token != plain.token
        command_lines = [word for one in psutil.process_iter(["cmdline"]) for word in one.info["cmdline"] or []]
        log = (state_dir(repo) / "sidecar.log").read_text()
        for token in (plain.token, shown.token):
            assert not any(token in word for word in command_lines)
            assert token not in log
            found = subprocess.run(["grep", "-rl", token, str(repo)], capture_output=True, text=True).stdout.split()
            port = plain.port if token == plain.token else shown.port
            assert [Path(path).name for path in found] == [f"http-{port}.token"]


def test_nothing_listens_unless_it_is_asked_for_whatever_a_repository_says(repo: Path) -> None:
    for name, text in {
        ".vscode/settings.json": '{"codexSidecar.http": true, "codexSidecar.mcp.http": {"port": 8765}}',
        ".codex-sidecar.json": '{"http": true}',
        ".codex/config.toml": "[codex-sidecar]\nhttp = true\n",
    }.items():
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(text)
    git(repo, "config", "codex-sidecar.http", "true")
    done = subprocess.run(PROGRAM, cwd=repo, input="", capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0
    assert len(services(repo)) == 1
    assert listening_sockets(repo) == []


def test_a_chosen_port_and_what_is_wrong_is_told_with_its_remedy(repo: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, said = ended("--http", "--port", str(port), cwd=repo)
        assert (code, out) == (3, "")
        assert said == (
            f"codex-sidecar: Port {port} of 127.0.0.1 is in use. Name another with --port, or leave --port out for a "
            "free one.\n"
        )
    with Front(repo, "--port", str(port)) as front:
        assert front.port == port
        assert front.status() == 401
    for arguments in (("--port", "1"), ("--show-token",)):
        assert ended(*arguments, cwd=repo)[0] == 2
    for wrong in ("x", "70000", "-1", ""):
        code, _, said = ended("--http", "--port", wrong, cwd=repo)
        assert code == 2
        assert "--port" in said
    code, out, said = ended("--http", cwd=tmp_path)
    assert (code, out) == (3, "")
    assert "git init" in said
    code, _, said = ended("--http", cwd=repo, CODEX_SIDECAR_JOB="j/1")
    assert code == 3
    assert "worker" in said
    code, out, _ = ended("--help", cwd=repo)
    assert code == 0
    for word in ("--http", "--port", "--show-token", "127.0.0.1", "Ctrl-C"):
        assert word in out


def test_the_front_end_imports_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import sidecar.entry, sidecar.pump, sidecar.service.http_front; "
        "print(*sorted(name.split('.')[0] for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    foreign = {name for name in done.stdout.split() if name not in sys.stdlib_module_names and name != "sidecar"}
    assert foreign == set()


@pytest.mark.codex
def test_the_real_codex_as_boss_with_the_entry_of_our_page(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = "mcp__codex_cli_wrapper__"
    worker = f"{MARKER} {json.dumps([{'json': {'summary': 'the answer', 'modifiedFiles': []}}])}"
    steps: list[Any] = [
        {"mcp": f"{server}codex_spawn", "args": {"prompt": worker}},
        {"mcp": f"{server}codex_result", "args": {"jobId": "unknown"}},
        {"message": "all done"},
    ]
    with Front(repo) as front, ScriptedModel() as model:
        page = (Path(__file__).resolve().parents[2] / "docs" / "mcp.md").read_text()
        entry = re.search(r"```toml\n(\[mcp_servers.codex-cli-wrapper\]\n.*?)```", page, re.DOTALL)
        assert entry is not None
        home = write_codex_home(tmp_path / "codex", model.url, model="gpt-6")
        with (home / "config.toml").open("a") as file:
            file.write(entry[1].replace("8765", str(front.port)))
            file.write('required = true\ndefault_tools_approval_mode = "approve"\n')
        monkeypatch.setenv("CODEX_HOME", str(home))
        monkeypatch.setenv("CODEX_SIDECAR_TOKEN", front.token)
        done = subprocess.run(
            [native_codex(), "exec", "--json", "-s", "danger-full-access", f"{MARKER} {json.dumps(steps)}"],
            cwd=repo, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        events = map(json.loads, done.stdout.splitlines())
        items = [event["item"] for event in events if event["type"] == "item.completed"]
        spawned, missing = [item["result"]["structured_content"] for item in items if item["type"] == "mcp_tool_call"]
        assert missing["kind"] == "unknown-job"
        waited = subprocess.run(
            [sys.executable, "-m", "sidecar", "wait-any", spawned["jobId"], "--json"],
            cwd=repo, capture_output=True, text=True, timeout=2 * SECONDS,
        )  # fmt: skip
        assert json.loads(waited.stdout)["status"] == "done"


@pytest.mark.codex
def test_a_real_worker_that_is_given_address_and_token_is_refused(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry under another name, with the token written into it: not even then does Codex reach us as a worker."""
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url, model="gpt-6")
        monkeypatch.setenv("CODEX_HOME", str(home))
        monkeypatch.setenv("CODEX_SIDECAR_CODEX", shlex.quote(str(native_codex())))
        with Front(repo) as front:
            with (home / "config.toml").open("a") as file:
                file.write(
                    f'\n[mcp_servers.other]\nurl = "{front.said["url"]}"\ndefault_tools_approval_mode = "approve"\n'
                )
                file.write(f'http_headers = {{ Authorization = "Bearer {front.token}" }}\n')
            steps = [{"message": "x"}, {"json": {"summary": "ok", "modifiedFiles": []}}]
            done = subprocess.run(
                [sys.executable, "-m", "sidecar", "spawn", f"{MARKER} {json.dumps(steps)}", "--json"],
                cwd=repo, check=True, capture_output=True, text=True, timeout=2 * SECONDS,
            )  # fmt: skip
            job = json.loads(done.stdout)["jobId"]
            subprocess.run([sys.executable, "-m", "sidecar", "wait-any", job], cwd=repo, timeout=4 * SECONDS)
            offered = json.dumps([body.get("tools") for body in model.requests])
            assert model.requests
            assert "codex_spawn" not in offered
            log = (state_dir(repo) / "sidecar.log").read_text()
            assert "a worker was refused over HTTP" in log
