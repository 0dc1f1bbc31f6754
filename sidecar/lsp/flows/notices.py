"""What a person at an editor with dialogs is told unasked: at most one notice of ours at a time, and never twice.

Which ones, is the setting `codexSidecar.notifications`:

    off         none
    attention   a conflict (once a run), workers that failed or have gone quiet
    finished    also the end of all workers, where that took long and the person is elsewhere
    always      the same, wherever the person is
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pygls.exceptions import JsonRpcException

from sidecar.a2 import messages
from sidecar.jobs import durable
from sidecar.lsp import notices
from sidecar.lsp.flows import texts
from sidecar.lsp.flows.conflicts import show_conflict
from sidecar.lsp.flows.documents import open_all_changes, show_transcript
from sidecar.lsp.flows.flow import Desk, Flow, Job, is_active
from sidecar.lsp.flows.primitives import Button
from sidecar.model.conflict import Conflict
from sidecar.model.errors import SidecarError

logger = logging.getLogger(__name__)

LONG_SECONDS = 60.0
"""A person does not wait beside a run that takes longer."""
SHOWN_SECONDS = 30.0
"""After this long a notice without an answer is taken to be off the screen, so that the next one can be shown."""
MUTED = "no-finished-notices"
"""A file of the state directory: "Don't Show Again" was said to the notice that all workers have finished."""

Notice = Callable[[], Coroutine[Any, Any, None]]

_RAN: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()
"""For each core the last jobs of the runs whose end was followed by the person's command: one window runs it."""


class Toasts:
    """The notices of one client."""

    def __init__(self, desk: Desk, start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        """
        Args:
            start: runs a coroutine until the connection ends.
        """
        self._desk = desk
        self._start = start
        self._news = asyncio.Event()
        self._to_tell = asyncio.Event()
        jobs = self._jobs()
        # A window that is loaded again does not repeat what a person has had on the screen; a second window that was
        # there all the time tells it beside the first, since nobody knows which one the person looks at.
        self._told_runs = set(desk.memory.told)
        self._told_jobs = {job["jobId"] for job in jobs if _troubled(job)}
        self._over = {job["jobId"] for job in jobs if not is_active(job)}
        """The jobs of no batch any more. A batch is what ran from one moment without workers to the next."""
        self._finished: set[str] = set()
        """The batch whose end is to be told."""

    def touch(self) -> None:
        """Jobs or conflicts have changed."""
        self._news.set()

    async def run(self) -> None:
        """Looks at what has changed, until cancelled. A notice that is open holds up the next notice only."""
        self._start(self._tell_all())
        while True:
            await self._news.wait()
            await asyncio.sleep(notices.COLLECT_SECONDS)
            self._news.clear()
            self._look()
            self._to_tell.set()

    def _look(self) -> None:
        jobs = self._jobs()
        batch = {job["jobId"] for job in jobs} - self._over
        if batch and not any(is_active(job) for job in jobs):
            self._over |= batch
            self._finished = batch
            self._start(self._run_command(batch))

    async def _tell_all(self) -> None:
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            for notice in self._due(Flow(self._desk)):
                # One that nobody answers leaves the screen by itself, and may still be answered from the list.
                await asyncio.wait({self._start(_shown(notice()))}, timeout=SHOWN_SECONDS)

    def _jobs(self) -> list[Job]:
        found: list[Job] = self._desk.core.state()["jobs"]
        return found

    def _due(self, flow: Flow) -> list[Notice]:
        """The notices that are to be shown now, one after another; each is noted as told."""
        wanted = flow.settings.notifications
        conflicts = self._new_conflicts()
        troubled = [job for job in self._jobs() if _troubled(job) and job["jobId"] not in self._told_jobs]
        self._told_jobs |= {job["jobId"] for job in troubled}
        finished, self._finished = self._finished, set()
        if wanted == "off":
            return []
        due: list[Notice] = []
        if conflicts and self._desk.library.run_id is not None:
            self._told_runs.add(self._desk.library.run_id)
            due.append(partial(self._tell_conflicts, flow, conflicts, self._desk.library.run_id))
        if troubled:
            due.append(partial(_tell_trouble, flow, troubled))
        if finished and wanted in ("finished", "always") and not due:
            due.append(partial(self._tell_finished, flow, finished, always=wanted == "always"))
        return due

    # -- conflicts --------------------------------------------------------------------------------------------------

    def _new_conflicts(self) -> list[Conflict]:
        """Those of a run of which nobody was told before, in no window."""
        run_id = self._desk.library.run_id
        answered = notices.answered(self._desk.core)
        if self._desk.settings().conflicts.level == "off":
            return []
        if run_id is None or run_id in self._told_runs or run_id in answered:
            return []
        return notices.certain(self._desk.findings)

    async def _tell_conflicts(self, flow: Flow, found: list[Conflict], run_id: str) -> None:
        buttons = [Button("review", notices.REVIEW), Button("later", notices.LATER)]
        self._desk.memory.tell(run_id)
        chosen = await flow.ask.toast("warning", messages.conflict_notice(found), buttons)
        if chosen is None:
            return
        notices.answered(self._desk.core).add(run_id)
        if chosen == "review":
            await show_conflict(flow, self._desk.findings.conflict(found[0].conflict_id) or found[0])

    # -- the end of all workers -------------------------------------------------------------------------------------

    async def _tell_finished(self, flow: Flow, ids: set[str], *, always: bool) -> None:
        jobs = [job for job in self._jobs() if job["jobId"] in ids]
        done = [job for job in jobs if job["status"] == "done"]
        muted = self._desk.core.state_dir / MUTED
        if not done or _seconds(jobs) <= LONG_SECONDS:
            return
        if not always and await asyncio.to_thread(muted.exists):
            return
        files = len({one["path"] for job in jobs for one in job.get("touchedFiles") or ()})
        buttons = [Button("open", texts.OPEN_CHANGES), Button("mute", texts.DO_NOT_SHOW)]
        text = texts.finished_all(len(done), files)
        chosen = await flow.ask.toast("info", text, buttons[0 if files else 1 :], unless_focused=not always)
        if chosen == "open":
            await open_all_changes(flow)
        elif chosen == "mute":
            await asyncio.to_thread(_mute, muted)

    async def _run_command(self, ids: set[str]) -> None:
        """The person's own command; from a client with dialogs, which reads it for the machine, never for a folder."""
        command = self._desk.settings().on_run_finished_command
        ran = _RAN.setdefault(self._desk.core, set())
        if not command.strip() or ids & ran:
            return
        ran |= ids
        jobs = [job for job in self._jobs() if job["jobId"] in ids]
        try:
            argv = shlex.split(command)
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                cwd=self._desk.core.top, env={**self._desk.caller.client.env, **self._told(jobs)},
                start_new_session=True,
            )  # fmt: skip
        except (ValueError, OSError) as exc:
            logger.error("codexSidecar.onRunFinishedCommand cannot be run: %s", exc)
            return
        code = await process.wait()
        if code != 0:
            logger.warning("codexSidecar.onRunFinishedCommand ended with exit code %d", code)

    def _told(self, jobs: Iterable[Job]) -> dict[str, str]:
        """What the command is told, in its environment."""
        statuses = [job["status"] for job in jobs]
        return {
            "CODEX_SIDECAR_RUN_WORKERS": str(len(statuses)),
            "CODEX_SIDECAR_RUN_DONE": str(statuses.count("done")),
            "CODEX_SIDECAR_RUN_FAILED": str(sum(status in ("failed", "interrupted") for status in statuses)),
            "CODEX_SIDECAR_RUN_CONFLICTS": str(len(self._desk.findings.conflicts())),
            "CODEX_SIDECAR_RUN_TOP": os.fspath(self._desk.core.top),
        }


