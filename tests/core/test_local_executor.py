"""The local executor with real runners and workers: what it starts, what it finds again, what it never does twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sidecar.jobs import attempt_files as files
from sidecar.jobs import local, processes
from sidecar.jobs.attempt import Attempt
from sidecar.jobs.executor import AttemptSpec, NotStarted, Outcome
from sidecar.jobs.local import LocalExecutor
from sidecar.model.job import Handle
from tests.support import full_disk
from tests.support.attempts import (
    RUNNER,
    make_spec,
    output,
    private_mounts,
    python,
    read_json,
    soon,
    survivors,
    torture,
)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
delayed: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    for process in delayed:
        process.kill()
        process.wait()
    delayed.clear()


def launch(spec: AttemptSpec, *by: str) -> subprocess.Popen[bytes]:
    """A runner whose sidecar dies before it hears of it. `by`: what is put before its command line."""
    Attempt(spec.directory).write_spec(spec)
    words = [*by, *RUNNER, str(spec.directory)]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(words, stdin=nothing, stdout=nothing, stderr=nothing)
    delayed.append(process)
    return process


def stranger_process() -> subprocess.Popen[bytes]:
    """Somebody who has nothing to do with any attempt."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    delayed.append(process)
    return process


def stored(handle: Handle) -> Handle:
    """The handle as the next sidecar gets it."""
    return msgspec.json.decode(msgspec.json.encode(handle), type=Handle)


async def ready(spec: AttemptSpec) -> None:
    await soon(lambda: b"ready" in output(spec))


# -- start and end ----------------------------------------------------------------------------------------------------


async def test_a_worker_runs_and_its_end_is_told(tmp_path: Path) -> None:
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["sh", "-c", "cat; echo; echo $CODEX_SIDECAR_JOB; exit 3"], prompt="do it")
    before = time.time()
    handle = await executor.start(spec)
    end = await executor.wait(handle)
    assert (end.outcome, end.exit_code, end.strays, end.why) == (Outcome.EXITED, 3, 0, "")
    assert before <= end.finished_at <= time.time()
    assert output(spec) == f"do it\n{spec.job_id}/1\n".encode()
    assert (handle.executor, handle.job_id, handle.attempt) == ("local", spec.job_id, 1)
    assert not (spec.directory / files.SPEC).exists()
    # Asked again, also by a later sidecar, it says the same.
    assert await executor.wait(handle) == end
    assert await LocalExecutor().wait(stored(handle)) == end


async def test_start_returns_when_the_worker_exists(tmp_path: Path) -> None:
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["sleep", "60"])
    handle = await executor.start(spec)
    record = read_json(spec.directory / files.RUNNER)
    assert processes.look(record["childPid"]).start == record["childStartTime"]
    assert handle.token == {
        "directory": str(spec.directory),
        "pid": record["pid"],
        "startTime": record["startTime"],
    }
    assert stat.S_IMODE((spec.directory / files.SPEC).stat().st_mode) == 0o600
    await executor.cancel(handle, force=True)
    await executor.wait(handle)


async def test_what_can_not_be_started_is_refused_or_not_started(tmp_path: Path) -> None:
    executor = LocalExecutor()
    for spec in (
        make_spec(tmp_path, ["/no/such/program"]),
        make_spec(tmp_path, ["true"], cwd="/no/such/place"),
        make_spec(tmp_path, ["a\0b"]),
    ):
        end = await executor.wait(await executor.start(spec))
        assert (end.outcome, end.exit_code) == (Outcome.REFUSED, None)
        assert end.why.startswith("cannot ")
    without_prompt = make_spec(tmp_path, ["true"])
    (without_prompt.directory / files.PROMPT).unlink()
    with pytest.raises(NotStarted, match="prompt"):
        await executor.start(without_prompt)
    assert not (without_prompt.directory / files.SPEC).exists()
    # It may be made again.
    (without_prompt.directory / files.PROMPT).touch()
    assert (await executor.wait(await executor.start(without_prompt))).exit_code == 0


