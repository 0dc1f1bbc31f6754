"""The stored versions of one file, oldest first, and who wrote each.

What lines, conflicts and merges are decided from. Contents come in as bytes; nothing here reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from sidecar.model.job import Attribution

USER = "user"
"""Stands among the writers for a person; no job id looks like it."""
BINARY_PROBE_BYTES = 8_000
"""Git calls a file binary when a NUL byte stands within its first 8,000 bytes; so do we, or merges would differ."""


@dataclass(frozen=True, slots=True)
class Version:
    """One content that a file had.

    Args:
        content_id: names the stored content (a blob id); None where the file was absent.
        content: the bytes as they were; None where the file was absent.
        writers: job ids or USER; several where it was one of them, none where nobody is known. The baseline has none.
        attribution: how the writers are known.
        seq: orders the versions of a file; the baseline has the lowest.
        at: seconds since 1970 (UTC) when it was seen; None where unknown.
    """

    content_id: str | None
    content: bytes | None
    writers: tuple[str, ...] = ()
    attribution: Attribution = "seen"
    seq: int = 0
    at: float | None = None

    @property
    def writer(self) -> str | None:
        """Who wrote it, if that is certain: one writer, and it was seen."""
        return self.writers[0] if len(self.writers) == 1 and self.attribution == "seen" else None

    @property
    def binary(self) -> bool:
        return self.content is not None and b"\0" in self.content[:BINARY_PROBE_BYTES]


@dataclass(frozen=True, slots=True)
class Chain:
    """All versions of one path, the baseline first.

    Raises:
        ValueError: there is no baseline, or the sequence numbers do not rise.
    """

    path: str
    versions: tuple[Version, ...]

    def __post_init__(self) -> None:
        if not self.versions:
            raise ValueError(f"{self.path}: a chain begins with its baseline")
        numbers = [version.seq for version in self.versions]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise ValueError(f"{self.path}: the versions of a chain must be in order, got {numbers}")

    @property
    def baseline(self) -> Version:
        return self.versions[0]

    @property
    def newest(self) -> Version:
        return self.versions[-1]

    @property
    def binary(self) -> bool:
        """Whether any of its contents cannot be taken line by line."""
        return any(version.binary for version in self.versions)

    def written_by(self, writer: str) -> list[int]:
        """Indices of the versions that this writer wrote or may have written."""
        return [index for index, version in enumerate(self.versions) if index and writer in version.writers]

    def stored_for(self, writer: str) -> bool:
        """Whether there is a version that certainly is this writer's."""
        return any(version.writer == writer for version in self.versions[1:])

    def deleted_by(self, writer: str) -> bool:
        """Whether the last thing that this writer did, or may have done, with the file was to remove it."""
        own = self.written_by(writer)
        return bool(own) and self.versions[own[-1]].content is None

    def with_version(self, version: Version) -> Chain:
        """This chain and one newer version."""
        return Chain(self.path, (*self.versions, version))
