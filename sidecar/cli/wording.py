"""Remedies are written for all front ends and name tools and fields; at a terminal one types commands and flags."""

from __future__ import annotations

import functools
import re

from sidecar.cli.flags import flag_of


def for_terminal(hint: str) -> str:
    """`codex_status` → `codex-sidecar status`, `onDirty` → `--on-dirty`; the rest stays as it is."""
    words = _words()
    return re.sub(r"(?<![\w.-])\w+(?![\w-])", lambda found: words.get(found[0], found[0]), hint)


@functools.cache
def _words() -> dict[str, str]:
    from sidecar.tools import table

    fields = {field for tool in table.BY_COMMAND.values() for field in tool.input_schema["properties"]}
    # A field of one small word (`model`, `title`) may be just that word.
    words = {field: flag_of(field) for field in fields if not field.islower()}
    words |= {tool.name: f"`codex-sidecar {command}`" for command, tool in table.BY_COMMAND.items()}
    return {**words, "codex_doctor": "`codex-sidecar doctor`"}
