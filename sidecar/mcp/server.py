"""What an MCP client can ask, answered from the table of tools."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError

from sidecar import __version__
from sidecar.mcp import catalog, prompts, resources, texts, uris
from sidecar.mcp.watching import Watching
from sidecar.model import limits
from sidecar.model.errors import SidecarError, internal, invalid
from sidecar.tools import table
from sidecar.tools.caller import Caller, Client

if TYPE_CHECKING:
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)

CALLS_END_SECONDS = 2.0
"""How long cancelled calls may tidy up after the connection has ended."""
STREAMS_MAX = 32
"""Most streams of updates that one client may have open."""
Context = ServerRequestContext[Any]


class ToolServer:
    """The handlers of one connection."""

    def __init__(self, core: Core | None, client: Client) -> None:
        self._core = core
        self._client = client
        self._running: set[asyncio.Task[dict[str, Any]]] = set()
        self._watching = Watching(core)
        self._listen = ListenHandler(
            self._watching.bus, max_subscriptions=STREAMS_MAX, max_buffered_events=limits.LIST_ITEMS
        )

    def make(self) -> Server[Any]:
        """The SDK's server for this connection."""
        server: Server[Any] = Server(
            texts.NAME,
            version=__version__,
            title=texts.TITLE,
            instructions=texts.INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_resource_templates,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_subscriptions_listen=self._listen_to,
        )
        # The first middleware reports every call to whatever telemetry the process has; this one has none.
        server.middleware.clear()
        return server

    async def settle(self) -> None:
        """After the SDK has cancelled the calls: waits a while until they have tidied up."""
        await self._watching.close()
        if self._running:
            await asyncio.wait(self._running, timeout=CALLS_END_SECONDS)

    async def _list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        _check_cursor(params)
        return types.ListToolsResult(tools=catalog.listed())

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        if catalog.find(params.name) is None:
            names = ", ".join(tool.name for tool in catalog.listed())
            error = invalid("name", f"no tool is called {params.name[:80]!r}", f"The tools are {names}.")
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:80]!r}", error.to_dict())
        try:
            return _result(await self._run(ctx, params), is_error=False)
        except SidecarError as exc:
            return _result(exc.to_dict(), is_error=True)
        except Exception as exc:
            logger.exception("the answer of %s could not be made", params.name)
            return _result(internal(exc).to_dict(), is_error=True)

    async def _run(self, ctx: Context, params: types.CallToolRequestParams) -> dict[str, Any]:
        async def report(done: float, total: float | None, text: str) -> None:
            await ctx.session.report_progress(done, total, text)

        wants_progress = ctx.meta is not None and ctx.meta.get("progress_token") is not None
        caller = Caller(self._core, self._client, report if wants_progress else None)
        # In a task of its own: the SDK cancels a handler again at each of its awaits, which no tidying up survives.
        task = asyncio.ensure_future(table.call(params.name, params.arguments, caller))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def _list_prompts(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        _check_cursor(params)
        return types.ListPromptsResult(prompts=prompts.listed())

    async def _get_prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        return prompts.get(params.name, params.arguments)

    async def _list_resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        _check_cursor(params)
        return types.ListResourcesResult(resources=resources.recent(self._core))

    async def _list_resource_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        _check_cursor(params)
        return types.ListResourceTemplatesResult(resource_templates=resources.templates())

    async def _read_resource(self, ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        address = _address(params.uri)
        try:
            content = await resources.read(Caller(self._core, self._client, None), address)
        except SidecarError as exc:
            raise MCPError(types.INVALID_PARAMS, exc.message, exc.to_dict()) from exc
        return types.ReadResourceResult(contents=[content])

    async def _subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        address = _address(params.uri)
        if address.start is not None:
            raise MCPError(types.INVALID_PARAMS, "A part of a resource does not change: subscribe without `from`.")
        if len(self._watching) >= limits.LIST_ITEMS:
            raise MCPError(types.INVALID_PARAMS, f"There are {limits.LIST_ITEMS} subscriptions already.")
        try:
            if self._core is not None:
                await self._core.manager.job(address.job_id)
        except SidecarError as exc:
            raise MCPError(types.INVALID_PARAMS, exc.message, exc.to_dict()) from exc
        self._watching.add(address, ctx.session.send_resource_updated)
        return types.EmptyResult()

    async def _unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._watching.remove(_address(params.uri))
        return types.EmptyResult()

    async def _listen_to(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        self._watching.start()
        return await self._listen(ctx, params)


def _address(uri: object) -> uris.Address:
    address = uris.parse(str(uri))
    if address is None:
        shapes = ", ".join(template.uri_template for template in resources.templates())
        raise MCPError(types.INVALID_PARAMS, f"No such resource. The shapes are {shapes}.", {"uri": str(uri)[:200]})
    return address


def _check_cursor(params: types.PaginatedRequestParams | None) -> None:
    """All lists have one page, so a cursor was never given out by this server."""
    if params is not None and params.cursor:
        raise MCPError(types.INVALID_PARAMS, "The cursor is not one of this server: its lists have one page.")


def _result(answer: dict[str, Any], *, is_error: bool) -> types.CallToolResult:
    """The answer as structured content and, word for word, as text: clients show a model the one or the other."""
    text = json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=answer, is_error=is_error
    )
