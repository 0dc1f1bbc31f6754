"""The language server of one connection: settings, documents, commands and what it tells its client unasked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from sidecar import __version__
from sidecar.lsp.converter import CONVERTER
from sidecar.lsp.events import EventsPublisher
from sidecar.lsp.options import SECTION, Options, read_options, section_of
from sidecar.lsp.progress import RunProgress
from sidecar.lsp.protocol import SidecarProtocol
from sidecar.lsp.state import StatePublisher
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import FINAL_STATUSES
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

GET_STATE = "codexSidecar/getState"


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
        self._progress: RunProgress | None = None
        self._events: EventsPublisher | None = None
        self._following = contextlib.ExitStack()
        self.protocol.attach(outbox)
        _register(self)

    # -- what the protocol calls ------------------------------------------------------------------------------------

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Logs; pygls would show a message to the person for each bad message of the client."""
        logger.error("pygls: %s: %s", source, error)

    def advertised_commands(self) -> list[str]:
        """The tools, unless the client routes commands by itself; then none, so that two servers do not collide."""
        return [] if self.options.ui.state else [tool.name for tool in table.TOOLS]

    async def run_tool(self, name: str, arguments: list[Any]) -> dict[str, Any]:
        """Runs the tool `name`.

        Raises:
            SidecarError: for every failure.
        """
        if len(arguments) > 1:
            raise invalid("arguments", f"expected one object, got {len(arguments)} values", "Put all fields into one.")
        if arguments and not isinstance(arguments[0], dict):
            raise invalid("arguments", f"expected one object, got {json_type(arguments[0])}")
        return await table.call(name, arguments[0] if arguments else {}, self._caller)

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
        self._state = StatePublisher(core, notify, drained)
        window = self.client_capabilities.window
        if window is not None and window.work_done_progress and not self.options.ui.owns_progress:
            self._progress = RunProgress(core, notify, self.protocol.ask, drained)
            self._background(self._progress.run())
        if self.options.ui.events:
            self._events = EventsPublisher(self._caller, notify, drained, self._background)
            for job in core.state()["jobs"]:
                if job["status"] not in FINAL_STATUSES:
                    self._events.touch(job["jobId"])
        self._following.callback(core.subscribe(self._on_change))
        self._background(self._state.run())
        self._background(self._register_for_settings())
        if self.options.settings is None:
            self._background(self._pull_settings())

    async def close(self) -> None:
        """Stops everything that was started for this connection."""
        self._following.close()
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

    def _on_change(self, change: Change) -> None:
        if change.kind == "events":
            if self._events is not None:
                self._events.touch(change.id)
            return
        if self._state is not None:
            self._state.touch()
        if self._progress is not None and change.kind == "job":
            self._progress.touch()

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
        if self.core is not None:
            for problem in self.core.apply_settings(section):
                self.warn(f"{problem.sentence()} The default holds.")

    async def settings_changed(self, settings: object) -> None:
        """`workspace/didChangeConfiguration`: takes what it carries, or asks for it where it carries nothing."""
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
            options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
            method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
            registration = types.Registration(id="codex-sidecar-settings", method=method, register_options=options)
            params = types.RegistrationParams(registrations=[registration])
            await self._ask(types.CLIENT_REGISTER_CAPABILITY, params)

    async def _pull_settings(self) -> None:
        workspace = self.client_capabilities.workspace
        if workspace is None or not workspace.configuration:
            return
        params = types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
        answer = await self._ask(types.WORKSPACE_CONFIGURATION, params)
        section, _ = section_of({SECTION: answer[0]}) if answer else (None, [])
        if section is not None:
            self.apply_settings(section)

    async def _ask(self, method: str, params: Any) -> Any:
        """The client's answer; None where it refused or was too slow, which is its right."""
        try:
            return await self.protocol.ask(method, params)
        except (JsonRpcException, asyncio.TimeoutError) as exc:
            logger.warning("the client did not answer %s: %r", method, exc)
            return None

    def warn(self, text: str) -> None:
        """A warning in the client's log."""
        logger.warning("told a client: %s", text)
        self.window_log_message(
            types.LogMessageParams(type=types.MessageType.Warning, message=f"Codex Sidecar: {text}")
        )


def _register(server: SidecarServer) -> None:
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
