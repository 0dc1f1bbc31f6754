"""Blobs, trees, refs and snapshots: exact bytes in, exact bytes out, and nothing that a prune could take."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.git import blobs
from sidecar.git.blobs import copy_blobs, missing, read_blobs, store_bytes, store_many, store_paths
from sidecar.git.commits import Entry, delete_refs, list_refs, resolve_ref, set_ref, tree_entries, write_tree
from sidecar.git.plumbing import quoted_lines
from sidecar.git.state import open_work
from sidecar.model.errors import SidecarError
from tests.support.repo import git, make_repo
from tests.support.tree import (
    ODD_NAMES,
    Bench,
    bench,
    blob_id,
    index_bytes,
    kept_blobs,
    nasty_repo,
    picture,
    refs_of,
    write,
)


@pytest.fixture
def it(tmp_path: Path) -> Bench:
    return bench(make_repo(tmp_path / "repo", {"a.txt": "a\n"}))


def test_contents_come_back_byte_for_byte(it: Bench) -> None:
    contents = [b"", b"text\n", b"\r\n\0\xff", b"a" * (3 << 20), b"blob 5\0fake"]
    with open_work(it.repository, it.state) as work:
        oids = store_many(work, contents)
        assert oids == [blob_id(data) for data in contents]
        assert [store_bytes(work.git, data) for data in contents] == oids
        assert read_blobs(work.git, oids) == dict(zip(oids, contents, strict=True))
        seen: list[str] = []
        copy_blobs(work.git, [oids[3], oids[0], oids[3]], lambda oid, chunks: seen.append(oid))
        assert seen == [oids[3], oids[0]]
        assert missing(work.git, [*oids, "12" * 20]) == ["12" * 20]
        with pytest.raises(SidecarError, match="is not in the repository"):
            read_blobs(work.git, [oids[0], "12" * 20, oids[1]])
        with pytest.raises(SidecarError, match="no full object id"):
            read_blobs(work.git, ["HEAD"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=8, unique=True), data=st.binary())
def test_any_name_is_stored(it: Bench, names: list[bytes], data: bytes) -> None:
    wanted = [
        name for name in names if not {b"\0"[0], b"/"[0]} & set(name) and name.lower() not in (b".", b"..", b".git")
    ]
    paths = [os.fsdecode(b"d/" + name) for name in wanted]
    (it.top / "d").mkdir(exist_ok=True)
    for path in paths:
        write(it.top, path, data + os.fsencode(path))
    with open_work(it.repository, it.state) as work:
        stored = store_paths(work, paths)
        assert {path: one.oid for path, one in stored.items()} == {
            path: blob_id(data + os.fsencode(path)) for path in paths
        }
        entries = {path: Entry("100644", stored[path].oid or "") for path in paths}
        if entries:
            assert tree_entries(work.git, write_tree(work.git, entries)) == entries
            assert tree_entries(work.git, write_tree(work.git, entries), paths[:1]) == {paths[0]: entries[paths[0]]}


def test_quoting_is_gits_own(it: Bench) -> None:
    paths = [f"odd/{name}" for name in ODD_NAMES]
    for path in paths:
        write(it.top, path, path)
    out = subprocess.run(
        ["git", "-C", it.top, "hash-object", "--no-filters", "--stdin-paths"],
        input=quoted_lines(paths), capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert out.decode().split() == [blob_id(path.encode()) for path in paths]


def test_what_stands_at_a_path_is_told(it: Bench) -> None:
    write(it.top, "large.bin", b"x" * (blobs.LARGE_BYTES + 1))
    os.symlink("a.txt", it.top / "link")
    os.symlink("/etc", it.top / "out")
    os.mkfifo(it.top / "pipe")
    (it.top / "dir").mkdir()
    paths = ["a.txt", "large.bin", "link", "out/passwd", "pipe", "dir", "gone", "a.txt/below"]
    with open_work(it.repository, it.state) as work:
        found = store_paths(work, paths, large="note")
        assert {path: one.signature.kind for path, one in found.items()} == {
            "a.txt": "file", "large.bin": "file", "link": "link", "out/passwd": "absent", "pipe": "other",
            "dir": "directory", "gone": "absent", "a.txt/below": "absent",
        }  # fmt: skip
        assert found["link"].oid == blob_id(b"a.txt")
        assert (found["large.bin"].oid, found["large.bin"].problem) == (None, "large")
        hashed = store_paths(work, ["large.bin"], large="hash")["large.bin"]
        assert (hashed.oid is not None, hashed.kept, missing(work.git, [hashed.oid or ""])) == (
            True,
            False,
            [hashed.oid],
        )
        stored = store_paths(work, ["large.bin"])["large.bin"]
        assert (stored.oid, stored.kept, missing(work.git, [stored.oid or ""])) == (hashed.oid, True, [])
        for bad in ("/etc/passwd", "../x", "a/../b", ".git/config", "a//b", "", "a/", "d/.git"):
            with pytest.raises(SidecarError, match="is no path"):
                store_paths(work, [bad])


@pytest.mark.parametrize("writes", [1, 1000], ids=["once", "always"])
def test_a_file_that_is_being_written_is_read_again_or_marked(
    it: Bench, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """It is written each time that git reads it; a process that only writes fast may be held off just then."""
    path = it.top / "busy.txt"
    path.write_text("0\n")
    real, readings = blobs._hash, []

    def read_and_write(git_: Any, paths: Sequence[str], **more: Any) -> dict[str, str]:
        found = real(git_, paths, **more)
        if "busy.txt" in paths:
            readings.append(found["busy.txt"])
            if len(readings) <= writes:
                path.write_text(f"{len(readings)}\n")
        return found

    monkeypatch.setattr(blobs, "_hash", read_and_write)
    with open_work(it.repository, it.state) as work:
        stored = store_paths(work, ["busy.txt", "a.txt"])
    monkeypatch.undo()
    assert (stored["busy.txt"].unstable, stored["a.txt"].unstable) == (writes > 1, False)
    assert readings[0] == blob_id(b"0\n")
    assert stored["busy.txt"].oid == blob_id(path.read_bytes())
    assert (len(readings) == blobs.ROUNDS) if writes > 1 else (2 <= len(readings) <= blobs.ROUNDS)
    with open_work(it.repository, it.state) as work:
        again = store_paths(work, ["busy.txt"])["busy.txt"]
    assert (again.unstable, again.oid) == (False, blob_id(path.read_bytes()))


def test_a_write_within_one_tick_of_the_clock_is_not_missed(it: Bench) -> None:
    """The second write leaves size and, on a coarse clock, time as they were."""
    path = it.top / "a.txt"
    for number in range(20):
        path.write_text(f"{number % 10}\n")
        with open_work(it.repository, it.state) as work:
            stored = store_paths(work, ["a.txt"])["a.txt"]
            before = work.tree.signature("a.txt")
        assert (stored.oid, stored.signature) == (blob_id(path.read_bytes()), before)


def test_refs_are_ours_only_and_move_only_from_what_they_were(it: Bench) -> None:
    head = git(it.top, "rev-parse", "HEAD").strip()
    with open_work(it.repository, it.state) as work:
        git_ = work.git
        ref = "refs/codex-sidecar/snapshots/one"
        assert set_ref(git_, ref, head, None)
        assert not set_ref(git_, ref, head, None)
        assert set_ref(git_, ref, head, head)
        assert not set_ref(git_, ref, head, "12" * 20)
        assert [found.name for found in list_refs(git_, "snapshots")] == [ref]
        assert resolve_ref(git_, ref) == head
        delete_refs(git_, {ref: head})
        assert resolve_ref(git_, ref) is None
        for bad in ("refs/heads/main", "HEAD", "refs/codex-sidecar/../heads/main", "refs/codex-sidecar/x/-y", "--help"):
            with pytest.raises(SidecarError, match="no ref of the sidecar"):
                set_ref(git_, bad, head, None)


def test_a_snapshot_holds_everything_and_changes_nothing(tmp_path: Path) -> None:
    it = bench(nasty_repo(tmp_path / "repo"))
    before, index, refs = picture(it.top), index_bytes(it.top), refs_of(it.top)
    status = git(it.top, "status", "--porcelain=v2", "-z")
    snapshot = it.snapshots.capture("before the work\nof w1")
    assert (picture(it.top), index_bytes(it.top), refs_of(it.top)) == (before, index, refs)
    assert git(it.top, "status", "--porcelain=v2", "-z") == status
    assert it.snapshots.all() == [snapshot]
    assert (snapshot.reason, snapshot.whole) == ("before the work\nof w1", True)
    assert snapshot.ref == f"refs/codex-sidecar/snapshots/{snapshot.id}"
    _, manifest = it.snapshots.read(snapshot.id)
    assert manifest.repositories == ["nested"]
    assert manifest.entries["src/m3.py"].signature.kind == "absent"
    assert manifest.entries["untracked/private"].signature.mode == 0o600
    assert manifest.entries["src/m2.py"].oid == blob_id((it.top / "src/m2.py").read_bytes())
    assert not any(path.startswith(("nested", "build", ".env", "pipe")) for path in manifest.entries)
    # Plain git gets the files out, and the index with all that only it named.
    assert git(it.top, "show", f"{snapshot.ref}:files/untracked/private") == "untracked, private\n"
    git(it.top, "gc", "-q", "--prune=now")
    kept = kept_blobs(it.top)
    assert blob_id(index or b"") in kept
    assert blob_id(b"staged\n") in kept
    assert {entry.split()[1] for entry in git(it.top, "ls-files", "-u").splitlines()} <= kept
    assert b"MERGE_HEAD" in git(it.top, "ls-tree", "--name-only", f"{snapshot.commit}:state").encode()
    author = git(it.top, "log", "-1", "--format=%an <%ae> %cn <%ce>", snapshot.commit).strip()
    assert (
        author == "Codex Sidecar <codex-sidecar@localhost> " * 2 == author + " " or author.count("Codex Sidecar") == 2
    )
    assert git(it.top, "fsck", "--no-dangling") == ""


def test_names_that_no_tree_may_hold_are_kept_by_number(it: Bench) -> None:
    write(it.top, "d/.GIT/config", "odd\n")
    baseline = it.baselines.record("run-1", "snapshot")
    snapshot = it.snapshots.capture("odd")
    assert snapshot.paths == ("d/.GIT/config",)
    assert git(it.top, "show", f"{snapshot.commit}:files-by-number/0") == "odd\n"
    write(it.top, "d/.GIT/config", "changed\n")
    it.repairs.rollback(baseline, ["d/.GIT/config"], reason="back")
    assert (it.top / "d/.GIT/config").read_text() == "odd\n"


def test_snapshots_expire_by_age_and_only_ones_own(it: Bench) -> None:
    write(it.top, "new.txt", "1\n")
    old = it.snapshots.capture("old")
    linked = it.top.parent / "linked"
    git(it.top, "worktree", "add", "-q", "--detach", str(linked))
    other = bench(linked)
    theirs = other.snapshots.capture("another work tree's", ["a.txt"])
    assert it.snapshots.all() == [old]
    assert other.snapshots.all() == [theirs]
    assert it.snapshots.expire(1) == []
    later = time.time() + 2 * 86_400
    assert it.snapshots.expire(1, now=later) == [old.id]
    assert (it.snapshots.all(), other.snapshots.all()) == ([], [theirs])
    git(it.top, "worktree", "remove", "--force", str(linked))
    assert it.snapshots.expire(1, now=later) == [theirs.id]
    with pytest.raises(SidecarError) as caught:
        it.snapshots.read(old.id)
    assert caught.value.kind == "unknown-snapshot"


def test_a_prune_at_the_same_time_is_noticed(it: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between hashing and the ref nothing holds the blobs; what is pruned there is stored anew."""
    from sidecar.git import snapshot

    write(it.top, "new.txt", "pruned in between\n")
    real, pruned = snapshot.commits.write_tree, []

    def prune_first(*args: object, **kwargs: object) -> str:
        tree: str = real(*args, **kwargs)  # type: ignore[arg-type]
        if not pruned:
            pruned.append(git(it.top, "prune", "--expire=now"))
        return tree

    monkeypatch.setattr(snapshot.commits, "write_tree", prune_first)
    found = it.snapshots.capture("pruned")
    assert pruned
    assert it.snapshots.all() == [found]
    assert git(it.top, "show", f"{found.ref}:files/new.txt") == "pruned in between\n"


