"""The baseline: what it takes, what it refuses, and what it holds of each path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.git import blobs, clean, swap
from sidecar.model.errors import SidecarError
from tests.support.repo import git, make_repo
from tests.support.tree import Bench, append, bench, blob_id, index_bytes, nasty_repo, picture, refs_of, write


@pytest.fixture
def it(tmp_path: Path) -> Bench:
    return bench(make_repo(tmp_path / "repo", {"a.txt": "a\n", "d/b.txt": "b\n", ".gitignore": "*.o\nbuild/\n"}))


def test_a_clean_tree_is_head_itself(it: Bench) -> None:
    write(it.top, "build/x.o", "ignored\n")
    before, index = picture(it.top), index_bytes(it.top)
    baseline = it.baselines.record("run-1", "refuse")
    assert baseline.head == git(it.top, "rev-parse", "HEAD").strip()
    assert baseline.tree == git(it.top, "rev-parse", "HEAD^{tree}").strip()
    assert (baseline.files, baseline.snapshot_id) == (0, None)
    assert baseline.ref == "refs/codex-sidecar/baselines/run-1"
    assert git(it.top, "rev-parse", f"{baseline.ref}:tree").strip() == baseline.tree
    assert it.baselines.load("run-1") == baseline
    assert (picture(it.top), index_bytes(it.top)) == (before, index)
    assert git(it.top, "status", "--porcelain") == ""
    it.baselines.drop(baseline)
    with pytest.raises(SidecarError, match="is gone"):
        it.baselines.load("run-1")


@pytest.mark.parametrize("how", ["changed", "staged", "untracked", "nested", "deleted", "moved submodule"])
def test_uncommitted_work_is_refused_by_name(it: Bench, how: str) -> None:
    expected = "a.txt"
    if how in ("changed", "staged"):
        append(it.top, "a.txt", "more\n")
        if how == "staged":
            git(it.top, "add", "a.txt")
            write(it.top, "a.txt", "a\n")
    elif how == "untracked":
        expected = "new.txt"
        write(it.top, "new.txt", "new\n")
    elif how == "nested":
        expected = "nested"
        make_repo(it.top / "nested")
    elif how == "deleted":
        (it.top / "a.txt").unlink()
    else:
        expected = "sub"
        inner = make_repo(it.top / "sub")
        git(it.top, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
        git(it.top, "commit", "-qm", "sub")
        git(inner, "commit", "-qm", "moved", "--allow-empty")
    with pytest.raises(SidecarError) as caught:
        it.baselines.record("run-1", "refuse")
    assert caught.value.kind == "dirty-tree"
    assert caught.value.details == {"files": [expected], "count": 1, "ways": ["refuse", "snapshot", "stash"]}
    assert git(it.top, "for-each-ref", "refs/codex-sidecar") == ""


def test_a_file_that_was_only_touched_is_no_uncommitted_work(it: Bench) -> None:
    os.utime(it.top / "a.txt", (1, 1))
    index = index_bytes(it.top)
    assert it.baselines.record("run-1", "refuse").files == 0
    assert index_bytes(it.top) == index


def test_a_snapshot_baseline_has_a_persons_work_in_its_tree(tmp_path: Path) -> None:
    it = bench(nasty_repo(tmp_path / "repo"))
    baseline = it.baselines.record("run-1", "snapshot")

    def show(path: str) -> bytes:
        return git(it.top, "show", f"{baseline.tree}:{path}").encode()

    assert show("src/m1.py") == b"staged, then changed again\n"
    assert show("untracked/private") == b"untracked, private\n"
    assert show("intended.txt") == b"intent to add\n"
    assert show("src/m0.py") == (it.top / "src/m0.py").read_bytes(), "a file in conflict, with its markers"
    assert show("src/m4.py").startswith(b"def f4()"), "removed from the index only"
    listed = git(it.top, "ls-tree", "-r", "--name-only", baseline.tree).splitlines()
    assert "src/m3.py" not in listed, "deleted"
    assert not {"nested", ".env", "build/out.o", "pipe"} & set(listed)
    git(it.top, "gc", "-q", "--prune=now")
    assert show("untracked/private") == b"untracked, private\n"


def test_what_it_holds_of_a_path(it: Bench) -> None:
    write(it.top, "tool.sh", "#!/bin/sh\n", 0o755)
    write(it.top, "secret", "s\n", 0o600)
    os.symlink("a.txt", it.top / "link")
    git(it.top, "add", "-A")
    git(it.top, "commit", "-qm", "more")
    write(it.top, "build/x.o", "ignored\n")
    write(it.top, "d/y.o", "ignored\n")
    write(it.top, "mine.txt", "uncommitted\n", 0o640)
    write(it.top, "large.bin", b"x" * (blobs.LARGE_BYTES + 1))
    make_repo(it.top / "nested")
    (it.top / "d/b.txt").unlink()
    baseline = it.baselines.record("run-1", "snapshot")
    asked = [
        "a.txt", "tool.sh", "secret", "link", "mine.txt", "d/b.txt", "never", "d", "build/x.o", "build/later.o",
        "d/y.o", "large.bin", "nested/inner", "nested",
    ]  # fmt: skip
    held = it.baselines.held(baseline, asked)
    assert {path: (one.kind, oct(one.mode)) for path, one in held.items() if one.kind == "file"} == {
        "a.txt": ("file", "0o644"), "tool.sh": ("file", "0o755"), "secret": ("file", "0o600"),
        "mine.txt": ("file", "0o640"),
    }  # fmt: skip
    assert held["a.txt"].oid == blob_id(b"a\n")
    assert (held["link"].kind, held["link"].oid) == ("link", blob_id(b"a.txt"))
    assert [path for path in asked if held[path].kind == "absent"] == ["d/b.txt", "never", "d"]
    assert {path: held[path].why for path in asked if held[path].kind == "unknown"} == {
        "build/x.o": "it is ignored by git", "build/later.o": "it is ignored by git", "d/y.o": "it is ignored by git",
        "large.bin": "large", "nested/inner": "it belongs to a repository of its own",
        "nested": "it belongs to a repository of its own",
    }  # fmt: skip


@pytest.mark.parametrize("limit", [0, 1000], ids=["made by a checkout", "kept exactly"])
def test_files_whose_ends_git_converts_come_back(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean, "CONVERTED_FILES", limit)
    top = make_repo(tmp_path / "repo", {".gitattributes": "*.txt text eol=crlf\n", "same.dat": "same\n"})
    write(top, "all.txt", b"one\r\ntwo\r\n")
    write(top, "mixed.txt", b"one\r\ntwo\n")
    git(top, "-c", "core.safecrlf=false", "add", "-A")
    git(top, "commit", "-qm", "ends")
    it = bench(top)
    baseline = it.baselines.record("run-1", "refuse")
    held = it.baselines.held(baseline, ["all.txt", "mixed.txt", "same.dat"])
    assert [held[path].exact for path in ("all.txt", "mixed.txt", "same.dat")] == [limit > 0, limit > 0, True]
    write(top, "all.txt", "w1\n")
    write(top, "mixed.txt", "w1\n")
    it.repairs.rollback(baseline, ["all.txt", "mixed.txt"], reason="back")
    assert (top / "all.txt").read_bytes() == b"one\r\ntwo\r\n"
    # A checkout knows only what was committed, so mixed ends survive only where they were kept.
    assert (top / "mixed.txt").read_bytes() == (b"one\r\ntwo\n" if limit else b"one\r\ntwo\r\n")


def test_putting_aside_makes_the_tree_clean_and_can_be_brought_back(tmp_path: Path) -> None:
    it = bench(nasty_repo(tmp_path / "repo", merging=False))
    before, index, refs = picture(it.top), index_bytes(it.top), refs_of(it.top)
    baseline = it.baselines.record("run-1", "stash")
    assert git(it.top, "status", "--porcelain") == "?? nested/\n"
    assert git(it.top, "stash", "list") == ""
    assert refs_of(it.top) == refs
    now = picture(it.top)
    for path, what in before.items():
        if path.startswith((b"build", b".env", b"nested", b"pipe", b"empty")):
            assert now[path] == what
    assert b"untracked" not in now
    assert baseline.tree == git(it.top, "rev-parse", "HEAD^{tree}").strip()
    assert baseline.snapshot_id is not None
    done = it.repairs.restore(baseline.snapshot_id, reason="bring back", index=True)
    assert done.index_restored
    assert (picture(it.top), index_bytes(it.top), refs_of(it.top)) == (before, index, refs)
    # And once more the other way: the restore saved what it replaced, the index with it.
    assert done.snapshot is not None
    again = it.repairs.restore(done.snapshot.id, reason="undo", index=True)
    assert again.index_restored
    assert git(it.top, "status", "--porcelain") == "?? nested/\n"


def test_an_index_that_a_person_has_used_since_is_left_alone(it: Bench) -> None:
    append(it.top, "a.txt", "mine\n")
    git(it.top, "add", "a.txt")
    baseline = it.baselines.record("run-1", "stash")
    write(it.top, "later.txt", "later\n")
    git(it.top, "add", "later.txt")
    index = index_bytes(it.top)
    assert baseline.snapshot_id is not None
    done = it.repairs.restore(baseline.snapshot_id, reason="bring back", index=True)
    assert not done.index_restored
    assert index_bytes(it.top) == index
    assert (it.top / "a.txt").read_text() == "a\nmine\n"


def test_an_editor_that_refreshes_the_index_is_not_in_the_way(it: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `git status` may write the index anew; only what it says counts."""
    append(it.top, "a.txt", "mine\n")
    git(it.top, "add", "a.txt")
    real = swap.install_index

    def refresh_first(*args: object) -> None:
        os.utime(it.top / "d/b.txt", (1, 1))
        index = index_bytes(it.top)
        git(it.top, "status")
        assert index_bytes(it.top) != index
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(swap, "install_index", refresh_first)
    it.baselines.record("run-1", "stash")
    assert git(it.top, "status", "--porcelain") == ""


def test_what_is_staged_in_the_last_moment_stays_staged(it: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    append(it.top, "a.txt", "mine\n")
    git(it.top, "add", "a.txt")
    real = swap.install_index

    def stage_first(*args: object) -> None:
        write(it.top, "late.txt", "late\n")
        git(it.top, "add", "late.txt")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(swap, "install_index", stage_first)
    it.baselines.record("run-1", "stash")
    assert (it.top / "a.txt").read_text() == "a\n"
    assert git(it.top, "diff", "--cached", "--name-only") == "a.txt\nlate.txt\n"
    assert not (it.top / ".git/index.lock").exists()


def test_nothing_to_put_aside_makes_no_snapshot(it: Bench) -> None:
    assert it.baselines.record("run-1", "stash").snapshot_id is None
    assert it.snapshots.all() == []


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "-x", "x.lock", "x" * 200])
def test_a_run_id_cannot_leave_the_sidecars_refs(it: Bench, run_id: str) -> None:
    with pytest.raises(SidecarError) as caught:
        it.baselines.record(run_id, "refuse")
    assert caught.value.kind == "invalid-arguments"
