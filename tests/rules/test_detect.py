"""Which files are in conflict, how badly, between whom, and where."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.a2.detect import Work, conflict_id, detect
from sidecar.a2.versions import USER, Chain, Version
from sidecar.a2.weave import Weave
from sidecar.model.conflict import KINDS, SEVERITIES, Conflict, suggested
from sidecar.model.job import Attribution, Change, Job, TouchedFile

PATH = "src/app.py"


def text(words: str) -> bytes:
    return "".join(f"{word}\n" for word in words.split()).encode()


def chain(*steps: str, path: str = PATH, at: float | None = None) -> Chain:
    """Versions as `w1 a b c`: the writer, then the lines; `w1 -`: gone, `w1+w2`: one of them. First the baseline."""
    versions = []
    for seq, step in enumerate(steps):
        who, _, words = step.partition(" ") if seq else ("", "", step)
        content = None if words == "-" else text(words)
        attribution: Attribution = "ambiguous" if "+" in who else "seen"
        writers = tuple(who.split("+")) if who else ()
        versions.append(Version(str(seq), content, writers, attribution, seq, at if USER in writers else None))
    return Chain(path, tuple(versions))


def work(
    name: str,
    start: float = 0,
    end: float | None = 10,
    *,
    declared: tuple[str, ...] = (),
    touched: tuple[tuple[str, Change, Attribution], ...] = (),
) -> Work:
    return Work(name, name, f"task {name}", start, end, declared, tuple(TouchedFile(*file) for file in touched))


def shown(conflict: Conflict) -> str:
    """`lost-update w1:lost:2-3 w2:overwrote:2-3 merge`, the last word where the versions merge."""
    jobs = [
        f"{job.job_id}:{job.role}:{','.join(f'{r.start}-{r.end}' for r in job.ranges)}".rstrip(":")
        for job in conflict.jobs
    ]
    return " ".join([conflict.kind, *jobs, *(["merge"] if conflict.mergeable else [])])


def found(*steps: str, jobs: tuple[Work, ...] = (work("w1"), work("w2"), work("w3"))) -> str:
    return " / ".join(shown(conflict) for conflict in detect("run", jobs, {PATH: chain(*steps)}))


BOTH = (work("w1", declared=(PATH,)), work("w2", declared=(PATH,)))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(["a b c", "w1 a B c"], "", id="one writer"),
        pytest.param(
            ["a b c", "w1 A b c", "w2 A b C"],
            "same-file-edit w1:changed:1-1 w2:changed:3-3 merge",
            id="different parts",
        ),
        pytest.param(
            ["a b c", "w1 a B c", "w2 a X c"], "overlapping-edit w1:changed:2-2 w2:changed:2-2", id="the same line"
        ),
        pytest.param(
            ["a b c d", "w1 a B c d", "w2 a B C d"],
            "overlapping-edit w1:changed:2-2 w2:changed:3-3",
            id="touching lines count",
        ),
        pytest.param(
            ["a b", "w1 a x b", "w2 a x y b"], "overlapping-edit w1:changed:2-2 w2:changed:3-3", id="the same gap"
        ),
        pytest.param(
            ["a b c", "w1 a B c", "w2 a b c"], "lost-update w1:lost:2-2 w2:overwrote:2-2 merge", id="put back"
        ),
        pytest.param(
            ["a b c d e", "w1 a B c d e", "w2 a b c d E"],
            "lost-update w1:lost:2-2 w2:overwrote:2-2 merge",
            id="put back by an old copy with an edit",
        ),
        pytest.param(
            ["a b c", "w1 a B c", "w2 a c"], "lost-update w1:lost:2-2 w2:overwrote:2-2", id="dropped, does not merge"
        ),
        pytest.param(
            ["a b c d e", "w1 a B c d e", "w2 a b c D e", "w1 a B c d e"],
            "lost-update w1:overwrote:4-4 w2:lost:4-4 merge",
            id="the loser put its own back and took from the other",
        ),
        pytest.param(["a b", "w1 a B", "w2 -"], "edit-and-delete w1:changed w2:deleted", id="deleted"),
        pytest.param(
            ["a b", "w2 -", "w1 a B"], "edit-and-delete w1:changed:1-2 w2:deleted", id="deleted, then written again"
        ),
        pytest.param(
            ["a b", "w1 -", "w1 a b", "w2 a B"], "same-file-edit w1:changed w2:changed:2-2 merge", id="came back"
        ),
        pytest.param(["-", "w1 a", "w2 b"], "overlapping-edit w1:changed:1-1 w2:changed:1-1", id="both added it"),
        pytest.param(["a", "w1+w2 b"], "reported-only w1:changed:1-1 w2:changed:1-1", id="nobody knows which"),
        pytest.param(
            ["a b c", "w1 a B c", "w2+w3 a X c"],
            "overlapping-edit w1:changed:2-2 w2:changed:2-2 w3:changed:2-2",
            id="one of two others",
        ),
        pytest.param(
            ["a b c d e", "w1 A b c d e", "w2 X b c d e", "w3 X b c d E"],
            "overlapping-edit w1:changed:1-1 w2:changed:1-1 w3:elsewhere:5-5",
            id="a third in another place",
        ),
        pytest.param(["a b", "w1 a b x", "w2 a b x"], "same-file-edit w1:changed:3-3 w2:changed merge", id="identical"),
    ],
)
def test_kinds(steps: list[str], expected: str) -> None:
    assert found(*steps) == expected


# Whose times overlap -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 10), (5, 15), True),
        ((0, 10), (10, 15), False),  # It began when the other had ended, so it builds on its work.
        ((0, 10), (9.999, 15), True),
        ((0, None), (100, None), True),
        ((0, 10), (11, None), False),
        ((5, 15), (0, 6), True),
        ((0, 20), (5, 6), True),
    ],
)
def test_only_workers_whose_times_overlap(
    first: tuple[float, float | None], second: tuple[float, float | None], expected: bool
) -> None:
    jobs = (work("w1", *first), work("w2", *second))
    assert bool(found("a", "w1 b", "w2 c", jobs=jobs)) is expected
    assert bool(found("a", "w1 b", "w2 a", jobs=jobs)) is expected, "taking back an earlier worker's edit is no loss"
    assert bool(found("a", "w1 b", "w2 c", jobs=jobs[::-1])) is expected


def test_workers_that_build_on_an_earlier_one_are_compared_on_its_work() -> None:
    """w1 made the file and ended; against the baseline, which has no file, any two edits would collide."""
    jobs = (work("w1", 0, 5), work("w2", 6, 20), work("w3", 6, 20))
    steps = ["-", "w1 a b c d e", "w2 a B c d e", "w3 a B c d E"]
    assert found(*steps, jobs=jobs) == "same-file-edit w2:changed:2-2 w3:changed:5-5 merge"
    assert found(*steps, "w3 a b c d E", jobs=jobs) == "lost-update w2:lost:2-2 w3:overwrote:2-2 merge"


def test_of_three_only_those_that_overlap_are_named() -> None:
    jobs = (work("w1", 0, 5), work("w2", 4, 10), work("w3", 11, 20))
    assert found("a b c", "w1 A b c", "w2 A b C", "w3 A x b C", jobs=jobs) == (
        "same-file-edit w1:changed:1-1 w2:changed:4-4 merge"
    )


# A person takes part -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "steps", "expected"),
    [
        (5, ["a b c", "w1 a B c", "user a X c"], "user-edit w1:changed:2-2"),
        (5, ["a b c", "user a X c", "w1 a B c"], "user-edit w1:changed:2-2"),
        (5, ["a b c", "w1 A b c", "user A b C"], "user-edit w1:changed:1-1 merge"),
        (5, ["a b c", "user a X c", "w1 A b c"], "user-edit w1:changed:2-2"),  # Back to the baseline, and an own edit.
        (15, ["a b c", "w1 a B c", "user a X c"], ""),
        (None, ["a b c", "w1 a B c", "user a X c"], "user-edit w1:changed:2-2"),
        (5, ["a b c", "user a X c"], ""),
    ],
)
def test_a_person_and_a_worker(at: float | None, steps: list[str], expected: str) -> None:
    conflicts = detect("run", [work("w1")], {PATH: chain(*steps, at=at)})
    assert " / ".join(shown(conflict) for conflict in conflicts) == expected
    assert all(conflict.suggested != "rerun" for conflict in conflicts), "a re-run would undo the person's edit"


def test_a_person_beside_two_workers() -> None:
    steps = chain("a b c d e", "w1 A b c d e", "w2 A b C d e", "user A b C d E", at=8)
    (conflict,) = detect("run", [work("w1", 0, 10), work("w2", 0, 5)], {PATH: steps})
    assert shown(conflict) == "user-edit w1:changed:1-1 w2:elsewhere:3-3 merge"


# Lists without versions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (work("w1", declared=(PATH,)), work("w2", declared=(PATH,)), "reported-only w1:changed w2:changed"),
        (work("w1", declared=(PATH,)), work("w2", declared=("other",)), ""),
        (work("w1", declared=(PATH,)), work("w2"), ""),
        (
            work("w1", touched=((PATH, "modified", "seen"),)),
            work("w2", touched=((PATH, "deleted", "seen"),)),
            "edit-and-delete w1:changed w2:deleted",
        ),
        (
            work("w1", touched=((PATH, "modified", "reported"),)),
            work("w2", touched=((PATH, "deleted", "seen"),)),
            "reported-only w1:changed w2:changed",
        ),
        (
            work("w1", touched=((PATH, "modified", "ambiguous"),)),
            work("w2", touched=((PATH, "modified", "ambiguous"),)),
            "reported-only w1:changed w2:changed",
        ),
    ],
)
def test_the_same_file_in_two_lists_is_a_conflict(first: Work, second: Work, expected: str) -> None:
    assert " / ".join(shown(conflict) for conflict in detect("run", [first, second], {})) == expected


def test_a_stored_version_of_one_and_a_report_of_the_other() -> None:
    jobs = (work("w1"), work("w2", declared=(PATH,)))
    assert found("a b c", "w1 a B c", jobs=jobs) == "reported-only w1:changed:2-2 w2:changed"


def test_attribution_is_the_surest_known() -> None:
    jobs = [
        work("w1", declared=(PATH,), touched=((PATH, "modified", "ambiguous"),)),
        work("w2", declared=(PATH,)),
        work("w3"),
    ]
    (conflict,) = detect("run", jobs, {PATH: chain("a", "w1+w3 b", "w3 c")})
    assert [(job.job_id, job.attribution) for job in conflict.jobs] == [
        ("w1", "ambiguous"),
        ("w2", "reported"),
        ("w3", "seen"),
    ]


def test_binary_files_are_taken_whole() -> None:
    versions = [
        Version("0", b"\0old\nx"),
        Version("1", b"\0one\nx", ("w1",), "seen", 1),
        Version("2", b"\0two\nx", ("w2",), "seen", 2),
    ]
    jobs = [work("w1"), work("w2")]
    (conflict,) = detect("run", jobs, {PATH: Chain(PATH, tuple(versions))})
    assert (shown(conflict), conflict.suggested) == ("overlapping-edit w1:changed w2:changed", "rerun")
    back = Version("3", b"\0old\nx", ("w2",), "seen", 3)
    (conflict,) = detect("run", jobs, {PATH: Chain(PATH, (*versions[:2], back))})
    assert shown(conflict) == "lost-update w1:lost w2:overwrote"


# How loud, how sure, what to do --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        (["a b c", "w1 a B c", "w2 a b c"], "lost-update"),
        (["a b", "w1 a B", "w2 -"], "edit-and-delete"),
        (["a b c", "w1 a B c", "w2 a X c"], "overlapping-edit"),
        (["a b c", "w1 a B c", "user a X c", "w2 a X C"], "user-edit"),
        (["a b c", "w1 A b c", "w2 A b C"], "same-file-edit"),
        (["a", "w1+w2 b"], "reported-only"),
    ],
)
def test_while_a_worker_runs_only_a_lost_update_is_loud(steps: list[str], kind: str) -> None:
    over = [work("w1"), work("w2")]
    running = [work("w1"), work("w2", end=None)]
    (late,) = detect("run", over, {PATH: chain(*steps)})
    (early,) = detect("run", running, {PATH: chain(*steps)})
    assert (late.kind, early.kind) == (kind, kind)
    assert (late.live, early.live) == (False, True)
    assert late.severity == SEVERITIES[late.kind]
    assert early.severity == ("error" if kind == "lost-update" else "information")
    assert early.conflict_id == late.conflict_id


def test_confirmed_once_each_worker_ended_or_has_a_version_of_its_own() -> None:
    steps = chain("a b c", "w1 A b c")
    cases = [
        ([work("w1", end=None), work("w2", end=None, declared=(PATH,))], False),
        ([work("w1", end=None), work("w2", declared=(PATH,))], True),
        ([work("w1"), work("w2", declared=(PATH,))], True),
    ]
    for jobs, expected in cases:
        (conflict,) = detect("run", jobs, {PATH: steps})
        assert conflict.confirmed is expected


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_repair(kind: str) -> None:
    assert suggested(kind, mergeable=True) == "merge"  # type: ignore[arg-type]
    assert suggested(kind, mergeable=False) in ("reconcile", "rerun")  # type: ignore[arg-type]
    for binary in (True, False):
        assert suggested(kind, mergeable=False, user=True, binary=binary) != "rerun"  # type: ignore[arg-type]


@pytest.mark.parametrize("merges", [True, False])
def test_what_a_real_merge_said_overrules_the_prediction(merges: bool) -> None:
    for steps in (["a b c", "w1 a B c", "w2 a X c"], ["a b c", "w1 A b c", "w2 A b C"]):
        (conflict,) = detect("run", BOTH, {PATH: chain(*steps)}, merges={PATH: merges})
        assert conflict.mergeable is merges
        assert conflict.suggested == ("merge" if merges else "reconcile")


def test_a_version_that_may_be_another_worker_s_is_not_merged() -> None:
    assert found("a b c d e", "w1 A b c d e", "w2 A b C d e", "w1+w3 A b C d E", jobs=BOTH) == (
        "same-file-edit w1:changed:1-1,5-5 w2:changed:3-3"
    )


# The answer as a whole -----------------------------------------------------------------------------


def test_the_worst_come_first_and_ids_are_stable() -> None:
    paths = ("z", "b", "a")
    steps = (["a b c", "w1 a B c", "w2 a b c"], ["a b c", "w1 A b c", "w2 A b C"], ["a b c", "w1 A b c", "w2 A b C"])
    chains = {path: chain(*step, path=path) for path, step in zip(paths, steps, strict=True)}
    conflicts = detect("run-1", [work("w1"), work("w2")], chains)
    assert [conflict.path for conflict in conflicts] == ["z", "a", "b"]
    assert [conflict.conflict_id for conflict in conflicts] == [conflict_id("run-1", path) for path in "zab"]
    assert len({conflict_id(run, path) for run in ("run-1", "run-2") for path in ("a", "b", "\udcff")}) == 6


def test_the_fields_are_those_of_the_interface() -> None:
    (conflict,) = detect("run", BOTH, {PATH: chain("a b c", "w1 A b c", "w2 A b C")})
    answer = msgspec.to_builtins(conflict)
    assert {"conflictId", "path", "kind", "severity", "confirmed", "jobs", "mergeable", "suggested"} <= set(answer)
    job = answer["jobs"][0]
    assert {"jobId", "label", "title", "attribution", "ranges"} <= set(job)
    assert job["ranges"] == [{"start": 1, "end": 1}]


def test_what_was_woven_is_used_again() -> None:
    weaves: dict[str, Weave] = {}
    steps = ["a b c", "w1 A b c", "w2 A b C", "w2 a b C"]
    detect("run", BOTH, {PATH: chain(*steps[:3])}, weaves=weaves)
    before = weaves[PATH]
    again = detect("run", BOTH, {PATH: chain(*steps)}, weaves=weaves)
    assert weaves[PATH] is before
    assert again == detect("run", BOTH, {PATH: chain(*steps)})


def test_a_job_that_never_started_is_nobody() -> None:
    job = Job(
        job_id="j", number=3, title="t", sandbox="workspace-write", status="queued", working_directory="/",
        timeout_ms=1, created_at=0,
    )  # fmt: skip
    assert Work.of(job) is None
    job.started_at, job.finished_at, job.modified_files = 1.0, 2.0, ["a"]
    assert Work.of(job) == Work("j", "w3", "t", 1.0, 2.0, ("a",), ())


_WORDS = st.lists(st.sampled_from("abcdXY"), max_size=6).map(" ".join)


@given(
    _WORDS, st.lists(st.tuples(st.sampled_from(["w1", "w2", "w3", "w1+w2", USER]), _WORDS | st.just("-")), max_size=6)
)
def test_every_finding_keeps_its_promises(base: str, writes: list[tuple[str, str]]) -> None:
    steps = chain(base, *(f"{who} {words}" for who, words in writes), at=5)
    jobs = [work("w1", 0, 10), work("w2", 5, 15), work("w3", 12, 20)]
    length = len(steps.newest.content.splitlines()) if steps.newest.content else 0
    for conflict in detect("run", jobs, {PATH: steps}):
        names = {job.job_id for job in conflict.jobs}
        assert names != {"w1", "w3"}, "their times do not overlap"
        assert len(names) > 1 or conflict.kind == "user-edit"
        assert conflict.decisive
        roles = {job.role for job in conflict.jobs}
        assert ("lost" in roles) == (conflict.kind == "lost-update")
        assert ("deleted" in roles) == (conflict.kind == "edit-and-delete")
        for job in conflict.jobs:
            assert any(job.job_id in version.writers for version in steps.versions)
            assert all(1 <= found.start <= found.end <= length for found in job.ranges)
            assert all(a.end + 1 < b.start for a, b in zip(job.ranges, job.ranges[1:], strict=False))
