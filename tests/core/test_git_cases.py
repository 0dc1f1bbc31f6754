"""The case matrix: whatever a repository is like, baseline, roll back and restore are exact and change nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.git.changes import changed_paths
from sidecar.model.errors import SidecarError
from tests.support.repo import git, make_repo
from tests.support.tree import (
    append,
    bench,
    files_of,
    index_bytes,
    nasty_repo,
    nested_repository,
    picture,
    refs_of,
    work_of_workers,
    write,
)

FILES = {"a.txt": "a\n" * 30, "d/b.txt": "b\n" * 30, "d/e/c.txt": "c\n" * 30, "s/d.txt": "d\n"}


def plain(top: Path) -> Path:
    return make_repo(top, FILES)


def unborn(top: Path) -> Path:
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    for path, text in FILES.items():
        write(top, path, text)
    git(top, "add", "a.txt", "d/b.txt")
    append(top, "a.txt", "after the add\n")
    return top


def detached(top: Path) -> Path:
    plain(top)
    git(top, "checkout", "-q", "--detach")
    return top


def linked(top: Path) -> Path:
    main = plain(top.with_name(top.name + "-main"))
    git(main, "worktree", "add", "-q", "--detach", str(top))
    append(main, "a.txt", "the main work tree's own change\n")
    return top


def shallow(top: Path) -> Path:
    origin = plain(top.with_name(top.name + "-origin"))
    append(origin, "a.txt", "second\n")
    git(origin, "commit", "-qam", "second")
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{origin}", top], check=True, capture_output=True)
    return top


def sparse_cone(top: Path) -> Path:
    plain(top)
    git(top, "sparse-checkout", "set", "--cone", "d")
    assert not (top / "s").exists()
    return top


def sparse_index(top: Path) -> Path:
    plain(top)
    git(top, "sparse-checkout", "set", "--cone", "--sparse-index", "d")
    assert not (top / "s").exists()
    return top


def sparse_patterns(top: Path) -> Path:
    plain(top)
    git(top, "sparse-checkout", "set", "--no-cone", "/a.txt", "/d/")
    assert not (top / "s").exists()
    return top


def merging(top: Path) -> Path:
    plain(top)
    git(top, "checkout", "-q", "-b", "other")
    write(top, "d/b.txt", "theirs\n")
    git(top, "commit", "-qam", "theirs")
    git(top, "checkout", "-q", "main")
    write(top, "d/b.txt", "ours\n")
    git(top, "commit", "-qam", "ours")
    subprocess.run(["git", "-C", top, "merge", "-q", "other"], capture_output=True)
    assert b"<<<<<<<" in (top / "d/b.txt").read_bytes()
    return top


def index_locked(top: Path) -> Path:
    plain(top)
    append(top, "a.txt", "uncommitted\n")
    (top / ".git/index.lock").write_bytes(b"")
    return top


def filter_missing(top: Path) -> Path:
    """As Git LFS leaves it where its program is not installed: the filter is required and cannot run."""
    plain(top)
    write(top, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    write(top, "big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "pointer")
    write(top, "big.bin", b"\0\1\2 the real content")
    for key, value in (("clean", "git-lfs-is-not-here"), ("smudge", "git-lfs-is-not-here"), ("required", "true")):
        git(top, "config", f"filter.lfs.{key}", value)
    return top


def filter_missing_globally(top: Path) -> Path:
    filter_missing(top)
    config = Path(os.environ["HOME"]) / "gitconfig"
    config.write_text('[filter "lfs"]\n clean = git-lfs-is-not-here\n smudge = git-lfs-is-not-here\n required = true\n')
    os.environ["GIT_CONFIG_GLOBAL"] = str(config)
    git(top, "config", "--remove-section", "filter.lfs")
    return top


def mixed_ends(top: Path) -> Path:
    plain(top)
    write(top, "a.txt", b"one\r\ntwo\nthree\r\n" * 5)
    write(top, "d/b.txt", b"all\r\nof\r\nit\r\n" * 5)
    write(top, ".gitattributes", "*.txt text=auto\n")
    git(top, "-c", "core.safecrlf=false", "add", "-A")
    git(top, "commit", "-qm", "ends")
    git(top, "config", "core.autocrlf", "true")
    git(top, "config", "core.safecrlf", "true")
    return top


def intent_to_add(top: Path) -> Path:
    plain(top)
    write(top, "intended.txt", "intended\n")
    git(top, "add", "-N", "intended.txt")
    write(top, "gone.txt", "gone\n")
    git(top, "add", "-N", "gone.txt")
    (top / "gone.txt").unlink()
    return top


def hidden(top: Path) -> Path:
    plain(top)
    git(top, "update-index", "--skip-worktree", "a.txt")
    git(top, "update-index", "--assume-unchanged", "d/b.txt")
    write(top, "a.txt", "the person's own, hidden from git\n")
    write(top, "d/b.txt", "likewise\n")
    return top


def colliding_names(top: Path) -> Path:
    plain(top)
    for name in ("Readme", "README", "readme"):
        write(top, name, name)
    git(top, "add", "-A")
    git(top, "commit", "-qm", "case")
    write(top, "ReadMe", "untracked, too")
    return top


def empty_directories(top: Path) -> Path:
    plain(top)
    (top / "empty/inner").mkdir(parents=True)
    (top / "d/empty").mkdir(mode=0o700)
    return top


def private_files(top: Path) -> Path:
    plain(top)
    (top / "a.txt").chmod(0o600)
    write(top, "secret", "untracked\n", 0o400)
    (top / "d").chmod(0o750)
    return top


def pipes(top: Path) -> Path:
    plain(top)
    os.mkfifo(top / "pipe")
    os.mkfifo(top / "d/pipe")
    return top


def submodule(top: Path) -> Path:
    inner = make_repo(top.with_name(top.name + "-inner"), {"inner.txt": "inner\n"})
    plain(top)
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")
    git(top, "commit", "-qm", "submodule")
    append(top, "sub/inner.txt", "dirty\n")
    write(top, "sub/new.txt", "new\n")
    return top


def nested(top: Path) -> Path:
    plain(top)
    nested_repository(top / "nested")
    nested_repository(top / "d/deeper")
    return top


def split_index(top: Path) -> Path:
    plain(top)
    git(top, "update-index", "--split-index")
    append(top, "a.txt", "staged\n")
    git(top, "add", "a.txt")
    return top


def sha256(top: Path) -> Path:
    top.mkdir()
    git(top, "init", "-q", "-b", "main", "--object-format=sha256")
    return plain(top)


def no_file_mode(top: Path) -> Path:
    plain(top)
    git(top, "config", "core.fileMode", "false")
    (top / "a.txt").chmod(0o755)
    return top


CASES: list[Callable[[Path], Path]] = [
    plain, unborn, detached, linked, shallow, sparse_cone, sparse_index, sparse_patterns, merging, index_locked,
    filter_missing, filter_missing_globally, mixed_ends, intent_to_add, hidden, colliding_names, empty_directories,
    private_files, pipes, submodule, nested, split_index, sha256, no_file_mode, nasty_repo,
]  # fmt: skip


def workers(top: Path) -> list[str]:
    """What workers do in each case; every path that they touched."""
    if (top / "odd").exists():
        return work_of_workers(top)
    append(top, "a.txt", "w1\n")
    write(top, "d/b.txt", "w2\n")
    (top / "d/e/c.txt").unlink()
    (top / "d/e").rmdir()
    write(top, "fresh/new.txt", "w1\n", 0o755)
    os.symlink("a.txt", top / "d/link")
    touched = ["a.txt", "d/b.txt", "d/e/c.txt", "fresh/new.txt", "d/link"]
    for name in ("big.bin", "intended.txt", "Readme", "secret"):
        if (top / name).exists():
            (top / name).unlink()
            write(top, name, f"w2 {name}\n")
            touched.append(name)
    return touched


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_baseline_roll_back_and_undo_are_exact(case: Callable[[Path], Path], tmp_path: Path) -> None:
    top = case(tmp_path / "repo")
    it, before, index, refs = bench(top), picture(top), index_bytes(top), refs_of(top)

    baseline = it.baselines.record("run-1", "snapshot")
    assert (picture(top), index_bytes(top), refs_of(top)) == (before, index, refs)
    assert changed_paths(it.repository, it.state, baseline, it.baselines) == []

    touched = workers(top)
    worked = picture(top)
    found = changed_paths(it.repository, it.state, baseline, it.baselines)
    assert {change.path for change in found} | {change.old_path for change in found if change.old_path} == set(touched)

    done = it.repairs.rollback(baseline, touched, reason="test")
    assert (done.kept, done.late) == ({}, None)
    assert picture(top) == before
    assert changed_paths(it.repository, it.state, baseline, it.baselines) == []

    assert done.snapshot is not None
    it.repairs.restore(done.snapshot.id, reason="undo")
    assert picture(top) == worked
    assert (index_bytes(top), refs_of(top)) == (index, refs)


CANNOT_BE_PUT_ASIDE = {
    "unborn": "dirty-tree", "merging": "dirty-tree", "nasty_repo": "dirty-tree", "index_locked": "busy",
    "filter_missing_globally": "state-unavailable",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_putting_aside_and_bringing_back_are_exact(case: Callable[[Path], Path], tmp_path: Path) -> None:
    top = case(tmp_path / "repo")
    write(top, "untracked/by/a/person.txt", "mine\n", 0o600)
    mine = "d/b.txt" if (top / "d/b.txt").exists() else ".gitignore"
    append(top, mine, "staged\n")
    if case.__name__ != "index_locked":
        git(top, "-c", "core.safecrlf=false", "add", mine)
    append(top, mine, "and more\n")
    it, before, index, refs = bench(top), picture(top), index_bytes(top), refs_of(top)
    kept = {path: what for path, what in before.items() if path.startswith((b"nested", b"d/deeper", b"sub", b"pipe"))}

    refused = CANNOT_BE_PUT_ASIDE.get(case.__name__)
    if refused is not None:
        with pytest.raises(SidecarError) as caught:
            it.baselines.record("run-1", "stash")
        assert caught.value.kind == refused
        assert (picture(top), index_bytes(top), refs_of(top)) == (before, index, refs)
        return

    baseline = it.baselines.record("run-1", "stash")
    assert baseline.snapshot_id is not None
    assert set(it.repository.dirty_paths()) <= {"nested/", "d/deeper/"}
    assert kept.items() <= picture(top).items()
    assert changed_paths(it.repository, it.state, baseline, it.baselines) == []

    done = it.repairs.restore(baseline.snapshot_id, reason="bring back", index=True)
    assert done.index_restored
    assert files_of(picture(top)) == files_of(before)
    assert picture(top) == before
    # A split index comes back too, as long as git keeps its other half.
    assert (index_bytes(top), refs_of(top)) == (index, refs)
    shutil.rmtree(it.state)
    assert git(top, "fsck", "--connectivity-only", "--no-dangling") == ""
