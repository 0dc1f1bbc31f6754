"""The work tree against a baseline or a tree: every difference by its kind, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.git import blobs
from sidecar.git.baseline import Baseline
from sidecar.git.changes import NOT_HASHED, PathChange, changed_paths
from tests.support.repo import git, make_repo
from tests.support.tree import Bench, append, bench, blob_id, index_bytes, picture, write

TEXT = "".join(f"line {number}\n" for number in range(50))


@pytest.fixture
def it(tmp_path: Path) -> Bench:
    top = make_repo(
        tmp_path / "repo", {"a.txt": TEXT, "d/b.txt": TEXT + "b\n", "d/c.txt": "c\n", ".gitignore": "*.o\n"}
    )
    return bench(top)


def told(it: Bench, base: Baseline | str) -> dict[str, str]:
    """Path → kind, and where it came from."""
    return {
        change.path: change.kind + (f" from {change.old_path}" if change.old_path else "")
        for change in changed_paths(it.repository, it.state, base, it.baselines)
    }


def test_every_kind(it: Bench) -> None:
    write(it.top, "tool.sh", "#!/bin/sh\n")
    os.symlink("a.txt", it.top / "link")
    os.symlink("a.txt", it.top / "becomes-file")
    git(it.top, "add", "-A")
    git(it.top, "commit", "-qm", "more")
    baseline = it.baselines.record("run-1", "refuse")
    assert told(it, baseline) == {}
    os.utime(it.top / "d/b.txt")
    append(it.top, "a.txt", "more\n")
    (it.top / "d/c.txt").unlink()
    os.rename(it.top / "d/b.txt", it.top / "moved.txt")
    append(it.top, "moved.txt", "and changed\n")
    (it.top / "tool.sh").chmod(0o755)
    (it.top / "link").unlink()
    os.symlink("d", it.top / "link")
    (it.top / "becomes-file").unlink()
    write(it.top, "becomes-file", "a.txt")
    write(it.top, "new/n.txt", "new\n")
    os.symlink("n.txt", it.top / "new/link")
    write(it.top, "x.o", "ignored\n")
    os.mkfifo(it.top / "pipe")
    before, index = picture(it.top), index_bytes(it.top)
    expected = {
        "a.txt": "modified", "d/c.txt": "deleted", "moved.txt": "renamed from d/b.txt", "tool.sh": "mode",
        "link": "modified", "becomes-file": "modified", "new/n.txt": "added", "new/link": "added",
    }  # fmt: skip
    assert told(it, baseline) == expected
    assert told(it, baseline.tree) == expected
    assert (picture(it.top), index_bytes(it.top)) == (before, index)
    # What a worker stages or hides from git makes no difference.
    git(it.top, "add", "-A")
    git(it.top, "update-index", "--skip-worktree", "a.txt")
    assert told(it, baseline) == expected
    git(it.top, "rm", "-q", "--cached", "--sparse", "a.txt", "new/n.txt")
    assert told(it, baseline) == expected
    git(it.top, "commit", "-qm", "a worker's own commit")
    assert told(it, baseline) == expected


def test_entries_are_exact_bytes_and_stored_on_request(it: Bench) -> None:
    baseline = it.baselines.record("run-1", "refuse")
    write(it.top, "a.txt", b"bytes \r\n\xff")
    (change,) = changed_paths(it.repository, it.state, baseline, it.baselines)
    oid = blob_id(b"bytes \r\n\xff")
    assert isinstance(change, PathChange)
    assert (change.old and change.old.oid, change.new and change.new.oid) == (blob_id(TEXT.encode()), oid)
    assert change.signature == it.repairs.signatures(["a.txt"])["a.txt"]
    assert oid not in git(it.top, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    changed_paths(it.repository, it.state, baseline, it.baselines, store=True)
    assert oid in git(it.top, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")


def test_against_a_persons_uncommitted_work(it: Bench) -> None:
    append(it.top, "a.txt", "mine\n")
    write(it.top, "mine.txt", "mine\n")
    (it.top / "d/c.txt").unlink()
    git(it.top, "update-index", "--assume-unchanged", "d/b.txt")
    append(it.top, "d/b.txt", "hidden\n")
    baseline = it.baselines.record("run-1", "snapshot")
    assert told(it, baseline) == {}
    append(it.top, "mine.txt", "w1\n")
    write(it.top, "d/c.txt", "c\n")
    append(it.top, "d/b.txt", "w1\n")
    assert told(it, baseline) == {"mine.txt": "modified", "d/c.txt": "added", "d/b.txt": "modified"}


def test_large_files_are_compared_by_stat_unless_asked(it: Bench) -> None:
    write(it.top, "large.bin", b"x" * (blobs.LARGE_BYTES + 1))
    baseline = it.baselines.record("run-1", "snapshot")
    assert told(it, baseline) == {}
    write(it.top, "large.bin", b"y" * (blobs.LARGE_BYTES + 1))
    write(it.top, "second.bin", b"z" * (blobs.LARGE_BYTES + 1))
    found = {change.path: change for change in changed_paths(it.repository, it.state, baseline, it.baselines)}
    assert {path: change.kind for path, change in found.items()} == {"large.bin": "modified", "second.bin": "added"}
    assert {change.new.oid for change in found.values() if change.new} == {NOT_HASHED}
    hashed = changed_paths(it.repository, it.state, baseline, it.baselines, large="hash")
    assert {change.path: len(change.new.oid) for change in hashed if change.new} == {"large.bin": 40, "second.bin": 40}


def test_files_that_git_converts_are_unchanged_until_they_change(tmp_path: Path) -> None:
    top = make_repo(tmp_path / "repo", {".gitattributes": "*.txt text eol=crlf\n*.id ident\n", "v.id": "$Id$\n"})
    write(top, "a.txt", b"one\r\ntwo\r\n")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "ends")
    for path in ("v.id", "a.txt"):
        (top / path).unlink()
    git(top, "checkout", "-q", ".")
    assert b"$Id: " in (top / "v.id").read_bytes()
    it = bench(top)
    baseline = it.baselines.record("run-1", "refuse")
    assert told(it, baseline) == {}
    for path in ("v.id", "a.txt"):
        os.utime(top / path, (1, 1))
    assert told(it, baseline) == {}
    assert told(it, baseline.tree) == {}
    append(top, "v.id", "w1\n")
    assert told(it, baseline) == {"v.id": "modified"}
    assert told(it, baseline.tree) == {"v.id": "modified"}


def test_submodules_and_nested_repositories_are_seen(it: Bench) -> None:
    inner = make_repo(it.top / "sub")
    git(it.top, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
    git(it.top, "commit", "-qm", "sub")
    make_repo(it.top / "nested")
    baseline = it.baselines.record("run-1", "snapshot")
    append(inner, "README.md", "dirty\n")
    assert told(it, baseline) == {}
    git(inner, "commit", "-qam", "moved")
    make_repo(it.top / "d/other")
    changes = changed_paths(it.repository, it.state, baseline, it.baselines)
    assert {change.path: (change.kind, change.new and change.new.mode) for change in changes} == {
        "sub": ("modified", "160000"), "d/other": ("added", "160000"),
    }  # fmt: skip


def test_executable_bits_count_only_where_the_repository_says_so(it: Bench) -> None:
    baseline = it.baselines.record("run-1", "refuse")
    (it.top / "a.txt").chmod(0o755)
    assert told(it, baseline) == {"a.txt": "mode"}
    git(it.top, "config", "core.fileMode", "false")
    assert told(it, baseline) == {}


def test_unborn(tmp_path: Path) -> None:
    top = tmp_path / "repo"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    it = bench(top)
    baseline = it.baselines.record("run-1", "refuse")
    assert (baseline.head, baseline.files) == (None, 0)
    write(top, "a.txt", "a\n")
    assert told(it, baseline) == {"a.txt": "added"}
    it.repairs.rollback(baseline, ["a.txt"], reason="back")
    assert told(it, baseline) == {}
