"""The events of one job: the worker's spool, our own events beside it, and when each line was seen.

The spool is the worker's standard output, byte for byte, written by the worker itself. Our own events (spawned, cancel,
final) are in a second append-only file; each says behind which byte of the spool it stands, so both merge into one
order that never changes. Codex's lines carry no time: whoever reads a line first notes (offset, time).
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sidecar.jobs import durable
from sidecar.jobs.paging import Position
from sidecar.model import limits
from sidecar.model.event import Event, EventType, ParsedEvent
from sidecar.model.job import JobError, JobStatus, iso, now

logger = logging.getLogger(__name__)
_THREAD_LINE_BYTES = 512 * 1024
"""A line above this is parsed in a thread: it takes longer than the loop may be blocked."""


class Parser(Protocol):
    """Turns one line of a worker's stream into exactly one event; keeps track of what it saw."""

    def parse(self, line: bytes) -> ParsedEvent: ...


class OwnEvent(msgspec.Struct, rename="camel"):
    """An event of ours; it stands behind `at` bytes of the spool."""

    at: int
    time: float
    type: EventType
    content: dict[str, Any]


def final_content(status: JobStatus, exit_code: int | None, error: JobError | None) -> dict[str, Any]:
    """The content of a job's last event."""
    content: dict[str, Any] = {"kind": "final", "status": status, "exitCode": exit_code}
    return content if error is None else {**content, "error": msgspec.to_builtins(error)}


class Seen(msgspec.Struct, array_like=True, frozen=True):
    """All bytes before `offset` were there at `time`; `approximate` where nobody watched when they came."""

    offset: int
    time: float
    approximate: bool = False


