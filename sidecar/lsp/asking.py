"""Putting questions to the person at an editor that has no dialogs of its own.

The tools never ask: whatever can undo work answers a preview and a token. So that a code action of a plain client can
carry such a tool, a command may hold more fields, which are taken off before the tool sees its arguments:

    "ask": true                     the preview becomes a question with one button, which acts with the token
    "show": "compare" | "merge"     what `codex_merge_inputs` answers is shown: as a difference, or in the file
    "top": directory                for a client with a server for each repository; it is taken off and no more

The command itself is answered at once, as the plain tool answers it; a question may stay open for as long as it likes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from sidecar.a2 import dialogs, messages
from sidecar.git.snapshot import ref_of
from sidecar.lsp.actions import ASK, SHOW, TOP, title_of
from sidecar.lsp.findings import Findings
from sidecar.lsp.links import Links
from sidecar.lsp.options import Ui
from sidecar.lsp.paths import Paths
from sidecar.model.errors import SidecarError, invalid
from sidecar.tools import table
from sidecar.tools.caller import Caller

logger = logging.getLogger(__name__)

TWO_STEP = frozenset({"codex_resolve", "codex_rollback", "codex_rerun", "codex_restore"})
BUTTONS = {
    "codex_rollback": dialogs.SAVE_AND_ROLL_BACK,
    "codex_rerun": dialogs.ROLL_BACK_AND_RERUN,
    "codex_restore": dialogs.SAVE_AND_RESTORE,
}
GO_ON = "Save Snapshot and Go On"
"""For a conflict that has gone since its preview: the token tells."""
WRITE_MARKERS = "Save Snapshot and Write Markers"

Ask = Callable[[str, Any], Awaitable[Any]]


class Person:
    """The person behind one client."""

    def __init__(self, ask: Ask, notify: Callable[[str, Any], None], *, shows_documents: bool) -> None:
        """
        Args:
            ask: sends a request that may stay unanswered for ever.
            shows_documents: the client opens what it is told to.
        """
        self._ask = ask
        self._notify = notify
        self._shows_documents = shows_documents

    async def choice(self, kind: types.MessageType, text: str, *buttons: str) -> str | None:
        """The button that was chosen; None where the question was closed or could not be put."""
        params = types.ShowMessageRequestParams(kind, text, [types.MessageActionItem(button) for button in buttons])
        try:
            answer = await self._ask(types.WINDOW_SHOW_MESSAGE_REQUEST, params)
        except (JsonRpcException, asyncio.TimeoutError) as exc:
            logger.warning("a question could not be put: %r", exc)
            return None
        return getattr(answer, "title", None)

    def tell(self, kind: types.MessageType, text: str) -> None:
        self._notify(types.WINDOW_SHOW_MESSAGE, types.ShowMessageParams(kind, text))

    async def show(self, uri: str, where: types.Range | None, otherwise: str) -> None:
        """Opens a document that the person has asked for, or says `otherwise` where the client opens none."""
        if self._shows_documents:
            params = types.ShowDocumentParams(uri, take_focus=True, selection=where)
            try:
                answer = await self._ask(types.WINDOW_SHOW_DOCUMENT, params)
            except (JsonRpcException, asyncio.TimeoutError) as exc:
                logger.warning("the client opens no document: %r", exc)
            else:
                if getattr(answer, "success", False):
                    return
        self.tell(types.MessageType.Info, otherwise)


class Asking:
    """Runs tools for one client, with the questions that its commands ask for."""

    def __init__(
        self,
        caller: Caller,
        findings: Findings,
        paths: Paths,
        links: Links,
        person: Person,
        ui: Ui,
        start: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._caller = caller
        self._findings = findings
        self._paths = paths
        self._links = links
        self._person = person
        self._ui = ui
        self._start = start

    async def call(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """What the tool answers; a question or a document may follow.

        Raises:
            SidecarError: of the tool.
        """
        asked = dict(given)
        if name in (*TWO_STEP, "codex_merge_inputs"):
            asked.pop(TOP, None)
        ask = asked.pop(ASK, False) if name in TWO_STEP else False
        show = asked.pop(SHOW, None) if name == "codex_merge_inputs" else None
        if not isinstance(ask, bool):
            raise invalid(ASK, "expected a boolean")
        if show not in (None, "compare", "merge"):
            raise invalid(SHOW, 'expected "compare" or "merge"')
        answer = await table.call(name, asked, self._caller)
        if ask and "token" not in asked and "token" in answer:
            self._start(self._telling(self._question(name, asked, answer)))
        if show == "compare" and not self._ui.virtual_docs:
            self._start(self._telling(self._compare(answer)))
        if show == "merge" and not self._ui.merge_editor:
            self._start(self._telling(self._merge(asked["conflictId"], answer)))
        return answer

    async def _telling(self, work: Coroutine[Any, Any, None]) -> None:
        """Carries out what the command began; there is nobody left to answer, so a failure is shown."""
        try:
            await work
        except SidecarError as exc:
            self._person.tell(types.MessageType.Error, exc.sentence())

    async def _question(self, name: str, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        button = self._button(name, asked)
        while True:
            chosen = await self._person.choice(types.MessageType.Warning, answer["preview"]["text"], button)
            if chosen != button:
                return
            try:
                await table.call(name, {**asked, "token": answer["token"]}, self._caller)
                return
            except SidecarError as exc:
                # Something that the question named has changed meanwhile: it is put again as it is now.
                if exc.kind != "stale-token" or "preview" not in exc.details or "token" not in exc.details:
                    raise
                answer = exc.details

    def _button(self, name: str, asked: dict[str, Any]) -> str:
        if name in BUTTONS:
            return BUTTONS[name]
        conflict = self._findings.conflict(asked["conflictId"])
        title = title_of(conflict, asked["strategy"], asked.get("jobId")) if conflict is not None else None
        return title or GO_ON

    async def _compare(self, inputs: dict[str, Any]) -> None:
        path, versions = inputs["path"], inputs["versions"]
        sides = [version["label"] for version in versions][:2]
        if len(sides) < 2:
            sides = ["base", *sides]
        uri = await self._links.difference(path, sides[0], sides[1])
        if uri is not None:
            what = f"What {sides[0]} and {sides[1]} wrote into {messages.one_line(path)} differs as {uri} shows."
            await self._person.show(uri, None, what)

    async def _merge(self, conflict_id: str, inputs: dict[str, Any]) -> None:
        labels = messages.listed([version["label"] for version in inputs["versions"]])
        path = messages.one_line(inputs["path"])
        question = (
            f"Write the merge of {labels} into {path}? Where they disagree it gets conflict markers, for you to "
            "decide. A snapshot is saved first."
        )
        if await self._person.choice(types.MessageType.Warning, question, WRITE_MARKERS) != WRITE_MARKERS:
            return
        merged = {"conflictId": conflict_id, "text": inputs["marked"], "expectedHash": inputs["diskHash"]}
        done = await table.call("codex_apply_merge", merged, self._caller)
        await self._person.show(self._paths.uri(inputs["path"]), None, f"The merge is in {path}.")
        # The tool saves and writes in one step, so the name is known only now.
        self._person.tell(types.MessageType.Info, f"What was there before is kept as {ref_of(done['snapshotId'])}.")
