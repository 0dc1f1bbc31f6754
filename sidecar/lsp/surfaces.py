"""What one client sees of conflicts, wired together: problems, actions, lenses, hovers, notices, documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from sidecar.lsp.actions import code_actions, code_lenses
from sidecar.lsp.asking import Asking, Person
from sidecar.lsp.attribution import Attribution
from sidecar.lsp.buffers import Buffers
from sidecar.lsp.contents import Contents
from sidecar.lsp.diagnostics import Diagnoses, DiagnosticsPublisher
from sidecar.lsp.document_files import DocumentFiles
from sidecar.lsp.documents import SCHEME, Library, merged_in
from sidecar.lsp.findings import Findings, as_told
from sidecar.lsp.hovers import Hovers
from sidecar.lsp.links import Links
from sidecar.lsp.notices import Notices
from sidecar.lsp.options import Ui
from sidecar.lsp.pages import Pages
from sidecar.lsp.paths import Paths
from sidecar.lsp.transcripts import Transcripts
from sidecar.model import limits
from sidecar.model.conflict import LineRange
from sidecar.model.settings import ConflictLevel, ConflictSettings, parse_settings

if TYPE_CHECKING:
    from pygls.workspace import Workspace

    from sidecar.jobs.changes import Change
    from sidecar.lsp.protocol import SidecarProtocol
    from sidecar.service.core import Core
    from sidecar.tools.caller import Caller

Start = Callable[[Coroutine[Any, Any, None]], object]


class Abilities:
    """What a client can do, as far as the surfaces depend on it."""

    def __init__(self, capabilities: types.ClientCapabilities, ui: Ui) -> None:
        window, workspace, text = capabilities.window, capabilities.workspace, capabilities.text_document
        content = workspace.text_document_content if workspace else None
        self.registers_content = bool(content and content.dynamic_registration) and not ui.virtual_docs
        self.takes_content = content is not None and not self.registers_content and not ui.virtual_docs
        self.virtual_documents = content is not None or ui.virtual_docs
        lens = workspace.code_lens if workspace else None
        self.refreshes_lenses = bool(lens and lens.refresh_support)
        hint = workspace.inlay_hint if workspace else None
        self.refreshes_hints = bool(hint and hint.refresh_support)
        self.shows_documents = bool(window and window.show_document and window.show_document.support)
        action = text.code_action if text else None
        self.action_literals = bool(action and action.code_action_literal_support)
        formats = text.hover.content_format if text and text.hover else None
        # A client that says nothing is taken to show Markdown, as most do.
        self.markdown = not formats or types.MarkupKind.Markdown in formats


class Surfaces:
    """The surfaces of one client of a repository."""

    def __init__(
        self, core: Core, caller: Caller, protocol: SidecarProtocol, abilities: Abilities, ui: Ui, start: Start
    ) -> None:
        workspace = protocol.workspace
        self._core, self._protocol, self._abilities, self._ui, self._start = core, protocol, abilities, ui, start
        self._told = ConflictSettings()
        self.findings = Findings(core)
        self.paths = Paths(core.top, _folders(workspace))
        self._files = None if abilities.virtual_documents else DocumentFiles(core.state_dir)
        self._transcripts = Transcripts(caller, self._files, self.paths.uri, self.refresh_document, start)
        self.library = Library(self.findings, self._transcripts, Pages(caller, self.paths.uri))
        links = Links(self.findings, self.library, self._transcripts, self._files)
        contents = self._contents = Contents(self.paths, workspace)
        self.buffers = Buffers(self.findings, self.paths, workspace, start, self._touch)
        self._problems = DiagnosticsPublisher(
            self.findings,
            self.paths,
            Diagnoses(self.paths, contents, self.findings, links, self._level),
            links,
            self.buffers.dirty,
            lambda: self.library.run_id,
            self._level,
            lambda params: protocol.notify(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, params),
            protocol.drained,
        )
        self._hovers = Hovers(self.findings, contents, links, markdown=abilities.markdown)
        self.attribution = Attribution(self.findings, self.paths, contents, protocol.ask_or_none)
        person = Person(protocol.ask_person, protocol.notify, shows_documents=abilities.shows_documents)
        self.asking = Asking(caller, self.findings, self.paths, links, person, ui, start)
        self._notices: Notices | None = None
        if not ui.dialogs:
            self._notices = Notices(
                core, self.findings, self.paths, contents, person, lambda: self.library.run_id, self._level, start
            )
        self._lenses_changed = asyncio.Event()
        self._merging: set[str] = set()

    def start(self) -> None:
        """Tells the client everything, and what changes from now on."""
        self._enter_run(self._open_run())
        self._start(self._problems.run())
        if self._abilities.registers_content:
            self._start(self._register_content())
        if self._abilities.refreshes_lenses:
            self._start(self._refresh_lenses())
        if self._abilities.refreshes_hints:
            self._start(self.attribution.refresh())
        if self._notices is not None:
            self._notices.touch()

    def take_settings(self, section: object) -> None:
        """Reads what the client wants to be told from its section of settings."""
        self.attribution.take_settings(section)
        told = parse_settings(section)[0].conflicts
        if told != self._told:
            self._told = told
            self._touch()
            self._lenses_changed.set()
            if self._notices is not None:
                self._notices.touch()

    def _level(self) -> ConflictLevel:
        return self._told.level

    def stop(self) -> None:
        self.buffers.forget()

    def on_change(self, change: Change) -> None:
        """Takes a change of the core."""
        if change.kind in ("events", "job"):
            self._transcripts.touch(change.id)
        elif change.kind in ("run", "conflicts"):
            self._enter_run(change.id if change.kind == "conflicts" else self._open_run())
            self._touch()
            self._lenses_changed.set()
            self.attribution.touch()
            if self._notices is not None:
                self._notices.touch()

    def _touch(self) -> None:
        self._problems.touch()

    def _open_run(self) -> str:
        run = self._core.state()["run"]
        return "" if run is None else str(run["runId"])

    def _enter_run(self, run_id: str) -> None:
        if run_id == (self.library.run_id or ""):
            return
        self.library.run_id = run_id or None
        if run_id and self._files is not None:
            self._start(self._files.sweep(run_id, self._core.settings.snapshots.keep_days))

    def opened(self, uri: str) -> None:
        """Takes a document that the client has opened."""
        if (merged := merged_in(uri, self._core.top)) is not None:
            self._merging.add(merged)
            self._lenses_changed.set()
        self.buffers.opened(uri)

    def closed(self, uri: str) -> None:
        """Takes a document that the client has closed."""
        if (merged := merged_in(uri, self._core.top)) is not None:
            self._merging.discard(merged)
            self._lenses_changed.set()
        self.buffers.closed(uri)

    # -- answers ----------------------------------------------------------------------------------------------------

    def code_actions(self, params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
        path = self.paths.relative(params.text_document.uri)
        if path is None:
            return []
        conflicts, shown = self.findings.of_path(path), self._problems.sent(path)
        top, literals = self._core.top, self._abilities.action_literals
        return code_actions(params, conflicts, shown, self._ui, top, literals=literals)

    def code_lenses(self, uri: str) -> list[types.CodeLens]:
        path = self.paths.relative(uri)
        if path is None or path in self._merging or not self._told.code_lens or self._level() == "off":
            return []
        conflicts = [as_told(conflict, self._level()) for conflict in self.findings.of_path(path)]
        return code_lenses(conflicts, self._ui, self._core.top)

    async def hover(self, uri: str, row: int) -> types.Hover | None:
        path = self.paths.relative(uri)
        return None if path is None else await self._hovers.at(path, row)

    async def row_of(self, path: str, lines: LineRange | None) -> int:
        """Where lines of a file on the disk begin in the editor, from 0; its beginning for none."""
        return (await self._contents.view(path)).range(lines).start.line

    # -- asking the client ------------------------------------------------------------------------------------------

    async def _register_content(self) -> None:
        options = types.TextDocumentContentRegistrationOptions(schemes=[SCHEME], id="codex-sidecar-documents")
        registration = types.Registration(
            id="codex-sidecar-documents", method=types.WORKSPACE_TEXT_DOCUMENT_CONTENT, register_options=options
        )
        params = types.RegistrationParams(registrations=[registration])
        await self._protocol.ask_or_none(types.CLIENT_REGISTER_CAPABILITY, params)

    async def refresh_document(self, uri: str) -> None:
        """Tells the client to ask for a document again, where it shows it."""
        params = types.TextDocumentContentRefreshParams(uri)
        await self._protocol.ask_or_none(types.WORKSPACE_TEXT_DOCUMENT_CONTENT_REFRESH, params)

    async def _refresh_lenses(self) -> None:
        told = self._told, set(self._merging), list(self.findings.conflicts())
        while True:
            await self._lenses_changed.wait()
            self._lenses_changed.clear()
            now = self._told, set(self._merging), list(self.findings.conflicts())
            if now != told:
                told = now
                await self._protocol.ask_or_none(types.WORKSPACE_CODE_LENS_REFRESH, None)
                await asyncio.sleep(limits.STATE_INTERVAL_SECONDS)


def _folders(workspace: Workspace) -> list[str]:
    folders = [folder.uri for folder in workspace.folders.values()]
    return folders if workspace.root_uri is None else [*folders, workspace.root_uri]
