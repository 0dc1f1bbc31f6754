"""Lines as Git counts them, as an editor counts them, and through edits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from sidecar.lsp.positions import Rows, Shift
from sidecar.model.conflict import LineRange

CONTENTS = st.text(alphabet="ab\r\n", max_size=30)
LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=12)


def at(start: int, first: int, end: int, last: int) -> types.Range:
    return types.Range(types.Position(start, first), types.Position(end, last))


@pytest.mark.parametrize(
    ("content", "where", "expected"),
    [
        (b"one\ntwo\nthree", (1, 3), at(0, 0, 2, 5)),
        (b"one\r\ntwo\r\n", (2, 2), at(1, 0, 1, 3)),
        # A lone \r ends a line in an editor, not in git: line 2 of git is rows 2 to 3.
        (b"one\rone\ntwo\rtwo and more\nx", (2, 2), at(2, 0, 3, 12)),
        (b"one\rone\ntwo\rtwo and more\nx", (3, 3), at(4, 0, 4, 1)),
        (b"\xff\xff\n", (1, 1), at(0, 0, 0, 2)),
        (b"a\n", (5, 9), at(0, 0, 0, 1)),
        (b"", (1, 1), at(0, 0, 0, 0)),
    ],
)
def test_whole_lines(content: bytes, where: tuple[int, int], expected: types.Range) -> None:
    assert Rows(content, len).range(LineRange(*where)) == expected


@given(CONTENTS)
def test_every_row_of_an_editor_belongs_to_the_line_that_holds_it(text: str) -> None:
    rows = Rows(text.encode(), len)
    shown = [row for row in re.findall(r"[^\r\n]*(?:\r\n|\n|\r|\Z)", text) if row]
    offset = 0
    for number, row in enumerate(shown):
        line = text[:offset].count("\n") + 1
        assert rows.number(number) == line
        where = rows.range(LineRange(line, line))
        assert where.start.line <= number <= where.end.line
        offset += len(row)


@given(LINES, LINES)
def test_a_line_is_found_where_it_went_and_back(old: list[bytes], new: list[bytes]) -> None:
    shift = Shift.between(old, new)
    for number in range(1, len(new) + 1):
        before = shift.line(number)
        if before is not None:
            assert old[before - 1] == new[number - 1]
            assert shift.range(LineRange(before, before)) == LineRange(number, number)


@given(LINES, LINES, st.data())
def test_a_range_stays_a_range(old: list[bytes], new: list[bytes], data: st.DataObject) -> None:
    if not old:
        return
    start = data.draw(st.integers(1, len(old)))
    end = data.draw(st.integers(start, len(old)))
    found = Shift.between(old, new).range(LineRange(start, end))
    assert 1 <= found.start <= found.end <= len(new) + 1


def test_line_ends_do_not_count() -> None:
    assert Shift.between([b"a\r\n", b"b"], [b"a\n", b"b\n"]).hunks == ()


def test_lines_that_were_replaced_are_where_their_replacement_is() -> None:
    shift = Shift.between([b"a\n", b"b\n", b"c\n"], [b"new\n", b"a\n", b"x\n", b"y\n", b"c\n"])
    assert shift.range(LineRange(2, 2)) == LineRange(3, 4)
    assert shift.range(LineRange(1, 3)) == LineRange(2, 5)
    assert shift.line(1) is None
    assert shift.line(5) == 3
