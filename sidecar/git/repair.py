"""Bringing files back: to a baseline, to a snapshot, or to any stored content. Always with a snapshot before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.git import commits, leftovers, swap
from sidecar.git.baseline import Baseline, Baselines
from sidecar.git.blobs import Stored, read_blobs, store_paths
from sidecar.git.index import index_plan, staged_digest
from sidecar.git.journal import NOTHING, Change, Target
from sidecar.git.leftovers import Trash
from sidecar.git.listing import head_commit, staged_against
from sidecar.git.manifest import Manifest
from sidecar.git.plumbing import check_path, nul_list, shown
from sidecar.git.repository import Repository
from sidecar.git.snapshot import Snapshot, capture, read
from sidecar.git.state import Work, open_work
from sidecar.git.swap import Moved
from sidecar.git.worktree import NO_FILE, Signature, parents
from sidecar.model.errors import SidecarError

ATTEMPTS = 3
"""How often it begins anew because a file changed after its capture, before it goes on and saves that file late."""


class Repaired(NamedTuple):
    """What a repair did."""

    snapshot: Snapshot
    """What was there before, also where nothing had to be changed."""
    journal_id: str | None
    """Which part of the trash holds the displaced files; None: nothing had to be changed."""
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    """Were already as they were to be."""
    kept: dict[str, str]
    """Were left alone, with the reason."""
    late: Snapshot | None
    """What somebody wrote between the snapshot and the moment of the move; None: nobody did."""
    index_restored: bool = False
    """Whether the index was brought back too."""


class Recovery(NamedTuple):
    """What became of one interrupted repair."""

    journal_id: str
    outcome: str
    """`forward` (completed), `back` (undone), `nothing` (it had not begun to move anything)."""
    paths: tuple[str, ...]
    left: tuple[str, ...]
    """Were changed by somebody since and stay as they are."""
    late: Snapshot | None


class Repairs:
    """Repairs of one work tree. Every method blocks.

    HEAD, branches and the stash are never written, the index only by `restore(index=True)`; ignored files, submodules
    and nested repositories are never touched.

    Raises (all methods):
        SidecarError: `state-unavailable` (the disk is full, a content is gone, a directory may not be written), `busy`
            (another repair is at work). The work tree is as it was.
    """

    def __init__(self, repository: Repository, state_dir: Path, baselines: Baselines) -> None:
        self._repository = repository
        self._state_dir = state_dir
        self._baselines = baselines

    def rollback(
        self,
        baseline: Baseline,
        paths: Iterable[str],
        *,
        reason: str,
        expected: Mapping[str, Signature] | None = None,
        saved_as: str | None = None,
        also: Iterable[str] = (),
    ) -> Repaired:
        """Brings these paths back to the baseline; what was not there is removed.

        Args:
            reason: for the snapshot.
            expected: what a person was shown; a path that is something else by now raises `Moved`.
            saved_as: the id that the snapshot before is to have, if it is free.
            also: paths that stay as they are and are saved too.
        """
        with open_work(self._repository, self._state_dir) as work, work.state.lock():
            held = self._baselines.held_in(work, baseline, paths)
            kept = {path: one.why for path, one in held.items() if one.kind == "unknown"}
            targets = {path: one.target() for path, one in held.items() if one.kind != "unknown"}
            gone = _to_remove(work, targets)
            kept |= dict.fromkeys(_ignored_in(work, baseline.tree, gone), "it is ignored by git")
            manifest = self._baselines.manifest(work, baseline)
            usual: int = manifest.more["directory"]
            wanted = {
                above: manifest.directories.get(above, usual) for path in targets for above in parents(path)
            }  # fmt: skip
            return _apply(
                work, targets, kept, reason, wanted=wanted, attributes=baseline.tree, expected=expected,
                saved_as=saved_as, also=also,
            )  # fmt: skip

    def restore(
        self,
        snapshot_id: str,
        paths: Iterable[str] | None = None,
        *,
        reason: str,
        index: bool = False,
        expected: Mapping[str, Signature] | None = None,
        saved_as: str | None = None,
    ) -> Repaired:
        """Brings back what a snapshot holds, byte for byte, with permissions and deletions.

        Args:
            paths: only these of its paths.
            index: also the bytes of the index, if HEAD is the one of then and the index holds nothing of a person's
                (nothing is staged, or all of it was brought by the restore that this one takes back); else it stays.

        Raises:
            SidecarError: also `unknown-snapshot`.
        """
        with open_work(self._repository, self._state_dir) as work, work.state.lock():
            _, manifest = read(work, snapshot_id)
            targets, kept = _held(work, manifest, paths)
            return _apply(
                work, targets, kept, reason, wanted=manifest.directories, attributes=None, expected=expected,
                index=manifest.index if index and _index_may_return(work, manifest) else None, saved_as=saved_as,
            )  # fmt: skip

    def restores(self, snapshot_id: str) -> tuple[list[str], bool]:
        """What `restore(index=True)` would change now: these paths, and whether the index would come back too.

        Raises:
            SidecarError: also `unknown-snapshot`.
        """
        with open_work(self._repository, self._state_dir) as work:
            _, manifest = read(work, snapshot_id)
            targets, kept = _held(work, manifest, None)
            # A file that was touched and is as it was needs no move, so signatures alone do not tell.
            here = store_paths(work, [path for path in targets if path not in kept], write=False)
            differs = [path for path, stored in here.items() if not _is(stored, targets[path])]
            return sorted(differs), _index_may_return(work, manifest)

    def apply(
        self,
        targets: Mapping[str, Target],
        *,
        reason: str,
        expected: Mapping[str, Signature] | None = None,
        saved_as: str | None = None,
    ) -> Repaired:
        """Makes every path what its target says: the result of a merge, one worker's version, an editor's text."""
        with open_work(self._repository, self._state_dir) as work, work.state.lock():
            kept = dict.fromkeys(_ignored(work, _to_remove(work, targets)), "it is ignored by git")
            return _apply(
                work, dict(targets), kept, reason, wanted={}, attributes=None, expected=expected, saved_as=saved_as
            )

    def signatures(self, paths: Iterable[str]) -> dict[str, Signature]:
        """What stands at these paths now, for `expected`."""
        with open_work(self._repository, self._state_dir) as work:
            return {path: work.tree.signature(path) for path in paths}

    def recover(self) -> list[Recovery]:
        """Ends what a crash interrupted; called once at start-up, before anything else here."""
        with open_work(self._repository, self._state_dir) as work, work.state.lock():
            work.state.clear()
            found = []
            for one in swap.recover(work):
                late = None
                if one.outcome != "nothing":
                    known = leftovers.captured_before(work, one.journal)
                    late = leftovers.try_to_save_late(work, one.journal, known, "written before an interrupted repair")
                paths = tuple(step.path for step in one.journal.steps)
                found.append(Recovery(one.journal.id, one.outcome, paths, tuple(one.left), late))
            return found

    def trash(self) -> list[Trash]:
        """What the repairs displaced and still lies in the trash."""
        with open_work(self._repository, self._state_dir) as work:
            return leftovers.list_trash(work)

    def empty_trash(self) -> list[Snapshot]:
        """Removes the displaced files. Only while no worker runs: one may still write into a file that it has open.

        Returns:
            Snapshots of what was written into them after they had been displaced.
        """
        with open_work(self._repository, self._state_dir) as work, work.state.lock():
            return leftovers.empty_trash(work)


def _apply(
    work: Work,
    targets: dict[str, Target],
    kept: dict[str, str],
    reason: str,
    *,
    wanted: Mapping[str, int],
    attributes: str | None,
    expected: Mapping[str, Signature] | None,
    index: str | None = None,
    saved_as: str | None = None,
    also: Iterable[str] = (),
) -> Repaired:
    for path, target in list(targets.items()):
        # A file that is put back was no repository's when it was stored, whatever a worker has made around it since.
        if path not in kept and target.kind == "absent" and work.tree.is_repository(path):
            kept[path] = "it belongs to a repository of its own"
        if path in kept:
            del targets[path]
    if expected is not None:
        moved = [path for path in targets if path in expected and work.tree.signature(path) != expected[path]]
        if moved:
            raise Moved(moved)
    more = {} if index is None else {"indexAfter": staged_digest(work, blob=index)}
    for attempt in range(ATTEMPTS):
        snapshot, manifest = capture(
            work, reason, {*targets, *also}, index=index is not None, more=more, saved_as=saved_as
        )  # fmt: skip
        entries = manifest.entries
        if bad := [path for path in targets if entries[path].problem]:
            _forget(work, snapshot)
            raise SidecarError(
                "state-unavailable",
                f"{shown(bad[0])!r} cannot be saved first: {entries[bad[0]].problem}.",
                "Nothing was changed. Mend its permissions, then try again.",
                {"path": bad[0]},
            )
        plan = None if index is None else index_plan(work, manifest.index, blob=index)
        needed = {path: target for path, target in targets.items() if not _is(entries[path], target)}
        unchanged = tuple(sorted(set(targets) - set(needed)))
        if not needed and index is None:
            return Repaired(snapshot, None, (), unchanged, kept, None)
        signatures: dict[str, Signature | None] = {
            # A file that never held still would not be as captured either; what is written into it is saved late.
            path: None if attempt == ATTEMPTS - 1 or entries[path].unstable else entries[path].signature
            for path in needed
        }
        # What a person was shown holds in any case.
        signatures |= {path: expected[path] for path in needed if expected is not None and path in expected}
        changes = [Change(path, target, signatures[path]) for path, target in sorted(needed.items())]
        try:
            journal = swap.swap(
                work, changes, wanted=wanted, attributes=attributes, index=plan,
                about={"snapshot": snapshot.id, "reason": reason},
            )  # fmt: skip
        except Moved as exc:
            # Somebody writes at this very moment. What the person agreed to is no longer so, or we look once more.
            _forget(work, snapshot)
            if expected is not None and any(path in expected for path in exc.paths):
                raise
            continue
        late = leftovers.try_to_save_late(work, journal, entries, f"written during: {reason}")
        return Repaired(snapshot, journal.id, tuple(sorted(needed)), unchanged, kept, late, index is not None)
    raise AssertionError("the last attempt expects nothing, so nothing can have moved")


def _held(
    work: Work, manifest: Manifest, paths: Iterable[str] | None
) -> tuple[dict[str, Target], dict[str, str]]:  # fmt: skip
    """What a snapshot makes of these paths (None: of all it holds), and which of them stay as they are, with why."""
    chosen = manifest.entries if paths is None else {path: manifest.entries.get(path) for path in paths}
    kept: dict[str, str] = {}
    targets: dict[str, Target] = {}
    for path, stored in chosen.items():
        check_path(path)
        if stored is None:
            kept[path] = "the snapshot does not hold it"
        elif stored.signature.kind in NO_FILE:
            targets[path] = NOTHING
        elif stored.oid is None or not stored.kept:
            kept[path] = stored.problem or f"it was a {stored.signature.kind}"
        elif stored.signature.kind == "link":
            targets[path] = Target("link", stored.oid)
        else:
            targets[path] = Target("file", stored.oid, stored.signature.mode)
    return targets, kept | dict.fromkeys(_ignored(work, _to_remove(work, targets)), "it is ignored by git")


def _forget(work: Work, snapshot: Snapshot) -> None:
    commits.delete_refs(work.git, {snapshot.ref: snapshot.commit})


def _is(stored: Stored, target: Target) -> bool:
    """Whether a path is what it is to become, so that it need not be touched."""
    kind = stored.signature.kind
    if target.kind == "absent":
        return kind in NO_FILE
    if target.kind == "committed" or stored.unstable or kind != target.kind or stored.oid != target.oid:
        return False
    return kind == "link" or stored.signature.mode == target.mode


def _to_remove(work: Work, targets: Mapping[str, Target]) -> list[str]:
    """Paths at which something stands that is to go."""
    return [
        path
        for path, target in targets.items()
        if target.kind == "absent" and work.tree.signature(path).kind not in NO_FILE
    ]


def _ignored(work: Work, paths: list[str], *options: str, env: Mapping[str, str] | None = None) -> list[str]:
    """Which of these paths git ignores now."""
    if not paths:
        return []
    # This command knows no literal paths; behind `./` nothing in a name is magic to it.
    asked = nul_list(f"./{path}" for path in paths)
    env = {"GIT_LITERAL_PATHSPECS": "0", **(env or {})}
    status, out, err = work.git.attempt("check-ignore", "-z", *options, "--stdin", stdin=asked, env=env)
    if status not in (0, 1):
        raise SidecarError("state-unavailable", f"git cannot say what is ignored: {err.strip()}", "Run `git status`.")
    return [os.fsdecode(path).removeprefix("./") for path in out.split(b"\0")[:-1]]


def _ignored_in(work: Work, tree: str, paths: list[str]) -> list[str]:
    """Which of these paths were ignored by the rules in `tree`: a worker may have changed the ones on the disk."""
    if not paths:
        return []
    above = {directory for path in paths for directory in parents(path)}
    rules = commits.tree_entries(work.git, tree, [".gitignore", *(f"{directory}/.gitignore" for directory in above)])
    contents = read_blobs(work.git, (entry.oid for entry in rules.values() if entry.mode != commits.LINK))
    with work.state.scratch() as place:
        for path, entry in rules.items():
            if entry.oid in contents:
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).write_bytes(contents[entry.oid])
        env = {"GIT_DIR": os.fspath(work.git.git_dir), "GIT_WORK_TREE": os.fspath(place)}
        return _ignored(work, paths, "--no-index", env=env)


def _index_may_return(work: Work, manifest: Manifest) -> bool:
    head = head_commit(work.git)
    if manifest.index is None or head is None or head != manifest.head:
        return False
    return not staged_against(work.git, head) or staged_digest(work) == manifest.more.get("indexAfter")
