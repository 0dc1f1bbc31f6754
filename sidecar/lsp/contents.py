"""What a file holds on the disk and what the editor shows of it, line by line.

The A2 protocol speaks of the lines on the disk. Where the editor has unsaved edits, its lines stand elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import unquote

from lsprotocol import types
from pygls.workspace import Workspace

from sidecar.lsp.paths import Paths
from sidecar.lsp.positions import START, Rows, Shift, Units, without_text
from sidecar.model.conflict import LineRange

READ_BYTES_MAX = 8 * 1024 * 1024
"""Larger files are not read: their problems stand at whole lines, without columns."""
KEPT_VIEWS = 32

Signature = tuple[int, int, int, int]


def signature(path: str) -> Signature | None:
    """Changes whenever a regular file changes; None where there is none. Blocks."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else None


def read(path: str) -> bytes | None:
    """A regular file of at most `READ_BYTES_MAX`; None for everything else. Blocks."""
    if (known := signature(path)) is None or known[1] > READ_BYTES_MAX:
        return None
    try:
        with open(path, "rb") as file:
            return file.read(READ_BYTES_MAX)
    except OSError:
        return None


@dataclass(frozen=True)
class View:
    """One state of a file. `key` is the same as long as nothing changed."""

    key: object
    disk: Rows | None
    shown: Rows | None
    """What the editor shows: its buffer, or else the disk."""
    shift: Shift | None = None
    """From the disk to the buffer; None where they have the same lines."""

    def range(self, where: LineRange | None) -> types.Range:
        """Where these lines of the disk are in the editor; the file's beginning for none."""
        if where is None:
            return START
        if self.shown is None:
            return without_text(where)
        return self.shown.range(self.shift.range(where) if self.shift else where)

    def first_difference(self) -> types.Range:
        """Where the editor first shows something else than the disk holds; the file's beginning for nowhere."""
        if self.shown is None or self.shift is None:
            return START
        hunk = self.shift.hunks[0]
        return self.shown.range(LineRange(hunk.new_start + 1, max(hunk.new_end, hunk.new_start + 1)))

    def line(self, row: int) -> int | None:
        """The line of the disk, from 1, that the editor shows in a row, from 0; None where it is not saved."""
        if self.shown is None:
            return row + 1
        number = self.shown.number(row)
        return self.shift.line(number) if self.shift else number


class Contents:
    """The views of one client."""

    def __init__(self, paths: Paths, workspace: Workspace) -> None:
        self._paths = paths
        self._workspace = workspace
        self._kept: OrderedDict[str, View] = OrderedDict()

    @property
    def units(self) -> Units:
        return self._workspace.position_codec.client_num_units

    def buffer(self, path: str) -> str | None:
        """The text that the client has open; None where it has not."""
        found = self._workspace.text_documents.get(unquote(self._paths.uri(path)))
        return None if found is None else found.source

    async def view(self, path: str) -> View:
        """The file as it is now."""
        view = await asyncio.to_thread(
            _look, self._paths.absolute(path), self.buffer(path), self.units, self._kept.get(path)
        )
        self._kept[path] = view
        self._kept.move_to_end(path)
        if len(self._kept) > KEPT_VIEWS:
            self._kept.popitem(last=False)
        return view


def _look(path: str, buffer: str | None, units: Units, before: View | None) -> View:
    key = (signature(path), None if buffer is None else hash(buffer))
    if before is not None and before.key == key:
        return before
    content = read(path)
    disk = None if content is None else Rows(content, units)
    if buffer is None:
        return View(key, disk, disk)
    shown = Rows(buffer.encode("utf-8", "surrogatepass"), units)
    shift = Shift.between(disk.lines, shown.lines) if disk is not None else None
    return View(key, disk, shown, shift if shift and shift.hunks else None)
