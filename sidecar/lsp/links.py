"""Where a client finds versions and transcripts: virtual documents, or files for an editor that has none."""

from __future__ import annotations

from sidecar.lsp.document_files import DocumentFiles
from sidecar.lsp.documents import DIFF_SUFFIX, Difference, Library, Version, transcript_uri, uri_of
from sidecar.lsp.findings import Findings
from sidecar.lsp.paths import file_uri
from sidecar.lsp.transcript import name
from sidecar.lsp.transcripts import Transcripts


class Links:
    """URIs that the client can open. What is not there, or cannot be written, has none."""

    def __init__(
        self, findings: Findings, library: Library, transcripts: Transcripts, files: DocumentFiles | None
    ) -> None:
        """
        Args:
            files: None for a client with virtual documents.
        """
        self._findings = findings
        self._library = library
        self._transcripts = transcripts
        self._files = files

    async def version(self, path: str, side: str, content: bytes) -> str | None:
        """A stored version of a file.

        Args:
            content: the version, as it was read just now.
        """
        run = self._library.run_id
        if self._files is None:
            return uri_of(Version(path, run, side))
        return await self._file(content, run or "no run", side, path)

    async def difference(self, path: str, side: str, other: str) -> str | None:
        """What turns one side's version of a file into another's."""
        document = Difference(path, self._library.run_id, side, other)
        if self._files is None:
            return uri_of(document)
        text = await self._library.difference(document)
        levels = (document.run or "no run", f"{side}-{other}")
        return await self._file(text.encode("utf-8", "replace"), *levels, path + DIFF_SUFFIX)

    async def transcript(self, job_id: str, label: str, title: str) -> str | None:
        """A worker's transcript.

        Raises:
            SidecarError: `unknown-job`.
        """
        if self._files is None:
            return transcript_uri(name(label, title), job_id)
        path = await self._transcripts.write(job_id, label, title)
        return None if path is None else file_uri(str(path))

    async def _file(self, content: bytes, *parts: str) -> str | None:
        assert self._files is not None
        try:
            path = self._files.path(*parts)
        except ValueError:
            return None
        return file_uri(str(path)) if await self._files.write(path, content) else None
