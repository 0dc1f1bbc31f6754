"""Changes chosen paths of the work tree in one journalled move: it happens whole or not at all, and nothing is lost.

HEAD, branches, stash and (but for `Journal.index`) the index are never written. What stood at a path goes into the
journal's directory, whoever wrote it and however late. `recover` ends at start-up what a crash interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sidecar.git import renaming
from sidecar.git.index import install_index, stage_index
from sidecar.git.journal import Change, Journal, Outcome, Step, begin, unfinished
from sidecar.git.leftovers import collect
from sidecar.git.plumbing import shown
from sidecar.git.renaming import Place
from sidecar.git.staging import stage
from sidecar.git.state import Work
from sidecar.git.worktree import ABSENT, NO_FILE, Signature, parents, signature_of
from sidecar.model.errors import SidecarError

logger = logging.getLogger(__name__)

TRIES = 200
"""How often one path is tried again because somebody changed it in the very moment."""
_GONE = (FileNotFoundError, NotADirectoryError)


class Moved(SidecarError):
    """Something no longer is what the caller expected; nothing was changed."""

    def __init__(self, paths: list[str]) -> None:
        names = ", ".join(map(shown, paths[:20]))
        super().__init__(
            "stale-token", f"Changed in the meantime: {names}.", "Look again, then decide.", {"files": paths}
        )
        self.paths = paths


class Recovered(NamedTuple):
    """What became of an interrupted change."""

    journal: Journal
    outcome: str
    """`forward` (it was completed), `back` (it was undone), `nothing` (it had not begun)."""
    left: list[str]
    """Paths that were changed by somebody since and stay as they are."""


def swap(
    work: Work,
    changes: Iterable[Change],
    *,
    wanted: Mapping[str, int] | None = None,
    attributes: str | None = None,
    index: dict[str, str | None] | None = None,
    about: dict[str, Any] | None = None,
) -> Journal:
    """Makes every path what its change says. Blocks. The caller holds `State.lock`.

    Args:
        wanted: permission bits for directories that have to be made.
        attributes: the tree whose `.gitattributes` hold for `committed` targets.
        index: see `sidecar.git.index`.
        about: kept in the journal.

    Returns:
        The finished journal; its slots hold what was displaced.

    Raises:
        Moved: a path is not as expected.
        SidecarError: `state-unavailable` where a path cannot be changed. The work tree is as it was in all cases.
        OSError: likewise, for instance where the disk is full.
    """
    asked = list(changes)
    journal = begin(work, asked, wanted=wanted or {}, attributes=attributes, index=index, about=about or {})
    try:
        stage_index(work, journal)
        stage(work, journal)
        moved = [
            change.path
            for change in asked
            if change.expected is not None and work.tree.signature(change.path) != change.expected
        ]
        if moved:
            raise Moved(moved)
    except BaseException:
        journal.discard(work.tree)
        raise
    _go_forward(work, journal)
    return journal


def recover(work: Work) -> list[Recovered]:
    """Completes or undoes what a crash interrupted; may itself be killed and called again. The caller holds the lock.

    Blocks.
    """
    found = []
    for journal in unfinished(work.state):
        if not journal.load_staged():
            journal.discard(work.tree)
            found.append(Recovered(journal, "nothing", []))
            continue
        if ended := journal.load_ended():
            _tidy(work, journal, ended[0])
            found.append(Recovered(journal, *ended))
            continue
        for step in journal.steps:
            _settle(work, journal, step)
        # Somebody may have gone on working since. What they wrote is not overwritten behind their back.
        untouched = all(_taken(work, journal, step) or _as_planned(work, journal, step) for step in journal.steps)
        outcome, left = "back", []
        if untouched:
            try:
                _go_forward(work, journal)
                outcome = "forward"
            except (SidecarError, OSError) as exc:
                logger.warning("the interrupted change %s cannot be completed (%s); it was undone", journal.id, exc)
        else:
            left = _go_back(work, journal)
        found.append(Recovered(journal, outcome, left))
    return found


def _settle(work: Work, journal: Journal, step: Step) -> None:
    """Takes back a rename by hard link that was interrupted between its halves: one file has two names then."""
    with contextlib.suppress(*_GONE), journal.slot(work.tree, step) as slot, work.tree.parent(step.path) as place:
        here = _look(place)
        for name in (slot[1], *journal.spares(slot)):
            if here.kind != "absent" and _look((slot[0], name)).inode == here.inode:
                os.unlink(name, dir_fd=slot[0])


def _as_planned(work: Work, journal: Journal, step: Step) -> bool:
    here = work.tree.signature(step.path)
    if step.expected.kind in NO_FILE:
        return here.kind in NO_FILE
    with journal.slot(work.tree, step) as slot:
        # Where the system cannot exchange, the old file may be out of the way and the new one not yet there.
        return here.same_file(step.expected) or (here.kind == "absent" and bool(journal.spares(slot)))


def _go_forward(work: Work, journal: Journal) -> None:
    """Takes the steps that are left. Where one cannot be taken, all are taken back and the error is raised."""
    removals = [step for step in journal.steps if step.target.kind == "absent"]
    puts = [step for step in journal.steps if step.target.kind != "absent"]
    keep = {above for step in puts for above in parents(step.path)}
    try:
        _unlock(work, journal)
        for step in sorted(removals, key=lambda step: step.path, reverse=True):
            _remove(work, journal, step)
        for step in removals:
            _prune(work, step.path, keep)
        for step in puts:
            _put(work, journal, step)
        if journal.index is not None:
            install_index(work, journal)
    except BaseException:
        _go_back(work, journal)
        raise
    _lock_again(work, journal)
    for path, mode in journal.wanted.items():
        if path in journal.made:
            with contextlib.suppress(*_GONE):
                _set_mode(work, path, mode)
    _end(work, journal, "forward", [])


def _remove(work: Work, journal: Journal, step: Step) -> None:
    with contextlib.suppress(*_GONE), journal.slot(work.tree, step) as slot, work.tree.parent(step.path) as place:
        for _ in range(TRIES):
            here = _look(place)
            # A directory of that name is not the file; what is in it has steps of its own.
            if here.kind in NO_FILE:
                return
            if _look(slot).kind != "absent":
                return  # It was taken before a crash. What is here now came later.
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                renaming.move(place, slot)
                return
        raise _restless(step)


def _put(work: Work, journal: Journal, step: Step) -> None:
    with journal.slot(work.tree, step) as slot:
        mine = journal.staged[step.number].inode
        if _look(slot).inode != mine:
            return
        _make_parents(work, journal, step.path)
        with work.tree.parent(step.path) as place:
            for _ in range(TRIES):
                here = _look(place)
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    if here.kind == "absent":
                        renaming.move(slot, place)
                        return
                    if here.kind == "directory":
                        os.rmdir(place[1], dir_fd=place[0])
                    elif renaming.exchange(slot, place):
                        return
                    else:
                        renaming.move(place, journal.free_spare(slot))
    raise _restless(step)


def _restless(step: Step) -> SidecarError:
    return SidecarError(
        "busy", f"{shown(step.path)!r} is being changed all the time.", "Stop what writes it, then try again."
    )


def _look(place: Place) -> Signature:
    try:
        return signature_of(os.lstat(place[1], dir_fd=place[0]))
    except FileNotFoundError:
        return ABSENT


def _taken(work: Work, journal: Journal, step: Step) -> bool:
    """Whether a step was taken before the crash."""
    with journal.slot(work.tree, step) as slot:
        there = _look(slot)
        if step.target.kind == "absent":
            return there.kind != "absent"
        return there.inode != journal.staged[step.number].inode


def _make_parents(work: Work, journal: Journal, path: str) -> None:
    for above in reversed(list(parents(path))):
        with work.tree.parent(above) as (fd, name), contextlib.suppress(FileExistsError):
            os.mkdir(name, journal.wanted.get(above, 0o777) | 0o700, dir_fd=fd)
            if above in journal.existing:
                # It was pruned a moment ago and comes back as it was, once what it held is in it.
                os.chmod(name, journal.existing[above] | (0o700 if above in journal.locked else 0), dir_fd=fd)


def _prune(work: Work, path: str, keep: set[str]) -> None:
    """Removes the directories above a removed file that hold nothing more."""
    for above in parents(path):
        if above in keep:
            return
        try:
            with work.tree.parent(above) as (fd, name):
                os.rmdir(name, dir_fd=fd)
        except _GONE:
            continue  # An earlier step, or the run before a crash, removed it; the one above may be empty too.
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EBUSY):
                raise
            return


def _go_back(work: Work, journal: Journal) -> list[str]:
    """Takes back every step that nobody has built on; the paths that somebody has."""
    left = []
    _unlock(work, journal)
    for step in reversed(journal.steps):
        if step.target.kind != "absent" and not _take_back_put(work, journal, step):
            left.append(step.path)
    for path in reversed(journal.made):
        with contextlib.suppress(OSError), work.tree.parent(path) as (fd, name):
            os.rmdir(name, dir_fd=fd)  # It stays where something is in it by now.
    for step in journal.steps:
        if step.target.kind == "absent" and not _take_back_removal(work, journal, step):
            left.append(step.path)
    _lock_again(work, journal)
    _end(work, journal, "back", left)
    return left


def _end(work: Work, journal: Journal, outcome: Outcome, left: list[str]) -> None:
    _sync(work, journal)
    journal.mark_ended(outcome, left)
    _tidy(work, journal, outcome)


def _tidy(work: Work, journal: Journal, outcome: Outcome) -> None:
    collect(work, journal)
    journal.mark_done(outcome)


def _take_back_put(work: Work, journal: Journal, step: Step) -> bool:
    mine = journal.staged[step.number]
    with journal.slot(work.tree, step) as slot:
        there = _look(slot)
        try:
            with work.tree.parent(step.path) as place:
                here = _look(place)
                if there.inode == mine.inode:
                    spares = journal.spares(slot)
                    if spares and here.kind == "absent":
                        renaming.move((slot[0], spares[-1]), place)
                    return not spares or here.kind == "absent"
                if not here.same_file(mine):
                    return False
                if there.kind != "absent":
                    return renaming.exchange(slot, place)
                renaming.move(place, slot)
                if spares := journal.spares(slot):
                    renaming.move((slot[0], spares[-1]), place)
        except _GONE:
            return there.inode == mine.inode
    return True


def _take_back_removal(work: Work, journal: Journal, step: Step) -> bool:
    with journal.slot(work.tree, step) as slot:
        if _look(slot).kind == "absent":
            return True
        try:
            _make_parents(work, journal, step.path)
            with work.tree.parent(step.path) as place:
                renaming.move(slot, place)
        except (FileExistsError, *_GONE):
            return False
    return True


def _unlock(work: Work, journal: Journal) -> None:
    for path, mode in journal.locked.items():
        with contextlib.suppress(*_GONE):
            _set_mode(work, path, mode | 0o700)


def _lock_again(work: Work, journal: Journal) -> None:
    for path, mode in journal.locked.items():
        with contextlib.suppress(*_GONE):
            _set_mode(work, path, mode)


def _set_mode(work: Work, path: str, mode: int) -> None:
    with work.tree.directory(path) as fd:
        os.chmod(".", mode, dir_fd=fd)


def _sync(work: Work, journal: Journal) -> None:
    """Makes the renames lasting."""
    touched = {"", *(above for step in journal.steps for above in list(parents(step.path))[:1])}
    touched |= {step.beside for step in journal.steps if step.beside is not None}
    for path in touched:
        # A directory that may not be read cannot be opened for it; the file system writes it back in its own time.
        with contextlib.suppress(PermissionError, *_GONE), work.tree.directory(path) as fd:
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            try:
                os.fsync(readable)
            finally:
                os.close(readable)