async def test_the_runner_inherits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SIDECAR", "x")
    monkeypatch.setenv(files.MARKER_ENV, "another/1")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    executor = LocalExecutor()
    handle = await executor.start(make_spec(tmp_path, ["sleep", "60"]))
    os.close(writing)
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b""  # The end: nobody has the other side.
    os.close(reading)
    pid = handle.token["pid"]
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    assert os.getsid(pid) == pid
    await executor.cancel(handle, force=True)
    await executor.wait(handle)


async def test_ended_runners_are_reaped_without_anybody_waiting(tmp_path: Path) -> None:
    executor = LocalExecutor()
    handle = await executor.start(make_spec(tmp_path, ["true"]))
    await soon(lambda: processes.look(handle.token["pid"]) is None)


async def test_an_attempt_started_twice_runs_once(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ran; sleep 0.2; exit 5"])
    first, second = LocalExecutor(), LocalExecutor()
    handles = await asyncio.gather(first.start(spec), second.start(spec))
    ends = [await executor.wait(handle) for executor, handle in zip((first, second), handles, strict=True)]
    assert [end.exit_code for end in ends] == [5, 5]
    assert output(spec) == b"ran\n"


async def test_many_may_wait_and_stop_waiting(tmp_path: Path) -> None:
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["sh", "-c", "echo ready; exec sleep 60"])
    handle = await executor.start(spec)
    waiting = [asyncio.create_task(executor.wait(handle)) for _ in range(4)]
    await asyncio.sleep(0.02)
    for task in waiting[:2]:
        task.cancel()
    await asyncio.sleep(0.02)
    assert [task.cancelled() for task in waiting] == [True, True, False, False]
    await executor.cancel(handle, force=True)
    ends = await asyncio.gather(*waiting[2:], executor.wait(handle))
    assert {end.outcome for end in ends} == {Outcome.CANCELLED}


async def test_a_start_whose_caller_gives_up_is_found(tmp_path: Path) -> None:
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["sh", "-c", "exit 4"])
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(executor.start(spec), 0.003)
    await soon(lambda: (spec.directory / files.CLAIM).exists())
    handle = await executor.find(spec.directory, spec.job_id, 1)
    assert handle is not None
    assert (await executor.wait(handle)).exit_code == 4


@pytest.mark.slow
async def test_a_hundred_megabytes_of_output_arrive(tmp_path: Path) -> None:
    executor = LocalExecutor()
    code = "import os\nblock = (b'x' * 203 + b'\\n') * 5000\nfor _ in range(100): os.write(1, block)"
    spec = make_spec(tmp_path, python(code))
    end = await executor.wait(await executor.start(spec))
    assert end.exit_code == 0
    assert (spec.directory / files.SPOOL).stat().st_size == 204 * 5000 * 100


# -- stops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
async def test_cancel_ends_every_process_of_the_worker(tmp_path: Path, force: bool) -> None:
    executor = LocalExecutor()
    argv, pids = torture(tmp_path)
    spec = make_spec(tmp_path, argv, grace=60 if force else 0.3)
    handle = await executor.start(spec)
    await ready(spec)
    assert len(survivors(spec, pids)) == 4
    began = time.monotonic()
    await executor.cancel(handle, force=force)
    end = await asyncio.wait_for(executor.wait(handle), 20)
    assert (end.outcome, end.exit_code) == (Outcome.CANCELLED, -signal.SIGKILL)
    assert survivors(spec, pids) == []
    assert force or time.monotonic() - began >= 0.3


async def test_cancel_before_the_runner_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, cancelled = LocalExecutor(), threading.Event()
    launch_now = executor._launch

    def launch_later(attempt: Attempt, spec: AttemptSpec) -> tuple[int, subprocess.Popen[bytes]]:
        assert cancelled.wait(20)
        return launch_now(attempt, spec)

    monkeypatch.setattr(executor, "_launch", launch_later)
    spec = make_spec(tmp_path, ["sh", "-c", "echo ran; exec sleep 60"])
    handle = Handle(executor="local", job_id=spec.job_id, attempt=1, token={"directory": str(spec.directory)})
    starting = asyncio.create_task(executor.start(spec))
    await executor.cancel(handle, force=False)
    assert not starting.done()
    cancelled.set()
    end = await executor.wait(await starting)
    assert (end.outcome, end.exit_code) == (Outcome.CANCELLED, None)
    assert output(spec) == b""


