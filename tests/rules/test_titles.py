"""The title that is made from a prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.tools.handlers import title_of


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Add retries", "Add retries"),
        ("\n\n# Add retries\nto the client", "Add retries"),
        ("- fix   the\tbug", "fix the bug"),
        ("a" * 40, "a" * 31 + "…"),
        ("\x1b[31mred", "[31mred"),
    ],
)
def test_titles(prompt: str, title: str) -> None:
    assert title_of(prompt) == title


@given(st.text(min_size=1))
def test_always_short_printable_and_not_empty(prompt: str) -> None:
    title = title_of(prompt)
    assert 1 <= len(title) <= 32
    assert title.isprintable()
