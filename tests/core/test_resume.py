"""Going on in a conversation: a worker that still runs is interrupted, and the new job starts when it is dead."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from sidecar.jobs.manager import JobManager
from sidecar.model.errors import SidecarError
from sidecar.model.job import Job
from sidecar.model.settings import LimitSettings, Settings
from tests.support.plain import alive, ended, open_manager, task, until
from tests.support.repo import make_repo
from tests.support.round import Round, open_round
from tests.support.round import until as eventually

SECONDS = 40.0
TALKS = "import os, time; print('thread T1'); print('usage 7'); print('activity', os.getpid(), flush=True)"
HOLDS = f"{TALKS}; time.sleep(120)"
ONE = Settings(limits=LimitSettings(read=1, write=1))


async def running(manager: JobManager, job: Job) -> int:
    """The worker's pid, once it has begun its conversation."""
    await until(lambda: (manager.live[job.job_id].parser.activity or "").isdigit(), SECONDS)
    return int(manager.live[job.job_id].parser.activity or "0")


def message(top: Path, old: Job, program: str, sandbox: str = "read-only") -> Any:
    return task(program, top, sandbox, resumes=old.job_id, resume_thread="T1")


async def test_a_running_job_is_interrupted_and_its_follower_starts_after_its_end(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path, ONE) as manager:
        old = await manager.spawn(task(HOLDS, tmp_path, "workspace-write"), on_dirty="refuse")
        waiting = await manager.spawn(task("pass", tmp_path, "workspace-write"), on_dirty="refuse")
        worker = await running(manager, old)
        program = f"import os; print('thread T1'); print('usage 12'); print(os.path.exists('/proc/{worker}'))"
        new = await manager.spawn(message(tmp_path, old, program, "workspace-write"), on_dirty="refuse")
        assert (new.status, new.interrupts) == ("queued", True)
        first = await ended(manager, old.job_id, SECONDS)
        assert first.status == "cancelled"
        assert first.error is not None
        assert first.error.details == {"interruptedBy": new.job_id}
        assert new.label in first.error.message
        assert not alive(worker)
        then = await ended(manager, new.job_id, SECONDS)
        assert (then.status, manager.final_text(then)) == ("done", "False")
        assert (then.started_at or 0) >= (first.finished_at or 1e18)
        # The conversation keeps its slot: the one that had waited longer comes after it.
        after = await ended(manager, waiting.job_id, SECONDS)
        assert after.status == "done"
        assert (after.started_at or 0) >= (then.finished_at or 1e18)
        assert (first.usage and first.usage.input_tokens, then.usage and then.usage.input_tokens) == (7, 5)


