"""Snapshots: everything that no commit holds, byte for byte, in one commit under a ref of our own.

A snapshot changes nothing in the work tree, the index or any other ref, and takes no lock. The commit holds `files/…`
(the captured files under their names, so that plain git gets them out again), `manifest.json`, and for a whole capture
`index` (its bytes), `staged/…` (blobs that only the index names) and `state/…` (HEAD, MERGE_HEAD and the like).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.git import commits
from sidecar.git.blobs import Large, missing, store_bytes, store_many, store_paths
from sidecar.git.commits import FILE, PREFIX, SUBMODULE, Entry
from sidecar.git.listing import Listing, head_commit, list_changes
from sidecar.git.manifest import Manifest, directory_modes, sample
from sidecar.git.plumbing import check_path
from sidecar.git.repository import Repository
from sidecar.git.state import Work, open_work
from sidecar.model.errors import SidecarError

logger = logging.getLogger(__name__)

ATTEMPTS = 4
"""How often a capture begins anew because HEAD or the index moved, or a prune took what it had just stored."""
NAMED_PATHS = 20
"""How many paths a snapshot names without its manifest being read."""
STATE_DIRECTORIES = ("rebase-merge", "rebase-apply", "sequencer")
STATE_FILE_BYTES = 1 << 20


class Snapshot(NamedTuple):
    """One snapshot as it is listed."""

    id: str
    """For instance `20261125-101500-ab12` (UTC)."""
    ref: str
    commit: str
    created_at: float
    """Seconds since 1970."""
    reason: str
    files: int
    """How many paths it holds."""
    paths: tuple[str, ...]
    """The first `NAMED_PATHS` of them."""
    whole: bool
    """Of the whole work tree, not of chosen paths."""


class Snapshots:
    """The snapshots of one work tree. Every method blocks.

    Raises (all methods):
        SidecarError: `state-unavailable` where git or the file system refuses; nothing was changed then.
    """

    def __init__(self, repository: Repository, state_dir: Path) -> None:
        self._repository = repository
        self._state_dir = state_dir

    def capture(
        self, reason: str, paths: Iterable[str] | None = None, *, large: Large = "store", saved_as: str | None = None
    ) -> Snapshot:
        """Saves what stands in the work tree.

        Args:
            reason: for people.
            paths: only these, whatever stands there or not; None: all that no commit holds, and the index.
            large: what to do with files above `LARGE_BYTES`.
            saved_as: see `save`.
        """
        with open_work(self._repository, self._state_dir) as work:
            return capture(work, reason, paths, large=large, saved_as=saved_as)[0]

    def all(self) -> list[Snapshot]:
        """All snapshots of this work tree, oldest first."""
        with open_work(self._repository, self._state_dir) as work:
            return [snapshot for snapshot, owner in _all(work) if owner == os.fspath(work.git.git_dir)]

    def read(self, snapshot_id: str) -> tuple[Snapshot, Manifest]:
        """One snapshot with its manifest.

        Raises:
            SidecarError: `unknown-snapshot`.
        """
        with open_work(self._repository, self._state_dir) as work:
            return read(work, snapshot_id)

    def expire(self, keep_days: float, *, now: float | None = None) -> list[str]:
        """Deletes the snapshots that are older, also those of work trees that are gone; their ids."""
        before = (time.time() if now is None else now) - keep_days * 86_400
        with open_work(self._repository, self._state_dir) as work:
            old = [
                snapshot
                for snapshot, owner in _all(work)
                if snapshot.created_at < before and (owner == os.fspath(work.git.git_dir) or not os.path.isdir(owner))
            ]
            commits.delete_refs(work.git, {snapshot.ref: snapshot.commit for snapshot in old})
            return [snapshot.id for snapshot in old]


def capture(
    work: Work,
    reason: str,
    paths: Iterable[str] | None = None,
    *,
    large: Large = "store",
    index: bool = False,
    more: dict[str, Any] | None = None,
    saved_as: str | None = None,
) -> tuple[Snapshot, Manifest]:
    """See `Snapshots.capture`; also the manifest of what was saved.

    Args:
        index: with chosen paths, the index too.
        more: what the manifest is to say beside.
        saved_as: see `save`.
    """
    chosen = None if paths is None else sorted({check_path(path) for path in paths})
    for _ in range(ATTEMPTS):
        head = head_commit(work.git)
        if chosen is None:
            before = _index_bytes(work)
            listing = list_changes(work.git, head)
            manifest, extra = _whole(work, head, listing, large)
            extra |= _with_index(work, manifest, before, listing)
            if _index_bytes(work) != before or head_commit(work.git) != head:
                continue
        else:
            manifest, extra = Manifest(head=head, entries=store_paths(work, chosen, large=large), more=more or {}), {}
            manifest.directories = directory_modes(work.tree, chosen)
            if index:
                extra = _with_index(work, manifest, _index_bytes(work), list_changes(work.git, head))
        snapshot = save(work, reason, manifest, extra, whole=chosen is None, saved_as=saved_as)
        if snapshot is not None:
            return snapshot, manifest
    raise SidecarError("busy", "The repository kept changing while it was captured.", "Try again when git is at rest.")


def new_id(at: float) -> str:
    """An id for a snapshot: a time (seconds since 1970) in UTC, and four digits by chance. It may be taken."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}-{secrets.token_hex(2)}"


def ref_of(snapshot_id: str) -> str:
    """The ref that holds, or will hold, the snapshot with this id."""
    return f"{PREFIX}snapshots/{snapshot_id}"


