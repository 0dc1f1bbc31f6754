"""The connection of `codex-sidecar mcp --http`: while it stands, this process listens for MCP clients on loopback.

Off unless somebody runs that program: no setting and no file of a repository turns it on. It is served from the same
loop as everything else, by uvicorn, whose signal handlers and own log would not fit here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from sidecar.mcp.http import PATH, HttpServer
from sidecar.model.errors import SidecarError, invalid
from sidecar.service import http_tokens, lines
from sidecar.service.http_peers import Peers
from sidecar.tools.caller import Caller, Client

if TYPE_CHECKING:
    from sidecar.service.core import Core

BACKLOG = 128
CONNECTIONS_MAX = 256
"""Above so many connections requests get 503: they must not use up the descriptors of this process."""
CLOSE_SECONDS = 1
"""How long answers under way may take when the listener closes."""

logger = logging.getLogger(__name__)


class _Quiet(uvicorn.Server):
    """The process's signals belong to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve(core: Core | None, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Listens until the front end leaves.

    The front end's first line is `{port}`, 0 for a free one; the answer `{url, tokenFile}` or `{error}`.

    Returns:
        0, or 3 where it could not listen.
    """
    try:
        request = lines.decode(await lines.read_line(reader) or b"")
        listener = await _listen(Caller(core, client).work_tree(), client, request)
    except SidecarError as exc:
        writer.write(lines.encode({"error": exc.to_dict()}))
        return 3
    try:
        async with listener.application.running():
            serving = asyncio.create_task(listener.server.serve([listener.sock]))
            writer.write(lines.encode({"url": listener.url, "tokenFile": str(listener.token_file)}))
            logger.info("listens on %s for process %s", listener.url, client.pid)
            try:
                await _until_end(reader, serving)
            finally:
                listener.server.should_exit = True
                # The file goes first: what it opens is closing.
                await asyncio.to_thread(http_tokens.remove, listener.token_file)
                await serving
    finally:
        listener.sock.close()
        await asyncio.to_thread(http_tokens.remove, listener.token_file)
        logger.info("no longer listens on %s", listener.url)
    return 0


class _Listener:
    """What belongs to one listening socket."""

    def __init__(self, core: Core, client: Client, sock: socket.socket, token_file: Path, token: str) -> None:
        port = sock.getsockname()[1]
        self.sock = sock
        self.token_file = token_file
        self.url = f"http://127.0.0.1:{port}{PATH}"
        self.application = HttpServer(core, client, port, token, Peers(core, port).may_enter)
        config = uvicorn.Config(
            self.application, http="h11", ws="none", lifespan="off", interface="asgi3", log_config=None,
            access_log=False, server_header=False, proxy_headers=False, backlog=BACKLOG,
            limit_concurrency=CONNECTIONS_MAX, timeout_graceful_shutdown=CLOSE_SECONDS,
        )  # fmt: skip
        config.load()
        self.server = _Quiet(config)


async def _listen(core: Core, client: Client, request: dict[str, Any]) -> _Listener:
    """A listener whose socket takes connections already.

    Raises:
        SidecarError: `invalid-arguments`, `busy` for a port in use, `state-unavailable`.
    """
    port = request.get("port")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65_535:
        raise invalid("port", "expected a number from 0 to 65535", "0 or no --port takes a free one.")
    # An exception in a request is logged by the application; the rest are clients that left.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    try:
        sock = _bind(port)
    except OSError as exc:
        raise _not_bound(port, exc) from exc
    try:
        token_file, token = await asyncio.to_thread(http_tokens.make, core.state_dir, sock.getsockname()[1])
        # In a thread: uvicorn imports its protocol when the configuration is loaded.
        return await asyncio.to_thread(_Listener, core, client, sock, token_file, token)
    except OSError as exc:
        sock.close()
        raise SidecarError(
            "state-unavailable",
            f"The token could not be written to {core.state_dir} ({exc.strerror or exc}).",
            "Make it a directory of yours that can be written, on a file system with free space.",
        ) from exc


def _bind(port: int) -> socket.socket:
    # With the protocol left open, asyncio would not switch off Nagle's delay of 40 ms a message.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Only past connections are overlooked by this, not somebody who listens.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _not_bound(port: int, exc: OSError) -> SidecarError:
    if exc.errno == errno.EADDRINUSE:
        hint = "Name another with --port, or leave --port out for a free one."
        return SidecarError("busy", f"Port {port} of 127.0.0.1 is in use.", hint, {"port": port})
    if exc.errno in (errno.EACCES, errno.EPERM):
        return invalid("port", f"{port} may not be used ({os.strerror(exc.errno)})", "Name one from 1024 on.")
    return SidecarError("state-unavailable", f"It cannot listen on 127.0.0.1 ({exc.strerror or exc}).", "", {})


async def _until_end(reader: asyncio.StreamReader, serving: asyncio.Task[None]) -> None:
    """Returns when the front end has closed its side, or the listener ended by itself."""
    ended = asyncio.create_task(reader.read())
    try:
        await asyncio.wait({ended, serving}, return_when=asyncio.FIRST_COMPLETED)
        # A front end that was killed breaks the connection, which is an end like another.
        if ended.done() and not isinstance(ended.exception(), (OSError, type(None))):
            ended.result()
    finally:
        ended.cancel()
