"""Lines, their owners, and one worker's edits taken alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.a2 import lines
from sidecar.a2.losses import copied_from
from sidecar.a2.strands import BASELINE, UNKNOWN, Edit, Owner
from sidecar.a2.versions import USER, Chain, Version
from sidecar.a2.weave import Weave, reconstruct

WRITERS = ["j1", "j2", "j3", USER]


def chain(*steps: tuple[str, bytes | None]) -> Chain:
    """A chain of contents; `j1` wrote it, `j1+j2` is one of them, `?` nobody known, `j1!` only reported."""
    versions = []
    for seq, (who, content) in enumerate(steps):
        writers = tuple(name for name in who.rstrip("!").split("+") if name not in ("", "?"))
        attribution = "ambiguous" if "+" in who else "reported" if "!" in who else "seen"
        versions.append(Version(str(seq), content, writers if seq else (), attribution, seq))
    return Chain("f", tuple(versions))


def text(*words: str) -> bytes:
    return "".join(f"{word}\n" for word in words).encode()


def owners(*steps: tuple[str, bytes | None]) -> list[str]:
    """Owners as short words: `.` the baseline, `j1`, `j1|j2`, `?`."""
    found = Weave(chain(*steps)).owners()
    return [
        owner.writer or ("." if owner == BASELINE else "?" if owner == UNKNOWN else "|".join(owner.writers))
        for owner in found
    ]


# Lines and hunks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, []),
        (b"", []),
        (b"\n", [b"\n"]),
        (b"a", [b"a"]),
        (b"a\n", [b"a\n"]),
        (b"a\r\nb", [b"a\r\n", b"b"]),
        (b"a\x0cb\x0b\x1c\xe2\x80\xa8c\rd\n\n", [b"a\x0cb\x0b\x1c\xe2\x80\xa8c\rd\n", b"\n"]),
    ],
)
def test_lines_end_at_newlines_only(content: bytes | None, expected: list[bytes]) -> None:
    assert lines.split(content) == expected


@given(st.binary(max_size=60))
def test_split_loses_nothing(content: bytes) -> None:
    assert b"".join(lines.split(content)) == content


_SOME_LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"d"]), max_size=25)


@given(_SOME_LINES, _SOME_LINES)
def test_hunks_turn_the_old_lines_into_the_new_ones(old: list[bytes], new: list[bytes]) -> None:
    found = lines.diff(old, new)
    assert found.exact
    assert lines.apply(old, new, found.hunks) == new
    for one, other in zip(found.hunks, found.hunks[1:], strict=False):
        assert one.old_end < other.old_start
        assert one.new_end < other.new_start
        assert other.old_start - one.old_end == other.new_start - one.new_end


def test_lines_that_stand_everywhere_are_compared_as_well() -> None:
    old = [line for n in range(110) for line in (b"old %d\n" % n, b"}\n")]
    new = [line for n in range(110) for line in (b"new %d\n" % n, b"}\n")]
    assert len(lines.diff(old, new).hunks) == 110


def test_a_large_file_is_compared_at_its_unique_lines() -> None:
    old = [b"%d\n" % (number // 2 if number % 2 else number + 100_000) for number in range(20_000)]
    new = [*old[:3], b"x\n", *old[4:9_000], b"y\n", *old[9_000:19_990], *old[19_995:]]
    found = lines.diff(old, new)
    assert found.exact
    assert [(h.old_start, h.old_end, h.new_start, h.new_end) for h in found.hunks] == [
        (3, 4, 3, 4),
        (9_000, 9_000, 9_000, 9_001),
        (19_990, 19_995, 19_991, 19_991),
    ]


def test_what_is_too_large_to_compare_is_one_hunk_and_says_so() -> None:
    old = [b"a\n", b"b\n"] * 5_000
    new = [b"first\n", *[b"b\n", b"a\n"] * 5_000, b"last\n"]
    found = lines.diff(old, new)
    assert not found.exact
    assert lines.apply(old, new, found.hunks) == new
    weave = Weave(chain(("", b"".join(old)), ("j1", b"".join(new))))
    named = [owner.writer for owner in weave.owners()]
    assert named[0] == named[-1] == "j1"
    assert set(named[1:-1]) == {None}, "no line that stood there before may be laid at the worker's door"
    assert not weave.exact


# Owners ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("", text("a", "b"))], [".", "."]),
        ([("", None), ("j1", text("a"))], ["j1"]),
        ([("", text("a", "b", "c")), ("j1", text("a", "B", "c")), ("j2", text("a", "B", "c", "d"))], ". j1 . j2"),
        ([("", b"a\nb"), ("j1", b"a\nb\nc")], ". j1 j1"),  # Without its newline the last line is another line.
        ([("", b"a\r\nb\r\n"), ("j1", b"a\nb\r\n")], "j1 ."),
        ([("", text("a")), ("j1+j2", text("a", "x")), ("j1", text("a", "x", "y"))], ". j1|j2 j1"),
        ([("", text("a")), ("j1!", text("a", "x"))], ". j1"),
        ([("", text("a")), ("?", text("a", "x"))], ". ?"),
        ([("", text("a")), (USER, text("a", "x"))], f". {USER}"),
        ([("", text("a", "b")), ("j1", text("A", "b")), ("j2", text("a", "b"))], ". ."),
        ([("", text("a", "b", "c", "d")), ("j1", text("b", "c", "d", "a"))], ". . . ."),  # Moved, not written.
        ([("", text("a", "b", "c")), ("j1", text("a", "N", "b", "c")), ("j2", text("a", "b", "c", "N"))], ". . . j1"),
        ([("", text("a", "b")), ("j1", text("A", "b")), ("j2", None), ("j1", text("A", "b"))], "j1 ."),
        ([("", b"\0a"), ("j1", b"\0b\nc")], "j1"),
    ],
)
def test_who_owns_a_line(steps: list[tuple[str, bytes | None]], expected: str | list[str]) -> None:
    assert owners(*steps) == (expected.split() if isinstance(expected, str) else expected)


def test_a_reported_version_makes_nobody_the_certain_owner() -> None:
    assert Weave(chain(("", b""), ("j1!", b"x\n"))).owners() == [Owner(("j1",), False)]


# Owners, against a model of who wrote what ---------------------------------------------------------

_WHO = st.sampled_from(WRITERS)


@dataclass(frozen=True)
class Step:
    """One write: `size` lines at `at` (a share of the file) are replaced by `count` new ones, or what `kind` says."""

    who: str
    kind: str
    at: float
    size: int
    count: int
    doubt: bool


_STEPS = st.lists(
    st.builds(
        Step,
        _WHO,
        st.sampled_from(["replace", "replace", "replace", "move", "restore"]),
        st.floats(0, 1),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=12,
)


def play(base: list[bytes], steps: list[Step], new_text: Callable[[int], bytes]) -> tuple[Chain, list[list[bytes]]]:
    """The chain that the steps leave, and the lines of each version."""
    history = [base]
    versions = [Version("0", b"".join(base))]
    made = 0
    for number, step in enumerate(steps, 1):
        now = list(history[-1])
        at = int(step.at * len(now))
        if step.kind == "restore":
            now = list(history[int(step.at * (len(history) - 1))])
        elif step.kind == "move":
            part = now[at : at + step.size]
            del now[at : at + step.size]
            now[len(now) // 2 : len(now) // 2] = part
        else:
            now[at : at + step.size] = [new_text(made + index) for index in range(step.count)]
            made += step.count
        history.append(now)
        writers = ("j1", "j2") if step.doubt else (step.who,)
        attribution = "ambiguous" if step.doubt else "seen"
        versions.append(Version(str(number), b"".join(now), writers, attribution, number))
    return Chain("f", tuple(versions)), history


@given(st.integers(0, 8), _STEPS)
def test_each_line_belongs_to_whoever_brought_it(size: int, steps: list[Step]) -> None:
    """Every text is written once in this world, so the truth is known for each line."""
    steps = [step for step in steps if step.kind != "restore"]
    found, history = play([b"base %d\n" % n for n in range(size)], steps, lambda number: b"new %d\n" % number)
    truth: dict[bytes, Owner] = dict.fromkeys(history[0], BASELINE)
    for version, now in zip(found.versions, history, strict=True):
        for line in now:
            truth.setdefault(line, Owner(version.writers, version.writer is not None))
    assert Weave(found).owners() == [truth[line] for line in history[-1]]


@given(
    st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"}\n"]), max_size=10),
    _STEPS,
    st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"}\n", b"c\n"]), min_size=36, max_size=36),
)
def test_nobody_is_named_for_a_line_that_was_not_its_own(
    base: list[bytes], steps: list[Step], texts: list[bytes]
) -> None:
    """Equal lines cannot be told apart, but a worker that never brought such a line must not be named for one."""
    found, history = play(base, steps, lambda number: texts[number])
    brought: dict[bytes, set[str]] = defaultdict(set)
    for version, before, after in zip(found.versions[1:], history, history[1:], strict=False):
        for line, count in (Counter(after) - Counter(before)).items():
            if count and version.writer:
                brought[line].add(version.writer)
    for line, owner in zip(history[-1], Weave(found).owners(), strict=True):
        assert owner.writer is None or owner.writer in brought[line]


@given(st.integers(0, 8), _STEPS, st.integers(0, 12))
def test_a_weave_that_grew_equals_one_made_at_once(size: int, steps: list[Step], cut: int) -> None:
    found, history = play([b"base %d\n" % n for n in range(size)], steps, lambda number: b"new %d\n" % number)
    grown = Weave(Chain("f", found.versions[: cut + 1])).follow(found)
    whole = Weave(found)
    everything = set(range(len(found.versions)))
    assert grown.owners() == whole.owners()
    assert grown.losses() == whole.losses()
    assert grown.content(everything) == whole.content(everything) == b"".join(history[-1])


_TEXTS = st.text("abcd}", max_size=6)


@given(_TEXTS, st.lists(st.tuples(st.sampled_from(["j1", "j2"]), _TEXTS), max_size=5))
@example("aab", [("j1", "aaa"), ("j2", "}a"), ("j1", "aa}"), ("j1", "")])
def test_all_versions_together_give_the_newest(base: str, writes: list[tuple[str, str]]) -> None:
    weave = Weave(chain(("", text(*base)), *((who, text(*words)) for who, words in writes)))
    newest = weave.chain.newest.content
    assert weave.content(range(len(weave.chain.versions))) == newest
    assert len(weave.owners()) == len(lines.split(newest))


def test_a_weave_follows_no_other_chain() -> None:
    weave = Weave(chain(("", b"a\n"), ("j1", b"b\n")))
    other = chain(("", b"a\n"), ("j2", b"c\n"))
    assert weave.follow(other).owners() == [Owner(("j2",))]
    binary = chain(("", b"a\n"), ("j1", b"b\n"), ("j2", b"\0b\n"))
    assert weave.follow(binary).binary


# One worker's edits alone --------------------------------------------------------------------------


@dataclass(frozen=True)
class Region:
    """Lines of the baseline that one worker alone changes, in one or two writes."""

    who: str
    gap: int
    size: int
    first: int
    second: int | None


_REGIONS = st.lists(
    st.builds(
        Region,
        st.sampled_from(WRITERS[:3]),
        st.integers(1, 3),
        st.integers(0, 3),
        st.integers(0, 3),
        st.none() | st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
)


def laid_out(regions: list[Region], head: Sequence[bytes] = ()) -> tuple[list[bytes], list[tuple[int, int]]]:
    """A baseline in which the regions lie with lines between them that nobody touches, and where they lie."""
    base = list(head)
    places = []
    for region in regions:
        base += [b"quiet %d\n" % (len(base) + n) for n in range(region.gap)]
        places.append((len(base), len(base) + region.size))
        base += [b"old %d\n" % (len(base) + n) for n in range(region.size)]
    return [*base, b"quiet end\n"], places


def composed(base: list[bytes], places: list[tuple[int, int]], state: list[list[bytes] | None]) -> bytes:
    """The baseline with the regions that have a state replaced by it."""
    out = list(base)
    for (start, end), new in reversed(list(zip(places, state, strict=True))):
        if new is not None:
            out[start:end] = new
    return b"".join(out)


@given(_REGIONS, st.randoms(use_true_random=False))
def test_disjoint_edits_come_apart_again(regions: list[Region], random: Random) -> None:
    """Several workers write into one file in turns; each one's version is the baseline and its own edits."""
    base, places = laid_out(regions)
    state: list[list[bytes] | None] = [None] * len(regions)
    writes = [(index, write) for index, region in enumerate(regions) for write in (region.first, region.second)]
    random.shuffle(writes)
    steps: list[tuple[str, bytes | None]] = [("", b"".join(base))]
    for turn, (index, count) in enumerate(writes):
        if count is not None:
            state[index] = [b"new %d %d\n" % (turn, n) for n in range(count)]
            steps.append((regions[index].who, composed(base, places, state)))
    for who in WRITERS[:3]:
        own = [new if region.who == who else None for region, new in zip(regions, state, strict=True)]
        assert reconstruct(chain(*steps), who) == composed(base, places, own)


