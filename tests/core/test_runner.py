"""The runner alone, as a process: started by its command line, told by files and signals, judged by what it leaves."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.jobs import attempt_files as files
from sidecar.jobs import processes
from sidecar.jobs.attempt import Attempt
from sidecar.jobs.executor import AttemptSpec
from sidecar.jobs.supervision import CLAIMED, FAILED, STARTED
from tests.support.attempts import RUNNER, make_spec, output, python, read_json, survivors, torture, until

WORKER_PARTS = {"alarm", "attempt_files", "family", "processes", "records", "supervision"}

started: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    for process in started:
        process.kill()
        process.communicate()
    started.clear()


def launch(spec: AttemptSpec) -> subprocess.Popen[bytes]:
    """Starts a runner for the attempt."""
    Attempt(spec.directory).write_spec(spec)
    return again(spec)


def again(spec: AttemptSpec) -> subprocess.Popen[bytes]:
    """Starts a runner without writing the specification."""
    process = subprocess.Popen(
        [*RUNNER, str(spec.directory)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    started.append(process)
    return process


def finish(runner: subprocess.Popen[bytes], seconds: float = 15.0) -> bytes:
    """Waits for the runner's end; returns what it said."""
    said, _ = runner.communicate(timeout=seconds)
    return said


def run(spec: AttemptSpec) -> dict[str, Any]:
    """The whole attempt; returns EXIT."""
    runner = launch(spec)
    assert finish(runner) == STARTED
    assert runner.returncode == 0
    return read_json(spec.directory / files.EXIT)


def ready(spec: AttemptSpec) -> None:
    """Waits for the worker to say so."""
    until(lambda: b"ready" in output(spec))


def until_told(then: str = "") -> list[str]:
    """The command line of a worker that is ready, and goes on only when the file `go` in its directory is there."""
    return ["sh", "-c", f"echo ready; while [ ! -e go ]; do sleep 0.02; done; {then}"]


def tell(tmp_path: Path) -> None:
    (tmp_path / "go").touch()


# -- the ordinary course ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", range(8))
def test_the_exit_code_is_recorded(tmp_path: Path, code: int) -> None:
    before = time.time()
    record = run(make_spec(tmp_path, ["sh", "-c", f"exit {code}"]))
    assert before <= record.pop("finishedAt") <= time.time()
    assert record == {"outcome": "exited", "exitCode": code, "strays": 0, "why": ""}


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_killed_by_somebody_else_has_ended_by_itself(tmp_path: Path, signum: int) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ready; exec sleep 60"])
    runner = launch(spec)
    ready(spec)
    os.kill(read_json(spec.directory / files.RUNNER)["childPid"], signum)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"]) == ("exited", -signum)


def test_prompt_output_errors_environment_and_directory_are_the_workers(tmp_path: Path) -> None:
    code = (
        "import os, sys, json; sys.stderr.write('oh'); fds = sorted(map(int, os.listdir('/proc/self/fd')))[:-1]; "
        "print(json.dumps([sys.stdin.read(), dict(os.environ), os.getcwd(), fds, os.getsid(0) == os.getpid(), "
        "os.umask(0)]))"
    )
    (tmp_path / "here").mkdir()
    spec = make_spec(tmp_path, python(code), prompt="tâche\n", env={"KEY": "välue"}, cwd=str(tmp_path / "here"))
    before = os.umask(0o027)
    try:
        run(spec)
    finally:
        os.umask(before)
    prompt, env, cwd, fds, leads_session, umask = json.loads(output(spec))
    assert prompt == "tâche\n"
    assert {k: v for k, v in env.items() if k != "LC_CTYPE"} == {
        **spec.env,
        files.MARKER_ENV: f"{spec.job_id}/1",
    }
    assert cwd == str(tmp_path / "here")
    assert fds == [0, 1, 2]
    assert leads_session
    assert umask == 0o027
    assert (spec.directory / files.STDERR).read_bytes() == b"oh"


