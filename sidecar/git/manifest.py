"""What a capture says about itself, as JSON: every path with its kind, mode, times and blob, and what was left out."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from sidecar.git.blobs import Stored
from sidecar.git.commits import EXECUTABLE, FILE, LINK, Entry
from sidecar.git.worktree import Signature, WorkTree, parents

VERSION = 1


class Manifest(msgspec.Struct, kw_only=True):
    """The content of `manifest.json` in a snapshot's or a baseline's commit."""

    head: str | None = None
    """The commit that HEAD named."""
    entries: dict[str, Stored] = {}
    """By path; kind `absent`: nothing stood there."""
    directories: dict[str, int] = {}
    """Permission bits of the directories above the entries."""
    index: str | None = None
    """Blob with the bytes of the index; None: it was not captured, or there was none."""
    repositories: list[str] = []
    submodules: list[str] = []
    more: dict[str, Any] = {}
    """What only one kind of capture knows."""

    def encode(self) -> bytes:
        """As JSON in ASCII; names that are not UTF-8 carry surrogate escapes."""
        value = {
            "version": VERSION,
            "head": self.head,
            "entries": {path: _entry_out(stored) for path, stored in sorted(self.entries.items())},
            "directories": self.directories,
            "index": self.index,
            "repositories": self.repositories,
            "submodules": self.submodules,
            "more": self.more,
        }
        return json.dumps(value, separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Reads what `encode` wrote, also of a later version, as far as it is known here."""
        value = json.loads(data)
        return cls(
            head=value["head"],
            entries={path: _entry_in(entry) for path, entry in value["entries"].items()},
            directories=value["directories"],
            index=value["index"],
            repositories=value["repositories"],
            submodules=value["submodules"],
            more=value["more"],
        )

    def files(self, prefix: str) -> dict[str, Entry]:
        """The stored contents as entries of a tree, under their own names where a tree can hold them."""
        found: dict[str, Entry] = {}
        taken: set[str] = set()
        for number, (path, stored) in enumerate(sorted(self.entries.items())):
            if stored.oid is None or not stored.kept:
                continue
            # A name that no tree may hold, or that is a file and a directory at once, goes under a number.
            plain = path not in taken and not any(
                above in self.entries and _has(self.entries[above]) for above in parents(path)
            )
            plain = plain and all(part.lower() not in ("", ".", "..", ".git") for part in path.split("/"))
            found[f"{prefix}/{path}" if plain else f"{prefix}-by-number/{number}"] = Entry(
                tree_mode(stored), stored.oid
            )
            taken.update(parents(path))
        return found


def _has(stored: Stored) -> bool:
    return stored.oid is not None and stored.kept


def tree_mode(stored: Stored) -> str:
    """The mode that a tree gives to this content."""
    if stored.signature.kind == "link":
        return LINK
    return EXECUTABLE if stored.signature.mode & 0o100 else FILE


def directory_modes(tree: WorkTree, paths: Iterable[str]) -> dict[str, int]:
    """Permission bits of every directory above these paths that is there."""
    modes: dict[str, int] = {}
    seen: set[str] = set()
    for path in paths:
        for above in parents(path):
            if above in seen:
                break
            seen.add(above)
            # What may not be searched cannot be looked at; it keeps what permissions it has.
            with contextlib.suppress(PermissionError):
                signature = tree.signature(above)
                if signature.kind == "directory":
                    modes[above] = signature.mode
    return modes


def _entry_out(stored: Stored) -> dict[str, Any]:
    signature = stored.signature
    value: dict[str, Any] = {"kind": signature.kind}
    if signature.kind != "absent":
        value |= {
            "mode": f"{signature.mode:o}",
            "size": signature.size,
            "mtimeNs": signature.mtime_ns,
            "ctimeNs": signature.ctime_ns,
            "inode": signature.inode,
        }
    if stored.oid is not None:
        value |= {"oid": stored.oid, "kept": stored.kept}
    if stored.unstable:
        value["unstable"] = True
    if stored.problem:
        value["problem"] = stored.problem
    return value


def _entry_in(value: Mapping[str, Any]) -> Stored:
    signature = Signature(
        value["kind"],
        int(value.get("mode", "0"), 8),
        value.get("size", 0),
        value.get("mtimeNs", 0),
        value.get("ctimeNs", 0),
        value.get("inode", 0),
    )
    return Stored(
        signature, value.get("oid"), value.get("kept", False), value.get("unstable", False), value.get("problem", "")
    )


def sample(paths: Iterable[str], count: int) -> list[str]:
    """The first paths, for a line about them."""
    return [os.fspath(path) for path in sorted(paths)[:count]]