COMMON = [b"\n", b"}\n", b"return\n"]
_COMMON = st.lists(st.sampled_from(COMMON), min_size=1, max_size=3)


@pytest.mark.parametrize("common", [False, True])
@given(_REGIONS, st.data())
def test_a_worker_that_wrote_an_old_copy_back_is_taken_apart_as_well(
    common: bool, regions: list[Region], data: st.DataObject
) -> None:
    """Each worker writes the whole file as it knew it at the start, with its own edits: the last one wins.

    The new lines are unique, or some of them are such as stand in the file many times.
    """
    base, places = laid_out(regions, COMMON if common else ())

    def new(index: int) -> list[bytes]:
        own = [b"new %d %d\n" % (index, n) for n in range(regions[index].first)]
        return data.draw(st.permutations([b"new %d\n" % index, *own, *data.draw(_COMMON)])) if common else own

    own = {
        who: composed(base, places, [new(index) if region.who == who else None for index, region in enumerate(regions)])
        for who in sorted({region.who for region in regions})
    }
    found = chain(("", b"".join(base)), *own.items())
    for who, content in own.items():
        assert reconstruct(found, who) == content


@pytest.mark.parametrize(
    ("steps", "writer", "expected"),
    [
        ([("", text("a", "b", "c")), ("j1", text("a", "B", "c")), ("j2", text("a", "X", "c"))], "j1", "a B c"),
        ([("", text("a", "b", "c")), ("j1", text("a", "B", "c")), ("j2", text("a", "X", "c"))], "j2", "a X c"),
        ([("", text("a", "b")), ("j1", text("a", "n", "b")), ("j2", text("a", "m", "b"))], "j2", "a m b"),
        ([("", text("a", "b")), ("j1", text("a", "b", "n")), ("j2", text("a", "b"))], "j2", "a b"),
        ([("", text("a", "b")), ("j1", text("A", "b")), ("j2", text("x", "b")), ("j3", text("y", "b"))], "j3", "y b"),
        ([("", text("a")), ("j1+j2", text("a", "x")), ("j1", text("a", "x", "y"))], "j1", "a y"),
        # A bracket that j2 wrote is not the one that j1 removed.
        (
            [("", text("a", "p", "}", "q", "b")), ("j1", text("a", "b")), ("j2", text("a", "f", "}", "g", "b"))],
            "j2",
            "a p } q f } g b",
        ),
        # What j1 removed was not removed by j2, though its last version is the baseline without that line.
        (
            [
                ("", text("a", "b", "c")),
                ("j2", text("a", "b", "c", "x", "y")),
                ("j1", text("a", "c", "x", "y")),
                ("j2", text("a", "c")),
            ],
            "j2",
            "a b c",
        ),
        # An old copy with an own edit in a file of equal lines: the edit alone is j2's.
        ([("", b"x\n" * 9 + b"e\n"), ("j1", b"x\n" * 5 + b"e\n"), ("j2", b"x\n" * 9 + b"f\n")], "j2", "x " * 9 + "f"),
        ([("", text("a")), ("j1", text("a", "x")), ("j2", None)], "j1", "a x"),
        ([("", text("a")), ("j1", text("a", "x")), ("j2", None)], "j2", None),
        ([("", None), ("j1", text("a"))], "j2", None),
        ([("", b"\0a"), ("j1", b"\0b"), ("j2", b"\0c")], "j1", b"\0b"),
    ],
)
def test_one_writer_alone(steps: list[tuple[str, bytes | None]], writer: str, expected: str | bytes | None) -> None:
    wanted = text(*expected.split()) if isinstance(expected, str) else expected
    assert reconstruct(chain(*steps), writer) == wanted


