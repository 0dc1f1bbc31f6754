"""How the moves of a real Codex worker are told: its patch names only the old path, its command names nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.test_touched_files import MOVE_BY_PATCH, MOVED, TEXT
from tests.support import mcp
from tests.support.raw import no_service_left
from tests.support.repo import git, make_repo
from tests.system.test_a2_codex import act, boss, call, ended, report, spawn

__all__ = ["boss"]
pytestmark = [pytest.mark.codex, pytest.mark.slow]


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"big.txt": TEXT})
    with no_service_left(path):
        yield path


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
