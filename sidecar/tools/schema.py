"""JSON Schema of tool inputs and outputs, and errors that name the field."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from sidecar.model.errors import SidecarError, invalid

_JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def json_type(value: object) -> str:
    """What JSON calls the type of a decoded value."""
    return "null" if value is None else _JSON_TYPES.get(type(value), type(value).__name__)


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """A schema without `$ref`, `title` and `$defs`: smaller for a model, and understood by every client."""
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _inline({**definitions[node["$ref"].rsplit("/", 1)[1]], **rest}, definitions)
    return {
        key: {name: _inline(sub, definitions) for name, sub in value.items()}
        if key == "properties"
        else _inline(value, definitions)
        for key, value in node.items()
        if key not in ("title", "$defs")
    }


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    raw = msgspec.json.schema(kind)
    result: dict[str, Any] = _inline({"$ref": raw["$ref"]}, raw["$defs"])
    result.pop("description", None)
    return result


def of_input(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The input schema of a tool: an object that forbids unknown fields."""
    return _schema(kind)


def of_outputs(kinds: tuple[type[msgspec.Struct], ...]) -> dict[str, Any]:
    """One object schema for all answers of a tool: what only some of them have is not required."""
    schemas = [_schema(kind) for kind in kinds]
    properties: dict[str, Any] = {}
    for one in schemas:
        for name, sub in one["properties"].items():
            properties.setdefault(name, sub)
    required = [
        name for name in schemas[0].get("required", []) if all(name in one.get("required", []) for one in schemas)
    ]
    return {"type": "object", "properties": properties, "required": required}


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*?)`(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>.*?)`(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_OTHER = re.compile(r"(?P<problem>.*?)(?: - at (?P<keyword>`key` in )?`\$?(?P<path>.*)`)?$", re.DOTALL)


def explain(kind: type[msgspec.Struct], arguments: dict[str, Any], exc: msgspec.ValidationError) -> SidecarError:
    """The `invalid-arguments` error for what msgspec refused; it names the field and the fields there are."""
    text = str(exc)
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    if match := _UNKNOWN.match(text):
        name = _shown(match["field"])
        return invalid(name, "unknown field", f"The fields are {', '.join(known) or 'none'}.", known=known)
    if match := _MISSING.match(text):
        return invalid(match["field"], "missing", "It is required.")
    match = _OTHER.match(text)
    path = (match["path"] or "") if match else ""
    problem = (match["problem"] if match else text).rstrip(".")
    field = path.lstrip(".") or "arguments"
    if match and match["keyword"]:
        problem = f"bad key: {problem}"
    return invalid(_shown(field), problem[0].lower() + problem[1:])


S = TypeVar("S", bound=msgspec.Struct)


def read(kind: type[S], arguments: object, *, unread: str | None = None) -> S:
    """The checked input.

    Args:
        kind: the struct of the input.
        arguments: the JSON object as it came.
        unread: a field whose entries are read one by one later; what is in it is not looked at.

    Raises:
        SidecarError: `invalid-arguments`, `details.field` names the field.
    """
    if not isinstance(arguments, dict):
        raise invalid("arguments", f"expected one object, got {json_type(arguments)}")
    check_texts({name: value for name, value in arguments.items() if name != unread})
    try:
        return msgspec.convert(arguments, kind, strict=True)
    except msgspec.ValidationError as exc:
        raise explain(kind, arguments, exc) from None


def placed(error: SidecarError, where: str) -> SidecarError:
    """An `invalid-arguments` error of an entry, its field named from outside: `prompt` becomes `jobs[2].prompt`."""
    field = error.details.get("field")
    if error.kind != "invalid-arguments" or not isinstance(field, str) or not error.message.startswith(field):
        return error
    name = where if field == "arguments" else f"{where}.{field}"
    return SidecarError(error.kind, name + error.message[len(field) :], error.hint, {**error.details, "field": name})


def _shown(name: str) -> str:
    """A field name that a client chose, safe to show: printable and short."""
    return "".join(ch if ch.isprintable() else "?" for ch in name[:80]) or "(empty name)"


def check_texts(value: object, where: str = "") -> None:
    """Refuses text that no file, process or protocol could carry.

    Raises:
        SidecarError: `invalid-arguments` that names the field with a NUL character or half a surrogate pair.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            check_texts(key, where or "arguments")
            check_texts(item, f"{where}.{_shown(key)}" if where else _shown(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_texts(item, f"{where}[{index}]")
    elif isinstance(value, str):
        if (at := value.find("\0")) >= 0:
            raise invalid(where, f"holds a NUL character (at {at})", "Remove it.")
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise invalid(where, f"holds half a surrogate pair (at {exc.start})", "Send valid Unicode.") from None
