"""The merged order of a worker's lines and our own events: every event once, in one order, however it is read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.jobs import durable
from sidecar.jobs.log import JobLog
from sidecar.jobs.paging import Position
from sidecar.model import limits
from sidecar.model.event import Event, ParsedEvent


class LineParser:
    """The smallest parser: a line is a message with its text."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def parse(self, line: bytes) -> ParsedEvent:
        self.lines.append(line)
        return ParsedEvent("message", {"kind": "line", "text": line.decode("utf-8", "replace")[:200]})


def open_log(directory: Path, *, watched: bool = True) -> JobLog:
    log = JobLog(
        directory / "events.jsonl", directory / "own.jsonl", directory / "times.jsonl", LineParser(), LineParser,
        watched=watched,
    )  # fmt: skip
    log.load()
    return log


async def read_all(log: JobLog, step: int) -> list[Event]:
    """All events by pages of `step`."""
    events: list[Event] = []
    position = Position()

    def take(event: Event) -> bool:
        events.append(event)
        return True

    while True:
        position, at_end = await log.page(position, step, take)
        if at_end:
            return events


def texts(events: list[Event]) -> list[str]:
    return [event.content.get("text", event.content["kind"]) for event in events]


_ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.sampled_from([b"one\n", b"two\n", b"ha", b"lf\n", b"\n", b"\n\n  \n", b"x" * 300 + b"\n"]),
        ),
        st.tuples(st.just("own"), st.just(b"")),
        st.tuples(st.just("read"), st.just(b"")),
        st.tuples(st.just("reopen"), st.just(b"")),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(_ACTIONS, st.integers(1, 7))
def test_every_event_comes_once_and_the_order_never_changes(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, bytes]], step: int
) -> None:
    directory = tmp_path_factory.mktemp("log")

    async def scenario() -> None:
        log = open_log(directory)
        spool = directory / "events.jsonl"
        count = 0
        before: list[str] = []
        for what, data in [*actions, ("read", b"")]:
            if what == "write":
                with spool.open("ab") as file:
                    file.write(data)
            elif what == "own":
                count += 1
                await log.append("progress", {"kind": f"own-{count}"})
            elif what == "reopen":
                log.close()
                log = open_log(directory, watched=False)
            else:
                await log.catch_up()
                now = texts(await read_all(log, step))
                assert now[: len(before)] == before, "what was read once stays where it was"
                before = now
        await log.catch_up(ended=True)
        events = await read_all(log, step)
        assert texts(events)[: len(before)] == before
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        written = spool.read_bytes() if spool.exists() else b""
        lines = [line.decode() for line in written.split(b"\n") if line.strip()]
        assert [text for text in texts(events) if not text.startswith("own-")] == [line[:200] for line in lines]
        assert [text for text in texts(events) if text.startswith("own-")] == [f"own-{n}" for n in range(1, count + 1)]
        log.close()
        finished = open_log(directory)
        finished.load_finished()
        assert texts(await read_all(finished, 3)) == texts(events)
        finished.close()

    asyncio.run(scenario())


async def test_a_torn_line_waits_for_its_newline_and_ends_with_the_worker(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    (tmp_path / "events.jsonl").write_bytes(b"whole\nto")
    await log.catch_up()
    assert texts(await read_all(log, 10)) == ["whole"]
    (tmp_path / "events.jsonl").write_bytes(b"whole\ntorn")
    await log.catch_up(ended=True)
    assert texts(await read_all(log, 10)) == ["whole", "torn"]
    log.close()


async def test_a_line_above_the_limit_is_cut_for_the_parser_and_reading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SPOOL_LINE_BYTES", 1000)
    monkeypatch.setattr(limits, "LOOP_BUDGET_BYTES", 300)
    (tmp_path / "events.jsonl").write_bytes(b"a\n" + b"x" * 200_000 + b"\nb\n")
    parser = LineParser()
    log = JobLog(tmp_path / "events.jsonl", tmp_path / "own", tmp_path / "times", parser, LineParser, watched=True)
    await log.catch_up()
    assert [len(line) for line in parser.lines] == [1, 1001, 1]
    assert texts(await read_all(log, 1)) == ["a", "x" * 200, "b"]
    log.close()


async def test_times_that_nobody_watched_are_marked(tmp_path: Path) -> None:
    spool = tmp_path / "events.jsonl"
    spool.write_bytes(b"")
    log = open_log(tmp_path)
    spool.write_bytes(b"watched\n")
    await log.catch_up()
    log.close()
    with spool.open("ab") as file:
        file.write(b"alone\n")
    log = open_log(tmp_path, watched=False)
    await log.catch_up()
    with spool.open("ab") as file:
        file.write(b"again\n")
    await log.catch_up()
    marks = [event.content.get("approximateTime", False) for event in await read_all(log, 10)]
    assert marks == [False, True, False]
    log.close()


async def test_reading_a_large_spool_lets_the_loop_go_on(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes((b"y" * 800 + b"\n") * 30_000)
    log = open_log(tmp_path)
    loop = asyncio.get_running_loop()
    turns: list[float] = []

    async def ticker() -> None:
        while True:
            turns.append(loop.time())
            await asyncio.sleep(0)

    ticking = asyncio.create_task(ticker())
    assert await log.catch_up() == 30_000
    ticking.cancel()
    assert len(turns) > 24 * 1024 * 1024 / limits.LOOP_BUDGET_BYTES * 0.9
    log.close()


def test_append_cuts_a_torn_tail_of_an_earlier_crash(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_bytes(b'{"a":1}\n{"torn"')
    durable.append(path, b'{"b":2}\n')
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'


def test_write_file_replaces_whole_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    durable.write_file(path, b"one")
    durable.write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
