"""The protocol's rule of conflicts, as `run` applies it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.overlap import shared_files
from sidecar.model.job import iso

BASE = 1_700_000_000.0


def result(
    number: int, start: float | None, end: float | None, touched: set[str], reported: set[str] | None
) -> dict[str, Any]:
    return {
        "jobId": f"job-{number}",
        "label": f"w{number}",
        "startedAt": iso(BASE + start) if start is not None else None,
        "finishedAt": iso(BASE + end) if end is not None else None,
        "touchedFiles": [{"path": path, "change": "modified", "attribution": "seen"} for path in sorted(touched)],
        "modifiedFiles": sorted(reported) if reported is not None else None,
    }


def found(*results: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {shared.path: shared.labels for shared in shared_files(results)}


def test_the_same_file_of_two_workers_that_met() -> None:
    one = result(1, 0, 10, {"a.py", "b.py"}, None)
    other = result(2, 5, 15, {"b.py"}, {"c.py"})
    assert found(one, other) == {"b.py": ("w1", "w2")}


@pytest.mark.parametrize("touched", [True, False])
def test_a_file_that_was_only_reported_counts_too(touched: bool) -> None:
    one = result(1, 0, 10, {"a.py"}, None)
    other = result(2, 5, 15, {"a.py"} if touched else set(), set() if touched else {"a.py"})
    assert found(one, other) == {"a.py": ("w1", "w2")}


def test_a_worker_that_began_after_the_other_had_ended_builds_on_it() -> None:
    assert found(result(1, 0, 10, {"a"}, None), result(2, 10, 20, {"a"}, None)) == {}
    assert found(result(1, 0, 10, {"a"}, None), result(2, 9.9, 20, {"a"}, None)) == {"a": ("w1", "w2")}


def test_a_worker_that_never_started_meets_nobody() -> None:
    assert found(result(1, None, 10, {"a"}, None), result(2, 0, 20, {"a"}, None)) == {}


def test_only_workers_that_met_another_are_named() -> None:
    first, second = result(1, 0, 10, {"a"}, None), result(2, 5, 15, {"a"}, None)
    third, fourth = result(3, 20, 30, {"a"}, None), result(4, 25, None, {"a"}, None)
    assert found(first, second, third) == {"a": ("w1", "w2")}
    assert found(first, second, third, fourth) == {"a": ("w1", "w2", "w3", "w4")}
    assert found(first, third) == {}


spans = st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))
workers = st.lists(st.tuples(spans, st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc"))), max_size=5)


@given(workers)
def test_the_rule_word_for_word(drawn: list[tuple[tuple[int, int], set[str], set[str]]]) -> None:
    results = [result(n, *span, touched, reported) for n, (span, touched, reported) in enumerate(drawn)]
    expected: dict[str, set[str]] = {}
    for n, ((start, end), touched, reported) in enumerate(drawn):
        for m, ((other_start, other_end), other_touched, other_reported) in enumerate(drawn):
            # Some second belongs to both.
            if n != m and set(range(start, end)) & set(range(other_start, other_end)):
                for path in (touched | reported) & (other_touched | other_reported):
                    expected.setdefault(path, set()).add(f"w{n}")
    assert {path: set(labels) for path, labels in found(*results).items()} == expected
    assert list(found(*results)) == sorted(expected)
