"""Roll back, restore and recovery: whole or not at all, never over what somebody wrote meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.git import renaming, repair, state, swap
from sidecar.git.baseline import Baseline
from sidecar.git.journal import NOTHING, Target
from sidecar.git.snapshot import new_id
from sidecar.model.errors import SidecarError
from tests.support.repo import git, make_repo
from tests.support.tree import Bench, append, bench, blob_id, files_of, index_bytes, kept_blobs, picture, write
from tests.support.trials import Trials, trials

FILES = {"a.txt": "a\n", "b.txt": "b\n", "c.txt": "c\n", "d/e.txt": "e\n", ".gitignore": "*.o\n"}


@pytest.fixture
def it(tmp_path: Path) -> Bench:
    return bench(make_repo(tmp_path / "repo", FILES))


@pytest.fixture
def baseline(it: Bench) -> Baseline:
    return it.baselines.record("run-1", "refuse")


@pytest.fixture(scope="module")
def run() -> Iterator[Trials]:
    with trials() as running:
        yield running


def worked(it: Bench) -> list[str]:
    append(it.top, "a.txt", "w1\n")
    (it.top / "b.txt").unlink()
    write(it.top, "new/n.txt", "w2\n")
    return ["a.txt", "b.txt", "new/n.txt"]


def test_roll_back_says_what_it_did(it: Bench, baseline: Baseline) -> None:
    paths = worked(it)
    write(it.top, "x.o", "ignored\n")
    append(it.top, "d/e.txt", "a person's, not asked for\n")
    index = index_bytes(it.top)
    done = it.repairs.rollback(baseline, [*paths, "c.txt", "x.o", "never"], reason="roll back w1 and w2")
    assert (done.changed, done.unchanged) == (("a.txt", "b.txt", "new/n.txt"), ("c.txt", "never"))
    assert done.kept == {"x.o": "it is ignored by git"}
    assert (done.late, done.index_restored) == (None, False)
    assert index_bytes(it.top) == index
    assert git(it.top, "status", "--porcelain") == " M d/e.txt\n"
    assert not (it.top / "new").exists()
    assert done.snapshot.reason == "roll back w1 and w2"
    assert [trash.journal_id for trash in it.repairs.trash()] == [done.journal_id]
    assert it.repairs.trash()[0].paths == ("a.txt", "new/n.txt")
    # Where nothing is left to do a snapshot is saved all the same: whoever asked is told its id in any case.
    again = it.repairs.rollback(baseline, paths, reason="again", also=["d/e.txt"])
    assert (again.journal_id, again.changed) == (None, ())
    assert [one.id for one in it.snapshots.all()] == [done.snapshot.id, again.snapshot.id]
    assert set(it.snapshots.read(again.snapshot.id)[1].entries) == {*paths, "d/e.txt"}
    assert it.repairs.empty_trash() == []
    assert it.repairs.trash() == []


def test_restore_of_some_paths(it: Bench, baseline: Baseline) -> None:
    done = it.repairs.rollback(baseline, worked(it), reason="back")
    again = it.repairs.restore(done.snapshot.id, ["a.txt", "c.txt"], reason="only one")
    assert (again.changed, again.kept) == (("a.txt",), {"c.txt": "the snapshot does not hold it"})
    assert git(it.top, "status", "--porcelain") == " M a.txt\n"
    with pytest.raises(SidecarError) as caught:
        it.repairs.restore("20200101-000000-abcd", reason="unknown")
    assert caught.value.kind == "unknown-snapshot"


def test_any_stored_content_can_be_put(it: Bench) -> None:
    oid = git(it.top, "rev-parse", "HEAD:a.txt").strip()
    targets = {
        "b.txt": Target("file", oid, 0o600), "c.txt": NOTHING, "l/i/n/k": Target("link", oid),
        "d/e.txt": Target("file", oid, 0o755),
    }  # fmt: skip
    done = it.repairs.apply(targets, reason="a merge")
    assert done.changed == ("b.txt", "c.txt", "d/e.txt", "l/i/n/k")
    assert picture(it.top)[b"b.txt"] == ("file", 0o600, b"a\n")
    assert picture(it.top)[b"l/i/n/k"] == ("link", b"a\n")
    assert picture(it.top)[b"d/e.txt"] == ("file", 0o755, b"a\n")
    assert not (it.top / "c.txt").exists()


def test_what_a_person_saw_has_to_be_so_still(it: Bench, baseline: Baseline) -> None:
    paths = worked(it)
    seen = it.repairs.signatures(paths)
    append(it.top, "a.txt", "meanwhile\n")
    write(it.top, "b.txt", "come back\n")
    before = picture(it.top)
    with pytest.raises(swap.Moved) as caught:
        it.repairs.rollback(baseline, paths, reason="stale", expected=seen)
    assert (caught.value.kind, caught.value.paths) == ("stale-token", ["a.txt", "b.txt"])
    assert picture(it.top) == before
    assert (it.snapshots.all(), it.repairs.trash()) == ([], [])
    it.repairs.rollback(baseline, paths, reason="fresh", expected=it.repairs.signatures(paths))
    assert git(it.top, "status", "--porcelain") == ""


def test_what_a_person_saw_holds_also_for_a_file_that_never_rests(
    it: Bench, baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(it.top, "a.txt", "w1\n")
    seen = it.repairs.signatures(["a.txt"])
    real = repair.capture

    def write_after(*args: object, **kwargs: object) -> object:
        snapshot, manifest = real(*args, **kwargs)  # type: ignore[arg-type]
        manifest.entries["a.txt"] = manifest.entries["a.txt"]._replace(unstable=True)
        append(it.top, "a.txt", "after the capture\n")
        return snapshot, manifest

    monkeypatch.setattr(repair, "capture", write_after)
    with pytest.raises(swap.Moved):
        it.repairs.rollback(baseline, ["a.txt"], reason="stale", expected=seen)
    assert (it.top / "a.txt").read_text() == "a\nw1\nafter the capture\n"


def test_a_repair_that_begins_anew_keeps_the_promised_id(
    it: Bench, baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(it.top, "a.txt", "w1\n")
    real, captured = repair.capture, []

    def write_once(*args: object, **kwargs: object) -> object:
        captured.append(real(*args, **kwargs))  # type: ignore[arg-type]
        if len(captured) == 1:
            append(it.top, "a.txt", "after the capture\n")
        return captured[-1]

    monkeypatch.setattr(repair, "capture", write_once)
    wanted = new_id(0)
    done = it.repairs.rollback(baseline, ["a.txt"], reason="twice", saved_as=wanted)
    assert len(captured) == 2
    assert done.snapshot.id == wanted
    assert [one.id for one in it.snapshots.all()] == [wanted]
    assert git(it.top, "show", f"refs/codex-sidecar/snapshots/{wanted}:files/a.txt") == "a\nw1\nafter the capture\n"
    # So does one that has nothing to move.
    other = new_id(0)
    again = it.repairs.rollback(baseline, ["a.txt"], reason="nothing", saved_as=other)
    assert (again.snapshot.id, len(it.snapshots.all())) == (other, 2)


def test_what_a_restore_would_do_is_what_it_does(it: Bench, baseline: Baseline) -> None:
    write(it.top, "x.o", "ignored\n")
    paths = worked(it)
    done = it.repairs.rollback(baseline, paths, reason="back")
    assert it.repairs.restores(done.snapshot.id) == (paths, False)
    # Another file with the same content is no difference, another mode is one.
    write(it.top, "a.txt", "a\nw1\n")
    assert it.repairs.restores(done.snapshot.id) == (["b.txt", "new/n.txt"], False)
    (it.top / "b.txt").unlink()
    write(it.top, "new/n.txt", "w2\n")
    (it.top / "new/n.txt").chmod(0o604)
    assert it.repairs.restores(done.snapshot.id) == (["new/n.txt"], False)
    assert it.repairs.restore(done.snapshot.id, reason="again").changed == ("new/n.txt",)
    assert it.repairs.restores(done.snapshot.id) == ([], False)
    whole = it.snapshots.capture("all of it")
    assert it.repairs.restores(whole.id) == ([], True)
    git(it.top, "add", "a.txt")
    assert it.repairs.restores(whole.id) == ([], False), "what a person staged stays"
    before = picture(it.top), git(it.top, "count-objects")
    append(it.top, "a.txt", "more\n")
    assert it.repairs.restores(whole.id) == (["a.txt"], False)
    write(it.top, "a.txt", "a\nw1\n")
    assert (picture(it.top), git(it.top, "count-objects")) == before, "looking stores nothing"
    with pytest.raises(SidecarError) as caught:
        it.repairs.restores("never")
    assert caught.value.kind == "unknown-snapshot"


def test_ignored_files_are_nobodys_to_remove(it: Bench, baseline: Baseline) -> None:
    """Those that were ignored at the start, whatever a worker writes into `.gitignore`; for a merge, those of today."""
    write(it.top, "x.o", "ignored at the baseline\n")
    write(it.top, "gen/w1.txt", "a worker's, ignored by its own rule\n")
    write(it.top, ".gitignore", "gen/\n")
    targets = {"x.o": NOTHING, "gen/w1.txt": NOTHING}
    assert it.repairs.apply(targets, reason="apply").kept == {"gen/w1.txt": "it is ignored by git"}
    write(it.top, "x.o", "ignored at the baseline\n")
    done = it.repairs.rollback(baseline, ["x.o", "gen/w1.txt", ".gitignore"], reason="back")
    assert (done.changed, done.kept) == ((".gitignore", "gen/w1.txt"), {"x.o": "it is ignored by git"})


def test_a_repository_that_a_worker_makes_around_files_does_not_shield_them(it: Bench, baseline: Baseline) -> None:
    append(it.top, "d/e.txt", "w1\n")
    write(it.top, "d/new.txt", "w1\n")
    git(it.top / "d", "init", "-q")
    done = it.repairs.rollback(baseline, ["d/e.txt", "d/new.txt"], reason="back")
    assert (done.changed, set(done.kept)) == (("d/e.txt",), {"d/new.txt"})
    assert (it.top / "d/e.txt").read_text() == "e\n"


def test_a_directory_becomes_a_file_and_back(it: Bench, baseline: Baseline) -> None:
    (it.top / "a.txt").unlink()
    write(it.top, "a.txt/now/a/dir", "w1\n")
    (it.top / "d/e.txt").unlink()
    (it.top / "d").rmdir()
    write(it.top, "d", "a file\n")
    paths = ["a.txt", "a.txt/now/a/dir", "d", "d/e.txt"]
    before = picture(it.top)
    done = it.repairs.rollback(baseline, paths, reason="back")
    assert git(it.top, "status", "--porcelain") == ""
    it.repairs.restore(done.snapshot.id, reason="undo")
    assert picture(it.top) == before


@pytest.mark.parametrize("obstacle", ["a full directory", "a link in the way", "a file in the way"])
def test_where_a_path_cannot_be_put_nothing_is_changed(it: Bench, baseline: Baseline, obstacle: str) -> None:
    append(it.top, "a.txt", "w1\n")
    (it.top / "d/e.txt").unlink()
    if obstacle == "a full directory":
        write(it.top, "d/e.txt/x.o", "ignored, so not ours to move\n")
    else:
        (it.top / "d").rmdir()
        if obstacle == "a link in the way":
            (it.top.parent / "outside").mkdir()
            os.symlink(it.top.parent / "outside", it.top / "d")
        else:
            write(it.top, "d", "a person's file\n")
    before = picture(it.top)
    with pytest.raises(SidecarError) as caught:
        it.repairs.rollback(baseline, ["a.txt", "d/e.txt"], reason="blocked")
    assert caught.value.kind == "state-unavailable"
    assert picture(it.top) == before
    assert not list(it.top.parent.glob("outside/*"))
    assert it.repairs.recover() == []


def test_nothing_leads_out_of_the_tree(it: Bench, baseline: Baseline) -> None:
    outside = it.top.parent / "outside"
    write(outside, "victim.txt", "outside\n")
    os.symlink(outside, it.top / "way-out")
    for paths in (["way-out/victim.txt"], ["../outside/victim.txt"], [str(outside / "victim.txt")], [".git/config"]):
        with contextlib.suppress(SidecarError):
            done = it.repairs.rollback(baseline, paths, reason="out")
            assert done.changed == ()
        with contextlib.suppress(SidecarError):
            it.repairs.apply({paths[0]: NOTHING}, reason="out")
    assert (outside / "victim.txt").read_text() == "outside\n"
    assert "[core]" in (it.top / ".git/config").read_text()


def test_a_file_that_cannot_be_saved_is_not_touched(
    it: Bench, baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = worked(it)
    before = picture(it.top)
    real = repair.capture

    def cannot_read(*args: object, **kwargs: object) -> object:
        snapshot, manifest = real(*args, **kwargs)  # type: ignore[arg-type]
        manifest.entries["a.txt"] = manifest.entries["a.txt"]._replace(
            oid=None, kept=False, problem="Permission denied"
        )
        return snapshot, manifest

    monkeypatch.setattr(repair, "capture", cannot_read)
    with pytest.raises(SidecarError, match="cannot be saved first"):
        it.repairs.rollback(baseline, paths, reason="unreadable")
    assert picture(it.top) == before


def test_what_is_written_in_the_last_moment_is_saved_late(
    it: Bench, baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker writes between the capture and the exchange, and once more into the file it still holds open."""
    append(it.top, "a.txt", "w1\n")
    holder = open(it.top / "a.txt", "a", encoding="utf-8")  # noqa: SIM115
    real = swap._go_forward

    def write_first(*args: object) -> None:
        append(it.top, "a.txt", "in the last moment\n")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(swap, "_go_forward", write_first)
    done = it.repairs.rollback(baseline, ["a.txt"], reason="under fire")
    assert (it.top / "a.txt").read_text() == "a\n"
    assert done.late is not None
    assert git(it.top, "show", f"{done.late.ref}:files/a.txt") == "a\nw1\nin the last moment\n"
    with holder:
        holder.write("after the move\n")
    (saved,) = it.repairs.empty_trash()
    assert git(it.top, "show", f"{saved.ref}:files/a.txt") == "a\nw1\nin the last moment\nafter the move\n"
    git(it.top, "gc", "-q", "--prune=now")
    assert blob_id(b"a\nw1\nin the last moment\nafter the move\n") in kept_blobs(it.top)