class JobLog:
    """Reads one job's spool forward through `parser`, and pages through everything.

    Args:
        spool: the worker's stdout; need not exist yet.
        own: our own events.
        times: the (offset, time) pairs.
        parser: tracks the worker; gets every complete line once, in order.
        page_parser: makes a parser for paging, which reads lines again.
        watched: whether this process is there from the spool's first byte on.
    """

    def __init__(
        self, spool: Path, own: Path, times: Path, parser: Parser, page_parser: Callable[[], Parser], *, watched: bool
    ) -> None:
        self._spool_path = spool
        self._own_path = own
        self._times_path = times
        self._parser = parser
        self._page_parser = page_parser
        self._fresh = watched
        self._fd: int | None = None
        self._lock = asyncio.Lock()
        self._tail = bytearray()
        self._oversized = False
        self._read = 0
        self.offset = 0
        """Bytes of complete lines that the parser has had."""
        self.own: list[OwnEvent] = []
        self._times: list[Seen] = []
        self._ended = False
        self.lines = 0
        """Lines that the parser has had."""
        self.on_line: Callable[[int, ParsedEvent, float], None] | None = None
        """Told of each line in order: its number from 1, and a time (wall clock) after which it was printed."""
        self._at_end = now() if watched else 0.0
        """When everything that was there had been read."""

    def load(self) -> None:
        """Reads our own events and times from disk (blocks; small files). A torn last line is not there."""
        self.own = [msgspec.json.decode(line, type=OwnEvent) for line in _lines(self._own_path)]
        self._times = [msgspec.json.decode(line, type=Seen) for line in _lines(self._times_path)]

    def load_finished(self, final: OwnEvent | None = None) -> None:
        """Like `load`, for a job that has ended: everything can be paged, nothing is parsed again for tracking.

        Args:
            final: stands in for our final event where a power cut took it; its place is the end of the spool.
        """
        self.load()
        with contextlib.suppress(FileNotFoundError):  # A job that never started has no spool.
            self._fd = os.open(self._spool_path, os.O_RDONLY | os.O_CLOEXEC)
            self.offset = self._read = os.fstat(self._fd).st_size
        if final is not None and not self.has("final"):
            final.at = self.offset
            self.own.append(final)
        self._ended = True

    def move(self, spool: Path) -> None:
        """Reads another spool from now on; only for a log whose spool is empty."""
        assert self._read == 0, "a spool that was read from can not be exchanged"
        self.close()
        self._spool_path = spool

    def close(self) -> None:
        """Closes the spool; reading opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    async def catch_up(self, *, ended: bool = False) -> int:
        """Parses what the worker wrote since the last time.

        Args:
            ended: the worker is gone, so a last line without a newline is a line.

        Returns:
            How many new lines were parsed.
        """
        async with self._lock:
            return await self._catch_up(ended)

    async def _catch_up(self, ended: bool) -> int:
        count = 0
        if self._fd is None:
            with contextlib.suppress(FileNotFoundError):  # The worker has not been started yet.
                self._fd = os.open(self._spool_path, os.O_RDONLY | os.O_CLOEXEC)
        while self._fd is not None:
            reached = now()
            chunk = os.pread(self._fd, limits.LOOP_BUDGET_BYTES, self._read)
            if not chunk:
                self._at_end = reached
                break
            self._read += len(chunk)
            count += await self._take(chunk)
            await asyncio.sleep(0)
        if ended and self._tail:
            line, self._tail = bytes(self._tail), bytearray()
            await self._parse(line)
            self.offset = self._read
            count += 1
        if ended:
            self._ended = True
        if count:
            self._note_time()
        self._fresh = True
        return count

    async def _take(self, chunk: bytes) -> int:
        count = 0
        start = 0
        while (newline := chunk.find(b"\n", start)) >= 0:
            line = chunk[start:newline]
            if self._tail:
                line = bytes(self._tail) + (b"" if self._oversized else line)
                self._tail.clear()
            start = newline + 1
            self._oversized = False
            if line.strip():
                await self._parse(line)
                count += 1
            self.offset = self._read - (len(chunk) - start)
        if not self._oversized:
            self._tail += chunk[start:]
        if len(self._tail) > limits.SPOOL_LINE_BYTES:
            del self._tail[limits.SPOOL_LINE_BYTES + 1 :]
            self._oversized = True
        return count

    async def _parse(self, line: bytes) -> None:
        if len(line) > _THREAD_LINE_BYTES:
            parsed = await asyncio.to_thread(self._parser.parse, line)
        else:
            parsed = self._parser.parse(line)
        self.lines += 1
        if self.on_line is not None:
            self.on_line(self.lines, parsed, self._at_end)

    def _note_time(self) -> None:
        known = self._times[-1].offset if self._times else 0
        if self.offset <= known:
            return
        seen = Seen(self.offset, now(), not self._fresh)
        self._times.append(seen)
        try:
            fd = os.open(self._times_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, msgspec.json.encode(seen) + b"\n")
            finally:
                os.close(fd)
        except OSError as exc:
            # The time of a line is a convenience; a full disk must not stop the reading.
            logger.warning("times of %s not kept: %s", self._spool_path.parent.name, exc)

    def has(self, kind: str) -> bool:
        """Whether an own event of this kind is there."""
        return any(event.content.get("kind") == kind for event in self.own)

    async def append(
        self, event_type: EventType, content: dict[str, Any], *, ended: bool = False, sync: bool = True
    ) -> None:
        """Adds an event of ours behind everything read so far; returns when it is on disk (without `sync`: written).

        Raises:
            OSError: it was not added.
        """
        async with self._lock:
            await self._catch_up(ended)
            event = OwnEvent(self.offset, now(), event_type, content)
            await asyncio.to_thread(durable.append, self._own_path, msgspec.json.encode(event) + b"\n", sync=sync)
            self.own.append(event)

    async def page(self, start: Position, count: int, take: Callable[[Event], bool]) -> tuple[Position, bool]:
        """Hands events from `start` on to `take`, at most `count` and as long as it says True.

        Returns:
            Where the next page begins, and whether nothing is left that could be read now.
        """
        async with self._lock:
            if not self._ended:
                await self._catch_up(False)
            parser = self._page_parser()
            position = start
            reader = _LineReader(self._fd, self.offset)
            for _ in range(count):
                event, following = await self._next(position, parser, reader)
                if event is None:
                    return position, True
                if not take(event):
                    return position, False
                position = following
            event, _ = await self._next(position, parser, reader)
            return position, event is None

    async def _next(self, at: Position, parser: Parser, reader: _LineReader) -> tuple[Event | None, Position]:
        seq = at.seq + 1
        line, end = reader.line(at.offset)
        if at.own < len(self.own):
            own = self.own[at.own]
            # Both are boundaries of lines; only empty lines can lie between an own event and the line behind it.
            if own.at <= at.offset or (own.at <= end if line is None else own.at < end):
                return Event(seq, own.type, iso(own.time) or "", own.content), Position(at.offset, at.own + 1, seq)
        if line is None:
            return None, at
        parsed = await asyncio.to_thread(parser.parse, line) if len(line) > _THREAD_LINE_BYTES else parser.parse(line)
        time, approximate = self._time_of(end)
        content = {**parsed.content, "approximateTime": True} if approximate else parsed.content
        return Event(seq, parsed.type, iso(time) or "", content), Position(end, at.own, seq)

    def _time_of(self, end: int) -> tuple[float, bool]:
        index = bisect.bisect_left(self._times, end, key=lambda seen: seen.offset)
        if index < len(self._times):
            return self._times[index].time, self._times[index].approximate
        with contextlib.suppress(OSError):  # Without a spool there is no line whose time could be asked for.
            return self._spool_path.stat().st_mtime, True
        return now(), True

    def is_boundary(self, position: Position) -> bool:
        """Whether a page can begin here: a line starts at the offset, and so many own events are there."""
        if position.own > len(self.own) or position.offset > self.offset:
            return False
        if position.offset in (0, self.offset) or self._fd is None:
            return True
        return os.pread(self._fd, 1, position.offset - 1) == b"\n"


class _LineReader:
    """Non-empty lines of the spool before `end`, one after another; asking for the same one twice reads once."""

    def __init__(self, fd: int | None, end: int) -> None:
        self._fd = fd
        self._end = end
        self._base = 0
        self._buffer = bytearray()
        self._memo: tuple[int, bytes | None, int] | None = None

    def line(self, offset: int) -> tuple[bytes | None, int]:
        """The first non-empty line at or behind `offset`, and where the one after it starts.

        A line above the size limit is cut to one byte more than the limit, which the parser shows as oversized.
        """
        if self._memo is not None and self._memo[0] == offset:
            return self._memo[1:]
        asked, line = offset, None
        while line is None and offset < self._end:
            line, offset = self._one(offset)
            if not line.strip():
                line = None
        self._memo = (asked, line, offset)
        return line, offset

    def _one(self, offset: int) -> tuple[bytes, int]:
        self._seek(offset)
        searched = 0
        while (found := self._buffer.find(b"\n", searched)) < 0 and len(self._buffer) <= limits.SPOOL_LINE_BYTES:
            searched = len(self._buffer)
            if not self._more():
                return bytes(self._buffer), self._end
        if found >= 0:
            return bytes(self._buffer[: min(found, limits.SPOOL_LINE_BYTES + 1)]), offset + found + 1
        return bytes(self._buffer[: limits.SPOOL_LINE_BYTES + 1]), self._skip(offset + len(self._buffer))

    def _seek(self, offset: int) -> None:
        if self._base <= offset <= self._base + len(self._buffer):
            del self._buffer[: offset - self._base]
        else:
            self._buffer.clear()
        self._base = offset

    def _read(self, at: int) -> bytes:
        return b"" if self._fd is None or at >= self._end else os.pread(self._fd, min(65_536, self._end - at), at)

    def _more(self) -> bool:
        chunk = self._read(self._base + len(self._buffer))
        self._buffer += chunk
        return bool(chunk)

    def _skip(self, at: int) -> int:
        while chunk := self._read(at):
            if (found := chunk.find(b"\n")) >= 0:
                return at + found + 1
            at += len(chunk)
        return self._end


def _lines(path: Path) -> list[bytes]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return [line for line in data[: data.rfind(b"\n") + 1].split(b"\n") if line]
