"""The baseline of a run: HEAD and a tree of what was there, under a private ref, so that every file can go back to it.

The tree holds a clean file as it was committed and a changed one by its exact bytes. What a tree cannot say stands in
the manifest beside it: permission bits, files that git is told not to look at, files whose bytes on the disk differ
from the committed ones (line ends, filters), and what was ignored and therefore is nobody's to touch.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from sidecar.git import commits
from sidecar.git.blobs import check_oid, missing, store_bytes
from sidecar.git.commits import DIRECTORY, FILE, LINK, PREFIX, SUBMODULE, Entry
from sidecar.git.journal import Target
from sidecar.git.listing import empty_tree
from sidecar.git.manifest import Manifest
from sidecar.git.plumbing import check_path, shown
from sidecar.git.repository import Repository
from sidecar.git.stash import put_aside
from sidecar.git.state import Work, open_work
from sidecar.git.survey import Survey, survey
from sidecar.git.worktree import NO_FILE
from sidecar.model.errors import SidecarError

Mode = Literal["refuse", "snapshot", "stash"]
ATTEMPTS = 4


class Baseline(NamedTuple):
    """What a run began from."""

    run_id: str
    head: str | None
    """The commit that HEAD named; None: there was none."""
    tree: str
    """A tree of every tracked and untracked file, changed ones with their exact bytes."""
    ref: str
    commit: str
    recorded_at: float
    """Seconds since 1970."""
    files: int
    """How many files of the tree no commit held."""
    snapshot_id: str | None
    """The snapshot of what `stash` put aside."""


class Held(NamedTuple):
    """What the baseline holds of one path."""

    kind: Literal["file", "link", "absent", "unknown"]
    """`unknown`: it was there, but its content was not captured; `why` says the reason."""
    oid: str = ""
    mode: int = 0
    """Permission bits."""
    exact: bool = True
    """Whether the blob is what was on the disk; False: it has to go through a checkout's conversions first."""
    why: str = ""

    def target(self) -> Target:
        """What to hand to a change that brings the path back."""
        if self.kind == "absent":
            return Target("absent")
        if self.kind == "link":
            return Target("link", self.oid)
        if self.exact:
            return Target("file", self.oid, self.mode)
        return Target("committed", self.oid, self.mode, commits.EXECUTABLE if self.mode & 0o100 else FILE)