def test_two_repairs_wait_for_each_other(it: Bench, baseline: Baseline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "LOCK_SECONDS", 0.1)
    paths = worked(it)
    with state.State(it.state).lock(), pytest.raises(SidecarError) as caught:
        it.repairs.rollback(baseline, paths, reason="busy")
    assert caught.value.kind == "busy"
    assert it.repairs.rollback(baseline, paths, reason="free").changed == ("a.txt", "b.txt", "new/n.txt")


def test_an_interrupted_repair_is_completed(it: Bench, baseline: Baseline, run: Trials) -> None:
    paths = worked(it)
    crash(run, it, paths, after=1)
    (recovery,) = it.repairs.recover()
    assert (recovery.outcome, recovery.paths, recovery.left, recovery.late) == ("forward", tuple(paths), (), None)
    assert git(it.top, "status", "--porcelain") == ""
    assert it.repairs.recover() == []


def test_an_interrupted_repair_does_not_overwrite_what_a_person_did_since(
    it: Bench, baseline: Baseline, run: Trials
) -> None:
    paths = worked(it)
    before = picture(it.top)
    crash(run, it, paths, after=2)
    assert picture(it.top) != before, "it died among the moves"
    # Not yet moved when it died; a person goes on before the sidecar runs again.
    untaken = "b.txt"
    assert not (it.top / untaken).exists()
    write(it.top, untaken, "a person's\n")
    (recovery,) = it.repairs.recover()
    assert recovery.outcome == "back"
    assert (it.top / untaken).read_text() == "a person's\n"
    rest = {path: what for path, what in picture(it.top).items() if path != os.fsencode(untaken)}
    assert rest == {path: what for path, what in before.items() if path != os.fsencode(untaken)}


