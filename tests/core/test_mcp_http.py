"""MCP over HTTP: who is refused and how, and that both protocols are served as on standard input. Real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import psutil
import pytest
from mcp.client.client import Client as SdkClient
from mcp.client.streamable_http import streamable_http_client

from sidecar.demo.script import MARKER
from sidecar.mcp import http as face
from sidecar.mcp import tasks, watching
from sidecar.model import limits
from sidecar.service import http_connection, http_peers, http_tokens
from sidecar.service.http_peers import Peers
from sidecar.tools.caller import Client
from tests.support.mcp import META, MODERN, VERSIONS, AnythingOutput, Gate, add_tool, checked, socket_pair, soon
from tests.support.repo import make_repo
from tests.support.round import Round, open_round, until

REPORT = {"json": {"summary": "done", "modifiedFiles": []}}
DECLARED = META | {"io.modelcontextprotocol/clientCapabilities": {"extensions": {tasks.IDENTIFIER: {}}}}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": "one\n"})


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON-RPC message, also as the one event of a stream."""
        text = self.body.decode()
        if self.headers["content-type"].startswith("text/event-stream"):
            lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
            text = lines[-1]
        return json.loads(text)


class Http:
    """One listener, and requests to it in which nothing is added unasked."""

    def __init__(self, url: str, token_file: Path, writer: asyncio.StreamWriter, serving: asyncio.Task[int]) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2].partition("/")[0])
        self.token_file = token_file
        self.token = token_file.read_text()
        self.writer = writer
        self.serving = serving

    def headers(self, **more: str | None) -> dict[str, str]:
        """Those of a good request; None leaves one out."""
        good: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        good.update({name.replace("_", "-"): value for name, value in more.items()})
        return {name: value for name, value in good.items() if value is not None}

    async def send(
        self, method: str = "POST", path: str = "/mcp", body: bytes | None = None, **headers: str | None
    ) -> Answer:
        return await asyncio.to_thread(self._send, method, path, body, self.headers(**headers))

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    async def ask(self, method: str, params: dict[str, Any], **headers: str | None) -> Answer:
        """One request of the protocol without a handshake."""
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"_meta": META} | params}
        named = params.get("name") or params.get("taskId") or params.get("uri")
        routing = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method, "Mcp_Name": named}
        return await self.send(body=json.dumps(body).encode(), **(routing | headers))


@contextlib.asynccontextmanager
async def listening(core: Any, env: dict[str, str] | None = None, port: int = 0) -> AsyncIterator[Http]:
    """A front end's connection that has asked for a listener."""
    (reader, writer), theirs = await socket_pair()
    serving = asyncio.ensure_future(
        http_connection.serve(core, Client("mcp", "0", cwd=str(core.top), env=env or {}), *theirs)
    )
    writer.write(json.dumps({"port": port}).encode() + b"\n")
    answer = json.loads(await reader.readline())
    assert "url" in answer, answer
    try:
        yield Http(answer["url"], Path(answer["tokenFile"]), writer, serving)
    finally:
        writer.close()
        await asyncio.wait_for(serving, 30)


@contextlib.asynccontextmanager
async def served(repo: Path) -> AsyncIterator[tuple[Http, Round]]:
    async with open_round(repo) as round_, listening(round_.core, dict(round_.caller.client.env)) as found:
        yield found, round_


@contextlib.asynccontextmanager
async def sdk(found: Http, era: str) -> AsyncIterator[SdkClient]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {found.token}"}, timeout=60) as transport:
        async with SdkClient(streamable_http_client(found.url, http_client=transport), mode=era) as client:
            yield client


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": VERSIONS[-1], "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}
HELLO = json.dumps(INITIALIZE).encode()


# -- who comes in -----------------------------------------------------------------------------------------------------


