"""Making a work tree clean without losing a byte: what `onDirty: "stash"` does. git's own stash is not touched."""

from __future__ import annotations

import os
from pathlib import Path

from sidecar.git import commits
from sidecar.git.commits import Entry
from sidecar.git.index import index_plan, is_locked, locked
from sidecar.git.journal import NOTHING, Change, Target
from sidecar.git.leftovers import try_to_save_late
from sidecar.git.listing import head_commit, hidden_paths
from sidecar.git.plumbing import shown
from sidecar.git.repository import Repository
from sidecar.git.snapshot import capture
from sidecar.git.state import open_work
from sidecar.git.swap import Moved, swap
from sidecar.git.worktree import Signature
from sidecar.model.errors import SidecarError

IN_PROGRESS = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "BISECT_LOG")
ATTEMPTS = 4


def put_aside(repository: Repository, state_dir: Path, reason: str) -> str | None:
    """Saves all uncommitted work in a snapshot, then sets tracked files and index to HEAD and removes untracked files.

    Ignored files, submodules and nested repositories stay. Blocks.

    Returns:
        The snapshot; None where there was nothing to put aside.

    Raises:
        SidecarError: `dirty-tree` where nothing can be put aside (no commit yet, a merge in progress); `busy` where
            another git holds the index. Nothing was changed.
    """
    with open_work(repository, state_dir) as work, work.state.lock():
        head = head_commit(work.git)
        if head is None:
            raise _cannot("There is no commit to go back to.", "Make a first commit, or use onDirty `snapshot`.")
        for name in IN_PROGRESS:
            if os.path.lexists(work.git.git_dir / name):
                raise _cannot(f"git is in the middle of something ({name}).", "End or abort it, or use `snapshot`.")
        if is_locked(work):
            raise locked()
        if not repository.dirty_paths():
            return None
        tree = work.git.text("rev-parse", "--verify", f"{head}^{{tree}}")
        for _ in range(ATTEMPTS):
            snapshot, manifest = capture(work, reason)
            hidden = set(hidden_paths(work.git))
            paths = [path for path in manifest.entries if path not in hidden]
            if bad := [path for path in paths if manifest.entries[path].problem]:
                raise _cannot(f"{shown(bad[0])!r} cannot be read.", "Mend its permissions, or use `snapshot`.")
            entries = commits.tree_entries(work.git, tree, paths) if paths else {}
            changes = [_change(path, manifest.entries[path].signature, entries.get(path)) for path in paths]
            try:
                plan = index_plan(work, manifest.index, tree=tree)
                about = {"snapshot": snapshot.id, "reason": reason}
                journal = swap(work, changes, wanted=manifest.directories, attributes=tree, index=plan, about=about)
            except Moved:
                commits.delete_refs(work.git, {snapshot.ref: snapshot.commit})
                continue
            try_to_save_late(work, journal, manifest.entries, f"written while this was put aside: {snapshot.id}")
            return snapshot.id
    raise SidecarError("busy", "The files kept changing while they were put aside.", "Stop what writes them first.")


def _change(path: str, present: Signature, entry: Entry | None) -> Change:
    if entry is None or entry.mode in (commits.DIRECTORY, commits.SUBMODULE):
        return Change(path, NOTHING, present)
    if entry.mode == commits.LINK:
        return Change(path, Target("link", entry.oid), present)
    # A file that was private stays private; git itself would forget that.
    bits = None
    if present.kind == "file":
        bits = present.mode & ~0o111
        if entry.mode == commits.EXECUTABLE:
            bits |= (bits & 0o444) >> 2
    return Change(path, Target("committed", entry.oid, bits, entry.mode), present)


def _cannot(why: str, hint: str) -> SidecarError:
    return SidecarError("dirty-tree", f"The uncommitted work cannot be put aside. {why}", hint)
