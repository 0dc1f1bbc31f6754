"""The view of one client: everything that it draws, and when that may have changed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from sidecar.lsp.findings import Findings
from sidecar.lsp.view import rows, summary
from sidecar.lsp.view.memory import memory_of
from sidecar.lsp.view.setup import Setup
from sidecar.lsp.view.shapes import Facts, Job, MarksWanted
from sidecar.lsp.view.watch import Watch, watch_of

if TYPE_CHECKING:
    from sidecar.jobs.changes import Change
    from sidecar.service.core import Core

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

    # -- drawing ----------------------------------------------------------------------------------------------------

    def draw(self, state: dict[str, Any]) -> dict[str, Any]:
        """What a full state holds beside the state itself."""
        facts = self._facts(state)
        roots, made = rows.tree(facts, self._kept)
        self._wake_later(facts)
        return {
            "rows": _plain(made),
            "marks": _plain(summary.marks(facts)),
            "summary": summary.summary(facts, roots),
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
        return Facts(
            top=self._core.top,
            jobs=msgspec.convert(state["jobs"], list[Job]),
            run=state["run"],
            conflicts=self._findings.conflicts(),
            missing=frozenset(job.job_id for job in self._findings.missing_reports()),
            commits=list(dict.fromkeys((one.job_id, one.commit) for one in run.worker_commits))
            if run is not None
            else [],
            head=watch.head_moved() if watch is not None else None,
            cleared=self.memory.cleared,
            seen=self.memory.seen,
            tasks=watch.tasks if watch is not None else {},
            snapshots=watch.snapshots if watch is not None else 0,
            setup=self.setup.need if self.setup is not None else None,
            marks=self._marks,
            now=time.time(),
        )

    def _wake_later(self, facts: Facts) -> None:
        """Draws again when time alone changes a row."""
        waits = [left for job in facts.jobs if (left := rows.force_in(job, facts.now)) is not None]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(min(waits), self._touch) if waits else None


def _plain(made: list[Any]) -> Any:
    return msgspec.to_builtins(made)


def client_setting(section: object, name: str) -> object:
    """A setting that only the client's own surfaces have, nested or with dotted keys; None where it is not there."""
    if not isinstance(section, dict):
        return None
    if name in section:
        return section[name]
    head, _, rest = name.partition(".")
    return client_setting(section.get(head), rest) if rest else None
