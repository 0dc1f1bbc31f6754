"""The language server of one connection: settings, documents, commands and what it tells its client unasked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from sidecar import __version__
from sidecar.lsp.converter import CONVERTER
from sidecar.lsp.documents import SCHEME
from sidecar.lsp.events import EventsPublisher
from sidecar.lsp.features import register
from sidecar.lsp.flows.flow import Desk
from sidecar.lsp.flows.notices import Toasts
from sidecar.lsp.flows.primitives import Dialogs
from sidecar.lsp.options import READER, SECTION, Options, read_options, section_of
from sidecar.lsp.progress import RunProgress
from sidecar.lsp.protocol import SidecarProtocol
from sidecar.lsp.state import StatePublisher
from sidecar.lsp.surfaces import Abilities, Surfaces
from sidecar.lsp.view.view import View
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import FINAL_STATUSES
from sidecar.model.settings import parse_settings
from sidecar.tools import table
from sidecar.tools.caller import Caller, Client
from sidecar.tools.schema import json_type

if TYPE_CHECKING:
    from sidecar.jobs.changes import Change
    from sidecar.lsp.transport import Outbox
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)

# At INFO pygls logs every message whole: prompts, file contents, secrets.
logging.getLogger("pygls").setLevel(logging.WARNING)


class SidecarServer(LanguageServer):
    """One client's server. Several live in one process and share one core, which is None outside a repository."""

    protocol: SidecarProtocol

    def __init__(self, core: Core | None, client: Client, outbox: Outbox) -> None:
        super().__init__(
            "codex-sidecar", __version__, protocol_cls=SidecarProtocol, converter_factory=lambda: CONVERTER
        )
        self.core = core
        self.options = Options()
        self._caller = Caller(core, client)
        self._outbox = outbox
        self._tasks: set[asyncio.Task[None]] = set()
        self._state: StatePublisher | None = None
        self.view: View | None = None
        """What the client draws; None where it draws by itself, and before `initialized`."""
        self.section: object = None
        """The settings that the client announced last, with those that only its own surfaces have."""
        self._progress: RunProgress | None = None
        self._events: EventsPublisher | None = None
        self.desk: Desk | None = None
        """What actions of the client's palette work with; None where it has no dialogs, and before `initialized`."""
        self.toasts: Toasts | None = None
        self.surfaces: Surfaces | None = None
        """What shows conflicts; None before `initialized` and outside a repository."""
        self._following = contextlib.ExitStack()
        self.protocol.attach(outbox)
        register(self)

    # -- what the protocol calls ------------------------------------------------------------------------------------

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Logs; pygls would show a message to the person for each bad message of the client."""
        logger.error("pygls: %s: %s", source, error)

    def complete_capabilities(self, made: types.ServerCapabilities) -> None:
        """Adds to pygls' capabilities what it does not make by itself."""
        # A client that routes commands by itself is told none, so that two servers do not collide.
        commands = [] if self.options.ui.state else [tool.name for tool in table.TOOLS]
        made.execute_command_provider = types.ExecuteCommandOptions(commands)
        if Abilities(self.client_capabilities, self.options.ui).takes_content:
            made.workspace = made.workspace or types.WorkspaceOptions()
            made.workspace.text_document_content = types.TextDocumentContentOptions(schemes=[SCHEME])

    async def run_tool(self, name: str, arguments: list[Any]) -> dict[str, Any]:
        """Runs the tool `name`.

        Raises:
            SidecarError: for every failure.
        """
        if len(arguments) > 1:
            raise invalid("arguments", f"expected one object, got {len(arguments)} values", "Put all fields into one.")
        if arguments and not isinstance(arguments[0], dict):
            raise invalid("arguments", f"expected one object, got {json_type(arguments[0])}")
        given = arguments[0] if arguments else {}
        if self.surfaces is not None:
            return await self.surfaces.asking.call(name, given)
        return await table.call(name, given, self._caller)

    # -- the connection's life --------------------------------------------------------------------------------------

    def take_options(self, value: object) -> None:
        """Reads `initializationOptions` before `initialize` is answered."""
        self.options = read_options(value)
        for problem in self.options.problems:
            self.warn(problem)
        if self.options.settings is not None:
            self.apply_settings(self.options.settings)

    def start(self) -> None:
        """The client is ready for notifications and requests. A second call does nothing."""
        if self._state is not None or self.core is None:
            return
        core, notify, drained = self.core, self.protocol.notify, self._outbox.drained
        if self.options.ui.state:
            self.view = View(core, self._caller.client.env, self._touch_state)
            self.view.take_settings(self.section)
            self.view.take_editor(self.options.editor)
            self.view.start(self._background)
        self._state = StatePublisher(core, notify, drained, self.view)
        window = self.client_capabilities.window
        if window is not None and window.work_done_progress and not self.options.ui.owns_progress:
            self._progress = RunProgress(core, notify, self.protocol.ask, drained)
            self._background(self._progress.run())
        if self.options.ui.events:
            self._events = EventsPublisher(self._caller, notify, drained, self._background)
            for job in core.state()["jobs"]:
                if job["status"] not in FINAL_STATUSES:
                    self._events.touch(job["jobId"])
        abilities = Abilities(self.client_capabilities, self.options.ui)
        self.surfaces = Surfaces(core, self._caller, self.protocol, abilities, self.options.ui, self._background)
        self.surfaces.take_settings(self.section)
        if self.options.ui.dialogs:
            self.desk = Desk(
                core,
                self._caller,
                self.surfaces.findings,
                self.surfaces.paths,
                self.surfaces.library,
                Dialogs(self.protocol.ask_person),
                self.options.ui,
                lambda: parse_settings(self.section)[0],
                self._refresh,
                self.surfaces.row_of,
                self.view,
            )
            self.toasts = Toasts(self.desk, self._background)
            self._background(self.toasts.run())
            self.toasts.touch()
        self._following.callback(core.subscribe(self._on_change))
        self._background(self._state.run())
        self.surfaces.start()
        self._background(self._register_for_settings())
        if self.options.settings is None:
            self._background(self._pull_settings())

    async def close(self) -> None:
        """Stops everything that was started for this connection."""
        self._following.close()
        if self.view is not None:
            self.view.stop()
        if self.surfaces is not None:
            self.surfaces.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.protocol.finish()

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._after_background)
        return task

    def _after_background(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or isinstance(exc := task.exception(), OSError | None):
            return  # The end of the connection; whoever reads from it deals with that.
        logger.error("a task of a language client failed", exc_info=exc)

    def _refresh(self, uri: str) -> None:
        if self.surfaces is not None:
            self._background(self.surfaces.refresh_document(uri))

    def _on_change(self, change: Change) -> None:
        if self.surfaces is not None:
            self.surfaces.on_change(change)
        if change.kind == "events":
            if self._events is not None:
                self._events.touch(change.id)
            return
        if self.view is not None:
            self.view.core_changed(change)
        self._touch_state()
        if self.toasts is not None and change.kind in ("job", "conflicts", "run"):
            self.toasts.touch()
        if self._progress is not None and change.kind == "job":
            self._progress.touch()

    def _touch_state(self) -> None:
        if self._state is not None:
            self._state.touch()

    # -- state and settings -----------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """The answer to `codexSidecar/getState`.

        Raises:
            SidecarError: `not-a-repository`.
        """
        if self.core is None:
            raise SidecarError("not-a-repository", "There is no state outside a Git repository.", "Open a repository.")
        if self._state is None:
            return {"seq": 0, "full": self.core.state()}
        return self._state.answer()

    def apply_settings(self, section: object) -> None:
        """Makes the client's settings the current ones and tells it what was not taken."""
        self.section = section
        if self.view is not None:
            self.view.take_settings(section)
        if self.surfaces is not None:
            self.surfaces.take_settings(section)
        if self.toasts is not None:
            self.toasts.touch()
        if self.core is not None:
            for problem in self.core.apply_settings(section):
                self.warn(f"{problem.sentence()} The default holds.")

    async def settings_changed(self, settings: object) -> None:
        """`workspace/didChangeConfiguration`: takes what it carries, or asks for it where it carries nothing."""
        if self.view is not None:
            self.view.take_editor(settings)
        section, problems = section_of(settings)
        for problem in problems:
            self.warn(problem)
        if section is not None:
            self.apply_settings(section)
        elif not problems:
            await self._pull_settings()

    async def _register_for_settings(self) -> None:
        workspace = self.client_capabilities.workspace
        change = workspace.did_change_configuration if workspace is not None else None
        if change is not None and change.dynamic_registration:
            sections = SECTION if self.view is None else [SECTION, READER]
            options = types.DidChangeConfigurationRegistrationOptions(section=sections)
            method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
            registration = types.Registration(id="codex-sidecar-settings", method=method, register_options=options)
            params = types.RegistrationParams(registrations=[registration])
            await self.protocol.ask_or_none(types.CLIENT_REGISTER_CAPABILITY, params)

    async def _pull_settings(self) -> None:
        workspace = self.client_capabilities.workspace
        if workspace is None or not workspace.configuration:
            return
        params = types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
        answer = await self.protocol.ask_or_none(types.WORKSPACE_CONFIGURATION, params)
        section, _ = section_of({SECTION: answer[0]}) if answer else (None, [])
        if section is not None:
            self.apply_settings(section)

    def warn(self, text: str) -> None:
        """A warning in the client's log."""
        logger.warning("told a client: %s", text)
        self.window_log_message(
            types.LogMessageParams(type=types.MessageType.Warning, message=f"Codex Sidecar: {text}")
        )