class Baselines:
    """The baselines of one work tree. Every method blocks.

    Raises (all methods):
        SidecarError: `state-unavailable` where git or the file system refuses.
    """

    def __init__(self, repository: Repository, state_dir: Path) -> None:
        self._repository = repository
        self._state_dir = state_dir
        self._lock = threading.Lock()
        self._manifests: dict[str, Manifest] = {}

    def record(self, run_id: str, mode: Mode) -> Baseline:
        """Records what is there now.

        Args:
            run_id: names the ref; letters, digits, `-` and `_`.
            mode: what to do about uncommitted work. `refuse`: there must be none. `snapshot`: it becomes part of the
                baseline, nothing changes. `stash`: it is captured in a snapshot, then the tracked files go back to
                HEAD, the untracked ones are removed, and the index is set to HEAD with git's own lock; restoring that
                snapshot brings all of it back. Ignored files, submodules and nested repositories are never touched.

        Raises:
            SidecarError: `dirty-tree` names the files (`refuse`), or says why nothing can be put aside (`stash`);
                `busy` where git holds the index. Nothing was changed.
        """
        ref = commits.check_ref(f"{PREFIX}baselines/{run_id}")
        snapshot_id = None
        if mode == "stash":
            snapshot_id = put_aside(self._repository, self._state_dir, f"put aside for {run_id}")
        with open_work(self._repository, self._state_dir) as work:
            for _ in range(ATTEMPTS):
                found = survey(self._repository, work)
                if found is None:
                    continue
                if mode == "refuse" and found.dirty:
                    raise dirty_tree(list(found.dirty))
                baseline = _write(work, run_id, ref, found, snapshot_id)
                if baseline is not None:
                    return baseline
        raise SidecarError(
            "busy", "HEAD kept moving while the baseline was recorded.", "Try again when git is at rest."
        )

    def load(self, run_id: str) -> Baseline:
        """A baseline that was recorded earlier.

        Raises:
            SidecarError: `state-unavailable` where its ref is gone.
        """
        ref = commits.check_ref(f"{PREFIX}baselines/{run_id}")
        with open_work(self._repository, self._state_dir) as work:
            for found in commits.list_refs(work.git, "baselines"):
                # A ref of that name that somebody else wrote has no such message.
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    if found.name == ref:
                        about = json.loads(found.body)
                        return Baseline(
                            run_id=run_id, head=about["head"], tree=about["tree"], ref=ref, commit=found.commit,
                            recorded_at=about["recordedAt"], files=about["files"], snapshot_id=about["snapshot"],
                        )  # fmt: skip
        raise SidecarError(
            "state-unavailable", f"The baseline of {run_id} is gone: {ref} does not exist.", "Record a new one."
        )

    def drop(self, baseline: Baseline) -> None:
        """Forgets a baseline; its objects go with the next `git gc`."""
        with open_work(self._repository, self._state_dir) as work:
            commits.delete_refs(work.git, {baseline.ref: baseline.commit})
        self._manifests.pop(baseline.commit, None)

    def held(self, baseline: Baseline, paths: Iterable[str]) -> dict[str, Held]:
        """What the baseline holds at these paths."""
        with open_work(self._repository, self._state_dir) as work:
            return self.held_in(work, baseline, paths)

    def manifest(self, work: Work, baseline: Baseline) -> Manifest:
        """The manifest of a baseline; read once."""
        with self._lock:
            if baseline.commit not in self._manifests:
                data = work.git.run("cat-file", "blob", f"{check_oid(baseline.commit)}:manifest.json")
                self._manifests[baseline.commit] = Manifest.decode(data)
            return self._manifests[baseline.commit]

    def held_in(self, work: Work, baseline: Baseline, paths: Iterable[str]) -> dict[str, Held]:
        """See `held`, within an operation."""
        manifest = self.manifest(work, baseline)
        modes: dict[str, int] = manifest.more["modes"]
        ignored = frozenset(manifest.more["ignored"])
        converted = frozenset(manifest.more["converted"])
        found: dict[str, Held] = {}
        asked: list[str] = []
        for path in paths:
            stored = manifest.entries.get(check_path(path))
            if stored is None:
                asked.append(path)
            elif stored.signature.kind in ("file", "link") and stored.kept and stored.oid:
                kind: Literal["file", "link"] = "link" if stored.signature.kind == "link" else "file"
                found[path] = Held(kind, stored.oid, stored.signature.mode)
            elif stored.signature.kind in NO_FILE:
                found[path] = Held("absent")
            else:
                found[path] = Held("unknown", why=stored.problem or f"it was a {stored.signature.kind}")
        entries = commits.tree_entries(work.git, baseline.tree, asked) if asked else {}
        for path in asked:
            entry = entries.get(path)
            above = [path[: at + 1] for at, letter in enumerate(path) if letter == "/"]
            if entry is None and (path in ignored or any(name in ignored for name in above)):
                found[path] = Held("unknown", why="it is ignored by git")
            elif entry is None and any(name.rstrip("/") in manifest.repositories for name in (path, *above)):
                found[path] = Held("unknown", why="it belongs to a repository of its own")
            elif entry is None or entry.mode == DIRECTORY:
                found[path] = Held("absent")
            elif entry.mode == SUBMODULE:
                found[path] = Held("unknown", why="it is a submodule")
            elif entry.mode == LINK:
                found[path] = Held("link", entry.oid)
            else:
                usual = manifest.more["executable" if entry.mode == commits.EXECUTABLE else "plain"]
                found[path] = Held("file", entry.oid, modes.get(path, usual), exact=path not in converted)
        return found


def _write(work: Work, run_id: str, ref: str, found: Survey, snapshot_id: str | None) -> Baseline | None:
    """Writes the commit and the ref; None where a prune at the same time took some of it."""
    head = found.head
    tree = found.tree or empty_tree(work.git)
    if found.tree is None:
        commits.write_tree(work.git, {})
    files = {"tree": Entry(DIRECTORY, tree), **found.manifest.files("files")}
    files["manifest.json"] = Entry(FILE, store_bytes(work.git, found.manifest.encode()))
    recorded = time.time()
    about = {
        "head": head, "tree": tree, "recordedAt": recorded, "files": len(found.dirty), "snapshot": snapshot_id,
        "gitDir": os.fspath(work.git.git_dir),
    }  # fmt: skip
    message = f"codex-sidecar baseline: {run_id}\n\n{json.dumps(about)}\n"
    try:
        commit = commits.commit(
            work.git, commits.write_tree(work.git, files, checked=False), [head] if head else [], message
        )
    except commits.Pruned:
        return None
    if not commits.set_ref(work.git, ref, commit, None):
        commits.set_ref(work.git, ref, commit, commits.resolve_ref(work.git, ref))
    # Until the ref was there nothing held what is new in it. Now that it is, all of it has to be there too.
    if found.dirty:
        before = ("--not", head) if head else ("--no-walk",)
        whole = work.git.attempt("rev-list", "--objects", "--quiet", commit, *before)[0] == 0
    else:
        whole = not missing(work.git, (commit, *(entry.oid for entry in files.values())))
    if not whole:
        commits.delete_refs(work.git, {ref: commit})
        return None
    return Baseline(run_id, head, tree, ref, commit, recorded, len(found.dirty), snapshot_id)


def dirty_tree(paths: list[str]) -> SidecarError:
    """The error for uncommitted work that is in the way."""
    names = [shown(path) for path in paths]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return SidecarError(
        "dirty-tree",
        f"The work tree has uncommitted changes: {', '.join(names[:20])}{more}.",
        "Commit them or put them aside first. The two other ways are onDirty `snapshot` (they become part of the "
        "baseline) and `stash` (they are saved and the tree is made clean).",
        {"files": names[:1000], "count": len(names), "ways": ["refuse", "snapshot", "stash"]},
    )
