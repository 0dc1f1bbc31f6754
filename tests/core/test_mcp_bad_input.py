"""Bad input and bad readers: every line is answered, and a client that does not read harms nobody."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from sidecar.model import limits
from sidecar.tools import table
from tests.support.mcp import PATIENCE, VERSIONS, AnythingOutput, RawClient, add_tool, connected, give, serving, soon


async def test_bad_lines_are_answered_and_the_next_is_served() -> None:
    async with connected() as client:
        for line, code in [(b"hello", -32700), (b"\xff", -32700), (b"[]", -32600), (b"[1,2]", -32600), (b"{}", -32600)]:
            seen = len(client.received)
            client.send_line(line)
            reply = await client.wait_for(lambda one: "error" in one, after=seen)
            assert (reply["id"], reply["error"]["code"]) == (None, code)
        client.send_line(b"")
        client.send_line(b'{"jsonrpc":"2.0","id":1,"result":{}}')
        assert (await client.request("ping"))["result"] == {}


async def test_bad_lines_before_the_first_request() -> None:
    async with serving() as (client, _):
        client.send_line(b"GET / HTTP/1.1")
        client.send_line(b"[" * 20_000 + b"]" * 20_000)
        for _ in range(20):
            client.notify("notifications/whatever")
        assert (await client.initialize())["protocolVersion"] == VERSIONS[-1]
        assert [one["error"]["code"] for one in client.received if "error" in one] == [-32700, -32700]


async def test_deep_nesting_is_answered_with_the_id() -> None:
    async with connected() as client:
        deep = "[" * 20_000 + "]" * 20_000
        client.send_line(
            b'{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":{"name":"codex_spawn","arguments":'
            b'{"prompt":"x","config":{"a":' + deep.encode() + b"}}}}"
        )
        assert (await client.reply("deep"))["error"]["code"] == -32700
        assert (await client.request("ping"))["result"] == {}


async def test_a_line_of_50_megabytes_is_skipped_and_answered() -> None:
    async with connected() as client:
        stall = LoopStall()
        head = (
            b'{"jsonrpc":"2.0","id":"big","method":"tools/call","params":{"name":"codex_spawn","arguments":{"prompt":"'
        )
        client.writer.write(head)
        piece = b"x" * 262_144
        for _ in range(200):
            client.writer.write(piece)
            await client.writer.drain()
        client.send_line(b'"}}}')
        reply = await client.reply("big")
        assert reply["error"]["code"] == -32600
        assert str(limits.MESSAGE_BYTES_MAX) in reply["error"]["message"]
        assert (await client.request("ping"))["result"] == {}
        assert stall.stop() < 0.5


async def test_the_longest_prompt_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async def length(caller: Any, asked: Any) -> AnythingOutput:
        return AnythingOutput(value=[len(asked.prompt), caller.client.frontend])

    add_tool(monkeypatch, "codex_resume", length, table.BY_NAME["codex_resume"].input)
    async with connected() as client:
        for text in ("x" * limits.PROMPT_CHARS, "😀" * limits.PROMPT_CHARS):
            result = await client.call("codex_resume", {"jobId": "x", "prompt": text})
            assert result["structuredContent"] == {"value": [limits.PROMPT_CHARS, "mcp"]}
        result = await client.call("codex_resume", {"jobId": "x", "prompt": "x" * (limits.PROMPT_CHARS + 1)})
        assert result["structuredContent"]["details"]["field"] == "prompt"


class LoopStall:
    """How long the loop did not turn, in seconds of its own thread's work: a busy machine adds nothing."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            self._longest = max(self._longest, time.thread_time() - before)

    def stop(self) -> float:
        self._task.cancel()
        return self._longest


# -- a client that does not read --------------------------------------------------------------------------------------


async def test_answers_wait_for_a_client_that_pauses_and_progress_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "test_large", "x" * 1_000_000)

    reported = asyncio.Event()

    async def chatter(caller: Any, asked: Any) -> AnythingOutput:
        for number in range(5_000):
            await caller.report_progress(float(number), None, "y" * 100)
        reported.set()
        return AnythingOutput(value="said")

    add_tool(monkeypatch, "test_chatter", chatter)
    async with connected() as client:
        client.pause()
        large = [client.start_call("test_large") for _ in range(3)]
        # The calls run in the order of their arrival, so the client is congested before the first report.
        said = client.start_call("test_chatter", progressToken=1)
        quick = [client.start("ping") for _ in range(10)]
        await soon(reported)
        client.resume()
        for name in large:
            assert len((await client.reply(name))["result"]["structuredContent"]["value"]) == 1_000_000
        for name in (said, *quick):
            assert "result" in await client.reply(name)
        assert client.of_method("notifications/progress") == []
        assert "result" in await client.reply(client.start_call("test_chatter", progressToken=2))
        assert len(client.of_method("notifications/progress")) > 100


async def test_a_client_that_reads_nothing_is_disconnected_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_QUEUE_BYTES", 2_000_000)
    give(monkeypatch, "test_large", "x" * 500_000)
    async with serving() as (client, task):
        await client.initialize()
        client.pause()
        for _ in range(10):
            client.start_call("test_large")
        assert await asyncio.wait_for(task, PATIENCE) == 1


async def test_others_are_served_while_one_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "test_large", "x" * 1_000_000)
    async with connected() as lazy, connected() as other:
        lazy.pause()
        names = [lazy.start_call("test_large") for _ in range(10)]
        for _ in range(20):
            assert (await other.request("ping"))["result"] == {}
        lazy.resume()
        for name in names:
            assert "result" in await lazy.reply(name)


def test_the_raw_client_refuses_a_torn_line() -> None:
    async def run() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(b'{"jsonrpc":"2.0"')
        reader.feed_eof()
        client = RawClient(reader, None)  # type: ignore[arg-type]
        await client.ended.wait()
        with pytest.raises(AssertionError, match="torn line"):
            client._task.result()

    asyncio.run(run())
