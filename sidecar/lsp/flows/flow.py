"""What every flow works with: the action as it was asked for, the tools, and what is known of workers and conflicts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sidecar.a2.messages import Named, one_line, who
from sidecar.lsp.documents import BASE, Version, transcript_uri, uri_of
from sidecar.lsp.findings import Findings
from sidecar.lsp.flows import texts
from sidecar.lsp.flows.primitives import Button, Dialogs, Item
from sidecar.lsp.options import Ui
from sidecar.lsp.paths import Paths
from sidecar.lsp.transcript import name
from sidecar.lsp.view.memory import Memory, memory_of
from sidecar.model.conflict import Conflict, LineRange
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import FINAL_STATUSES
from sidecar.model.settings import Settings
from sidecar.tools import table

if TYPE_CHECKING:
    from sidecar.lsp.documents import Library
    from sidecar.lsp.view.view import View
    from sidecar.service.core import Core
    from sidecar.tools.caller import Caller

Job = dict[str, Any]
"""A job as `codexSidecar/state` shows it."""


@dataclass(frozen=True)
class Editor:
    """Where the person is, as the request for an action tells it. Lines count from 0."""

    uri: str | None = None
    line: int = 0
    end_line: int = 0
    selection: str | None = None
    text: str | None = None
    language_id: str | None = None


@dataclass
class Desk:
    """What the flows of one connection share.

    Attributes:
        settings: what this client announced last.
        refresh: tells the client to ask for a document again, and does not wait for its answer.
        row: where lines of a file on the disk begin in the editor, from 0.
        view: what the client draws; None where it draws by itself.
        last_attention: where *Go to Next Item* has been.
    """

    core: Core
    caller: Caller
    findings: Findings
    paths: Paths
    library: Library
    dialogs: Dialogs
    ui: Ui
    settings: Callable[[], Settings]
    refresh: Callable[[str], None]
    row: Callable[[str, LineRange | None], Awaitable[int]]
    view: View | None = None
    last_attention: str | None = None

    @property
    def memory(self) -> Memory:
        """Which workers were looked at or cleared, for all windows."""
        return memory_of(self.core)

    async def exists(self, path: str) -> bool:
        """Whether a path of the repository is there now."""
        return await asyncio.to_thread(os.path.lexists, self.paths.absolute(path))


@dataclass(frozen=True)
class Flow:
    """One action on its way."""

    desk: Desk
    target: Mapping[str, Any] = field(default_factory=dict)
    editor: Editor = Editor()

    @property
    def ask(self) -> Dialogs:
        return self.desk.dialogs

    @property
    def settings(self) -> Settings:
        return self.desk.settings()

    async def tool(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers; arguments that are None are left out.

        Raises:
            SidecarError: of the tool.
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        return await table.call(tool, given, self.desk.caller)

    def text_of(self, name: str) -> str | None:
        """A field of the target that must be a string.

        Raises:
            SidecarError: `invalid-arguments`.
        """
        value = self.target.get(name)
        if value is not None and not isinstance(value, str):
            raise invalid(f"target.{name}", "expected a string")
        return value

    # -- workers ----------------------------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """All that the editor shows, in the order of their spawn."""
        found: list[Job] = self.desk.core.state()["jobs"]
        return found

    def known(self, job_id: str) -> Job | None:
        return next((job for job in self.jobs() if job["jobId"] == job_id), None)

    async def job(self, wanted: Callable[[Job], bool] = lambda job: True) -> Job | None:
        """The worker that the action is about; the person is asked where it names none."""
        job_id = self.text_of("jobId")
        if job_id is not None:
            return self.known(job_id) or {"touchedFiles": [], **await self.tool("codex_status", jobId=job_id)}
        found = [job for job in reversed(self.jobs()) if wanted(job)]
        if not found:
            await self.ask.toast("info", texts.NO_WORKER)
            return None
        chosen = await self.ask.pick(texts.WHICH_WORKER, [item_of(job) for job in found])
        return next((job for job in found if job["jobId"] == chosen), None)

    async def ended(self, job_ids: Sequence[str]) -> None:
        """Returns when all of these jobs have ended, however."""
        left = list(job_ids)
        while left:
            answer = await self.tool("codex_wait_any", jobIds=left)
            left = answer["remainingJobIds"]

    # -- conflicts --------------------------------------------------------------------------------------------------

    async def conflict(self, wanted: Callable[[Conflict], bool] = lambda found: True) -> Conflict | None:
        """The conflict that the action is about; the person is asked where it names none.

        Raises:
            SidecarError: `unknown-conflict`: it is over.
        """
        conflict_id = self.text_of("conflictId")
        if conflict_id is not None:
            found = self.desk.findings.conflict(conflict_id)
            if found is None:
                raise SidecarError("unknown-conflict", texts.CONFLICT_OVER)
            return found
        all_found = [one for one in self.desk.findings.conflicts() if wanted(one)]
        if not all_found:
            await self.ask.toast("info", texts.NO_CONFLICT)
            return None
        items = [Item(one.conflict_id, one_line(one.path), texts.conflict(one)) for one in all_found]
        chosen = await self.ask.pick(texts.WHICH_FILE, items)
        return next((one for one in all_found if one.conflict_id == chosen), None)

    # -- documents --------------------------------------------------------------------------------------------------

    def version(self, path: str, side: str = BASE) -> str:
        """The URI of a stored version: the baseline's, or that of a worker's label."""
        return uri_of(Version(path, self.desk.library.run_id, side))

    def edits_of(self, path: str, label: str) -> str:
        """The URI of the baseline's version with one worker's edits alone."""
        return uri_of(Version(path, self.desk.library.run_id, label, own=True))

    def transcript(self, job: Job) -> str:
        return transcript_uri(name(job["label"], job["title"]), job["jobId"])

    # -- two steps --------------------------------------------------------------------------------------------------

    async def two_steps(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        buttons: Sequence[Button],
        *,
        review: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None,
    ) -> tuple[str, dict[str, Any]] | None:
        """A tool that can undo work: its preview is the question, and only its token carries it out.

        Args:
            buttons: the first one carries it out; the others are the caller's.
            review: shows what the preview names; then the button *Review Changes First* is there, too.

        Returns:
            The button's id with the tool's answer, or with the preview where the button is the caller's; None where
            the question was dismissed.
        """
        act = buttons[0].id
        answer = await self.tool(tool, **arguments)
        while "token" in answer:
            message, _, detail = answer["preview"]["text"].partition("\n")
            more = [Button(texts.REVIEW, texts.REVIEW_FIRST)] if review is not None else []
            chosen = await self.ask.modal(message, detail.strip(), [*buttons, *more])
            if chosen is None:
                return None
            if chosen == texts.REVIEW and review is not None:
                await review(answer["preview"])
                # A modal would cover what it asks to look at.
                if await self.ask.toast("info", texts.REVIEWED, [Button("goOn", texts.GO_ON)]) is None:
                    return None
                answer = await self.tool(tool, **arguments)
            elif chosen != act:
                return chosen, answer["preview"]
            else:
                try:
                    return act, await self.tool(tool, **arguments, token=answer["token"])
                except SidecarError as exc:
                    # Something that the question named has changed meanwhile: it is put again as it is now.
                    if exc.kind != "stale-token" or not {"preview", "token"} <= exc.details.keys():
                        raise
                    answer = exc.details
        return act, answer


def named(job: Mapping[str, Any]) -> Named:
    return Named(job["label"], job["title"])


def label_of(job: Mapping[str, Any]) -> str:
    """`w1 · add retries`, as lists show a worker."""
    title = one_line(job["title"])
    return f"{job['label']} · {title}" if title else str(job["label"])


def item_of(job: Job) -> Item:
    return Item(job["jobId"], label_of(job), texts.status(job))


def is_active(job: Mapping[str, Any]) -> bool:
    return job["status"] not in FINAL_STATUSES


def has_files(job: Mapping[str, Any]) -> bool:
    return bool(job.get("touchedFiles"))


def said(job: Mapping[str, Any]) -> str:
    return who(named(job))
