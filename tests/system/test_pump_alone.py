"""Outside a repository the pump has a server of its own, for as long as it lives."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.raw import SECONDS, Pump, is_alive, wait_until


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("orderly", [True, False])
def test_outside_a_repository_the_program_serves_by_itself(tmp_path: Path, orderly: bool) -> None:
    with Pump("lsp", cwd=tmp_path) as pump:
        pump.initialize()
        (child,) = children(pump.process.pid)
        error = pump.request(2, "workspace/executeCommand", {"command": "codex_status", "arguments": []})["error"]
        assert error["data"]["kind"] == "not-a-repository"
        assert error["data"]["details"] == {"directory": str(tmp_path)}
        if orderly:
            pump.request(3, "shutdown")
        pump.notify("exit")
        assert pump.end() == (0 if orderly else 1, "")
    assert not is_alive(child)
    assert list(tmp_path.iterdir()) == []


def test_outside_a_repository_an_agent_is_served_too(tmp_path: Path) -> None:
    with Pump("mcp", cwd=tmp_path) as pump:
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        pump.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode() + b"\n")
        assert json.loads(pump.stdout.readline())["result"]["serverInfo"]["name"] == "codex-cli-wrapper"
        pump.stdin.close()
        assert pump.stdout.read() == b""
        assert pump.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_private_server_ends_with_its_pump(tmp_path: Path, number: int) -> None:
    with Pump("lsp", cwd=tmp_path) as pump:
        pump.initialize()
        (child,) = children(pump.process.pid)
        pump.process.send_signal(number)
        assert pump.process.wait(SECONDS) == (143 if number == signal.SIGTERM else -9)
    wait_until(lambda: not is_alive(child), "the server has ended")


def test_a_private_server_that_is_killed_is_reported(tmp_path: Path) -> None:
    with Pump("lsp", cwd=tmp_path) as pump:
        pump.initialize()
        (child,) = children(pump.process.pid)
        os.kill(child, signal.SIGKILL)
        code, said = pump.end()
    assert code == 1
    assert "signal 9" in said
