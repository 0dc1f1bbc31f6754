"""Three-way merges and hunks, by git itself on trees of a few files; work tree and index are never looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.git.blobs import check_oid, read_blobs, store_bytes, store_many
from sidecar.git.commits import FILE, LINK, Entry, commit, tree_entries, write_tree
from sidecar.git.plumbing import check_path, nul_list, shown
from sidecar.git.repository import Repository
from sidecar.git.scratch import scratch_repository
from sidecar.git.state import Work, open_work
from sidecar.git.worktree import parents
from sidecar.model.errors import SidecarError

Versions = Mapping[str, Entry | None]
"""Files of one version by path; None: it is not there. A path that is missing is as in the base."""

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Conflict(NamedTuple):
    """Why a path does not merge."""

    kind: str
    """git's word: `contents` (also where both added the path), `binary`, `modify/delete`, `rename/delete`, …"""
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None
    marked: bytes | None
    """The text with conflict markers (diff3) where both sides are text, else None."""


class Merged(NamedTuple):
    """What a path becomes."""

    entry: Entry | None
    """Mode and blob (stored in the repository); None: the file is gone, or `conflict` is set."""
    conflict: Conflict | None = None


class MergeResult(NamedTuple):
    """A merge of several versions."""

    clean: bool
    files: dict[str, Merged]
    """By path: every path of any version, and the ones that a rename brought in."""


class Hunk(NamedTuple):
    """Lines `old_start`… (from 1, `old_count` of them) became lines `new_start`… A count of 0: behind that line."""

    old_start: int
    old_count: int
    new_start: int
    new_count: int


class Merges:
    """Merges over one repository. Every method blocks.

    Merge drivers that somebody configured do not run. `.gitattributes` are heeded in two ways: a file with `-merge`
    is never merged line by line, one with `merge=union` never conflicts by its lines.

    Raises (all methods):
        SidecarError: `state-unavailable` where a blob is missing, or git fails.
    """

    def __init__(self, repository: Repository, state_dir: Path) -> None:
        self._repository = repository
        self._state_dir = state_dir

    def merge_versions(self, base: Versions, versions: Sequence[Versions], labels: Sequence[str]) -> MergeResult:
        """Merges versions that all began from `base`: the first two, then the result with the next, and so on.

        A path that conflicts keeps the conflict of the first pair that met it.

        Args:
            base: what each path was.
            versions: one for each writer.
            labels: what the conflict markers call them.
        """
        with open_work(self._repository, self._state_dir) as work:
            paths = sorted({check_path(path) for version in (base, *versions) for path in version})
            sample = next((entry.oid for version in (base, *versions) for entry in version.values() if entry), None)
            if sample is None or len(versions) < 2:
                only = versions[0] if versions else {}
                return MergeResult(True, {path: Merged(only.get(path, base.get(path))) for path in paths})
            with scratch_repository(work, sample) as scratch:
                start = {path: entry for path, entry in base.items() if entry is not None}
                ours = {**start, **versions[0]}
                conflicts: dict[str, Conflict] = {}
                for number, version in enumerate(versions[1:], 1):
                    theirs = {**start, **version}
                    for path in conflicts:
                        theirs[path] = ours[path] = start.get(path)
                    names = (_label(" + ".join(labels[:number])), "baseline", _label(labels[number]))
                    ours, found = _merge_two(scratch, start, ours, theirs, names)
                    conflicts |= found
                _heed_attributes(work, scratch, start, versions, ours, conflicts, labels)
                _bring_home(work, scratch, ours, {entry.oid for entry in _all(base, *versions)})
            files = {path: Merged(ours.get(path)) for path in {*paths, *ours}}
            files |= {path: Merged(None, conflict) for path, conflict in conflicts.items()}
            return MergeResult(not conflicts, files)

    def merge_file(
        self, base: bytes, ours: bytes, theirs: bytes, labels: tuple[str, str, str] = ("ours", "baseline", "theirs")
    ) -> tuple[bytes, int]:
        """One text merged three ways: the result, with diff3 markers where it conflicts, and how often it does.

        Args:
            labels: what the markers call ours, base and theirs.

        Raises:
            SidecarError: `invalid-arguments` where one is no text.
        """
        with open_work(self._repository, self._state_dir) as work:
            return _merge_file(work, base, ours, theirs, labels)

    def hunks(self, pairs: Sequence[tuple[str | None, str | None]]) -> list[list[Hunk] | None]:
        """The hunks between each old and new blob (None: nothing was there), all by one diff; None: it is no text."""
        sample = next((oid for pair in pairs for oid in pair if oid), None)
        if sample is None:
            return [[] for _ in pairs]
        with open_work(self._repository, self._state_dir) as work, scratch_repository(work, sample) as scratch:
            nothing = store_bytes(scratch.git, b"")
            sides = [
                write_tree(
                    scratch.git,
                    {str(number): Entry(FILE, check_oid(pair[side] or nothing)) for number, pair in enumerate(pairs)},
                )
                for side in (0, 1)
            ]
            return _read_hunks(scratch, sides[0], sides[1], len(pairs))


