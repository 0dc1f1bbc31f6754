"""The view of one client: everything that it draws, and when that may have changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from sidecar.lsp.findings import Findings
from sidecar.lsp.options import READER, client_setting
from sidecar.lsp.view import rows, summary
from sidecar.lsp.view.memory import memory_of
from sidecar.lsp.view.setup import Setup
from sidecar.lsp.view.shapes import Facts, Job, MarksWanted
from sidecar.lsp.view.undone import undone
from sidecar.lsp.view.watch import Watch, watch_of

if TYPE_CHECKING:
    from sidecar.jobs.changes import Change
    from sidecar.service.core import Core

TICK_SECONDS = 5.0
"""How often the times in rows are looked at while a worker runs."""
FINISHED_SECONDS = 30.0
"""How long it is told that all is done."""
_MARKS: dict[object, MarksWanted] = {"conflicts": "conflicts", "touched": "touched", "off": "off"}


class View:
    """Draws the state for one client that announced `ui.state`."""

    def __init__(self, core: Core, env: Mapping[str, str], touch: Callable[[], None]) -> None:
        """`touch` is called when the drawing may be different."""
        self._core = core
        self._touch = touch
        self._findings = Findings(core)
        self._following = contextlib.ExitStack()
        self._timer: asyncio.TimerHandle | None = None
        self._marks: MarksWanted = "conflicts"
        self._still = False
        self._finished_until: float | None = float("-inf")
        """Of the loop's time; None while a worker has not ended."""
        self._kept: rows.Kept = {}
        self.memory = memory_of(core)
        # A core without workers has nothing to find, and nothing to watch.
        whole = hasattr(core, "manager") and hasattr(core, "runs")
        self._watch: Watch | None = watch_of(core) if whole else None
        self.setup: Setup | None = Setup(core, env, touch) if whole else None

    def start(self, background: Callable[[Any], object]) -> None:
        """Begins to look; `background` runs a coroutine until the connection ends."""
        self._following.callback(self.memory.subscribe(self._touch))
        if self._watch is not None:
            self._following.callback(self._watch.follow(self._touch))
        if self.setup is not None:
            background(self.setup.run())

    def stop(self) -> None:
        """Looks no longer."""
        self._following.close()
        if self._timer is not None:
            self._timer.cancel()

    def core_changed(self, change: Change) -> None:
        """The core told a change."""
        if self._watch is not None:
            self._watch.touch(repaired=change.kind in ("run", "conflicts"))
        if self.setup is not None:
            self.setup.touch()

    def take_settings(self, section: object) -> None:
        """Reads which marks the client wants from its section of settings."""
        wanted = _MARKS.get(client_setting(section, "decorations.files"), "conflicts")
        if wanted != self._marks:
            self._marks = wanted
            self._touch()

    def take_editor(self, settings: object) -> None:
        """Reads from an editor's settings whether a screen reader is on, to which each change is read out."""
        found = client_setting(settings, READER)
        if found is not None and (found == "on") != self._still:
            self._still = found == "on"
            self._touch()

    # -- drawing ----------------------------------------------------------------------------------------------------

    def draw(self, state: dict[str, Any]) -> dict[str, Any]:
        """What a full state holds beside the state itself."""
        facts = self._facts(state)
        roots, made = rows.tree(facts, self._kept)
        self._wake_later(facts)
        return {
            "rows": _plain(made),
            "marks": _plain(summary.marks(facts)),
            "summary": _plain(summary.summary(facts, roots)),
        }

    def below(self, row_id: str) -> list[dict[str, Any]]:
        """The rows below a row that is `lazy`; none for any other."""
        kind, _, job_id = row_id.partition(":")
        item = self._core.job_item(job_id) if kind == "job" else None
        if item is None:
            return []
        made: list[dict[str, Any]] = _plain(rows.files(msgspec.convert(item, Job), self._findings.conflicts()))
        return made

    def _facts(self, state: dict[str, Any]) -> Facts:
        watch, run = self._watch, self._core.runs.open if self._watch is not None else None
        jobs = msgspec.convert(state["jobs"], list[Job])
        return Facts(
            top=self._core.top,
            jobs=jobs,
            run=state["run"],
            conflicts=self._findings.conflicts(),
            missing=frozenset(job.job_id for job in self._findings.missing_reports()),
            commits=list(dict.fromkeys((one.job_id, one.commit) for one in run.worker_commits))
            if run is not None
            else [],
            undone=undone(self._core.a2.witness.scene) if watch is not None else frozenset(),
            head=watch.head_moved() if watch is not None else None,
            cleared=self.memory.cleared,
            seen=self.memory.seen,
            tasks=watch.tasks if watch is not None else {},
            snapshots=watch.snapshots if watch is not None else 0,
            setup=self.setup.need if self.setup is not None else None,
            marks=self._marks,
            finished=self._finished_for(jobs) > 0,
            still=self._still,
            now=time.time(),
        )

    def _finished_for(self, jobs: list[Job]) -> float:
        """For how many seconds more it is news that the last worker has ended; not above 0 where it is none."""
        now = asyncio.get_running_loop().time()
        if any(job.active for job in jobs):
            self._finished_until = None
            return 0.0
        if self._finished_until is None:
            self._finished_until = now + FINISHED_SECONDS
        return self._finished_until - now

    def _wake_later(self, facts: Facts) -> None:
        """Draws again when time alone changes something."""
        waits = [left for job in facts.jobs if (left := rows.force_in(job, facts.now)) is not None]
        if facts.finished:
            waits.append(max(0.0, self._finished_for([])))
        if not facts.still and any(job.status == "running" for job in facts.jobs):
            waits.append(TICK_SECONDS)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(min(waits), self._touch) if waits else None


def _plain(made: object) -> Any:
    return msgspec.to_builtins(made)
