"""What a person merges by hand: for each of two workers its own edits, with all else that stands in the file.

A merge that knew the two workers alone would drop what a person saved, what a later worker built on, or what an
earlier merge by hand made. So whatever stands in the file and touches neither worker's edits is in both sides; what
somebody outside the conflict did on top of one worker's edits is in that worker's side. A merge of the two sides then
holds everything, and shows a conflict where something cannot stand beside it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from sidecar.a2 import lines
from sidecar.a2.losses import copied_from
from sidecar.a2.versions import Chain
from sidecar.a2.weave import Weave

COPIES = 8
"""How many of the newest contents are tried as what somebody outside the conflict started from."""


class Piece(NamedTuple):
    """Lines [start, end) of some ground become `texts`; from 0."""

    start: int
    end: int
    texts: tuple[bytes, ...]

    def collides(self, other: Piece) -> bool:
        """Whether both cannot stand, as git sees it: they overlap or touch, and are not the same."""
        return self != other and self.start <= other.end and other.start <= self.end

    def free_of(self, others: Iterable[Piece]) -> bool:
        return not any(self.collides(other) for other in others)


def two_sides(weave: Weave, pair: tuple[str, str], waiting: Collection[str]) -> list[bytes | None]:
    """The two contents that a person merges; None for a worker that removed the file.

    Args:
        weave: of the whole chain of the file.
        pair: the job ids of the two workers.
        waiting: the conflict's other workers, with whom the result is merged later; their edits that touch those of
            the two are left to that merge.
    """
    sides = _alone(weave, pair)
    here = _here(weave.chain)
    for before, done in _outside(weave.chain, {*pair, *waiting}):
        # What took lines away that stand in the file again was undone since.
        _fold(sides, before, [piece for piece in done if here.isdisjoint(before[piece.start : piece.end])])
        _house(sides, before, done, here)
    # Rare: a line that its own writer had removed, and another brought back.
    ground, disk = [lines.split(version.content) for version in (weave.chain.baseline, weave.chain.newest)]
    late = {line for job_id in waiting for line in lines.split(weave.content(weave.versions_of({job_id})))}
    _house(sides, ground, _difference(ground, disk), here - late)
    return [None if side is None else _joined(side) for side in sides]


def side_for_file(weave: Weave, job_id: str, others: Collection[str], until: int) -> bytes | None:
    """What is merged with the file as it is: one worker's own edits, with what the file holds beside them.

    Nothing comes back that the file does not hold, but what is the worker's own. None where it removed the file.

    Args:
        others: the conflict's other workers.
        until: the version (its `seq`) that the first merge by hand began with. What was done since to this worker's
            lines was done by whoever had not merged them yet.
    """
    sides = _alone(weave, (job_id,))
    here, disk = _here(weave.chain), set(lines.split(weave.chain.newest.content))
    earlier = Chain(weave.chain.path, tuple(version for version in weave.chain.versions if version.seq <= until))
    for before, done in _outside(earlier, {job_id, *others}):
        stands = [piece for piece in done if all(text in disk for text in piece.texts if lines.telling(text))]
        _fold(sides, before, [piece for piece in stands if here.isdisjoint(before[piece.start : piece.end])])
    return None if sides[0] is None else _joined(sides[0])


def _alone(weave: Weave, job_ids: Sequence[str]) -> list[list[bytes] | None]:
    """Each worker's own edits, with what stands in the file and touches the edits of none of them."""
    ground = lines.split(weave.chain.baseline.content)
    own = [weave.versions_of({job_id}) for job_id in job_ids]
    edits = [_pieces(weave, versions) for versions in own]
    theirs = [piece for mine in edits for piece in mine]
    file = _pieces(weave, range(len(weave.chain.versions)))
    free = [piece for piece in file if piece not in theirs and piece.free_of(theirs)]
    return [
        None if weave.content(versions) is None else _applied(ground, [*mine, *free])
        for versions, mine in zip(own, edits, strict=True)
    ]


def _here(chain: Chain) -> set[bytes]:
    """The lines of the file that say something and are not the baseline's."""
    telling = {line for line in lines.split(chain.newest.content) if lines.telling(line)}
    return telling.difference(lines.split(chain.baseline.content))


