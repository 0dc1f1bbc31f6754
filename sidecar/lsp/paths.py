"""Between the names that an editor gives files and paths in the repository.

Git names the work tree by its real path; an editor names it as the person opened it, through a symbolic link, say, or
by a folder inside it. Both must find each other, and an editor must get back the very names that it uses, or it shows
a problem on a file that it thinks is another one.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

_SAFE = "/-._~!$&'()*+,;=:@"
"""What a path may hold unescaped in a URI (RFC 3986)."""


def file_uri(path: str) -> str:
    """The URI of an absolute path, its bytes percent-encoded."""
    return "file://" + quote(os.fsencode(path), safe=_SAFE)


def file_path(uri: str) -> str | None:
    """The absolute path that a `file:` URI names, without `.` and `..`; None for every other URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        return None
    # A `?` or `#` that a client forgot to escape is part of the name: file URIs have neither query nor fragment.
    rest = uri.partition(":")[2].removeprefix("//").removeprefix(parts.netloc)
    raw = unquote_to_bytes(rest)
    if b"\0" in raw:
        return None
    return posixpath.normpath("/" + os.fsdecode(raw).lstrip("/"))


def inside(path: str, top: str) -> str | None:
    """`path` relative to `top`, by its text; None where it is not below it."""
    prefix = top.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) and len(path) > len(prefix) else None


@dataclass(frozen=True)
class _Root:
    """A directory as the client names it, and the path in the repository that it stands for (empty: the top)."""

    named: str
    inner: str


class Paths:
    """The names of one client for the files of one work tree."""

    def __init__(self, top: str, folders: Iterable[str] = ()) -> None:
        """Blocks for a moment: symbolic links are followed.

        Args:
            top: the work tree's top level, as git names it.
            folders: URIs of the folders that the client has open.
        """
        self._top = top
        self._real_top = os.path.realpath(top)
        self._open: dict[str, str] = {}
        roots = [root for folder in folders if (root := self._root_of(folder)) is not None]
        # The longest name first, so that the folder nearest to a file decides.
        self._roots = sorted({*roots, _Root(top, ""), _Root(self._real_top, "")}, key=lambda root: -len(root.named))
        self._preferred = sorted(roots, key=lambda root: -len(root.inner))

    def _root_of(self, folder: str) -> _Root | None:
        named = file_path(folder)
        if named is None:
            return None
        real = os.path.realpath(named)
        if real == self._real_top:
            return _Root(named, "")
        if (below := inside(real, self._real_top)) is not None:
            # A folder of the work tree: its parents give the top's name, unless the folder itself is the link.
            parent = named.removesuffix("/" + below)
            if parent != named and os.path.realpath(parent) == self._real_top:
                return _Root(parent, "")
            return _Root(named, below)
        if (above := inside(self._real_top, real)) is not None:
            return _Root(posixpath.join(named, above), "")
        return None

    def relative(self, uri: str) -> str | None:
        """The path in the repository, `/`-separated, of what a client names so.

        None for everything outside, and for what is Git's own.
        """
        found = self._relative(uri)
        return None if found is None or found.split("/")[0] == ".git" else found

    def _relative(self, uri: str) -> str | None:
        path = file_path(uri)
        if path is None:
            return None
        for root in self._roots:
            if (found := inside(path, root.named)) is not None:
                return posixpath.join(root.inner, found)
        # A name through a link that no folder has shown: the directory is what can be one, the file itself may be.
        parent, name = posixpath.split(path)
        return inside(posixpath.join(os.path.realpath(parent), name), self._real_top)

    def uri(self, path: str) -> str:
        """What this client calls a file of the repository."""
        if path in self._open:
            return self._open[path]
        for root in self._preferred:
            if not root.inner:
                return file_uri(posixpath.join(root.named, path))
            if (found := inside(path, root.inner)) is not None:
                return file_uri(posixpath.join(root.named, found))
        return file_uri(posixpath.join(self._top, path))

    def absolute(self, path: str) -> str:
        """Where the file is."""
        return posixpath.join(self._top, path)

    def opened(self, path: str, uri: str) -> None:
        """The client has a file open under this very name."""
        self._open[path] = uri

    def closed(self, path: str) -> None:
        self._open.pop(path, None)
