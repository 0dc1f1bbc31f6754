"""Which message of a client is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from lsprotocol import types

from sidecar.lsp.flows.actions import act
from sidecar.model.errors import SidecarError, invalid

if TYPE_CHECKING:
    from sidecar.lsp.server import SidecarServer

GET_STATE = "codexSidecar/getState"
ROWS = "codexSidecar/rows"
OWNERS = "codexSidecar/owners"
ACT = "codexSidecar/act"


def register(server: SidecarServer) -> None:
    """Registers every handler of one connection, and with it what `initialize` answers that the server can do."""
    _life(server)
    _buffers(server)
    _answers(server)


def _life(server: SidecarServer) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.take_options(params.initialization_options)

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        server.start()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def changed(params: types.DidChangeConfigurationParams) -> None:
        await server.settings_changed(params.settings)

    @server.feature(GET_STATE)
    def get_state(params: dict[str, Any] | None) -> dict[str, Any]:
        # Not async: nothing may be sent between taking the state and answering it.
        return server.get_state()

    @server.feature(ROWS)
    def rows(params: Any) -> dict[str, Any]:
        return {"rows": [] if server.view is None else server.view.below(_text(params, "id"))}

    @server.feature(ACT)
    async def perform(params: Any) -> dict[str, Any]:
        if server.core is None:
            raise SidecarError("not-a-repository", "There are no workers here.", "Open a folder of a repository.")
        if server.desk is None:
            raise invalid("action", "this client announced no `ui.dialogs`", "Call the tools.")
        return await act(server.desk, params)

    @server.feature(OWNERS)
    async def owners(params: Any) -> dict[str, Any]:
        uri = _text(params, "uri")
        found = [] if server.surfaces is None else await server.surfaces.attribution.owners(uri)
        return {"owners": msgspec.to_builtins(found)}


def _buffers(server: SidecarServer) -> None:
    # Not async: pygls keeps the futures of such handlers for ever, and an editor sends one for each keystroke.
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        if server.surfaces is not None:
            server.surfaces.opened(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def edited(params: types.DidChangeTextDocumentParams) -> None:
        if server.surfaces is not None:
            server.surfaces.buffers.edited(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=False))
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        if server.surfaces is not None:
            server.surfaces.buffers.saved(params.text_document.uri)
            server.surfaces.attribution.touch()

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        if server.surfaces is not None:
            server.surfaces.closed(params.text_document.uri)


def _answers(server: SidecarServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions([types.CodeActionKind.QuickFix]))
    def code_action(params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
        return [] if server.surfaces is None else server.surfaces.code_actions(params)

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=False))
    def code_lens(params: types.CodeLensParams) -> list[types.CodeLens]:
        return [] if server.surfaces is None else server.surfaces.code_lenses(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def hover(params: types.HoverParams) -> types.Hover | None:
        if server.surfaces is None:
            return None
        return await server.surfaces.hover(params.text_document.uri, params.position.line)

    @server.feature(types.TEXT_DOCUMENT_INLAY_HINT, types.InlayHintOptions(resolve_provider=False))
    async def inlay_hints(params: types.InlayHintParams) -> list[types.InlayHint]:
        if server.surfaces is None:
            return []
        return await server.surfaces.attribution.hints(params.text_document.uri, params.range)

    @server.feature(types.WORKSPACE_TEXT_DOCUMENT_CONTENT)
    async def content(params: types.TextDocumentContentParams) -> types.TextDocumentContentResult:
        if server.surfaces is None:
            raise SidecarError("not-a-repository", "There are no documents here.", "Open a folder of a repository.")
        return types.TextDocumentContentResult(await server.surfaces.library.text(params.uri))


def _text(params: Any, name: str) -> str:
    value = params.get(name) if isinstance(params, dict) else None
    if not isinstance(value, str):
        raise invalid(name, "expected a string")
    return value
