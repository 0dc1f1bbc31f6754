"""A person's commit that holds a run's changes closes it, however soon after the last worker's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.test_a2_round import TEXT, patch, report
from tests.support.repo import git, make_repo
from tests.support.round import open_round


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "README.md": "hello\n"})


@pytest.mark.parametrize("number", range(4))
async def test_the_next_job_begins_a_new_run(repo: Path, number: int) -> None:
    async with open_round(repo) as round_:
        for line in (3, 5):
            job = await round_.write("work", patch(line, f"by w {line}"), report("app.py"))
            await round_.ended(job)
            old = (await round_.call("codex_status"))["run"]["runId"]
            git(repo, "commit", "-qam", "work")
            answer = await round_.call("codex_baseline")
            assert answer["runId"] != old
            assert answer["head"] == git(repo, "rev-parse", "HEAD").strip()
            again = await round_.call("codex_baseline")
            assert again["runId"] == answer["runId"]


async def test_uncommitted_changes_keep_the_run_open_whatever_head_names(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("work", patch(3, "three"), report("app.py"))
        await round_.ended(job)
        old = (await round_.call("codex_baseline"))["runId"]
        git(repo, "commit", "-q", "--allow-empty", "-m", "mine")
        assert (await round_.call("codex_baseline"))["runId"] == old
