"""The job manager with real processes: states, slots, cancel, time limits, dependencies, waiting."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from sidecar.jobs import recovery
from sidecar.jobs.changes import Change
from sidecar.jobs.journal import Journal
from sidecar.jobs.local import LocalExecutor
from sidecar.jobs.store import JobStore
from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.model.job import Job
from sidecar.model.settings import CodexSettings, LimitSettings, Settings
from tests.support.plain import PlainBackend, alive, ended, open_manager, task, until

SECONDS = 40.0
SLEEP = "import time; print('activity sleeping', flush=True); time.sleep(60)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ignore = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)'
child = subprocess.Popen([sys.executable, '-S', '-c', ignore], start_new_session=True)
print('activity', child.pid, flush=True)
time.sleep(60)
"""


async def test_a_job_runs_and_its_result_is_kept(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        changes: list[Change] = []
        manager.subscribe(changes.append)
        job = await manager.spawn(
            task("print('thread T1'); print('usage 7'); print('wrote a.py'); print('all good')", tmp_path),
            on_dirty="refuse",
        )
        assert job.status == "starting"
        assert job.label == "w1"
        assert job.started_at is not None
        end = await ended(manager, job.job_id)
        assert (end.status, end.exit_code, end.error) == ("done", 0, None)
        assert (end.thread_id, end.modified_files) == ("T1", ["a.py"])
        assert end.usage is not None
        assert end.usage.input_tokens == 7
        assert [file.path for file in end.touched_files] == ["a.py"]
        assert manager.final_text(end) == "all good"
        assert not (manager.store.directory(job.job_id) / "env.json").exists()
        assert {change.kind for change in changes} >= {"job", "events", "limits"}
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        again = await manager.job(job.job_id)
        assert again == end
        assert manager.final_text(again) == "all good"
        assert (await manager.spawn(task("pass", tmp_path), on_dirty="refuse")).label == "w2"


async def test_the_worker_has_the_environment_of_its_front_end_and_it_is_private(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        new = task("import os, time; print(os.environ['SECRET']); time.sleep(1)", tmp_path)
        new.env["SECRET"] = "s3cret"
        job = await manager.spawn(new, on_dirty="refuse")
        env = manager.store.directory(job.job_id) / "env.json"
        assert env.stat().st_mode & 0o777 == 0o600
        end = await ended(manager, job.job_id)
        assert manager.final_text(end) == "s3cret"
        left = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()]
        assert left == [manager.store.attempt(job) / "prompt"]


async def test_limits_hold_and_the_queue_is_first_come_first_served(tmp_path: Path) -> None:
    settings = Settings(limits=LimitSettings(read=2, write=1))
    async with open_manager(tmp_path / "state", tmp_path, settings) as manager:
        wait = f"import time, os\nwhile not os.path.exists('{tmp_path}/go'): time.sleep(0.02)"
        reads = [await manager.spawn(task(wait, tmp_path), on_dirty="refuse") for _ in range(4)]
        writes = [await manager.spawn(task(wait, tmp_path, "workspace-write"), on_dirty="refuse") for _ in range(3)]
        assert [job.status for job in reads] == ["starting", "starting", "queued", "queued"]
        assert [job.status for job in writes] == ["starting", "queued", "queued"]
        assert manager.queue().positions == {
            reads[2].job_id: 1, reads[3].job_id: 2, writes[1].job_id: 1, writes[2].job_id: 2,
        }  # fmt: skip
        assert manager.slot_counts() == {"read": (2, 2), "write": (1, 2)}
        (tmp_path / "go").touch()
        ends = [await ended(manager, job.job_id) for job in reads + writes]
        assert {job.status for job in ends} == {"done"}
        starts = [job.started_at for job in ends[4:]]
        assert starts == sorted(starts)  # type: ignore[type-var]
        assert [(one.finished_at or 0) <= (two.started_at or 0) for one, two in itertools.pairwise(ends[4:])] == [
            True,
            True,
        ]


async def test_a_cancel_ends_the_whole_tree_and_force_does_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GRACE_SECONDS", 600.0)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        job = await manager.spawn(task(STUBBORN, tmp_path), on_dirty="refuse")
        await until(lambda: (manager.live[job.job_id].parser.activity or "").isdigit())
        child = int(manager.live[job.job_id].parser.activity or "0")
        stopping, success = await manager.cancel(job.job_id, force=False)
        assert (stopping.status, success) == ("stopping", True)
        _, success = await manager.cancel(job.job_id, force=True)
        assert success
        end = await ended(manager, job.job_id)
        assert (end.status, end.exit_code, end.error) == ("cancelled", -9, None)
        assert not alive(child)
        assert (await manager.cancel(job.job_id, force=True))[1] is False


async def test_a_queued_job_is_cancelled_without_starting(tmp_path: Path) -> None:
    settings = Settings(limits=LimitSettings(read=1, write=1))
    async with open_manager(tmp_path / "state", tmp_path, settings) as manager:
        first = await manager.spawn(task(SLEEP, tmp_path), on_dirty="refuse")
        second = await manager.spawn(task(f"open('{tmp_path}/ran', 'w')", tmp_path), on_dirty="refuse")
        cancelled, success = await manager.cancel(second.job_id, force=False)
        assert (cancelled.status, success) == ("cancelled", True)
        await manager.cancel(first.job_id, force=True)
        await ended(manager, first.job_id)
        assert cancelled.started_at is None
        assert not (tmp_path / "ran").exists()


async def test_a_cancel_during_the_start_is_not_lost(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        for delay in (0, 0.005, 0.02, 0.03, 0.04, 0.06):
            job = await manager.spawn(task(SLEEP, tmp_path), on_dirty="refuse")
            await asyncio.sleep(delay)
            await manager.cancel(job.job_id, force=True)
            assert (await ended(manager, job.job_id)).status == "cancelled"


async def test_a_cancel_is_stronger_than_whatever_keeps_a_worker_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check hangs, fails when it is given up, or fails in the same moment; the answered cancel holds."""
    hangs, failing = asyncio.Event(), asyncio.Event()
    refusal = SidecarError("sandbox-unavailable", "It does not work here.")

    async def check_that_hangs(self: PlainBackend, job: Job, **facts: object) -> None:
        hangs.set()
        try:
            await asyncio.sleep(600)
        finally:
            if job.title == "rude":
                raise refusal

    async def check_that_fails(self: PlainBackend, job: Job, **facts: object) -> None:
        hangs.set()
        await failing.wait()
        raise refusal

    async with open_manager(tmp_path / "state", tmp_path) as manager:
        monkeypatch.setattr(PlainBackend, "preflight", check_that_hangs)
        for title in ("polite", "rude"):
            hangs.clear()
            job = await manager.spawn(task(SLEEP, tmp_path, title=title), on_dirty="refuse")
            await hangs.wait()
            stopping, success = await manager.cancel(job.job_id, force=False)
            assert (stopping.status, success) == ("stopping", True)
            end = await ended(manager, job.job_id)
            assert (end.status, end.error, end.exit_code) == ("cancelled", None, None)
            assert manager.slot_counts()["read"] == (0, 0)
            assert manager.backend.cleaned.count(job.job_id) == 1  # type: ignore[attr-defined]
        hangs.clear()
        monkeypatch.setattr(PlainBackend, "preflight", check_that_fails)
        job = await manager.spawn(task(SLEEP, tmp_path), on_dirty="refuse")
        await hangs.wait()
        save = manager.journal.save

        async def save_while_it_fails(one: Job) -> None:
            failing.set()
            await asyncio.sleep(0.05)
            await save(one)

        monkeypatch.setattr(manager.journal, "save", save_while_it_fails)
        await manager.cancel(job.job_id, force=False)
        assert (await ended(manager, job.job_id)).status == "cancelled"


async def test_a_cancel_does_not_wait_for_the_starts_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start waits for the first line of the one before it; a job that is cancelled need not."""
    monkeypatch.setattr(limits, "START_SPACING_SECONDS", 600.0)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        silent = await manager.spawn(task("import time; time.sleep(60)", tmp_path), on_dirty="refuse")
        await until(lambda: manager.live[silent.job_id].job.status == "running")
        waiting = [await manager.spawn(task(SLEEP, tmp_path), on_dirty="refuse") for _ in range(3)]
        for job in reversed(waiting):
            await manager.cancel(job.job_id, force=False)
            assert (await ended(manager, job.job_id)).status == "cancelled"
        assert not any((manager.store.attempt(job) / "claim").exists() for job in waiting)
        await manager.cancel(silent.job_id, force=True)
        await ended(manager, silent.job_id)
        after = await manager.spawn(task("print('fine')", tmp_path), on_dirty="refuse")
        assert (await ended(manager, after.job_id)).status == "done", "the turn of those that gave up is free"


async def test_a_job_past_its_time_is_failed_as_timed_out(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        job = await manager.spawn(task(SLEEP, tmp_path, timeout_ms=1000), on_dirty="refuse")
        end = await ended(manager, job.job_id)
        assert end.status == "failed"
        assert end.error is not None
        assert end.error.kind == "timed-out"
        assert "1 s" in end.error.message


async def test_a_program_that_is_not_there_fails_the_job_with_a_word(tmp_path: Path) -> None:
    async with open_manager(
        tmp_path / "state", tmp_path, Settings(codex=CodexSettings(path="/nowhere/codex"))
    ) as manager:
        job = await manager.spawn(task("pass", tmp_path), on_dirty="refuse")
        end = await ended(manager, job.job_id)
        assert end.status == "failed"
        assert end.error is not None
        assert "/nowhere/codex" in end.error.message


async def test_dependents_start_after_done_and_are_cancelled_after_anything_else(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        good = await manager.spawn(task("import time; time.sleep(0.2)", tmp_path), on_dirty="refuse")
        after_good = await manager.spawn(task("print('after')", tmp_path, depends_on=[good.job_id]), on_dirty="refuse")
        bad = await manager.spawn(task("import time, sys; time.sleep(0.2); sys.exit(3)", tmp_path), on_dirty="refuse")
        after_bad = await manager.spawn(task("pass", tmp_path, depends_on=[bad.job_id]), on_dirty="refuse")
        far = await manager.spawn(task("pass", tmp_path, depends_on=[after_bad.job_id]), on_dirty="refuse")
        assert [job.status for job in (after_good, after_bad, far)] == ["queued"] * 3
        ends = [await ended(manager, job.job_id) for job in (good, after_good, bad, after_bad, far)]
        assert [job.status for job in ends] == ["done", "done", "failed", "cancelled", "cancelled"]
        assert (ends[1].started_at or 0) >= (ends[0].finished_at or 1e18)
        assert ends[3].error is not None
        assert bad.job_id in ends[3].error.message
        late = await manager.spawn(task("pass", tmp_path, depends_on=[bad.job_id]), on_dirty="refuse")
        assert (await ended(manager, late.job_id)).status == "cancelled"
        with pytest.raises(SidecarError) as caught:
            await manager.spawn(task("pass", tmp_path, depends_on=["nothing"]), on_dirty="refuse")
        assert caught.value.kind == "unknown-job"


async def test_jobs_whose_files_overlap_do_not_run_together(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        program = "import time; time.sleep(0.3)"
        jobs = [
            await manager.spawn(task(program, tmp_path, "workspace-write", expected_files=[pattern]), on_dirty="refuse")
            for pattern in ("src/**", "src/a.py", "docs/a.md")
        ]
        assert [job.status for job in jobs] == ["starting", "queued", "starting"]
        ends = [await ended(manager, job.job_id) for job in jobs]
        assert (ends[1].started_at or 0) >= (ends[0].finished_at or 1e18)


async def test_wait_any_names_the_first_that_ended_and_times_out_normally(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        slow = await manager.spawn(task(SLEEP, tmp_path), on_dirty="refuse")
        assert await manager.wait_any([slow.job_id], 0.05) is None
        assert await manager.wait_any([slow.job_id], 0) is None
        quick = await manager.spawn(task("pass", tmp_path), on_dirty="refuse")
        assert await manager.wait_any([slow.job_id, quick.job_id], SECONDS) == quick.job_id
        await manager.cancel(slow.job_id, force=True)
        await ended(manager, slow.job_id)
        assert await manager.wait_any([slow.job_id, quick.job_id], SECONDS) == quick.job_id


async def test_a_silent_worker_is_called_stalled_and_no_longer_when_it_speaks(tmp_path: Path) -> None:
    settings = Settings(stalled_after_seconds=0.3)
    async with open_manager(tmp_path / "state", tmp_path, settings) as manager:
        told: list[bool] = []
        manager.subscribe(lambda change: told.append(manager.is_stalled(change.id)) if change.kind == "job" else None)
        program = "import time; print('one', flush=True); time.sleep(1); print('two', flush=True); time.sleep(0.2)"
        job = await manager.spawn(task(program, tmp_path), on_dirty="refuse")
        await until(lambda: manager.is_stalled(job.job_id))
        await until(lambda: not manager.is_stalled(job.job_id))
        await ended(manager, job.job_id)
        assert True in told


async def test_a_worker_killed_from_outside_is_failed_with_its_signal(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        job = await manager.spawn(task("import os; os.kill(os.getpid(), 9)", tmp_path), on_dirty="refuse")
        end = await ended(manager, job.job_id)
        assert (end.status, end.exit_code) == ("failed", -9)


async def test_a_killed_runner_leaves_an_interrupted_job_and_no_process(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        job = await manager.spawn(
            task("import os, time; print('activity', os.getpid(), flush=True); time.sleep(60)", tmp_path),
            on_dirty="refuse",
        )
        await until(lambda: (manager.live[job.job_id].parser.activity or "").isdigit())
        await until(lambda: manager.live[job.job_id].job.status == "running")
        worker = int(manager.live[job.job_id].parser.activity or "0")
        os.kill(manager.active_pids().pop(), 9)
        end = await ended(manager, job.job_id)
        assert end.status == "interrupted"
        assert end.error is not None
        assert not alive(worker)


async def test_what_ended_while_no_sidecar_was_there_is_told_from_the_first_answer_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the end: done, failed, stopped, its runner killed, and one before whose start was even recorded."""
    wait = (
        f"import os, sys, time\nprint('activity', os.getpid(), flush=True)\nwhile not os.path.exists('{tmp_path}/go'):"
    )
    wait += " time.sleep(0.01)\nprint('said', flush=True)\n"
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        jobs = [
            await manager.spawn(task(wait + end, tmp_path), on_dirty="refuse")
            for end in ("pass", "sys.exit(3)", "time.sleep(60)", "time.sleep(60)", "pass", "time.sleep(60)")
        ]
        await until(lambda: all(manager.live[job.job_id].parser.activity for job in jobs))
        await until(lambda: all(manager.live[job.job_id].job.status == "running" for job in jobs))
        handles = [manager.live[job.job_id].job.handle for job in jobs]
        done, failed, stopped, _lost, unrecorded, running = jobs
        store = manager.store
    journal = Journal(tmp_path / "state" / "jobs.sqlite")
    await journal.open()
    found = await journal.job(unrecorded.job_id)
    assert found is not None
    await journal.save(msgspec.structs.replace(found, status="starting", handle=None))
    await journal.close()
    (tmp_path / "go").touch()
    executor = LocalExecutor()
    assert handles[2] is not None
    assert handles[3] is not None
    await executor.cancel(handles[2], force=False)
    os.kill(handles[3].token["pid"], 9)
    over = [store.attempt(job) / "exit.json" for job in (done, failed, stopped, unrecorded)]
    await until(lambda: all(path.exists() for path in over))
    await until(lambda: not alive(handles[3].token["pid"]))  # type: ignore[union-attr]
    # On a busy machine the ends take longer to record than the first answer is held up for.
    monkeypatch.setattr(recovery, "SETTLE_SECONDS", SECONDS)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        ends = [await manager.job(job.job_id) for job in jobs]
        assert [end.status for end in ends] == ["done", "failed", "cancelled", "interrupted", "done", "running"]
        assert [end.exit_code for end in ends[:3]] == [0, 3, -15]
        assert manager.final_text(ends[0]) == "said"
        await manager.cancel(running.job_id, force=True)
        await ended(manager, running.job_id)


async def test_an_end_that_takes_long_to_read_does_not_keep_the_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        # It ends when no sidecar is there any more.
        wait = f"import time, os\nwhile not os.path.exists('{tmp_path}/go'): time.sleep(0.02)"
        job = await manager.spawn(task(wait, tmp_path), on_dirty="refuse")
        await until(lambda: manager.live[job.job_id].job.status == "running")
        record = manager.store.attempt(job) / "exit.json"
    (tmp_path / "go").touch()
    await until(record.exists)
    go = threading.Event()
    tail = JobStore.stderr_tail

    def slow(self: JobStore, job: Job) -> str:
        go.wait(30)
        return tail(self, job)

    monkeypatch.setattr(JobStore, "stderr_tail", slow)
    monkeypatch.setattr(recovery, "SETTLE_SECONDS", 0.1)
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        assert (await manager.job(job.job_id)).status == "running"
        go.set()
        assert (await ended(manager, job.job_id)).status == "done"


async def test_clock_jumps_change_no_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        job = await manager.spawn(task("import time; time.sleep(0.5)", tmp_path), on_dirty="refuse")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 86_400)
        assert not manager.is_stalled(job.job_id)
        assert await manager.wait_any([job.job_id], SECONDS) == job.job_id
        assert (await manager.job(job.job_id)).status == "done"
