"""pygls' protocol with its gaps closed: exactly one reply to each request, and requests that can be cancelled.

pygls 2.1 leaves malformed and unserialisable requests unanswered, serves before `initialize`, fails a `shutdown` while
a command runs, keeps a command running after its cancellation, parses nested data as messages and shows Python
tracebacks. So receiving, replying and these three requests are done here; the rest (capabilities, documents, types)
is pygls'.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import logging
import uuid
from collections.abc import Generator
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method

from sidecar.lsp import errors, options
from sidecar.lsp.buffers import Documents
from sidecar.lsp.message import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    Ignored,
    MsgId,
    Notification,
    Refused,
    Request,
    Response,
    encode,
    parse,
)
from sidecar.lsp.transport import Outbox
from sidecar.model.errors import invalid

if TYPE_CHECKING:
    from cattrs import Converter

    from sidecar.lsp.server import SidecarServer

logger = logging.getLogger(__name__)

NOT_INITIALIZED = -32002
METHOD_NOT_FOUND = -32601
ASK_SECONDS = 10.0
"""How long a client may take to answer a request that no person has to answer."""
ENDING_SECONDS = 1.0
"""How long cancelled requests may take to clean up before `shutdown` is answered."""


class SidecarProtocol(LanguageServerProtocol):
    """One connection's protocol state. All methods but `notify` belong to the loop's thread."""

    _server: SidecarServer

    def __init__(self, server: SidecarServer, converter: Converter) -> None:
        super().__init__(server, converter)
        self.phase: Literal["new", "ready", "shutdown"] = "new"
        self.exit_code: int | None = None
        """Set by `exit`: 0 after `shutdown`, else 1."""
        self._outbox: Outbox | None = None
        self._unanswered: dict[MsgId, str] = {}
        self._asked: dict[MsgId, Future[Any]] = {}
        self._shutdown_task: asyncio.Task[Any] | None = None

    def attach(self, outbox: Outbox) -> None:
        """Sends everything to `outbox` from now on."""
        self._outbox = outbox

    # pygls caches these two per protocol object, which keeps every connection that ever was in memory.
    def get_message_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        found: type[Any] | None = types.METHOD_TO_TYPES.get(method, (None,))[0]
        return found

    def get_result_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        found: type[Any] | None = types.METHOD_TO_TYPES.get(method, (None, None))[1]
        return found

    # -- receiving --------------------------------------------------------------------------------------------------

    def receive(self, frame: bytes | Refused) -> None:
        """Handles one frame; async handlers go on as tasks."""
        message = parse(frame) if isinstance(frame, bytes) else frame
        if isinstance(message, Request):
            self._take_request(message)
        elif isinstance(message, Notification):
            self._take_notification(message)
        elif isinstance(message, Response):
            self._take_response(message)
        elif isinstance(message, Refused):
            logger.warning("refused a message: %s", message.message)
            self._send_error(message.id, types.ResponseError(code=message.code, message=message.message))
        elif isinstance(message, Ignored):
            logger.warning("ignored a message: %s", message.reason)

    def _take_request(self, request: Request) -> None:
        if (refusal := self._refusal(request)) is not None:
            self._send_error(request.id, refusal)
            return
        handler = self.fm.builtin_features.get(request.method) or self.fm.features[request.method]
        try:
            params = self._structure(request.method, request.params)
        except Exception as exc:  # noqa: BLE001 - cattrs raises whatever its hooks raise; all of it means bad params.
            self._send_error(request.id, errors.bad_params(request.method, exc))
            return
        if request.method == types.SHUTDOWN:
            self.phase = "shutdown"
        self._unanswered[request.id] = request.method
        contextvars.copy_context().run(
            self._execute_handler, request.id, handler, partial(self._answer, msg_id=request.id), (params,)
        )

    def _refusal(self, request: Request) -> types.ResponseError | None:
        method = request.method
        if self.phase == "shutdown":
            return types.ResponseError(code=INVALID_REQUEST, message="The server is shut down.")
        if self.phase == "new" and method != types.INITIALIZE:
            return types.ResponseError(code=NOT_INITIALIZED, message="The server is not initialized.")
        if self.phase != "new" and method == types.INITIALIZE:
            return types.ResponseError(code=INVALID_REQUEST, message="The server is initialized already.")
        if request.id in self._unanswered:
            return types.ResponseError(code=INVALID_REQUEST, message="A request with this id is being served.")
        if method not in self.fm.builtin_features and method not in self.fm.features:
            return types.ResponseError(code=METHOD_NOT_FOUND, message=f"There is no method {method[:80]!r}.")
        return None

    def _take_notification(self, note: Notification) -> None:
        if note.method == types.EXIT:
            self.exit_code = 0 if self.phase == "shutdown" else 1
            return
        if note.method == types.CANCEL_REQUEST:
            self._cancel((note.params or {}).get("id"))
            return
        handler = self.fm.builtin_features.get(note.method) or self.fm.features.get(note.method)
        if self.phase != "ready" or handler is None:
            logger.debug("ignored the notification %r", note.method)
            return
        try:
            params = self._structure(note.method, note.params)
        except Exception as exc:  # noqa: BLE001 - as for requests; a notification has no reply.
            logger.warning("ignored the notification %s: %s", note.method, errors.bad_params(note.method, exc).message)
            return
        key = f"notification {uuid.uuid4()}"
        contextvars.copy_context().run(
            self._execute_handler,
            key,
            handler,
            partial(self._after_notification, key=key, method=note.method),
            (params,),
        )

    def _after_notification(self, future: Future[Any], *, key: str, method: str) -> None:
        # pygls keeps the futures of notifications for ever; an editor sends one for each keystroke.
        self._request_futures.pop(key, None)
        if not future.cancelled() and (exc := future.exception()) is not None:
            logger.error("the notification %s failed", method, exc_info=exc)

    def _structure(self, method: str, params: dict[str, Any] | None) -> Any:
        """The typed parameters; raw where the method has none, and for commands, whose arguments are ours to check."""
        if method == types.INITIALIZE:
            return options.initialize_params(params or {}, self._converter)
        kind: Any = types.METHOD_TO_TYPES.get(method, (None, None, None))[2]
        if kind is None or method == types.WORKSPACE_EXECUTE_COMMAND:
            return params
        return self._converter.structure(params or {}, kind)

    def _cancel(self, request_id: object) -> None:
        if isinstance(request_id, str | int) and request_id in self._unanswered:
            future = self._request_futures.get(request_id)
            if future is not None:
                future.cancel()

    # -- replying ---------------------------------------------------------------------------------------------------

    def _answer(self, future: Future[Any], *, msg_id: MsgId) -> None:
        """Called once when a handler has ended, however it ended."""
        self._request_futures.pop(msg_id, None)
        method = self._unanswered.pop(msg_id, None)
        if method is None:
            return  # The end of the connection answered it.
        if future.cancelled():
            self._send_error(msg_id, errors.cancelled(method))
        elif (exc := future.exception()) is not None:
            self._send_error(msg_id, errors.response_error(exc, method))
        else:
            self._send_result(msg_id, method, future.result())

    def _send_result(self, msg_id: MsgId, method: str, result: Any) -> None:
        try:
            body = encode({"jsonrpc": "2.0", "id": msg_id, "result": result}, self._serialize_message)
        except (TypeError, ValueError, RecursionError) as exc:
            logger.error("the result of %s cannot be sent as JSON", method, exc_info=exc)
            message = f"The result of {method} cannot be sent as JSON ({type(exc).__name__})."
            self._send_error(msg_id, types.ResponseError(code=-32603, message=message))
            return
        self._write(body)

    def _send_error(self, msg_id: MsgId | None, error: types.ResponseError) -> None:
        self._write(encode({"jsonrpc": "2.0", "id": msg_id, "error": error}, self._serialize_message))

    def _send_data(self, data: Any) -> None:
        """Sends a notification or a request of ours.

        Raises:
            TypeError, ValueError: it cannot be JSON.
        """
        self._write(encode(data, self._serialize_message))

    async def drained(self) -> None:
        """Returns when the client is not congested.

        Raises:
            OSError: the connection is gone.
        """
        if self._outbox is not None:
            await self._outbox.drained()

    def _write(self, body: bytes) -> None:
        if self._outbox is not None:
            self._outbox.send(body)

    def _serialize_message(self, data: Any) -> Any:
        if hasattr(data, "__attrs_attrs__"):
            return self._converter.unstructure(data)
        if isinstance(data, enum.Enum):
            return data.value
        raise TypeError(f"{type(data).__name__} has no JSON form")

    # -- asking the client ------------------------------------------------------------------------------------------

    async def ask(self, method: str, params: Any) -> Any:
        """Sends a request to the client and waits for its result.

        Args:
            method: of the LSP specification.
            params: its typed parameters.

        Raises:
            JsonRpcException: the client refused.
            asyncio.TimeoutError: it did not answer within `ASK_SECONDS`.
        """
        return await self._ask(method, params, ASK_SECONDS)

    async def ask_person(self, method: str, params: Any) -> Any:
        """Like `ask`, for what a person answers: it waits as long as the connection lasts."""
        return await self._ask(method, params, None)

    async def ask_or_none(self, method: str, params: Any) -> Any:
        """Like `ask`; None where the client refused or was too slow, which is its right."""
        try:
            return await self.ask(method, params)
        except (JsonRpcException, asyncio.TimeoutError) as exc:
            logger.warning("the client did not answer %s: %r", method, exc)
            return None

    async def _ask(self, method: str, params: Any, seconds: float | None) -> Any:
        key = str(uuid.uuid4())
        future: Future[Any] = self.send_request(method, params, msg_id=key)
        self._asked[key] = future
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
        finally:
            del self._asked[key]
            self._request_futures.pop(key, None)
            self._result_types.pop(key, None)

    def _take_response(self, response: Response) -> None:
        future = self._asked.get(response.id)
        if future is None or future.done():
            logger.debug("a response to no question of ours")
            return
        if response.error is not None:
            code, message = response.error.get("code"), response.error.get("message")
            future.set_exception(JsonRpcException(str(message), code if isinstance(code, int) else None))
            return
        kind = self._result_types.get(response.id)
        raw = {"id": response.id, "jsonrpc": "2.0", "result": response.result}
        try:
            result = self._converter.structure(raw, kind).result if kind else response.result
        except Exception as exc:  # noqa: BLE001 - cattrs raises whatever its hooks raise.
            future.set_exception(JsonRpcException(f"the answer makes no sense: {errors.explain(exc)}", INVALID_PARAMS))
            return
        future.set_result(result)

    # -- requests that pygls serves wrongly -------------------------------------------------------------------------

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        result = yield from super().lsp_initialize(params)
        # What pygls does not know of, and documents whose lines end where the protocol says.
        self._server.complete_capabilities(result.capabilities)
        self._workspace = Documents.instead_of(self.workspace)
        self.phase = "ready"
        return result

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(self, params: dict[str, Any] | None) -> Any:  # type: ignore[override]
        """One coroutine, so that cancelling the request cancels the tool itself."""
        command = (params or {}).get("command")
        arguments = (params or {}).get("arguments")
        if not isinstance(command, str):
            raise invalid("command", "missing, or not a string", "Name one of the tools.")
        if arguments is not None and not isinstance(arguments, list):
            raise invalid("arguments", "expected an array with one object", "Pass `[{…}]` or `[]`.")
        return await self._server.run_tool(command, arguments or [])

    @lsp_method(types.SHUTDOWN)
    async def lsp_shutdown(self, *args: Any) -> None:  # type: ignore[override]
        """Answers what is in flight before it is answered itself."""
        self._shutdown_task = asyncio.current_task()
        await self._end_requests()

    async def finish(self) -> None:
        """The connection ends: whatever is in flight is cancelled and answered, within `ENDING_SECONDS`."""
        if self._shutdown_task is not None:
            await asyncio.wait({self._shutdown_task}, timeout=2 * ENDING_SECONDS)
        await self._end_requests()

    async def _end_requests(self) -> None:
        futures: list[Any] = list(self._request_futures.values())
        running = {one for one in futures if isinstance(one, asyncio.Task) and one is not self._shutdown_task}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=ENDING_SECONDS)
        for msg_id, method in list(self._unanswered.items()):
            if method != types.SHUTDOWN:
                logger.warning("the request %s did not end in time", method)
                del self._unanswered[msg_id]
                self._send_error(msg_id, errors.cancelled(method))
