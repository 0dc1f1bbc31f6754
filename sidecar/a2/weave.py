"""All lines that a file ever had, in one order, each with who brought it, who removed it and who put it back.

From this one structure come the owners of the newest lines, what a single worker did to the file (also where its
edits and another's lie on top of each other), and which of its lines somebody else's write threw away. A line is never
moved inside the weave and never forgotten, so two workers' edits can be compared on the ground that neither made.

Nothing is guessed: a line whose writer is not certain is owned by nobody.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection

from sidecar.a2 import lines
from sidecar.a2.losses import Taken, copied_from, made_good, taken
from sidecar.a2.strands import BASELINE, UNKNOWN, Change, Edit, Line, Loss, Owner, Places
from sidecar.a2.versions import Chain, Version

COPIES = 8
"""How many of the newest contents are tried as what a write was made from; each try is a diff of the file."""


class Weave:
    """The woven versions of a chain. It only grows; `follow` takes up a chain that became longer."""

    def __init__(self, chain: Chain) -> None:
        """A binary content is taken as one line: it is replaced whole or not at all."""
        self.chain = Chain(chain.path, chain.versions[:1])
        self.binary = chain.binary
        self.exact = True
        """False once two contents were too large to compare: edits are then larger than what was really changed."""
        self._lines = [Line(text, 0, BASELINE) for text in self._split(chain.baseline)]
        self._taken: list[Taken] = []
        self._changed_lines: list[int] | None = None
        self._known_places: Places | None = None
        for version in chain.versions[1:]:
            self._add(version)

    def follow(self, chain: Chain) -> Weave:
        """A weave of this chain: the same one, grown, where the chain goes on from the versions woven so far."""
        known = len(self.chain.versions)
        if chain.path != self.chain.path or chain.versions[:known] != self.chain.versions:
            return Weave(chain)
        if not self.binary and any(version.binary for version in chain.versions[known:]):
            return Weave(chain)
        for version in chain.versions[known:]:
            self._add(version)
        return self

    def owners(self) -> list[Owner]:
        """Whom each line of the newest content belongs to, in order."""
        return [line.owner for line in self._lines if line.alive]

    def versions_of(self, writers: Collection[str], *, without: Collection[str] = ()) -> set[int]:
        """Versions that one of `writers` made or may have made, and none of `without`."""
        return {
            index
            for index, version in enumerate(self.chain.versions)
            if index
            and any(writer in writers for writer in version.writers)
            and not any(writer in without for writer in version.writers)
        }

    def content(self, versions: Collection[int]) -> bytes | None:
        """The baseline with these versions' changes alone; None where the last of them left no file."""
        included = {0, *versions}
        if self.chain.versions[max(included)].content is None:
            return None
        return b"".join(line.text for line in self._lines if line.visible(included))

    def edits(self, side: Collection[int], ground: Collection[int]) -> list[Edit]:
        """What the versions of `side` do to the content that the versions of `ground` alone give."""
        ground_ = {0, *ground}
        both = {*ground_, *side}
        found: list[Edit] = []
        places, changed = self._places(), self._changed()
        at = start = 0
        removed: list[bytes] = []
        texts: list[bytes] = []
        span: list[int] = []

        def close() -> None:
            if removed != texts:
                found.append(Edit(start, at, tuple(texts), places.within(span[0], span[-1])))
            for part in (removed, texts, span):
                part.clear()

        following = 0
        for index in changed:
            if index > following:
                # The baseline's lines that nobody changed are there on both sides.
                if span:
                    close()
                at += index - following
                start = at
            following = index + 1
            line = self._lines[index]
            below, above = line.visible(ground_), line.visible(both)
            if below and above:
                if span:
                    close()
                at += 1
                start = at
            elif below or above:
                span.append(index)
                if below:
                    removed.append(line.text)
                    at += 1
                else:
                    texts.append(line.text)
        if span:
            close()
        return found

    def _changed(self) -> list[int]:
        """Indices of the lines that are not the baseline's or were removed once; kept until the weave grows."""
        if self._changed_lines is None:
            self._changed_lines = [n for n, line in enumerate(self._lines) if line.version or line.marks]
        return self._changed_lines

    def _places(self) -> Places:
        """Kept until the weave grows."""
        if self._known_places is None:
            self._known_places = Places(self._lines)
        return self._known_places

    def losses(self) -> list[Loss]:
        """Where a write threw away what others had changed, unless that was made good since."""
        order = {id(line): index for index, line in enumerate(self._lines)}
        places = self._places()
        found = []
        for loss in self._taken:
            later = {index for index in self.versions_of(loss.loser.writers) if index > loss.change.version}
            if made_good(loss, self._between(loss.change, order), self._lines, later):
                continue
            indices = [order[id(line)] for line in loss.lines]
            takers = self.chain.versions[loss.change.version].writers
            found.append(Loss(loss.loser.writers, takers, places.within(min(indices), max(indices))))
        return found

    def _between(self, change: Change, order: dict[int, int]) -> list[Line]:
        """All lines of the place where something was changed."""
        first = order[id(change.before)] if change.before else -1
        last = order[id(change.after)] if change.after else len(self._lines)
        return self._lines[first + 1 : last]

    def _split(self, version: Version) -> list[bytes]:
        if self.binary:
            return [version.content] if version.content else []
        return lines.split(version.content)

    def _add(self, version: Version) -> None:
        """Weaves one more version in."""
        self._changed_lines = self._known_places = None
        number = len(self.chain.versions)
        texts = self._split(version)
        start = number - 1
        lost_file = self.chain.newest.content is None or version.content is None
        if version.content is not None:
            start = copied_from(self._sources(version, texts), start, texts)
        self.chain = self.chain.with_version(version)
        back = self._back_to(start, number) if start < number - 1 else []
        places = [index for index, line in enumerate(self._lines) if line.alive]
        found = lines.diff([self._lines[index].text for index in places], texts)
        self.exact = self.exact and found.exact
        owner = self._owner(number)
        changes: list[Change] = []
        for hunk in reversed(found.hunks):
            low = places[hunk.old_start - 1] + 1 if hunk.old_start else 0
            high = places[hunk.old_end] if hunk.old_end < len(places) else len(self._lines)
            changes += self._weave(number, owner, low, high, texts[hunk.new_start : hunk.new_end])
        if back:
            self._join(back, changes)
        self._settle(number, back + changes)
        if not lost_file:
            self._taken += taken(owner, back + changes, self._owner)

    def _sources(self, version: Version, texts: list[bytes]) -> dict[int, list[bytes]]:
        """The contents that a version may have been made from: what its writers can have read and not seen change.

        That is the newest one and, where others wrote last, those back to the writers' own last one, and the baseline;
        but none that lacks a line which came since and stands in the version.
        """
        newest = len(self.chain.versions) - 1
        first = max(self.versions_of(version.writers), default=0)
        found = {newest: self._split(self.chain.newest)}
        if first == newest:
            return found
        here = set(texts)
        since = [line for line in self._lines if line.alive and line.version and line.telling and line.text in here]
        for index in {0, first, *range(max(first, newest - COPIES), newest)}:
            if self.chain.versions[index].content is None:
                continue
            content = self._split(self.chain.versions[index])
            known = set(content)
            if all(line.version <= index or line.text in known for line in since):
                found[index] = content
        return found

    def _back_to(self, start: int, number: int) -> list[Change]:
        """Brings the lines of an earlier version to life again, as a write that was made from it did."""
        then = range(start + 1)
        changes: list[Change] = []
        change: Change | None = None
        before: Line | None = None
        for line in self._lines:
            was = line.visible(then)
            if was and line.alive:
                if change is not None:
                    change.after = line
                before, change = line, None
            elif was or line.alive:
                if change is None:
                    change = Change(number, before, None)
                    changes.append(change)
                (change.revived if was else change.removed).append(line)
                line.alive = was
        return changes

    def _join(self, back: list[Change], changes: list[Change]) -> None:
        """Takes the steps back and the writer's own edits together: a line that went both ways has not moved."""
        dead = {id(line) for change in back for line in change.removed}
        again = {id(line) for change in changes for line in change.revived} & dead
        gone = {id(line) for change in changes for line in change.removed}
        order = {id(line): index for index, line in enumerate(self._lines)}
        for change in back:
            change.removed = [line for line in change.removed if id(line) not in again]
            change.revived = [line for line in change.revived if id(line) not in gone]
            own = [line for line in self._between(change, order) if line.version == change.version]
            change.crowded = any(line.telling for line in own)
        for change in changes:
            for line in change.revived:
                line.alive = True
            change.revived = [line for line in change.revived if id(line) not in again]

    def _weave(self, number: int, owner: Owner, low: int, high: int, texts: list[bytes]) -> list[Change]:
        """Makes `texts` of the lines from index `low` to `high`; lines that were there before come to life again."""
        part = self._lines[low:high]
        before = self._lines[low - 1] if low else None
        after = self._lines[high] if high < len(self._lines) else None
        woven: list[Line] = []
        changes: list[Change] = []
        at = 0
        for old_start, old_end, new_start, new_end in self._matches(part, texts):
            change = Change(number, before, after)
            kept, gone = part[old_start:old_end], part[at:old_start]
            change.removed = [line for line in gone if line.alive]
            # `new_start` to `new_end` is what is new before the lines that are kept.
            change.fresh = [Line(text, number, owner, born=change) for text in texts[new_start:new_end]]
            change.revived = [line for line in kept if not line.alive]
            change.crowded = any(line.telling for line in change.fresh)
            woven += [*gone, *change.fresh, *kept]
            at = old_end
            changes.append(change)
        self._lines[low:high] = woven
        return changes

    def _matches(self, part: list[Line], texts: list[bytes]) -> list[tuple[int, int, int, int]]:
        """Runs of lines of the weave that `texts` repeats, each with the new texts before it; the last run is empty."""
        found = lines.diff([line.text for line in part], texts).hunks
        runs: list[tuple[int, int, int, int]] = []
        old = new = fresh = 0
        for hunk in (*found, lines.Hunk(len(part), len(part), len(texts), len(texts))):
            run = part[old : hunk.old_start]
            whole = len(run) == len(texts)
            if run and (whole or any(line.telling for line in run)):
                runs.append((old, hunk.old_start, fresh, new))
                fresh = hunk.new_start
            old, new = hunk.old_end, hunk.new_end
        runs.append((len(part), len(part), fresh, len(texts)))
        return runs

    def _settle(self, number: int, changes: list[Change]) -> None:
        """Marks what was removed and put back, and gives lines that were only moved to their old owner."""
        for change in changes:
            for line in change.removed:
                line.alive = False
                line.marks.append((number, False))
                line.killed = change
            for line in change.revived:
                line.alive = True
                line.marks.append((number, True))
        self._cover(number, changes)
        gone = Counter(line.text for change in changes for line in change.removed)
        fresh = Counter(line.text for change in changes for line in change.fresh)
        former: dict[bytes, set[Owner]] = defaultdict(set)
        for change in changes:
            for line in change.removed:
                former[line.text].add(line.owner)
        for change in changes:
            for line in change.fresh:
                if fresh[line.text] <= gone[line.text]:
                    line.owner, *others = former[line.text]
                    if others:
                        line.owner = UNKNOWN

    def _cover(self, number: int, changes: list[Change]) -> None:
        """Whoever removes all that another put in the place of some lines has replaced those lines as well."""
        open_ = [line.born for change in changes for line in change.removed if line.born is not None]
        seen: set[int] = set()
        while open_:
            born = open_.pop()
            if id(born) in seen or any(line.alive for line in born.fresh):
                continue
            seen.add(id(born))
            for line in born.removed:
                if line.alive:
                    continue
                if line.marks[-1] != (number, False):
                    line.marks.append((number, False))
                if line.born is not None:
                    open_.append(line.born)

    def _owner(self, number: int) -> Owner:
        version = self.chain.versions[number]
        return Owner(version.writers, version.writer is not None)


def reconstruct(chain: Chain, writer: str) -> bytes | None:
    """The baseline with only this writer's own edits, as it left them; None where it left no file.

    Versions that are not certainly its own do not count. A writer that edited what another had written before it is
    given its own lines only, in the place of what they replaced.
    """
    weave = Weave(chain)
    return weave.content({index for index, version in enumerate(chain.versions) if version.writer == writer})
