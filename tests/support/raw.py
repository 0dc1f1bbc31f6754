"""A client of the sidecar that knows only the wire: the handshake, JSON lines and LSP frames. Standard library only.

Nothing of the package is imported, so a mistake that both ends would share cannot hide here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

SECONDS = 30.0
"""How long a test waits for anything before it fails; the machine may be busy."""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """The first true value of `condition`; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)
    return value


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def state_dir(repo: Path) -> Path:
    """The state directory of a repository whose `.git` is a directory, or the directory that git names."""
    found = subprocess.run(
        ["git", "-C", str(repo), "rev-parse", "--absolute-git-dir"], check=True, capture_output=True, text=True
    )
    return Path(found.stdout.strip()) / "codex-sidecar"


def endpoint(repo: Path) -> dict[str, Any] | None:
    """What endpoint.json says; None where there is none."""
    try:
        return dict(json.loads((state_dir(repo) / "endpoint.json").read_text()))
    except FileNotFoundError:
        return None


class Raw:
    """One connection. Every read waits `SECONDS` at most."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(SECONDS)
        self._file = sock.makefile("rb")

    @classmethod
    def dial(cls, where: dict[str, Any]) -> Raw:
        """A connection to an endpoint, before the handshake."""
        if "socket" in where:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(where["socket"])
        else:
            sock = socket.create_connection(("127.0.0.1", where["port"]))
        return cls(sock)

    def close(self) -> None:
        self._file.close()
        self.sock.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, value: Any) -> None:
        """One JSON line."""
        self.sock.sendall(json.dumps(value).encode() + b"\n")

    def line(self) -> Any:
        """The next JSON line; None at the end."""
        line = self._file.readline()
        return json.loads(line) if line else None

    def ask(self, value: Any) -> Any:
        self.send(value)
        return self.line()

    def read(self, count: int = -1) -> bytes:
        return self._file.read(count)

    def hello(self, frontend: str = "control", *, env: Mapping[str, str] | None = None, **more: Any) -> Any:
        """The handshake's answer."""
        first = {
            "sidecar": 1,
            "frontend": frontend,
            "version": "0.1.0",
            "pid": os.getpid(),
            "cwd": os.getcwd(),
            "env": dict(os.environ if env is None else env),
        }
        return self.ask({**first, **more})


def control(repo: Path, request: dict[str, Any]) -> Any:
    """One question over a control connection; None where nobody listens."""
    where = endpoint(repo)
    if where is None:
        return None
    try:
        raw = Raw.dial(where)
    except OSError:
        return None
    with raw:
        answer = raw.hello(token=where.get("token"))
        return raw.ask(request) if answer and answer["ok"] else None


def frame(message: Any) -> bytes:
    """An LSP message with its header."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


class Pump:
    """A front end process, `codex-sidecar lsp|mcp`, with pipes."""

    def __init__(self, frontend: str, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", frontend, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def __enter__(self) -> Pump:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def write(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def request(self, number: int, method: str, params: Any = None) -> Any:
        """An LSP request and its answer; notifications in between are passed over."""
        self.write(frame({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        while (message := self.message()).get("id") != number or "method" in message:
            continue
        return message

    def notify(self, method: str, params: Any = None) -> None:
        self.write(frame({"jsonrpc": "2.0", "method": method, "params": params}))

    def message(self) -> dict[str, Any]:
        """The next LSP message."""
        length = 0
        while (header := self.stdout.readline()) != b"\r\n":
            assert header, "the stream ended"
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return dict(json.loads(self.stdout.read(length)))

    def initialize(self) -> dict[str, Any]:
        """The LSP handshake; returns the result of `initialize`."""
        result = self.request(1, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})["result"]
        self.notify("initialized", {})
        return dict(result)

    def end(self, seconds: float = SECONDS) -> tuple[int, str]:
        """Exit code and standard error, once the process has ended."""
        code = self.process.wait(seconds)
        return code, self.stderr.read().decode()


def processes(match: Callable[[list[str]], bool]) -> list[int]:
    """All living processes whose command line matches.

    A child that has been forked and not yet replaced shows its parent's command line: it is left out.
    """
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if not match((path / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")):
                continue
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in ("Z", "X"):
                parents[int(path.name)] = int(parent)
    return [pid for pid, parent in parents.items() if parent not in parents]


def services(top: Path) -> list[int]:
    """All living service processes of a work tree, by their command lines."""
    return processes(lambda words: "sidecar.service" in words and str(top) in words)


@contextlib.contextmanager
def no_service_left(top: Path) -> Iterator[None]:
    """Ends what the test has started for this work tree."""
    try:
        yield
    finally:
        for pid in services(top):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while left := services(top):
            if time.monotonic() > deadline:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
