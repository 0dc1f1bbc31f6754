"""One connection to a sidecar process: where it listens, and the handshake.

Standard library only (errors are imported when there is one to raise), because the pump is started anew by every editor
and every boss.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping

from sidecar import __version__
from sidecar.jobs.attempt_files import MARKER_ENV
from sidecar.model import limits
from sidecar.service.place import Place, directory_id

PROTOCOL = 1
ENDPOINT = "endpoint.json"
"""`{pid, startTime, version, startedAt, directory, socket | port, token}`, by rename, 0600."""


class Connection:
    """A connection whose handshake is done.

    Attributes:
        sock: blocking, without a time-out; nothing behind the handshake has been read.
        id: the service's name for the connection.
        pid: the service's process.
        version: the service's version.
    """

    __slots__ = ("id", "pid", "sock", "version")

    def __init__(self, sock: socket.socket, answer: Mapping[str, object]) -> None:
        self.sock = sock
        self.id = str(answer.get("connection", ""))
        self.pid = answer.get("pid")
        self.version = str(answer.get("version", ""))


class Gone(Exception):
    """Nobody listens where the endpoint says, or he who listened is just ending."""


def error(kind: str, message: str, hint: str = "", **details: object) -> Exception:
    """A `SidecarError`; the type is imported only when one is needed."""
    from sidecar.model.errors import SidecarError

    return SidecarError(kind, message, hint, details)  # type: ignore[arg-type]


def error_of(answer: Mapping[str, Mapping[str, object]]) -> Exception:
    """The `SidecarError` that an answer carries."""
    from sidecar.model.errors import SidecarError

    sent = answer["error"]
    details = sent.get("details")
    shown = details if isinstance(details, dict) else {}
    return SidecarError(sent["kind"], str(sent["message"]), str(sent.get("hint", "")), shown)  # type: ignore[arg-type]


def version_key(version: str) -> tuple[list[int], bool, str]:
    """An order of versions: by numbers, a pre-release before its release, then by text."""
    numbers: list[int] = []
    rest = version
    while True:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        rest = rest[len(digits) :]
        if not (rest.startswith(".") and rest[1:2].isdigit()):
            break
        rest = rest[1:]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    before = rest.lstrip(".-_").startswith(("a", "b", "c", "dev", "rc", "pre"))
    return numbers, not before, rest


def greeting(
    frontend: str, *, cwd: str | None = None, env: Mapping[str, str] | None = None, token: str | None = None
) -> bytes:
    """The first line of a connection."""
    hello: dict[str, object] = {
        "sidecar": PROTOCOL,
        "frontend": frontend,
        "version": __version__,
        "pid": os.getpid(),
        "cwd": cwd if cwd is not None else _cwd(),
        "env": dict(os.environ if env is None else env),
    }
    if token is not None:
        hello["token"] = token
    return json.dumps(hello).encode() + b"\n"


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # The directory was deleted under this process.


def process_start(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; None: no such process, or only its zombie.

    With `pid` and this number a process is named for good, since numbers of processes are used again.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def read_endpoint(place: Place) -> dict[str, object] | None:
    """What the service wrote about itself; None where there is nothing, or what there is cannot be of this place."""
    try:
        with open(os.path.join(place.state_dir, ENDPOINT), "rb") as file:
            endpoint = json.loads(file.read())
        # A copied repository brings the endpoint of the original with it.
        if not isinstance(endpoint, dict) or endpoint.get("directory") != directory_id(place.state_dir):
            return None
    except (OSError, ValueError):
        return None
    return endpoint


def _dial(endpoint: Mapping[str, object], seconds: float) -> socket.socket:
    path, port, pid = endpoint.get("socket"), endpoint.get("port"), endpoint.get("pid")
    if isinstance(path, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address: str | tuple[str, int] = path
    elif isinstance(port, int) and isinstance(pid, int) and process_start(pid) == endpoint.get("startTime"):
        # Without the look at the process the token might go to whoever has the port now.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = ("127.0.0.1", port)
    else:
        raise Gone
    try:
        sock.settimeout(seconds)
        sock.connect(address)
    except OSError as exc:
        sock.close()
        raise Gone from exc
    return sock


def read_line(sock: socket.socket) -> bytes:
    """One line, and not a byte behind it.

    Raises:
        Gone: the connection ended before its newline.
        TimeoutError: the socket's time-out was over.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        try:
            seen = sock.recv(65_536, socket.MSG_PEEK)
            line += sock.recv(seen.find(b"\n") + 1 or len(seen))
        except ConnectionError as exc:
            raise Gone from exc
        if not seen or len(line) > limits.MESSAGE_BYTES_MAX:
            raise Gone
    return bytes(line)


def handshake(sock: socket.socket, hello: bytes, seconds: float, pid: object = None) -> Connection:
    """Introduces this front end; on failure the socket is closed.

    Args:
        sock: just connected.
        hello: what `greeting` made.
        seconds: how long the answer may take.
        pid: the service's process, for the error message.

    Raises:
        SidecarError: the service refused, or does not answer in time (`busy`).
        Gone: it ended before it answered.
    """
    try:
        sock.settimeout(seconds)
        try:
            sock.sendall(hello)
        except ConnectionError as exc:
            raise Gone from exc
        answer = json.loads(read_line(sock))
        if not answer["ok"]:
            raise error_of(answer)
        sock.settimeout(None)
        return Connection(sock, answer)
    except TimeoutError as exc:
        sock.close()
        hint = f"End process {pid} and try again; the workers keep running." if pid else "Try again."
        raise error("busy", f"The sidecar process does not answer within {seconds:.0f} s.", hint, pid=pid) from exc
    except (ValueError, KeyError, TypeError) as exc:
        sock.close()
        raise Gone from exc  # Whoever has the address now is no sidecar.
    except BaseException:
        sock.close()
        raise


def refuse_worker(env: Mapping[str, str]) -> None:
    """Raises SidecarError (`limit-reached`) where this process is a worker's: workers do not get workers."""
    if env.get(MARKER_ENV):
        raise error(
            "limit-reached",
            "A worker of Codex Sidecar cannot use Codex Sidecar itself.",
            "Report what else has to be done in the worker's answer; whoever spawned it can spawn more.",
        )


def join(place: Place, frontend: str, seconds: float, *, cwd: str | None, env: Mapping[str, str] | None) -> Connection:
    """Connects to the sidecar that listens, whatever its version.

    Raises:
        SidecarError: it refused, or does not answer within `seconds`.
        Gone: none listens.
    """
    endpoint = read_endpoint(place)
    if endpoint is None:
        raise Gone
    token = endpoint.get("token")
    hello = greeting(frontend, cwd=cwd, env=env, token=token if isinstance(token, str) else None)
    return handshake(_dial(endpoint, seconds), hello, seconds, endpoint.get("pid"))


def is_older(endpoint: Mapping[str, object] | None) -> bool:
    """Whether the sidecar that wrote the endpoint is of a version before this one."""
    return endpoint is not None and version_key(str(endpoint.get("version"))) < version_key(__version__)
