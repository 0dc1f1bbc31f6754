"""Writes vscode-extension/src/protocol.ts from the server's own shapes; a test compares, so the client cannot drift.

Usage: python -m scripts.protocol_types [--check]
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import inspect as kinds

from sidecar.lsp.flows import primitives
from sidecar.lsp.options import Ui
from sidecar.lsp.view import shapes, texts

PAGE = Path(__file__).resolve().parent.parent / "vscode-extension" / "src" / "protocol.ts"
HEAD = """/**
 * What the server and its client tell each other. Written by `python -m scripts.protocol_types` from
 * sidecar/lsp/view/shapes.py, sidecar/lsp/flows/primitives.py and sidecar/lsp/options.py.
 */
"""
ROOTS = (shapes.StateMessage, shapes.Owned, Ui, *get_args(primitives.Request))
NAMES = {
    kinds.StrType: "string",
    kinds.IntType: "number",
    kinds.FloatType: "number",
    kinds.BoolType: "boolean",
    kinds.NoneType: "null",
}


def _type(one: kinds.Type, found: dict[str, kinds.StructType]) -> str:
    """A type in TypeScript; the structs in it are added to `found`."""
    if isinstance(one, kinds.StructType):
        if one.cls.__name__ not in found:
            found[one.cls.__name__] = one
            for field in one.fields:
                _type(field.type, found)
        return one.cls.__name__
    if isinstance(one, kinds.LiteralType):
        return " | ".join(json.dumps(value) for value in one.values)
    if isinstance(one, kinds.UnionType):
        return " | ".join(_type(part, found) for part in one.types)
    if isinstance(one, kinds.TupleType):
        return f"[{', '.join(_type(part, found) for part in one.item_types)}]"
    if isinstance(one, kinds.CollectionType):
        inner = _type(one.item_type, found)
        return f"({inner})[]" if " | " in inner and not inner.startswith("[") else f"{inner}[]"
    return NAMES[type(one)]


def _interface(one: kinds.StructType) -> str:
    lines = [f"/** {_sentence(one.cls)} */", f"export interface {one.cls.__name__} {{"]
    if one.tag is not None:
        lines.append(f"  {one.tag_field}: {json.dumps(one.tag)};")
    for field in one.fields:
        # What may be missing is never null on the wire: it is left out instead.
        parts = field.type.types if isinstance(field.type, kinds.UnionType) else (field.type,)
        kept = parts if field.required else [part for part in parts if not isinstance(part, kinds.NoneType)]
        told = " | ".join(_type(part, {}) for part in kept)
        lines.append(f"  {field.encode_name}{'' if field.required else '?'}: {told};")
    return "\n".join([*lines, "}"])


def _union(told: str, name: str, parts: Any) -> str:
    names = "\n  | ".join(one.__name__ for one in get_args(parts))
    return f"/** {told} */\nexport type {name} =\n  | {names};"


def _sentence(kind: type[Any]) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def page() -> str:
    """The whole file."""
    found: dict[str, kinds.StructType] = {}
    for one in kinds.multi_type_info(ROOTS):
        _type(one, found)
    empty = json.dumps(msgspec.to_builtins(shapes.NOTHING), indent=2)
    links = json.dumps([f"codexSidecar.{name}" for name in texts.LINKS])
    parts = [
        HEAD.strip(),
        *map(_interface, found.values()),
        _union("All that the server asks its client for.", "UiRequest", primitives.Request),
        _union("What can be new or different.", "StateItem", shapes.Item),
        f"/** {_after(shapes, 'NOTHING')} */\nexport const EMPTY: Summary = {empty};",
        f"/** {_after(texts, 'LINKS')} */\nexport const LINKS = {links};",
    ]
    return "\n\n".join(parts) + "\n"


def _after(module: Any, name: str) -> str:
    """What stands below a constant about it."""
    lines = inspect.getsource(module).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name} ="))
    return next(line.strip('"') for line in lines[start:] if line.startswith('"""'))


def main() -> int:
    """0 when the file is (now) as the shapes say, 1 when `--check` found it different."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
