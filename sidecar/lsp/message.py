"""One JSON-RPC message, from bytes to a checked envelope.

Only the top level is looked at: what is inside `params` and `result` is data, also where it looks like a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sidecar.model import limits

MsgId = str | int

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602


@dataclass(frozen=True)
class Request:
    id: MsgId
    method: str
    params: dict[str, Any] | None


@dataclass(frozen=True)
class Notification:
    method: str
    params: dict[str, Any] | None


@dataclass(frozen=True)
class Response:
    """The client's answer to a request of ours; `error` is the JSON-RPC error object, if it is one."""

    id: MsgId
    result: Any
    error: dict[str, Any] | None


@dataclass(frozen=True)
class Refused:
    """What cannot be served: the error to answer, with the id where it is known."""

    code: int
    message: str
    id: MsgId | None


@dataclass(frozen=True)
class Ignored:
    """What must not be answered: a notification or a response that makes no sense."""

    reason: str


Message = Request | Notification | Response | Refused | Ignored


def parse(body: bytes) -> Message:
    """Reads one message; never raises.

    Args:
        body: the body of a frame.

    Returns:
        A checked envelope with untouched `params`, or why there is none.
    """
    try:
        raw = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        return _too_deep(find_id(body[:1024], body[-1024:]))
    except UnicodeDecodeError as exc:
        return Refused(PARSE_ERROR, f"The message is not UTF-8 (byte {exc.start}).", None)
    except ValueError as exc:
        return Refused(PARSE_ERROR, f"The message is not JSON: {str(exc)[:200]}.", None)
    if isinstance(raw, list):
        return Refused(INVALID_REQUEST, "JSON-RPC batches are not part of the language server protocol.", None)
    if not isinstance(raw, dict):
        return Refused(INVALID_REQUEST, "A message is a JSON object.", None)
    request_id = raw.get("id") if _is_id(raw.get("id")) else None
    if body.count(b"[") + body.count(b"{") > limits.NESTING_MAX and _is_deeper(raw, limits.NESTING_MAX):
        return _too_deep(request_id)
    return _envelope(raw, request_id)


def _envelope(raw: dict[str, Any], request_id: MsgId | None) -> Message:
    if raw.get("jsonrpc") != "2.0":
        return Refused(INVALID_REQUEST, 'The member "jsonrpc" is not "2.0".', request_id)
    if "method" not in raw:
        return _response(raw, request_id)
    method = raw["method"]
    if not isinstance(method, str):
        return Refused(INVALID_REQUEST, 'The member "method" is not a string.', request_id)
    if "id" in raw and request_id is None:
        return Refused(INVALID_REQUEST, 'The member "id" is not a string or an integer.', None)
    params = raw.get("params")
    if params == []:
        # Some clients say "no parameters" so.
        params = None
    if params is not None and not isinstance(params, dict):
        if request_id is None:
            return Ignored(f"the parameters of {method!r} are not an object")
        return Refused(INVALID_PARAMS, "The parameters are not an object.", request_id)
    if request_id is None:
        return Notification(method, params)
    return Request(request_id, method, params)


def _response(raw: dict[str, Any], request_id: MsgId | None) -> Message:
    if "result" not in raw and "error" not in raw:
        return Refused(INVALID_REQUEST, "The message is no request, notification or response.", request_id)
    if request_id is None:
        # An error about a message of ours whose id the client did not see. Answering could go on for ever.
        return Ignored(f"a response without an id: {str(raw.get('error'))[:200]}")
    error = raw.get("error")
    return Response(request_id, raw.get("result"), error if isinstance(error, dict) else None)


def _too_deep(request_id: MsgId | None) -> Refused:
    return Refused(INVALID_REQUEST, f"The message is nested deeper than {limits.NESTING_MAX} levels.", request_id)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


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


def encode(data: Any, default: Callable[[Any], Any]) -> bytes:
    """One message as UTF-8 JSON without white space.

    Args:
        data: JSON-ready values, and whatever `default` makes JSON-ready.
        default: called for every other object.

    Raises:
        TypeError, ValueError, RecursionError: there is no JSON for it; NaN and infinity have none.
    """
    text = json.dumps(data, default=default, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair has an escape in JSON, but no UTF-8.
        return json.dumps(json.loads(text), separators=(",", ":")).encode()


_STRING = rb'"(?:[^"\\]|\\.)*"'
_SCALAR = rb"(?:" + _STRING + rb"|-?[0-9][0-9.eE+\-]*|true|false|null)"
_ID_VALUE = rb'(?P<id>-?[0-9]{1,18}|"[^"\\]{0,200}")'
_ID_IN_HEAD = re.compile(
    rb"\s*\{\s*(?:" + _STRING + rb"\s*:\s*" + _SCALAR + rb'\s*,\s*){0,4}"id"\s*:\s*' + _ID_VALUE + rb"\s*[,}]"
)
# What stands right before the last brace is a member of the outermost object.
_ID_IN_TAIL = re.compile(rb',\s*"id"\s*:\s*' + _ID_VALUE + rb"\s*\}\s*\Z")


def find_id(head: bytes, tail: bytes) -> MsgId | None:
    """The id of a message that was not parsed, from its first and its last bytes; None where it stands elsewhere."""
    match = _ID_IN_HEAD.match(head) or _ID_IN_TAIL.search(tail)
    if match is None:
        return None
    try:
        found: MsgId = json.loads(match["id"])
    except ValueError:
        return None
    return found
