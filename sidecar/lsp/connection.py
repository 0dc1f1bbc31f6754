"""One language client, from its first byte to its last."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sidecar.lsp.server import SidecarServer
from sidecar.lsp.transport import FrameReader, Outbox
from sidecar.tools.caller import Client

if TYPE_CHECKING:
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)


async def serve(core: Core | None, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Serves one client until it leaves, and closes the connection.

    Args:
        core: what all clients of this process share; None outside a repository.
        client: what the front end said about itself.
        reader, writer: the connection; the bytes are LSP in both directions.

    Returns:
        The exit code of the client's server program: 0 after `shutdown`, 1 for an `exit` or an end of the stream
        without it.
    """
    outbox = Outbox(writer)
    server = SidecarServer(core, client, outbox)
    frames = FrameReader(reader)
    protocol = server.protocol
    try:
        while protocol.exit_code is None and (frame := await frames.next()) is not None:
            protocol.receive(frame)
            # Each message gets the handlers of the one before going, and a flood of them does not hold up the loop.
            await asyncio.sleep(0)
        if protocol.exit_code is not None:
            return protocol.exit_code
        return 0 if protocol.phase == "shutdown" else 1
    finally:
        await server.close()
        await outbox.close()
