"""The two streams that the SDK serves a connection with, over one socket.

The SDK's own transports write without a bound and cut off running calls as soon as the client stops sending. Here the
loop never waits for a client: what it does not read is counted, and a client that only closed its sending side still
gets the answers that are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from types import TracebackType

import anyio
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse
from mcp_types.jsonrpc import ErrorData
from pydantic_core import PydanticSerializationError

from sidecar.mcp import catalog
from sidecar.mcp.lines import LineReader, Refused, RequestId, mend, parse
from sidecar.model import limits

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
"""How long the last bytes to a client may take when the connection ends."""
LAST_CALLS_SECONDS = 5.0
"""How long calls that do not wait by design may go on after the client stopped sending."""


class Outbox:
    """Everything that goes to one client. Never blocks."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._transport = writer.transport
        self.overflowed = False
        """Whether the client was disconnected because it left too much unread."""

    @property
    def congested(self) -> bool:
        """Whether so much is unread that what can be left out is left out."""
        return self._transport.get_write_buffer_size() > limits.CLIENT_CONGESTED_BYTES

    def put(self, message: JSONRPCMessage) -> None:
        """Queues one message; nothing happens where the connection is gone already."""
        if self._transport.is_closing():
            return
        self._writer.write(_encode(message) + b"\n")
        unread = self._transport.get_write_buffer_size()
        if unread > limits.CLIENT_QUEUE_BYTES:
            logger.warning("a client left %d bytes unread; it is disconnected", unread)
            self.overflowed = True
            self._transport.abort()

    async def close(self) -> None:
        """Flushes for at most `FLUSH_SECONDS`, then closes in any case."""
        self._writer.close()
        closed = asyncio.ensure_future(self._writer.wait_closed())
        # A cancelled wait_closed() would poison later ones of the same connection, hence no wait_for().
        await asyncio.wait({closed}, timeout=FLUSH_SECONDS)
        if not closed.done():
            self._transport.abort()
        with contextlib.suppress(OSError):  # The client is gone: that is what closing is for.
            await closed


def _encode(message: JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode()
    except PydanticSerializationError:
        # Half a surrogate pair has no UTF-8; a client may have sent one, and a worker may have printed one.
        raw = message.model_dump(by_alias=True, exclude_unset=True)
        return mend(json.dumps(raw, ensure_ascii=False, separators=(",", ":"))).encode()


class OpenCalls:
    """The requests that have no answer yet, without those that wait by design."""

    def __init__(self) -> None:
        self._open: set[RequestId] = set()
        self._none = asyncio.Event()
        self._none.set()

    def begin(self, request: JSONRPCRequest) -> SessionMessage:
        """Notes a request; returns it as the SDK takes it."""
        name = (request.params or {}).get("name") if request.method == "tools/call" else None
        tool = catalog.find(name) if isinstance(name, str) else None
        if (tool is None or not tool.waits) and request.method != "subscriptions/listen":
            self._open.add(request.id)
            self._none.clear()

        async def unanswered() -> None:
            self.end(request.id)

        return SessionMessage(request, ServerMessageMetadata(on_request_unanswered=unanswered))

    def end(self, request_id: RequestId | None) -> None:
        """Notes that a request was answered or cancelled."""
        if request_id is not None:
            self._open.discard(request_id)
        if not self._open:
            self._none.set()

    async def settle(self) -> None:
        """Returns when none is open, at the latest after `LAST_CALLS_SECONDS`."""
        waiting = asyncio.ensure_future(self._none.wait())
        await asyncio.wait({waiting}, timeout=LAST_CALLS_SECONDS)
        waiting.cancel()


class Incoming:
    """The SDK's read stream: the requests and notifications of the client. What is refused is answered here."""

    def __init__(self, lines: LineReader, outbox: Outbox, calls: OpenCalls) -> None:
        self._lines = lines
        self._outbox = outbox
        self._calls = calls

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: the client sends no more, and its last calls have their answers.
        """
        while (line := await self._lines.next()) is not None:
            message = parse(line) if isinstance(line, bytes) else line
            if isinstance(message, JSONRPCRequest):
                return self._calls.begin(message)
            if isinstance(message, JSONRPCNotification):
                return SessionMessage(message)
            if isinstance(message, Refused):
                error = ErrorData(code=message.code, message=message.message)
                self._outbox.put(JSONRPCError(jsonrpc="2.0", id=message.id, error=error))
            # A flood of lines that go no further does not hold up the loop.
            await asyncio.sleep(0)
        await self._calls.settle()
        raise anyio.EndOfStream

    async def aclose(self) -> None:
        """Nothing is held here; the connection is closed by whoever opened it."""

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Incoming:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class Outgoing:
    """The SDK's write stream. Only progress is dropped, while the client does not read."""

    def __init__(self, outbox: Outbox, calls: OpenCalls) -> None:
        self._outbox = outbox
        self._calls = calls

    async def send(self, item: SessionMessage, /) -> None:
        """Queues one message; returns at once."""
        message = item.message
        progress = isinstance(message, JSONRPCNotification) and message.method == "notifications/progress"
        if progress and self._outbox.congested:
            # The next report says more than this one.
            return
        self._outbox.put(message)
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._calls.end(message.id)

    async def aclose(self) -> None:
        """Nothing is held here; the connection is closed by whoever opened it."""

    async def __aenter__(self) -> Outgoing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
