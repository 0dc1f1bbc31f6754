"""The plumbing in places where things fail: `git_places.py full|apart|locked DIRECTORY STRIDE`. Prints a JSON object.

`full`: DIRECTORY is a small disk that fills up. `apart`: the work tree is in DIRECTORY, a mount of its own, and the git
directory is not. `locked`: directories of the tree may not be written (run it without the right to override that).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidecar.git.repair import Repairs
from sidecar.model.errors import SidecarError
from tests.support import git_trial
from tests.support.full_disk import ballast
from tests.support.repo import git, make_repo
from tests.support.tree import Bench, Picture, append, bench, index_bytes, picture, write

STRIDE = int(sys.argv[3]) if len(sys.argv) > 3 else 5


def full(disk: Path) -> dict[str, Any]:
    """However little room there is: a repair is refused with nothing changed, or it is whole."""
    top = make_repo(disk / "top", {f"f{number}.txt": f"{number}\n" * 2_000 for number in range(8)})
    it = bench(top)
    baseline = it.baselines.record("run-1", "refuse")
    rng = random.Random(1)
    for number in range(8):
        write(top, f"f{number}.txt", rng.randbytes(15_000).hex())
    write(top, "new.bin", rng.randbytes(100_000))
    paths = [f"f{number}.txt" for number in range(8)] + ["new.bin"]
    before, index = picture(top), index_bytes(top)
    told: Counter[str] = Counter()
    filled = ballast(disk)
    for mode in ("snapshot", "stash"):
        try:
            it.baselines.record("run-2", mode)  # type: ignore[arg-type]
            told["recorded on a full disk"] += 1
        except SidecarError as exc:
            told[exc.kind] += 1
        assert picture(top) == before
        assert index_bytes(top) == index
    filled.unlink()
    for free in (0, 4_000, 60_000, 100_000, 150_000, 200_000, 250_000, 280_000, 300_000, 330_000, 360_000, 400_000):
        filled = ballast(disk)
        with open(filled, "rb+") as file:
            file.truncate(max(0, filled.stat().st_size - free))
        try:
            it.repairs.rollback(baseline, paths, reason="no room")
            told["done"] += 1
            break
        except SidecarError as exc:
            told[exc.kind] += 1
            assert picture(top) == before
            assert index_bytes(top) == index
        finally:
            filled.unlink()
    # With room again everything works, and what the attempts left goes away.
    it.repairs.recover()
    git(top, "gc", "-q", "--prune=now")
    if not told["done"]:
        it.repairs.rollback(baseline, paths, reason="room again")
    assert git(top, "status", "--porcelain") == ""
    it.repairs.restore(it.snapshots.all()[-1].id, reason="undo")
    assert picture(top) == before
    return {"refused": told["state-unavailable"] > 2, "other": sorted(set(told) - {"state-unavailable", "done"})}


def every_crash(it: Bench, request: dict[str, Any], prepare: Callable[[], None]) -> dict[str, Any]:
    """Dies before one change of the file system after the other, each time from the same state; judges recovery."""
    prepare()
    before = picture(it.top)
    counted = it.state / "count"
    assert child({**request, "count": str(counted)}) == 0
    after, total = picture(it.top), int(counted.read_text())
    ends: Counter[str] = Counter()
    rng = random.Random(2)
    for number in range(1, total + 1, STRIDE):
        prepare()
        assert picture(it.top) == before
        assert child({**request, "crash": number}) == -9
        child({"op": "recover", "top": str(it.top), "crash": rng.randint(1, 60)})
        recovered = it.repairs.recover()
        now = picture(it.top)
        kind = "before" if now == before else "after" if now == after else "neither"
        assert kind != "neither", (number, recovered, differences(before, now, after))
        ends[kind] += 1
        it.repairs.empty_trash()
    return {"before": ends["before"] > 0, "after": ends["after"] > 0}


def child(request: dict[str, Any]) -> int:
    """One operation in a forked process; its exit code, negative: the signal."""
    pid = os.fork()
    if pid == 0:
        git_trial.child(request)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def differences(before: Picture, now: Picture, after: Picture) -> dict[bytes, list[str]]:
    paths = [path for path in before | now | after if not now.get(path) == before.get(path) == after.get(path)]
    return {path: [str(shot.get(path))[:50] for shot in (before, now, after)] for path in paths}


def exact(it: Bench, run: str, paths: list[str], before: Picture) -> None:
    """Roll back and its undo, byte for byte."""
    worked = picture(it.top)
    repairs: Repairs = it.repairs
    done = repairs.rollback(it.baselines.load(run), paths, reason="exact")
    assert picture(it.top) == before, differences(before, picture(it.top), worked)
    assert done.snapshot is not None
    repairs.restore(done.snapshot.id, reason="undo")
    assert picture(it.top) == worked, differences(worked, picture(it.top), before)
    repairs.empty_trash()


def apart(mount: Path) -> dict[str, Any]:
    """The state directory is on another mount than the files: nothing can be exchanged between them."""
    top = mount / "top"
    top.mkdir()
    git(top, "init", "-q", "-b", "main", f"--separate-git-dir={mount.parent / 'apart.git'}")
    make_repo(top, {"a.txt": "a\n", "d/b.txt": "b\n", "d/c.txt": "c\n", "gone/x.txt": "x\n"})
    (top / "link").symlink_to("a.txt")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "link")
    # And a third mount inside the tree.
    (top / "d2").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top / "d2"], check=True)
    write(top, "d2/e.txt", "e\n", 0o600)
    it = bench(top)
    it.baselines.record("run-1", "snapshot")
    start = picture(top)
    paths = ["a.txt", "d/b.txt", "d/c.txt", "gone/x.txt", "new/y.txt", "link", "d2/e.txt", "d2/f.txt"]

    def prepare() -> None:
        write(top, "a.txt", "changed\n", 0o644)
        append(top, "d/b.txt", "more\n")
        write(top, "d/b.txt", "b\nmore\n", 0o755)
        (top / "d/c.txt").unlink(missing_ok=True)
        if (top / "gone").exists():
            (top / "gone/x.txt").unlink()
            (top / "gone").rmdir()
        write(top, "new/y.txt", "y\n")
        (top / "link").unlink()
        (top / "link").symlink_to("d")
        write(top, "d2/e.txt", "e changed\n", 0o600)
        write(top, "d2/f.txt", "f\n")

    prepare()
    exact(it, "run-1", paths, start)
    told = every_crash(it, {"op": "rollback", "top": str(top), "run": "run-1", "paths": paths}, prepare)
    assert git(top, "status", "--porcelain", "--", ":!d2", ":!new") != "never", "git still works"
    return told


def locked(directory: Path) -> dict[str, Any]:
    """Directories without the right to write are opened for a moment and get their permissions back."""
    top = make_repo(directory / "top", {"ro/a.txt": "a\n", "ro/deep/b.txt": "b\n", "rw/c.txt": "c\n"})
    for path in ("ro/deep", "ro"):
        (top / path).chmod(0o555)
    it = bench(top)
    it.baselines.record("run-1", "refuse")
    start = picture(top)
    paths = ["ro/a.txt", "ro/new.txt", "ro/deep/b.txt", "ro/deep/new/x.txt", "rw/c.txt"]

    def prepare() -> None:
        for path in ("ro", "ro/deep"):
            (top / path).chmod(0o755)
        write(top, "ro/a.txt", "changed\n", 0o400)
        os.chmod(top / "ro/a.txt", 0o444)
        write(top, "ro/new.txt", "new\n")
        (top / "ro/deep/b.txt").unlink(missing_ok=True)
        if not (top / "ro/deep/new").exists():
            write(top, "ro/deep/new/x.txt", "x\n")
        (top / "ro/deep/new").chmod(0o500)
        write(top, "rw/c.txt", "c2\n")
        for path in ("ro/deep", "ro"):
            (top / path).chmod(0o555)

    def again() -> None:
        for path in ("ro", "ro/deep"):
            (top / path).chmod(0o755)
        (top / "ro/a.txt").unlink(missing_ok=True)
        prepare()

    (top / "rw").chmod(0o000)
    hidden = it.baselines.record("run-2", "snapshot")
    assert it.baselines.held(hidden, ["rw/c.txt"])["rw/c.txt"].kind == "file", "git takes what it cannot see for clean"
    chosen = it.snapshots.capture("chosen", ["rw/c.txt"])
    assert it.snapshots.read(chosen.id)[1].entries["rw/c.txt"].problem == "Permission denied"
    (top / "rw").chmod(0o755)
    again()
    assert not os.access(top / "ro", os.W_OK), "this process may override permissions; the test would test nothing"
    exact(it, "run-1", paths, start)
    told = every_crash(it, {"op": "rollback", "top": str(top), "run": "run-1", "paths": paths}, again)
    for path in ("ro", "ro/deep"):
        (top / path).chmod(0o755)
    return told


if __name__ == "__main__":
    print(json.dumps({"full": full, "apart": apart, "locked": locked}[sys.argv[1]](Path(sys.argv[2]))))
