"""Writes docs/tools.md from the table of tools; a test compares, so the page cannot drift.

Usage: python scripts/tools_page.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sidecar.model.errors import ERROR_KINDS
from sidecar.tools.table import RUN, TOOLS, Tool

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tools.md"
HEAD = """# The tools

One table serves every front end: an LSP client calls them with `workspace/executeCommand` (command = the name,
`arguments` = `[object]`), an MCP client as tools of the server `codex-cli-wrapper`, a terminal as
`codex-sidecar <command> --json`. Input and output are the same JSON everywhere.
Unknown fields, wrong types and values out of range are refused by name; nothing is coerced.

This page is written by `python scripts/tools_page.py` from `sidecar/tools/table.py`.
"""

ERRORS = """## Errors

Every failure is `{kind, message, hint, details}`: the MCP result with `isError: true`, the LSP error's `data`, the
terminal's `--json`. Kinds: """


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in sorted(schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(kind)


def _limits(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "≥",
        "maximum": "≤",
        "minLength": "length ≥",
        "maxLength": "length ≤",
        "minItems": "items ≥",
        "maxItems": "items ≤",
    }
    found = [f"{word} {schema[key]:,}" for key, word in words.items() if key in schema]
    return ", ".join(found)


def _tool(tool: Tool) -> str:
    lines = [f"## `{tool.name}`", "", f"{tool.title}. {tool.description}", ""]
    hints = [
        "changes nothing" if tool.read_only else "changes something",
        *(["LSP: also without an argument"] if tool.argument_optional else []),
        *(["MCP only, for clients that declare tasks"] if tool is RUN else []),
        *([f"terminal: `codex-sidecar {tool.command}`"] if tool.command else []),
    ]
    lines += [f"*{'; '.join(hints)}*", ""]
    properties = tool.input_schema["properties"]
    if properties:
        lines += ["| field | type | default | limits | meaning |", "|---|---|---|---|---|"]
        for name, schema in properties.items():
            required = name in tool.input_schema.get("required", [])
            default = "**required**" if required else f"`{schema['default']}`" if "default" in schema else ""
            meaning = str(schema.get("description", "")).replace("|", "\\|")
            lines.append(f"| `{name}` | {_type(schema)} | {default} | {_limits(schema)} | {meaning} |")
    else:
        lines.append("It takes no field.")
    for index, kind in enumerate(tool.outputs):
        schema = Tool.output_schema.func(_only(tool, index))  # type: ignore[attr-defined]
        fields = ", ".join(f"`{name}` ({_type(sub)})" for name, sub in schema["properties"].items())
        lines += ["", f"Answer{'' if len(tool.outputs) == 1 else f' `{kind.__name__}`'}: {fields}."]
    return "\n".join(lines)


def _only(tool: Tool, index: int) -> Tool:
    from dataclasses import replace

    return replace(tool, outputs=(tool.outputs[index],))


def page() -> str:
    """The whole page."""
    errors = (
        ERRORS + ", ".join(f"`{kind}`" for kind in ERROR_KINDS) + ".\n`details.field` names the field of bad input."
    )
    return "\n\n".join([HEAD.strip(), *(_tool(tool) for tool in (*TOOLS, RUN)), errors]) + "\n"


def main() -> int:
    """0 when the page is (now) as the table says, 1 when `--check` found it different."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