async def test_cancel_after_the_end_changes_nothing(tmp_path: Path) -> None:
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["true"])
    handle = await executor.start(spec)
    end = await executor.wait(handle)
    await executor.cancel(handle, force=True)
    assert await executor.wait(handle) == end
    assert not (spec.directory / files.STOP).exists()


@pytest.mark.slow
async def test_a_worker_that_ends_while_it_is_cancelled_is_told_as_one_of_both(tmp_path: Path) -> None:
    """Whatever comes first: the outcome is EXITED, or CANCELLED, and never anything else."""
    executor = LocalExecutor()

    async def one(seconds: float) -> Outcome:
        spec = make_spec(tmp_path, ["sleep", f"{seconds:.4f}"])
        handle = await executor.start(spec)
        await executor.cancel(handle, force=bool(random.getrandbits(1)))
        end = await executor.wait(handle)
        assert (end.outcome is Outcome.EXITED) == (end.exit_code == 0) or end.outcome is Outcome.CANCELLED
        return end.outcome

    # How long a cancel takes depends on the machine: the workers' length approaches it from both sides.
    seconds, outcomes = 0.02, list[Outcome]()
    while len(outcomes) < 20 or len({*outcomes}) < 2:
        outcomes.append(await one(seconds))
        seconds *= 1.3 if outcomes[-1] is Outcome.EXITED else 0.7
    assert {*outcomes} == {Outcome.EXITED, Outcome.CANCELLED}


# -- the runner dies --------------------------------------------------------------------------------------------------


async def test_a_killed_runner_is_a_lost_attempt_without_survivors(tmp_path: Path) -> None:
    executor = LocalExecutor()
    argv, pids = torture(tmp_path)
    spec = make_spec(tmp_path, argv)
    handle = await executor.start(spec)
    await ready(spec)
    os.kill(handle.token["pid"], signal.SIGKILL)
    end = await executor.wait(handle)
    assert (end.outcome, end.exit_code) == (Outcome.LOST, None)
    assert end.why
    assert survivors(spec, pids) == []
    assert not (spec.directory / files.SPEC).exists()
    assert not await LocalExecutor().reattach(handle)


HIDING = """
import os, sys, time
NOTE = ['sh', '-c', 'echo $$ >> "$0"; exec sleep 60', sys.argv[1]]
if os.fork() == 0:  # A child in a session of its own.
    os.setsid()
    os.execve('/bin/sh', NOTE, {})
if os.fork() == 0:  # An orphan that stayed in the worker's session.
    if os.fork():
        os._exit(0)
    os.execve('/bin/sh', NOTE, {})
os.execve('/bin/sh', NOTE, {})
"""


async def test_processes_that_hide_their_environment_are_found_by_their_kin(tmp_path: Path) -> None:
    """Codex makes itself unreadable; `env -i` does as much to whatever is started with it."""
    pids = tmp_path / "pids"
    spec = make_spec(tmp_path, ["env", "-i", *python(HIDING, str(pids))])
    executor = LocalExecutor()
    handle = await executor.start(spec)
    await soon(lambda: len(survivors(spec, pids)) == 3 and pids.read_bytes().count(b"\n") == 3)
    assert not any(processes.carries(pid, f"{files.MARKER_ENV}={spec.job_id}/1") for pid in survivors(spec, pids))
    os.kill(handle.token["pid"], signal.SIGKILL)
    assert (await executor.wait(handle)).outcome is Outcome.LOST
    assert survivors(spec, pids) == []


async def test_the_sweep_leaves_strangers_alone(tmp_path: Path) -> None:
    """RUNNER of an earlier boot, or whose pid somebody else has got, points at nobody."""
    stranger = stranger_process()
    process = processes.look(stranger.pid)
    assert process is not None
    executor = LocalExecutor()
    for record in (
        {"childPid": stranger.pid, "childStartTime": process.start - 1, "bootId": processes.boot_id()},
        {"childPid": stranger.pid, "childStartTime": process.start, "bootId": "another"},
    ):
        spec = make_spec(tmp_path, ["true"])
        (spec.directory / files.CLAIM).touch()
        (spec.directory / files.RUNNER).write_text(json.dumps({"pid": 1, "startTime": 1, **record}))
        handle = await executor.find(spec.directory, spec.job_id, 1)
        assert handle is not None
        assert (await executor.wait(handle)).outcome is Outcome.LOST
    assert stranger.poll() is None


