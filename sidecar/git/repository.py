"""Every git call of the product. GitPython for the plumbing, one `Repo` for each call, never on the event loop.

The environment is hardened: a hostile repository configuration (fsmonitor, hooks, its own filters) executes nothing
when the sidecar looks at the repository, and nothing takes a lock that a person's git would meet.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.git import hardening
from sidecar.git.plumbing import Git
from sidecar.model.errors import SidecarError

if TYPE_CHECKING:
    from git import Repo

# `git rev-parse --local-env-vars`: they would point git somewhere else than the directory it is given.
LOCAL_ENV = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
)
TIMEOUT_SECONDS = 120.0


def forget_local_environment() -> None:
    """Removes git's own variables from this process, so that every later git call sees the directory it names."""
    for name in LOCAL_ENV:
        os.environ.pop(name, None)


class Repository:
    """One work tree. Every method blocks (a git process, 2 to 300 ms): call it in a thread.

    Raises (all methods):
        SidecarError: `not-a-repository` where git does not take the directory for one; `internal` otherwise.
    """

    def __init__(self, top: Path, git_dir: Path) -> None:
        self.top = top
        self.git_dir = git_dir

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Repo, hardening.Programs]]:
        from git import GitCommandError, GitCommandNotFound, InvalidGitRepositoryError, NoSuchPathError, Repo

        try:
            with Repo(self.top) as repo:
                programs = hardening.look(repo)
                repo.git.update_environment(**hardening.environment(os.fspath(self.top), programs))
                yield repo, programs
        except (InvalidGitRepositoryError, NoSuchPathError) as exc:
            raise SidecarError(
                "not-a-repository", f"{self.top} is not a Git work tree.", "Run `git init` there."
            ) from exc
        except GitCommandNotFound as exc:
            raise SidecarError(
                "state-unavailable", "The program `git` was not found.", "Install Git 2.39 or newer."
            ) from exc
        except GitCommandError as exc:
            words = (exc.stderr or "").strip().splitlines()
            said = words[-1].removeprefix("stderr: '").removesuffix("'") if words else f"exit status {exc.status}"
            raise SidecarError(
                "state-unavailable",
                f"git failed in {self.top}: {said}",
                "Run `git status` there; what it says has to be mended first.",
                {"status": exc.status if isinstance(exc.status, int) else str(exc.status)},
            ) from exc

    @contextlib.contextmanager
    def plumbing(self, *pairs: tuple[str, str]) -> Iterator[Git]:
        """An open repository for the plumbing, in one thread at a time: paths are literal, what is stored is lasting.

        Blocks (one git process).

        Args:
            pairs: more configuration for its commands.

        Raises:
            SidecarError: as all methods do, also for what fails inside the `with` block.
        """
        with self._opened() as (repo, programs):
            top = os.fspath(self.top)
            repo.git.update_environment(**hardening.plumbing_environment(top, programs, pairs, filters=True))
            bare = hardening.plumbing_environment(top, programs, pairs, filters=False)
            quick = hardening.plumbing_environment(top, programs, (*pairs, *hardening.UNSYNCED), filters=True)
            yield Git(repo, self.top, self.git_dir, without_filters=bare, unsynced=quick)

    def head(self) -> str | None:
        """The commit that HEAD names (40 or 64 hex digits), None on a branch without a commit."""
        with self._opened() as (repo, _):
            status, out, _ = repo.git.rev_parse(
                "--verify", "--quiet", "HEAD^{commit}", with_exceptions=False, with_extended_output=True
            )
            return str(out).strip() if status == 0 else None

    def dirty_paths(self) -> list[str]:
        """What `git status --porcelain` lists: paths relative to the top level, `/`-separated; empty: clean.

        Names that are not UTF-8 carry surrogate escapes. A submodule counts where another commit is checked out in it;
        its own files are never looked at, because that would run what its own configuration names.
        """
        with self._opened() as (repo, _):
            out: bytes = repo.git.status(
                "--porcelain=v1", "-z", "--ignore-submodules=dirty",
                stdout_as_string=False, strip_newline_in_stdout=False, kill_after_timeout=TIMEOUT_SECONDS,
            )  # fmt: skip
        paths: list[str] = []
        entries = iter(out.split(b"\0"))
        for entry in entries:
            if len(entry) < 4:
                continue
            paths.append(os.fsdecode(entry[3:]))
            if b"R" in entry[:2] or b"C" in entry[:2]:
                next(entries, None)  # The entry after a rename is its old name.
        return paths
