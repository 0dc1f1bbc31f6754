"""Jobs and transport: how much the sidecar adds to what the machine needs anyway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, in_turn, repeated
from benchmarks.scene import PROGRAM, Scene, first_reply, scene, stamp
from sidecar.jobs.journal import Journal
from sidecar.model.job import Job

LINES = 200_000
OLD_JOBS = 10_000


async def figures() -> list[Figure]:
    """All rows. Takes about two minutes."""
    async with scene() as it:
        rows = [await lsp_start(it), await spawn_to_start(it), await end_to_answer(it), await event_to_poll(it)]
        rows += await ingest(it)
        rows += await idle(it)
    rows += await with_old_jobs()
    return rows


async def lsp_start(it: Scene) -> Figure:
    bare = [sys.executable, str(Path(__file__).with_name("bare_lsp.py"))]
    ours, floor = await in_turn(7, lambda: first_reply([*PROGRAM, "lsp"], it.repo), lambda: first_reply(bare, it.repo))
    return Figure("warm `lsp` start → initialized", ours * 1e3, "ms", floor * 1e3, "bare pygls server", 0.25)


async def _spawn_to_start(it: Scene) -> float:
    """Seconds from the call to the worker's first act."""
    mark = it.root / "started"
    it.script(it.whole(before=stamp(mark)))
    called = time.time()
    job = await it.spawn()
    await it.ended(job)
    return float(mark.read_text()) - called


async def _bare_start(it: Scene) -> float:
    mark = it.root / "started-bare"
    it.script(it.whole(before=stamp(mark)), "bare")
    called = time.time()
    process = await asyncio.create_subprocess_exec(str(it.root / "bare"), stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
    return float(mark.read_text()) - called


async def spawn_to_start(it: Scene) -> Figure:
    ours, floor = await in_turn(15, lambda: _spawn_to_start(it), lambda: _bare_start(it))
    return Figure(
        "`codex_spawn` → worker started, over bare `create_subprocess_exec`", (ours - floor) * 1e3, "ms", target=60
    )


async def _end_to_answer(it: Scene) -> float:
    mark = it.root / "ended"
    it.script(it.whole(middle="sleep 0.1", after=stamp(mark)))
    job = await it.spawn()
    await it.ended(job)
    return time.time() - float(mark.read_text())


async def end_to_answer(it: Scene) -> Figure:
    seconds = await repeated(15, lambda: _end_to_answer(it))
    return Figure("worker's last act → `codex_wait_any` answers", seconds * 1e3, "ms", target=10)


async def event_to_poll(it: Scene) -> Figure:
    """A worker prints the time with each line; a client polls as fast as it is answered."""
    line = '{"type":"item.completed","item":{"id":"item_2","type":"agent_message","text":"\'$(date +%s.%N)\'"}}'
    it.script(it.whole(middle=f"for n in $(seq 60); do printf '%s\\n' '{line}'; sleep 0.02; done"))
    job = await it.spawn()
    late: list[float] = []
    asked: dict[str, Any] = {"jobId": job["jobId"], "maxBytes": 65_536}
    while True:
        page = await it.client.call("codex_events", asked)
        received = time.time()
        for event in page["events"]:
            text = event["content"].get("text", "")
            if text.replace(".", "").isdigit():
                late.append(received - float(text))
        asked["cursor"] = page["nextCursor"]
        if page["done"]:
            break
    return Figure("worker prints → a polling client has the event", statistics.median(late) * 1e3, "ms", target=15)


def _lines() -> list[bytes]:
    """Lines as Codex prints them, mean 1.2 kB."""
    chosen = random.Random(7)
    found = []
    for number in range(LINES):
        size = min(20_000, int(chosen.paretovariate(1.1) * 180))
        item = {
            "id": f"item_{number}",
            "type": "command_execution",
            "command": "/bin/bash -lc 'pytest -q'",
            "aggregated_output": "x" * size,
            "exit_code": 0,
            "status": "completed",
        }
        found.append(json.dumps({"type": "item.completed", "item": item}).encode())
    return found


async def ingest(it: Scene) -> list[Figure]:
    lines = _lines()
    spool = it.root / "many.jsonl"
    spool.write_bytes(b"\n".join(lines) + b"\n")
    started = time.perf_counter()
    for line in lines:
        json.loads(line)
    floor = LINES / (time.perf_counter() - started)
    it.script(it.whole(middle=f"cat {spool}"))
    waits: list[float] = []

    async def ask() -> None:
        while True:
            before = time.perf_counter()
            await it.client.call("codex_status", {})
            waits.append(time.perf_counter() - before)
            await asyncio.sleep(0.005)

    job = await it.spawn()
    asking = asyncio.create_task(ask())
    cpu, before = it.service().cpu_times(), time.perf_counter()
    await it.ended(job)
    seconds = time.perf_counter() - before
    used = it.service().cpu_times()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    busy = used.user + used.system - cpu.user - cpu.system
    waits.sort()
    return [
        Figure("ingest of a worker's stream", LINES / seconds, "lines/s", floor, "bare json.loads loop", 0.35, True),
        Figure(f"… CPU for {LINES:,} lines", busy, "s"),
        Figure("… another call meanwhile, p99", waits[int(len(waits) * 0.99)] * 1e3, "ms", target=50),
    ]


async def idle(it: Scene) -> list[Figure]:
    process = it.service()
    await asyncio.sleep(1)
    before = process.cpu_times()
    await asyncio.sleep(10)
    after = process.cpu_times()
    share = (after.user + after.system - before.user - before.system) / 10 * 100
    return [
        Figure("idle, one client connected", share, "% of a core", target=0.3),
        Figure("memory of the sidecar", process.memory_info().rss / 2**20, "MiB", target=120),
    ]


async def _fill(it: Scene) -> None:
    """10,000 jobs that ended long ago, written as the journal writes them."""
    service = it.service()
    service.terminate()
    service.wait(5)
    journal = Journal(it.repo / ".git/codex-sidecar/jobs.sqlite")
    await journal.open()
    first = await journal.last_number() + 1
    jobs = [
        Job(
            job_id=f"old-{number}",
            number=number,
            title=f"old job {number}",
            sandbox="read-only",
            status="done",
            working_directory=str(it.repo),
            timeout_ms=1000,
            created_at=1.0,
            finished_at=2.0,
            exit_code=0,
        )
        for number in range(first, first + OLD_JOBS)
    ]
    await journal.save(*jobs)
    await journal.close()


async def with_old_jobs() -> list[Figure]:
    """The same with a full journal, in turn with an empty one: nothing may become slower by more than a tenth."""
    async with scene() as empty, scene() as full, contextlib.AsyncExitStack() as stack:
        await _fill(full)
        await full.reconnect(stack)
        await full.ended(await full.spawn())
        lsp = [*PROGRAM, "lsp"]
        pairs = {
            "warm `lsp` start": await in_turn(
                25, lambda: first_reply(lsp, full.repo), lambda: first_reply(lsp, empty.repo)
            ),
            "`codex_spawn` → worker started": await in_turn(
                25, lambda: _spawn_to_start(full), lambda: _spawn_to_start(empty)
            ),
            "worker's last act → answer": await in_turn(
                25, lambda: _end_to_answer(full), lambda: _end_to_answer(empty)
            ),
        }
    return [
        Figure(f"{name}, {OLD_JOBS:,} finished jobs", a * 1e3, "ms", b * 1e3, "no finished jobs", 1.1)
        for name, (a, b) in pairs.items()
    ]
