"""A worker's events as plain text for a model: less than half of their JSON, and no line of ours in a worker's power.

Every line that is not ours starts with `| ` or is a JSON value after `field: `; lines of ours start with `#`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LEFT_OUT = frozenset({"kind", "itemId"})


def printable(line: str) -> str:
    """The line without characters that could pass for a line break or move a cursor."""
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line)


def quoted(text: str) -> str:
    """Foreign text, each line marked as such."""
    return "\n".join(f"| {printable(line)}" for line in text.splitlines()) or "| "


def rendered(event: Mapping[str, Any]) -> str:
    """One event in the shape of `codex_events`, without a line break at its end."""
    content: Mapping[str, Any] = event["content"]
    kind = printable(str(content.get("kind", "")))
    parts = [f"#{event['seq']} {event['timestamp']} {event['type']} {kind}".rstrip()]
    for name, value in content.items():
        if name in _LEFT_OUT or value is None:
            continue
        if isinstance(value, str) and (len(value.splitlines()) > 1 or name == "text"):
            parts += [f"{name}:", quoted(value)]
        else:
            parts.append(f"{name}: {printable(json.dumps(value, ensure_ascii=False, separators=(',', ':')))}")
    return "\n".join(parts)