async def _shown(notice: Coroutine[Any, Any, None]) -> None:
    try:
        await notice
    except JsonRpcException as exc:
        logger.warning("a notice could not be shown: %s", exc.message)
    except SidecarError as exc:
        logger.warning("what a notice offers could not be done: %s", exc.message)


def _troubled(job: Job) -> bool:
    return job["status"] in ("failed", "interrupted") or bool(job.get("stalled") and is_active(job))


async def _tell_trouble(flow: Flow, jobs: list[Job]) -> None:
    text = texts.trouble([(job["label"], job["status"], quiet_minutes(job)) for job in jobs])
    if await flow.ask.toast("warning", text, [Button("show", texts.SHOW)]) is None:
        return
    if len(jobs) == 1:
        await show_transcript(flow, jobs[0])
    else:
        await flow.ask.view("workers")


def quiet_minutes(job: Job) -> int | None:
    """For how many minutes nothing was heard of a worker; None where that is not known."""
    at = _moment(job.get("lastActivityAt"))
    return None if at is None else max(1, round((time.time() - at) / 60))


def _seconds(jobs: Iterable[Job]) -> float:
    """From the first start to the last end of these jobs."""
    started = [at for job in jobs if (at := _moment(job.get("startedAt"))) is not None]
    ended = [at for job in jobs if (at := _moment(job.get("finishedAt"))) is not None]
    return max(ended) - min(started) if started and ended else 0.0


def _moment(iso: str | None) -> float | None:
    return None if iso is None else datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()


def _mute(path: Path) -> None:
    try:
        durable.write_file(path, b"")
    except OSError as exc:
        logger.error("cannot note that a notice is not wanted: %s", exc)