def _all(*versions: Versions) -> list[Entry]:
    return [entry for version in versions for entry in version.values() if entry is not None]


def _label(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:200] or "?"


def _merge_two(
    scratch: Work, base: Versions, ours: Versions, theirs: Versions, labels: tuple[str, str, str]
) -> tuple[dict[str, Entry | None], dict[str, Conflict]]:
    trees = []
    for side in (base, ours, theirs):
        present = {path: entry for path, entry in side.items() if entry is not None}
        if both := _collisions(present):
            raise SidecarError("invalid-arguments", f"{shown(min(both))!r} would be a file and a directory at once.")
        trees.append(write_tree(scratch.git, {_flat(path): entry for path, entry in present.items()}))
    # git 2.39 has no --merge-base: the base has to be a real parent.
    root = commit(scratch.git, trees[0], [], "base\n")
    one = commit(scratch.git, trees[1], [root], "ours\n")
    other = commit(scratch.git, trees[2], [root], "theirs\n")
    status, out, err = scratch.git.attempt("merge-tree", "--write-tree", "-z", "--messages", one, other)
    if status not in (0, 1):
        raise SidecarError("state-unavailable", f"git cannot merge: {err.strip() or status}", "See the log.")
    tree, stages, kinds = _read_merge(out)
    merged = {_unflat(name): entry for name, entry in tree_entries(scratch.git, tree).items()}
    conflicts: dict[str, Conflict] = {}
    if status == 1:
        texts = read_blobs(
            scratch.git, (merged[path].oid for path in stages if path in merged and kinds.get(path) == "contents")
        )
        for path in stages.keys() | {path for path, kind in kinds.items() if "/" in kind}:
            sides = stages.get(path, {})
            kind = kinds.get(path, "contents")
            marked = texts.get(merged[path].oid) if path in merged and kind == "contents" else None
            if marked is not None:
                marked = _relabel(marked, (one, root, other), labels)
            conflicts[path] = Conflict(kind, sides.get(1), sides.get(2), sides.get(3), marked)
    for path in _collisions(merged.keys() - conflicts.keys()):
        conflicts[path] = Conflict("file/directory", base.get(path), ours.get(path), theirs.get(path), None)
    result: dict[str, Entry | None] = {path: entry for path, entry in merged.items() if path not in conflicts}
    return result, conflicts


# One flat tree instead of a hundred small ones: nearly all the time of a merge goes into writing trees.
_FLAT = str.maketrans({"/": "\x01", "\x01": "\x02\x01", "\x02": "\x02\x02"})
_UNFLAT = re.compile("\x02(.)|\x01")


def _flat(path: str) -> str:
    return path.translate(_FLAT)


def _unflat(name: str) -> str:
    return _UNFLAT.sub(lambda match: match[1] or "/", name)


def _collisions(paths: Iterable[str]) -> set[str]:
    """Paths that are a file here and a directory there."""
    all_of_them = set(paths)
    return all_of_them.intersection(above for path in all_of_them for above in parents(path))


def _read_merge(out: bytes) -> tuple[str, dict[str, dict[int, Entry]], dict[str, str]]:
    """The result tree, the stages of each path in conflict, and the kind of conflict that git names for it."""
    fields = out.split(b"\0")
    tree = fields[0].decode()
    stages: dict[str, dict[int, Entry]] = {}
    at = 1
    while at < len(fields) and fields[at]:
        about, _, path = fields[at].partition(b"\t")
        mode, oid, stage = about.decode().split()
        stages.setdefault(_unflat(os.fsdecode(path)), {})[int(stage)] = Entry(mode, oid)
        at += 1
    kinds: dict[str, str] = {}
    at += 1
    while at < len(fields) and fields[at]:
        count = int(fields[at])
        paths, kind = fields[at + 1 : at + 1 + count], fields[at + 1 + count].decode()
        if kind.startswith("CONFLICT (") and paths:
            kinds.setdefault(_unflat(os.fsdecode(paths[0])), kind[len("CONFLICT (") :].rstrip(")"))
        at += count + 3
    return tree, stages, kinds