async def test_only_loopback_is_listened_on_and_without_a_delay(repo: Path) -> None:
    async with served(repo) as (found, _):
        mine = [one for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN]
        assert {one.laddr.ip for one in mine if one.laddr.port == found.port} == {"127.0.0.1"}
        assert found.url == f"http://127.0.0.1:{found.port}/mcp"
        assert (await found.send(body=HELLO)).status == 200
    # Only for a socket that says so does asyncio switch off Nagle's delay.
    with http_connection._bind(0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


async def test_the_token_is_needed_in_the_header_and_nowhere_else(repo: Path) -> None:
    async with served(repo) as (found, _):
        wrong = "0" * len(found.token)
        for said in (
            None, "", found.token, "Bearer", "Bearer ", f"Basic {found.token}", f"Bearer {wrong}",
            f"Bearer {found.token}0", f"Bearer {found.token[:-1]}", f"Bearer {found.token.upper()}", "Bearer ünï",
        ):  # fmt: skip
            for method in ("POST", "GET", "DELETE", "PUT"):
                answer = await found.send(method, body=HELLO, Authorization=said)
                assert answer.status == 401, said
                assert answer.headers["www-authenticate"] == "Bearer"
                assert "resource_metadata" not in str(answer.headers)
        for path in (f"/mcp?access_token={found.token}", f"/mcp?token={found.token}"):
            assert (await found.send(path=path, body=HELLO, Authorization=None)).status == 401
        assert (await found.send(body=HELLO, Authorization=None, Cookie=f"token={found.token}")).status == 401
        assert (await found.send(body=HELLO, Authorization=f"bearer {found.token}")).status == 200


async def test_the_token_is_compared_in_constant_time(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(face.hmac, "compare_digest", compare)
    async with served(repo) as (found, _):
        assert (await found.send(body=HELLO, Authorization="Bearer x")).status == 401
        assert (await found.send(body=HELLO)).status == 200
    assert compared == [(b"x", found.token.encode()), (found.token.encode(), found.token.encode())]


async def test_dns_rebinding_is_refused(repo: Path) -> None:
    """A page whose name was bound to 127.0.0.1 sends its own name as the host, whatever else it knows."""
    async with served(repo) as (found, _):
        assert (await found.send(body=HELLO, Host=None)).status in (400, 421)
        for host in (
            "", "127.0.0.1", "localhost", "localhost:1", "127.0.0.1:1", "evil.example", f"evil.example:{found.port}",
            f"127.0.0.1.evil.example:{found.port}", f"[::1]:{found.port}", f"0.0.0.0:{found.port}",
            f"LOCALHOST:{found.port}", f"127.1:{found.port}",
        ):  # fmt: skip
            answer = await found.send(body=HELLO, Host=host)
            assert answer.status == 421, host
            # Before anything else is looked at, the token too.
            assert (await found.send(body=HELLO, Host=host, Authorization=None)).status == 421
            assert found.token.encode() not in answer.body
        assert (await found.send(body=HELLO, Host=f"localhost:{found.port}")).status == 200


async def test_every_page_of_a_browser_is_refused(repo: Path) -> None:
    async with served(repo) as (found, _):
        own = (f"http://127.0.0.1:{found.port}", f"http://localhost:{found.port}")
        for origin in (*own, "http://localhost:3000", "null", "", "vscode://x"):
            for method in ("POST", "GET", "OPTIONS"):
                answer = await found.send(method, body=HELLO, Origin=origin)
                assert answer.status == 403, origin
                assert not [name for name in answer.headers if name.startswith("access-control-")]
        preflight = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
        answer = await found.send("OPTIONS", Origin="http://localhost:3000", Authorization=None, **preflight)
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_nothing_else_is_served(repo: Path) -> None:
    async with served(repo) as (found, _):
        for path in (
            "/", "/mcp/", "/sse", "/mcp/../mcp", "/.well-known/oauth-protected-resource", "/register",
            "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server", "/token",
        ):  # fmt: skip
            for authorization in (None, f"Bearer {found.token}"):
                for method in ("GET", "POST"):
                    answer = await found.send(method, path, HELLO, Authorization=authorization)
                    assert answer.status == 404, path
        for method in ("PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"):
            answer = await found.send(method)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, DELETE")


async def test_only_json_is_taken(repo: Path) -> None:
    async with served(repo) as (found, _):
        for kind in (
            None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx",
        ):  # fmt: skip
            for version in (None, MODERN):
                answer = await found.send(body=HELLO, Content_Type=kind, MCP_Protocol_Version=version)
                assert answer.status == 415, kind
        assert (await found.send(body=HELLO, Content_Type="application/json; charset=utf-8")).status == 200


async def test_a_body_has_a_limit_and_bad_messages_are_answered_as_on_standard_input(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(repo) as (found, _):
        for version in (None, MODERN):
            for body, code in [
                (b"hello", -32700), (b"\xff", -32700), (b"[]", -32600), (b"{}", -32600), (b"[1]", -32600),
                (b'{"jsonrpc":"2.0","id":"d","method":"x","params":{"a":' + b"[" * 300 + b"]" * 300 + b"}}", -32700),
                (b"[" * 20_000 + b"]" * 20_000, -32700), (b'{"jsonrpc":"2.0","id":1,"method":"x","y":NaN}', -32700),
            ]:  # fmt: skip
                answer = await found.send(body=body, MCP_Protocol_Version=version)
                assert answer.status == 400
                assert answer.json["error"]["code"] == code, body
        monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 1_000_000)
        assert (await found.send(body=b"x" * 1_000_001)).status == 413
        assert (await found.send(body=HELLO)).status == 200


# -- the listener's life ----------------------------------------------------------------------------------------------


async def test_the_token_is_new_each_time_private_and_gone_in_the_end(repo: Path) -> None:
    tokens = []
    async with open_round(repo) as round_:
        (round_.core.state_dir / "http-1.token").write_text("left by one that was killed")
        for _ in range(2):
            async with listening(round_.core) as found:
                assert found.token_file.parent == round_.core.state_dir
                assert stat.S_IMODE(found.token_file.stat().st_mode) == 0o600
                assert [path.name for path in round_.core.state_dir.glob("*token*")] == [found.token_file.name]
                assert len(bytes.fromhex(found.token)) * 8 >= 256
                tokens.append(found.token)
            assert list(round_.core.state_dir.glob("*token*")) == []
            with pytest.raises(ConnectionRefusedError):
                await found.send(body=HELLO)
        assert len(set(tokens)) == 2


async def test_two_front_ends_have_their_own_listeners_and_tokens(repo: Path) -> None:
    async with open_round(repo) as round_, listening(round_.core) as one:
        async with listening(round_.core) as other:
            assert one.port != other.port
            assert (await one.send(body=HELLO)).status == (await other.send(body=HELLO)).status == 200
            assert (await one.send(body=HELLO, Authorization=f"Bearer {other.token}")).status == 401
            assert one.token_file.exists()
        assert (await one.send(body=HELLO)).status == 200
        assert one.token_file.exists()


async def test_the_token_is_in_no_log(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(repo) as (found, _):
        await found.send(body=HELLO)
        await found.send(body=HELLO, Origin="http://evil.example")
        await found.send(body=HELLO, Host="evil.example")
        await found.send(body=b"x")
        async with sdk(found, MODERN) as client:
            await client.list_tools()
    assert "refused" in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("sidecar")]
    assert not [line for line in lines if found.token in line]


async def test_a_port_in_use_and_a_wrong_one_are_told_with_the_remedy(repo: Path) -> None:
    async with open_round(repo) as round_, listening(round_.core) as found:
        for port, kind in ((found.port, "busy"), (70_000, "invalid-arguments"), ("x", "invalid-arguments")):
            (reader, writer), theirs = await socket_pair()
            serving = asyncio.ensure_future(http_connection.serve(round_.core, Client("mcp", "0", env={}), *theirs))
            writer.write(json.dumps({"port": port}).encode() + b"\n")
            error = json.loads(await reader.readline())["error"]
            assert error["kind"] == kind
            assert "--port" in error["hint"]
            assert await serving == 3
            writer.close()
            theirs[1].close()
        assert (await found.send(body=HELLO)).status == 200


async def test_the_end_of_the_front_end_ends_waiting_calls_and_no_job(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    add_tool(monkeypatch, "test_gate", gate, waits=True)
    go = tmp_path / "go"
    async with open_round(repo) as round_:
        steps = [{"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, REPORT]
        job = await round_.call("codex_spawn", prompt=f"{MARKER} {json.dumps(steps)}")
        async with listening(round_.core) as found:
            call = asyncio.ensure_future(found.ask("tools/call", {"name": "test_gate", "arguments": {}}))
            await soon(gate.begun)
        await soon(gate.tidied)
        with contextlib.suppress(http.client.HTTPException, OSError, KeyError):
            await call
        assert not found.token_file.exists()
        go.touch()
        assert await round_.ended(job) == ["done"]


async def test_a_cancelled_connection_closes_the_listener(repo: Path) -> None:
    async with open_round(repo) as round_:
        (reader, writer), theirs = await socket_pair()
        serving = asyncio.ensure_future(http_connection.serve(round_.core, Client("mcp", "0", env={}), *theirs))
        writer.write(b'{"port":0}\n')
        answer = json.loads(await reader.readline())
        serving.cancel()
        await asyncio.wait({serving}, timeout=30)
        assert serving.cancelled()
        assert not Path(answer["tokenFile"]).exists()
        writer.close()
        theirs[1].close()


def test_nothing_of_it_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, sidecar.service.server, sidecar.service.core; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"uvicorn", "starlette", "mcp", "sidecar.service.http_connection"} & set(done.stdout.split())


async def test_it_is_imported_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from sidecar.service import connections

    threads: list[threading.Thread] = []
    real = connections.importlib.import_module

    def watched(name: str) -> Any:
        threads.append(threading.current_thread())
        return real(name)

    monkeypatch.setattr(connections.importlib, "import_module", watched)
    assert await connections.load("http") is http_connection.serve
    assert threading.main_thread() not in threads


# -- workers ----------------------------------------------------------------------------------------------------------


async def test_a_worker_that_knows_the_token_is_refused_all_the_same(repo: Path, tmp_path: Path) -> None:
    async with served(repo) as (found, round_):
        script = tmp_path / "boss.py"
        script.write_text(
            "import http.client, socket, sys\n"
            "for address in ('127.0.0.1', '::ffff:127.0.0.1'):\n"
            f"    c = http.client.HTTPConnection('127.0.0.1', {found.port})\n"
            "    c.sock = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)\n"
            f"    c.sock.connect((address, {found.port}))\n"
            f"    c.request('POST', '/mcp', {HELLO!r}, {found.headers()!r})\n"
            "    print(c.getresponse().status, file=open(sys.argv[1], 'a'))\n"
        )
        said = tmp_path / "said"
        command = {"sh": f"{sys.executable} {script} {said}"}
        job = await round_.call("codex_spawn", prompt=f"{MARKER} {json.dumps([command, REPORT])}")
        await round_.ended(job)
        assert said.read_text() == "403\n403\n"
        # The same program of nobody's worker comes in, also while a worker runs.
        said.unlink()
        go = tmp_path / "go"
        steps = [{"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, REPORT]
        job = await round_.call("codex_spawn", prompt=f"{MARKER} {json.dumps(steps)}")
        await until(lambda: round_.core.manager.active_pids())
        await asyncio.to_thread(subprocess.run, [sys.executable, str(script), str(said)], check=True)
        assert said.read_text() == "200\n200\n"
        go.touch()
        await round_.ended(job)


async def test_a_connection_that_nobody_holds_any_more_is_refused_while_workers_run() -> None:
    other = await asyncio.create_subprocess_exec("sleep", "60")
    runners: set[int] = set()
    core: Any = SimpleNamespace(manager=SimpleNamespace(active_pids=lambda: set(runners)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        looked = Peers(core, server.getsockname()[1])
        with socket.create_connection(server.getsockname()) as mine:
            port = mine.getsockname()[1]
            assert await looked.may_enter(port)
            runners.add(os.getpid())
            assert not await looked.may_enter(port)
            runners.clear()
            runners.add(other.pid)
            assert await looked.may_enter(port)
        # It is closed now: that it was no worker's can not be seen.
        assert not await looked.may_enter(port)
        runners.clear()
        assert await looked.may_enter(port)
    other.kill()
    await other.wait()


async def test_a_row_that_the_kernels_table_leaves_out_once_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "60")
    core: Any = SimpleNamespace(manager=SimpleNamespace(active_pids=lambda: {other.pid}))
    looks = iter(["0", "0"])
    real = http_peers._inode_of
    monkeypatch.setattr(http_peers, "_inode_of", lambda *ports: next(looks, None) or real(*ports))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as mine:
        assert await Peers(core, server.getsockname()[1]).may_enter(mine.getsockname()[1])
        assert next(looks, None) is None
    other.kill()
    await other.wait()


async def test_no_worker_gets_a_token_by_its_environment(repo: Path) -> None:
    async with served(repo) as (found, _):
        env = {"TOKEN": found.token, "HEADER": f"Bearer {found.token}", "PATH": "/bin", "EMPTY": ""}
        assert http_tokens.without(env) == {"PATH": "/bin", "EMPTY": ""}
    assert http_tokens.without(env) == env


# -- both protocols ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_the_loop_of_a_boss(repo: Path, era: str) -> None:
    async with served(repo) as (found, _), sdk(found, era) as client:
        assert len((await client.list_tools()).tools) > 10
        prompt = f"{MARKER} {json.dumps([REPORT])}"
        spawned = (await client.call_tool("codex_spawn", {"prompt": prompt})).structured_content
        assert spawned is not None
        reports: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            reports.append(done)

        waited = await client.call_tool("codex_wait_any", {"jobIds": [spawned["jobId"]]}, progress_callback=progress)
        assert waited.structured_content is not None
        assert waited.structured_content["completedJobId"] == spawned["jobId"]
        result = (await client.call_tool("codex_result", {"jobId": spawned["jobId"]})).structured_content
        assert result is not None
        assert result["finalMessage"] == "done"
        refused = await client.call_tool("codex_result", {"jobId": "x"})
        assert refused.is_error
        text = await client.read_resource(f"codex-sidecar://jobs/{spawned['jobId']}/result")
        assert json.loads(text.contents[0].text)["finalMessage"] == "done"  # type: ignore[union-attr]
        assert (await client.list_prompts()).prompts[0].name == "a2-round"


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_progress_comes_before_the_answer(repo: Path, monkeypatch: pytest.MonkeyPatch, era: str) -> None:
    async def chatter(caller: Any, asked: Any) -> AnythingOutput:
        for number in range(3):
            await caller.report_progress(float(number), 3.0, "still")
        return AnythingOutput(value="said")

    add_tool(monkeypatch, "test_chatter", chatter)
    seen: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with served(repo) as (found, _), sdk(found, era) as client:
        answer = await client.call_tool("test_chatter", {}, progress_callback=progress)
        assert answer.structured_content == {"value": "said"}
        await until(lambda: seen == [0.0, 1.0, 2.0])


async def test_an_answer_is_byte_for_byte_the_same_with_its_nulls(repo: Path) -> None:
    async with served(repo) as (found, round_):
        prompt = f"{MARKER} {json.dumps([REPORT])}"
        job = await round_.call("codex_spawn", prompt=prompt)
        await round_.ended(job)
        answer = (await found.ask("tools/call", {"name": "codex_status", "arguments": {"jobId": job["jobId"]}})).json
        result = checked(answer["result"])
        assert result["structuredContent"] == await round_.call("codex_status", jobId=job["jobId"])
        assert None in result["structuredContent"].values()


async def test_workers_get_the_environment_of_the_front_end(repo: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    async with open_round(repo) as round_:
        env = {**round_.caller.client.env, "WHO_ASKED": "the front end"}
        async with listening(round_.core, env) as found:
            steps = [{"sh": f'printf %s "$WHO_ASKED" > {said}'}, REPORT]
            arguments = {"prompt": f"{MARKER} {json.dumps(steps)}"}
            answer = (await found.ask("tools/call", {"name": "codex_spawn", "arguments": arguments})).json
            await round_.ended(answer["result"]["structuredContent"])
    assert said.read_text() == "the front end"


async def test_tasks_and_their_routing_header(repo: Path) -> None:
    async with served(repo) as (found, round_):
        arguments = {"prompt": f"{MARKER} {json.dumps([REPORT])}"}
        params = {"name": "codex_run", "arguments": arguments, "_meta": DECLARED}
        task = (await found.ask("tools/call", params)).json["result"]
        assert (task["resultType"], task["ttlMs"]) == ("task", None)
        named = {"taskId": task["taskId"], "_meta": DECLARED}
        for method in sorted(tasks.METHODS):
            extra = {"inputResponses": {}} if method == "tasks/update" else {}
            for wrong in (None, "another"):
                refused = await found.ask(method, named | extra, Mcp_Name=wrong)
                assert (refused.status, refused.json["error"]["code"]) == (400, -32020), method
        for method in ("tasks/list", "tasks/result"):
            refused = await found.ask(method, named, Mcp_Name=None)
            assert (refused.status, refused.json["error"]["code"]) == (404, -32601)
        await round_.ended({"jobId": task["taskId"]})
        done = (await found.ask("tasks/get", named)).json["result"]
        assert (done["status"], done["ttlMs"]) == ("completed", None)
        result = checked(done["result"])
        assert result["structuredContent"] == await round_.call("codex_result", jobId=task["taskId"])
        undeclared = await found.ask("tasks/get", {"taskId": task["taskId"]})
        assert (undeclared.status, undeclared.json["error"]["code"]) == (400, -32021)


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
async def test_sessions_are_told_of_their_own_subscriptions_only(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    forgotten: list[object] = []
    forget = watching.Watching.forget
    monkeypatch.setattr(
        watching.Watching, "forget", lambda self, who: (forgotten.append(self.count(who)), forget(self, who))
    )
    heard: dict[str, list[str]] = {"one": [], "other": [], "gone": []}

    def hear(name: str) -> Any:
        async def handler(message: Any) -> None:
            heard[name].append(type(message).__name__)

        return handler

    async with served(repo) as (found, round_):
        steps = [{"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, REPORT]
        job = await round_.call("codex_spawn", prompt=f"{MARKER} {json.dumps(steps)}")
        uri = f"codex-sidecar://jobs/{job['jobId']}/result"
        headers = {"Authorization": f"Bearer {found.token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as transport:

            def client(name: str) -> SdkClient:
                return SdkClient(
                    streamable_http_client(found.url, http_client=transport), mode="legacy", message_handler=hear(name)
                )

            async with client("one") as one, client("other") as other:
                async with client("gone") as gone:
                    await gone.session.subscribe_resource(uri)
                await until(lambda: forgotten == [1])
                await one.session.subscribe_resource(uri)
                await other.list_tools()
                go.touch()
                await round_.ended(job)
                await until(lambda: "ResourceUpdatedNotification" in heard["one"])
                assert "ResourceUpdatedNotification" not in heard["other"]


async def test_a_thousand_requests_do_not_stop_at_the_session_limit(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "SESSIONS_MAX", 3)
    async with open_round(repo) as round_, listening(round_.core) as found:
        for _ in range(10):
            assert (await found.ask("tools/list", {})).status == 200
        sessions = [(await found.send(body=HELLO)).headers["mcp-session-id"] for _ in range(3)]
        assert (await found.send(body=HELLO)).status == 503
        assert (await found.send("DELETE", Mcp_Session_Id=sessions[0])).status == 200
        assert (await found.send(body=HELLO)).status == 200


async def test_a_modern_client_listens_and_its_end_frees_the_stream(repo: Path) -> None:
    async with served(repo) as (found, round_):
        for _ in range(2):
            async with sdk(found, MODERN) as client, client.listen(resources_list_changed=True) as stream:
                job = await round_.call("codex_spawn", prompt=f"{MARKER} {json.dumps([REPORT])}")
                async for event in stream:
                    assert type(event).__name__ == "ResourcesListChanged"
                    break
                uri = f"codex-sidecar://jobs/{job['jobId']}/result"
                assert uri in [str(one.uri) for one in (await client.list_resources()).resources]
            await round_.ended(job)
