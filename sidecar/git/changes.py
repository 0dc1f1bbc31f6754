"""The work tree against a baseline or any tree: which files differ and how, untracked ones included, ignored ones not.

Files are compared by their bytes. Submodules and nested repositories are named and never entered.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.git.baseline import Baseline, Baselines
from sidecar.git.blobs import LARGE_BYTES, Large, Stored, store_files, store_many, store_paths
from sidecar.git.commits import DIRECTORY, EXECUTABLE, FILE, LINK, SUBMODULE, Entry, tree_entries, write_tree
from sidecar.git.listing import SHALLOW_LOOK, hidden_paths, raw_diff, untracked_paths
from sidecar.git.manifest import Manifest, tree_mode
from sidecar.git.plumbing import Git, quoted_lines
from sidecar.git.repository import Repository
from sidecar.git.scratch import scratch_repository
from sidecar.git.state import Work, open_work
from sidecar.git.worktree import NO_FILE, Signature
from sidecar.model.job import Change

NOT_HASHED = ""


class PathChange(NamedTuple):
    """One path that differs. An entry's id is `NOT_HASHED` where the file is above `LARGE_BYTES` or cannot be read."""

    path: str
    kind: Change
    """`mode`: only the executable bit. A submodule or nested repository has entries of mode `160000`."""
    old_path: str | None
    """Where a renamed file was before."""
    old: Entry | None
    new: Entry | None
    signature: Signature
    """What stands there now."""


class _Old(NamedTuple):
    entry: Entry | None
    exact: bool
    """Whether the blob is what was on the disk."""
    signature: Signature | None = None
    """Of a file that was only noted."""


def changed_paths(
    repository: Repository,
    state_dir: Path,
    base: Baseline | str,
    baselines: Baselines,
    *,
    store: bool = False,
    large: Large = "note",
) -> list[PathChange]:
    """What differs from `base` now, sorted by path. Blocks (about as long as `git status`).

    Args:
        base: a baseline, or the id of a tree.
        store: keep the new contents as blobs.
        large: what to do with files above `LARGE_BYTES`; `note`: they count as modified where a stat says so.
    """
    with open_work(repository, state_dir) as work:
        tree = base if isinstance(base, str) else base.tree
        manifest = Manifest() if isinstance(base, str) else baselines.manifest(work, base)
        old, submodules = _old_side(work, tree, manifest)
        files, repositories = untracked_paths(work.git)
        for path in files:
            old.setdefault(path, _Old(None, exact=True))
        for path, entry in manifest.entries.items():
            with contextlib.suppress(PermissionError):
                if entry.signature == work.tree.signature(path):
                    del old[path]
        stored = store_paths(work, sorted(old), write=store, large=large)
        suspects = [path for path, before in old.items() if _differs(before, stored[path]) and not before.exact]
        same = _clean(work.git, {path: old[path] for path in suspects if stored[path].signature.kind == "file"})
        found = [
            change
            for path, before in old.items()
            if path not in same and (change := _change(path, before, stored[path])) is not None
        ]
        for path in repositories:
            if path not in manifest.repositories and path not in submodules:
                signature = work.tree.signature(path)
                found.append(PathChange(path, "added", None, None, Entry(SUBMODULE, NOT_HASHED), signature))
        for path, (before_entry, after) in submodules.items():
            kind: Change = "added" if before_entry is None else "deleted" if after is None else "modified"
            found.append(PathChange(path, kind, None, before_entry, after, work.tree.signature(path)))
        if any(change.kind == "mode" for change in found) and not _bits_count(work.git):
            found = [change for change in found if change.kind != "mode"]
        return sorted(_renamed(work, found), key=lambda change: os.fsencode(change.path))


def _old_side(
    work: Work, tree: str, manifest: Manifest
) -> tuple[dict[str, _Old], dict[str, tuple[Entry | None, Entry | None]]]:
    """Everything that may differ with what it was, and the submodules that do."""
    old: dict[str, _Old] = {}
    submodules: dict[str, tuple[Entry | None, Entry | None]] = {}
    look = ("diff-index", "-z", "--no-renames", SHALLOW_LOOK, tree, "--")
    for raw in raw_diff(work.git.records(*look, env=work.git.without_filters)):
        before, after = _side(raw.old), _side(raw.new)
        if SUBMODULE in (raw.old.mode, raw.new.mode):
            submodules[raw.path] = (before, after)
        if raw.path not in submodules or (before is not None and before.mode != SUBMODULE):
            old[raw.path] = _Old(None if before and before.mode == SUBMODULE else before, exact=False)
    hidden = [path for path in hidden_paths(work.git) if path not in old]
    hidden = [path for path in hidden if os.path.lexists(os.path.join(work.git.top, path))]
    if hidden:
        entries = tree_entries(work.git, tree, hidden)
        old |= {path: _Old(entries.get(path), exact=False) for path in hidden}
    for path, stored in manifest.entries.items():
        if stored.oid is not None and stored.kept:
            old[path] = _Old(Entry(tree_mode(stored), stored.oid), exact=True)
        elif stored.signature.kind in NO_FILE:
            old[path] = _Old(None, exact=True)
        else:
            old[path] = _Old(Entry(tree_mode(stored), NOT_HASHED), exact=True, signature=stored.signature)
    return old, submodules


