"""Who wrote what: the stream says which file a patch changed, a look at the tree what a command changed.

Three witnesses: streamed (a worker's own event names the file), observed (the file changed while commands ran),
declared (the worker's report). One worker with a command open wrote what changed meanwhile; several are told as
`ambiguous`, never guessed; where none could have, a person did.

Workers may write one file within milliseconds. So a file is read at once whenever a worker says that it begins or has
ended a patch of it (a glimpse), and whose it is, is decided when every worker had time to say its word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from sidecar.a2.commands import TEXT_CHARACTERS
from sidecar.a2.glimpses import Glimpse
from sidecar.a2.history import EMPTY, StoredVersion
from sidecar.a2.scene import CLOCK_SECONDS, GLANCES, TOLD_SECONDS, Found, Scene, Step
from sidecar.a2.versions import USER
from sidecar.a2.windows import HEAR_SECONDS, Window
from sidecar.git.baseline import Baselines
from sidecar.git.blobs import store_bytes, store_paths
from sidecar.git.changes import changed_paths
from sidecar.git.repository import Repository
from sidecar.git.state import open_work
from sidecar.model.event import ParsedEvent
from sidecar.model.job import Attribution, Job, now

__all__ = ["Scene", "Witness"]
logger = logging.getLogger(__name__)

_KINDS = frozenset({"command", "file_change", "turn-completed", "turn-failed"})
SUBMODULE = "160000"
READINGS = 4
"""How often a file whose time cannot be right is read again."""
REST_SECONDS = 0.2
"""Between two looks that only the watch asks for, while workers write; and how many times the last look's time."""
REST_TIMES = 9


class _Word(NamedTuple):
    """A line of a worker's stream, and which files were read at once when it came."""

    job: Job
    number: int
    event: ParsedEvent
    read: frozenset[str]


