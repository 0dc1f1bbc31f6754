"""Everything one sidecar process holds for its work tree, wired together once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sidecar.a2.board import as_json
from sidecar.a2.service import A2
from sidecar.git.repository import Repository, forget_local_environment
from sidecar.jobs.changes import Change
from sidecar.jobs.journal import Journal
from sidecar.jobs.local import LocalExecutor
from sidecar.jobs.manager import JobManager
from sidecar.jobs.store import JobStore
from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.model.outputs import DoctorOutput
from sidecar.model.settings import Settings, parse_settings
from sidecar.tools import views
from sidecar.tools.caller import Client
from sidecar.worker.backend import CodexBackend

logger = logging.getLogger(__name__)


class Core:
    """Jobs, runs and settings of one work tree; what every front end works on."""

    def __init__(self, top: Path, git_dir: Path, state_dir: Path) -> None:
        self.top = str(top)
        self.state_dir = state_dir
        self.settings = Settings()
        self.repository = Repository(top, git_dir)
        self.journal = Journal(state_dir / "jobs.sqlite")
        self.a2 = A2(self.repository, self.journal, state_dir, lambda: self.settings)
        self.runs = self.a2.runs
        self.manager = JobManager(
            journal=self.journal,
            store=JobStore(state_dir),
            executor=LocalExecutor(),
            backend=CodexBackend(),
            top=self.top,
            settings=lambda: self.settings,
            open_run=self.a2.open_run,
            run_would_close=lambda unfinished: self.runs.would_close(unfinished=unfinished or self.a2.under_repair),
            note_start=self.runs.head_for,
            note_end=self.runs.note_head,
        )
        self.a2.attach(self.manager)

    async def open(self) -> None:
        """Opens the journal and takes up what an earlier sidecar left.

        Raises:
            SidecarError: `state-unavailable`.
        """
        await self.journal.open()
        await self.a2.open()
        await self.manager.recover()

    async def close(self) -> None:
        """Stops following the workers (they run on) and closes the journal."""
        await self.manager.close()
        await self.a2.close()
        await self.journal.close()

    def apply_settings(self, section: object) -> list[SidecarError]:
        """Takes the section `codexSidecar` of a client: what it announced last holds, else the default.

        Returns:
            One error for each value that was not taken.
        """
        self.settings, problems = parse_settings(section)
        logging.getLogger("sidecar").setLevel(self.settings.log_level.upper())
        self.manager.schedule()
        self.manager.publish("limits", "limits")
        return problems

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `listener` on the loop after every change; it must not block. Returns how to stop that."""
        return self.manager.subscribe(listener)

    def active_jobs(self) -> int:
        """How many jobs have no final status."""
        return len(self.manager.live)

    def state(self) -> dict[str, Any]:
        """The whole state for an editor: jobs, run, limits, conflicts."""
        jobs, _ = self.manager.known_jobs(limits.STATUS_JOBS)
        queue = self.manager.queue()
        run = views.run(self.runs.open)
        return {
            "jobs": [views.job_item(job, self.manager, queue) for job in jobs],
            "run": msgspec.to_builtins(run) if run else None,
            "limits": msgspec.to_builtins(views.slots(self.manager)),
            "conflicts": as_json(self.a2.conflicts()),
        }

    def job_item(self, job_id: str) -> dict[str, Any] | None:
        """One job as `state` shows it; None where it is unknown or long finished."""
        job = self.manager.known_job(job_id)
        return views.job_item(job, self.manager, self.manager.queue()) if job is not None else None

    def is_worker_process(self, pid: int) -> bool:
        """Whether this process is the runner of one of our workers; its descendants must not be clients."""
        return pid in self.manager.active_pids()

    async def doctor(self, client: Client) -> DoctorOutput:
        """Names each missing piece and its remedy."""
        from sidecar.service.doctor import run_checks

        return await run_checks(self, client)


async def open_core(git_dir: Path, top: Path) -> Core:
    """A core that has taken up its jobs.

    Raises:
        SidecarError: `state-unavailable`.
    """
    forget_local_environment()
    state_dir = git_dir / "codex-sidecar"
    core = Core(top, git_dir, state_dir)
    try:
        await core.open()
    except BaseException:
        await core.close()
        raise
    return core
