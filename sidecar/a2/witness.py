"""Who wrote what: the stream says which file a patch changed, a look at the tree what a command changed.

Three witnesses: streamed (a worker's own event names the file), observed (the file changed while commands ran),
declared (the worker's report). One worker with a command open wrote what changed meanwhile; several are told as
`ambiguous`, never guessed; where none could have, a person did.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sidecar.a2.history import History, StoredVersion
from sidecar.a2.versions import USER
from sidecar.a2.windows import Window, Windows
from sidecar.git.baseline import Baseline, Baselines, Held
from sidecar.git.blobs import Stored, store_paths
from sidecar.git.changes import changed_paths
from sidecar.git.repository import Repository
from sidecar.git.state import open_work
from sidecar.git.worktree import NO_FILE
from sidecar.model.event import ParsedEvent
from sidecar.model.job import Job, now

logger = logging.getLogger(__name__)


_KINDS = frozenset({"command", "file_change", "turn-completed", "turn-failed"})
SUBMODULE = "160000"
TOLD_SECONDS = 0.08
"""How soon a watched tree tells of a change."""
HEAR_SECONDS = 0.15
"""How long a worker's word may be under way after its deed."""
KEPT_SECONDS = 2.0


class Found(NamedTuple):
    """What stands at a path. `oid` None: nothing; empty: something whose content was not kept."""

    mode: str
    oid: str | None
    changed_at: float | None
    """When the file was changed last (its ctime); None where nothing is there."""

    def same_as(self, known: StoredVersion) -> bool:
        return self.oid == known.oid and (self.oid is None or self.mode == known.mode)


@dataclass
class Scene:
    """What the witness knows of the run that is open."""

    history: History
    baseline: Baseline
    base: dict[str, StoredVersion] = field(default_factory=dict)
    """What the baseline holds of paths that changed."""
    windows: Windows = field(default_factory=Windows)
    looked_at: float = 0.0
    """When the whole tree was looked at last."""

    def learn(self, held: Mapping[str, Held]) -> None:
        """Takes what the baseline holds of some paths."""
        for path, one in held.items():
            if one.kind in ("file", "link"):
                mode = "120000" if one.kind == "link" else "100755" if one.mode & 0o100 else "100644"
                self.base[path] = StoredVersion(path, 0, one.oid, mode, (), "seen", self.baseline.recorded_at)

    def base_of(self, path: str) -> StoredVersion:
        return self.base.get(path) or StoredVersion(path, 0, None, "", (), "seen", self.baseline.recorded_at)

    def now_known(self, path: str) -> StoredVersion:
        return self.history.newest(path) or self.base_of(path)


