"""Frames: whatever bytes arrive get an answer or a clean end, and what goes out is never torn and never blocks."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.lsp import message, transport
from sidecar.lsp.message import Refused
from sidecar.lsp.transport import FrameReader, Outbox
from sidecar.model import limits
from tests.support.lsp import PATIENCE, RawClient, ScriptedCore, connected, eventually, serving, socket_pair

BODY = b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}'


def frame(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


async def read_all(*chunks: bytes) -> list[bytes | Refused]:
    reader = asyncio.StreamReader()
    frames = FrameReader(reader)

    async def feed() -> None:
        for chunk in chunks:
            reader.feed_data(chunk)
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.ensure_future(feed())
    found = []
    while (one := await frames.next()) is not None:
        found.append(one)
    await feeding
    return found


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 44\r\n\r\n",
        b"content-length: 44\r\n\r\n",
        b"CONTENT-LENGTH:44\r\n\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 44\r\n\r\n",
        b"Content-Length: 44\r\nContent-Type: x\r\n\r\n",
        b"Content-Length: 44\n\n",
        b"\r\nContent-Length: 44\r\n\r\n",
    ],
)
async def test_headers_that_are_understood(header: bytes) -> None:
    assert len(BODY) == 44
    assert await read_all(header + BODY, frame(b"{}")) == [BODY, b"{}"]


@given(bodies=st.lists(st.binary(min_size=0, max_size=300), max_size=6), cuts=st.lists(st.integers(1, 40), max_size=30))
@settings(max_examples=60, deadline=None)
def test_frames_survive_any_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, bodies))
    chunks, position = [], 0
    for cut in cuts:
        chunks.append(stream[position : position + cut])
        position += cut
    chunks.append(stream[position:])
    assert asyncio.run(read_all(*[chunk for chunk in chunks if chunk])) == bodies


@pytest.mark.parametrize(
    "bad",
    [
        b"Content-Type: x\r\n\r\n" + BODY,
        b"Content-Length: abc\r\n\r\n" + BODY,
        b"Content-Length: -5\r\n\r\n" + BODY,
        b"Content-Length: \xd9\xa3\r\n\r\n" + BODY,
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"Content-Length: 99999999999999999999\r\n\r\n" + BODY,
        BODY + b"\r\n\r\n",
        b"x" * 20_000,
    ],
)
async def test_a_bad_header_is_answered_and_the_next_message_is_read(bad: bytes) -> None:
    found = await read_all(bad, frame(BODY), frame(b"{}"))
    assert found[-2:] == [BODY, b"{}"]
    refused = found[0]
    assert isinstance(refused, Refused)
    assert refused.code == -32700
    assert refused.id is None


async def test_a_length_that_is_too_small_costs_one_message_only() -> None:
    found = await read_all(b"Content-Length: 10\r\n\r\n" + BODY + frame(BODY))
    assert found[0] == BODY[:10]
    assert isinstance(found[1], Refused)
    assert found[2:] == [BODY]


@pytest.mark.parametrize(
    "stream", [b"Content-Len", b"Content-Length: 10\r\n\r\n{}", b"Content-Length: abc\r\n\r\nrest"]
)
async def test_a_stream_that_ends_early_ends_the_reader(stream: bytes) -> None:
    assert all(isinstance(one, Refused) for one in await read_all(stream))


async def test_endless_rubbish_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MESSAGE_BYTES_MAX", 100_000)
    reader = asyncio.StreamReader()
    frames = FrameReader(reader)
    reader.feed_data(b"x" * 150_000)
    assert isinstance(await frames.next(), Refused)
    reader.feed_data(b"x" * 100_000)
    assert await asyncio.wait_for(frames.next(), PATIENCE) is None


@pytest.mark.parametrize(
    ("head", "tail", "found"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"x","params":{', b"}}", 7),
        (b'{"id":"a-1","params":{"id":3', b"}}", "a-1"),
        (b'{ "jsonrpc" : "2.0" , "id" : -4 ,', b"", -4),
        (b'{"jsonrpc":"2.0","method":"x","params":{"id":5,"x":"', b'"},"id":6}', 6),
        (b'{"jsonrpc":"2.0","method":"x","params":{"id":5,"x":"', b'"},"id":"q" } ', "q"),
        (b'{"jsonrpc":"2.0","method":"x","params":{"id":5,"x":"', b'"}}', None),
        (b'{"jsonrpc":"2.0","method":"x","params":{"a":"', b',\\"id\\":9}"}}', None),
        (b'{"a":"\\",\\"id\\":3","id":4,', b"", 4),
        (b'{"params":{"id":3}', b"", None),
        (b'{"id":1.5,', b"", None),
        (b'{"id":null,', b"", None),
    ],
)
def test_the_id_of_an_unread_message(head: bytes, tail: bytes, found: object) -> None:
    assert message.find_id(head, tail) == found


async def test_a_frame_of_50_megabytes_is_skipped_and_answered() -> None:
    size = 50 * 1024 * 1024
    start = b'{"jsonrpc":"2.0","id":"big","method":"workspace/executeCommand","params":["'
    async with connected(ScriptedCore()) as client:
        stall = LoopStall()
        client.send_bytes(b"Content-Length: %d\r\n\r\n" % size + start)
        piece, left = b"x" * 262_144, size - len(start)
        while left:
            client.send_bytes(piece[:left])
            left -= len(piece[:left])
            await client.writer.drain()
        reply = await client.reply("big")
        assert reply["error"]["code"] == -32600
        assert str(limits.MESSAGE_BYTES_MAX) in reply["error"]["message"]
        assert (await client.request("codexSidecar/getState"))["result"]
        assert stall.stop() < 0.05


class LoopStall:
    """For how much of the processor's time the loop did not turn, in seconds.

    Code that keeps the loop needs that time, and a busy machine that takes the processor away does not. What waits for
    a client of the same loop would wait for ever.
    """

    def __init__(self) -> None:
        self._stalls: list[float] = []
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            self._stalls.append(time.thread_time() - before - 0.005)

    def stop(self) -> float:
        """The third longest: once or twice there is something else to do, blocking code does it each time."""
        self._task.cancel()
        worst = sorted(self._stalls, reverse=True)
        assert worst[0] < 1
        return worst[2]


async def test_eight_threads_that_notify_do_not_tear_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    (reader, writer), (_, theirs) = await socket_pair()
    client = RawClient(reader, writer)
    outbox = Outbox(theirs)
    writers: set[int] = set()
    write = theirs.write
    monkeypatch.setattr(theirs, "write", lambda data: writers.add(threading.get_ident()) or write(data))

    def flood(thread: int) -> None:
        for index in range(200):
            text = f"{thread}:{index}:" + "ü" * 2_500
            outbox.send(json.dumps({"jsonrpc": "2.0", "method": "n", "params": text}, ensure_ascii=False).encode())

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    await eventually(lambda: len(client.received) == 1600)
    for thread in threads:
        thread.join()
    assert writers == {threading.get_ident()}, "asyncio's transports are for the loop's thread alone"
    for number in range(8):
        mine = [text.split(":")[1] for text in client.of_method("n") if text.startswith(f"{number}:")]
        assert mine == [str(index) for index in range(200)]
    await client.close()
    await outbox.close()


async def test_a_paused_client_stops_nobody() -> None:
    """For 3 s one client reads nothing while state changes and its results pile up; the other is served as ever."""
    core = ScriptedCore()
    async with connected(core) as paused, connected(core) as lively:
        paused.pause()
        stall, ticks = LoopStall(), 0
        core.put("filler", activity="x" * 2_000_000)
        asked = [paused.start("codexSidecar/getState") for _ in range(3)]
        end = time.monotonic() + 3
        while time.monotonic() < end or ticks < 75:
            core.put("job", tick=ticks)
            ticks += 1
            await asyncio.sleep(0.02)
        assert stall.stop() < 0.05
        assert (await lively.request("codexSidecar/getState"))["result"]["full"]["jobs"][1]["tick"] == ticks - 1
        waiting = len(paused.of_method("codexSidecar/state"))
        paused.resume()
        for name in asked:
            assert len((await paused.reply(name))["result"]["full"]["jobs"][0]["activity"]) == 2_000_000
        await paused.wait_for(lambda one: '"tick": ' + str(ticks - 1) in json.dumps(one.get("params")))
        # What the client could not read was merged, not queued: it got far fewer than two a second for 3 s.
        assert len(paused.of_method("codexSidecar/state")) - waiting <= 4


async def test_a_client_that_never_reads_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_QUEUE_BYTES", 1_000_000)
    core = ScriptedCore()
    core.put("filler", activity="x" * 300_000)
    async with serving(core) as (client, served):
        await client.initialize()
        client.pause()
        for _ in range(10):
            client.start("codexSidecar/getState")
        assert await asyncio.wait_for(served, PATIENCE) == 1
        assert not core.listeners


async def test_results_up_to_the_limit_are_never_dropped() -> None:
    core = ScriptedCore()
    core.put("filler", activity="x" * 500_000)
    async with connected(core) as client:
        client.pause()
        asked = [client.start("codexSidecar/getState") for _ in range(40)]
        await asyncio.sleep(0.2)
        client.resume()
        for name in asked:
            assert (await client.reply(name))["result"]


async def test_closing_does_not_wait_for_a_client_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FLUSH_SECONDS", 0.1)
    core = ScriptedCore()
    core.put("filler", activity="x" * 3_000_000)
    async with serving(core) as (client, served):
        await client.initialize()
        client.pause()
        client.start("codexSidecar/getState")
        client.start("shutdown")
        client.notify("exit")
        assert await asyncio.wait_for(served, PATIENCE) == 0
