"""A cancel of a real Codex worker: what its commands run gets the time to end in order, wherever it went."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from sidecar.jobs import attempt_files as files
from sidecar.jobs import processes
from sidecar.model import limits
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import is_alive
from tests.support.repo import make_repo
from tests.support.round import Round, open_round, until

pytestmark = [pytest.mark.codex, pytest.mark.slow]

TIDY = """
import os, signal, sys, time

def end(*_):
    time.sleep(2)
    note(' ended')
    os._exit(0)

def note(what):
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, (sys.argv[2] + what + chr(10)).encode())

signal.signal(signal.SIGTERM, end)
note(' ready')
while True: time.sleep(9)
"""
"""Notes when it is ready, and two seconds after SIGTERM that it ended in order."""


def commands(notes: Path) -> str:
    """Three ways to handle SIGTERM: in the shell's own session, in another one, and in a shell's trap."""
    program = shlex.join([sys.executable, "-I", "-S", "-c", TIDY, str(notes)])
    trap = f"trap 'sleep 2; echo trap ended >> {notes}; exit' TERM; echo trap ready >> {notes}; sleep 100 & wait"
    return f"{program} plain & (setsid {program} 'own session' &); sh -c {shlex.quote(trap)}"


@pytest.fixture
async def played(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Round]:
    repo = make_repo(tmp_path / "repo", {"a.txt": "one\n"})
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url, getattr(request, "param", "gpt-5.5"))
        async with open_round(repo, CODEX_HOME=str(home), CODEX_SIDECAR_CODEX=str(native_codex())) as round_:
            yield round_


async def running(played: Round, sandbox: str, command: str) -> str:
    step = {"sh": command, "args": {"yield_time_ms": 30_000}}
    prompt = f"Go. {MARKER} {json.dumps([step, {'message': '?'}])}"
    return str((await played.call("codex_spawn", prompt=prompt, sandbox=sandbox))["jobId"])


async def status(played: Round, job: str) -> str:
    return str((await played.call("codex_status", jobId=job))["status"])


def left(job: str) -> list[int]:
    """What is alive of a job's tree, by the mark in its environment (root reads that of every process)."""
    mark = f"{files.MARKER_ENV}={job}/1"
    return [one.pid for one in processes.table() if one.living and processes.carries(one.pid, mark)]


@pytest.mark.parametrize("played", ["gpt-5.5", "gpt-6.1-sol"], indirect=True)
@pytest.mark.parametrize("sandbox", ["danger-full-access", "workspace-write"])
async def test_what_a_command_started_ends_in_order(played: Round, sandbox: str) -> None:
    """Codex obeys at once and would take its sandbox with it; the job is `stopping` as long as anything lives."""
    notes = played.repo / "notes"
    job = await running(played, sandbox, commands(notes))
    await until(lambda: notes.exists() and notes.read_text().count("ready") == 3, "the commands run")
    answer = await played.call("codex_cancel", jobId=job)
    assert (answer["success"], answer["status"]) == (True, "stopping")
    seen = "stopping"
    while seen != "cancelled":
        assert seen == "stopping"
        await asyncio.sleep(0.02)
        seen = await status(played, job)
    assert sorted(line for line in notes.read_text().splitlines() if "ended" in line) == [
        "own session ended", "plain ended", "trap ended",
    ]  # fmt: skip
    assert left(job) == []


@pytest.mark.parametrize("sandbox", ["danger-full-access", "workspace-write"])
async def test_a_command_that_obeys_costs_no_grace_and_one_that_does_not_costs_the_whole(
    played: Round, sandbox: str
) -> None:
    ready = played.repo / "ready"
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)"
    for command, costs in (("sleep 100", False), (f"setsid {shlex.join([sys.executable, '-ISc', deaf])}", True)):
        job = await running(played, sandbox, f"{command} & sleep 0.5; touch ready; wait")
        await until(ready.exists, "the command runs")
        ready.unlink()
        began = time.monotonic()
        await played.call("codex_cancel", jobId=job)
        assert await played.ended({"jobId": job}) == ["cancelled"]
        assert (time.monotonic() - began >= limits.GRACE_SECONDS) == costs
        assert left(job) == []


async def test_a_cancel_while_the_sandbox_is_tried_ends_the_job_and_the_check(played: Round, tmp_path: Path) -> None:
    check = tmp_path / "check"
    fake = tmp_path / "fake"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = sandbox ] || exec {native_codex()} "$@"\necho $$ > {check}; setsid sleep 600 & wait\n'
    )
    fake.chmod(0o755)
    played.caller.client.env["CODEX_SIDECAR_CODEX"] = str(fake)
    job = await running(played, "workspace-write", "true")
    await until(lambda: check.exists() and check.read_text().strip(), "the sandbox is tried")
    assert await status(played, job) == "starting"
    answer = await played.call("codex_cancel", jobId=job)
    assert (answer["success"], answer["status"]) == (True, "stopping")
    assert await played.ended({"jobId": job}) == ["cancelled"]
    result = await played.call("codex_result", jobId=job)
    assert (result["error"], result["exitCode"], result["finalMessage"]) == (None, None, None)
    assert not is_alive(int(check.read_text()))
