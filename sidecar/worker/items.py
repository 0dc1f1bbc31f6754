"""What clients see of Codex's items: `content` of our events, with our own field names.

Text that came from the worker is handed on as it is, control characters included: to a client it is data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sidecar.worker.lines import Item, clean

_SHELLS = ("/bin/bash -lc ", "/bin/bash -c ", "/bin/sh -lc ", "/bin/sh -c ", "bash -lc ", "/usr/bin/bash -lc ",
           "/bin/zsh -lc ", "/usr/bin/zsh -lc ")  # fmt: skip
_CALLS = frozenset({"command_execution", "file_change", "mcp_tool_call", "web_search", "collab_tool_call"})
# A word of a POSIX shell is made of such pieces.
_PIECE = re.compile(r"""'([^']*)'|"([^"\\]*(?:\\.[^"\\]*)*)"|\\(.)|([^\s'"\\]+)""", re.DOTALL)
_ESCAPED = re.compile(r'\\([$`"\\])')


def is_call(kind: str) -> bool:
    """Whether items of this type are calls of a tool: begun, then answered."""
    return kind in _CALLS


def content_of(item: Item, relative: Callable[[str], str]) -> dict[str, Any] | None:
    """The content of an event about this item, or None for a type that is not known here.

    Args:
        relative: makes a path relative to the repository's top level.
    """
    kind = item.type
    if kind == "command_execution":
        return {
            "kind": "command",
            "itemId": item.id,
            "command": command_of(item.command),
            "exitCode": item.exit_code,
            "status": item.status,
            "output": item.aggregated_output,
        }
    if kind == "agent_message":
        return {"kind": "message", "itemId": item.id, "text": item.text}
    if kind == "reasoning":
        return {"kind": "reasoning", "itemId": item.id, "text": item.text}
    if kind == "file_change":
        changes = [{"path": relative(edit.path), "change": _WORDS.get(edit.kind, edit.kind)} for edit in item.changes]
        return {"kind": "file_change", "itemId": item.id, "changes": changes, "status": item.status}
    if kind == "mcp_tool_call":
        return {
            "kind": "mcp",
            "itemId": item.id,
            "server": item.server,
            "tool": item.tool,
            "arguments": clean(item.arguments),
            "result": clean(item.result),
            "error": clean(item.error),
            "status": item.status,
        }
    if kind == "web_search":
        return {"kind": "web_search", "itemId": item.id, "query": item.query, "action": clean(item.action)}
    if kind == "todo_list":
        return {"kind": "todo_list", "itemId": item.id, "items": clean(item.items)}
    if kind == "error":
        return {"kind": "warning", "itemId": item.id, "message": item.message, "terminal": False}
    if kind == "collab_tool_call":
        return {
            "kind": "collab",
            "itemId": item.id,
            "tool": item.tool,
            "prompt": item.prompt,
            "threads": item.receiver_thread_ids,
            "agents": clean(item.agents_states),
            "status": item.status,
        }
    return None


_WORDS = {"add": "added", "update": "modified", "delete": "deleted"}


def command_of(command: str) -> str:
    """`pytest -q` of `/bin/bash -lc 'pytest -q'`; anything else as it is."""
    if not command.startswith(_SHELLS):
        return command
    quoted = command[command.index("c ") + 2 :]
    if len(quoted) > 1 and quoted[0] == quoted[-1] == "'" and "'" not in quoted[1:-1]:
        return quoted[1:-1]
    word = _unquoted(quoted)
    return command if word is None else word


def _unquoted(text: str) -> str | None:
    """The one word that `text` quotes; None where it is more, or nothing that a shell would take.

    `shlex` is a hundred times slower, and commands can be long.
    """
    pieces: list[str] = []
    at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            return None
        single, double, escaped, plain = found.groups()
        pieces.append(_ESCAPED.sub(r"\1", double) if double is not None else single or escaped or plain or "")
        at = found.end()
    return "".join(pieces) if pieces else None
