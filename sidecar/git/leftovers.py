"""What a change displaced: brought into the trash, saved where it is not yet, removed only when somebody says so."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.git.blobs import Stored, store_files, store_many
from sidecar.git.commits import FILE, Entry
from sidecar.git.journal import Journal, Step, remove_tree
from sidecar.git.manifest import Manifest
from sidecar.git.renaming import Place
from sidecar.git.snapshot import Snapshot, read, save
from sidecar.git.state import Work, write_lasting
from sidecar.git.worktree import ABSENT, Signature, signature_of
from sidecar.model.errors import SidecarError

logger = logging.getLogger(__name__)

SAVED = "saved.json"


class Trash(NamedTuple):
    """What one change displaced."""

    journal_id: str
    paths: tuple[str, ...]
    bytes: int


def displaced(journal: Journal) -> dict[Path, str]:
    """The files that a change took out of the work tree, with the paths they stood at; the newest of a path last."""
    found: dict[Path, str] = {}
    for step in journal.steps:
        for path in [
            *(journal.directory / spare for spare in _spares(journal, step)),
            journal.directory / str(step.number),
        ]:
            signature = _signature(path)
            mine = journal.staged.get(step.number)
            if signature.kind in ("file", "link") and (mine is None or signature.inode != mine.inode):
                found[path] = step.path
    return found


def _spares(journal: Journal, step: Step) -> list[str]:
    prefix = f"{step.number}."
    return sorted(name for name in os.listdir(journal.directory) if name.startswith(prefix))


def collect(work: Work, journal: Journal) -> None:
    """Empties the slots that lie in the work tree itself into the trash; removes new contents that were not used."""
    for step in journal.steps:
        mine = journal.staged.get(step.number)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), journal.slot(work.tree, step) as slot:
            for name in [*journal.spares(slot), slot[1]]:
                signature = _look((slot[0], name))
                if mine is not None and signature.inode == mine.inode:
                    os.unlink(name, dir_fd=slot[0])
                elif step.beside is not None and signature.kind != "absent":
                    _bring(journal, (slot[0], name), str(step.number) + name[len(slot[1]) :])


def _bring(journal: Journal, place: Place, name: str) -> None:
    """Copies a displaced file over from another mount, again while somebody who has it open still writes."""
    target = journal.directory / name
    while True:
        before = _look(place)
        fresh = journal.directory / f".{name}"
        fresh.unlink(missing_ok=True)
        if before.kind == "link":
            os.symlink(os.readlink(place[1], dir_fd=place[0]), fresh)
        elif before.kind == "file":
            _copy(place, fresh, before.mode)
        if before.kind in ("link", "file"):
            os.replace(fresh, target)
        if _look(place) == before:
            break
    os.unlink(place[1], dir_fd=place[0])


def _copy(place: Place, target: Path, mode: int) -> None:
    source = os.open(place[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place[0])
    with os.fdopen(source, "rb") as old, open(target, "xb") as new:
        while piece := old.read(1 << 20):
            new.write(piece)
        new.flush()
        os.fchmod(new.fileno(), mode)
        os.fsync(new.fileno())


def save_late(work: Work, journal: Journal, known: Mapping[str, Stored], reason: str) -> Snapshot | None:
    """Stores what was displaced and is not what the snapshot before had captured: somebody wrote in between.

    Args:
        known: what was captured, by path.

    Returns:
        The snapshot of it; None where everything had been captured.
    """
    files = displaced(journal)
    earlier = _saved(journal)
    ask = [path for path in files if earlier.get(path.name, ("", ABSENT))[1] != _signature(path)]
    if not ask:
        return None
    contents = _store(work, ask)
    late: dict[str, Stored] = {}
    extra: dict[str, Entry] = {}
    for path, stored in contents.items():
        at = files[path]
        was = known.get(at)
        if was is not None and was.kept and was.oid == stored.oid and was.signature.kind == stored.signature.kind:
            continue
        if earlier.get(path.name, ("", ABSENT))[0] == stored.oid:
            continue
        if at in late:
            extra[f"displaced/{path.name}"] = Entry(FILE, late[at].oid or "")
        late[at] = stored
    snapshot = None
    if late:
        for _ in range(4):
            snapshot = save(work, reason, Manifest(entries=late), extra, whole=False)
            if snapshot is not None:
                break
        else:
            raise SidecarError("busy", "The repository kept being pruned.", "Try again when git is at rest.")
    value = {path.name: [stored.oid, list(stored.signature)] for path, stored in contents.items()}
    value |= {name: [oid, list(signature)] for name, (oid, signature) in earlier.items() if name not in value}
    (journal.directory / SAVED).unlink(missing_ok=True)
    write_lasting(journal.directory / SAVED, json.dumps(value).encode())
    return snapshot


def try_to_save_late(work: Work, journal: Journal, known: Mapping[str, Stored], reason: str) -> Snapshot | None:
    """`save_late` where the change itself is over: a full disk, say, must not look as if it had failed."""
    try:
        return save_late(work, journal, known, reason)
    except (SidecarError, OSError) as exc:
        # The files stay in the trash, and emptying it saves them first.
        logger.warning("what was displaced by %s could not be saved yet: %s", journal.id, exc)
        return None


def _store(work: Work, paths: Iterable[Path]) -> dict[Path, Stored]:
    """Contents of the trash. Somebody may still hold a file open and write; what came later is seen the next time."""
    before = {path: _signature(path) for path in paths}
    files = [path for path, signature in before.items() if signature.kind == "file"]
    links = [path for path, signature in before.items() if signature.kind == "link"]
    oids = store_files(work.git, files)
    oids.update(zip(links, store_many(work, [os.fsencode(os.readlink(path)) for path in links]), strict=True))
    if lost := [path for path in before if path not in oids]:
        raise SidecarError("state-unavailable", f"{lost[0].name} in the trash {lost[0].parent.name} cannot be read.")
    return {path: Stored(signature, oids[path], kept=True) for path, signature in before.items()}


def _saved(journal: Journal) -> dict[str, tuple[str, Signature]]:
    try:
        value = json.loads((journal.directory / SAVED).read_bytes())
    except FileNotFoundError:
        return {}
    return {name: (oid, Signature(*signature)) for name, (oid, signature) in value.items()}


def _signature(path: Path) -> Signature:
    try:
        return signature_of(os.lstat(path))
    except FileNotFoundError:
        return ABSENT


def _look(place: Place) -> Signature:
    try:
        return signature_of(os.lstat(place[1], dir_fd=place[0]))
    except FileNotFoundError:
        return ABSENT


def captured_before(work: Work, journal: Journal) -> dict[str, Stored]:
    """What the snapshot before a change had saved; empty where it is gone."""
    with contextlib.suppress(SidecarError):
        return read(work, str(journal.about.get("snapshot", "")))[1].entries
    return {}


def finished(work: Work) -> list[Journal]:
    """The changes that are over, oldest first."""
    found = []
    for directory in sorted(work.state.trash.iterdir()):
        if (directory / "done").exists():
            try:
                journal = Journal(directory, json.loads((directory / "journal.json").read_bytes()))
            except (ValueError, KeyError, TypeError):
                logger.exception("the journal %s cannot be read; its directory is left as it is", directory)
                continue
            journal.load_staged()
            found.append(journal)
    return found


def list_trash(work: Work) -> list[Trash]:
    """What lies in the trash, oldest first."""
    found = []
    for journal in finished(work):
        files = displaced(journal)
        size = sum(os.lstat(path).st_size for path in files if stat.S_ISREG(os.lstat(path).st_mode))
        found.append(Trash(journal.id, tuple(sorted(set(files.values()))), size))
    return found


def empty_trash(work: Work) -> list[Snapshot]:
    """Removes what finished changes displaced. The caller holds the lock and knows that no worker has a file open.

    Returns:
        Snapshots of what was written into displaced files after they had been saved.
    """
    snapshots = []
    for journal in finished(work):
        reason = "written while files were moved away"
        snapshot = save_late(work, journal, captured_before(work, journal), reason)
        if snapshot is not None:
            snapshots.append(snapshot)
        remove_tree(journal.directory)
    return snapshots
