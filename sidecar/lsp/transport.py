"""Frames in and frames out of one connection.

pygls' own reader hangs for ever on a lower-case header and has no size limit; its writers block the loop or tear frames
when two threads write. So the bytes are handled here: whatever arrives gets an answer or a clean end, the loop never
waits for a client, and only the loop's thread writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading

from sidecar.lsp.message import MsgId, Refused, find_id
from sidecar.model import limits

logger = logging.getLogger(__name__)

HEADER_BYTES_MAX = 8_192
"""Longest header section of a frame; real ones have under 100 bytes."""
FLUSH_SECONDS = 1.0
"""How long the last bytes to a client may take when the connection ends."""
_CHUNK = 65_536
_ID_WINDOW = 1_024
"""How much of both ends of an oversized frame is kept, to find its id."""

_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"[0-9]{1,12}")
# A JSON body cannot hold a raw line break inside a string, so this never matches inside a well-formed message.
_NEXT_HEADER = re.compile(rb"content-length:[ \t]*[0-9]{1,12}[ \t]*\r?\n", re.IGNORECASE)
_LONGEST_HEADER_LINE = 64


class FrameReader:
    """The bodies of the frames of one stream, in order."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()
        self._lost = False

    async def next(self) -> bytes | Refused | None:
        """The next frame's body (bytes as sent), or why it was refused, or None at the end of the stream.

        After a refused frame the reader goes on with the frame after it. None comes also where the client broke the
        framing for good; that is logged.
        """
        if self._lost and not await self._resynchronise():
            return None
        while (end := self._find_header_end()) is None:
            if len(self._buffer) >= HEADER_BYTES_MAX:
                return self._broken("The header of a message has no end.", 1)
            if not await self._fill():
                if self._buffer:
                    logger.warning("the client's stream ends inside a header")
                return None
        named = _named_lengths(bytes(self._buffer[: end[0]]))
        if len(named) != 1 or not _LENGTH.fullmatch(named[0]):
            # Without any, this may be the rest of a body whose length was wrong, and hold a good header further on.
            return self._broken("The header of a message has no valid Content-Length.", end[1] if named else 1)
        length = int(named[0])
        del self._buffer[: end[1]]
        if length > limits.MESSAGE_BYTES_MAX:
            return await self._skip(length)
        while len(self._buffer) < length:
            if not await self._fill():
                logger.warning("the client's stream ends inside a message")
                return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _find_header_end(self) -> tuple[int, int] | None:
        # Some clients end a body with a line break of their own.
        extra = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
        del self._buffer[:extra]
        match = _END_OF_HEADER.search(self._buffer, 0, HEADER_BYTES_MAX)
        return match.span() if match else None

    async def _fill(self) -> bool:
        """Reads some more bytes; False at the end of the stream."""
        try:
            chunk = await self._reader.read(_CHUNK)
        except OSError as exc:
            logger.info("the connection to the client broke: %s", exc)
            return False
        self._buffer += chunk
        return bool(chunk)

    def _broken(self, message: str, drop: int) -> Refused:
        self._lost = True
        del self._buffer[:drop]
        return Refused(-32700, message, None)

    async def _resynchronise(self) -> bool:
        """Drops bytes up to the next thing that looks like a header; False where the stream ends before one."""
        dropped = 0
        while dropped <= limits.MESSAGE_BYTES_MAX:
            if match := _NEXT_HEADER.search(self._buffer):
                del self._buffer[: match.start()]
                self._lost = False
                return True
            surplus = max(0, len(self._buffer) - _LONGEST_HEADER_LINE)
            del self._buffer[:surplus]
            dropped += surplus
            if not await self._fill():
                return False
        logger.warning("no header within %d bytes: the client does not speak the protocol", dropped)
        return False

    async def _skip(self, length: int) -> Refused | None:
        """Passes over a body of `length` bytes without keeping it."""
        head, tail, left = b"", b"", length
        while left:
            if not self._buffer and not await self._fill():
                return None
            piece = bytes(self._buffer[:left])
            del self._buffer[:left]
            left -= len(piece)
            head += piece[: _ID_WINDOW - len(head)]
            tail = (tail + piece)[-_ID_WINDOW:]
        message = f"The message has {length} bytes; at most {limits.MESSAGE_BYTES_MAX} are taken."
        logger.warning("a message of %d bytes was skipped", length)
        request_id: MsgId | None = find_id(head, tail)
        return Refused(-32600, message, request_id)


def _named_lengths(header: bytes) -> list[bytes]:
    """The different values of Content-Length in a header section."""
    found: dict[bytes, None] = {}
    for line in header.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            found[value.strip()] = None
    return list(found)


class Outbox:
    """Everything that goes to one client. Never blocks: what the client does not read is counted, not waited for."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._transport = writer.transport
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        # Python 3.10 allows one waiter for drain() at a time.
        self._draining = asyncio.Lock()
        self._transport.set_write_buffer_limits(high=limits.CLIENT_CONGESTED_BYTES)

    def send(self, body: bytes) -> None:
        """Queues one message (its JSON, UTF-8). May be called from any thread; the order of one thread is kept."""
        frame = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        if threading.get_ident() == self._thread:
            self._write(frame)
        else:
            self._loop.call_soon_threadsafe(self._write, frame)

    def _write(self, frame: bytes) -> None:
        if self._transport.is_closing():
            return
        self._writer.write(frame)
        unread = self._transport.get_write_buffer_size()
        if unread > limits.CLIENT_QUEUE_BYTES:
            logger.warning("a client left %d bytes unread; it is disconnected", unread)
            self._transport.abort()

    async def drained(self) -> None:
        """Returns when the client is not congested: at once, or when it has read most of what waits for it.

        Raises:
            OSError: the connection is gone.
        """
        async with self._draining:
            await self._writer.drain()

    async def close(self) -> None:
        """Flushes for at most `FLUSH_SECONDS`, then closes in any case."""
        self._writer.close()
        closed = asyncio.ensure_future(self._writer.wait_closed())
        # A cancelled wait_closed() would poison later ones of the same connection, hence no wait_for().
        await asyncio.wait({closed}, timeout=FLUSH_SECONDS)
        self._transport.abort()
        with contextlib.suppress(OSError):  # The client is gone: that is what closing is for.
            await closed
