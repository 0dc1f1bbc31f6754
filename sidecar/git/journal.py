"""The record of one change of the work tree, written before anything is moved: what a crash left can be told from it.

Each change has a directory `trash/<id>/`. It holds `journal.json` (the plan), one slot for each path with the new
content, `staged` (from here on it goes forward), and at the end `ended-…`, then `done`. A slot and its path exchange
their names, so the slot then holds what stood in the work tree. Which step was taken is seen from the slots themselves:
nothing has to be written between two steps.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sidecar.git.renaming import Place
from sidecar.git.state import State, Work, sync_directory, write_lasting
from sidecar.git.worktree import Signature, WorkTree, parents
from sidecar.model.errors import SidecarError

logger = logging.getLogger(__name__)

Outcome = Literal["forward", "back"]
"""Completed, or undone."""
TargetKind = Literal["absent", "file", "link", "committed"]


class Target(NamedTuple):
    """What is to stand at a path."""

    kind: TargetKind
    """`file` and `link`: a blob's exact bytes; `committed`: a blob as git checks it out, through a person's filters."""
    oid: str = ""
    mode: int | None = None
    """Permission bits; None: as git would set them. `file` needs them."""
    tree_mode: str = ""
    """`committed`: the mode of the tree's entry, for instance `100644`."""


NOTHING = Target("absent")


class Change(NamedTuple):
    """One path and what is to become of it."""

    path: str
    target: Target
    expected: Signature | None = None
    """What must stand there right before; None: whatever it is."""


class Step(NamedTuple):
    """One change as it stands in a journal."""

    number: int
    path: str
    target: Target
    expected: Signature
    beside: str | None
    """None: the slot is in the journal's directory. Else it is in this directory of the work tree: another mount."""


class Journal:
    """One change of the work tree."""

    def __init__(self, directory: Path, plan: Mapping[str, Any]) -> None:
        self.directory = directory
        self.id = directory.name
        self.steps = [_step_in(number, value) for number, value in enumerate(plan["steps"])]
        self.existing: dict[str, int] = plan["existing"]
        """Permission bits of the directories above the paths, as they were."""
        self.wanted: dict[str, int] = plan["wanted"]
        """Permission bits for directories that have to be made."""
        self.locked: dict[str, int] = plan["locked"]
        """Directories that must be made writable for a moment, with the bits they get back."""
        self.attributes: str | None = plan["attributes"]
        """The tree whose `.gitattributes` say how a `committed` blob is checked out."""
        self.index: dict[str, str | None] | None = plan["index"]
        """Which index to install at the end, where one is."""
        self.about: dict[str, Any] = plan["about"]
        self.staged: dict[int, Signature] = {}
        """What lies in the slots since staging, by step."""

    @property
    def made(self) -> list[str]:
        """Directories that this change makes, topmost first."""
        puts = (step.path for step in self.steps if step.target.kind != "absent")
        return sorted({above for path in puts for above in parents(path) if above not in self.existing})

    def name(self, step: Step) -> str:
        """The name of a step's slot."""
        return str(step.number) if step.beside is None else f".codex-sidecar-{self.id}-{step.number}"

    @contextlib.contextmanager
    def slot(self, tree: WorkTree, step: Step) -> Iterator[Place]:
        """The directory and name of a step's slot."""
        if step.beside is not None:
            with tree.directory(step.beside) as fd:
                yield fd, self.name(step)
            return
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd, self.name(step)
        finally:
            os.close(fd)

    def spares(self, slot: Place) -> list[str]:
        """Where the file of a step lies on systems without exchange: names that are taken, oldest first."""
        found: list[str] = []
        while _there((slot[0], f"{slot[1]}.{len(found)}")):
            found.append(f"{slot[1]}.{len(found)}")
        return found

    def free_spare(self, slot: Place) -> Place:
        """The next free name of that kind."""
        return slot[0], f"{slot[1]}.{len(self.spares(slot))}"

    def mark_staged(self, staged: Mapping[int, Signature]) -> None:
        """From here on the change goes forward, also after a crash."""
        self.staged = dict(staged)
        (self.directory / "end").touch(0o600)
        write_lasting(
            self.directory / "staged", json.dumps({str(key): list(value) for key, value in staged.items()}).encode()
        )

    def load_staged(self) -> bool:
        """Reads the mark; False: nothing was moved yet."""
        with contextlib.suppress(FileNotFoundError):
            value = json.loads((self.directory / "staged").read_bytes())
            self.staged = {int(key): Signature(*signature) for key, signature in value.items()}
            return True
        return False

    def mark_ended(self, outcome: Outcome, left: list[str]) -> None:
        """Every path is as it is to be; from here on only the slots are tidied up."""
        if left:
            write_lasting(self.directory / "left.json", json.dumps(left).encode())
        # A rename needs no room on the disk, which may be full by now.
        os.rename(self.directory / "end", self.directory / f"ended-{outcome}")
        sync_directory(self.directory)

    def load_ended(self) -> tuple[Outcome, list[str]] | None:
        """How it ended, where a crash came only after that."""
        outcomes: tuple[Outcome, ...] = ("forward", "back")
        for outcome in outcomes:
            if (self.directory / f"ended-{outcome}").exists():
                left = self.directory / "left.json"
                return outcome, json.loads(left.read_bytes()) if left.exists() else []
        return None

    def mark_done(self, outcome: Outcome) -> None:
        """The change is over; what lies in its directory now is trash."""
        os.rename(self.directory / f"ended-{outcome}", self.directory / "done")
        sync_directory(self.directory)

    def discard(self, tree: WorkTree) -> None:
        """Removes a change that never began to move anything."""
        for step in self.steps:
            if step.beside is not None:
                # Its directory may be gone by now; then the slot is too.
                with contextlib.suppress(FileNotFoundError, NotADirectoryError), self.slot(tree, step) as (fd, name):
                    os.unlink(name, dir_fd=fd)
        remove_tree(self.directory)