@pytest.mark.parametrize(
    ("older", "newest", "written", "expected"),
    [
        ("a b c", "a B c", "a b c d", 0),  # Nothing of B: it was not read.
        ("a b c", "a B c", "a B c d", 1),
        ("a b c", "a B c", "a X c", 1),  # Either explains it; then it was made from what stood there.
        ("a b c", "a c", "a b c d", 0),
        ("a b c", "a c", "a c d", 1),
        ("a b c", "a b c x y", "a b c", 0),
        ("a b c d", "a c d x y", "a c d", 1),  # The older one has b: a copy of it would, too.
        ("a b c", "a b c x y z", "a b c x", 1),
    ],
)
def test_what_a_write_was_made_from(older: str, newest: str, written: str, expected: int) -> None:
    sources = {0: [text(word) for word in older.split()], 1: [text(word) for word in newest.split()]}
    assert copied_from(sources, 1, [text(word) for word in written.split()]) == expected


# Losses and edits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(["a b c", "j1 a B c", "j2 a b c"], ["j1 j2 2-2"], id="put back"),
        pytest.param(["a b c", "j1 a B c", "j2 a b c d"], ["j1 j2 2-2"], id="put back by an old copy with own edits"),
        pytest.param(["a b c", "j1 a B c", "j2 a b C"], ["j1 j2 2-2"], id="put back beside an own edit"),
        pytest.param(["a b c", "j1 a c", "j2 a b c"], ["j1 j2 2-2"], id="a deletion put back"),
        pytest.param(["a b c", "j1 a b n c", "j2 a b c"], ["j1 j2 3-3"], id="an insertion dropped"),
        pytest.param(["a b c", "j1 a B c", "j2 a c"], ["j1 j2 2-2"], id="a changed line dropped"),
        pytest.param(["a b c", "j1 a b c n", "j2 a b c"], ["j1 j2 3-3"], id="dropped at the end"),
        pytest.param(["a b c", "j1 a B c", "j2 a X c"], [], id="changed to something else"),
        pytest.param(["a b c", "j1 a B c", "j1 a b c"], [], id="taken back by its own writer"),
        pytest.param(["a b c", "j1 a B c", "j2 a b c", "j1 a B c"], [], id="made good by the loser"),
        pytest.param(["a b c", "j1 a B c", "j2 a b c", "j2 a B c"], [], id="made good by the taker"),
        pytest.param(["a b c", "j1 a B c", "j2 a b c", "j1 a Z c"], [], id="the loser wrote there again"),
        pytest.param(
            ["a b c d", "j1 a b C d", "j2 a b c d", "j1 A b c d"], ["j1 j2 3-3"], id="the loser wrote elsewhere"
        ),
        pytest.param(["a b c", "j1 n a b c", "j2 a b c n"], [], id="moved"),
        pytest.param(["a b c", "j1 n a b c", "j2 a b c n n"], [], id="moved and doubled"),
        pytest.param(["a - b", "j1 a b", "j2 a x - y b"], [], id="a blank line is nobody's loss"),
        pytest.param(["a b c", "j1 a B c", "j1+j2 a b c"], [], id="perhaps the writer itself"),
        pytest.param(["a b c", "j1 a B c", "j2+j3 a b c"], ["j1 j2+j3 2-2"], id="one of two others"),
        pytest.param(["a b c", "j1 a B c", "? a b c"], [], id="nobody known"),
    ],
)
def test_losses(steps: list[str], expected: list[str]) -> None:
    """The first step is the baseline; `-` is a blank line."""

    def content(words: list[str]) -> bytes:
        return text(*("" if word == "-" else word for word in words))

    first, *rest = (step.split() for step in steps)
    found = Weave(chain(("", content(first)), *((who, content(words)) for who, *words in rest))).losses()
    assert [
        f"{'+'.join(loss.losers)} {'+'.join(loss.takers)} {'-'.join(map(str, loss.place or ()))}" for loss in found
    ] == expected