def test_a_person_who_built_on_a_moved_file_keeps_it(it: Bench, baseline: Baseline, run: Trials) -> None:
    append(it.top, "a.txt", "w1\n")
    append(it.top, "b.txt", "w1\n")
    append(it.top, "c.txt", "w1\n")
    paths = ["a.txt", "b.txt", "c.txt"]
    crash(run, it, paths, after=2)
    moved = [path for path in paths if (it.top / path).read_text() == FILES[path]]
    left = [path for path in paths if path not in moved]
    assert moved
    assert left
    append(it.top, moved[0], "a person's, on the rolled back file\n")
    append(it.top, left[0], "a person's\n")
    (recovery,) = it.repairs.recover()
    assert (recovery.outcome, recovery.left) == ("back", (moved[0],))
    assert (it.top / moved[0]).read_text() == FILES[moved[0]] + "a person's, on the rolled back file\n"
    assert (it.top / left[0]).read_text().endswith("w1\na person's\n")
    it.repairs.empty_trash()
    assert blob_id(f"{FILES[moved[0]]}w1\n".encode()) in kept_blobs(it.top)


def crash(run: Trials, it: Bench, paths: list[str], *, after: int) -> None:
    """Kills a roll back among its moves, right behind the so-many-th."""
    request = {"op": "rollback", "top": it.top, "run": "run-1", "paths": paths}
    assert run.run(**request, crash=after + 1, moves=True) == -signal.SIGKILL


