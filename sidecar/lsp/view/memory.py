"""What a person has cleared from the view, looked at, or been told: one file, so that all windows agree."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from sidecar.jobs import durable
from sidecar.model.job import FINAL_STATUSES

if TYPE_CHECKING:
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)

FILE = "view.json"
KEPT = 1000
"""Most ids that are remembered of each kind; the oldest are forgotten first."""
FILE_BYTES = 1 << 20
"""A file above this size is not ours."""

_MEMORIES: WeakKeyDictionary[Core, Memory] = WeakKeyDictionary()


def memory_of(core: Core) -> Memory:
    """The one memory of a core, which all its clients share."""
    found = _MEMORIES.get(core)
    if found is None:
        # Not the core itself: what hangs on it here must not keep it.
        weak = ref(core)
        found = _MEMORIES[core] = Memory(core.state_dir / FILE, lambda: _ended_jobs(weak()))
    return found


def _ended_jobs(core: Core | None) -> list[str]:
    jobs = [] if core is None else core.state()["jobs"]
    return [str(job["jobId"]) for job in jobs if job["status"] in FINAL_STATUSES]


class Memory:
    """Ids of jobs and runs in the order in which they were noted. Everything happens on the event loop."""

    def __init__(self, path: Path, ended: Callable[[], Collection[str]]) -> None:
        """Reads the file; one that is missing or makes no sense is as good as empty.

        Args:
            ended: the ids of all ended jobs that a view can show.
        """
        self._path = path
        self._ended = ended
        kept = _read(path)
        self._cleared = _ids(kept.get("cleared"))
        self._seen = _ids(kept.get("seen"))
        self._told = _ids(kept.get("told"))
        self._listeners: list[Callable[[], None]] = []
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False

    @property
    def cleared(self) -> frozenset[str]:
        """The jobs that are not to be shown once they have ended."""
        return frozenset(self._cleared)

    @property
    def seen(self) -> frozenset[str]:
        """The ended jobs whose transcript or result somebody has opened."""
        return frozenset(self._seen)

    @property
    def told(self) -> frozenset[str]:
        """The runs of which somebody was told that workers collided."""
        return frozenset(self._told)

    def tell(self, run_id: str) -> None:
        """Somebody is told that workers of this run collided."""
        self._note(self._told, [run_id])

    def clear(self, job_ids: Iterable[str]) -> None:
        """Hides these jobs in every window."""
        self._note(self._cleared, job_ids)

    def clear_ended(self) -> None:
        """Hides all jobs that have ended."""
        self.clear(self._ended())

    def see(self, job_id: str) -> None:
        """Somebody has opened this job's transcript or result; of one that still runs nobody has seen the end."""
        if job_id in self._ended():
            self._note(self._seen, [job_id])

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls `listener` after every change. Returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def saved(self) -> None:
        """Returns when all changes are in the file, or could not be written."""
        while self._saving is not None:
            await asyncio.shield(self._saving)

    def _note(self, kept: dict[str, None], ids: Iterable[str]) -> None:
        new = [one for one in ids if one not in kept]
        if not new:
            return
        kept.update(dict.fromkeys(new))
        for oldest in list(kept)[: max(0, len(kept) - KEPT)]:
            del kept[oldest]
        self._unsaved = True
        if self._saving is None:
            self._saving = asyncio.get_running_loop().create_task(self._save())
        for listener in list(self._listeners):
            listener()

    async def _save(self) -> None:
        try:
            while self._unsaved:
                self._unsaved = False
                kept = {"cleared": list(self._cleared), "seen": list(self._seen), "told": list(self._told)}
                await asyncio.to_thread(durable.write_file, self._path, json.dumps(kept).encode())
        except OSError as exc:
            logger.error("what was cleared from the view, seen or told cannot be kept (%s)", exc.strerror)
        finally:
            self._saving = None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES + 1)
        found = json.loads(data) if len(data) <= FILE_BYTES else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as exc:
        logger.warning("%s is not read: %s", path.name, exc)
        return {}
    if not isinstance(found, dict):
        logger.warning("%s is not read: it does not hold what is expected", path.name)
        return {}
    return found


def _ids(value: object) -> dict[str, None]:
    found = [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
    return dict.fromkeys(found[-KEPT:])
