"""One look at a whole work tree for a baseline: what is uncommitted, and what git's objects do not say of the rest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from sidecar.git import clean
from sidecar.git.blobs import Stored, store_paths
from sidecar.git.listing import head_commit, list_changes
from sidecar.git.manifest import Manifest, directory_modes, tree_mode
from sidecar.git.plumbing import Git
from sidecar.git.repository import Repository
from sidecar.git.state import Work


class Survey(NamedTuple):
    """What was found."""

    head: str | None
    """The commit that HEAD named all the while; None: there is none."""
    dirty: tuple[str, ...]
    """Paths of which no commit holds the content; submodules and nested repositories among them."""
    tree: str | None
    """A tree of everything; None: the empty one."""
    manifest: Manifest


class _Changes(NamedTuple):
    files: list[str]
    submodules: list[str]
    repositories: list[str]
    ignored: list[str]
    """A directory that is ignored as a whole stands for all in it, with a `/` at its end."""


class _Told(NamedTuple):
    """What git tells, while this process looks at the files itself."""

    moved: bool
    head: str | None
    tree: str | None
    changes: _Changes
    settings: dict[str, str]


def survey(repository: Repository, work: Work) -> Survey | None:
    """Looks at everything and stores the contents that no commit holds. Blocks (two to three `git status`).

    Returns:
        None where HEAD moved meanwhile.
    """
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(_ask, repository)
        tracked, hidden = clean.tracked_paths(work.git)
        bits = clean.permission_bits(work.git.top, tracked)
        above = {path.rpartition(b"/")[0] for path in tracked}
        told = pending.result()
    if told.moved:
        return None
    changes = told.changes
    hidden_files = [path for path in map(os.fsdecode, hidden) if os.path.lexists(os.path.join(work.git.top, path))]
    captured = sorted({*changes.files, *hidden_files})
    not_clean = {os.fsencode(path) for path in captured}
    exact, converted = clean.converted(work.git, told.settings, tracked, not_clean)
    entries = store_paths(work, captured, large="note")
    tree = _tree(work, entries) if entries else told.tree
    entries |= store_paths(work, exact)
    modes = clean.modes(told.settings, bits, not_clean)
    return Survey(
        head=told.head,
        dirty=tuple(sorted({*changes.files, *changes.repositories, *changes.submodules})),
        tree=tree,
        manifest=_manifest(work, told.head, changes, entries, map(os.fsdecode, above), modes, converted),
    )


def _ask(repository: Repository) -> _Told:
    # The other core is busy with the files meanwhile; git's own threads would only be in the way.
    with repository.plumbing(("core.preloadIndex", "false")) as git:
        head = head_commit(git)
        seen, changes = _changes(git, head)
        tree = git.text("rev-parse", "--verify", f"{head}^{{tree}}") if head else None
        return _Told(seen != head, head, tree, changes, clean.settings(git))


def _changes(git: Git, head: str | None) -> tuple[str | None, _Changes]:
    """What is uncommitted, and what HEAD was when git looked."""
    options = (
        "--branch", "--no-ahead-behind", "-uall", "--ignored=matching", "--no-renames", "--ignore-submodules=dirty",
    )  # fmt: skip
    status, out, _ = git.attempt("status", "--porcelain=v2", "-z", *options)
    if status != 0:
        # A filter that some file requires is missing; the plumbing underneath runs none.
        listing = list_changes(git, head)
        ignored = [*map(os.fsdecode, git.records("ls-files", "-o", "-i", "-z", "--exclude-standard", "--directory"))]
        changes = _Changes(listing.paths(), list(listing.submodules), list(listing.repositories), ignored)
        return head_commit(git), changes
    found = _Changes([], [], [], [])
    seen = None
    for record in out.split(b"\0")[:-1]:
        kind, rest = record[:1], os.fsdecode(record[2:])
        if kind == b"#":
            key, _, value = rest.partition(" ")
            if key == "branch.oid" and value != "(initial)":
                seen = value
        elif kind == b"!":
            found.ignored.append(rest)
        elif kind == b"?":
            (found.repositories if rest.endswith("/") else found.files).append(rest.rstrip("/"))
        else:
            fields = rest.split(" ", 9 if kind == b"u" else 7)
            (found.submodules if fields[1].startswith("S") else found.files).append(fields[-1])
    return seen, found


def _tree(work: Work, uncommitted: Mapping[str, Stored]) -> str:
    """The tree of the index with the uncommitted files in it by their exact bytes."""
    zero = "0" * len(next((stored.oid for stored in uncommitted.values() if stored.oid), "0" * 40))
    removed, added = [], []
    for path, stored in uncommitted.items():
        # No index takes a name with `.git` in it; the manifest holds the file.
        if stored.problem or any(part.lower() == ".git" for part in path.split("/")):
            continue
        # First all of its stages go, then what is on the disk comes in.
        removed.append(f"0 {zero}\t".encode() + os.fsencode(path) + b"\0")
        if stored.oid is not None:
            added.append(f"{tree_mode(stored)} {stored.oid}\t".encode() + os.fsencode(path) + b"\0")
    with work.state.scratch() as directory:
        private = directory / "index"
        if (work.git.git_dir / "index").exists():
            private.write_bytes((work.git.git_dir / "index").read_bytes())
        env = {"GIT_INDEX_FILE": os.fspath(private)}
        lines = b"".join((*removed, *added))
        work.git.run("update-index", "--add", "--replace", "-z", "--index-info", stdin=lines, env=env)
        return work.git.text("write-tree", "--missing-ok", env=env)


def _manifest(
    work: Work, head: str | None, changes: _Changes, entries: dict[str, Stored], above: Iterable[str],
    modes: clean.Modes, converted: list[str],
) -> Manifest:  # fmt: skip
    directories = directory_modes(work.tree, (*(f"{path}/x" for path in above if path), *entries))
    common = Counter(directories.values()).most_common(1)
    directory = common[0][0] if common else 0o777 & ~clean.umask()
    return Manifest(
        head=head,
        entries=entries,
        directories={path: mode for path, mode in directories.items() if mode != directory},
        repositories=changes.repositories,
        submodules=changes.submodules,
        more={
            "modes": modes.odd, "plain": modes.plain, "executable": modes.executable, "directory": directory,
            "ignored": changes.ignored, "converted": converted,
        },
    )  # fmt: skip
