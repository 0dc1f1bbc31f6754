"""JSON objects, one a line: what the terminal's commands and control connections speak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from sidecar.model import limits
from sidecar.model.errors import SidecarError, invalid


async def read_line(reader: asyncio.StreamReader) -> bytes | None:
    """The next line without its newline (the last one may lack it); None at the end of the stream.

    The reader's own limit is the longest line.

    Raises:
        SidecarError: `invalid-arguments` for a line above the limit; it has been passed over.
        OSError: the connection broke.
    """
    try:
        return (await reader.readuntil(b"\n"))[:-1]
    except asyncio.IncompleteReadError as exc:
        return exc.partial or None
    except asyncio.LimitOverrunError as exc:
        await _skip_line(reader, exc.consumed)
        raise invalid("line", f"longer than {limits.MESSAGE_BYTES_MAX} bytes") from None


async def _skip_line(reader: asyncio.StreamReader, buffered: int) -> None:
    while True:
        try:
            await reader.readexactly(buffered)
            await reader.readuntil(b"\n")
            return
        except asyncio.LimitOverrunError as exc:
            buffered = exc.consumed
        except asyncio.IncompleteReadError:
            return


def decode(line: bytes) -> dict[str, Any]:
    """One line as an object.

    Raises:
        SidecarError: `invalid-arguments` where it is none.
    """
    try:
        value = json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise invalid("line", "nested too deep") from None
    except ValueError as exc:
        raise invalid("line", f"not JSON ({str(exc)[:200]})") from None
    if not isinstance(value, dict):
        raise invalid("line", "not a JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


async def objects(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any] | SidecarError]:
    """All objects of a stream; for a line that is none, why. Ends with the stream, also with a broken one."""
    while True:
        try:
            line = await read_line(reader)
            if line is None:
                return
            if line.strip():
                yield decode(line)
        except SidecarError as exc:
            yield exc
        except OSError:
            return


def encode(value: dict[str, Any]) -> bytes:
    """One object as a line. Names that are no UTF-8 (surrogate escapes) go out as JSON escapes."""
    try:
        return msgspec.json.encode(value) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value).encode() + b"\n"
