"""The tokens of the HTTP listeners of this process: `http-<port>.token` in the state directory, 0600.

A token is made anew for each listener and is nowhere else: in no argument list, no log, no work tree. Every method
blocks (files): use a thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from sidecar.jobs import durable

TOKEN_BYTES = 32

_live: dict[Path, str] = {}


def make(state_dir: Path, port: int) -> tuple[Path, str]:
    """Writes a new token and returns its file and itself; files of listeners that were killed are removed.

    Raises:
        OSError: it could not be written.
    """
    remove_stale(state_dir)
    path = state_dir / f"http-{port}.token"
    token = secrets.token_hex(TOKEN_BYTES)
    # First, so that another listener's start does not take the file for a stale one.
    _live[path] = token
    try:
        # Lost, it is made again with its listener: nothing waits for the disk. No line break: it is a header's value.
        durable.write_file(path, token.encode(), sync=False)
    except BaseException:
        del _live[path]
        raise
    return path, token


def remove(path: Path) -> None:
    """The end of a listener."""
    _live.pop(path, None)
    path.unlink(missing_ok=True)


def remove_stale(state_dir: Path) -> None:
    """Removes the files of a process that was killed; they open nothing any more."""
    for path in state_dir.glob("http-*.token"):
        if path not in _live:
            path.unlink(missing_ok=True)


def without(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables that hold a token: a worker that got one could command workers."""
    tokens = tuple(_live.values())
    return {name: value for name, value in env.items() if not any(token in value for token in tokens)}
