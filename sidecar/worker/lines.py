"""One line of `codex exec --json` as a struct, whatever it holds.

Two ways lead there. Nearly every line is decoded straight into the structs, which is fast. A line that does not fit
(bytes that are not UTF-8, a number where text belongs, a repeated key, a nesting bomb) is decoded with patience:
first of repeated keys wins, text is made of what is none, what is too deep is cut. What is no JSON object at all is
`None`.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from sidecar.model import limits


class FileEdit(msgspec.Struct, gc=False):
    path: str = ""
    kind: str = ""


class Item(msgspec.Struct, gc=False):
    """The item of an `item.*` line: the fields of all kinds of items together."""

    id: str = ""
    type: str = ""
    text: str = ""
    message: str = ""
    status: str = ""
    command: str = ""
    aggregated_output: str = ""
    exit_code: int | None = None
    changes: list[FileEdit] = []
    server: str = ""
    tool: str = ""
    prompt: str | None = None
    arguments: Any = None
    result: Any = None
    error: Any = None
    query: str = ""
    action: Any = None
    items: list[Any] = []
    receiver_thread_ids: list[str] = []
    agents_states: Any = None


class Tokens(msgspec.Struct, gc=False):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0


class Line(msgspec.Struct, gc=False):
    type: str = ""
    thread_id: str = ""
    message: str = ""
    item: Item | None = None
    usage: Tokens | None = None
    error: Any = None


_FAST = msgspec.json.Decoder(Line)
# Codex gives a web search the id of the item and, under the same key, the id of the search.
_REPEATS_KEYS = b'"web_search"'


def decode(line: bytes) -> Line | None:
    """One line without its newline; never raises."""
    if _REPEATS_KEYS in line:
        return _patiently(line)
    try:
        return _FAST.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _patiently(line)


def _patiently(line: bytes) -> Line | None:
    try:
        value = json.loads(
            line.decode("utf-8", "replace"), object_pairs_hook=_first_wins, parse_constant=str, parse_int=_integer
        )
    except (ValueError, RecursionError):
        return None
    return _line(clean(value)) if isinstance(value, dict) else None


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def _integer(text: str) -> int | float | str:
    # Python refuses integers of more than 4,300 digits, and what is above 64 bits no client could read.
    return int(text) if len(text) < 19 else text


def clean(value: Any, depth: int = limits.NESTING_MAX) -> Any:
    """A value without what JSON and UTF-8 cannot hold (infinity, lone surrogates), cut where it nests too deep."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {clean(key): clean(inner, depth - 1) for key, inner in value.items()} if depth > 0 else "…"
    if isinstance(value, list):
        return [clean(inner, depth - 1) for inner in value] if depth > 0 else "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _line(value: dict[str, Any]) -> Line:
    item = value.get("item")
    usage = value.get("usage")
    return Line(
        type=_text(value.get("type")),
        thread_id=_text(value.get("thread_id")),
        message=_text(value.get("message")),
        item=_item(item) if isinstance(item, dict) else None,
        usage=Tokens(*(_count(usage.get(name)) for name in Tokens.__struct_fields__))
        if isinstance(usage, dict)
        else None,
        error=value.get("error"),
    )


def _item(value: dict[str, Any]) -> Item:
    item = Item()
    for name in Item.__struct_fields__:
        given = value.get(name)
        if name in ("arguments", "result", "error", "action", "agents_states"):
            setattr(item, name, given)
        elif name == "exit_code":
            item.exit_code = given if isinstance(given, int) and not isinstance(given, bool) else None
        elif name == "changes":
            item.changes = [
                FileEdit(_text(one.get("path")), _text(one.get("kind")))
                for one in _list(given)
                if isinstance(one, dict)
            ]
        elif name == "items":
            item.items = _list(given)
        elif name == "receiver_thread_ids":
            item.receiver_thread_ids = [_text(one) for one in _list(given)]
        elif given is not None:
            setattr(item, name, _text(given))
    return item


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
