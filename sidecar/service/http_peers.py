"""Which process is behind a connection to an HTTP listener: a worker must not command workers.

TCP does not say who connects. The kernel's table names the socket of the other end, and only the open files of the
workers' own processes are searched for it.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Collection
from typing import TYPE_CHECKING

from sidecar.service.peers import ancestors

if TYPE_CHECKING:
    from sidecar.service.core import Core

_LOOPBACK = f"{struct.unpack('=I', bytes((127, 0, 0, 1)))[0]:08X}"
_MAPPED = f"{0:016X}{struct.unpack('=I', bytes((0, 0, 255, 255)))[0]:08X}{_LOOPBACK}"
"""The same address as a socket of the other family has it."""
_TABLES = (("/proc/net/tcp", _LOOPBACK), ("/proc/net/tcp6", _MAPPED))
_NOBODY = "0"
"""The socket of a connection that no process holds any more."""
_LOOKS = 3
"""The kernel gives its table in pieces: a row can be missed while others come and go."""
KNOWN_MAX = 1_024
"""How many connections are remembered as nobody's worker."""


class Peers:
    """Who connected to one listener."""

    def __init__(self, core: Core, port: int) -> None:
        self._core = core
        self._port = port
        self._known: set[str] = set()

    async def may_enter(self, peer_port: int) -> bool:
        """Whether what connected from this port of the loopback address is no process of a worker."""
        runners = self._core.manager.active_pids()
        return not runners or not await asyncio.to_thread(self._is_worker, peer_port, runners)

    def _is_worker(self, peer_port: int, runners: Collection[int]) -> bool:
        try:
            looks = (_inode_of(peer_port, self._port) for _ in range(_LOOKS))
            inode = next((found for found in looks if found != _NOBODY), _NOBODY)
        except FileNotFoundError:
            return False  # A system without the tables: the environment of a worker is the only guard there.
        if inode == _NOBODY:
            return True  # It sent a request and did not wait; that it was no worker can not be seen any more.
        if inode in self._known:
            return False
        if any(_holds(pid, inode) for pid in _descendants(runners)):
            return True
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.add(inode)
        return False


def _inode_of(local_port: int, remote_port: int) -> str:
    """The socket of a connection from one port of the loopback address to another, as the kernel numbers it.

    Raises:
        FileNotFoundError: the kernel has no such tables.
    """
    for table, address in _TABLES:
        ends = [f"{address}:{port:04X}" for port in (local_port, remote_port)]
        with open(table, encoding="ascii") as file:
            for line in file:
                fields = line.split()
                if fields[1:3] == ends:
                    return fields[9]
    return _NOBODY


def _descendants(runners: Collection[int]) -> list[int]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if any(one in runners for one in ancestors(pid))]


def _holds(pid: int, inode: str) -> bool:
    directory, wanted = f"/proc/{pid}/fd", f"socket:[{inode}]"
    try:
        names = os.listdir(directory)
    except OSError:
        return False  # It has just ended, or hides its files; then its environment is the only guard.
    for name in names:
        try:
            if os.readlink(f"{directory}/{name}") == wanted:
                return True
        except OSError:
            continue  # It was closed meanwhile.
    return False