def _outside(chain: Chain, inside: Collection[str]) -> Iterator[tuple[list[bytes], list[Piece]]]:
    """What was done by nobody of `inside`, oldest first: what it was done to, and what became of that."""
    for index, version in enumerate(chain.versions):
        if index and not any(writer in inside for writer in version.writers):
            after = lines.split(version.content)
            before = _source(chain, index, after)
            yield before, _difference(before, after)


def _fold(sides: list[list[bytes] | None], before: list[bytes], done: Sequence[Piece]) -> None:
    """Does to each side what somebody did to `before`, where that does not touch the side's own edits."""
    for number, side in enumerate(sides):
        if side is not None:
            own = _difference(before, side)
            sides[number] = _applied(before, [*own, *(piece for piece in done if piece.free_of(own))])


def _house(sides: list[list[bytes] | None], before: list[bytes], done: Sequence[Piece], here: set[bytes]) -> None:
    """Puts what has found no place on either side, and stands in the file, beside the second side's own.

    A conflict with the first side is better than a loss.
    """
    homeless = here.difference(*(side or () for side in sides))
    left = [
        Piece(piece.start, piece.end, tuple(text for text in piece.texts if text in homeless))
        for piece in done
        if not homeless.isdisjoint(piece.texts)
    ]
    if left:
        last = sides[-1]
        own = [] if last is None else _difference(before, last)
        sides[-1] = _applied([] if last is None else before, _beside(before, own, left))


def _beside(ground: Sequence[bytes], own: Sequence[Piece], more: Sequence[Piece]) -> list[Piece]:
    """All pieces; where some collide, the texts of `own` are followed by those of `more`."""
    groups: list[list[Piece]] = []
    end = -1
    for piece in sorted([*own, *more]):
        if piece.start > end:
            groups.append([])
        groups[-1].append(piece)
        end = max(end, piece.end)
    found = []
    for group in groups:
        start, end = group[0].start, max(piece.end for piece in group)
        mine = [Piece(one.start - start, one.end - start, one.texts) for one in group if one in own]
        theirs = [text for piece in group if piece not in own for text in piece.texts]
        texts = [*_applied(ground[start:end], mine), *theirs] if mine else theirs
        found.append(Piece(start, end, tuple(texts)))
    return found


def _source(chain: Chain, index: int, after: list[bytes]) -> list[bytes]:
    """What a version was made from: the content before it, or an older one that its writer still had open."""
    version, newest = chain.versions[index], index - 1
    sources = {newest: lines.split(chain.versions[newest].content)}
    if version.content is None or not version.writers:
        return sources[newest]
    last = max(
        (n for n in range(1, index) if not set(version.writers).isdisjoint(chain.versions[n].writers)), default=0
    )
    for older in {0, last, *range(max(last, newest - COPIES), newest)}:
        content = chain.versions[older].content
        if content is not None:
            sources[older] = lines.split(content)
    return sources[copied_from(sources, newest, after)]


def _joined(texts: Sequence[bytes]) -> bytes:
    """One content; the last line of another content may stand in the middle of it."""
    whole = [text if text.endswith(b"\n") else text + b"\n" for text in texts[:-1]]
    return b"".join([*whole, *texts[-1:]])


def _pieces(weave: Weave, versions: Iterable[int]) -> list[Piece]:
    return [Piece(edit.start, edit.end, edit.texts) for edit in weave.edits(set(versions), ())]


def _difference(old: Sequence[bytes], new: Sequence[bytes]) -> list[Piece]:
    return [
        Piece(hunk.old_start, hunk.old_end, tuple(new[hunk.new_start : hunk.new_end]))
        for hunk in lines.diff(old, new).hunks
    ]


def _applied(ground: Sequence[bytes], pieces: Iterable[Piece]) -> list[bytes]:
    """The ground with pieces that do not collide."""
    found: list[bytes] = []
    at = 0
    for piece in sorted(set(pieces)):
        found += [*ground[at : piece.start], *piece.texts]
        at = piece.end
    return [*found, *ground[at:]]
