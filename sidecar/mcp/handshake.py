"""A real handshake with an MCP server that a configuration names: does it start, and is it ours?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp import Client, StdioServerParameters

from sidecar.mcp import texts
from sidecar.model.errors import SidecarError

SECONDS = 30.0
"""What a first start may take on a busy machine."""


@dataclass(frozen=True)
class Greeting:
    """What the server said of itself."""

    version: str
    tools: int


async def greet(command: str, arguments: Sequence[str], directory: Path) -> Greeting:
    """Starts the server as a client would, in `directory`, asks for its tools and ends it.

    Raises:
        SidecarError: `state-unavailable`: it did not start, did not answer within 30 s, or is another server.
    """
    server = StdioServerParameters(command=command, args=list(arguments), cwd=directory, env=dict(os.environ))
    try:
        name, greeting = await asyncio.wait_for(_ask(server), SECONDS)
    except Exception as exc:
        raise _failed(command, _reason(exc)) from exc
    if name != texts.NAME:
        raise _failed(command, f"it says that it is {name[:80]!r}")
    return greeting


async def _ask(server: StdioServerParameters) -> tuple[str, Greeting]:
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        info = client.server_info
        return (info.name, Greeting(info.version, len(tools))) if info else ("", Greeting("", len(tools)))


def _reason(exc: BaseException) -> str:
    # Exception groups are known by this; Python 3.10 has no class for them.
    while inner := getattr(exc, "exceptions", None):
        exc = inner[0]
    if isinstance(exc, (asyncio.TimeoutError, TimeoutError)):
        return f"no answer within {SECONDS:.0f} s"
    return str(exc)[:300] or type(exc).__name__


def _failed(command: str, why: str) -> SidecarError:
    return SidecarError(
        "state-unavailable",
        f"The MCP server {command} could not be greeted: {why}.",
        "`codex-sidecar doctor` names what is missing. Nothing was written.",
    )