# -- the sidecar dies -------------------------------------------------------------------------------------------------


async def test_another_executor_goes_on_with_a_running_worker(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ready; exec sleep 60"])
    handle = stored(await LocalExecutor().start(spec))
    await ready(spec)
    later = LocalExecutor()
    assert await later.reattach(handle)
    waiting = asyncio.create_task(later.wait(handle))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await later.cancel(handle, force=True)
    assert (await waiting).outcome is Outcome.CANCELLED
    assert await later.reattach(handle)


async def test_a_handle_whose_pid_somebody_else_has_got_still_leads_to_the_attempt(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ready; sleep 0.2; exit 3"])
    handle = await LocalExecutor().start(spec)
    stranger = stranger_process()
    stale = msgspec.structs.replace(handle, token={**handle.token, "pid": stranger.pid})
    later = LocalExecutor()
    assert await later.reattach(stale)
    assert (await asyncio.wait_for(later.wait(stale), 20)).exit_code == 3


SIDECAR = """
import asyncio, sys
from pathlib import Path
import msgspec
from sidecar.jobs.local import LocalExecutor
from tests.support.attempts import make_spec

async def main():
    root, executor = Path(sys.argv[1]), LocalExecutor()
    specs = [make_spec(root, ["sh", "-c", f"echo ready; sleep 0.{n + 2}; echo done; exit {n}"]) for n in range(4)]
    handles = await asyncio.gather(*(executor.start(spec) for spec in specs))
    sys.stdout.buffer.write(msgspec.json.encode(handles) + b"\\n")
    sys.stdout.flush()
    await asyncio.sleep(60)

asyncio.run(main())
"""


def handles_of_a_killed_sidecar(root: Path) -> list[Handle]:
    """Starts four workers in a process of its own and kills that."""
    sidecar = subprocess.Popen(
        [sys.executable, "-c", SIDECAR, str(root)], stdout=subprocess.PIPE, cwd=REPOSITORY, start_new_session=True
    )
    assert sidecar.stdout is not None
    with sidecar.stdout:
        line = sidecar.stdout.readline()
    os.killpg(sidecar.pid, signal.SIGKILL)
    sidecar.wait()
    return msgspec.json.decode(line, type=list[Handle])


async def test_workers_outlive_a_killed_sidecar_and_the_next_one_gets_every_exit_code(tmp_path: Path) -> None:
    handles = await asyncio.to_thread(handles_of_a_killed_sidecar, tmp_path)
    executor = LocalExecutor()
    assert [await executor.reattach(handle) for handle in handles] == [True] * 4
    ends = await asyncio.gather(*(executor.wait(handle) for handle in handles))
    assert [(end.outcome, end.exit_code) for end in ends] == [(Outcome.EXITED, code) for code in range(4)]
    assert [Path(h.token["directory"], files.SPOOL).read_bytes() for h in handles] == [b"ready\ndone\n"] * 4


async def test_find_tells_of_a_start_that_nobody_heard_of(tmp_path: Path) -> None:
    executor = LocalExecutor()
    running = make_spec(tmp_path, ["sh", "-c", "echo ready; sleep 0.2; exit 6"])
    ended = make_spec(tmp_path, ["sh", "-c", "echo ready; exit 5"])
    refused = make_spec(tmp_path, ["/no/such/program"])
    for spec in (running, ended, refused):
        launch(spec)
    await ready(running)
    await soon(lambda: all((spec.directory / files.EXIT).exists() for spec in (ended, refused)))
    handles = [await executor.find(spec.directory, spec.job_id, 1) for spec in (running, ended, refused)]
    ends = [await executor.wait(handle) for handle in handles if handle is not None]
    assert [end.exit_code for end in ends] == [6, 5, None]
    assert ends[2].outcome is Outcome.REFUSED


async def test_an_attempt_that_was_fenced_off_never_starts(tmp_path: Path) -> None:
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["sh", "-c", "echo ran"])
    runner = launch(spec, "sh", "-c", 'kill -STOP $$; exec "$@"', "sh")
    await soon(lambda: (process := processes.look(runner.pid)) and process.frozen)
    assert await executor.find(spec.directory, spec.job_id, 1) is None
    assert not (spec.directory / files.SPEC).exists()
    runner.send_signal(signal.SIGCONT)
    assert await asyncio.to_thread(runner.wait) == 75
    # The answer stays the same, and a new start is refused.
    assert await executor.find(spec.directory, spec.job_id, 1) is None
    with pytest.raises(NotStarted):
        await executor.start(spec)
    assert output(spec) == b""


async def test_a_claim_without_a_worker_is_lost_and_never_started_again(tmp_path: Path) -> None:
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["sh", "-c", "echo ran"])
    (spec.directory / files.CLAIM).touch()  # What a power cut leaves.
    handle = await executor.find(spec.directory, spec.job_id, 1)
    assert handle is not None
    assert (await executor.wait(handle)).outcome is Outcome.LOST


