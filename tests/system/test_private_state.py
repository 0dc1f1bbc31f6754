"""Whatever the person's umask is: what the sidecar keeps is theirs alone, a worker's files are as they want them."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from tests.support.codex import native_codex, write_codex_home
from tests.support.mcp import RawClient
from tests.support.raw import no_service_left, state_dir
from tests.support.repo import make_repo

pytestmark = [pytest.mark.codex, pytest.mark.slow]

PATCH = "*** Begin Patch\n*** Add File: patched.txt\n+x\n*** Update File: a.txt\n@@\n-one\n+ONE\n*** End Patch\n"


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"a.txt": "one\n"})
    with no_service_left(path):
        yield path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def open_to_others(state: Path) -> list[str]:
    """What below the state directory is not 0700 (directories) or 0600 (everything else).

    What a repair displaced is the person's own file, moved as it is into the trash, until that is emptied.
    """
    found = []
    # Unlike `rglob` this takes it when a directory is removed meanwhile, as in the trash.
    inside = [Path(top, name) for top, folders, files in os.walk(state) for name in (*folders, *files)]
    for path in [state, *inside]:
        try:
            wanted = 0o700 if path.is_dir() and not path.is_symlink() else 0o600
            displaced = path.parent.parent == state / "trash" and path.name.isdigit()
            if mode(path) != wanted and not displaced:
                found.append(f"{path.relative_to(state)} {mode(path):o}")
        except FileNotFoundError:  # Removed meanwhile, as the control of a worker that has ended.
            continue
    return found


async def test_files_are_0600_and_directories_0700_whatever_the_umask(repo: Path, tmp_path: Path) -> None:
    state = state_dir(repo)
    pipe = asyncio.subprocess.PIPE
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url)
        env = {**os.environ, "CODEX_HOME": str(home), "CODEX_SIDECAR_CODEX": str(native_codex())}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar", "mcp", cwd=repo, env=env, stdin=pipe, stdout=pipe, umask=0
        )
        assert process.stdout is not None
        assert process.stdin is not None
        boss = RawClient(process.stdout, process.stdin)
        await boss.initialize()

        async def call(tool: str, **arguments: object) -> dict[str, object]:
            answer = await boss.call(tool, arguments)
            assert not answer.get("isError"), answer
            content: dict[str, object] = answer["structuredContent"]
            return content

        async def spawn(*steps: object) -> str:
            prompt = f"Do it. {MARKER} {json.dumps(steps)}"
            return str((await call("codex_spawn", prompt=prompt, sandbox="workspace-write"))["jobId"])

        async def ended(job: str) -> object:
            while (answer := await call("codex_wait_any", jobIds=[job], timeoutMs=20_000))["timedOut"]:
                pass
            return answer["status"]

        report = {"json": {"summary": "did it", "modifiedFiles": ["a.txt", "patched.txt", "made.txt"]}}
        done = await spawn({"patch": PATCH}, {"sh": "umask; echo x > made.txt"}, report)
        assert await ended(done) == "done"
        silent = await spawn({"http": 400, "body": {"error": {"message": "no"}}})
        assert await ended(silent) == "failed"
        running = await spawn({"sh": "touch here; sleep 100", "args": {"yield_time_ms": 30_000}}, report)
        while not (repo / "here").exists():
            await asyncio.sleep(0.02)
        assert (state / "jobs" / running / "env.json").exists()
        assert open_to_others(state) == []
        await call("codex_cancel", jobId=running)
        assert await ended(running) == "cancelled"
        for tool, arguments in (("codex_rollback", {"jobIds": [done]}), ("codex_rerun", {"jobIds": [done]})):
            await call(tool, **arguments, token=(await call(tool, **arguments))["token"])
        assert (await call("codex_snapshots"))["snapshots"]
        assert open_to_others(state) == []
        answers = {job: state / "jobs" / job / "1" / "last-message.txt" for job in (done, silent, running)}
        assert json.loads(answers[done].read_text())["summary"] == "did it"
        assert answers[silent].read_bytes() == answers[running].read_bytes() == b""
        for job in (silent, running):
            assert (await call("codex_result", jobId=job))["finalMessage"] is None
        assert mode(repo / "here") == 0o666, "a worker's own files are as the person's umask says"
        await boss.close()
        await asyncio.wait_for(process.wait(), 20)
