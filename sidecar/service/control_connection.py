"""A control connection: questions about the service itself, as JSON lines. It does not keep the service alive."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from sidecar import __version__
from sidecar.model.errors import SidecarError, invalid
from sidecar.service import lines
from sidecar.service.link import version_key

if TYPE_CHECKING:
    from sidecar.service.server import Server


async def serve(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Answers until the client's end; after `stop` and `replace` the connection's end is the process's."""
    async for item in lines.objects(reader):
        try:
            if isinstance(item, SidecarError):
                raise item
            answer = await _answer(server, item)
        except SidecarError as exc:
            answer = {"error": exc.to_dict()}
        writer.write(lines.encode(answer))
        await writer.drain()
    return 0


async def _answer(server: Server, request: dict[str, Any]) -> dict[str, Any]:
    op = request.get("op")
    if op == "status":
        return server.status()
    if op == "settings":
        return await server.announced()
    if op == "exit-code":
        return {"code": await server.connections.exit_code(str(request.get("connection")))}
    if op == "stop":
        server.request_end("asked to stop")
        return {"stopping": True, "pid": os.getpid()}
    if op == "replace":
        version = request.get("version")
        if not isinstance(version, str):
            raise invalid("version", "expected the version that takes over")
        replaced = version_key(version) > version_key(__version__)
        if replaced:
            server.request_end(f"version {version} takes over")
        return {"replaced": replaced, "version": __version__, "pid": os.getpid()}
    raise invalid("op", "expected status, settings, stop, replace or exit-code")