def _side(entry: Entry) -> Entry | None:
    return None if entry.mode in ("000000", DIRECTORY) else entry


def _now(stored: Stored) -> Entry | None:
    if stored.signature.kind in NO_FILE:
        return None
    return Entry(tree_mode(stored), stored.oid or NOT_HASHED)


def _differs(old: _Old, stored: Stored) -> bool:
    now = _now(stored)
    if old.entry is None or now is None:
        return old.entry is not now
    if old.signature is not None and stored.oid is None:
        return not old.signature.same_file(stored.signature)
    return (old.entry.oid, old.entry.mode == LINK) != (now.oid, now.mode == LINK)


def _change(path: str, old: _Old, stored: Stored) -> PathChange | None:
    now = _now(stored)
    kind: Change
    if _differs(old, stored):
        kind = "added" if old.entry is None else "deleted" if now is None else "modified"
    elif old.entry is not None and now is not None and old.entry.mode != now.mode:
        kind = "mode"
    else:
        return None
    return PathChange(path, kind, None, old.entry, now, stored.signature)


def _clean(git: Git, suspects: Mapping[str, _Old]) -> set[str]:
    """Which files are what was committed once git's conversions (a person's filters, line ends) are undone."""
    if not suspects:
        return set()
    status, out, _ = git.attempt("hash-object", "--stdin-paths", stdin=quoted_lines(suspects))
    if status != 0:
        # One file's filter fails or the file has gone; asked one by one, the others still get their answer.
        return _clean_one_by_one(git, suspects)
    return {
        path for (path, old), oid in zip(suspects.items(), out.decode().split(), strict=True)
        if old.entry is not None and old.entry.oid == oid and old.entry.mode in (FILE, EXECUTABLE)
    }  # fmt: skip


def _clean_one_by_one(git: Git, suspects: Mapping[str, _Old]) -> set[str]:
    if len(suspects) == 1:
        return set()
    items = list(suspects.items())
    half = len(items) // 2
    return _clean(git, dict(items[:half])) | _clean(git, dict(items[half:]))


def _bits_count(git: Git) -> bool:
    status, out, _ = git.attempt("config", "--type=bool", "--get", "core.fileMode")
    return status != 0 or out.strip() != b"false"


def _renamed(work: Work, changes: list[PathChange]) -> list[PathChange]:
    """Joins a deletion and an addition of similar content to one renaming, as git finds them."""
    gone = {change.path: change for change in changes if change.kind == "deleted" and _comparable(change.old)}
    come = {change.path: change for change in changes if change.kind == "added" and _comparable(change.new)}
    if not gone or not come:
        return changes
    sample = next(iter(gone.values())).old
    assert sample is not None
    with scratch_repository(work, sample.oid) as scratch:
        files = [work.git.top / path for path, change in come.items() if change.new and change.new.mode != LINK]
        files = [path for path in files if os.path.isfile(path) and path.stat().st_size <= LARGE_BYTES]
        store_files(scratch.git, files)
        links = [path for path, change in come.items() if change.new and change.new.mode == LINK]
        store_many(scratch, [work.tree.link_target(path) for path in links if work.tree.signature(path).kind == "link"])
        before = write_tree(scratch.git, _entries((path, change.old) for path, change in gone.items()), checked=False)
        after = write_tree(scratch.git, _entries((path, change.new) for path, change in come.items()), checked=False)
        status, out, _ = scratch.git.attempt("diff-tree", "-r", "-z", "-M", "--raw", before, after)
    if status != 0:
        return changes  # A file went away meanwhile; what was found stands without the renames.
    pairs: dict[str, str] = {}
    fields = iter(out.split(b"\0")[:-1])
    for about in fields:
        first = os.fsdecode(next(fields))
        if about.split()[-1].startswith(b"R"):
            pairs[os.fsdecode(next(fields))] = first
    joined = [
        change._replace(kind="renamed", old_path=pairs[change.path], old=gone[pairs[change.path]].old)
        if change.path in pairs and change.kind == "added"
        else change
        for change in changes
    ]
    sources = set(pairs.values())
    return [change for change in joined if not (change.kind == "deleted" and change.path in sources)]


def _comparable(entry: Entry | None) -> bool:
    return entry is not None and entry.mode != SUBMODULE and entry.oid != NOT_HASHED


def _entries(pairs: Iterable[tuple[str, Entry | None]]) -> dict[str, Entry]:
    return {path: entry for path, entry in pairs if entry is not None}
