"""A connection of the terminal's commands: tool calls as JSON lines, many at a time.

`{"id": 1, "tool": "codex_status", "arguments": {}}` is answered `{"id": 1, "result": {}}` or `{"id": 1, "error": {}}`.
`{"cancel": 1}` ends a call that waits (`{"id": 1, "cancelled": true}`); other calls run to their end, as they may have
changed something already.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from typing import TYPE_CHECKING, Any

from sidecar.model import limits
from sidecar.model.errors import SidecarError, internal, invalid
from sidecar.service import lines
from sidecar.tools import table
from sidecar.tools.caller import Caller, Client

if TYPE_CHECKING:
    from sidecar.service.core import Core

REQUESTS_MAX = 1_024
"""Most calls of one connection that run at a time."""
HANG_UP_SECONDS = 0.25
"""How often a client that sends nothing more is looked at: does it still read?"""

logger = logging.getLogger(__name__)


async def serve(core: Core | None, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """Serves one connection until its end and returns 0. The end cancels what only waits, never a job."""
    return await _Session(Caller(core, client), reader, writer).run()


class _Session:
    def __init__(self, caller: Caller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._caller = caller
        self._reader = reader
        self._writer = writer
        self._calls: dict[int | str, asyncio.Task[dict[str, Any]]] = {}
        self._waiting: set[int | str] = set()

    async def run(self) -> int:
        try:
            async for item in lines.objects(self._reader):
                if isinstance(item, SidecarError):
                    self._send({"id": None, "error": item.to_dict()})
                else:
                    self._take(item)
            while self._calls and not self._hung_up():
                await asyncio.wait(self._calls.values(), timeout=HANG_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return 0
        finally:
            for request in self._waiting:
                self._calls[request].cancel()

    def _take(self, item: dict[str, Any]) -> None:
        request = item.get("cancel", item.get("id"))
        if not isinstance(request, int | str) or isinstance(request, bool):
            problem = invalid("id", "expected a number or a string")
        elif "cancel" in item:
            if request in self._waiting:
                self._calls[request].cancel()
            return
        elif not isinstance(item.get("tool"), str):
            problem = invalid("tool", "expected a tool's name")
        elif request in self._calls:
            problem = invalid("id", "a call with this id has not been answered yet")
        elif len(self._calls) >= REQUESTS_MAX:
            problem = SidecarError(
                "limit-reached", f"{REQUESTS_MAX} calls run already.", "Wait for some of them first."
            )
        else:
            self._start(request, item["tool"], item.get("arguments"))
            return
        self._send({"id": request if isinstance(request, int | str) else None, "error": problem.to_dict()})

    def _start(self, request: int | str, name: str, arguments: object) -> None:
        known = table.BY_NAME.get(name)
        if known is not None and known.waits:
            self._waiting.add(request)
        task = asyncio.create_task(table.call(name, arguments, self._caller))
        self._calls[request] = task
        task.add_done_callback(lambda done: self._answer(request, done))

    def _answer(self, request: int | str, call: asyncio.Task[dict[str, Any]]) -> None:
        del self._calls[request]
        self._waiting.discard(request)
        if call.cancelled():
            self._send({"id": request, "cancelled": True})
        elif (exc := call.exception()) is None:
            self._send({"id": request, "result": call.result()})
        else:
            self._send({"id": request, "error": (exc if isinstance(exc, SidecarError) else internal(exc)).to_dict()})

    def _send(self, answer: dict[str, Any]) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return
        self._writer.write(lines.encode(answer))
        if transport.get_write_buffer_size() > limits.CLIENT_QUEUE_BYTES:
            logger.warning("a client that does not read was disconnected")
            transport.abort()

    def _hung_up(self) -> bool:
        """Whether the client is gone; false where it has only ended its sending, and waits for answers."""
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if self._writer.transport.is_closing() or sock is None or sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLHUP)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))
