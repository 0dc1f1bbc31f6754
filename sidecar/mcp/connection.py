"""One MCP client, from its first byte to its last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.mcp.lines import LineReader
from sidecar.mcp.server import ToolServer
from sidecar.mcp.streams import Incoming, OpenCalls, Outbox, Outgoing
from sidecar.tools.caller import Client

if TYPE_CHECKING:
    from sidecar.service.core import Core


async def serve(core: Core | None, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Serves one client until it leaves, and closes the connection.

    The end of the connection ends the calls that wait; jobs live on.

    Args:
        core: what all clients of this process share; None outside a repository.
        client: what the front end said about itself.
        reader, writer: the connection; in both directions one JSON-RPC message a line, UTF-8.

    Returns:
        The exit code of the client's server program: 0 where the client left, 1 where it was disconnected because it
        did not read.
    """
    outbox = Outbox(writer)
    calls = OpenCalls()
    tools = ToolServer(core, client)
    server = tools.make()
    incoming = Incoming(LineReader(reader), outbox, calls)
    try:
        await server.run(incoming, Outgoing(outbox, calls), server.create_initialization_options())
    finally:
        await tools.settle()
        await outbox.close()
    return 1 if outbox.overflowed else 0
