"""The versions of all files of a run, and what was settled: in memory, in the journal, and as blobs that git keeps.

A version names a blob; a ref of ours holds every blob, so that no `git gc` takes one while its run is open.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sidecar.a2.versions import USER, Chain, Version
from sidecar.git.blobs import read_blobs
from sidecar.git.commits import Entry, commit, resolve_ref, set_ref, write_tree
from sidecar.git.repository import Repository
from sidecar.jobs.journal import Journal
from sidecar.model.job import Attribution

BASELINE = ()
EMPTY = frozenset(
    {"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"}
)
"""The blob without content, by git's two hashes."""
HALF_SECONDS = 1.0
"""How long a program may take from emptying a file to writing it."""


class StoredVersion(msgspec.Struct, array_like=True, frozen=True):
    """One version as the journal keeps it. `oid` None: the file was absent; empty: its content was not kept."""

    path: str
    seq: int
    oid: str | None
    mode: str
    writers: tuple[str, ...]
    attribution: Attribution
    at: float


class Settled(msgspec.Struct, array_like=True, frozen=True):
    """A path whose conflicts up to version `seq` are over: merged, kept, rolled back or dismissed at time `at`."""

    path: str
    seq: int
    how: str
    at: float
    jobs: tuple[str, ...] = ()
    snapshot_id: str | None = None


class History:
    """What was seen in one run. Loading and saving are for the event loop; `contents` blocks."""

    def __init__(self, run_id: str, journal: Journal, repository: Repository) -> None:
        self.run_id = run_id
        self._journal = journal
        self._repository = repository
        self.versions: dict[str, list[StoredVersion]] = {}
        self.settled: dict[str, Settled] = {}
        self.repairs: list[Settled] = []
        self.lines: dict[str, int] = {}
        """How many lines of each job's stream were taken into account."""
        self._seq = 0
        self._contents: dict[str, bytes] = {}

    async def load(self) -> None:
        """Reads what an earlier sidecar saw."""
        for _, data in await self._journal.facts(self.run_id, "version"):
            self._take(msgspec.json.decode(data, type=StoredVersion))
        for _, data in await self._journal.facts(self.run_id, "settled"):
            self._settle(msgspec.json.decode(data, type=Settled))
        for job_id, data in await self._journal.facts(self.run_id, "lines"):
            self.lines[job_id] = max(self.lines.get(job_id, 0), msgspec.json.decode(data, type=int))

    def _take(self, version: StoredVersion) -> None:
        versions = self.versions.setdefault(version.path, [])
        # The number of a version that is there already says that more is known of its writers now.
        at = len(versions)
        while at and versions[at - 1].seq > version.seq:
            at -= 1
        if at and versions[at - 1].seq == version.seq:
            versions[at - 1] = version
        else:
            versions.insert(at, version)
        self._seq = max(self._seq, version.seq)

    def _settle(self, settled: Settled) -> None:
        self.settled[settled.path] = settled
        self.repairs.append(settled)

    def newest(self, path: str) -> StoredVersion | None:
        """The last version that was seen of a path, None where only the baseline is known."""
        versions = self.versions.get(path)
        return versions[-1] if versions else None

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    async def add(self, versions: Iterable[StoredVersion], lines: dict[str, int]) -> None:
        """Keeps new versions, and how far the streams were read, in one transaction."""
        new = list(versions)
        facts = [("version", version.path, msgspec.json.encode(version)) for version in new]
        facts += [("lines", job_id, msgspec.json.encode(count)) for job_id, count in lines.items()]
        if facts:
            await self._journal.add_facts(self.run_id, facts)
        for version in new:
            self._take(version)
        self.lines.update(lines)

    async def settle(self, settled: Iterable[Settled]) -> None:
        """Ends the conflicts of paths up to now."""
        new = list(settled)
        await self._journal.add_facts(self.run_id, [("settled", one.path, msgspec.json.encode(one)) for one in new])
        for one in new:
            self._settle(one)

    def writers(self, path: str) -> set[str]:
        """Everybody who wrote, or may have written, the path since it was settled."""
        since = self.settled[path].seq if path in self.settled else 0
        return {writer for version in self.versions.get(path, []) if version.seq > since for writer in version.writers}

    def written_since(self, settled: Settled) -> bool:
        """Whether a worker wrote, or may have written, the path after it was settled."""
        return any(
            one.seq > settled.seq and any(writer != USER for writer in one.writers)
            for one in self.versions.get(settled.path, [])
        )

    def by_jobs(self) -> set[str]:
        """Paths that some worker wrote or may have written."""
        return {path for path, all_ in self.versions.items() if any(set(one.writers) - {USER} for one in all_)}

    def keep_objects(self, new: Iterable[StoredVersion]) -> None:
        """Holds the blobs of new versions by the run's ref. Blocks (three git processes)."""
        entries = {f"{one.seq}": Entry("100644", one.oid) for one in new if one.oid}
        if not entries:
            return
        ref = f"refs/codex-sidecar/versions/{self.run_id}"
        with self._repository.plumbing() as git:
            before = resolve_ref(git, ref)
            # Each commit holds its own blobs and has the one before as parent, so nothing is ever let go.
            made = commit(git, write_tree(git, entries), [before] if before else [], "Versions seen in a run.")
            set_ref(git, ref, made, before)

    def load_contents(self, oids: Iterable[str]) -> None:
        """Reads blobs that are not in memory yet. Blocks."""
        wanted = sorted({oid for oid in oids if oid and oid not in self._contents})
        if wanted:
            with self._repository.plumbing() as git:
                self._contents.update(read_blobs(git, wanted))

    def chain(self, path: str, base: StoredVersion, *, whole: bool = False) -> Chain:
        """The versions of a path as the rules want them, beginning with `base` (or with what it was settled to).

        The contents must have been loaded.
        """
        versions = [base, *self.versions.get(path, [])]
        if path in self.settled and not whole:
            after = [one for one in versions if one.seq > self.settled[path].seq]
            before = [one for one in versions if one.seq <= self.settled[path].seq]
            versions = [before[-1], *after]
        first, *rest = _joined(versions)
        return Chain(path, (self._version(first, baseline=True), *(self._version(one) for one in rest)))

    def _version(self, one: StoredVersion, *, baseline: bool = False) -> Version:
        content = None if one.oid is None else self._contents.get(one.oid, b"\0")
        return Version(
            content_id=one.oid,
            content=content,
            writers=BASELINE if baseline else one.writers,
            attribution=one.attribution,
            seq=one.seq,
            at=one.at,
        )

    def forget_contents(self) -> None:
        """Lets the memory of contents go; they are read again when asked for."""
        self._contents.clear()


def _joined(versions: list[StoredVersion]) -> list[StoredVersion]:
    """The versions without those that their writer replaced right after: a look may meet a file half written.

    What one of several wrote stays, as another of them may have replaced it; but not the moment at which a file was
    emptied, or taken away, to be written anew.
    """
    joined = versions[:1]
    for one in versions[1:]:
        while len(joined) > 1 and _half(joined[-1], one):
            joined.pop()
        joined.append(one)
    return joined


def _half(earlier: StoredVersion, later: StoredVersion) -> bool:
    if len(earlier.writers) < 2:
        return (earlier.writers, earlier.attribution) == (later.writers, later.attribution)
    if earlier.oid == "":  # Not empty: its content was not kept.
        return False
    soon = later.at - earlier.at < HALF_SECONDS
    return (
        soon
        and (not earlier.oid or earlier.oid in EMPTY)
        and bool(later.oid)
        and set(later.writers) <= set(earlier.writers)
    )
