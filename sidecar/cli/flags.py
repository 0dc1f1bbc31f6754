"""Flags of the tool commands, made from the one table of tools.

A field `timeoutMs` becomes `--timeout-ms`; what its schema says decides how the flag is read. The values themselves are
checked by the table, so a terminal and an editor are refused with the same words; only the name is said as a flag.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.model.errors import SidecarError, invalid

if TYPE_CHECKING:
    from sidecar.tools.table import Tool

POSITIONAL = {
    "conflictId": "CONFLICT",
    "strategy": "STRATEGY",
    "snapshotId": "SNAPSHOT",
    "jobId": "JOB",
    "jobIds": "JOB",
    "prompt": "PROMPT",
}
"""Fields that may be given without their flag, in this order."""
_BESIDE_HELP = {
    "conflictId": "id, or the file's path.",
    "strategy": "what to do.",
    "snapshotId": "id.",
    "prompt": "@FILE reads it from a file, - from standard input.",
}
"""What may stand there; for a job it is `id or label`."""
JOB_FIELDS = ("jobId", "jobIds", "dependsOn")
"""Fields that name jobs; a label such as `w3` is taken there, too."""
METAVARS = {**dict.fromkeys(JOB_FIELDS, "JOB"), "paths": "PATH", "conflictId": "CONFLICT", "snapshotId": "SNAPSHOT"}
_BESIDE = "_beside_"
"""Prefix of the destination of a field's positional form."""


def flag_of(field: str) -> str:
    """`timeoutMs` → `--timeout-ms`; what follows the name (`[0]`, `.key`) is left out."""
    name = re.split(r"[.\[]", field, maxsplit=1)[0]
    return "--" + re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()


def add_flags(parser: argparse.ArgumentParser, tool: Tool) -> None:
    """Adds a flag for each field of the tool's input, and the positional forms."""
    properties: dict[str, dict[str, Any]] = tool.input_schema["properties"]
    for field, metavar in POSITIONAL.items():
        if field in properties:
            many = properties[field].get("type") == "array"
            text = _BESIDE_HELP.get(field, "id or label.")
            parser.add_argument(
                _BESIDE + field,
                nargs="*" if many else "?",
                metavar=metavar,
                help=f"The same as {flag_of(field)}: {text}",
            )
    for field, schema in properties.items():
        parser.add_argument(flag_of(field), dest=field, default=None, **_reading(field, schema))


