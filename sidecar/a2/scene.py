"""What the witness knows of the open run."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from sidecar.a2.commands import likely_paths
from sidecar.a2.glimpses import Glimpse, glimpse
from sidecar.a2.history import History, StoredVersion
from sidecar.a2.versions import USER
from sidecar.a2.windows import SLACK_SECONDS, Since, Window, Windows, Writers
from sidecar.git.baseline import Baseline, Held
from sidecar.git.blobs import Stored
from sidecar.git.worktree import NO_FILE
from sidecar.model.job import now

TOLD_SECONDS = 0.08
"""How soon a watched tree tells of a change."""
LATE_SECONDS = 0.5
"""When at the latest it does, on a busy machine."""
KEPT_SECONDS = 2.0
"""How long it matters that a worker could write; how late its word is still heeded."""
CLOCK_SECONDS = 0.02
"""By how much a file's time may be behind that of its change: a kernel's clock ticks every 1 to 10 ms."""
GLANCES = 12
"""Most files of one kind that are read at once."""


class Found(NamedTuple):
    """What stands at a path. `oid` None: nothing; empty: something whose content was not kept."""

    mode: str
    oid: str | None
    changed_at: float | None
    """When the file was changed last (its ctime); None where nothing is there."""

    @classmethod
    def of(cls, stored: Stored) -> Found:
        at = stored.signature.ctime_ns / 1e9 or None
        if stored.oid is None:
            return cls("", None if stored.signature.kind in NO_FILE else "", at)
        if stored.signature.kind == "link":
            return cls("120000", stored.oid, at)
        return cls("100755" if stored.signature.mode & 0o100 else "100644", stored.oid, at)

    def same_as(self, known: StoredVersion) -> bool:
        return self.oid == known.oid and (self.oid is None or self.mode == known.mode)


class Step(NamedTuple):
    """A content that followed the one before it."""

    path: str
    found: Found
    since: Since
    """Whatever was written before is in the content before it."""
    seen_at: float
    given: tuple[str, ...] | None
    """Who made it, where that is known."""


@dataclass
class Scene:
    """What the witness knows of the run that is open. Times are seconds since 1970 (UTC)."""

    history: History
    baseline: Baseline
    base: dict[str, StoredVersion] = field(default_factory=dict)
    """What the baseline holds of paths that changed."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where files come from that git takes for moved ones, by the path where they are now."""
    asked: set[str] = field(default_factory=set)
    """Paths of which it is known whether the baseline holds them."""
    windows: Windows = field(default_factory=Windows)
    looked_at: float = 0.0
    """When the whole tree was looked at last."""
    all_seen_at: float = 0.0
    """When it was last looked at with what was new in it."""
    told_at: float = 0.0
    """When the watch of the tree told of a change, the first since that look."""
    read_at: dict[str, float] = field(default_factory=dict)
    """When single paths were read last."""
    changed_at: dict[int, float] = field(default_factory=dict)
    """When the file was changed last, by the number of the version."""
    glimpses: dict[str, list[Glimpse]] = field(default_factory=dict)
    """What was read at once and is not taken into account yet, by path, the oldest first."""
    recent: dict[str, None] = field(default_factory=dict)
    """Files that were written or are about to be, the newest last; a version of them may not be recorded yet."""
    mended: dict[str, float] = field(default_factory=dict)
    """Since when a repair puts files, by path; workers are held still meanwhile."""
    saves: dict[str, float] = field(default_factory=dict)
    """When the file that a person saved last was changed, as its editor's word came, by path."""

    @contextlib.contextmanager
    def mending(self, paths: Iterable[str]) -> Iterator[None]:
        """While a repair puts these files, what is met there is nobody's, whoever looks."""
        mended = dict.fromkeys(paths, now())
        self.mended |= mended
        try:
            yield
        finally:
            for path in mended:
                self.mended.pop(path, None)

    def made(self, path: str, found: Found, writers: tuple[str, ...] | None = None) -> tuple[str, ...] | None:
        """Who made a content, where that is known without a word of anybody: nobody, where a repair puts it."""
        since = self.mended.get(path) if writers is None else None
        if since is None or (found.changed_at is not None and found.changed_at < since):
            return writers
        return ()

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

    def since(self, path: str, read_at: float = 0.0) -> Since:
        """Up to when everything that was written to a path is known; it was also read at `read_at`."""
        read = max(self.looked_at, self.read_at.get(path, 0.0), read_at)
        return Since(max(read, self.told_at - LATE_SECONDS), max(read, self.told_at - TOLD_SECONDS))

    def note_look(self, began: float, *, whole: bool) -> None:
        """All that was changed in the tree before this time is known now; `whole`: also what is new in it."""
        self.looked_at = began
        if whole:
            self.all_seen_at = began
        self.windows.forget_before(began - KEPT_SECONDS)

    def note_read(self, path: str, at: float) -> None:
        """All that was written to a path before this time is known now."""
        self.read_at[path] = max(self.read_at.get(path, 0.0), at)

    def glimpses_before(self, path: str, found: Found, began: float, ended: float) -> list[Glimpse]:
        """Takes out the glimpses that are older than what was found by a reading from `began` to `ended`.

        Those that are younger stay; where the order cannot be told the glimpse is dropped.
        """
        older: list[Glimpse] = []
        younger: list[Glimpse] = []
        at = found.changed_at
        for one in self.glimpses.pop(path, []):
            if one.ended <= began or (one.began < ended and at is not None and one.changed_at < at):
                older.append(one)
            elif one.began >= ended or (at is not None and one.changed_at > at):
                younger.append(one)
        if younger:
            self.glimpses[path] = younger
        return older

    def whose(
        self, path: str, found: Found, since: Since, later: Iterable[tuple[float | None, Since]] = (), *, latest: bool
    ) -> Writers:
        """Who can have made what was found at a path.

        Args:
            later: when the contents that came after it were changed, and what was known before each.
            latest: see `Windows.writers`.
        """
        is_new = self.base_of(path).oid is None
        after = [*later]
        read = self.read_at.get(path, 0.0)
        for one in self.glimpses.get(path, ()):
            after.append((one.changed_at, Since(read, read)))
            read = max(read, one.began)
        changed = found.changed_at
        made = [self.windows.sole(path, at, known) for at, known in after if at and changed and at > changed]
        but = [window for window in made if window is not None]
        return self.windows.writers(path, changed, since, is_new=is_new, latest=latest, but=but)

    def is_fresh(self, path: str, changed_at: float) -> bool:
        """Whether a content can be anything but the baseline's, whose blob may be another one (line ends, filters)."""
        return path in self.history.versions or changed_at > self.baseline.recorded_at

    def is_changed_after(self, path: str, found: Found) -> bool:
        """Whether a glimpse that waits for its turn shows something newer."""
        at = found.changed_at
        return at is None or any(one.changed_at > at for one in self.glimpses.get(path, ()))

    def misdated(self, found: Mapping[str, Found], began: float) -> list[str]:
        """Paths whose file's own time cannot be that of its change: later, something else was still read there.

        A file that is being cut is short before its time moves, and files keep theirs when a directory is renamed.

        Args:
            began: when the reading that found them began.
        """
        wrong = []
        for path, one in found.items():
            older = [each for each in self.glimpses.get(path, ()) if each.ended <= began]
            read = [each.began for each in older if not each.is_blob(one.oid)]
            # Looks leave out what is new while a command runs, so they say nothing of it.
            known = self.history.newest(path) or self.base.get(path)
            if known is not None and not one.same_as(known):
                read += [self.looked_at, self.read_at.get(path, 0.0)]
            elif known is None and path in self.moved:
                read += [self.all_seen_at, self.baseline.recorded_at]
            if one.changed_at is not None and one.changed_at < max(read, default=0.0) - CLOCK_SECONDS:
                wrong.append(path)
        return wrong

    def is_overtaken(self, path: str, found: Found, began: float) -> bool:
        """Whether a later reading has met a newer content than this one, which began to be read at `began`."""
        newest = self.history.newest(path)
        if newest is None or found.changed_at is None or began >= self.read_at.get(path, 0.0):
            return False
        return found.changed_at < self.changed_at.get(newest.seq, 0.0)

    def near(self, text: str) -> list[str]:
        """Files that may soon be written again, or may have just been: those of a command's text, and the last ones."""
        versions = self.history.versions
        hot = heapq.nlargest(GLANCES, versions, key=lambda path: versions[path][-1].seq)
        return list(dict.fromkeys([*likely_paths(text, GLANCES), *self.recent, *hot]))

    def note_recent(self, paths: Iterable[str]) -> None:
        """These files were just written, or are named by a worker that writes them now."""
        for path in paths:
            self.recent.pop(path, None)
            self.recent[path] = None
        for path in list(self.recent)[:-GLANCES]:
            del self.recent[path]

    def glance(self, top: Path, paths: Collection[str], *, named: bool) -> frozenset[str]:
        """Reads files now, and keeps what they hold until its turn comes; those that could be read.

        Args:
            named: a worker's own event names them, so they count although git may ignore them.
        """
        read = set()
        if named:
            self.note_recent(paths)
        for path in paths:
            if (one := glimpse(top, path)) is not None:
                self.glimpses.setdefault(path, []).append(one._replace(named=named))
                read.add(path)
        return frozenset(read)

    def late(self, window: Window) -> list[StoredVersion]:
        """Versions that a worker may have made though nobody thought of it: its words came late, and none is its own.

        They are given as what they are to be. A patch names what it wrote. A command only shows it, so nothing of what
        other workers wrote is doubted for it, nor what an editor said that a person saved. Where a version may be its
        own or another worker's, what a person is said to have written in its time before is doubted still.
        """
        amended: list[StoredVersion] = []
        for path in window.paths if window.paths is not None else filter(window.shows, self.history.versions):
            near: list[StoredVersion] = []
            for one in self.history.versions.get(path, []):
                at = self.changed_at.get(one.seq, one.at)
                if window.job_id in one.writers and at >= window.begin - SLACK_SECONDS:
                    near = [] if len(one.writers) == 1 else [each for each in near if self._is_doubtful(each, window)]
                    break
                if window.paths is not None:
                    could = bool(one.writers) and window.holds(at, KEPT_SECONDS)
                else:
                    could = one.writers == (USER,) and self.saves.get(path) != at and window.holds(at, LATE_SECONDS)
                if could and window.job_id not in one.writers:
                    near.append(one)
            amended += [
                msgspec.structs.replace(one, writers=(*one.writers, window.job_id), attribution="ambiguous")
                for one in near
            ]
        return amended

    def _is_doubtful(self, one: StoredVersion, window: Window) -> bool:
        """Whether a version may be a person's only because it was not known yet that this worker wrote then."""
        at = self.changed_at.get(one.seq, one.at)
        return USER in one.writers and self.saves.get(one.path) != at and window.holds(at, SLACK_SECONDS)
