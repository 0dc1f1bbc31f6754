"""Files with unsaved edits in some editor: nobody else can warn that a worker has just written one."""

from __future__ import annotations

from sidecar.a2.history import History
from sidecar.a2.versions import USER


class Buffers:
    """Which editors hold unsaved edits of which file, and who wrote it since."""

    def __init__(self) -> None:
        self._holders: dict[str, set[str]] = {}
        self._since: dict[str, int] = {}
        self.written_over: dict[str, str] = {}
        """The worker (job id) that wrote a file while it had unsaved edits."""

    @property
    def dirty(self) -> set[str]:
        """Files with unsaved edits."""
        return set(self._holders)

    def note(self, path: str, editor: str, dirty: bool, seq: int) -> bool:
        """An editor holds unsaved edits of a file, or not any more.

        Args:
            path: the file.
            editor: any name of the connection.
            dirty: whether it holds some now.
            seq: the newest version of the file.

        Returns:
            Whether a warning is over.
        """
        holders = self._holders.setdefault(path, set())
        if dirty:
            if not holders:
                self._since[path] = seq
            holders.add(editor)
            return False
        holders.discard(editor)
        if holders:
            return False
        self._holders.pop(path, None)
        self._since.pop(path, None)
        return self.written_over.pop(path, None) is not None

    def look(self, history: History) -> None:
        """Notes who has written a file since its edits began."""
        for path, since in self._since.items():
            newest = history.newest(path)
            if newest is not None and newest.seq > since:
                for writer in newest.writers:
                    if writer != USER:
                        self.written_over[path] = writer
                        break
