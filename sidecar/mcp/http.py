"""MCP over Streamable HTTP on this machine: who may come in, and the SDK's transport behind it.

A page in a browser reaches every port of this machine, so the address proves nothing: each request needs the token, the
right `Host`, and no `Origin`. The SDK's own defaults let every page of a local development server in.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.inbound import MCP_NAME_HEADER, MCP_PROTOCOL_VERSION_HEADER, decode_header_value
from mcp_types import HEADER_MISMATCH, JSONRPCError, JSONRPCRequest
from mcp_types.jsonrpc import ErrorData
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from sidecar.mcp import tasks
from sidecar.mcp.lines import Refused, RequestId, parse
from sidecar.mcp.server import ToolServer
from sidecar.model import limits
from sidecar.tools.caller import Client

if TYPE_CHECKING:
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)

PATH = "/mcp"
METHODS = ("GET", "POST", "DELETE")
SESSIONS_MAX = 256
"""Most sessions by handshake that may be open at a time; the protocol without one needs none."""

MayEnter = Callable[[int], Awaitable[bool]]


class HttpServer:
    """One listener's ASGI application; it serves while `running` is entered."""

    def __init__(
        self, core: Core | None, client: Client, port: int, token: str, may_enter: MayEnter | None = None
    ) -> None:
        """
        Args:
            core: what all clients of this process share.
            client: the front end that asked for the listener; its environment is that of the workers.
            port: where it listens.
            token: what every request has to carry.
            may_enter: whether whoever connected from this port of the loopback address may come in; None: everybody.
        """
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._token = token.encode()
        self._may_enter = may_enter
        self._tools = ToolServer(core, client)
        self._manager = StreamableHTTPSessionManager(
            self._tools.make(),
            security_settings=TransportSecuritySettings(allowed_hosts=list(self._hosts), allowed_origins=[]),
            max_request_body_size=limits.MESSAGE_BYTES_MAX,
            max_sessions=SESSIONS_MAX,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves until its end, which ends all sessions and the calls that wait; jobs live on."""
        try:
            async with self._manager.run():
                yield
        finally:
            await self._tools.settle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._refusal(scope)
            if answer is None and scope["method"] == "POST":
                answer, receive = await _read(Headers(scope=scope), receive)
            await (answer or self._manager.handle_request)(scope, receive, send)
        except Exception:
            logger.exception("a request over HTTP failed")
            raise

    async def _refusal(self, scope: Scope) -> Response | None:
        """Why the request is not looked at any further, by its head alone."""
        headers = Headers(scope=scope)
        if (hosts := headers.getlist("host")) not in ([self._hosts[0]], [self._hosts[1]]):
            logger.warning("a request for %d other hosts was refused", len(hosts))
            return _refuse(421, f"Only {' and '.join(self._hosts)} are served here.")
        if "origin" in headers:
            logger.warning("a request of a browser was refused")
            return _refuse(403, "Requests with an Origin are refused: no page of a browser is served.")
        if scope["path"] != PATH:
            return _refuse(404, f"Only {PATH} is served here.")
        if not self._knows_token(headers):
            hint = "Send `Authorization: Bearer TOKEN`; `codex-sidecar mcp --http` names the file that holds the token."
            return _refuse(401, hint, {"WWW-Authenticate": "Bearer"})
        if self._may_enter is not None and not await self._may_enter(scope["client"][1]):
            logger.warning("a worker was refused over HTTP")
            return _refuse(403, "A worker of Codex Sidecar cannot use Codex Sidecar itself.")
        if scope["method"] not in METHODS:
            return _refuse(405, "GET, POST and DELETE are served here.", {"Allow": ", ".join(METHODS)})
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json":
            return _refuse(415, "The content type of a message is application/json.")
        return None

    def _knows_token(self, headers: Headers) -> bool:
        said = headers.getlist("authorization")
        scheme, _, token = said[0].partition(" ") if len(said) == 1 else ("", "", "")
        # Compared also where nothing was said, so that the time says nothing.
        right = hmac.compare_digest(token.strip().encode("latin-1", "replace"), self._token)
        return right and scheme.lower() == "bearer"


async def _read(headers: Headers, receive: Receive) -> tuple[Response | None, Receive]:
    """Reads a body: why it is refused, or how it is received once more."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return _refuse(400, "The client left."), receive
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limits.MESSAGE_BYTES_MAX:
            return _refuse(413, f"A message may have {limits.MESSAGE_BYTES_MAX} bytes."), receive
    whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return _misread(bytes(body), headers), again


def _misread(body: bytes, headers: Mapping[str, str]) -> Response | None:
    """What the SDK does not see: the same rules for a message as on standard input, and the name of a task."""
    message = parse(body)
    if isinstance(message, Refused):
        return _error(message.code, message.message, message.id)
    modern = headers.get(MCP_PROTOCOL_VERSION_HEADER, "") not in ("", *HANDSHAKE_PROTOCOL_VERSIONS)
    if isinstance(message, JSONRPCRequest) and modern and message.method in tasks.METHODS:
        named = (message.params or {}).get("taskId")
        if isinstance(named, str) and decode_header_value(headers.get(MCP_NAME_HEADER)) != named:
            text = f"{MCP_NAME_HEADER} header does not match the request body's 'taskId' parameter"
            return _error(HEADER_MISMATCH, text, message.id)
    return None


def _refuse(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status_code=status, headers={**(headers or {}), "Cache-Control": "no-store"})


def _error(code: int, text: str, request_id: RequestId | None) -> Response:
    error = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=text))
    return Response(error.model_dump_json(by_alias=True, exclude_unset=True), 400, media_type="application/json")
