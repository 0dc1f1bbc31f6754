"""The files that the editor has open, and which of them hold edits that are not on the disk.

Nobody else can know that a worker has just written the very file that a person is editing.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import uuid
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import unquote

from pygls.workspace import TextDocument, Workspace

from sidecar.lsp.contents import READ_BYTES_MAX, read, signature
from sidecar.lsp.findings import Findings
from sidecar.lsp.paths import Paths

logger = logging.getLogger(__name__)

_OTHER_ENDS = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")


class Document(TextDocument):
    """A document whose lines end where the protocol says; pygls ends them at form feeds and the like too."""

    @property
    def lines(self) -> tuple[str, ...]:
        source = self.source
        if not _OTHER_ENDS.search(source):
            return tuple(source.splitlines(True))
        return tuple(line for line in _LINE.findall(source) if line)


class Documents(Workspace):
    """pygls' documents, with those lines."""

    @classmethod
    def instead_of(cls, other: Workspace) -> Documents:
        return cls(other.root_uri, other._sync_kind, list(other.folders.values()), other.position_encoding)

    def _create_text_document(
        self, doc_uri: str, source: str | None = None, version: int | None = None, language_id: str | None = None
    ) -> Document:
        return Document(
            doc_uri,
            source=source,
            version=version,
            language_id=language_id,
            sync_kind=self._sync_kind,
            position_codec=self._position_codec,
        )


class Buffers:
    """Tells the A2 protocol which files this client holds unsaved edits of."""

    def __init__(
        self,
        findings: Findings,
        paths: Paths,
        workspace: Workspace,
        start: Callable[[Coroutine[Any, Any, None]], object],
        changed: Callable[[], None],
    ) -> None:
        """
        Args:
            start: runs a coroutine in the background.
            changed: called whenever a file was opened or closed, or its edits became unsaved or saved.
        """
        self._findings = findings
        self._paths = paths
        self._workspace = workspace
        self._start = start
        self._changed = changed
        self._editor = str(uuid.uuid4())
        self._count = itertools.count(1)
        self._events: dict[str, int] = {}
        """The number of the last thing that happened to an open file: a look at the disk may come too late."""
        self._due: set[str] = set()
        """Files whose text has not been compared with the disk since it changed."""
        self._looking: set[str] = set()
        self._edited: set[str] = set()
        self.dirty: set[str] = set()

    def opened(self, uri: str) -> None:
        """An editor may open a file with the unsaved edits of last time."""
        if (path := self._paths.relative(uri)) is not None:
            self._paths.opened(path, uri)
            self._edited.discard(path)
            self._look(path)
            self._changed()

    def edited(self, uri: str) -> None:
        if (path := self._paths.relative(uri)) is not None:
            self._edited.add(path)
            self._look(path)

    def saved(self, uri: str) -> None:
        if (path := self._paths.relative(uri)) is not None:
            self._findings.note_saved(path)
            # A save right after an edit comes before the edit was found to be one.
            unsure = path in self._looking and path in self._edited
            self._settle(path)
            if unsure and path not in self.dirty:
                self._findings.note_buffer(path, self._editor, False)
            self._note(path, False)

    def closed(self, uri: str) -> None:
        if (path := self._paths.relative(uri)) is not None:
            self._settle(path)
            self._note(path, False)
            del self._events[path]
            self._paths.closed(path)
            self._changed()

    def forget(self) -> None:
        """The client is gone, and its unsaved edits with it."""
        for path in list(self.dirty):
            self._note(path, False)

    def _settle(self, path: str) -> None:
        self._edited.discard(path)
        self._due.discard(path)
        self._events[path] = next(self._count)

    def _look(self, path: str) -> None:
        self._events[path] = next(self._count)
        self._due.add(path)
        if path not in self._looking:
            self._looking.add(path)
            self._start(self._compare(path))

    async def _compare(self, path: str) -> None:
        """Compares the newest text with the disk, again for as long as something happens meanwhile."""
        try:
            while path in self._due:
                self._due.discard(path)
                seen = self._events[path]
                document = self._workspace.text_documents.get(unquote(self._paths.uri(path)))
                if document is None:
                    return
                differs = await asyncio.to_thread(_differs, document.source, self._paths.absolute(path))
                if seen == self._events.get(path):
                    self._note(path, path in self._edited if differs is None else differs)
        finally:
            self._looking.discard(path)

    def _note(self, path: str, dirty: bool) -> None:
        if dirty == (path in self.dirty):
            return
        (self.dirty.add if dirty else self.dirty.discard)(path)
        self._findings.note_buffer(path, self._editor, dirty)
        self._changed()


def _differs(text: str, path: str) -> bool | None:
    """Whether a buffer holds something else than the file; None where that cannot be said.

    An editor may change the ends of lines and drop a byte order mark when it reads a file; that is no edit.
    """
    known = signature(path)
    if known is None:
        return bool(text.strip())
    if known[1] > READ_BYTES_MAX or (content := read(path)) is None:
        return None
    try:
        return _plain(content.decode()) != _plain(text)
    except UnicodeDecodeError:
        return None


def _plain(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
