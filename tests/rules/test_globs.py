"""Overlap of globs: never a false "no"."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.jobs import globs
from sidecar.model.errors import SidecarError


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "src/b.py", False),
        ("src/*.py", "src/b.py", True),
        ("src/*.py", "src/sub/b.py", False),
        ("src/**", "src/sub/b.py", True),
        ("**/b.py", "src/sub/b.py", True),
        ("**/*.md", "docs/**", True),
        ("**/*.md", "**/*.py", False),
        ("a*c", "ab*", True),
        ("a*c", "b*", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[ab].py", "c.py", True),  # A class counts as any character: better one wait too many.
        ("src", "src/a.py", False),
        ("**", "anything/at/all", True),
        ("*", "anything/at/all", False),
        ("a/**", "a", True),  # The directory itself, where a file of that name would be.
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a/b/c/y", False),
        ("a[", "a[", True),
        ("a[", "ab", False),
    ],
)
def test_known_pairs(one: str, other: str, expected: bool) -> None:
    assert globs.overlap(one, other) is expected
    assert globs.overlap(other, one) is expected


_SEGMENT = st.text("ab*?", min_size=1, max_size=4).map(lambda text: re.sub(r"\*+", "*", text))
_PATTERN = st.lists(st.one_of(_SEGMENT, st.just("**")), min_size=1, max_size=4).map("/".join)
_PATH = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


def _regex(pattern: str) -> re.Pattern[str]:
    """An independent reading of a glob."""
    parts = []
    for segment in pattern.split("/"):
        if segment == "**":
            parts.append("(?:[^/]+/)*")
        else:
            parts.append("".join({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)) for char in segment) + "/")
    return re.compile("".join(parts))


@given(_PATTERN, _PATTERN, _PATH)
def test_a_common_path_is_an_overlap(one: str, other: str, path: str) -> None:
    if _regex(one).fullmatch(path + "/") and _regex(other).fullmatch(path + "/"):
        assert globs.overlap(one, other)


@given(_PATTERN, _PATTERN)
def test_is_symmetric(one: str, other: str) -> None:
    assert globs.overlap(one, other) == globs.overlap(other, one)


@pytest.mark.parametrize("bad", ["/etc/passwd", "../up", "a/../../b", "~/x", "C:/x"])
def test_a_pattern_that_leaves_the_repository_is_refused_by_name(bad: str) -> None:
    with pytest.raises(SidecarError) as caught:
        globs.check(bad, "expectedFiles[2]")
    assert caught.value.kind == "invalid-arguments"
    assert caught.value.details["field"] == "expectedFiles[2]"


def test_a_directory_that_is_there_means_everything_below_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    assert globs.check("src", "expectedFiles[0]", str(tmp_path)) == "src/**"
    assert globs.check("srx", "expectedFiles[0]", str(tmp_path)) == "srx"


@pytest.mark.parametrize(
    ("given_", "normal"), [("./a//b/", "a/b/**"), ("a\\b", "a/b"), (".", "**"), ("./", "**"), ("a/*.py", "a/*.py")]
)
def test_normal_form(given_: str, normal: str) -> None:
    assert globs.check(given_, "expectedFiles[0]") == normal