class Witness:
    """Takes workers' events one after another and looks at the tree between them. One for each work tree."""

    def __init__(
        self,
        repository: Repository,
        baselines: Baselines,
        state_dir: Path,
        told: Callable[[], Awaitable[None]],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Args:
            told: called after new versions were kept.
            catch_up: reads what all workers have printed until now.
        """
        self._repository = repository
        self._baselines = baselines
        self._state_dir = state_dir
        self._told = told
        self._catch_up = catch_up
        self._queue: asyncio.Queue[tuple[Job, int, ParsedEvent] | asyncio.Future[None] | None] = asyncio.Queue()
        self._nudged = False
        self._task: asyncio.Task[None] | None = None
        self.scene: Scene | None = None
        self._dirty = True
        self.watched = False
        """Whether `nudge` is called soon after each change of the tree."""
        self.changed: set[str] = set()
        """Paths that differed from the baseline at the last look."""

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="witness")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def observe(self, job: Job, number: int, event: ParsedEvent, since: float) -> None:
        """A line of a worker's stream, printed after `since` (wall clock); called on the loop, takes no time."""
        scene, kind = self.scene, event.content.get("kind")
        if scene is None or job.run_id != scene.history.run_id or kind not in _KINDS:
            return
        # Windows are known at once, also those of events that wait their turn.
        item = str(event.content.get("itemId", ""))
        if kind in ("command", "file_change") and event.type == "tool_call":
            paths = frozenset(_paths(event)) if kind == "file_change" else None
            scene.windows.open(Window(job.job_id, item, paths, since))
        elif kind in ("command", "file_change"):
            if scene.windows.close(job.job_id, item, now()) is None:
                paths = frozenset(_paths(event)) if kind == "file_change" else None
                scene.windows.open(Window(job.job_id, item, paths, since, now()))
        else:
            # Codex ends what its commands left running, so nothing of this worker writes any more.
            scene.windows.close_job(job.job_id, now())
        self._queue.put_nowait((job, number, event))

    async def settle(self) -> None:
        """Returns when everything that was observed so far is taken into account, with a look at the tree as it is."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(done)
        await done

    def nudge(self) -> None:
        """Something in the tree changed. Where no worker writes now, it is looked at before one does."""
        self._dirty = True
        if self.scene is not None and not self._nudged and not self.scene.windows.any_open():
            self._nudged = True
            self._queue.put_nowait(None)

    async def absorb(self, paths: Iterable[str]) -> None:
        """After a repair: what stands at these paths now is a version of nobody's, and is known."""
        if self.scene is not None:
            await self._record(self.scene, await self._contents(paths), {}, writers=())

    async def saved(self, path: str) -> None:
        """An editor said that a person has saved this file; what a worker's own event claims stays the worker's."""
        if (scene := self.scene) is None:
            return
        found = await self._contents([path])
        at = found[path].changed_at
        if at is None or not scene.windows.named(path, at):
            await self._record(scene, found, {}, writers=(USER,))

    async def _run(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                if item is None:
                    self._nudged = False
                    await self._look()
                elif isinstance(item, asyncio.Future):
                    await self._look()
                    if not item.done():
                        item.set_result(None)
                else:
                    await self._take(*item)
            except asyncio.CancelledError:
                raise
            except Exception as exc:
                logger.exception("the witness could not look")
                if isinstance(item, asyncio.Future) and not item.done():
                    item.set_exception(exc)

    async def _take(self, job: Job, number: int, event: ParsedEvent) -> None:
        scene = self.scene
        if scene is None or job.run_id != scene.history.run_id or number <= scene.history.lines.get(job.job_id, 0):
            return
        lines = {job.job_id: number}
        if event.content["kind"] == "file_change":
            if event.type == "tool_result" and event.content.get("status") in (None, "completed"):
                await self._patched(scene, job, event, lines)
        elif event.type == "tool_call":
            # What changed before the first command of all is nobody's of them; a watched tree was looked at already.
            if not self.watched and len(scene.windows.open_commands()) <= 1:
                await self._look(lines)
        else:
            await self._after_command(scene, lines)

    async def _after_command(self, scene: Scene, lines: dict[str, int]) -> None:
        """Looks what a command changed; most commands change nothing, and then a watched tree is not looked at."""
        if self.watched and not self._dirty:
            await asyncio.sleep(TOLD_SECONDS)
        if self.watched and not self._dirty:
            await scene.history.add([], lines)
        else:
            await self._look(lines)

    async def _patched(self, scene: Scene, job: Job, event: ParsedEvent, lines: dict[str, int]) -> None:
        found = await self._contents(_paths(event))
        await self._record(scene, found, lines)
        if any(one.oid is None for one in found.values()):
            # A move names only the old path; the new one is found by looking.
            scene.windows.note_move(job.job_id, str(event.content.get("itemId", "")))
            await self._look()

    async def _contents(self, paths: Iterable[str]) -> dict[str, Found]:
        """What stands at paths now."""
        wanted = list(paths)

        def work() -> dict[str, Found]:
            with open_work(self._repository, self._state_dir) as git:
                return {path: _found(stored) for path, stored in store_paths(git, wanted, large="note").items()}

        return await asyncio.to_thread(work) if wanted else {}

    async def _look(self, lines: dict[str, int] | None = None) -> None:
        """Compares the tree with the baseline; what changed since the last look is whose could have changed it."""
        scene = self.scene
        if scene is None:
            return
        began = now()
        self._dirty = False
        changes = await asyncio.to_thread(
            changed_paths, self._repository, self._state_dir, scene.baseline, self._baselines, store=True
        )
        found: dict[str, Found] = {}
        for change in changes:
            if change.new is not None and change.new.mode == SUBMODULE:
                continue
            at = change.signature.ctime_ns / 1e9 or None
            found[change.path] = (
                Found("", None, at) if change.new is None else Found(change.new.mode, change.new.oid, at)
            )
            old_path = change.old_path or change.path
            if change.old is not None and old_path not in scene.base:
                entry = change.old
                scene.base[old_path] = StoredVersion(
                    old_path, 0, entry.oid, entry.mode, (), "seen", scene.baseline.recorded_at
                )
            if change.old_path is not None:
                found[change.old_path] = Found("", None, None)
        back = [path for path in scene.history.versions if path not in found]
        found.update(await self._contents(back))
        self.changed = {change.path for change in changes} | {one.old_path for one in changes if one.old_path}
        await self._record(scene, found, lines or {})
        scene.looked_at = began
        scene.windows.forget_before(began - KEPT_SECONDS)

    async def _record(
        self, scene: Scene, found: dict[str, Found], lines: dict[str, int], *, writers: tuple[str, ...] | None = None
    ) -> None:
        """Adds a version for each path that is not what it was.

        Args:
            writers: who made it; None: whoever could have at that time.
        """
        seen_at = now()  # Hearing every worker takes time, in which one of them may end.
        await self._learn_base(scene, found)
        fresh = {path: one for path, one in found.items() if not one.same_as(scene.now_known(path))}
        if fresh and writers is None:
            # A worker says what it begins to write before it writes; on a busy machine that may not be read yet.
            await self._catch_up()
        whose = {path: self._whose(scene, path, one) if writers is None else writers for path, one in fresh.items()}
        if any(not one for one in whose.values()) and writers is None:
            # Before a person is named, every worker is heard: its word may be under way.
            await asyncio.sleep(HEAR_SECONDS)
            await self._catch_up()
            whose = {path: self._whose(scene, path, one) or (USER,) for path, one in fresh.items()}
        new = [
            StoredVersion(
                path, scene.history.next_seq(), one.oid, one.mode, whose[path],
                "ambiguous" if len(whose[path]) > 1 else "seen", seen_at,
            )
            for path, one in fresh.items()
        ]  # fmt: skip
        if new:
            await asyncio.to_thread(scene.history.keep_objects, new)
        if new or lines:
            await scene.history.add(new, lines)
        if new:
            await self._told()

    def _whose(self, scene: Scene, path: str, one: Found) -> tuple[str, ...]:
        is_new = scene.base_of(path).oid is None
        known = scene.history.newest(path)
        # Whoever had ended before the file was last seen cannot have taken it away.
        since = scene.looked_at if known is None else max(scene.looked_at, known.at)
        return tuple(scene.windows.writers(path, one.changed_at, since, is_new=is_new))

    async def _learn_base(self, scene: Scene, found: dict[str, Found]) -> None:
        """What the baseline holds of paths that are named before any look has met them."""
        unknown = [path for path in found if path not in scene.base and path not in scene.history.versions]
        if unknown:
            scene.learn(await asyncio.to_thread(self._baselines.held, scene.baseline, unknown))


def _paths(event: ParsedEvent) -> list[str]:
    """The files that a patch names, inside the repository."""
    named = [str(change["path"]) for change in event.content.get("changes", [])]
    return [path for path in named if not path.startswith("/")]


def _found(stored: Stored) -> Found:
    at = stored.signature.ctime_ns / 1e9 or None
    if stored.oid is None:
        return Found("", None if stored.signature.kind in NO_FILE else "", at)
    if stored.signature.kind == "link":
        return Found("120000", stored.oid, at)
    return Found("100755" if stored.signature.mode & 0o100 else "100644", stored.oid, at)
