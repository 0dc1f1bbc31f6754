"""`codex-sidecar:` documents: stored versions of a file, the difference of two, and a worker's transcript.

codex-sidecar:/src/app.py?run=r1&side=base          the baseline's content
codex-sidecar:/src/app.py?run=r1&side=w1            what worker w1 wrote
codex-sidecar:/src/app.py?run=r1&side=w1&own=edits  the baseline with the edits of w1 alone
codex-sidecar:/src/app.py.diff?run=r1&side=w1&with=w2
codex-sidecar:/w1-add-retries.md?job=ID             the transcript; the path is for people
codex-sidecar:/w1-add-retries-result.md?job=ID&view=result
codex-sidecar:/Codex Sidecar Setup.md?view=setup
codex-sidecar:/src/app.py?snapshot=ID               the content that a snapshot holds
codex-sidecar:/Commit 9abcdef.diff?commit=ID        a commit's message and its changes
codex-sidecar:/src/app.py?draft=CONFLICT            a merge that could not be written, as long as the client is there

codex-merge:/src/app.py?top=TOP                     the client's own file in memory that takes up a merge of this file
"""

from __future__ import annotations

import asyncio
import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from sidecar.lsp.findings import Findings
from sidecar.model.errors import invalid

if TYPE_CHECKING:
    from sidecar.lsp.pages import Pages
    from sidecar.lsp.transcripts import Transcripts

SCHEME = "codex-sidecar"
MERGE_SCHEME = "codex-merge"
BASE = "base"
DIFF_SUFFIX = ".diff"
TEXT_BYTES_MAX = 8 * 1024 * 1024
"""A larger version is not shown as a text."""


@dataclass(frozen=True)
class Version:
    path: str
    run: str | None
    side: str
    own: bool = False
    """Only what this worker did, without what others had done to the file before."""


@dataclass(frozen=True)
class Difference:
    path: str
    run: str | None
    side: str
    other: str


@dataclass(frozen=True)
class TranscriptOf:
    job_id: str


@dataclass(frozen=True)
class ResultOf:
    job_id: str


@dataclass(frozen=True)
class Setup:
    """What is there of what workers need."""


@dataclass(frozen=True)
class InSnapshot:
    path: str
    snapshot_id: str


@dataclass(frozen=True)
class Draft:
    path: str
    conflict_id: str


@dataclass(frozen=True)
class Commit:
    commit: str


Document = Version | Difference | TranscriptOf | ResultOf | Setup | InSnapshot | Draft | Commit

SETUP_NAME = "Codex Sidecar Setup.md"


def uri_of(document: Version | Difference) -> str:
    """The URI of a version or a difference; a transcript's is made by `transcript_uri`."""
    suffix = DIFF_SUFFIX if isinstance(document, Difference) else ""
    query = {"run": document.run, "side": document.side}
    if isinstance(document, Difference):
        query["with"] = document.other
    elif document.own:
        query["own"] = "edits"
    return _uri(document.path + suffix, query)


def transcript_uri(file_name: str, job_id: str) -> str:
    return _uri(file_name, {"job": job_id})


def result_uri(file_name: str, job_id: str) -> str:
    """The page of a worker's result.

    Args:
        file_name: of the transcript.
    """
    return _uri(f"{file_name.removesuffix('.md')}-result.md", {"job": job_id, "view": "result"})


def setup_uri() -> str:
    return _uri(SETUP_NAME, {"view": "setup"})


def snapshot_uri(path: str, snapshot_id: str) -> str:
    return _uri(path, {"snapshot": snapshot_id})


def commit_uri(commit: str) -> str:
    return _uri(f"Commit {commit[:7]}{DIFF_SUFFIX}", {"commit": commit})


def draft_uri(path: str, conflict_id: str) -> str:
    return _uri(path, {"draft": conflict_id})


def merge_uri(path: str, top: str) -> str:
    """The client's file in memory that takes up a merge."""
    return _uri(path, {"top": top}, MERGE_SCHEME)


def merged_in(uri: str, top: str) -> str | None:
    """The path whose merge a document takes up; None for any other document, and for those of another repository."""
    if not uri.startswith(f"{MERGE_SCHEME}:/") or uri.startswith(f"{MERGE_SCHEME}://"):
        return None
    path, asked = _read(urlsplit(uri))
    return path if path and asked.get("top") == top else None


def _uri(path: str, query: dict[str, str | None], scheme: str = SCHEME) -> str:
    asked = "&".join(f"{name}={quote(os.fsencode(value), safe='')}" for name, value in query.items() if value)
    return f"{scheme}:/{quote(os.fsencode(path))}?{asked}"