def save(
    work: Work,
    reason: str,
    manifest: Manifest,
    extra: dict[str, Entry],
    *,
    whole: bool,
    saved_as: str | None = None,
) -> Snapshot | None:
    """Writes the commit and the ref; None where a prune at the same time took some of it.

    Args:
        saved_as: the id of `new_id` that a person was told. It gets another one where that is taken by now.
    """
    files = {**manifest.files("files"), **extra}
    files["manifest.json"] = Entry(FILE, store_many(work, [manifest.encode()])[0])
    tree = commits.write_tree(work.git, files, checked=False)
    created = time.time()
    about: dict[str, Any] = {
        "createdAt": created,
        "reason": reason,
        "files": len(manifest.entries),
        "paths": sample(manifest.entries, NAMED_PATHS),
        "whole": whole,
        "gitDir": os.fspath(work.git.git_dir),
    }
    subject = " ".join(reason.split())[:60].encode("ascii", "replace").decode()
    message = f"codex-sidecar snapshot: {subject}\n\n{json.dumps(about)}\n"
    try:
        commit = commits.commit(work.git, tree, [manifest.head] if manifest.head else [], message)
    except commits.Pruned:
        return None
    ref = ref_of(saved_as or new_id(created))
    while not commits.set_ref(work.git, ref, commit, None):
        ref = ref_of(new_id(created))
    # Until the ref was there nothing held these objects. Now that it is, every one of them has to be there too.
    status, _, _ = work.git.attempt("rev-list", "--objects", "--no-walk", "--quiet", commit)
    if status != 0:
        commits.delete_refs(work.git, {ref: commit})
        return None
    return _snapshot(ref, commit, about)


def _whole(work: Work, head: str | None, listing: Listing, large: Large) -> tuple[Manifest, dict[str, Entry]]:
    hidden = [path for path in listing.hidden if os.path.lexists(os.path.join(work.git.top, path))]
    entries = store_paths(work, [*listing.paths(), *hidden], large=large)
    manifest = Manifest(head=head, entries=entries, directories=directory_modes(work.tree, entries))
    manifest.repositories, manifest.submodules = list(listing.repositories), list(listing.submodules)
    state = _state_files(work.git.git_dir)
    oids = store_many(work, [data for _, data in state])
    return manifest, {name: Entry(FILE, oid) for (name, _), oid in zip(state, oids, strict=True)}


def _with_index(work: Work, manifest: Manifest, index: bytes | None, listing: Listing) -> dict[str, Entry]:
    """The index's bytes and the blobs that only it names."""
    if index is None:
        return {}
    manifest.index = store_bytes(work.git, index)
    extra = {"index": Entry(FILE, manifest.index)}
    only_staged = [raw.new for raw in listing.staged if raw.new.mode not in ("000000", SUBMODULE)]
    only_staged += [entry for _, entry in listing.unmerged if entry.mode != SUBMODULE]
    known = {entry.oid for entry in only_staged if set(entry.oid) != {"0"}}
    for oid in known.difference(missing(work.git, known)):
        extra[f"staged/{oid}"] = Entry(FILE, oid)
    return extra


def _index_bytes(work: Work) -> bytes | None:
    try:
        return (work.git.git_dir / "index").read_bytes()
    except FileNotFoundError:
        return None


def _state_files(git_dir: Path) -> list[tuple[str, bytes]]:
    """Where git keeps what it is in the middle of, and the shared part of a split index."""
    # HEAD, MERGE_HEAD, MERGE_MSG, BISECT_LOG …: git writes such things, and nothing else, in capitals.
    paths = [path for path in sorted(git_dir.iterdir()) if path.name.replace("_", "").isupper()]
    paths += [path for name in STATE_DIRECTORIES for path in sorted((git_dir / name).rglob("*"))]
    paths += sorted(git_dir.glob("sharedindex.*"))
    found = []
    for path in paths:
        try:
            if path.is_file() and (path.name.startswith("sharedindex.") or path.stat().st_size <= STATE_FILE_BYTES):
                found.append((f"state/{path.relative_to(git_dir)}", path.read_bytes()))
        except FileNotFoundError:
            continue
    return found


def _snapshot(ref: str, commit: str, about: dict[str, Any]) -> Snapshot:
    return Snapshot(
        id=ref.rpartition("/")[2],
        ref=ref,
        commit=commit,
        created_at=about["createdAt"],
        reason=about["reason"],
        files=about["files"],
        paths=tuple(about["paths"]),
        whole=about["whole"],
    )


def _all(work: Work) -> list[tuple[Snapshot, str]]:
    """Every snapshot of the repository with the git directory of its work tree."""
    found = []
    for ref in commits.list_refs(work.git, "snapshots"):
        try:
            about = json.loads(ref.body)
            found.append((_snapshot(ref.name, ref.commit, about), str(about["gitDir"])))
        except (ValueError, KeyError, TypeError):
            logger.warning("%s was not written by this program; it is left alone", ref.name)
    return sorted(found, key=lambda item: (item[0].created_at, item[0].id))


def read(work: Work, snapshot_id: str) -> tuple[Snapshot, Manifest]:
    """See `Snapshots.read`."""
    for snapshot, _ in _all(work):
        if snapshot.id == snapshot_id:
            data = work.git.run("cat-file", "blob", f"{snapshot.commit}:manifest.json")
            return snapshot, Manifest.decode(data)
    raise SidecarError(
        "unknown-snapshot",
        f"No snapshot {snapshot_id[:80]!r} is known in this repository.",
        "codex_snapshots lists them; those older than `snapshots.keepDays` are gone.",
        {"snapshotId": snapshot_id[:200]},
    )