@pytest.mark.slow
async def test_find_and_a_slow_runner_never_both_win(tmp_path: Path) -> None:
    executor = LocalExecutor()
    fenced = found = 0
    # How long a runner takes to its claim depends on the machine: the delay approaches it from both sides.
    delay = 0.0
    while fenced + found < 80 or not fenced or not found:
        spec = make_spec(tmp_path, ["sh", "-c", "echo ran"])
        runner = launch(spec)
        await asyncio.sleep(delay)
        handle = await executor.find(spec.directory, spec.job_id, 1)
        await asyncio.to_thread(runner.wait)
        if handle is None:
            fenced += 1
            delay = 1.1 * delay + 0.001
            assert output(spec) == b""
            assert not (spec.directory / files.RUNNER).exists()
        else:
            found += 1
            delay *= 0.93
            assert (await executor.wait(handle)).outcome is Outcome.EXITED
            assert output(spec) == b"ran\n"


@pytest.mark.slow
async def test_whenever_the_runner_is_killed_the_answer_is_true_and_nothing_survives(tmp_path: Path) -> None:
    executor = LocalExecutor()
    outcomes: list[str] = []
    # Where the machine is busy a worker starts later, and is killed later.
    while len(outcomes) < 60 or outcomes[-1] != "lost":
        argv, pids = torture(tmp_path)
        spec = make_spec(tmp_path, argv)
        runner = launch(spec)
        trial = len(outcomes)
        await asyncio.sleep(trial * 0.001 if trial < 60 else 0.06 * 1.2 ** (trial - 60))
        runner.kill()
        await asyncio.to_thread(runner.wait)
        handle = await executor.find(spec.directory, spec.job_id, 1)
        if handle is None:
            outcomes.append("never started")
            assert not pids.exists()
        else:
            end = await executor.wait(handle)
            outcomes.append(end.outcome.value)
        assert survivors(spec, pids) == []
    assert {*outcomes} == {"never started", "lost"}


# -- other systems and disks ------------------------------------------------------------------------------------------


async def test_without_pidfds_runners_are_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_pidfd", lambda pid: None)
    executor = LocalExecutor()
    spec = make_spec(tmp_path, ["sh", "-c", "sleep 0.1; exit 3"])
    handle = await executor.start(spec)
    later = LocalExecutor()
    assert await later.reattach(handle)
    ends = await asyncio.gather(executor.wait(handle), later.wait(handle))
    assert [end.exit_code for end in ends] == [3, 3]


def test_on_a_full_disk_the_end_is_recorded_and_stops_are_heard(tmp_path: Path) -> None:
    unshare = private_mounts()
    if unshare is None:
        pytest.skip("no private mount namespaces here")
    done = subprocess.run(
        [*unshare, sys.executable, full_disk.__file__, str(tmp_path)],
        check=True, capture_output=True, text=True, timeout=60, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["spooling"].pop("spool") > 900_000
    assert result["spooling"] == {"outcome": "exited", "exit": 28}
    assert result["term"] == {"outcome": "cancelled", "exit": -15, "stored": False, "left": []}
    assert result["kill"] == {"outcome": "cancelled", "exit": -9, "stored": False, "left": []}
    assert result["starting"].startswith("not started: ")
    assert result["starting"].endswith("claimed: False")
    patience = result["patience"]
    assert (patience["before"], patience["running"], patience["exit"]) == (False, True, 7)
