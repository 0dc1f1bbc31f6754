"""The rest of the Codex backend: private directories, the preflight's memory, the doctor's checks, verdicts."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from sidecar.model.job import Job, JobError
from sidecar.model.outputs import CheckOutput
from sidecar.model.settings import CodexSettings
from sidecar.worker import private_tmp
from sidecar.worker import program as worker_program
from sidecar.worker.backend import CodexBackend
from sidecar.worker.judge import judge, plain, reason_of, signal_name
from sidecar.worker.stream import StreamParser
from tests.support.codex import native_codex, write_codex_home
from tests.support.plain import alive, until
from tests.support.repo import make_repo


def job(directory: Path, **facts: Any) -> Job:
    fixed: dict[str, Any] = {
        "job_id": "some-job",
        "number": 1,
        "title": "t",
        "sandbox": "workspace-write",
        "status": "starting",
        "working_directory": str(directory),
        "timeout_ms": 1000,
        "created_at": 0.0,
    }
    return Job(**{**fixed, **facts})


# -- prepare ----------------------------------------------------------------------------------------------------


async def test_prepare_writes_private_files_and_forgets_an_old_answer(tmp_path: Path) -> None:
    backend = CodexBackend()
    fake = tmp_path / "codex"
    fake.write_text("#!/bin/sh\necho scripted-worker 1.0\n")
    fake.chmod(0o755)
    directory = tmp_path / "attempt"
    directory.mkdir(mode=0o700)
    (directory / "last-message.txt").write_text("stale")
    (directory / "last-message.txt").chmod(0o644)
    env = {"PATH": os.environ["PATH"], "CODEX_HOME": str(tmp_path / "home"), "CODEX_SIDECAR_X": "1"}
    settings = CodexSettings(path=str(fake))
    codex = await backend.locate(settings, env)
    one = job(tmp_path)
    invocation = await backend.prepare(
        one, codex=codex, env=env, directory=directory, top=str(tmp_path), settings=settings
    )
    # Codex writes into a file that is there and leaves its mode; it would make one as the umask says.
    answer = directory / "last-message.txt"
    assert (answer.read_bytes(), stat.S_IMODE(answer.stat().st_mode)) == (b"", 0o600)
    schema = directory / "report-schema.json"
    assert stat.S_IMODE(schema.stat().st_mode) == 0o600
    assert json.loads(schema.read_text())["required"] == ["summary", "modifiedFiles"]
    assert invocation.argv[0] == str(fake)
    assert invocation.cwd == str(tmp_path)
    assert set(invocation.env) == {"PATH", "CODEX_HOME", "TMPDIR"}
    assert Path(invocation.env["TMPDIR"]).is_dir()
    again = await backend.prepare(one, codex=codex, env=env, directory=directory, top=str(tmp_path), settings=settings)
    assert again == invocation, "a second attempt may be prepared in the same place"


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    backend = CodexBackend()
    settings = CodexSettings(path=sys.executable)
    codex = await backend.locate(settings, {})
    with pytest.raises(SidecarError) as caught:
        await backend.prepare(
            job(tmp_path), codex=codex, env={}, directory=tmp_path / "gone", top=str(tmp_path), settings=settings
        )
    assert caught.value.kind == "state-unavailable"


# -- private directories ----------------------------------------------------------------------------------------


def test_a_private_directory_is_made_and_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = private_tmp.make("j1")
    assert path == private_tmp.make("j1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (path / "link").symlink_to(outside)
    locked = path / "mod" / "cache"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    locked.chmod(0o500)
    private_tmp.remove("j1")
    assert not path.exists()
    assert (outside / "kept").exists()
    private_tmp.remove("j1")


def test_what_crashed_sidecars_left_is_removed_when_no_job_can_be_so_old() -> None:
    old, new = private_tmp.make("old"), private_tmp.make("new")
    past = time.time() - 9 * 24 * 3600
    os.utime(old, (past, past))
    private_tmp.make("mine")
    private_tmp.remove("mine")
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SidecarError) as caught:
        private_tmp.make("j")
    assert caught.value.kind == "state-unavailable"
    assert "XDG_CACHE_HOME" in caught.value.hint


# -- preflight --------------------------------------------------------------------------------------------------


class Sandbox:
    """A program that passes for Codex and counts its `sandbox` calls."""

    def __init__(self, root: Path) -> None:
        self.log = root / "calls"
        self.answer = root / "answer"
        self.path = root / "codex"
        self.answer.write_text("0")
        self.path.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo codex-cli 0.169.0 && exit\n'
            f'echo "$TMPDIR $*" >> "{self.log}"\nsleep 0.1\n'
            f'code=$(cat "{self.answer}")\n[ "$code" = 0 ] || echo "bwrap: No permissions" >&2\nexit $code\n'
        )
        self.path.chmod(0o755)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


async def test_the_preflight_is_made_once_for_each_mode_and_home(tmp_path: Path) -> None:
    fake, backend = Sandbox(tmp_path), CodexBackend()
    settings = CodexSettings(path=str(fake.path))
    env = {"PATH": os.environ["PATH"], "CODEX_HOME": "/home/one"}
    codex = await backend.locate(settings, env)

    async def check(sandbox: str = "workspace-write", **more: str) -> None:
        await backend.preflight(job(tmp_path, sandbox=sandbox), codex=codex, env={**env, **more}, top=str(tmp_path))

    await asyncio.gather(*(check() for _ in range(5)))
    tmpdir = private_tmp.root() / "some-job"
    assert fake.calls() == [f"{tmpdir} sandbox -P :workspace -C {tmp_path} -- true"]
    await check("read-only")
    assert fake.calls()[1:] == [f"{tmpdir} sandbox -P :read-only -C {tmp_path} -- true"]
    await check("danger-full-access")
    assert len(fake.calls()) == 2
    await check(CODEX_HOME="/home/two")
    assert len(fake.calls()) == 3


async def test_a_failed_preflight_is_made_again(tmp_path: Path) -> None:
    fake, backend = Sandbox(tmp_path), CodexBackend()
    settings = CodexSettings(path=str(fake.path))
    env = {"PATH": os.environ["PATH"]}
    codex = await backend.locate(settings, env)
    fake.answer.write_text("1")
    for _ in range(2):
        with pytest.raises(SidecarError, match="bwrap: No permissions") as caught:
            await backend.preflight(job(tmp_path), codex=codex, env=env, top=str(tmp_path))
        assert caught.value.kind == "sandbox-unavailable"
    fake.answer.write_text("0")
    await backend.preflight(job(tmp_path), codex=codex, env=env, top=str(tmp_path))
    assert len(fake.calls()) == 3


@pytest.mark.parametrize("starting", [False, True])
async def test_a_preflight_that_is_cancelled_kills_the_check_and_the_next_job_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starting: bool
) -> None:
    fake, backend = Sandbox(tmp_path), CodexBackend()
    env = {"PATH": os.environ["PATH"]}
    codex = await backend.locate(CodexSettings(path=str(fake.path)), env)
    cancelled = asyncio.Event()
    loop = asyncio.get_running_loop()
    connect = loop.connect_read_pipe

    async def connect_later(*args: Any) -> Any:
        """The program runs, and asyncio still has its hands full with starting it."""
        if starting:
            await cancelled.wait()
        return await connect(*args)

    monkeypatch.setattr(loop, "connect_read_pipe", connect_later)
    quick = fake.path.read_text()
    # One of them leaves its session, one its parent too; the latter is not found, holds the output open for a while,
    # and nobody waits for it.
    left = "setsid sleep 600 & echo $! >> pids; (setsid sleep 20 &)"
    fake.path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{left}\necho $$ >> pids\nexec sleep 600\n")
    hanging = asyncio.create_task(backend.preflight(job(tmp_path), codex=codex, env=env, top=str(tmp_path)))
    pids = tmp_path / "pids"
    await until(lambda: pids.exists() and pids.read_text().count("\n") == 2)
    check = [int(pid) for pid in pids.read_text().split()]
    assert all(map(alive, check))
    waiting = asyncio.create_task(backend.preflight(job(tmp_path), codex=codex, env=env, top=str(tmp_path)))
    fake.path.write_text(quick)
    hanging.cancel()
    await asyncio.sleep(0)
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    # SIGKILL has been sent, and is carried out when the system comes to it.
    await until(lambda: not any(map(alive, check)))
    await waiting


async def test_no_preflight_for_a_program_that_is_not_codex(tmp_path: Path) -> None:
    backend, settings = CodexBackend(), CodexSettings(path=sys.executable)
    codex = await backend.locate(settings, {})
    assert not codex.is_codex
    await backend.preflight(job(tmp_path), codex=codex, env={}, top=str(tmp_path))


@pytest.mark.codex
async def test_the_real_preflight_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make_repo(tmp_path / "repo")
    backend, settings = CodexBackend(), CodexSettings(path=str(native_codex()))
    env = {**os.environ, "CODEX_HOME": str(write_codex_home(tmp_path / "home", "http://127.0.0.1:1/v1"))}
    codex = await backend.locate(settings, env)
    ran: list[str] = []
    run = worker_program.run

    async def counted(argv: Sequence[str], **more: Any) -> worker_program.Ran:
        ran.append(argv[1])
        return await run(argv, **more)

    monkeypatch.setattr(worker_program, "run", counted)
    for _ in range(2):
        await backend.preflight(job(repo), codex=codex, env=env, top=str(repo))
    assert ran == ["sandbox"]


# -- doctor -----------------------------------------------------------------------------------------------------


async def checks(env: dict[str, str], path: str, top: Path) -> dict[str, CheckOutput]:
    return {one.name: one for one in await CodexBackend().checks(CodexSettings(path=path), env, str(top))}


@pytest.mark.codex
async def test_the_doctor_with_a_provider_that_needs_no_login(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    env = {**os.environ, "CODEX_HOME": str(write_codex_home(tmp_path / "home", "http://127.0.0.1:1/v1"))}
    found = await checks(env, str(native_codex()), repo)
    assert {name: one.ok for name, one in found.items()} == {"codex": True, "login": True, "sandbox": True}
    assert found["codex"].details["version"] == "0.169.0"
    assert found["codex"].details["path"] == str(native_codex())
    assert found["codex"].details["source"] == "setting"
    assert "needs no login" in found["login"].message
    assert list((private_tmp.root()).iterdir()) == [], "the probe leaves nothing behind"


@pytest.mark.codex
async def test_the_doctor_without_a_login(tmp_path: Path) -> None:
    env = {**os.environ, "CODEX_HOME": str(tmp_path)}
    found = await checks(env, str(native_codex()), tmp_path)
    assert not found["login"].ok
    assert found["login"].required
    assert "Not logged in" in found["login"].message
    assert "codex login" in found["login"].hint
    assert (await checks({**env, "CODEX_API_KEY": "k"}, str(native_codex()), tmp_path))["login"].ok


@pytest.mark.codex
async def test_the_doctor_with_a_provider_whose_key_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'model_provider = "p"\n[model_providers.p]\nname = "p"\nbase_url = "http://127.0.0.1:1/v1"\nenv_key = "P_KEY"\n'
    )
    env = {**os.environ, "CODEX_HOME": str(tmp_path)}
    found = await checks(env, str(native_codex()), tmp_path)
    assert not found["login"].ok
    assert "P_KEY" in found["login"].message
    assert (await checks({**env, "P_KEY": "k"}, str(native_codex()), tmp_path))["login"].ok


async def test_the_doctor_without_codex(tmp_path: Path) -> None:
    found = await checks({"PATH": str(tmp_path)}, "", tmp_path)
    assert not found["codex"].ok
    assert found["codex"].required
    assert "npm install -g @openai/codex" in found["codex"].hint
    assert not found["login"].required
    assert not found["sandbox"].required


async def test_the_doctor_with_another_program(tmp_path: Path) -> None:
    env = {**os.environ, "CODEX_SIDECAR_CODEX": f"'{sys.executable}' -m sidecar.demo.worker"}
    found = await checks(env, "", tmp_path)
    assert all(one.ok for one in found.values())
    assert "scripted-worker 1.0" in found["codex"].message
    assert "not the Codex CLI" in found["codex"].message


# -- verdicts ---------------------------------------------------------------------------------------------------


def verdict(*lines: str, exit_code: int | None, stderr: str = "") -> tuple[str, JobError | None]:
    tracker = StreamParser("/r")
    for line in lines:
        tracker.parse(line.encode())
    return judge(tracker, exit_code=exit_code, stderr_tail=stderr)


STARTED = '{"type":"thread.started","thread_id":"t"}'
COMPLETED = '{"type":"turn.completed","usage":{}}'


def test_done_needs_the_end_of_the_turn_and_exit_0() -> None:
    assert verdict(STARTED, COMPLETED, exit_code=0) == ("done", None)
    for lines, code, words in (
        ([STARTED], 0, "ended early"),
        ([], 0, "ended early"),
        ([STARTED, COMPLETED], 3, "exit code 3"),
        ([STARTED], 3, "in the middle of its turn"),
        ([], 3, "before it began"),
        ([STARTED, COMPLETED], None, "not seen"),
        ([STARTED, COMPLETED], -9, "SIGKILL from outside"),
        ([STARTED], -11, "SIGSEGV from outside"),
        ([STARTED, '{"type":"turn.failed","error":{"message":"no luck"}}'], 1, "no luck"),
        ([STARTED, '{"type":"turn.failed","error":{"message":"no luck"}}'], 0, "no luck"),
        ([STARTED, '{"type":"error","message":"Reconnecting... 1/5 (x)"}'], 1, "Reconnecting... 1/5 (x)"),
    ):
        status, error = verdict(*lines, exit_code=code)
        assert status == "failed"
        assert error is not None
        assert error.kind == "codex-failed"
        assert words in error.message
        assert error.hint
        assert error.details["exitCode"] == code


def test_an_error_on_the_way_does_not_spoil_a_good_end() -> None:
    assert verdict(STARTED, '{"type":"error","message":"Reconnecting... 1/5"}', COMPLETED, exit_code=0)[0] == "done"


def test_stderr_tells_why_where_the_stream_does_not() -> None:
    stderr = (
        "Reading additional input from stdin...\nwarning: Untrusted project-local configuration is disabled. Run x\n"
        "\x1b[31mError: Model provider `foo` not found\x1b[0m\n\nStack backtrace:\n   0: <unknown>\n  10: <unknown>\n"
    )
    _, error = verdict(exit_code=1, stderr=stderr)
    assert error is not None
    assert error.message == "Model provider `foo` not found"
    assert "config.toml" in error.hint
    assert reason_of("Reading additional input from stdin...\n") == ""


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("unexpected status 401 Unauthorized: x", "codex login"),
        ("You've hit your usage limit.", "limit is reached"),
        ("exceeded retry limit, last status: 429 Too Many Requests", "fewer workers"),
        ("Codex ran out of room in the model's context window.", "Split the task"),
        ("Connection failed: error sending request", "cannot be reached"),
        ("Not inside a trusted directory and --skip-git-repo-check was not specified.", "trust"),
        ('{"error": {"message": "bad model", "type": "invalid_request_error"}}', "check `model`"),
    ],
)
def test_known_texts_have_a_remedy(message: str, hint: str) -> None:
    failed = json.dumps({"type": "turn.failed", "error": {"message": message}})
    _, error = verdict(STARTED, failed, exit_code=1)
    assert error is not None
    assert hint in error.hint


def test_messages_are_one_printable_line_of_bounded_length() -> None:
    assert plain("a\x1b[31mb\x00c\r\n\td") == "ab c d"
    assert len(plain("x" * 10_000)) == 1_000
    assert signal_name(15) == "SIGTERM"
    assert signal_name(200) == "signal 200"
