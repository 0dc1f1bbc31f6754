"""`codex-sidecar lsp` and `codex-sidecar mcp`: copies bytes between standard input and output and the sidecar.

Editors and bosses wait for this program at their start, so it imports nothing but the standard library, and little of
that. It looks into no byte: whatever the protocol, the sidecar process speaks it. Nothing is kept here either: who does
not read makes the other side wait.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading

from sidecar.service import launch
from sidecar.service.link import Connection, Gone, error, greeting, handshake, refuse_worker
from sidecar.service.place import find_place

CHUNK = 262_144
HELP = """usage: codex-sidecar {name} [--repo DIR]

{what} on standard input and output, for {who}. It connects to the sidecar process of the
repository and starts it if none runs; outside a repository it serves by itself.

  --repo DIR   the repository (default: that of the current directory)
"""
HTTP_HELP = """
codex-sidecar mcp --http [--repo DIR] [--port N] [--show-token]

MCP over HTTP instead, for clients that take an address. The sidecar process listens on 127.0.0.1 until
this program ends (Ctrl-C). Printed are the address and the file with the token that every request needs.

  --port N       the port (default: a free one, another at each start)
  --show-token   print the token too; whoever reads it can command workers until this program ends
"""
WHAT = {
    "lsp": ("Language server", "an editor"),
    "mcp": ("MCP server `codex-cli-wrapper`", "an agent that is to spawn workers"),
}


def main(frontend: str, arguments: list[str]) -> int:
    """Runs the pump until one of its sides ends.

    Args:
        frontend: `lsp` or `mcp`.
        arguments: those behind the front end's name.

    Returns:
        What the sidecar decided for this connection (for the language server: 0, or 1 without a `shutdown`); 1 where
        the sidecar is gone, 2 for wrong arguments, 3 where it cannot be reached or refuses. The program ends with
        128 + the signal's number on SIGTERM and SIGINT.
    """
    _fill_standard_descriptors()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: os._exit(128 + got))
    try:
        wanted = _Wanted(frontend, arguments)
    except ValueError as exc:
        return _complain(str(exc), 2)
    if wanted.help:
        what, who = WHAT[frontend]
        print(HELP.format(name=frontend, what=what, who=who), end=HTTP_HELP if frontend == "mcp" else "")
        return 0
    if not os.path.isdir(wanted.directory):
        return _complain(f"{wanted.directory} is no directory. Pass one that exists to --repo.", 2)
    try:
        if wanted.http:
            from sidecar.service import http_front

            return http_front.serve(wanted.directory, wanted.port or 0, wanted.show_token)
        return _serve(frontend, wanted.directory)
    except Exception as exc:  # noqa: BLE001 - whoever started this shows its standard error to a person
        from sidecar.model.errors import SidecarError

        if isinstance(exc, SidecarError):
            return _complain(exc.sentence(), 2 if exc.kind == "invalid-arguments" else 3)
        return _complain(f"The connection failed unexpectedly ({type(exc).__name__}: {exc}).", 1)


def _fill_standard_descriptors() -> None:
    """Opens those of 0, 1 and 2 that are closed: the socket would get such a number, and be read as standard input."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        continue
    os.close(fd)


class _Wanted:
    """What the arguments ask for.

    Raises:
        ValueError: they are wrong; the message says how.
    """

    def __init__(self, frontend: str, arguments: list[str]) -> None:
        self.directory = "."
        self.help = self.http = self.show_token = False
        self.port: int | None = None
        rest = iter(arguments)
        for argument in rest:
            name, equals, value = argument.partition("=")
            if argument in ("-h", "--help"):
                self.help = True
            elif name == "--repo":
                self.directory = value if equals else next(rest, "")
                if not self.directory:
                    raise ValueError("--repo needs a directory.")
            elif frontend == "mcp" and argument == "--http":
                self.http = True
            elif frontend == "mcp" and argument == "--show-token":
                self.show_token = True
            elif frontend == "mcp" and name == "--port":
                self.port = _port(value if equals else next(rest, ""))
            # Editors' client libraries add these two by themselves.
            elif argument != "--stdio" and name != "--clientProcessId":
                raise ValueError(
                    f"Unknown argument {argument!r}. `codex-sidecar {frontend} --help` lists the known ones."
                )
        if not self.http and (self.show_token or self.port is not None):
            raise ValueError(
                "--port and --show-token are for `codex-sidecar mcp --http`. Add --http, or leave them out."
            )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise ValueError(f"--port needs a number from 0 to 65535, not {text!r}. Without it, a free port is taken.")
    return int(text)


def _complain(sentence: str, code: int) -> int:
    print(f"codex-sidecar: {sentence}", file=sys.stderr)
    return code


def _serve(frontend: str, directory: str) -> int:
    place = find_place(directory)
    if place is None:
        connection, child = _private_service(frontend, directory)
        _copy(connection.sock)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else _complain(f"The server was ended by signal {-code}.", 1)
    found = launch.connect(place, frontend, cwd=os.path.realpath(directory))
    assert found is not None  # It starts one or raises.
    _copy(found.sock)
    answer = launch.control(place, "exit-code", connection=found.id)
    if answer is not None and isinstance(decided := answer.get("code"), int):
        return decided
    return _complain("The sidecar process ended. Start this program again to reach a new one; workers keep running.", 1)


def _private_service(frontend: str, directory: str) -> tuple[Connection, int]:
    """A service of our own, for the time of this connection, where there is no repository to share one for."""
    refuse_worker(os.environ)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        fd = theirs.fileno()
        child = launch.spawn_service(["--standalone", "--fd", str(fd), "--frontend", frontend], None, (fd,))
    try:
        hello = greeting(frontend, cwd=os.path.realpath(directory))
        return handshake(ours, hello, launch.START_SECONDS, child), child
    except Gone as exc:
        raise error("internal", "The server ended before it answered.", "What it wrote above says why.") from exc


def _copy(sock: socket.socket) -> None:
    """Copies both ways until the sidecar closes the connection; the end of standard input closes our half of it."""
    threading.Thread(target=_upstream, args=(sock,), daemon=True).start()
    chunk = memoryview(bytearray(CHUNK))
    with contextlib.suppress(OSError):  # The sidecar is gone, or the client does not read any more: both ends.
        while count := sock.recv_into(chunk):
            _write(chunk[:count])
    with contextlib.suppress(OSError):  # It is closed already where the sidecar ended first.
        sock.shutdown(socket.SHUT_RDWR)


def _upstream(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # The other direction sees the same end and reports it.
        while data := _read():
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def _read() -> bytes:
    while True:
        try:
            return os.read(0, CHUNK)
        except BlockingIOError:  # Some parents hand over pipes that do not block.
            select.select([0], [], [])
        except OSError:
            return b""  # It cannot be read: as if it had ended.


def _write(data: memoryview) -> None:
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            select.select([], [1], [])
