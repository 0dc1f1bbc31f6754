"""Which conflicts there are now: the rules applied to what the witness saw, kept up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from sidecar.a2.detect import Work, detect
from sidecar.a2.history import History
from sidecar.a2.versions import USER, Chain
from sidecar.a2.weave import Weave
from sidecar.a2.witness import Scene
from sidecar.git.blobs import store_bytes
from sidecar.git.commits import Entry
from sidecar.git.merge import MergeResult, Merges
from sidecar.git.repository import Repository
from sidecar.model.conflict import Conflict
from sidecar.model.job import Job

logger = logging.getLogger(__name__)


class Board:
    """The conflicts of one run. `refresh` works in a thread; everything else reads memory."""

    def __init__(self, repository: Repository, state_dir: Path) -> None:
        self._repository = repository
        self._merges = Merges(repository, state_dir)
        self._weaves: dict[str, Weave] = {}
        self._merge_results: dict[tuple[str, int, tuple[tuple[str, ...], ...]], bool] = {}
        self._lock = asyncio.Lock()
        self.conflicts: list[Conflict] = []
        self.chains: dict[str, Chain] = {}

    def clear(self) -> None:
        """Forgets everything: another run began."""
        self._weaves.clear()
        self._merge_results.clear()
        self.conflicts, self.chains = [], {}

    def find(self, conflict_id: str) -> Conflict | None:
        return next((one for one in self.conflicts if one.conflict_id == conflict_id), None)

    async def refresh(self, scene: Scene, jobs: Sequence[Job]) -> bool:
        """Works the conflicts out anew; True where something is different from before."""
        async with self._lock:
            before = self.conflicts
            works = [work for job in jobs if (work := _work(job, scene.history)) is not None]
            self.conflicts = await asyncio.to_thread(self._detect, scene, works)
            return self.conflicts != before

    def _detect(self, scene: Scene, works: list[Work]) -> list[Conflict]:
        self.chains = self.load_chains(scene, _shared(scene.history, works))
        found = detect(scene.history.run_id, works, self.chains, weaves=self._weaves)
        decided = {one.path: merges for one in found if (merges := self._decide(scene, one)) is not None}
        if decided:
            found = detect(scene.history.run_id, works, self.chains, weaves=self._weaves, merges=decided)
        return found

    def load_chains(self, scene: Scene, paths: Sequence[str] | set[str], *, whole: bool = False) -> dict[str, Chain]:
        """The chains of these paths with their contents. Blocks."""
        history = scene.history
        scene.history.load_contents(
            oid
            for path in paths
            for oid in [scene.base_of(path).oid, *(version.oid for version in history.versions.get(path, []))]
            if oid
        )
        return {
            path: history.chain(path, scene.base_of(path), whole=whole) for path in paths if path in history.versions
        }

    def _decide(self, scene: Scene, conflict: Conflict) -> bool | None:
        """Whether git merges the versions of a conflict whose workers have all ended; None: not asked."""
        chain = self.chains.get(conflict.path)
        if conflict.live or chain is None or conflict.kind == "reported-only":
            return None
        # Who wrote a version may be known better later.
        key = (conflict.path, chain.newest.seq, tuple(version.writers for version in chain.versions))
        if key not in self._merge_results:
            sides = self.sides(conflict, chain)
            merged = self.merge(scene, conflict.path, chain, {side: side for side in sides})
            self._merge_results[key] = merged is not None and merged.clean
        return self._merge_results[key]

    def sides(self, conflict: Conflict, chain: Chain) -> list[str]:
        """Whose versions a merge joins: all who wrote the file. First the conflict's workers, last a person.

        Who came later and is in no conflict is one of them, or the merge would drop that work.
        """
        names = dict.fromkeys(job.job_id for job in conflict.jobs)
        names |= dict.fromkeys(writer for version in chain.versions for writer in version.writers if writer != USER)
        return [name for name in (*names, USER) if chain.written_by(name)]

    def version_of(self, chain: Chain, writer: str) -> bytes | None:
        """The file with only this writer's changes made to what it began from; None: the writer removed it."""
        weave = self._weaves.get(chain.path) or Weave(chain)
        self._weaves[chain.path] = weave = weave.follow(chain)
        return weave.content(weave.versions_of({writer}))

    def merge(self, scene: Scene, path: str, chain: Chain, sides: Mapping[str, str]) -> MergeResult | None:
        """A three-way merge of the versions of `sides` (writers, with their names) by git. Blocks.

        What one of several wrote is a version of its own: as a part of each of theirs it could take away, on both
        sides, what one of them has certainly written.

        None where there are not two, and where a merge by hand or a restore has written the file: that is in no side.
        """
        if by_nobody(chain):
            return None
        base = chain.baseline.content
        weave = self.weave_of(chain)
        parts: dict[tuple[str, ...], set[int]] = {(side,): set() for side in sides}
        for index, version in enumerate(chain.versions[1:], 1):
            parts.setdefault(tuple(sorted(version.writers)), set()).add(index)
        parts = {writers: versions for writers, versions in parts.items() if versions}
        if len(parts) < 2:
            return None
        labels = [" or ".join(sides[writer] for writer in writers) for writers in parts]
        contents = [weave.content(versions) for versions in parts.values()]
        mode = scene.now_known(path).mode or scene.base_of(path).mode or "100644"
        with self._repository.plumbing() as git:
            oids = [None if content is None else store_bytes(git, content) for content in [base, *contents]]
        entries = [{path: None if oid is None else Entry(mode, oid)} for oid in oids]
        return self._merges.merge_versions(entries[0], entries[1:], labels)

    def merge_text(
        self, chain: Chain, ours: bytes | None, theirs: bytes | None, labels: tuple[str, str, str]
    ) -> tuple[bytes, int]:
        """The merge of two contents as text with diff3 markers, and how many conflicts it has. Blocks."""
        return self._merges.merge_file(chain.baseline.content or b"", ours or b"", theirs or b"", labels)

    def weave_of(self, chain: Chain) -> Weave:
        """The woven lines of a chain."""
        weave = self._weaves.get(chain.path)
        return weave.follow(chain) if weave is not None else Weave(chain)


