"""A script's actions as items of the Responses API, in the shape in which the asking model is offered its tools.

Older models get functions (`exec_command`, a freeform `apply_patch`). Newer ones get one custom tool, `exec`, that
takes JavaScript and calls the others from there ("code mode"); their tools travel in the input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

_RUNNING = re.compile(r"Process running with session ID (\d+)")
_CELL = re.compile(r"Script running with cell ID ([\w-]+)")
_YIELD_MS = 30_000
"""How long one call waits for a command before it hands back a session to poll; the longest that Codex allows."""


class Toolbox:
    """The tools that one request offers."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._tools: dict[str, tuple[str | None, dict[str, Any]]] = {}
        sources = [body.get("tools")]
        sources += [
            item.get("tools")
            for item in body.get("input") or []
            if isinstance(item, dict) and item.get("type") == "additional_tools"
        ]
        for tools in sources:
            for namespace, tool in _flat(tools, None):
                self._tools[str(tool.get("name"))] = (namespace, tool)
        self.code_mode = self.kind("exec") == "custom" and "exec_command" not in self._tools

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def kind(self, name: str) -> str | None:
        return self._tools[name][1].get("type") if name in self._tools else None

    def namespace(self, name: str) -> str | None:
        return self._tools[name][0] if name in self._tools else None

    def resolve(self, full_name: str) -> str:
        """The offered name of `mcp__server__tool`: direct models see it as a tool inside a namespace."""
        for name, (namespace, _) in self._tools.items():
            if namespace and full_name == f"{namespace.rstrip('_')}__{name}":
                return name
        return full_name

    @staticmethod
    def poll_for(output: dict[str, Any]) -> dict[str, Any] | None:
        """The action that waits on, where a tool's output says that its command still runs."""
        text = json.dumps(output.get("output"))
        if found := _CELL.search(text):
            return {"call": "wait", "args": {"cell_id": found[1], "yield_time_ms": _YIELD_MS}}
        if found := _RUNNING.search(text):
            return {
                "call": "write_stdin",
                "args": {"session_id": int(found[1]), "chars": "", "yield_time_ms": _YIELD_MS},
            }
        return None

    @staticmethod
    def is_poll(item: dict[str, Any]) -> bool:
        return item.get("name") in ("wait", "write_stdin")


def _flat(tools: Any, namespace: str | None) -> Iterator[tuple[str | None, dict[str, Any]]]:
    for tool in tools or []:
        if tool.get("type") == "namespace":
            yield from _flat(tool.get("tools"), tool.get("name"))
        else:
            yield namespace, tool


def output_item(action: dict[str, Any], toolbox: Toolbox) -> dict[str, Any]:
    """One action of a script as the item that the model would have answered."""
    if "raw" in action:
        return dict(action["raw"])
    if "message" in action or "json" in action:
        text = action["message"] if "message" in action else json.dumps(action["json"])
        content: list[dict[str, Any]] = [{"type": "output_text", "text": text, "annotations": []}]
        return {"type": "message", "id": _id("msg"), "role": "assistant", "status": "completed", "content": content}
    if "reasoning" in action:
        return {
            "type": "reasoning",
            "id": _id("rs"),
            "summary": [{"type": "summary_text", "text": action["reasoning"]}],
        }
    if "web_search" in action:
        search = {"type": "search", "query": action["web_search"]}
        return {"type": "web_search_call", "id": _id("ws"), "status": "completed", "action": search}
    action = _code_mode(action) if toolbox.code_mode else _direct(action, toolbox)
    name = action.get("call") or action.get("custom") or "nothing"
    item: dict[str, Any] = {"id": _id("call"), "call_id": _id("call"), "name": name}
    if namespace := action.get("namespace") or toolbox.namespace(name):
        item["namespace"] = namespace
    if "custom" in action:
        return {**item, "type": "custom_tool_call", "input": action.get("input", "")}
    args = action.get("args", {})
    return {**item, "type": "function_call", "arguments": args if isinstance(args, str) else json.dumps(args)}


def _code_mode(action: dict[str, Any]) -> dict[str, Any]:
    if "sh" in action:
        args = {"cmd": action["sh"], "yield_time_ms": _YIELD_MS, **action.get("args", {})}
        source = f"let r = await tools.exec_command({json.dumps(args)});"
        if "leave" not in action:
            poll = f'{{session_id: r.session_id, chars: "", yield_time_ms: {_YIELD_MS}}}'
            source += f" while (r.session_id != null) r = await tools.write_stdin({poll});"
        source += " text(r)"
    elif "patch" in action:
        source = f"text(await tools.apply_patch({json.dumps(action['patch'])}))"
    elif "mcp" in action:
        source = f"text(await tools.{action['mcp']}({json.dumps(action.get('args', {}))}))"
    elif "js" in action:
        source = action["js"]
    else:
        return action
    return {"custom": "exec", "input": source}


def _direct(action: dict[str, Any], toolbox: Toolbox) -> dict[str, Any]:
    if "sh" in action:
        args = {"cmd": action["sh"], "yield_time_ms": _YIELD_MS, **action.get("args", {})}
        return {"call": "exec_command", "args": args}
    if "patch" in action:
        if toolbox.kind("apply_patch") == "function":
            return {"call": "apply_patch", "args": {"input": action["patch"]}}
        return {"custom": "apply_patch", "input": action["patch"]}
    if "mcp" in action:
        return {"call": toolbox.resolve(action["mcp"]), "args": action.get("args", {})}
    return action


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex[:16]}"