def test_a_promised_id_is_kept_also_by_a_second_try(it: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prune takes the first try's objects after its ref was written; a taken id is never overwritten."""
    from sidecar.git import snapshot

    wanted, real, tries = snapshot.new_id(0), snapshot.save, []

    def save_in_vain(*args: object, **kwargs: object) -> snapshot.Snapshot | None:
        saved: snapshot.Snapshot | None = real(*args, **kwargs)  # type: ignore[arg-type]
        tries.append(saved)
        if saved is not None and len(tries) == 1:
            delete_refs(work.git, {saved.ref: saved.commit})
            return None
        return saved

    monkeypatch.setattr(snapshot, "save", save_in_vain)
    with open_work(it.repository, it.state) as work:
        first, _ = snapshot.capture(work, "promised", ["a.txt"], saved_as=wanted)
        second, _ = snapshot.capture(work, "promised twice", ["a.txt"], saved_as=wanted)
    assert wanted.startswith("19700101-000000-")
    assert (first.id, first.ref, len(tries)) == (wanted, snapshot.ref_of(wanted), 3)
    assert second.id != wanted
    assert it.snapshots.all() == [first, second]
    assert git(it.top, "rev-parse", first.ref).strip() == first.commit


def test_a_foreign_ref_among_ours_is_left_alone(it: Bench) -> None:
    git(it.top, "update-ref", "refs/codex-sidecar/snapshots/foreign", "HEAD")
    mine = it.snapshots.capture("mine", ["a.txt"])
    assert it.snapshots.all() == [mine]
    assert it.snapshots.expire(0, now=time.time() + 9e6) == [mine.id]
    assert git(it.top, "rev-parse", "refs/codex-sidecar/snapshots/foreign") == git(it.top, "rev-parse", "HEAD")


def test_contents_are_kept_as_long_as_somebody_says_so(it: Bench) -> None:
    write(it.top, "w1.txt", "by w1\n")
    stored = it.objects.store_paths(["w1.txt", "a.txt", "gone.txt"])
    buffer, other = it.objects.store(b"an unsaved buffer\n", b"not kept\n")
    kept = [one.oid for one in stored.values() if one.oid] + [buffer]
    it.objects.keep("run-1", kept)
    (it.top / "w1.txt").unlink()
    git(it.top, "gc", "-q", "--prune=now")
    assert it.objects.read(kept) == {
        blob_id(b"by w1\n"): b"by w1\n", blob_id(b"a\n"): b"a\n", buffer: b"an unsaved buffer\n",
    }  # fmt: skip
    with pytest.raises(SidecarError):
        it.objects.read([other])
    it.objects.keep("run-1", [buffer])
    git(it.top, "gc", "-q", "--prune=now")
    assert list(it.objects.read([buffer])) == [buffer]
    with pytest.raises(SidecarError):
        it.objects.read(kept)
    it.objects.let_go("run-1")
    it.objects.let_go("run-1")
    assert git(it.top, "for-each-ref", "refs/codex-sidecar") == ""
