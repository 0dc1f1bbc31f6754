"""When one write throws away what others had changed, and when that was made good.

The usual way to lose an edit: a worker reads a file, another changes it, and the first writes its old copy back with
its own edit. Such a write is recognised, so that only its own edit counts as the writer's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sidecar.a2 import lines
from sidecar.a2.strands import Change, Line, Owner


@dataclass(frozen=True, slots=True)
class Taken:
    """What one change took from one owner.

    `lines` were the owner's and are gone; or, where `put_back`, the owner had removed them and they are there again.
    """

    change: Change
    loser: Owner
    lines: list[Line]
    put_back: bool


def copied_from(sources: Mapping[int, list[bytes]], newest: int, texts: list[bytes]) -> int:
    """Which of the contents a new one was made from: the newest, unless an older one explains it with less.

    An older one does only if the new content shows nothing of what happened since: a copy neither holds nor lacks what
    its writer had not read.
    """
    best, least = newest, lines.diff(sources[newest], texts).size
    for index in sorted(sources, reverse=True):
        if index == newest:
            continue
        own = lines.diff(sources[index], texts)
        if own.size < least and not _shows(sources[index], texts, own, sources[newest]):
            best, least = index, own.size
    return best


def _shows(old: Sequence[bytes], new: Sequence[bytes], own: lines.Diff, newest: Sequence[bytes]) -> bool:
    """Whether the edits from `old` to `new` repeat something of those from `old` to `newest`."""
    since = lines.diff(old, newest).hunks
    known = set(old)
    came = {line for hunk in since for line in newest[hunk.new_start : hunk.new_end] if lines.telling(line)} - known
    if any(line in came for hunk in own.hunks for line in new[hunk.new_start : hunk.new_end]):
        return True
    # Lines that say nothing, or stood there before, prove something only at the same place.
    first = 0
    for hunk in own.hunks:
        while first < len(since) and since[first].old_end < hunk.old_start:
            first += 1
        for other in since[first:]:
            if other.old_start > hunk.old_end:
                break
            added = set(new[hunk.new_start : hunk.new_end])
            if not added.isdisjoint(newest[other.new_start : other.new_end]):
                return True
            if not added and hunk.old_start < other.old_end and other.old_start < hunk.old_end:
                return True
    return False


def taken(taker: Owner, changes: Sequence[Change], owner_of: Callable[[int], Owner]) -> list[Taken]:
    """What the changes of one version took from others.

    Only lines that say something count: a blank line that comes or goes is nobody's loss. Lines in whose place the
    taker wrote something else are no loss either, but an overlapping edit.

    Args:
        owner_of: whose a version is, by its number.
    """
    if not taker.writers:
        return []
    found: list[Taken] = []
    undone: dict[int, tuple[Change, Change]] = {}
    for change in changes:
        for line in change.revived:
            if line.killed is not None and all(other.alive for other in line.killed.removed):
                undone.setdefault(id(line.killed), (line.killed, change))
    for killed, change in undone.values():
        loser = owner_of(killed.version)
        own = all(_meet(line.owner, taker) for line in killed.removed)
        telling = any(line.telling for line in killed.removed) or not change.crowded
        if loser.writers and telling and not own and not _meet(loser, taker):
            found.append(Taken(change, loser, killed.removed, True))
    for change in changes:
        if change.crowded:
            continue
        dropped: dict[Owner, list[Line]] = defaultdict(list)
        for line in change.removed:
            if id(line.born) not in undone:
                dropped[line.owner].append(line)
        for loser, lost in dropped.items():
            if loser.writers and not _meet(loser, taker) and any(line.telling for line in lost):
                found.append(Taken(change, loser, lost, False))
    return found


def made_good(loss: Taken, place: Sequence[Line], woven: Sequence[Line], later: Collection[int]) -> bool:
    """Whether the loser wrote at that place again, or what it had written is there again.

    Args:
        place: the lines of the weave where it was lost.
        woven: all lines of the weave.
        later: the loser's versions since.
    """
    if any(line.version in later or any(mark in later for mark, _ in line.marks) for line in place):
        return True
    if loss.put_back:
        return not all(line.alive for line in loss.lines)
    since = loss.change.version
    there = {line.text for line in woven if line.alive and (line.version >= since or _meet(line.owner, loss.loser))}
    return all(line.alive or line.text in there for line in loss.lines)


def _meet(one: Owner, other: Owner) -> bool:
    return not set(one.writers).isdisjoint(other.writers)
