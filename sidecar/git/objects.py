"""Contents for those who know nothing of git: stored byte for byte, read by id, kept as long as somebody says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sidecar.git import commits
from sidecar.git.blobs import Large, Stored, read_blobs, store_many, store_paths
from sidecar.git.commits import FILE, PREFIX, Entry
from sidecar.git.repository import Repository
from sidecar.git.state import open_work
from sidecar.model.errors import SidecarError

ATTEMPTS = 4


class Objects:
    """The contents in one repository. Every method blocks.

    Raises (all methods):
        SidecarError: `state-unavailable` where git or the file system refuses, or an object is missing.
    """

    def __init__(self, repository: Repository, state_dir: Path) -> None:
        self._repository = repository
        self._state_dir = state_dir

    def store_paths(self, paths: Iterable[str], *, large: Large = "note") -> dict[str, Stored]:
        """What stands at these paths of the work tree now, each file's bytes stored.

        Args:
            large: what to do with files above `LARGE_BYTES`.
        """
        with open_work(self._repository, self._state_dir) as work:
            return store_paths(work, paths, large=large)

    def store(self, *contents: bytes) -> list[str]:
        """Stores contents that are no files (an editor's buffer, a merge); their ids in the same order."""
        with open_work(self._repository, self._state_dir) as work:
            return store_many(work, contents)

    def read(self, oids: Iterable[str]) -> dict[str, bytes]:
        """Contents by id."""
        with open_work(self._repository, self._state_dir) as work:
            return read_blobs(work.git, oids)

    def keep(self, name: str, oids: Iterable[str]) -> None:
        """Makes `git gc` keep exactly these contents under this name; what the name kept before is let go of.

        A stored content that no ref holds may be pruned, two weeks later as git is usually set up.

        Args:
            name: letters, digits, `-` and `_`; a run's id, for instance.
        """
        ref = commits.check_ref(f"{PREFIX}kept/{name}")
        with open_work(self._repository, self._state_dir) as work:
            files = {f"{oid[:2]}/{oid}": Entry(FILE, oid) for oid in oids}
            tree = commits.write_tree(work.git, files)
            commit = commits.commit(work.git, tree, [], f"codex-sidecar keeps {len(files)} contents for {name}\n")
            for _ in range(ATTEMPTS):
                if commits.set_ref(work.git, ref, commit, commits.resolve_ref(work.git, ref)):
                    return
        raise SidecarError("busy", f"{ref} is being changed by somebody else.", "Try again.")

    def let_go(self, name: str) -> None:
        """Keeps nothing under this name any more."""
        ref = commits.check_ref(f"{PREFIX}kept/{name}")
        with open_work(self._repository, self._state_dir) as work:
            commit = commits.resolve_ref(work.git, ref)
            if commit is not None:
                commits.delete_refs(work.git, {ref: commit})
