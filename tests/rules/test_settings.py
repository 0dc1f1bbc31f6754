"""Settings are read leniently: a bad value is reported by name and its default holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.settings import Settings, parse_settings


def test_defaults() -> None:
    assert parse_settings(None) == (Settings(), [])
    found, _ = parse_settings({})
    assert (found.limits.read, found.limits.write, found.spawn.timeout_minutes) == (8, 2, 60)
    assert (found.stalled_after_seconds, found.snapshots.keep_days, found.baseline.dirty_tree) == (180, 14, "refuse")


def test_nested_and_flat_keys_are_the_same() -> None:
    nested, _ = parse_settings(
        {"limits": {"read": 3}, "codex": {"path": "/x", "extraArgs": ["-c"]}, "stalledAfterSeconds": 5}
    )
    flat, _ = parse_settings(
        {"limits.read": 3, "codex.path": "/x", "codex.extraArgs": ["-c"], "stalledAfterSeconds": 5}
    )
    assert nested == flat
    assert nested.limits.read == 3
    assert nested.limits.write == 2


def test_a_bad_value_is_named_and_the_others_hold() -> None:
    found, problems = parse_settings(
        {"limits": {"read": "many", "write": 5}, "logLevel": "loud", "codex": 7, "other": 1}
    )
    assert found.limits.write == 5
    assert found.limits.read == 8
    assert found.log_level == "info"
    assert [problem.details["field"] for problem in problems] == [
        "codexSidecar.codex",
        "codexSidecar.limits.read",
        "codexSidecar.logLevel",
    ]


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    ["limits", "limits.read", "codex", "codex.path", "spawn", "logLevel", "stalledAfterSeconds", "x.y"]
)


@given(st.one_of(_JSON, st.dictionaries(_KEYS, _JSON)))
def test_nothing_makes_it_fail(value: object) -> None:
    found, _ = parse_settings(value)
    assert isinstance(found, Settings)