def remove_tree(path: Path) -> None:
    """Removes a directory of the trash, whatever permissions lie in it."""
    for inner, _, _ in os.walk(path):
        os.chmod(inner, 0o700)
    shutil.rmtree(path)


def _there(place: Place) -> bool:
    try:
        os.lstat(place[1], dir_fd=place[0])
    except FileNotFoundError:
        return False
    return True


def begin(
    work: Work,
    changes: list[Change],
    *,
    wanted: Mapping[str, int],
    attributes: str | None,
    index: dict[str, str | None] | None,
    about: dict[str, Any],
) -> Journal:
    """Plans a change and writes the plan down.

    Raises:
        SidecarError: `state-unavailable` where a path cannot be changed; nothing was written then.
    """
    now = time.time_ns()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 10**9))
    directory = work.state.trash / f"{stamp}-{now % 10**9:09d}-{secrets.token_hex(2)}"
    directory.mkdir(mode=0o700)
    try:
        existing: dict[str, int] = {}
        locked: dict[str, int] = {}
        steps = []
        mount = _mount(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for change in changes:
            nearest = _nearest(work.tree, change, existing)
            with work.tree.directory(nearest) as fd:
                if not os.access(".", os.W_OK | os.X_OK, dir_fd=fd):
                    locked[nearest] = _unlockable(change.path, nearest, os.fstat(fd))
                beside = None if _mount(os.dup(fd)) == mount else _highest(work.tree, nearest)
            expected = change.expected or work.tree.signature(change.path)
            steps.append({"path": change.path, "target": change.target, "expected": expected, "beside": beside})
        plan = {
            "version": 1, "steps": steps, "existing": existing, "wanted": dict(wanted), "locked": locked,
            "attributes": attributes, "index": index, "about": about,
        }  # fmt: skip
        write_lasting(directory / "journal.json", json.dumps(plan).encode())
        return Journal(directory, json.loads(json.dumps(plan)))
    except BaseException:
        remove_tree(directory)
        raise


def _nearest(tree: WorkTree, change: Change, existing: dict[str, int]) -> str:
    """The nearest directory above a path that is there; notes all that are."""
    nearest = ""
    for above in parents(change.path):
        if above not in existing:
            signature = tree.signature(above)
            if signature.kind != "directory":
                continue
            existing[above] = signature.mode
        nearest = nearest or above
    return nearest


def _highest(tree: WorkTree, directory: str) -> str:
    """The directory nearest to the top that is on the same mount and may be written: it is not removed meanwhile."""
    with tree.directory(directory) as fd:
        mount = _mount(os.dup(fd))
    best = directory
    for above in [*parents(directory), ""] if directory else []:
        with tree.directory(above) as fd:
            if _mount(os.dup(fd)) != mount:
                break
            if os.access(".", os.W_OK | os.X_OK, dir_fd=fd):
                best = above
    return best


def _unlockable(path: str, directory: str, status: os.stat_result) -> int:
    if status.st_uid != os.geteuid():
        raise SidecarError(
            "state-unavailable",
            f"{directory!r} may not be written, so {path!r} cannot be changed.",
            "Mend the permissions of the directory, then try again.",
            {"path": path},
        )
    return status.st_mode & 0o7777


def _mount(fd: int) -> object:
    """Which mount an open directory is on; names can only be exchanged within one. Closes the descriptor."""
    try:
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            for line in file:
                if line.startswith("mnt_id:"):
                    return line
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


def _step_in(number: int, value: Mapping[str, Any]) -> Step:
    return Step(number, value["path"], Target(*value["target"]), Signature(*value["expected"]), value["beside"])


def unfinished(state: State) -> list[Journal]:
    """The changes that a crash interrupted, oldest first. What never got as far as a plan is removed."""
    found = []
    for directory in sorted(state.trash.iterdir()):
        if (directory / "done").exists():
            continue
        try:
            found.append(Journal(directory, json.loads((directory / "journal.json").read_bytes())))
        except FileNotFoundError:
            remove_tree(directory)
        except (ValueError, KeyError, TypeError):
            # Written by another version, or damaged: what lies there may be somebody's work, so it stays.
            logger.exception("the journal %s cannot be read; its directory is left as it is", directory)
    return found
