"""New contents, laid ready beside the work tree before anything in it is moved: a full disk stops it here."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from sidecar.git.blobs import CHUNK, copy_blobs
from sidecar.git.commits import Entry, tree_entries
from sidecar.git.journal import Journal, Step
from sidecar.git.plumbing import nul_list
from sidecar.git.renaming import Place
from sidecar.git.state import Work, sync_directory
from sidecar.git.worktree import Signature, parents, signature_of
from sidecar.model.errors import SidecarError


def stage(work: Work, journal: Journal) -> None:
    """Fills the slots, syncs them, and marks the journal as staged.

    Raises:
        SidecarError: `state-unavailable` where a content is missing or a filter fails.
        OSError: the disk is full, say. The work tree is untouched; the caller discards the journal.
    """
    by_oid: dict[str, list[Step]] = {}
    for step in journal.steps:
        if step.target.kind in ("file", "link"):
            by_oid.setdefault(step.target.oid, []).append(step)

    def take(oid: str, chunks: Iterator[bytes]) -> None:
        first, *others = by_oid[oid]
        # A link's target is short; it may be shared with a file of the same bytes.
        data = b"".join(chunks) if any(step.target.kind == "link" for step in by_oid[oid]) else None
        _put(work, journal, first, chunks if data is None else [data])
        for step in others:
            if data is not None:
                _put(work, journal, step, [data])
                continue
            with journal.slot(work.tree, first) as place, _open_in(place) as source:
                _put(work, journal, step, _pieces(source))

    copy_blobs(work.git, by_oid, take)
    committed = [step for step in journal.steps if step.target.kind == "committed"]
    if committed:
        _check_out(work, journal, committed)
    staged: dict[int, Signature] = {}
    for step in journal.steps:
        if step.target.kind != "absent":
            with journal.slot(work.tree, step) as (fd, name):
                staged[step.number] = signature_of(os.lstat(name, dir_fd=fd))
    sync_directory(journal.directory)
    journal.mark_staged(staged)


def _open_in(place: Place) -> BinaryIO:
    return os.fdopen(os.open(place[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place[0]), "rb")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(CHUNK):
        yield piece


def _put(work: Work, journal: Journal, step: Step, chunks: Iterable[bytes]) -> None:
    """Writes one slot and syncs it."""
    with journal.slot(work.tree, step) as (directory, name):
        if step.target.kind == "link":
            os.symlink(b"".join(chunks), name, dir_fd=directory)
            return
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
        with os.fdopen(fd, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fchmod(fd, step.target.mode or 0)
            os.fsync(fd)


def _check_out(work: Work, journal: Journal, steps: list[Step]) -> None:
    """Lets git write committed blobs as a checkout would, with the attributes of their own tree, in a place of ours."""
    place = journal.directory / "checkout"
    place.mkdir(mode=0o700)
    entries = {step.path: Entry(step.target.tree_mode, step.target.oid) for step in steps}
    rules: dict[str, Entry] = {}
    if journal.attributes is not None:
        above = {directory for path in entries for directory in parents(path)}
        wanted = [".gitattributes", *(f"{directory}/.gitattributes" for directory in sorted(above))]
        rules = tree_entries(work.git, journal.attributes, wanted)
    lines = b"".join(
        f"{entry.mode} {entry.oid}\t".encode() + os.fsencode(path) + b"\0"
        for path, entry in {**rules, **entries}.items()
    )
    env = {
        "GIT_DIR": os.fspath(work.git.git_dir),
        "GIT_WORK_TREE": os.fspath(place),
        "GIT_INDEX_FILE": os.fspath(journal.directory / "checkout-index"),
    }
    work.git.run("update-index", "--add", "-z", "--index-info", stdin=lines, env=env)
    status, _, err = work.git.attempt("checkout-index", "-z", "--stdin", stdin=nul_list(entries), env=env)
    if status != 0:
        said = (err.strip().splitlines() or [f"exit status {status}"])[-1]
        raise SidecarError(
            "state-unavailable",
            f"git cannot check out what was committed: {said}",
            "A filter that the files need (Git LFS, say) is missing or fails; `git checkout` of them says more.",
        )
    for step in steps:
        _take_over(work, journal, step, place / step.path)
    shutil.rmtree(place)
    (journal.directory / "checkout-index").unlink()


def _take_over(work: Work, journal: Journal, step: Step, source: Path) -> None:
    with journal.slot(work.tree, step) as (directory, name):
        if not source.is_symlink():
            if step.target.mode is not None:
                os.chmod(source, step.target.mode)
            sync_file(source)
        try:
            os.rename(source, name, dst_dir_fd=directory)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            copy_across(source, (directory, name))


def sync_file(path: Path) -> None:
    """Makes a file's content lasting, whatever its permissions are. Blocks."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def copy_across(source: Path, place: Place) -> None:
    """Copies a file or link with its permissions to another mount and syncs it."""
    directory, name = place
    if source.is_symlink():
        os.symlink(os.readlink(source), name, dir_fd=directory)
        return
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    with open(source, "rb") as old, os.fdopen(fd, "wb") as new:
        shutil.copyfileobj(old, new)
        new.flush()
        os.fchmod(fd, os.fstat(old.fileno()).st_mode & 0o7777)
        os.fsync(fd)
