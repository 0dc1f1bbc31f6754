"""When a run opens, when it closes, and what a dirty tree does, on real repositories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.a2.runs import Runs
from sidecar.git.baseline import Baselines
from sidecar.git.repository import Repository
from sidecar.jobs.journal import Journal
from sidecar.model.errors import SidecarError
from sidecar.model.job import Job
from tests.support.repo import git, make_repo


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(tmp_path / "jobs.sqlite")
    await journal.open()
    yield journal
    await journal.close()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo")


def make_runs(journal: Journal, repo: Path) -> Runs:
    repository = Repository(repo, repo / ".git")
    state_dir = repo / ".git" / "codex-sidecar"
    state_dir.mkdir(exist_ok=True)
    return Runs(journal, repository, Baselines(repository, state_dir))


def head(repo: Path) -> str:
    return git(repo, "rev-parse", "HEAD").strip()


def job_of(run_id: str, **more: Any) -> Job:
    return Job(
        job_id="j", number=1, title="t", sandbox="workspace-write", status="done", working_directory="/",
        timeout_ms=1000, created_at=0, run_id=run_id, **more,
    )  # fmt: skip


async def test_the_first_write_job_records_the_head(journal: Journal, repo: Path) -> None:
    runs = make_runs(journal, repo)
    run = await runs.for_write_job("refuse", unfinished=False)
    assert run.head == head(repo)
    assert await journal.open_run() == run
    again = make_runs(journal, repo)
    await again.load()
    assert again.open == run


async def test_a_dirty_tree_is_refused_with_the_files_and_the_two_other_ways(journal: Journal, repo: Path) -> None:
    (repo / "README.md").write_text("changed\n")
    (repo / "ü new.txt").write_text("x")
    (repo / b"bad\xff.txt".decode("utf-8", "surrogateescape")).write_text("x")
    runs = make_runs(journal, repo)
    with pytest.raises(SidecarError) as caught:
        await runs.for_write_job("refuse", unfinished=False)
    error = caught.value
    assert error.kind == "dirty-tree"
    assert sorted(error.details["files"]) == ["README.md", "bad\ufffd.txt", "ü new.txt"]
    assert "snapshot" in error.hint
    assert "stash" in error.hint
    assert await journal.open_run() is None
    assert (repo / "README.md").read_text() == "changed\n"


async def test_while_a_run_is_open_its_own_changes_are_not_dirt(journal: Journal, repo: Path) -> None:
    runs = make_runs(journal, repo)
    first = await runs.for_write_job("refuse", unfinished=False)
    (repo / "made-by-a-worker.txt").write_text("x")
    assert await runs.for_write_job("refuse", unfinished=True) == first
    assert await runs.for_write_job("refuse", unfinished=False) == first


async def test_a_persons_commit_that_holds_the_changes_closes_the_run(journal: Journal, repo: Path) -> None:
    runs = make_runs(journal, repo)
    first = await runs.for_write_job("refuse", unfinished=False)
    (repo / "made-by-a-worker.txt").write_text("x")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "keep")
    second = await runs.for_write_job("refuse", unfinished=False)
    assert second.run_id != first.run_id
    assert second.head == head(repo)


async def test_a_tree_that_equals_the_baseline_again_closes_the_run(journal: Journal, repo: Path) -> None:
    runs = make_runs(journal, repo)
    first = await runs.for_write_job("refuse", unfinished=False)
    await journal.save(job_of(first.run_id))
    assert (await runs.for_write_job("refuse", unfinished=True)).run_id == first.run_id
    assert await runs.would_close(unfinished=False) == "unchanged"
    assert (await runs.for_write_job("refuse", unfinished=False)).run_id != first.run_id


async def test_a_run_that_was_begun_waits_for_its_first_job(journal: Journal, repo: Path) -> None:
    runs = make_runs(journal, repo)
    first = await runs.for_write_job("refuse", unfinished=False)
    assert await runs.would_close(unfinished=False) is None
    assert await runs.for_write_job("refuse", unfinished=False) == first
    git(repo, "commit", "-q", "--allow-empty", "-m", "a person's")
    assert await runs.would_close(unfinished=False) == "committed"
    assert (await runs.for_write_job("refuse", unfinished=False)).head == head(repo)


async def test_a_workers_commit_never_closes_the_run(journal: Journal, repo: Path) -> None:
    runs = make_runs(journal, repo)
    first = await runs.for_write_job("refuse", unfinished=False)
    job = msgspec.structs.replace(job_of(first.run_id, head_at_start=first.head), sandbox="danger-full-access")
    (repo / "x.txt").write_text("x")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "forbidden")
    await runs.note_head(job)
    assert (await runs.for_write_job("refuse", unfinished=False)).run_id == first.run_id


async def test_a_branch_without_a_commit_has_no_head(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    runs = make_runs(journal, tmp_path / "empty")
    assert (await runs.for_write_job("refuse", unfinished=False)).head is None


async def test_a_hostile_configuration_executes_nothing(journal: Journal, repo: Path, tmp_path: Path) -> None:
    trap, proof = tmp_path / "trap.sh", tmp_path / "proof"
    trap.write_text(f"#!/bin/sh\necho ran >> {proof}\ncat\n")
    trap.chmod(0o755)
    (repo / ".gitattributes").write_text("* filter=evil diff=evil\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "attributes")
    for key in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv", "diff.external"):
        git(repo, "config", key, str(trap))
    hooks = repo / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "post-index-change").symlink_to(trap)
    (repo / "README.md").write_text("touched\n")
    repository = Repository(repo, repo / ".git")
    assert repository.dirty_paths() == ["README.md"]
    assert repository.head() == head(repo)
    assert not proof.exists()