def test_the_journal_says_what_is_where(it: Bench, baseline: Baseline) -> None:
    done = it.repairs.rollback(baseline, worked(it), reason="why")
    directory = it.state / "trash" / (done.journal_id or "")
    plan = json.loads((directory / "journal.json").read_text())
    assert [step["path"] for step in plan["steps"]] == ["a.txt", "b.txt", "new/n.txt"]
    assert plan["about"] == {"snapshot": done.snapshot.id if done.snapshot else "", "reason": "why"}
    assert (directory / "0").read_text() == "a\nw1\n"
    assert (directory / "2").read_text() == "w2\n"
    assert {oct(path.stat().st_mode & 0o777) for path in (it.state, directory)} == {"0o700"}


@pytest.mark.parametrize("missing", [False, True], ids=["exchange", "without renameat2"])
def test_renames_overwrite_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool) -> None:
    if missing:
        monkeypatch.setattr(renaming, "_renameat2", None)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        (tmp_path / "one").write_text("1")
        (tmp_path / "two").write_text("2")
        os.symlink("nowhere", tmp_path / "link")
        with pytest.raises(FileExistsError):
            renaming.move((fd, "one"), (fd, "two"))
        with pytest.raises(FileExistsError):
            renaming.move((fd, "one"), (fd, "link"))
        with pytest.raises(FileNotFoundError):
            renaming.move((fd, "none"), (fd, "three"))
        renaming.move((fd, "link"), (fd, "moved"))
        assert os.readlink(tmp_path / "moved") == "nowhere"
        renaming.move((fd, "one"), (fd, "three"))
        assert sorted(os.listdir(tmp_path)) == ["moved", "three", "two"]
        assert renaming.exchange((fd, "two"), (fd, "moved")) is not missing
        assert os.path.islink(tmp_path / ("moved" if missing else "two"))
    finally:
        os.close(fd)


