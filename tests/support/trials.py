"""Drives `git_trial`: starts operations on copies of a repository, kills them, and judges what they leave."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.repo import git
from tests.support.tree import Picture, bench, index_bytes, kept_blobs, lost, picture, refs_of

ROOT = Path(__file__).resolve().parent.parent.parent


class Trials:
    """A process that forks operations."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, request: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer, "the trial program ended"
        return answer

    def start(self, **request: Any) -> int:
        """Begins an operation; its pid, which is also its process group."""
        return int(self.ask({key: str(value) if isinstance(value, Path) else value for key, value in request.items()}))

    def end(self, pid: int) -> int:
        """Waits for it; its exit code, negative: the signal."""
        return int(self.ask({"wait": pid}))

    def run(self, **request: Any) -> int:
        """One operation from its begin to its end."""
        return self.end(self.start(**request))


@contextlib.contextmanager
def trials() -> Iterator[Trials]:
    """The trial program, for as long as the `with` block runs."""
    command = [sys.executable, "-m", "tests.support.git_trial"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Trials(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


class Scene(NamedTuple):
    """A repository in a state from which one operation starts, and what it looks like."""

    name: str
    template: Path
    request: dict[str, Any]
    before: Picture
    after: Picture
    index_before: bytes | None
    index_after: bytes | None
    refs: str
    seconds: float
    """How long the operation takes."""


def make_scene(run: Trials, name: str, template: Path, request: dict[str, Any]) -> Scene:
    """Runs the operation once, undisturbed, to learn what it leads to."""
    before, index = picture(template), index_bytes(template)
    copy = copied(template, template.with_name(f"{template.name}-once"))
    started = time.monotonic()
    assert run.run(**request, top=copy) == 0
    seconds = time.monotonic() - started
    scene = Scene(
        name, template, request, before, picture(copy), index, index_bytes(copy), refs_of(template), seconds
    )  # fmt: skip
    shutil.rmtree(copy)
    return scene


def copied(template: Path, to: Path) -> Path:
    """A copy with permissions, links, pipes and times."""
    if to.exists():
        shutil.rmtree(to)
    subprocess.run(["cp", "-a", "--", template, to], check=True)
    return to


def judge(scene: Scene, top: Path) -> str:
    """What a trial left, after recovery: `before` or `after`. Fails where anything is lost or half done."""
    now = picture(top)
    kind = "before" if now == scene.before else "after" if now == scene.after else "neither"
    odd = {
        path: [shot.get(path) for shot in (scene.before, now, scene.after)]
        for path in now.keys() | scene.before.keys() | scene.after.keys()
        if scene.before.get(path) != scene.after.get(path) or now.get(path) != scene.before.get(path)
    }
    assert kind != "neither", {path: [str(what)[:60] for what in three] for path, three in odd.items()}
    if kind == "before":
        assert index_bytes(top) == scene.index_before, "the index was changed"
    elif scene.request["op"] == "stash":
        assert git(top, "diff", "--cached", "--name-only") == "", "the index is not that of HEAD"
    else:
        assert index_bytes(top) == scene.index_after, "the index is another one"
    assert refs_of(top) == scene.refs
    it = bench(top)
    # The hardest check: the trash is emptied and everything unreachable pruned before anything is looked for.
    it.repairs.empty_trash()
    git(top, "gc", "-q", "--prune=now")
    assert lost(scene.before, now, kept_blobs(top)) == []
    assert not list((it.state / "tmp").iterdir())
    return kind


def undo(scene: Scene, top: Path) -> None:
    """The snapshot before the operation brings back what was there, byte for byte."""
    it = bench(top)
    snapshot = it.snapshots.all()[-1]
    it.repairs.restore(snapshot.id, reason="undo", index=scene.index_before != scene.index_after)
    assert picture(top) == scene.before
    assert index_bytes(top) == scene.index_before


def kill_once(run: Trials, scene: Scene, top: Path, rng: random.Random, told: Counter[str]) -> None:
    """Starts the operation on a fresh copy, kills it at a random moment, recovers (at times killed too), judges."""
    copied(scene.template, top)
    pid = run.start(**scene.request, top=top)
    if rng.random() < 0.5 or scene.before == scene.after:
        time.sleep(rng.uniform(0, scene.seconds))
    else:
        _await_moves(top, pid)
        time.sleep(rng.choice((0, rng.uniform(0, 0.002), rng.uniform(0, 0.02))))
    # Half the time git's own processes die with it, half the time they go on.
    _kill(pid, group=rng.random() < 0.5)
    told["killed" if run.end(pid) == -signal.SIGKILL else "over before"] += 1
    _group_ended(pid)  # A git process that was not killed ends by itself.
    journals = [path for path in (bench(top).state / "trash").glob("*") if not (path / "done").exists()]
    told["interrupted after a journal was begun"] += bool(journals)
    told["interrupted among the moves"] += any((path / "staged").exists() for path in journals)
    if rng.random() < 0.5 or journals:
        for _ in range(rng.choice((1, 1, 2))):
            pid = run.start(op="recover", top=top)
            time.sleep(rng.uniform(0, 0.03))
            _kill(pid, group=rng.random() < 0.5)
            told["recovery killed too"] += run.end(pid) == -signal.SIGKILL
            _group_ended(pid)
    assert run.run(op="recover", top=top) == 0
    kind = judge(scene, top)
    told[f"ended {kind}"] += 1
    if kind == "after" and scene.before != scene.after:
        undo(scene, top)


def crash_once(run: Trials, scene: Scene, top: Path, number: int, rng: random.Random, **options: Any) -> str:
    """Lets the operation die right before its so-many-th change of the file system; recovery dies likewise first."""
    copied(scene.template, top)
    code = run.run(**scene.request, top=top, crash=number, **options)
    # A run may need a change less than the one that was counted; then it came to its end, which must be the right one.
    assert code in (-signal.SIGKILL, 0), f"exit code {code}"
    over = code == 0
    for _ in range(rng.choice((0, 1, 2))):
        run.run(op="recover", top=top, crash=rng.randint(1, 80), **options)
    recovered = run.run(op="recover", top=top, **options)
    assert recovered == 0, f"recovery ended with {recovered}"
    kind = judge(scene, top)
    assert not over or kind == "after" or scene.before == scene.after, f"it was over, and the tree is {kind}"
    return kind


def count_changes(run: Trials, scene: Scene, top: Path, **options: Any) -> int:
    """How often the operation changes the file system."""
    copied(scene.template, top)
    counted = top.with_name("count")
    assert run.run(**scene.request, top=top, count=counted, **options) == 0
    assert picture(top) == scene.after
    return int(counted.read_text())


def _await_moves(top: Path, pid: int) -> None:
    trash = Path(git(top, "rev-parse", "--absolute-git-dir").strip()) / "codex-sidecar" / "trash"
    deadline = time.monotonic() + 5
    known = set(trash.glob("*/staged"))
    while time.monotonic() < deadline and not set(trash.glob("*/staged")) - known and _alive(pid):
        pass


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _group_ended(group: int) -> None:
    """Waits until no process of the group lives; one that nobody has reaped does not."""

    def lives(path: str) -> bool:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                state, _, of_group = file.read().rpartition(")")[2].split()[:3]
        except OSError:  # It has just ended.
            return False
        return int(of_group) == group and state not in ("Z", "X")

    until(lambda: not any(map(lives, glob.glob("/proc/[0-9]*/stat"))), 30)


def _kill(pid: int, *, group: bool) -> None:
    # It may have ended by itself; then there is nothing to kill.
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, signal.SIGKILL)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for a condition; fails when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