async def test_a_job_that_ended_meanwhile_is_simply_gone_on_with(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        old = await manager.spawn(task(TALKS, tmp_path), on_dirty="refuse")
        assert (await ended(manager, old.job_id, SECONDS)).status == "done"
        new = await manager.spawn(message(tmp_path, old, "print('usage 9')"), on_dirty="refuse")
        assert (new.status, new.interrupts) == ("starting", False)
        then = await ended(manager, new.job_id, SECONDS)
        assert (then.status, then.usage and then.usage.input_tokens) == ("done", 2)
        assert (await manager.job(old.job_id)).status == "done"


async def test_a_conversation_has_one_job_at_a_time(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        old = await manager.spawn(task(HOLDS, tmp_path), on_dirty="refuse")
        await running(manager, old)
        new = await manager.spawn(message(tmp_path, old, HOLDS), on_dirty="refuse")
        with pytest.raises(SidecarError, match=f"{new.label} is already going on") as caught:
            await manager.spawn(message(tmp_path, old, "pass"), on_dirty="refuse")
        assert caught.value.kind == "busy"
        await ended(manager, old.job_id, SECONDS)
        await running(manager, new)
        third = await manager.spawn(message(tmp_path, new, "print('usage 20')"), on_dirty="refuse")
        end = await ended(manager, third.job_id, SECONDS)
        middle = await manager.job(new.job_id)
        assert (middle.status, middle.usage and middle.usage.input_tokens) == ("cancelled", 0)
        assert (end.status, end.usage and end.usage.input_tokens) == ("done", 13)


async def test_each_job_of_a_conversation_holds_its_own_tokens_whichever_was_resumed(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        first = await manager.spawn(task(TALKS, tmp_path), on_dirty="refuse")
        await ended(manager, first.job_id, SECONDS)
        counted = []
        for total in (12, 20):
            job = await manager.spawn(message(tmp_path, first, f"print('usage {total}')"), on_dirty="refuse")
            usage = (await ended(manager, job.job_id, SECONDS)).usage
            counted.append(usage and usage.input_tokens)
        assert counted == [5, 8]


async def test_a_call_that_is_given_up_leaves_no_half_of_a_job(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        saving = manager.journal.save
        for moment in ("before", "after"):
            in_it, on = asyncio.Event(), asyncio.Event()

            async def save(*records: Any, moment: str = moment, at: Any = in_it, on: Any = on) -> None:
                if moment == "after":
                    await saving(*records)
                at.set()
                await on.wait()
                if moment == "before":
                    await saving(*records)

            manager.journal.save = save  # type: ignore[method-assign]
            call = asyncio.ensure_future(manager.spawn(task("pass", tmp_path), on_dirty="refuse"))
            await in_it.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            manager.journal.save = saving  # type: ignore[method-assign]
            on.set()
        last = await manager.spawn(task("pass", tmp_path), on_dirty="refuse")
        jobs = await manager.journal.recent(10)
        assert [job.number for job in jobs] == [1, 2, 3]
        for job in jobs:
            assert (await ended(manager, job.job_id, SECONDS)).status == "done"
        assert last.number == 3


async def test_a_sidecar_killed_between_the_two_steps_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: JobManager, job_id: str, **_: Any) -> None:
        raise ConnectionAbortedError("as if killed here")

    async with open_manager(tmp_path / "state", tmp_path, ONE) as manager:
        old = await manager.spawn(task(HOLDS, tmp_path, "workspace-write"), on_dirty="refuse")
        worker = await running(manager, old)
        await until(lambda: manager.live[old.job_id].job.status == "running", SECONDS)
        with monkeypatch.context() as patched:
            patched.setattr(JobManager, "cancel", never)
            with pytest.raises(ConnectionAbortedError):
                await manager.spawn(message(tmp_path, old, "print('on')", "workspace-write"), on_dirty="refuse")
        assert alive(worker)
    async with open_manager(tmp_path / "state", tmp_path, ONE) as manager:
        (new,) = [live.job for live in manager.live.values() if live.job.interrupts]
        first = await ended(manager, old.job_id, SECONDS)
        assert first.status == "cancelled"
        assert first.error is not None
        assert first.error.details == {"interruptedBy": new.job_id}
        assert not alive(worker)
        then = await ended(manager, new.job_id, SECONDS)
        assert (then.status, manager.final_text(then)) == ("done", "on")
        assert (then.started_at or 0) >= (first.finished_at or 1e18)


async def test_whoever_waits_for_the_old_one_may_cancel_the_new(tmp_path: Path) -> None:
    async with open_manager(tmp_path / "state", tmp_path) as manager:
        stubborn = f"import signal; signal.signal(15, signal.SIG_IGN); {HOLDS}"
        old = await manager.spawn(task(stubborn, tmp_path), on_dirty="refuse")
        worker = await running(manager, old)
        new = await manager.spawn(message(tmp_path, old, f"open('{tmp_path}/ran', 'w')"), on_dirty="refuse")
        assert (await manager.job(old.job_id)).status == "stopping"
        await manager.cancel(new.job_id, force=False)
        assert (await manager.job(new.job_id)).status == "cancelled"
        await manager.cancel(old.job_id, force=True)
        assert (await ended(manager, old.job_id, SECONDS)).status == "cancelled"
        assert not alive(worker)
        assert not (tmp_path / "ran").exists()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": "one\n"})


async def thread(round_: Round, job: dict[str, Any]) -> str:
    live = round_.core.manager.live[job["jobId"]]
    return str(await eventually(lambda: live.parser.thread_id))


async def test_the_tool_interrupts_and_the_work_stays(repo: Path) -> None:
    async with open_round(repo) as round_:
        stay = {"sh": "echo two >> app.py; touch ../wrote; while [ ! -e ../go ]; do sleep 0.02; done"}
        old = await round_.write("first", stay)
        conversation = await thread(round_, old)
        await eventually((repo.parent / "wrote").exists)
        new = await round_.call("codex_resume", jobId=old["jobId"], prompt="something else")
        assert (new["sandbox"], new["title"], new["status"]) == ("workspace-write", "first", "queued")
        assert await round_.ended(old) == ["cancelled"]
        result = await round_.call("codex_result", jobId=old["jobId"])
        assert result["error"]["details"] == {"interruptedBy": new["jobId"]}
        assert [file["path"] for file in result["touchedFiles"]] == ["app.py"]
        assert (repo / "app.py").read_text() == "one\ntwo\n"
        await round_.ended(new)
        assert (await round_.core.manager.job(new["jobId"])).thread_id == conversation
        jobs = (await round_.call("codex_status"))["jobs"]
        assert len({job["runId"] for job in jobs}) == 1


async def test_a_job_without_a_conversation_is_refused_with_a_way_out(repo: Path) -> None:
    async with open_round(repo) as round_:
        hold = {"sh": "while [ ! -e ../go ]; do sleep 0.02; done"}
        first, second, third = [await round_.write(f"job {n}", hold) for n in range(3)]
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_resume", jobId=third["jobId"], prompt="go on")
        assert caught.value.kind == "busy"
        assert "queued" in caught.value.message
        assert "codex_cancel" in caught.value.hint
        await round_.call("codex_cancel", jobId=third["jobId"])
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_resume", jobId=third["jobId"], prompt="go on")
        assert (caught.value.kind, caught.value.details["field"]) == ("invalid-arguments", "jobId")
        assert len((await round_.call("codex_status"))["jobs"]) == 3
        os.close(os.open(repo.parent / "go", os.O_CREAT))
        assert await round_.ended(first, second) == ["done"] * 2
