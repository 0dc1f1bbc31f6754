"""Cursors and fitting events into bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.jobs.paging import Position, decode_cursor, encode_cursor, fit, size
from sidecar.model.errors import SidecarError
from sidecar.model.event import Event

_POSITIONS = st.builds(Position, st.integers(0, 2**50), st.integers(0, 2**16), st.integers(0, 2**32))


@given(st.text(min_size=1, max_size=30), _POSITIONS)
def test_a_cursor_comes_back_as_it_was(job_id: str, position: Position) -> None:
    assert decode_cursor(job_id, encode_cursor(job_id, position)) == position


@given(st.text(max_size=60))
def test_garbage_is_refused_by_name(garbage: str) -> None:
    with pytest.raises(SidecarError) as caught:
        decode_cursor("job", garbage)
    assert caught.value.details["field"] == "cursor"


def test_the_cursor_of_another_job_is_refused() -> None:
    with pytest.raises(SidecarError):
        decode_cursor("other", encode_cursor("job", Position(3, 2, 1)))


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.text(max_size=3000)),
    lambda inner: st.one_of(st.lists(inner, max_size=30), st.dictionaries(st.text(max_size=40), inner, max_size=8)),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=20), _JSON, max_size=6), st.integers(300, 5000))
def test_an_event_is_cut_to_the_room_it_has_and_says_so(content: dict[str, object], room: int) -> None:
    event = Event(7, "tool_result", "2026-01-01T00:00:00.000Z", {"kind": "command", **content})
    cut = fit(event, room)
    assert size(cut) <= room
    assert (cut.seq, cut.type, cut.timestamp) == (7, "tool_result", event.timestamp)
    if size(event) <= room:
        assert cut == event
    else:
        assert cut.content["truncated"] is True


def test_as_much_text_as_fits_is_kept() -> None:
    event = Event(1, "tool_result", "2026-01-01T00:00:00.000Z", {"kind": "command", "output": "x" * 100_000})
    cut = fit(event, 8000)
    assert 7900 <= size(cut) <= 8000
    assert cut.content["output"].startswith("xxxx")
