"""What differs from the last commit, in the work tree and in the index, as git's plumbing lists it.

Submodules and nested repositories are seen and never entered: git would execute there what their configuration names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidecar.git.commits import SUBMODULE, Entry
from sidecar.git.plumbing import Git

SHALLOW_LOOK = "--ignore-submodules=dirty"


class Raw(NamedTuple):
    """One line of git's raw diff. An absent side has mode `000000`; the id of a changed work tree file is zeros."""

    path: str
    status: str
    old: Entry
    new: Entry


class Listing(NamedTuple):
    """Everything in a work tree that is not simply what HEAD says. Paths relative to the top, `/`-separated."""

    changed: tuple[str, ...]
    """Tracked paths whose file differs from the index, or may: modified, deleted, other mode, unmerged."""
    staged: tuple[Raw, ...]
    """Index against HEAD (the whole index where there is no commit)."""
    unmerged: tuple[tuple[str, Entry], ...]
    """Entries of stages 1 to 3, one for each."""
    untracked: tuple[str, ...]
    hidden: tuple[str, ...]
    """Tracked paths that git is told not to look at: assume-unchanged, skip-worktree."""
    repositories: tuple[str, ...]
    """Nested repositories."""
    submodules: tuple[str, ...]
    """Submodules in which another commit is checked out, or that are added or gone."""

    def paths(self) -> list[str]:
        """Every path that `git status` would name; the hidden ones are not among them."""
        staged = (raw.path for raw in self.staged if SUBMODULE not in (raw.old.mode, raw.new.mode))
        return sorted({*self.changed, *staged, *self.untracked})


def raw_diff(records: Sequence[bytes]) -> Iterator[Raw]:
    """Reads what `diff-files`, `diff-index` and `diff-tree` print with `-z` and without rename detection."""
    for about, path in zip(records[0::2], records[1::2], strict=True):
        old_mode, new_mode, old, new, status = about[1:].decode().split()
        yield Raw(os.fsdecode(path), status[0], Entry(old_mode, old), Entry(new_mode, new))


def empty_tree(git: Git) -> str:
    """The id of the empty tree; git knows it without its being stored."""
    return git.text("hash-object", "-t", "tree", "--stdin", stdin=b"")


def head_commit(git: Git) -> str | None:
    """The commit that HEAD names; None on a branch without one."""
    status, out, _ = git.attempt("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return out.decode().strip() if status == 0 else None


def staged_against(git: Git, tree: str) -> list[Raw]:
    """The index against a tree or commit."""
    return list(raw_diff(git.records("diff-index", "-z", "--cached", "--no-renames", SHALLOW_LOOK, tree, "--")))


def untracked_paths(git: Git) -> tuple[list[str], list[str]]:
    """Untracked files that are not ignored, and nested repositories."""
    files: list[str] = []
    repositories: list[str] = []
    for record in git.records("ls-files", "-o", "-z", "--exclude-standard"):
        path = os.fsdecode(record)
        (repositories if path.endswith("/") else files).append(path.rstrip("/"))
    return files, repositories


def hidden_paths(git: Git) -> list[str]:
    """Tracked paths with the bits assume-unchanged or skip-worktree."""
    return [
        os.fsdecode(record[2:])
        for record in git.records("ls-files", "-v", "-z")
        if record[:1].islower() or record[:1] == b"S"
    ]


def list_changes(git: Git, head: str | None) -> Listing:
    """Looks at the whole work tree. Blocks (about as long as `git status`). Takes no lock and writes nothing.

    Args:
        head: the commit to compare the index with; None: there is none.
    """
    staged = staged_against(git, head or empty_tree(git))
    changed: list[str] = []
    submodules = [raw.path for raw in staged if SUBMODULE in (raw.old.mode, raw.new.mode)]
    unmerged = False
    for raw in raw_diff(git.records("diff-files", "-z", "--no-renames", SHALLOW_LOOK, env=git.without_filters)):
        unmerged = unmerged or raw.status == "U"
        if SUBMODULE in (raw.old.mode, raw.new.mode):
            submodules.append(raw.path)
        else:
            changed.append(raw.path)
    stages = []
    if unmerged or any(raw.status == "U" for raw in staged):
        for record in git.records("ls-files", "-u", "-z"):
            about, _, path = record.partition(b"\t")
            mode, oid, _ = about.decode().split()
            stages.append((os.fsdecode(path), Entry(mode, oid)))
    untracked, repositories = untracked_paths(git)
    return Listing(
        changed=tuple(dict.fromkeys(changed)),
        staged=tuple(staged),
        unmerged=tuple(stages),
        untracked=tuple(untracked),
        hidden=tuple(hidden_paths(git)),
        repositories=tuple(repositories),
        submodules=tuple(sorted(set(submodules))),
    )
