"""The sides of a merge by hand: a merge of them holds all that stands in the file, and both workers' own edits."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from sidecar.a2.sides import side_for_file, two_sides
from sidecar.a2.versions import USER, Chain, Version
from sidecar.a2.weave import Weave

A, B, WAITING, LATER = "job-a", "job-b", "job-c", "job-d"
WRITERS = ((A,), (A,), (B,), (B,), (WAITING,), (LATER,), (USER,), (USER,), (), (A, B), (WAITING, USER))
BASE = tuple(f"base {number}" for number in range(1, 11))


def data(lines: tuple[str, ...] | None) -> bytes | None:
    return None if lines is None else "".join(f"{line}\n" for line in lines).encode()


def chain_of(*steps: tuple[tuple[str, ...], tuple[str, ...] | None]) -> Chain:
    """A file of these writers and contents, one after another."""
    versions = [Version("0", data(BASE))]
    for number, (writers, lines) in enumerate(steps, 1):
        sure = "seen" if len(writers) < 2 else "ambiguous"
        versions.append(Version(str(number), data(lines), writers, sure, number))
    return Chain("app.py", tuple(versions))


def put(lines: tuple[str, ...], *changes: tuple[int, str]) -> tuple[str, ...]:
    """These lines (from 1) become something else."""
    found = list(lines)
    for number, words in changes:
        found[number - 1] = words
    return tuple(found)


def merged(chain: Chain, directory: Path) -> tuple[list[str], int]:
    """What plain git makes of the two sides: its lines, and how many conflicts it has."""
    first, second = two_sides(Weave(chain), (A, B), {WAITING})
    return merged_by_git(chain, first, second, directory)


def merged_by_git(chain: Chain, first: bytes | None, second: bytes | None, directory: Path) -> tuple[list[str], int]:
    names = [directory / name for name in ("ours", "base", "theirs")]
    for path, content in zip(names, (first, chain.baseline.content, second), strict=True):
        path.write_bytes(content or b"")
    done = subprocess.run(
        ["git", "merge-file", "-p", "-q", "--diff3", *names], capture_output=True, check=False, cwd=directory
    )
    assert 0 <= done.returncode < 128, done.stderr
    return done.stdout.decode().splitlines(), done.returncode


ONE, TWO = put(BASE, (2, "a")), put(BASE, (2, "a"), (5, "b"))
THREE = put(BASE, (2, "a"), (5, "b"), (9, "c"))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([((A,), ONE), ((B,), TWO)], TWO, id="two alone"),
        pytest.param([((A,), ONE), ((B,), put(BASE, (5, "b")))], TWO, id="a lost update comes back"),
        pytest.param([((A,), ONE), ((B,), TWO), ((USER,), THREE)], THREE, id="a person saved afterwards"),
        pytest.param([((USER,), put(BASE, (9, "c"))), ((A,), put(ONE, (9, "c"))), ((B,), THREE)], THREE, id="before"),
        pytest.param([((A,), ONE), ((B,), TWO), ((LATER,), THREE)], THREE, id="a later worker"),
        pytest.param([((A,), ONE), ((B,), TWO), ((WAITING,), THREE)], THREE, id="a worker that is merged later"),
        pytest.param([((A,), ONE), ((B,), TWO), ((), THREE)], THREE, id="a restore, or a merge by hand"),
        pytest.param([((A,), ONE), ((B,), TWO), ((LATER, USER), THREE)], THREE, id="one of two others"),
        pytest.param([((A,), ONE), ((B,), TWO), ((USER,), put(TWO, (5, "b and you")))], None, id="built on one side"),
        pytest.param([((A,), ONE), ((B,), TWO), ((USER,), (*TWO[:1], *TWO[2:]))], None, id="removed from one side"),
        pytest.param([((A,), ONE), ((B,), TWO), ((USER,), (*TWO[:5], "mine", *TWO[5:]))], None, id="right below"),
        pytest.param(
            [((A,), ONE), ((B,), TWO), ((USER,), put(BASE, (9, "c")))],
            THREE,
            id="a person whose editor had an old text",
        ),
    ],
)
def test_what_does_not_overlap_is_all_there(
    tmp_path: Path, steps: list[tuple[tuple[str, ...], tuple[str, ...] | None]], expected: tuple[str, ...] | None
) -> None:
    found, conflicts = merged(chain_of(*steps), tmp_path)
    assert (tuple(found), conflicts) == (expected or steps[-1][1], 0)


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        pytest.param([((USER,), put(BASE, (2, "c"))), ((A,), ONE), ((B,), TWO)], "ac"),
        pytest.param([((A,), ONE), ((B,), put(ONE, (3, "b"))), ((USER,), put(ONE, (2, "c"), (3, "d")))], "abcd"),
        pytest.param([((A,), ONE), ((B,), put(BASE, (2, "b"))), ((WAITING,), put(BASE, (2, "c")))], "ab"),
    ],
)
def test_what_overlaps_is_shown_as_a_conflict(
    tmp_path: Path, steps: list[tuple[tuple[str, ...], tuple[str, ...] | None]], shown: str
) -> None:
    found, conflicts = merged(chain_of(*steps), tmp_path)
    assert conflicts > 0
    assert set(shown) <= set(found)


def test_a_file_that_one_worker_removed_is_no_side() -> None:
    gone, kept = two_sides(Weave(chain_of(((A,), ONE), ((B,), None), ((A,), ONE))), (B, A), ())
    assert (gone, kept) == (None, data(ONE))


def test_an_end_without_a_newline_stays_a_line_of_its_own() -> None:
    base = Version("0", b"one\ntwo")
    steps = [
        Version("1", b"one\na", (A,), "seen", 1),
        Version("2", b"b\na", (B,), "seen", 2),
        Version("3", b"mine\nyours", (USER,), "seen", 3),
    ]
    for side in two_sides(Weave(Chain("app.py", (base, *steps))), (A, B), ()):
        assert side is not None
        assert set(side.split(b"\n")) <= {b"one", b"two", b"a", b"b", b"mine", b"yours"}


@pytest.mark.parametrize("seed", range(150))
def test_nothing_that_stands_in_the_file_is_missing(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    contents: list[tuple[str, ...] | None] = [BASE]
    steps: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = []
    removed: set[str] = set()
    for number in range(rng.randrange(3, 9)):
        writers = rng.choice(WRITERS)
        old = rng.choice(contents) if rng.random() < 0.25 else contents[-1]
        lines = list(old or ())
        for part in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(lines) + 1)
            fresh = [f"{'+'.join(writers) or 'nobody'} {number} {part} {n}" for n in range(rng.choice((0, 1, 1, 2)))]
            lines[at : at + rng.choice((0, 1, 1, 2))] = fresh
        if {A, B, WAITING}.isdisjoint(writers):
            removed |= {*(contents[-1] or ()), *(old or ())} - {*lines}
        contents.append(tuple(lines))
        steps.append((writers, contents[-1]))
    chain = chain_of(*steps)
    found = set(merged(chain, tmp_path)[0])
    weave = Weave(chain)
    own = {job: fresh_lines(weave.content(weave.versions_of({job}))) for job in (A, B, WAITING)}
    disk = chain.newest.content
    assert fresh_lines(disk) - found <= own[WAITING], "only what is merged later may be left out"
    assert (own[A] | own[B]) - removed <= found
    third = side_for_file(weave, WAITING, {A, B}, len(steps))
    then = set(merged_by_git(chain, disk, third, tmp_path)[0])
    assert fresh_lines(disk) | (own[WAITING] - removed) <= then


def fresh_lines(content: bytes | None) -> set[str]:
    """The lines that are not the baseline's."""
    return {line for line in (content or b"").decode().splitlines() if not line.startswith("base")}
