"""How the moves of a real Codex worker are told: its patch names only the old path, its command names nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.demo.model import ScriptedModel
from tests.core.test_touched_files import MOVE_BY_PATCH, MOVED, TEXT
from tests.support import mcp
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import no_service_left
from tests.support.repo import git, make_repo
from tests.system.test_a2_codex import act, call, ended, report, spawn
from tests.system.test_one_sidecar import front_end

pytestmark = [pytest.mark.codex, pytest.mark.slow]


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"big.txt": TEXT})
    with no_service_left(path):
        yield path


@pytest.fixture(params=["gpt-5.5", "gpt-6.1-sol"])
async def boss(repo: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[mcp.RawClient]:
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url, request.param)
        env = {"CODEX_HOME": str(home), "CODEX_SIDECAR_CODEX": str(native_codex())}
        async with front_end("mcp", repo, env) as client:
            yield client


async def test_a_moved_file_is_told_as_renamed_and_goes_back(boss: mcp.RawClient, repo: Path) -> None:
    for step in ({"patch": MOVE_BY_PATCH}, {"sh": "mv big.txt moved.txt; echo more >> moved.txt"}):
        job = await spawn(boss, "move", step, report())
        await ended(boss, job)
        touched = (await call(boss, "codex_result", jobId=job))["touchedFiles"]
        # The report of these workers names app.py, which is not there.
        told = {file["path"]: file["change"] for file in touched if file["attribution"] == "seen"}
        assert told == MOVED
        await act(boss, "codex_rollback")
        assert git(repo, "status", "--porcelain") == ""
        assert (repo / "big.txt").read_text() == TEXT
