"""Lines: whatever bytes arrive become a message, an error with the request's id where it is known, or nothing."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_types import JSONRPCNotification, JSONRPCRequest

from sidecar.mcp.lines import LineReader, Refused, find_id, mend, parse
from sidecar.model import limits

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


async def read_all(*chunks: bytes) -> list[bytes | Refused]:
    reader = asyncio.StreamReader()
    lines = LineReader(reader)

    async def feed() -> None:
        for chunk in chunks:
            reader.feed_data(chunk)
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.ensure_future(feed())
    found = []
    while (one := await lines.next()) is not None:
        found.append(one)
    await feeding
    return found


@given(
    lines=st.lists(st.binary(max_size=300).map(lambda one: one.replace(b"\n", b"")), max_size=6),
    cuts=st.lists(st.integers(1, 40), max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_lines_survive_any_cut(lines: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    chunks, position = [], 0
    for cut in cuts:
        chunks.append(stream[position : position + cut])
        position += cut
    chunks.append(stream[position:])
    assert asyncio.run(read_all(*[chunk for chunk in chunks if chunk])) == lines


async def test_a_last_line_needs_no_line_break() -> None:
    assert await read_all(PING + b"\n" + PING) == [PING, PING]
    assert await read_all() == []


@pytest.mark.parametrize("size", [999, 1000, 1001, 1024, 5000])
@pytest.mark.parametrize("chunk", [7, 1000, 100_000])
async def test_the_longest_line_is_taken_and_a_longer_one_refused(
    monkeypatch: pytest.MonkeyPatch, size: int, chunk: int
) -> None:
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 1000)
    line = b'{"jsonrpc":"2.0","id":"big","x":"' + b"x" * (size - 35) + b'"}'
    assert len(line) == size
    stream = line + b"\n" + PING + b"\n" + line
    found = await read_all(*[stream[at : at + chunk] for at in range(0, len(stream), chunk)])
    if size <= 1000:
        assert found == [line, PING, line]
    else:
        message = f"The message has {size} bytes; at most 1000 are taken."
        assert found == [Refused(-32600, message, "big"), PING, Refused(-32600, message, "big")]


async def test_a_line_that_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 1024 * 1024)
    reader = asyncio.StreamReader()
    lines = LineReader(reader)

    async def feed() -> None:
        piece = b"x" * 65_536
        for _ in range(800):
            reader.feed_data(piece)
            while len(reader._buffer) > 65_536:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
        reader.feed_data(b"\n" + PING + b"\n")
        reader.feed_eof()

    tracemalloc.start()
    try:
        feeding = asyncio.ensure_future(feed())
        refused = await lines.next()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(refused, Refused)
    assert "52428800 bytes" in refused.message
    assert peak < 6 * 1024 * 1024
    assert await lines.next() == PING
    await feeding


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        (b"hello", -32700, None),
        (b'{"jsonrpc":"2.0","id":1', -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}}', -32700, None),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":Infinity}}', -32700, None),
        (b"\xff\xfe", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"pi\xe4ng"}', -32700, None),
        (b"\xef\xbb\xbf" + PING, -32700, None),
        (PING.decode().encode("utf-16"), -32700, None),
        (b'{"id":' + b"9" * 5000 + b"}", -32700, None),
        (b"[]", -32600, None),
        (b"[" + PING + b"]", -32600, None),
        (b"1", -32600, None),
        (b"null", -32600, None),
        (b'"ping"', -32600, None),
        (b"{}", -32600, None),
        (b'{"id":1,"method":"ping"}', -32600, 1),
        (b'{"jsonrpc":"1.0","id":"a","method":"ping"}', -32600, "a"),
        (b'{"jsonrpc":2.0,"id":"a","method":"ping"}', -32600, "a"),
        (b'{"jsonrpc":"2.0","id":7}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":null}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[]}', -32602, 7),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":"x"}', -32602, 7),
    ],
)
def test_what_is_refused(line: bytes, code: int, request_id: object) -> None:
    refused = parse(line)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.id) == (code, request_id)
    assert refused.message.endswith(".")
    assert len(refused.message) < 300


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"  \r",
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}',
        b'{"jsonrpc":"2.0","method":"notifications/x","params":[1]}',
    ],
)
def test_what_needs_no_answer(line: bytes) -> None:
    assert parse(line) is None


def test_requests_and_notifications() -> None:
    assert parse(PING + b"\r") == JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")
    assert parse(b'{"jsonrpc":"2.0","method":"x","params":null}') == JSONRPCNotification(jsonrpc="2.0", method="x")
    asked = parse(json.dumps({"jsonrpc": "2.0", "id": "ä", "method": "x", "params": {"a": [None]}, "more": 1}).encode())
    assert asked == JSONRPCRequest(jsonrpc="2.0", id="ä", method="x", params={"a": [None]})


def nested(depth: int, opening: str, closing: str, leaf: str) -> bytes:
    """A request with `depth` levels, the message itself among them."""
    inner = opening * (depth - 2) + leaf + closing * (depth - 2)
    return f'{{"jsonrpc":"2.0","method":"x","params":{{"deep":{inner}}},"id":9}}'.encode()


@pytest.mark.parametrize(("opening", "closing", "leaf"), [("[", "]", ""), ('{"a":', "}", "1"), ('[{"a":', "}]", "1")])
def test_deep_nesting_is_refused_with_the_id(opening: str, closing: str, leaf: str) -> None:
    each = opening.count("[") + opening.count("{")
    most = limits.NESTING_MAX // each
    assert isinstance(parse(nested(most, opening, closing, leaf)), JSONRPCRequest)
    for depth in (most + 2, 1_000, 20_000, 300_000):
        refused = parse(nested(depth, opening, closing, leaf))
        assert isinstance(refused, Refused)
        assert (refused.code, refused.id) == (-32700, 9)


def test_many_brackets_that_are_not_deep_are_taken() -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"a": [[]] * 5000, "b": "[" * 5000}})
    assert isinstance(parse(line.encode()), JSONRPCRequest)


@pytest.mark.parametrize(
    ("head", "tail", "found"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"x","params":{', b"}}", 7),
        (b'{"id":"a-1","params":{"id":3', b"}}", "a-1"),
        (b'{ "jsonrpc" : "2.0" , "id" : -4 ,', b"", -4),
        (b'{"method":"x","params":{"id":5,"x":"', b'"},"jsonrpc":"2.0","id":6}', 6),
        (b'{"jsonrpc":"2.0","method":"x","params":{"id":5,"x":"', b'"}}', None),
        (b'{"jsonrpc":"2.0","method":"x","params":{"a":"', b',\\"id\\":9}"}}', None),
        (b'{"params":{"id":3}', b"", None),
        (b'{"id":1.5,', b"", None),
        (b'{"id":null,', b"", None),
    ],
)
def test_the_id_of_an_unread_message(head: bytes, tail: bytes, found: object) -> None:
    assert find_id(head, tail) == found


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("a\U0001f600ä", "a\U0001f600ä"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
    ],
)
def test_halves_of_surrogate_pairs_are_mended(text: str, mended: str) -> None:
    assert mend(text) == mended


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
MEMBER = st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error"])


@given(st.binary(max_size=200) | JSON.map(lambda one: json.dumps(one).encode()))
@settings(max_examples=300, deadline=None)
def test_no_line_raises(line: bytes) -> None:
    assert isinstance(parse(line), JSONRPCRequest | JSONRPCNotification | Refused | None)


@given(st.dictionaries(MEMBER, JSON | st.just("2.0") | st.just("ping"), min_size=2))
@settings(max_examples=300, deadline=None)
def test_no_object_raises(members: dict[str, Any]) -> None:
    line = json.dumps({"jsonrpc": "2.0", **members}).encode()
    assert isinstance(parse(line), JSONRPCRequest | JSONRPCNotification | Refused | None)