def parse(uri: str) -> Document:
    """What a URI names.

    Raises:
        SidecarError: `invalid-arguments`.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise invalid("uri", "not a URI") from None
    if parts.scheme != SCHEME or parts.netloc:
        raise invalid("uri", f"expected {SCHEME}:/…")
    path, asked = _read(parts)
    if "job" in asked:
        return ResultOf(asked["job"]) if asked.get("view") == "result" else TranscriptOf(asked["job"])
    if asked.get("view") == "setup":
        return Setup()
    if "commit" in asked:
        return Commit(asked["commit"])
    if path and "snapshot" in asked:
        return InSnapshot(path, asked["snapshot"])
    if path and "draft" in asked:
        return Draft(path, asked["draft"])
    if not path or "side" not in asked:
        raise invalid("uri", "names no version", f"{SCHEME}:/path?run=RUN&side=base, or a worker's label as the side.")
    if "with" in asked:
        return Difference(path.removesuffix(DIFF_SUFFIX), asked.get("run"), asked["side"], asked["with"])
    return Version(path, asked.get("run"), asked["side"], "own" in asked)


def _read(parts: SplitResult) -> tuple[str, dict[str, str]]:
    """The path and the query of a URI."""
    # Visual Studio Code escapes `=` and `&` too.
    query = parts.query if "=" in parts.query else unquote(parts.query)
    asked = {name: values[-1] for name, values in parse_qs(query, errors="surrogateescape").items()}
    return unquote(parts.path, errors="surrogateescape").lstrip("/"), asked


class Library:
    """Gives the content of documents."""

    def __init__(self, findings: Findings, transcripts: Transcripts, pages: Pages) -> None:
        self._findings = findings
        self._transcripts = transcripts
        self._pages = pages
        self.drafts: dict[str, str] = {}
        """Merges that could not be written, by conflict; the newest of a conflict."""
        self.run_id: str | None = None
        """The open run, the only one whose versions can be told apart by label."""

    async def text(self, uri: str) -> str:
        """The text of a document; a transcript is followed from now on.

        Raises:
            SidecarError: `invalid-arguments`: there is no such document; `unknown-job`.
        """
        document = parse(uri)
        if isinstance(document, TranscriptOf):
            return await self._transcripts.show(document.job_id, uri)
        if isinstance(document, ResultOf):
            return await self._pages.result(document.job_id)
        if isinstance(document, Setup):
            return await self._pages.setup()
        if isinstance(document, InSnapshot):
            return as_text(await self._pages.in_snapshot(document.path, document.snapshot_id))
        if isinstance(document, Commit):
            return as_text(await self._pages.commit(document.commit))
        if isinstance(document, Draft):
            return self._draft(document)
        if document.run and self.run_id and document.run != self.run_id:
            raise invalid("uri", f"the run {document.run[:80]} is over, and another one is open")
        if isinstance(document, Difference):
            return await self.difference(document)
        content = await self._findings.own_edits(document.path, document.side) if document.own else None
        if content is None:
            content = await self._findings.stored_version(document.path, document.side)
        if content is None:
            who = "The baseline" if document.side == BASE else document.side[:80]
            raise invalid("uri", f"{who} has no stored version of {document.path[:200]}")
        return as_text(content)

    def _draft(self, document: Draft) -> str:
        if document.conflict_id not in self.drafts:
            raise invalid("uri", f"no merge of {document.path[:200]} is kept")
        return self.drafts[document.conflict_id]

    async def difference(self, document: Difference) -> str:
        """A unified diff from one side's version to the other's; an absent file is an empty one."""
        sides = (document.side, document.other)
        old, new = [await self._findings.stored_version(document.path, side) for side in sides]
        return await asyncio.to_thread(_diff, document, as_text(old or b""), as_text(new or b""))


def as_text(content: bytes) -> str:
    """A version as an editor shows it."""
    if len(content) > TEXT_BYTES_MAX or b"\0" in content[:8_000]:
        return f"(a binary or very large file of {len(content)} bytes)\n"
    return content.decode("utf-8", "replace")


def _diff(document: Difference, old: str, new: str) -> str:
    found = difflib.unified_diff(
        old.splitlines(True),
        new.splitlines(True),
        f"{document.side}/{document.path}",
        f"{document.other}/{document.path}",
    )
    lines = [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found]
    return "".join(lines) or f"{document.side} and {document.other} wrote the same.\n"