def test_the_worker_starts_with_default_signals(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status"])
    Attempt(spec.directory).write_spec(spec)
    # Started by somebody who ignores and blocks what can be ignored and blocked.
    hostile = "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})\n"
    hostile += "for s in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(s, signal.SIG_IGN)\n"
    subprocess.run([*python(hostile + "os.execv(sys.argv[1], sys.argv[1:])"), *RUNNER, str(spec.directory)], check=True)
    # Signals 32 and 33 belong to the C library, which lets nobody set them back.
    masks = [int(line.split()[1], 16) & ~(0b11 << 31) for line in output(spec).splitlines()]
    assert masks == [0, 0]


def test_names_that_are_not_utf_8_reach_the_worker(tmp_path: Path) -> None:
    odd = b"n\xffme"
    spec = make_spec(tmp_path, ["printf", "%s", os.fsdecode(odd)])
    run(spec)
    assert output(spec) == odd


def test_secrets_are_private_and_do_not_outlive_the_worker(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, until_told(), env={"API_KEY": "secret"})
    runner = launch(spec)
    ready(spec)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in spec.directory.iterdir()}
    assert modes.pop(files.PROMPT)  # Not ours.
    assert set(modes.values()) == {0o600}
    assert "secret" in (spec.directory / files.SPEC).read_text()
    tell(tmp_path)
    finish(runner)
    assert {path.name for path in spec.directory.iterdir()} == {
        files.PROMPT, files.SPOOL, files.STDERR, files.LOCK, files.CLAIM, files.RUNNER, files.EXIT
    }  # fmt: skip


def test_the_start_is_recorded_so_that_the_processes_can_be_told_from_others(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ready; read line; exec sleep 60"])
    before = time.time()
    runner = launch(spec)
    ready(spec)
    record = read_json(spec.directory / files.RUNNER)
    assert before <= record["startedAt"] <= time.time()
    assert record["pid"] == runner.pid
    for pid, start in (("pid", "startTime"), ("childPid", "childStartTime")):
        process = processes.look(record[pid])
        assert process is not None
        assert process.start == record[start]
    assert record["bootId"] == processes.boot_id() != ""
    runner.terminate()
    finish(runner)


def test_nothing_but_the_standard_library_and_a_few_small_files_is_loaded(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["true"])
    Attempt(spec.directory).write_spec(spec)
    done = subprocess.run(
        [*RUNNER[:3], "-X", "importtime", RUNNER[3], str(spec.directory)], check=True, capture_output=True, text=True
    )
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    ours = {name for name in loaded if name.split(".")[0] == "sidecar"}
    assert ours == {"sidecar", "sidecar.jobs"} | {f"sidecar.jobs.{name}" for name in WORKER_PARTS}
    assert not loaded & {"asyncio", "subprocess", "typing", "threading", "logging", "site", "msgspec"}


def test_the_repository_may_be_moved_while_a_worker_runs(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, until_told("exit 6"))
    runner = launch(spec)
    ready(spec)
    moved = tmp_path / "moved"
    (tmp_path / "jobs").rename(moved)
    tell(tmp_path)
    finish(runner)
    assert read_json(moved / spec.job_id / "1" / files.EXIT)["exitCode"] == 6


def test_an_attempt_whose_directory_is_deleted_ends_all_the_same(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, until_told())
    runner = launch(spec)
    ready(spec)
    for path in spec.directory.iterdir():
        path.unlink()
    spec.directory.rmdir()
    tell(tmp_path)
    finish(runner)
    assert runner.returncode == 0


# -- what does not start ----------------------------------------------------------------------------------------------


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    record = run(make_spec(tmp_path, ["/no/such/program"]))
    assert (record["outcome"], record["exitCode"]) == ("refused", None)
    assert record["why"] == "cannot run /no/such/program: No such file or directory"


def test_a_program_that_may_not_be_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    record = run(make_spec(tmp_path, [str(tmp_path / "plain")]))
    assert record["why"] == f"cannot run {tmp_path}/plain: Permission denied"


def test_a_working_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    record = run(make_spec(tmp_path, ["true"], cwd="/no/such/place"))
    assert (record["outcome"], record["why"]) == ("refused", "cannot enter /no/such/place: No such file or directory")


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"jobId": 1}'])
def test_without_a_specification_nothing_is_claimed(tmp_path: Path, text: str | None) -> None:
    spec = make_spec(tmp_path, ["true"])
    if text is not None:
        (spec.directory / files.SPEC).write_text(text)
    runner = again(spec)
    said = finish(runner)
    assert runner.returncode == FAILED
    assert b"Error" in said
    assert not (spec.directory / files.CLAIM).exists()
    # So the attempt may still be made.
    assert run(spec)["exitCode"] == 0