def test_edits_are_compared_on_the_ground_that_neither_made() -> None:
    """j1 made the file and ended; on the baseline (no file) all edits of the two others would collide."""
    made = [f"line {n}" for n in range(20)]
    first = [*made[:3], "two", *made[4:]]
    second = [*first[:15], "three", *first[16:]]
    found = Weave(chain(("", None), ("j1", text(*made)), ("j2", text(*first)), ("j3", text(*second))))
    two = found.edits({2}, {1})
    three = found.edits({3}, {1})
    assert two == [Edit(3, 4, (b"two\n",), (4, 4))]
    assert three == [Edit(15, 16, (b"three\n",), (16, 16))]
    assert not two[0].collides(three[0])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((3, 4, b"x"), (5, 6, b"y"), False),
        ((3, 4, b"x"), (4, 5, b"y"), True),  # Git's merge takes touching changes for a conflict, so do we.
        ((3, 3, b"x"), (3, 3, b"y"), True),
        ((3, 4, b"x"), (3, 4, b"x"), False),
        ((3, 4, b"x"), (3, 5, b"x"), True),
    ],
)
def test_collisions(one: tuple[int, int, bytes], other: tuple[int, int, bytes], expected: bool) -> None:
    left, right = (Edit(start, end, (content,), None) for start, end, content in (one, other))
    assert left.collides(right) is right.collides(left) is expected
