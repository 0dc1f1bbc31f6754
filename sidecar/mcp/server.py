"""What an MCP client can ask, answered from the table of tools."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.extension import compose_tool_call_handler
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sidecar import __version__
from sidecar.mcp import answers, catalog, prompts, resources, tasks, texts, uris
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


class _Server(Server[Any]):
    """The SDK's server, which says by handshake too that it tells of new resources."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        options = notification_options or NotificationOptions(resources_changed=True)
        return super().create_initialization_options(options, experimental_capabilities, extensions)


class ToolServer:
    """The handlers of one connection, or of all the connections of one HTTP listener."""

    def __init__(self, core: Core | None, client: Client) -> None:
        self._core = core
        self._client = client
        self._running: set[asyncio.Task[dict[str, Any]]] = set()
        self._watching = Watching(core, lambda: resources.listed_jobs(core))
        self._watchers: set[object] = set()
        self._listen = ListenHandler(
            self._watching.bus, max_subscriptions=STREAMS_MAX, max_buffered_events=limits.LIST_ITEMS
        )
        self._tasks = tasks.JobTasks(Caller(core, client), self._run)

    def make(self) -> Server[Any]:
        """The SDK's server for this connection."""
        server = _Server(
            texts.NAME,
            version=__version__,
            title=texts.TITLE,
            instructions=texts.INSTRUCTIONS,
            # No field is mirrored in a header of HTTP; without this the SDK makes the list of tools for each call.
            get_tool_input_schema=lambda name: None,
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
        server.extensions[self._tasks.identifier] = self._tasks.settings()
        for method in self._tasks.methods():
            server.add_request_handler(method.method, method.params_type, method.handler)
        handler = compose_tool_call_handler([self._tasks], self._call_tool)
        server.add_request_handler("tools/call", types.CallToolRequestParams, handler)
        return server

    async def settle(self) -> None:
        """After the SDK has cancelled the calls: waits a while until they have tidied up."""
        await self._watching.close()
        if self._running:
            await asyncio.wait(self._running, timeout=CALLS_END_SECONDS)

    async def _list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        _check_cursor(params)
        return types.ListToolsResult(tools=catalog.listed(tasks=tasks.declared(ctx)))

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        if catalog.find(params.name) is None:
            names = ", ".join(tool.name for tool in catalog.listed())
            error = invalid("name", f"no tool is called {params.name[:80]!r}", f"The tools are {names}.")
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:80]!r}", error.to_dict())
        try:
            answer = await self._run(ctx, params.name, params.arguments)
            return answers.result(answers.fitted(params.name, answer), is_error=False)
        except SidecarError as exc:
            return answers.result(exc.to_dict(), is_error=True)
        except Exception as exc:
            logger.exception("the answer of %s could not be made", params.name)
            return answers.result(internal(exc).to_dict(), is_error=True)

    async def _run(self, ctx: Context, name: str, arguments: Any) -> dict[str, Any]:
        async def report(done: float, total: float | None, text: str) -> None:
            await ctx.session.report_progress(done, total, text)

        wants_progress = ctx.meta is not None and ctx.meta.get("progress_token") is not None
        caller = Caller(self._core, self._client, report if wants_progress else None)
        # In a task of its own: the SDK cancels a handler again at each of its awaits, which no tidying up survives.
        task = asyncio.ensure_future(table.call(name, arguments, caller))
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
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            # Whoever has seen the list is told when it has changed.
            self._watching.add_list(self._watcher(ctx), ctx.session.send_resource_list_changed)
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
        if address.view == "jobs":
            raise MCPError(types.INVALID_PARAMS, "Of new jobs every client is told that has listed the resources.")
        watcher = self._watcher(ctx)
        if self._watching.count(watcher) >= limits.LIST_ITEMS:
            raise MCPError(types.INVALID_PARAMS, f"There are {limits.LIST_ITEMS} subscriptions already.")
        try:
            if self._core is not None:
                await self._core.manager.job(address.job_id)
        except SidecarError as exc:
            raise MCPError(types.INVALID_PARAMS, exc.message, exc.to_dict()) from exc
        self._watching.add(watcher, address, ctx.session.send_resource_updated)
        return types.EmptyResult()

    async def _unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._watching.remove(self._watcher(ctx), _address(params.uri))
        return types.EmptyResult()

    async def _listen_to(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        wanted = (ctx.params or {}).get("notifications")
        if isinstance(wanted, dict) and wanted.get("taskIds"):
            tasks.require(ctx, f"taskIds are for clients that declare the extension {tasks.IDENTIFIER}.")
        self._watching.start()
        return await self._listen(ctx, params)

    def _watcher(self, ctx: Context) -> object:
        """What stands for the client's connection; at its end the client is forgotten."""
        connection = ctx.session._connection  # The SDK has no other name for it.
        if connection not in self._watchers:
            self._watchers.add(connection)
            connection.exit_stack.callback(self._forget, connection)
        return connection

    def _forget(self, watcher: object) -> None:
        self._watchers.discard(watcher)
        self._watching.forget(watcher)


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
