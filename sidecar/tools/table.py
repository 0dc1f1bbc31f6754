"""Every tool, and the one way to call one."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from sidecar.model.errors import SidecarError, internal, invalid
from sidecar.model.inputs import ToolInput
from sidecar.tools import schema
from sidecar.tools.a2_tools import A2_TOOLS
from sidecar.tools.caller import Caller
from sidecar.tools.job_tools import JOB_TOOLS, RUN
from sidecar.tools.tool import Tool

__all__ = ["BY_COMMAND", "BY_NAME", "RUN", "TOOLS", "Tool", "call", "check"]

logger = logging.getLogger(__name__)

TOOLS: tuple[Tool, ...] = JOB_TOOLS + A2_TOOLS
BY_NAME: dict[str, Tool] = {tool.name: tool for tool in TOOLS}
BY_COMMAND: dict[str, Tool] = {tool.command: tool for tool in TOOLS if tool.command}


def check(tool: Tool, arguments: object) -> ToolInput:
    """The checked input.

    Args:
        tool: whose input it is.
        arguments: the JSON object as it came; None stands for `{}`.

    Raises:
        SidecarError: `invalid-arguments`, `details.field` names the field.
    """
    return schema.read(tool.input, {} if arguments is None else arguments, unread=tool.each_by_itself)


async def call(name: str, arguments: object, caller: Caller) -> dict[str, Any]:
    """Runs one tool; every front end comes through here.

    Returns:
        The answer as JSON-ready values.

    Raises:
        SidecarError: for every failure; unexpected ones are logged and become kind `internal`.
    """
    tool = BY_NAME.get(name)
    if tool is None:
        raise invalid("name", f"no tool is called {name[:80]!r}", f"The tools are {', '.join(BY_NAME)}.")
    try:
        caller.work_tree()
        answer: dict[str, Any] = msgspec.to_builtins(await tool.handler(caller, check(tool, arguments)))
        return answer
    except SidecarError:
        raise
    except Exception as exc:
        logger.exception("tool %s failed", name)
        raise internal(exc) from exc