def test_a_second_runner_refuses_while_the_first_runs_and_after_it(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, until_told("cat; exit 5"))
    first = launch(spec)
    ready(spec)
    seconds = [again(spec) for _ in range(3)]
    assert [finish(second) for second in seconds] == [b""] * 3
    assert [second.returncode for second in seconds] == [CLAIMED] * 3
    tell(tmp_path)
    finish(first)
    late = launch(spec)
    finish(late)
    assert late.returncode == CLAIMED
    assert read_json(spec.directory / files.EXIT)["exitCode"] == 5
    assert output(spec) == b"ready\nthe task"


def test_somebody_who_looks_for_a_runner_is_not_taken_for_one(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "exit 3"])
    with open(spec.directory / files.LOCK, "wb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not Attempt(spec.directory).has_runner()
        runner = launch(spec)
        time.sleep(0.1)
    finish(runner)
    assert read_json(spec.directory / files.EXIT)["exitCode"] == 3


def test_of_runners_started_at_once_one_starts_the_worker(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ran; sleep 0.1"])
    runners = [launch(spec) for _ in range(6)]
    for runner in runners:
        finish(runner)
    assert sorted(runner.returncode for runner in runners) == [0] + [CLAIMED] * 5
    assert output(spec) == b"ran\n"


def test_a_specification_written_again_is_whole_at_every_moment(tmp_path: Path) -> None:
    """A sidecar that comes back writes it again while the runner of the one before it may be reading it."""
    spec = make_spec(tmp_path, ["sh", "-c", "true"])
    attempt = Attempt(spec.directory)
    attempt.write_spec(spec)
    whole = (spec.directory / files.SPEC).read_bytes()
    over = threading.Event()

    def write_again() -> None:
        while not over.is_set():
            attempt.write_spec(spec)

    writer = threading.Thread(target=write_again)
    writer.start()
    try:
        assert {(spec.directory / files.SPEC).read_bytes() for _ in range(2000)} == {whole}
    finally:
        over.set()
        writer.join()


def test_a_stop_asked_for_before_the_runner_was_up_keeps_the_worker_from_starting(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ran"])
    (spec.directory / files.STOP).write_text("term")
    record = run(spec)
    assert (record["outcome"], record["exitCode"]) == ("cancelled", None)
    assert output(spec) == b""
    assert not (spec.directory / files.SPEC).exists()


# -- stops ------------------------------------------------------------------------------------------------------------


def test_a_worker_that_ends_within_the_grace_keeps_its_exit_code(tmp_path: Path) -> None:
    code = "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.1), os._exit(3)))\n"
    spec = make_spec(tmp_path, python(code + "os.write(1, b'ready')\nwhile True: time.sleep(9)"), grace=10)
    runner = launch(spec)
    ready(spec)
    Attempt(spec.directory).ask_to_stop(force=False)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"], record["strays"]) == ("cancelled", 3, 0)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_runner_is_a_stop(tmp_path: Path, signum: int) -> None:
    argv, pids = torture(tmp_path)
    spec = make_spec(tmp_path, argv)
    runner = launch(spec)
    ready(spec)
    runner.send_signal(signum)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"]) == ("cancelled", -signal.SIGKILL)
    assert survivors(spec, pids) == []


def test_the_death_of_the_terminal_is_no_stop(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, until_told("exit 2"))
    runner = launch(spec)
    ready(spec)
    runner.send_signal(signal.SIGHUP)
    tell(tmp_path)
    finish(runner)
    assert read_json(spec.directory / files.EXIT)["exitCode"] == 2


def test_term_becomes_kill_while_the_grace_runs_and_never_the_other_way(tmp_path: Path) -> None:
    argv, pids = torture(tmp_path)
    spec = make_spec(tmp_path, argv, grace=60)
    runner = launch(spec)
    ready(spec)
    attempt = Attempt(spec.directory)
    attempt.ask_to_stop(force=False)
    time.sleep(0.1)
    assert runner.poll() is None
    attempt.ask_to_stop(force=True)
    attempt.ask_to_stop(force=False)
    assert (spec.directory / files.STOP).read_bytes() == b"kill"
    finish(runner)
    assert survivors(spec, pids) == []


SLOW_TO_END = """
import os, signal, sys, time

def end(*_):
    time.sleep(1.4)
    os.write(1, b'swept up\\n')
    os._exit(0)

signal.signal(signal.SIGTERM, end)
if os.fork():
    os._exit(0)
os.setsid()
os.write(1, b'ready\\n')
while True: time.sleep(9)
"""


def test_what_a_stopped_worker_leaves_has_the_whole_grace(tmp_path: Path) -> None:
    """A worker may obey at once, as Codex does, while its commands still tidy up, in their own sessions or not."""
    program = shlex.join(python(SLOW_TO_END))
    # What hears it before it has become `sleep` has forgotten it then, so no `sleep` is a long one.
    loop = "while :; do sleep 0.1; done"
    trap = f"sh -c \"trap 'sleep 1.4; echo swept up; exit' TERM; echo ready; {loop}\""
    spec = make_spec(tmp_path, ["sh", "-c", f"{program} & {trap} & exec sleep 60"], grace=60)
    runner = launch(spec)
    until(lambda: output(spec).count(b"ready") == 2)
    Attempt(spec.directory).ask_to_stop(force=False)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"]) == ("cancelled", -signal.SIGTERM)
    assert output(spec).count(b"swept up") == 2
    assert survivors(spec) == []


def test_the_grace_of_what_a_stopped_worker_leaves_is_counted_from_the_request(tmp_path: Path) -> None:
    deaf = shlex.join(
        python("import os, signal, time; signal.signal(15, signal.SIG_IGN); os.write(1, b'ready'); time.sleep(60)")
    )
    spec = make_spec(tmp_path, ["sh", "-c", f"setsid {deaf} & exec sleep 60"], grace=1.5)
    runner = launch(spec)
    ready(spec)
    began = time.monotonic()
    Attempt(spec.directory).ask_to_stop(force=False)
    finish(runner)
    assert time.monotonic() - began >= 1.5
    assert read_json(spec.directory / files.EXIT)["outcome"] == "cancelled"
    assert survivors(spec) == []


def test_a_process_started_while_a_stop_is_carried_out_is_asked_too(tmp_path: Path) -> None:
    # It belongs to nobody any more when the worker has ended long since.
    code = (
        "import os, signal, time\n"
        "def end(*_):\n"
        " time.sleep(0.4)\n"
        # A process that is being forked could hear it and forget it.
        " signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        " if os.fork() == 0:\n"
        "  signal.signal(signal.SIGTERM, signal.SIG_DFL); os.setsid()\n"
        "  signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM]); time.sleep(50)\n"
        " os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nos.write(1, b'ready')\nwhile True: time.sleep(9)"
    )
    spec = make_spec(tmp_path, ["sh", "-c", f"{shlex.join(python(code))} & exec sleep 60"], grace=60)
    runner = launch(spec)
    ready(spec)
    Attempt(spec.directory).ask_to_stop(force=False)
    finish(runner)
    assert survivors(spec) == []


def test_frozen_processes_die_too_and_hear_the_polite_request_first(tmp_path: Path) -> None:
    code = "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(4))\nos.write(1, b'ready')\n"
    spec = make_spec(tmp_path, python(code + "while True: time.sleep(9)"), grace=10)
    runner = launch(spec)
    ready(spec)
    child = read_json(spec.directory / files.RUNNER)["childPid"]
    os.kill(child, signal.SIGSTOP)
    until(lambda: (process := processes.look(child)) and process.frozen)
    Attempt(spec.directory).ask_to_stop(force=False)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"]) == ("cancelled", 4)


LIMITS = (0.4, 2.0, 8.0)
"""Seconds. Where the machine is so busy that the worker was not ready within one, the next one is tried."""


def test_the_time_limit_stops_the_whole_tree(tmp_path: Path) -> None:
    for limit in LIMITS:
        argv, pids = torture(tmp_path)
        spec = make_spec(tmp_path, argv, timeout=limit)
        record = run(spec)
        assert record["outcome"] == "timed-out"
        assert survivors(spec, pids) == []
        if b"ready" in output(spec):
            break
    assert b"ready" in output(spec)
    assert record["exitCode"] == -signal.SIGKILL


def test_a_stop_while_the_time_limit_is_carried_out_hastens_it_only(tmp_path: Path) -> None:
    code = "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *_: os.write(1, b'asked'))\n"
    for limit in LIMITS:
        spec = make_spec(tmp_path, python(code + "while True: time.sleep(9)"), timeout=limit, grace=60)
        runner = launch(spec)
        until(lambda spec=spec, runner=runner: b"asked" in output(spec) or runner.poll() is not None, limit + 15)
        if runner.poll() is None:
            break
    assert runner.poll() is None
    Attempt(spec.directory).ask_to_stop(force=True)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"]) == ("timed-out", -signal.SIGKILL)
    assert survivors(spec) == []


PATIENT = """
import sys
sys.path.append(sys.argv[1])
from sidecar.jobs import supervision
supervision.LEFTOVER_GRACE_SECONDS = 60.0
sys.exit(supervision.run(sys.argv[2]))
"""
ROOT = str(Path(RUNNER[3]).parent.parent.parent)


def patient(spec: AttemptSpec) -> subprocess.Popen[bytes]:
    """A runner that leaves what a worker left behind more time than any test has."""
    Attempt(spec.directory).write_spec(spec)
    started.append(subprocess.Popen(python(PATIENT, ROOT, str(spec.directory)), stdout=subprocess.PIPE))
    return started[-1]


def test_a_stop_while_leftovers_are_ended_hastens_it_only(tmp_path: Path) -> None:
    argv, pids = torture(tmp_path, exit_code=3)
    spec = make_spec(tmp_path, argv)
    runner = patient(spec)
    ready(spec)
    child = read_json(spec.directory / files.RUNNER)["childPid"]
    until(lambda: processes.look(child) is None)
    Attempt(spec.directory).ask_to_stop(force=True)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"], record["strays"]) == ("exited", 3, 3)
    assert survivors(spec, pids) == []


def test_daemons_left_behind_are_counted_and_ended(tmp_path: Path) -> None:
    argv, pids = torture(tmp_path, exit_code=3)
    spec = make_spec(tmp_path, argv, grace=60)
    began = time.monotonic()
    record = run(spec)
    assert (record["outcome"], record["exitCode"], record["strays"]) == ("exited", 3, 3)
    assert time.monotonic() - began >= 1.0, "and `run` does not wait for the grace of a stop"
    assert survivors(spec, pids) == []


def test_daemons_that_obey_do_not_cost_the_grace(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "setsid sleep 60 & exit 1"])
    finish(patient(spec))
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"], record["strays"]) == ("exited", 1, 1)


def test_a_tree_that_keeps_forking_is_ended(tmp_path: Path) -> None:
    # Each process starts the next, in a session of its own, and ends: nobody stays long enough to be pointed at.
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.write(1, b'ready')\n"
        "while True:\n if os.fork(): time.sleep(0.01); os._exit(0)\n os.setsid()"
    )
    spec = make_spec(tmp_path, python(code))
    record = run(spec)
    assert record["outcome"] == "exited"
    assert survivors(spec) == []


# -- robustness -------------------------------------------------------------------------------------------------------


def test_a_runner_killed_before_its_worker_runs_leaves_no_worker(tmp_path: Path) -> None:
    """Whenever the runner dies, either the worker's process is recorded or there is none."""
    for trial in range(30):
        spec = make_spec(tmp_path, ["sleep", "60"])
        runner = launch(spec)
        until(lambda spec=spec: (spec.directory / files.CLAIM).exists())
        time.sleep(trial % 10 * 0.0002)
        runner.kill()
        finish(runner)
        time.sleep(0.01)  # Long enough for a process that was let go to run its program.
        left = survivors(spec)
        recorded = spec.directory / files.RUNNER
        assert len(left) <= 1
        if left:
            assert read_json(recorded)["childPid"] == left[0]
            os.kill(left[0], signal.SIGKILL)


def test_without_a_fifo_the_stop_is_found_all_the_same(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", "echo ready; exec sleep 60"])
    (spec.directory / files.CONTROL).mkdir()  # So no FIFO can be made.
    runner = launch(spec)
    ready(spec)
    # By rename: a runner that polls may look right when it is empty.
    (tmp_path / "stop").write_text("kill")
    (tmp_path / "stop").rename(spec.directory / files.STOP)
    finish(runner)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"]) == ("cancelled", -signal.SIGKILL)


GROUP_ONLY = """
import sys
sys.path.append(sys.argv[1])
from sidecar.jobs import supervision
supervision.adopt_orphans = lambda: False  # As on a system that has no such thing.
sys.exit(supervision.run(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("script", "expected"), [("exit 3", ("exited", 3, 0)), ("sleep 60 & exit 3", ("exited", 3, 1))]
)
def test_where_there_is_no_subreaper_the_process_group_is_ended(
    tmp_path: Path, script: str, expected: tuple[str, int, int]
) -> None:
    spec = make_spec(tmp_path, ["sh", "-c", script])
    Attempt(spec.directory).write_spec(spec)
    subprocess.run(python(GROUP_ONLY, ROOT, str(spec.directory)), check=True, timeout=15)
    record = read_json(spec.directory / files.EXIT)
    assert (record["outcome"], record["exitCode"], record["strays"]) == expected
    assert survivors(spec) == []