def _reading(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    """How argparse reads one field."""
    text = str(schema.get("description", "")).replace("%", "%%")
    if "default" in schema and schema.get("type") != "boolean":
        text = f"{text} Default: {schema['default']}.".strip()
    if "enum" in schema:
        return {"choices": sorted(schema["enum"], key=_by_danger), "help": text}
    kind = schema.get("type")
    if kind == "boolean":
        return {"action": "store_true", "help": text}
    if kind == "integer":
        return {"type": _whole_number, "metavar": "N", "help": text}
    if _is_json_list(schema):
        text = f"{text} A JSON list; @FILE reads it from a file, - from standard input.".strip()
        return {"metavar": "JSON", "help": text}
    if kind == "array":
        metavar = METAVARS.get(field, "TEXT")
        return {"action": "append", "metavar": metavar, "help": f"{text} May be given several times.".strip()}
    if kind == "object":
        return {"action": "append", "metavar": "KEY=VALUE", "help": f"{text} May be given several times.".strip()}
    return {"metavar": METAVARS.get(field, "TEXT"), "help": text}


def _is_json_list(schema: dict[str, Any]) -> bool:
    """Whether a field holds objects, which no flag can spell."""
    return schema.get("type") == "array" and schema["items"].get("type") == "object"


def _by_danger(value: str) -> tuple[int, str]:
    order = ["read-only", "workspace-write", "danger-full-access", "refuse", "shared", "full"]
    return (order.index(value) if value in order else len(order), value)


def _whole_number(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text[:80]!r}")
    return int(text)


def collect(tool: Tool, found: argparse.Namespace) -> dict[str, Any]:
    """The tool's arguments as the JSON object that every front end sends; only what was given is in it.

    Raises:
        SidecarError: `invalid-arguments`: given twice, an unreadable file, no JSON, a bad KEY=VALUE.
    """
    arguments: dict[str, Any] = {}
    for field, schema in tool.input_schema["properties"].items():
        value = getattr(found, field)
        beside = getattr(found, _BESIDE + field, None)
        if beside and schema.get("type") == "array":
            value = [*beside, *(value or [])]
        elif beside is not None and beside != []:
            if value is not None:
                raise invalid(field, f"given twice, as {flag_of(field)} and without it", "Leave out one of them.")
            value = beside
        if value is None or (value is False and schema.get("type") == "boolean"):
            continue
        if field == "prompt":
            value = read_text(value, flag_of(field))
        elif _is_json_list(schema):
            value = read_json(value, flag_of(field))
        elif field == "config":
            value = dict(read_pair(pair) for pair in value)
        arguments[field] = value
    return arguments


def as_command(tool: Tool, arguments: dict[str, Any]) -> str:
    """The command that sends these arguments, without a token: `codex-sidecar rollback --job-ids w2`."""
    words = ["codex-sidecar", tool.command or tool.name]
    for field, value in arguments.items():
        if field == "token" or value is False:
            continue
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                words.append(flag_of(field))
            else:
                words += [f"{flag_of(field)}={one}"] if str(one).startswith("-") else [flag_of(field), str(one)]
    return shlex.join(words)


def read_text(value: str, flag: str) -> str:
    """A task: the text, `@FILE` for a file's, `-` for standard input; `@@…` for a text that begins with @.

    Raises:
        SidecarError: `invalid-arguments` that names the flag: the file cannot be read, or holds no UTF-8.
    """
    if value.startswith("@@"):
        return value[1:]
    if value != "-" and not value.startswith("@"):
        return value
    name = "standard input" if value == "-" else value[1:]
    try:
        data = sys.stdin.buffer.read() if value == "-" else Path(value[1:]).read_bytes()
        return data.decode()
    except OSError as exc:
        hint = "A text that itself begins with @ is written @@." if value != "-" else ""
        raise invalid(flag, f"{name[:200]!r} cannot be read ({exc.strerror or exc})", hint) from None
    except UnicodeDecodeError as exc:
        raise invalid(flag, f"{name[:200]!r} is not UTF-8 (byte {exc.start})", "Save it as UTF-8.") from None


def read_json(value: str, flag: str) -> Any:
    """JSON as `read_text` finds it.

    Raises:
        SidecarError: `invalid-arguments` that names the flag: the file cannot be read, or holds no JSON.
    """
    try:
        return json.loads(read_text(value, flag))
    except (ValueError, RecursionError) as exc:
        raise invalid(flag, f"holds no JSON ({exc})", 'For instance --jobs \'[{"prompt": "…"}]\'.') from None


def read_pair(pair: str) -> tuple[str, Any]:
    """`KEY=VALUE` of `--config`: the value is TOML where it is valid TOML, else a string.

    Raises:
        SidecarError: `invalid-arguments`: no `=`, or no key before it.
    """
    key, equals, value = pair.partition("=")
    if not equals or not key.strip():
        raise invalid("config", f"expected KEY=VALUE, got {pair[:80]!r}", "For instance --config model_verbosity=low.")
    return key.strip(), _toml_value(value.strip())


def _toml_value(text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    # A date has no JSON; a text with a newline could smuggle in a second key.
    value = parsed["value"] if parsed.keys() == {"value"} else text
    return value if _is_json(value) else text


def _is_json(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    return isinstance(value, (str, int, bool))


def as_flags(error: SidecarError) -> SidecarError:
    """An `invalid-arguments` error of the table, said as a user of flags knows the field."""
    field = error.details.get("field")
    if error.kind != "invalid-arguments" or not isinstance(field, str) or not error.message.startswith(field):
        return error
    name = field.rpartition("$.")[2]  # Of a bad key of an object the message says where the object is.
    if not re.match(r"[a-z]", name):
        return error
    rest = re.split(r"(?=[.\[])", name, maxsplit=1)[1:]
    shown = " ".join([flag_of(name), *(part.removeprefix(".") for part in rest)])
    details = {**error.details, "flag": flag_of(name)}
    return SidecarError(error.kind, shown + error.message[len(field) :], error.hint, details)
