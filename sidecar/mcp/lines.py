"""Lines in, checked JSON-RPC messages out.

The SDK's own reader has no size limit, leaves broken lines unanswered and falls silent on deep nesting, so that a
client waits for its time-out. Here whatever arrives is served, answered with an error, or plainly ignorable.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import dataclass
from typing import Any

from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    JSONRPCNotification,
    JSONRPCRequest,
)
from pydantic import ValidationError

from sidecar.model import limits

logger = logging.getLogger(__name__)

_CHUNK = 65_536
_ID_WINDOW = 1_024
"""How much of both ends of an oversized line is kept, to find its id."""

RequestId = str | int


@dataclass(frozen=True)
class Refused:
    """What cannot be served: the error to answer, with the request's id where it is known."""

    code: int
    message: str
    id: RequestId | None = None


class LineReader:
    """The lines of one stream, in order."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()
        self._searched = 0
        self._ended = False

    async def next(self) -> bytes | Refused | None:
        """The next line without its end, or why it was refused, or None at the end of the stream.

        A last line without a line break counts. A line above `limits.MESSAGE_BYTES_MAX` is passed over without being
        kept. A broken connection is an end of the stream.
        """
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if len(self._buffer) > limits.MESSAGE_BYTES_MAX:
                return await self._skip()
            if not await self._fill():
                line = bytes(self._buffer)
                self._buffer.clear()
                self._searched = 0
                return line or None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        if len(line) > limits.MESSAGE_BYTES_MAX:
            return _too_long(len(line), line[:_ID_WINDOW], line[-_ID_WINDOW:])
        return line

    async def _fill(self) -> bool:
        if self._ended:
            return False
        try:
            chunk = await self._reader.read(_CHUNK)
        except OSError as exc:
            logger.info("the connection to the client broke: %s", exc)
            chunk = b""
        self._buffer += chunk
        self._ended = not chunk
        return bool(chunk)

    async def _skip(self) -> Refused:
        head, tail, size = bytes(self._buffer[:_ID_WINDOW]), b"", 0
        self._searched = 0
        while (end := self._buffer.find(b"\n")) < 0:
            size += len(self._buffer)
            tail = (tail + self._buffer)[-_ID_WINDOW:]
            self._buffer.clear()
            if not await self._fill():
                return _too_long(size, head, tail)
        size += end
        tail = (tail + self._buffer[:end])[-_ID_WINDOW:]
        del self._buffer[: end + 1]
        return _too_long(size, head, tail)


def parse(line: bytes) -> JSONRPCRequest | JSONRPCNotification | Refused | None:
    """Reads one line; never raises.

    Returns:
        A request or notification with untouched `params`; why it is refused; or None for what needs no answer: a
        blank line, an answer (the server asks nothing), a notification without sense.
    """
    if not line.strip():
        return None
    try:
        raw = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        return Refused(PARSE_ERROR, f"The message is not UTF-8 (byte {exc.start}).")
    except RecursionError:
        return _too_deep(find_id(line[:_ID_WINDOW], line[-_ID_WINDOW:]))
    except ValueError as exc:
        return Refused(PARSE_ERROR, f"The message is not JSON: {str(exc)[:200]}.")
    if isinstance(raw, list):
        return Refused(INVALID_REQUEST, "JSON-RPC batches are not part of the protocol.")
    if not isinstance(raw, dict):
        return Refused(INVALID_REQUEST, "A message is a JSON object.")
    request_id = raw.get("id") if _is_id(raw.get("id")) else None
    if line.count(b"[") + line.count(b"{") > limits.NESTING_MAX and _is_deeper(raw, limits.NESTING_MAX):
        return _too_deep(request_id)
    return _envelope(raw, request_id)


def _envelope(
    raw: dict[str, Any], request_id: RequestId | None
) -> JSONRPCRequest | JSONRPCNotification | Refused | None:
    if raw.get("jsonrpc") != "2.0":
        return Refused(INVALID_REQUEST, 'The member "jsonrpc" is not "2.0".', request_id)
    if "method" not in raw:
        if "result" in raw or "error" in raw:
            logger.debug("an answer to nothing was ignored")
            return None
        return Refused(INVALID_REQUEST, "The message is no request, notification or answer.", request_id)
    if "id" in raw and request_id is None:
        return Refused(INVALID_REQUEST, 'The member "id" is not a string or an integer.')
    if not isinstance(raw["method"], str):
        return Refused(INVALID_REQUEST, 'The member "method" is not a string.', request_id)
    members = {key: raw[key] for key in ("jsonrpc", "method", "params") if raw.get(key) is not None}
    try:
        if request_id is None:
            return JSONRPCNotification.model_validate(members)
        return JSONRPCRequest.model_validate({**members, "id": request_id})
    except ValidationError:
        if request_id is None:
            logger.info("a notification whose parameters are no object was ignored")
            return None
        return Refused(INVALID_PARAMS, "The parameters are not an object.", request_id)


def _too_long(size: int, head: bytes, tail: bytes) -> Refused:
    logger.warning("a message of %d bytes was skipped", size)
    message = f"The message has {size} bytes; at most {limits.MESSAGE_BYTES_MAX} are taken."
    return Refused(INVALID_REQUEST, message, find_id(head, tail))


def _too_deep(request_id: RequestId | None) -> Refused:
    return Refused(PARSE_ERROR, f"The message is nested deeper than {limits.NESTING_MAX} levels.", request_id)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return mend(value) == value
    return isinstance(value, int) and not isinstance(value, bool)


def mend(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair.

    Halves come in as JSON escapes. They have no UTF-8, and sent as escapes they make many clients refuse the message.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _is_deeper(value: object, most: int) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > most:
            return True
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)  # type: ignore[attr-defined]
            if isinstance(child, dict | list)
        ]
    return False


_STRING = rb'"(?:[^"\\]|\\.)*"'
_SCALAR = rb"(?:" + _STRING + rb"|-?[0-9][0-9.eE+\-]*|true|false|null)"
_ID_VALUE = rb'(?P<id>-?[0-9]{1,18}|"[^"\\]{0,200}")'
_ID_IN_HEAD = re.compile(
    rb"\s*\{\s*(?:" + _STRING + rb"\s*:\s*" + _SCALAR + rb'\s*,\s*){0,4}"id"\s*:\s*' + _ID_VALUE + rb"\s*[,}]"
)
# What stands right before the last brace is a member of the outermost object.
_ID_IN_TAIL = re.compile(rb',\s*"id"\s*:\s*' + _ID_VALUE + rb"\s*\}\s*\Z")


def find_id(head: bytes, tail: bytes) -> RequestId | None:
    """The id of a message that was not parsed, from its first and last bytes; None where it stands elsewhere.

    With it the client's call ends with an error; without it the client waits for its time-out.
    """
    match = _ID_IN_HEAD.match(head) or _ID_IN_TAIL.search(tail)
    if match is None:
        return None
    try:
        found: RequestId = json.loads(match["id"])
    except ValueError:
        return None
    return found