def by_nobody(chain: Chain) -> bool:
    """Whether a repair wrote the file after what its chain begins with."""
    return any(not version.writers for version in chain.versions[1:])


def _work(job: Job, history: History) -> Work | None:
    """A job as the rules see it, without the files that are settled and that no worker has written since.

    A worker that ended before is out of it even then. One that still ran goes on to hold the file in its lists, and
    reports it at its end, without having done anything more to it.
    """
    work = Work.of(job)
    if work is None or not history.settled:
        return work
    gone = {
        path
        for path, settled in history.settled.items()
        if (work.end is not None and work.end <= settled.at)
        or (work.start <= settled.at and not history.written_since(settled))
    }
    return Work(
        work.job_id, work.label, work.title, work.start, work.end,
        tuple(path for path in work.modified_files if path not in gone),
        tuple(file for file in work.touched if file.path not in gone),
    )  # fmt: skip


def _shared(history: History, works: Sequence[Work]) -> set[str]:
    """Paths in which more than one has a hand: only their contents are needed."""
    hands: dict[str, set[str]] = {}
    for work in works:
        for path in {*work.modified_files, *(file.path for file in work.touched)}:
            hands.setdefault(path, set()).add(work.job_id)
    for path in history.versions:
        hands.setdefault(path, set()).update(history.writers(path))
    return {path for path, all_ in hands.items() if len(all_) > 1 and path in history.versions}


def as_json(conflicts: Sequence[Conflict]) -> list[dict[str, object]]:
    """Conflicts as every front end shows them."""
    shown: list[dict[str, object]] = msgspec.to_builtins(list(conflicts))
    return shown


Told = Callable[[], Awaitable[None]]