def _relabel(text: bytes, commits: tuple[str, str, str], labels: tuple[str, str, str]) -> bytes:
    """Puts names for people where git wrote its names for the three commits; nothing else can hold those."""
    for marker, oid, label in zip((b"<<<<<<< ", b"||||||| ", b">>>>>>> "), commits, labels, strict=True):
        pattern = rb"(?m)^" + re.escape(marker) + re.escape(oid[:7].encode()) + rb"[0-9a-f]*(:.*)?$"

        # Behind the colon stands the path, where the sides have different ones.
        def line(match: re.Match[bytes], begin: bytes = marker + label.encode("utf-8", "replace")) -> bytes:
            return begin + os.fsencode(_unflat(os.fsdecode(match[1] or b"")))

        text = re.sub(pattern, line, text)
    return text


def _heed_attributes(
    work: Work, scratch: Work, base: Versions, versions: Sequence[Versions], ours: dict[str, Entry | None],
    conflicts: dict[str, Conflict], labels: Sequence[str],
) -> None:  # fmt: skip
    """Applies `-merge` and `merge=union`; drivers by other names are left out."""
    inputs = {entry.oid for entry in _all(base, *versions)}
    blended = [path for path, entry in ours.items() if entry is not None and entry.oid not in inputs]
    asked = sorted({*blended, *(path for path, conflict in conflicts.items() if conflict.marked is not None)})
    if not asked:
        return
    fields = work.git.records("check-attr", "-z", "--stdin", "merge", stdin=nul_list(asked))
    for name, value in zip(fields[0::3], fields[2::3], strict=True):
        path = os.fsdecode(name)
        if value == b"unset" or value == b"binary":
            sides = [version.get(path, base.get(path)) for version in versions]
            conflicts[path] = Conflict("binary", base.get(path), sides[0], sides[-1], None)
            ours.pop(path, None)
        elif value == b"union" and path in conflicts:
            conflict = conflicts[path]
            if conflict.base and conflict.ours and conflict.theirs and len(versions) == 2:
                texts = read_blobs(scratch.git, [conflict.base.oid, conflict.ours.oid, conflict.theirs.oid])
                three = (texts[conflict.base.oid], texts[conflict.ours.oid], texts[conflict.theirs.oid])
                text, _ = _merge_file(work, *three, ("", "", ""), union=True)
                ours[path] = Entry(conflict.ours.mode, store_bytes(scratch.git, text))
                del conflicts[path]


def _bring_home(work: Work, scratch: Work, files: Versions, known: set[str]) -> None:
    """Stores the contents that only the scratch repository has in the real one."""
    new = sorted({entry.oid for entry in files.values() if entry is not None and entry.mode != LINK} - known)
    contents = read_blobs(scratch.git, new)
    # A merge is tried more often than it is used, and it could be done again.
    stored = store_many(work, [contents[oid] for oid in new], env=work.git.unsynced)
    if stored != new:
        raise SidecarError("internal", "A merged file changed its id on the way home.")


def _merge_file(
    work: Work, base: bytes, ours: bytes, theirs: bytes, labels: tuple[str, str, str], *, union: bool = False
) -> tuple[bytes, int]:
    with work.state.scratch() as directory:
        names = [directory / name for name in ("ours", "base", "theirs")]
        for path, data in zip(names, (ours, base, theirs), strict=True):
            path.write_bytes(data)
        options = [word for label in labels for word in ("-L", _label(label))]
        style = "--union" if union else "--diff3"
        status, out, err = work.git.attempt("merge-file", "-p", "-q", style, *options, "--", *map(str, names))
    if not 0 <= status < 128:
        raise SidecarError("invalid-arguments", f"This cannot be merged as text: {err.strip()}", "Take one side whole.")
    return out, status


def _read_hunks(scratch: Work, before: str, after: str, count: int) -> list[list[Hunk] | None]:
    out = scratch.git.run(
        "diff-tree", "-r", "-p", "-U0", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
        "--histogram", before, after,
    )  # fmt: skip
    found: list[list[Hunk] | None] = [[] for _ in range(count)]
    here = -1
    for line in out.split(b"\n"):
        # The lines of the files themselves begin with `+`, `-`, or a backslash.
        if line.startswith(b"diff --git "):
            here = int(line.rpartition(b" b/")[2])
        elif line.startswith(b"Binary files "):
            found[here] = None
        elif (match := _HUNK.match(line)) and (hunks := found[here]) is not None:
            old_start, old_count, new_start, new_count = (1 if part is None else int(part) for part in match.groups())
            hunks.append(Hunk(old_start, old_count, new_start, new_count))
    return found
