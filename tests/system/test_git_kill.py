"""The plumbing is killed at random moments, writers and a full disk get in its way: nothing is ever lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.repo import git, make_repo
from tests.support.tree import bench, kept_blobs, nasty_repo, work_of_workers
from tests.support.trials import Scene, Trials, copied, count_changes, crash_once, kill_once, make_scene, trials

WRITERS_SECONDS = float(os.environ.get("CODEX_SIDECAR_WRITERS_SECONDS", "3"))
KILLS = int(os.environ.get("CODEX_SIDECAR_KILL_TRIALS", "100"))


@pytest.fixture(scope="module")
def run() -> Iterator[Trials]:
    with trials() as running:
        yield running


def scenes(run: Trials, where: Path) -> list[Scene]:
    """Each operation that must survive a kill, on a tree that is as nasty as can be."""
    fresh = nasty_repo(where / "fresh")
    worked = copied(fresh, where / "worked")
    bench(worked).baselines.record("run-1", "snapshot")
    paths = work_of_workers(worked)
    rolled = copied(worked, where / "rolled")
    it = bench(rolled)
    done = it.repairs.rollback(it.baselines.load("run-1"), paths, reason="before the restore")
    assert done.snapshot is not None
    it.repairs.empty_trash()
    calm = nasty_repo(where / "calm", merging=False)
    stashed = copied(calm, where / "stashed")
    it = bench(stashed)
    put_aside = it.baselines.record("run-1", "stash").snapshot_id
    it.repairs.empty_trash()
    versions = [
        bench(worked).objects.store(b"1\n2\n3\n4\n5\n" if by is None else b"1\n2\n3\n4\n5\n".replace(*by))[0]
        for by in (None, (b"1", b"w1"), (b"5", b"w2"))
    ]
    return [
        make_scene(run, "baseline", fresh, {"op": "snapshot", "run": "run-2"}),
        make_scene(run, "roll back", worked, {"op": "rollback", "run": "run-1", "paths": paths}),
        make_scene(run, "merge", worked, {"op": "merge", "path": "src/m5.py", "versions": versions}),
        make_scene(run, "restore", rolled, {"op": "restore", "snapshot": done.snapshot.id}),
        make_scene(run, "put aside", calm, {"op": "stash", "run": "run-2"}),
        make_scene(run, "bring back", stashed, {"op": "restore", "snapshot": put_aside, "index": True}),
    ]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_moments_it_loses_nothing(
    run: Trials, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    told: dict[str, Counter[str]] = {}
    every = scenes(run, tmp_path)
    for number in range(KILLS):
        scene = every[number % len(every)]
        try:
            kill_once(run, scene, tmp_path / "trial", rng, told.setdefault(scene.name, Counter()))
        except AssertionError as exc:
            raise AssertionError(f"trial {number} ({scene.name}), seed {seed}: {exc}") from exc
    with capsys.disabled():
        for name, counts in told.items():
            print(f"\n{name}: " + ", ".join(f"{what} {count}" for what, count in sorted(counts.items())), end="")
    assert sum(counts["killed"] for counts in told.values()) > KILLS / 4
    assert sum(counts["interrupted among the moves"] for counts in told.values()) > KILLS / 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("plain", [False, True], ids=["exchange", "without renameat2"])
def test_dead_before_any_change_of_the_file_system_it_loses_nothing(
    run: Trials, tmp_path: Path, capsys: pytest.CaptureFixture[str], plain: bool
) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for scene in scenes(run, tmp_path)[1:]:
        total = count_changes(run, scene, tmp_path / "trial", plain=plain)
        ends: Counter[str] = Counter()
        for number in sorted(rng.sample(range(1, total + 1), min(total, max(KILLS // 4, 1)))):
            try:
                ends[crash_once(run, scene, tmp_path / "trial", number, rng, plain=plain)] += 1
            except AssertionError as exc:
                raise AssertionError(f"before change {number} of {total} ({scene.name}), seed {seed}: {exc}") from exc
        with capsys.disabled():
            print(f"\n{scene.name}: {total} changes, died before {sum(ends.values())} of them: {dict(ends)}", end="")


def four_writers(top: Path, seconds: float, undo: Callable[[], None]) -> tuple[set[str], set[str], int]:
    """Four processes write while `undo` is called all the time: lines appended, versions taken away, calls."""
    program = Path(__file__).parent.parent / "support" / "git_writers.py"
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(4)]
        processes = [
            subprocess.Popen(
                [sys.executable, "-I", "-S", program, kind, top, f"writer{number}", str(seconds)], stdout=out
            )
            for number, (kind, out) in enumerate(zip(("append", "append", "append", "replace"), outputs, strict=True))
        ]
        calls = 0
        while any(process.poll() is None for process in processes):
            undo()
            calls += 1
        assert [process.wait() for process in processes] == [0, 0, 0, 0]
        told = []
        for output in outputs:
            output.seek(0)
            told.append(json.loads(output.read())["written"])
    return {line for lines in told[:3] for line in lines}, set(told[3]), calls


def contents(top: Path, objects: Iterable[str]) -> bytes:
    """Everything in the tree and in these objects."""
    asked = "".join(f"{oid}\n" for oid in objects).encode()
    stored = subprocess.run(["git", "-C", top, "cat-file", "--batch"], input=asked, capture_output=True, check=True)
    return stored.stdout + b"".join(path.read_bytes() for path in top.glob("*.txt"))


@pytest.mark.slow
def test_rolling_back_under_four_writers_loses_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"shared{number}.txt": "the first line\n" for number in range(5)} | {"replaced.txt": "the first version\n"}
    ours, theirs = make_repo(tmp_path / "ours", files), make_repo(tmp_path / "theirs", files)
    it = bench(ours)
    baseline = it.baselines.record("run-1", "refuse")

    def roll_back() -> None:
        it.repairs.rollback(baseline, files, reason="under fire")

    # How long one takes here and now, so that the writers meet several.
    (ours / "replaced.txt").write_text("another version\n")
    began = time.monotonic()
    roll_back()
    seconds = max(WRITERS_SECONDS, 20 * (time.monotonic() - began))
    appended, replaced, calls = four_writers(ours, seconds, roll_back)
    # What a writer that still held a file open added is in the trash; emptying it must save that too.
    it.repairs.empty_trash()
    assert not any((it.state / "trash").iterdir())
    git(ours, "gc", "-q", "--prune=now")
    found = set(contents(ours, kept_blobs(ours)).decode(errors="replace").splitlines())
    told = f"roll back: {calls} times, {len(appended)} lines, lost {len(appended - found)}; "
    told += f"{len(replaced)} versions taken away, lost {len(replaced - found)}"

    def stash() -> None:
        subprocess.run(["git", "-C", theirs, "stash", "push", "-q", "-u"], capture_output=True)

    stash_appended, stash_replaced, stash_calls = four_writers(theirs, WRITERS_SECONDS, stash)
    every = git(theirs, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    stash_found = set(contents(theirs, every).decode(errors="replace").splitlines())
    told += f"\ngit stash -u: {stash_calls} times, {len(stash_appended)} lines, "
    told += f"lost {len(stash_appended - stash_found)}; {len(stash_replaced)} versions taken away, "
    told += f"lost {len(stash_replaced - stash_found)}"
    with capsys.disabled():
        print(f"\n{told}", end="")
    assert appended <= found
    assert replaced <= found
    assert calls > 3
    assert len(appended) > 100


def in_place(place: str, directory: Path, prefix: list[str]) -> dict[str, object]:
    """Runs `git_places` for one place and returns what it told."""
    directory.mkdir()
    at = shlex.quote(str(directory))
    program = f"exec {shlex.quote(sys.executable)} -m tests.support.git_places {place} {at} {STRIDE}"
    mount = "" if place == "locked" else f"mount -t tmpfs -o size=8m tmpfs {at} && "
    done = subprocess.run([*prefix, "sh", "-c", mount + program], capture_output=True, text=True, timeout=600)
    if "unshare" in done.stderr and "Operation not permitted" in done.stderr:
        pytest.skip("this machine allows no mount namespaces")
    assert done.returncode == 0, done.stderr[-6000:]
    told: dict[str, object] = json.loads(done.stdout)
    return told


STRIDE = 1 if KILLS >= 300 else 5
OWN_MOUNTS = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
RIGHTS = "-dac_override,-dac_read_search"
# Root may write everywhere; without these two rights it is like everybody else.
NO_RIGHTS = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}"] if os.geteuid() == 0 else []


@pytest.mark.slow
def test_a_full_disk_stops_a_repair_before_anything_is_changed(tmp_path: Path) -> None:
    assert in_place("full", tmp_path / "disk", OWN_MOUNTS) == {"refused": True, "other": []}


@pytest.mark.slow
def test_across_mounts_it_is_as_exact_and_as_safe(tmp_path: Path) -> None:
    assert in_place("apart", tmp_path / "disk", OWN_MOUNTS) == {"before": True, "after": True}


@pytest.mark.slow
def test_directories_that_may_not_be_written_get_their_permissions_back(tmp_path: Path) -> None:
    assert in_place("locked", tmp_path / "disk", NO_RIGHTS) == {"before": True, "after": True}