def test_it_works_where_the_system_cannot_exchange(
    it: Bench, baseline: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renaming, "_renameat2", None)
    paths = worked(it)
    before = picture(it.top)
    done = it.repairs.rollback(baseline, paths, reason="plain")
    assert git(it.top, "status", "--porcelain") == ""
    assert it.repairs.trash()[0].paths == ("a.txt", "new/n.txt")
    it.repairs.restore(done.snapshot.id, reason="undo")
    assert picture(it.top) == before


def test_what_a_crash_left_of_scratch_files_goes_at_the_start(it: Bench) -> None:
    write(it.state, "tmp/left-over/0", "left\n")
    write(it.state, "trash/20200101-000000-000000000-abcd/0", "never planned\n")
    assert it.repairs.recover() == []
    assert not any((it.state / "tmp").iterdir())
    assert not any((it.state / "trash").iterdir())


PATHS = ["a", "b", "a/x", "a/y", "a/x/deep", "b/x/y", "c"]
THINGS = st.one_of(
    st.tuples(
        st.just("file"), st.sampled_from([0o644, 0o755, 0o600, 0o444]), st.sampled_from([b"", b"1\n", b"\0\xff"])
    ),
    st.tuples(st.just("link"), st.sampled_from([b"a", b"/nowhere", b"b/x"])),
)
TREES = st.dictionaries(st.sampled_from(PATHS), THINGS, max_size=5)


