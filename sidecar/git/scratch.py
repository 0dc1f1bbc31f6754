"""A bare repository of our own for one operation: it reads the real one's objects; what it writes is gone afterwards.

Merges and diffs run there. Nothing is left in the person's repository, and nothing of that repository's configuration
or attributes has a say.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sidecar.git import hardening
from sidecar.git.plumbing import Git
from sidecar.git.state import Work


@contextlib.contextmanager
def scratch_repository(work: Work, sample: str) -> Iterator[Work]:
    """The same `Work`, but with `git` running in a scratch repository. Blocks.

    Args:
        sample: any object id of the real repository; its length says which hash is in use.
    """
    from git import Repo

    with work.state.scratch() as directory:
        home = directory / "scratch.git"
        _make(home, sha256=len(sample) == 64)
        with Repo(home) as repo:
            env = hardening.scratch_environment(os.fspath(work.git.common_dir / "objects"))
            # Named outright: a person may have told git to find no bare repositories by itself.
            repo.git.update_environment(**env, GIT_DIR=os.fspath(home))
            yield work._replace(git=Git(repo, home, home))


def _make(home: Path, *, sha256: bool) -> None:
    for path in (home, home / "objects", home / "refs"):
        path.mkdir(mode=0o700)
    (home / "HEAD").write_text("ref: refs/heads/none\n")
    version, extension = (1, "[extensions]\n\tobjectFormat = sha256\n") if sha256 else (0, "")
    (home / "config").write_text(f"[core]\n\trepositoryFormatVersion = {version}\n\tbare = true\n{extension}")