class Witness:
    """Takes workers' events one after another and looks at the tree between them. One for each work tree."""

    def __init__(
        self,
        repository: Repository,
        baselines: Baselines,
        state_dir: Path,
        told: Callable[[], Awaitable[None]],
        catch_up: Callable[[], Awaitable[int]],
    ) -> None:
        """
        Args:
            told: called after new versions were kept.
            catch_up: reads what all workers have printed until now; how many can write.
        """
        self._repository = repository
        self._baselines = baselines
        self._state_dir = state_dir
        self._told = told
        self._catch_up = catch_up
        self._queue: asyncio.Queue[_Word | asyncio.Future[None] | None] = asyncio.Queue()
        self._recording = asyncio.Lock()
        self._nudged = False
        self._rest_until = 0.0
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
        """A line of a worker's stream, printed after `since` (wall clock); called on the loop, takes a millisecond."""
        scene, kind = self.scene, event.content.get("kind")
        if scene is None or job.run_id != scene.history.run_id or kind not in _KINDS:
            return
        # Windows are known at once, also those of events that wait their turn.
        item, text = str(event.content.get("itemId", "")), str(event.content.get("command", ""))[:TEXT_CHARACTERS]
        read: frozenset[str] = frozenset()
        if kind in ("command", "file_change"):
            named = _paths(event) if kind == "file_change" else None
            paths = frozenset(named) if named is not None else None
            if event.type == "tool_call":
                scene.windows.open(Window(job.job_id, item, paths, since, text=text, told=now()))
            elif scene.windows.close(job.job_id, item, now(), since) is None:
                scene.windows.open(Window(job.job_id, item, paths, since, now(), text=text, told=now()))
            top = self._repository.top
            read = scene.glance(top, (named or [])[:GLANCES], named=True)
            scene.glance(top, [path for path in scene.near(text) if path not in read], named=False)
        else:
            # Codex ends what its commands left running, so nothing of this worker writes any more.
            scene.windows.close_job(job.job_id, now())
        self._queue.put_nowait(_Word(job, number, event, read))

    async def settle(self) -> None:
        """Returns when everything that was observed so far is taken into account, with a look at the tree as it is."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(done)
        await done

    def nudge(self, paths: Collection[str] = ()) -> None:
        """Something in the tree changed. Where no worker writes now, it is looked at before one does."""
        scene = self.scene
        if scene is not None:
            if self.watched and not self._dirty:
                scene.told_at = now()
            known = [path for path in paths if path in scene.history.versions or path in scene.base]
            scene.glance(self._repository.top, known[:GLANCES], named=False)
        self._dirty = True
        if scene is not None and not self._nudged:
            self._nudged = True
            rest = self._rest_until - now() if scene.windows.any_open() else 0.0
            asyncio.get_running_loop().call_later(max(rest, 0.0), self._queue.put_nowait, None)

    async def absorb(self, paths: Iterable[str]) -> None:
        """After a repair: what stands at these paths now is a version of nobody's, and is known."""
        if (scene := self.scene) is not None:
            began, wanted = now(), list(paths)
            for path in wanted:
                scene.glimpses.pop(path, None)
            await self._record(scene, await self._contents(wanted), {}, began=began, writers=())

    async def saved(self, path: str) -> None:
        """An editor said that a person has saved this file; what a worker's own event claims stays the worker's."""
        if (scene := self.scene) is None:
            return
        began = now()
        found = await self._contents([path])
        at = found[path].changed_at
        if at is None or not scene.windows.named(path, at):
            if at is not None:
                # A look that has met it and waits for workers' words hears this one.
                scene.saves[path] = at
            await self._record(scene, found, {}, began=began, writers=(USER,))

    async def _run(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                if item is None:
                    self._nudged = False
                    if self._dirty and self.scene is not None:
                        await self._look(known_only=self.scene.windows.any_open())
                elif isinstance(item, asyncio.Future):
                    await self._look()
                    if not item.done():
                        item.set_result(None)
                else:
                    await self._take(item)
            except asyncio.CancelledError:
                raise
            except Exception as exc:
                logger.exception("the witness could not look")
                if isinstance(item, asyncio.Future) and not item.done():
                    item.set_exception(exc)

    async def _take(self, word: _Word) -> None:
        job, event, scene = word.job, word.event, self.scene
        known = scene.history.lines.get(job.job_id, 0) if scene is not None else 0
        if scene is None or job.run_id != scene.history.run_id or word.number <= known:
            return
        lines = {job.job_id: word.number}
        if event.content["kind"] == "file_change":
            if event.type == "tool_result" and event.content.get("status") in (None, "completed"):
                await self._patched(scene, word, lines)
            else:
                await self._record(scene, {}, {}, began=now())
        elif event.type == "tool_call":
            # What changed before the first command of all is nobody's of them; a watched tree was looked at already.
            if not self.watched and len(scene.windows.open_commands()) <= 1:
                await self._look(lines)
            else:
                await self._record(scene, {}, {}, began=now())
        else:
            await self._after_command(scene, lines)
            await self._amend(scene, word)

    async def _after_command(self, scene: Scene, lines: dict[str, int]) -> None:
        """Looks what a command changed; most commands change nothing, and then a watched tree is not looked at."""
        if self.watched and not self._dirty:
            await asyncio.sleep(TOLD_SECONDS)
        if self.watched and not self._dirty:
            await self._record(scene, {}, lines, began=now())
        else:
            await self._look(lines)

    async def _patched(self, scene: Scene, word: _Word, lines: dict[str, int]) -> None:
        paths, began = _paths(word.event), now()
        found = await self._contents(path for path in paths if path not in word.read)
        await self._record(scene, found, lines, began=began)
        await self._amend(scene, word)
        if any(one.oid is None for one in found.values()):
            # A move names only the old path; the new one is found by looking.
            scene.windows.note_move(word.job.job_id, str(word.event.content.get("itemId", "")))
            await self._look()

    async def _amend(self, scene: Scene, word: _Word) -> None:
        """What may be a worker's is said to be, where its words came later than the version was recorded."""
        window = scene.windows.find(word.job.job_id, str(word.event.content.get("itemId", "")))
        if window is not None and (amended := scene.late(window)):
            await scene.history.add(amended, {})
            await self._told()

    async def _contents(self, paths: Iterable[str]) -> dict[str, Found]:
        """What stands at paths now."""
        wanted = list(paths)

        def work() -> dict[str, Found]:
            with open_work(self._repository, self._state_dir) as git:
                return {path: Found.of(stored) for path, stored in store_paths(git, wanted, large="note").items()}

        return await asyncio.to_thread(work) if wanted else {}

    async def _look(self, lines: dict[str, int] | None = None, *, known_only: bool = False) -> None:
        """Compares the tree with the baseline; what changed since the last look is whose could have changed it.

        Args:
            known_only: leave out files that are new: a command that still runs may take them away again.
        """
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
            now_there = Found("", None, at) if change.new is None else Found(change.new.mode, change.new.oid, at)
            found[change.path] = now_there
            old_path = change.old_path or change.path
            if change.old is not None and old_path not in scene.base:
                oid, mode = change.old.oid, change.old.mode
                scene.base[old_path] = StoredVersion(old_path, 0, oid, mode, (), "seen", scene.baseline.recorded_at)
            if change.old_path is not None:
                found[change.old_path] = Found("", None, None)
                scene.moved[change.path] = change.old_path
        back = [path for path in scene.history.versions if path not in found]
        found.update(await self._contents(back))
        if known_only:
            found = {path: one for path, one in found.items() if path in scene.base or path in scene.history.versions}
        else:
            self.changed = {change.path for change in changes} | {one.old_path for one in changes if one.old_path}
        self._rest_until = now() + max(REST_SECONDS, REST_TIMES * (now() - began))
        await self._record(scene, found, lines or {}, began=began)
        scene.note_look(began, whole=not known_only)

    async def _record(
        self,
        scene: Scene,
        found: dict[str, Found],
        lines: dict[str, int],
        *,
        began: float,
        writers: tuple[str, ...] | None = None,
    ) -> None:
        """Adds a version for each content that a path had since the one that is known.

        Args:
            began: when the reading of what was found began.
            writers: who made what was found; None: whoever could have at that time.
        """
        ended = now()  # Hearing every worker takes time, in which one of them may end.
        async with self._recording:
            if writers is None and (dated := await self._dated(scene, found, began)) != found:
                found, ended = dated, now()
            steps = await self._steps(scene, found, (began, ended), writers)
            if any(step.given is None for step in steps):
                await self._hear(scene, steps)
            new = [self._version(scene, step, steps[number + 1 :]) for number, step in enumerate(steps)]
            if new:
                await asyncio.to_thread(scene.history.keep_objects, new)
            if new or lines:
                await scene.history.add(new, lines)
        if new:
            await self._told()

    async def _dated(self, scene: Scene, found: dict[str, Found], began: float) -> dict[str, Found]:
        """What was found, read again where a file's time is not that of its change; without one if it stays so."""
        await self._learn_base(scene, found)
        wrong = scene.misdated(found, began)
        for _ in range(READINGS if set(wrong) - set(scene.moved) else 0):
            await asyncio.sleep(CLOCK_SECONDS)
            found = found | await self._contents(wrong)
            if not (wrong := scene.misdated(found, began)):
                break
        return found | {path: found[path]._replace(changed_at=None) for path in wrong}

    async def _steps(
        self, scene: Scene, found: dict[str, Found], read: tuple[float, float], writers: tuple[str, ...] | None
    ) -> list[Step]:
        """The contents that are not what stood there before, in their order: those of glimpses, then what was found."""
        glimpses: dict[str, list[Glimpse]] = {
            path: scene.glimpses.pop(path) for path in [*scene.glimpses] if path not in found
        }
        glimpses |= {path: scene.glimpses_before(path, one, *read) for path, one in found.items()}
        await self._learn_base(scene, glimpses)
        steps: list[Step] = []
        for path, before in glimpses.items():
            known = scene.now_known(path)
            if path not in found and known.oid is None and not any(one.named for one in before):
                continue  # A new file that git may ignore; a look says so.
            oid, mode, read_at = known.oid, known.mode, 0.0
            for one in before:
                if not (one.is_blob(oid) and one.mode == mode) and scene.is_fresh(path, one.changed_at):
                    oid, mode = await asyncio.to_thread(self._store, one.data), one.mode
                    content = Found(mode, oid, one.changed_at)
                    if scene.misdated({path: content}, one.began):
                        content = content._replace(changed_at=None)
                    steps.append(Step(path, content, scene.since(path, read_at), one.ended, scene.made(path, content)))
                read_at = max(read_at, one.began)
            last = found.get(path)
            if last is not None and not scene.is_overtaken(path, last, read[0]):
                if (last.oid, last.oid and last.mode) != (oid, oid and mode):
                    steps.append(Step(path, last, scene.since(path, read_at), read[1], scene.made(path, last, writers)))
                read_at = max(read_at, read[0])
            scene.note_read(path, read_at)
        scene.note_recent(step.path for step in steps)
        return steps

    def _store(self, data: bytes) -> str:
        with self._repository.plumbing() as git:
            return store_bytes(git, data)

    async def _hear(self, scene: Scene, steps: list[Step]) -> None:
        """Reads what every worker says, and waits until what it may have to say of these contents is there."""
        # A worker says what it begins to write before it writes; on a busy machine that may not be read yet.
        until = 0.0
        if await self._catch_up() > 1:
            until = max(step.found.changed_at or step.seen_at for step in steps) + HEAR_SECONDS
        if any(step.given is None and not scene.whose(*step[:3], latest=False).last for step in steps):
            # Before a person is named, every worker is heard: its word may be under way.
            until = now() + HEAR_SECONDS
        # A clock that was set back must not hold up everything.
        if (wait := min(until - now(), HEAR_SECONDS)) > 0:
            await asyncio.sleep(wait)
            await self._catch_up()

    def _version(self, scene: Scene, step: Step, later: Iterable[Step]) -> StoredVersion:
        """The version that a content is, with whoever can have made it."""
        path, one = step.path, step.found
        if step.given is not None:
            writers = step.given
        elif one.changed_at is not None and scene.saves.get(path) == one.changed_at:
            writers = (USER,)
        else:
            after = [(other.found.changed_at, other.since) for other in later if other.path == path]
            whose = scene.whose(*step[:3], after, latest=not (after or scene.is_changed_after(path, one)))
            writers = tuple(whose.jobs) if whose.last else (*whose.jobs, USER)
            if len(writers) == 1 and one.oid not in EMPTY:
                scene.windows.note_written(path, writers[0], one.changed_at)
        seq, at = scene.history.next_seq(), step.seen_at
        if one.changed_at is not None:
            scene.changed_at[seq] = one.changed_at
            if USER in writers:
                # Nobody said when a person wrote, and a look may come late; a file's own clock does.
                at = min(at, one.changed_at)
        attribution: Attribution = "ambiguous" if len(writers) > 1 else "seen"
        return StoredVersion(path, seq, one.oid, one.mode, writers, attribution, at)

    async def _learn_base(self, scene: Scene, found: Iterable[str]) -> None:
        """What the baseline holds of paths that are named before any look has met them."""
        unknown = [path for path in found if path not in scene.asked and path not in scene.base]
        unknown = [path for path in unknown if path not in scene.history.versions]
        if unknown:
            scene.asked.update(unknown)
            scene.learn(await asyncio.to_thread(self._baselines.held, scene.baseline, unknown))


def _paths(event: ParsedEvent) -> list[str]:
    """The files that a patch names, inside the repository."""
    named = [str(change["path"]) for change in event.content.get("changes", [])]
    return [path for path in named if not path.startswith("/")]
