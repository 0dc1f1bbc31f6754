"""`codex-sidecar mcp --http`: asks the sidecar to listen for MCP over HTTP, for as long as this program runs.

The sidecar does the listening; this program holds the connection that keeps it up, and gives the workers their
environment. Standard library only, like the pump.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

from sidecar.service import launch
from sidecar.service.link import Gone, error, error_of, read_line
from sidecar.service.place import find_place

LAST_SECONDS = 5
"""How long the sidecar may take to close the listener when this program ends."""

_signal: int | None = None


def serve(directory: str, port: int, show_token: bool) -> int:
    """Prints where the sidecar listens, and stays until it is ended.

    Args:
        directory: one of the repository.
        port: of 127.0.0.1; 0: a free one.
        show_token: print the token too.

    Returns:
        1 where the sidecar is gone; 128 + the signal's number where one ended this program.

    Raises:
        SidecarError: no repository, or it cannot listen.
    """
    place = find_place(directory)
    if place is None:
        raise error(
            "not-a-repository",
            f"{directory} is not inside the work tree of a Git repository.",
            "Change into one, name one with --repo, or run `git init` there.",
        )
    found = launch.connect(place, "http", cwd=os.path.realpath(directory))
    assert found is not None  # It starts one or raises.
    sock = found.sock
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: _end(sock, got))
    with contextlib.suppress(Gone, ConnectionError):  # Below it is said that the sidecar is gone.
        sock.sendall(json.dumps({"port": port}).encode() + b"\n")
        answer = json.loads(read_line(sock))
        if "error" in answer:
            raise error_of(answer)
        _show(answer, show_token)
        while sock.recv(65_536):
            continue
    if _signal is not None:
        return 128 + _signal
    print("codex-sidecar: The sidecar process ended, and its listener with it. Start this again.", file=sys.stderr)
    return 1


def _show(answer: dict[str, str], show_token: bool) -> None:
    token_file = answer["tokenFile"]
    text = f"url: {answer['url']}\ntoken file: {token_file}\n"
    if show_token:
        with open(token_file, encoding="ascii") as file:
            text += f"token: {file.read()}\n"
    sys.stdout.write(text)
    sys.stdout.flush()


def _end(sock: socket.socket, number: int) -> None:
    """Leaves when the sidecar has closed the listener; a second signal, or a sidecar that hangs, ends it at once."""
    global _signal
    if _signal is not None:
        os._exit(128 + number)
    _signal = number
    signal.signal(signal.SIGALRM, lambda _got, _frame: os._exit(128 + number))
    signal.alarm(LAST_SECONDS)
    with contextlib.suppress(OSError):  # The sidecar is gone already.
        sock.shutdown(socket.SHUT_WR)
