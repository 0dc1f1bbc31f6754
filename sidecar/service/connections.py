"""Every connection to the service: who it is, which protocol it gets, how it ended."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal, cast

import msgspec

from sidecar import __version__
from sidecar.model.errors import SidecarError, internal, invalid
from sidecar.service import http_tokens, lines, peers
from sidecar.service.link import PROTOCOL
from sidecar.tools.caller import Client, Frontend

if TYPE_CHECKING:
    from sidecar.service.core import Core

HANDSHAKE_SECONDS = 5.0
"""How long a client may take for its first line."""
FLUSH_SECONDS = 5.0
"""How long a client may take to read what was written before the connection's end."""
EXIT_CODE_SECONDS = 60.0
"""How long the exit code of a connection is kept for the pump to ask."""

logger = logging.getLogger(__name__)

Serve = Callable[["Core | None", Client, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[int]]
ServeControl = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[int]]


class Hello(msgspec.Struct, frozen=True):
    """The first line of a connection. Fields that a newer front end may add are ignored."""

    sidecar: int
    frontend: Literal["lsp", "mcp", "http", "cli", "control"]
    version: Annotated[str, msgspec.Meta(max_length=100)]
    cwd: str
    env: dict[str, str]
    pid: int | None = None
    token: str | None = None


async def load(frontend: str) -> Serve:
    """The `serve` of a front end. The first import takes up to a second, so it happens in a thread."""
    if frontend == "cli":
        from sidecar.service import cli_connection

        return cli_connection.serve
    name = "sidecar.service.http_connection" if frontend == "http" else f"sidecar.{frontend}.connection"
    module = await asyncio.to_thread(importlib.import_module, name)
    return cast(Serve, module.serve)


class Connections:
    """The open connections of one service."""

    def __init__(
        self,
        core: Awaitable[Core | None],
        control: ServeControl,
        *,
        load: Callable[[str], Awaitable[Serve]] = load,
        token: Callable[[], str | None] = lambda: None,
    ) -> None:
        """
        Args:
            core: done once jobs can be served; its exception is what clients are told.
            control: serves a control connection.
            load: gives the `serve` of a front end.
            token: what a client has to know, where the socket is open to every user.
        """
        self._core = asyncio.ensure_future(core)
        self._control = control
        self._load = load
        self._token = token
        self._tasks: dict[str, asyncio.Task[int]] = {}
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._clients: dict[str, Client] = {}
        self._controls: set[str] = set()
        self._codes: dict[str, tuple[int, float]] = {}

    @property
    def clients(self) -> list[Client]:
        """The front ends that are connected; control connections do not count."""
        return list(self._clients.values())

    @property
    def busy(self) -> bool:
        """Whether somebody is connected, or about to be."""
        return len(self._tasks) > len(self._controls)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.Task[int]:
        """Serves a new connection in a task of its own, whose result is the front end's exit code."""
        name = secrets.token_hex(8)
        task = asyncio.create_task(self._serve(name, reader, writer), name=f"connection {name}")
        self._tasks[name], self._writers[name] = task, writer
        task.add_done_callback(lambda _: self._forget(name))
        return task

    def _forget(self, name: str) -> None:
        for known in (self._tasks, self._writers, self._clients):
            known.pop(name, None)
        self._controls.discard(name)

    async def _serve(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        code = 1
        try:
            try:
                hello, client = await self._introduce(reader, writer)
                serve = await self._prepare(name, hello, client)
            except SidecarError as exc:
                logger.info("a connection was refused: %s", exc.message)
                writer.write(lines.encode({"ok": False, "error": exc.to_dict()}))
                return 3
            writer.write(lines.encode({"ok": True, "version": __version__, "pid": os.getpid(), "connection": name}))
            logger.debug("%s %s: process %s, version %s", hello.frontend, name, client.pid, client.version)
            code = await serve(reader, writer)
            return code
        except (asyncio.IncompleteReadError, ConnectionError):
            return code  # The client is gone; there is nobody to tell.
        except Exception:
            logger.exception("connection %s failed", name)
            return code
        finally:
            self._keep_code(name, code)
            await _close(writer)

    async def _introduce(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[Hello, Client]:
        """Who this is.

        Raises:
            SidecarError: nobody who may come in, or no valid first line.
        """
        who = peers.credentials(writer.get_extra_info("socket"))
        if who is not None:
            peers.check_user(who[1])
        try:
            line = await asyncio.wait_for(lines.read_line(reader), HANDSHAKE_SECONDS)
        except (asyncio.TimeoutError, TimeoutError):
            raise SidecarError("timed-out", f"No first line within {HANDSHAKE_SECONDS:.0f} s.") from None
        if line is None:
            raise ConnectionAbortedError
        try:
            hello = msgspec.convert(lines.decode(line), Hello)
        except msgspec.ValidationError as exc:
            raise invalid("hello", str(exc)) from None
        expected = self._token()
        if expected is not None and who is None:
            peers.check_token(expected, hello.token)
        if hello.sidecar != PROTOCOL:
            hint = "Install the same version everywhere."
            raise invalid("sidecar", f"this version speaks {PROTOCOL}, not {hello.sidecar}", hint)
        pid = hello.pid if who is None else who[0]
        frontend = cast(Frontend, "mcp" if hello.frontend == "http" else hello.frontend)
        env = http_tokens.without(hello.env)
        return hello, Client(frontend=frontend, version=hello.version, cwd=hello.cwd, env=env, pid=pid)

    async def _prepare(
        self, name: str, hello: Hello, client: Client
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[int]]:
        if hello.frontend == "control":
            self._controls.add(name)
            peers.check_worker(hello.env, None, lambda pid: False)
            return self._control
        try:
            core = await asyncio.shield(self._core)
            serve = await self._load(hello.frontend)
        except SidecarError:
            raise
        except Exception as exc:
            logger.exception("%s cannot be served", hello.frontend)
            raise internal(exc) from exc
        peers.check_worker(hello.env, client.pid, core.is_worker_process if core is not None else lambda pid: False)
        self._clients[name] = client
        return lambda reader, writer: serve(core, client, reader, writer)

    def _keep_code(self, name: str, code: int) -> None:
        until = time.monotonic() + EXIT_CODE_SECONDS
        self._codes = {key: kept for key, kept in self._codes.items() if kept[1] > time.monotonic()}
        self._codes[name] = (code, until)

    async def exit_code(self, name: str) -> int | None:
        """How a connection ended; waits a moment where it is just ending. None: not known (any more)."""
        if name not in self._codes and name in self._tasks:
            await asyncio.wait({self._tasks[name]}, timeout=FLUSH_SECONDS / 2)
        kept = self._codes.get(name)
        return None if kept is None else kept[0]

    async def close(self, seconds: float, *, controls: bool = False) -> None:
        """Ends all connections of front ends (and with `controls` the others), by force after `seconds`."""
        names = set(self._tasks) if controls else set(self._tasks) - self._controls
        tasks = [self._tasks[name] for name in names]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for name in names & set(self._writers):
            self._writers[name].transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), FLUSH_SECONDS)
    except (asyncio.TimeoutError, TimeoutError):
        writer.transport.abort()
    except OSError as exc:
        logger.debug("a connection broke at its end: %s", exc)