def lay(top: Path, things: dict[str, tuple[object, ...]]) -> None:
    """Makes the work tree hold exactly these things, as far as a path is not below a file that came first."""
    for name in os.listdir(top):
        if name != ".git":
            subprocess.run(["rm", "-rf", "--", top / name], check=True)
    for path, thing in sorted(things.items()):
        target = top / path
        with contextlib.suppress(OSError):  # Something is in the way already.
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target) or any(os.path.islink(above) for above in target.parents if above != top):
                continue
            if thing[0] == "link":
                os.symlink(os.fsdecode(thing[1]), target)  # type: ignore[arg-type]
            else:
                target.write_bytes(thing[2])  # type: ignore[arg-type]
                target.chmod(thing[1])  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(committed=TREES, before=TREES, after=TREES, chosen=st.sets(st.sampled_from(PATHS)))
def test_any_tree_goes_back_to_any_other(
    tmp_path: Path,
    committed: dict[str, tuple[object, ...]],
    before: dict[str, tuple[object, ...]],
    after: dict[str, tuple[object, ...]],
    chosen: set[str],
) -> None:
    top = tmp_path / "repo"
    subprocess.run(["rm", "-rf", top], check=True)
    make_repo(top)
    (top / "README.md").unlink()
    lay(top, committed)
    git(top, "add", "-A")
    git(top, "commit", "-q", "--allow-empty", "-m", "committed")
    lay(top, before)
    it = bench(top)
    start = files_of(picture(top))
    baseline = it.baselines.record("run-1", "snapshot")
    lay(top, after)
    worked = picture(top)
    # Some of the paths: all of them go back, or none where the rest is in the way.
    part = None
    with contextlib.suppress(SidecarError):
        part = it.repairs.rollback(baseline, sorted(chosen), reason="some")
    now = files_of(picture(top))
    if part is None:
        assert picture(top) == worked
    else:
        assert {path: now.get(os.fsencode(path)) for path in chosen} == {
            path: start.get(os.fsencode(path)) for path in chosen
        }
        others = {os.fsencode(path) for path in PATHS} - {os.fsencode(path) for path in chosen}
        assert {path: now.get(path) for path in others} == {path: files_of(worked).get(path) for path in others}
        it.repairs.restore(part.snapshot.id, reason="undo")
        assert files_of(picture(top)) == files_of(worked)
    done = it.repairs.rollback(baseline, PATHS, reason="all")
    assert files_of(picture(top)) == start
    it.repairs.restore(done.snapshot.id, reason="undo")
    assert files_of(picture(top)) == files_of(worked)
