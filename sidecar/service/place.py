"""Which work tree a directory belongs to, and where that work tree's sidecar keeps its state.

Standard library only and without running git: the pump goes through here each time an editor starts it. The rules are
git's own, with one exception: `GIT_DIR` and `GIT_WORK_TREE` are not looked at, because one sidecar serves clients with
different environments, and a boss that was started by a git hook carries them by accident.
"""

from __future__ import annotations

import os

STATE_NAME = "codex-sidecar"


class Place:
    """One work tree.

    Attributes:
        top: its top level, absolute, without symbolic links.
        git_dir: its own git directory (a linked work tree has one of its own), likewise.
        state_dir: where its sidecar keeps everything.
    """

    __slots__ = ("git_dir", "state_dir", "top")

    def __init__(self, top: str, git_dir: str) -> None:
        self.top = top
        self.git_dir = git_dir
        self.state_dir = os.path.join(git_dir, STATE_NAME)


def find_place(directory: str) -> Place | None:
    """The work tree that holds `directory`; None outside of one, in a bare repository, and inside a git directory."""
    here = os.path.realpath(directory)
    ceilings = _ceilings()
    try:
        device = os.stat(here).st_dev
    except OSError:
        return None
    while True:
        git_dir = _git_dir_of(here)
        if git_dir is not None:
            usable = _is_git_dir(git_dir) and not _is_bare(git_dir)
            return Place(here, git_dir) if usable else None
        if _is_git_dir(here):
            return None
        parent = os.path.dirname(here)
        if parent == here or parent in ceilings or not _same_device(parent, device):
            return None
        here = parent


def _git_dir_of(top: str) -> str | None:
    """What `.git` in `top` stands for; None: there is no `.git` that git would look at."""
    dot_git = os.path.join(top, ".git")
    if os.path.isdir(dot_git):
        found = os.path.realpath(dot_git)
        return found if _is_git_dir(found) else None
    try:
        with open(dot_git, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(65_536)
    except OSError:
        return None
    # git stops at such a file also where it leads nowhere: what is further up is another repository.
    return os.path.realpath(os.path.join(top, text.partition("gitdir: ")[2].rstrip("\r\n")))


def _is_git_dir(path: str) -> bool:
    """git's own test: HEAD, and objects and refs either here or in the common directory."""
    if not os.path.lexists(os.path.join(path, "HEAD")):
        return False
    if os.path.exists(os.path.join(path, "commondir")):
        return True
    return all(os.path.isdir(os.path.join(path, name)) for name in ("objects", "refs"))


def _is_bare(git_dir: str) -> bool:
    # A linked work tree shares the configuration of a repository that may well be bare.
    if os.path.exists(os.path.join(git_dir, "commondir")):
        return False
    bare = False
    for name in ("config", "config.worktree"):
        try:
            with open(os.path.join(git_dir, name), encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        section = ""
        for line in map(str.strip, lines):
            if line.startswith("["):
                section = line.lower()
            elif section.startswith("[core]") and line.lower().startswith("bare"):
                key, equals, value = line.partition("=")
                if key.strip().lower() == "bare":
                    bare = not equals or value.strip().lower() in ("true", "yes", "on", "1")
    return bare


def _ceilings() -> set[str]:
    listed = os.environ.get("GIT_CEILING_DIRECTORIES", "")
    return {os.path.realpath(path) for path in listed.split(os.pathsep) if os.path.isabs(path)}


def _same_device(path: str, device: int) -> bool:
    if os.environ.get("GIT_DISCOVERY_ACROSS_FILESYSTEM", "").lower() in ("1", "true", "yes", "on"):
        return True
    try:
        return os.stat(path).st_dev == device
    except OSError:
        return False


def prepare_state_dir(place: Place) -> None:
    """Makes the state directory, 0700. Blocks.

    Raises:
        SidecarError: `state-unavailable`.
    """
    try:
        try:
            os.mkdir(place.state_dir, 0o700)
        except FileExistsError:
            mode = os.stat(place.state_dir).st_mode
            if mode & 0o077:
                os.chmod(place.state_dir, 0o700)
    except OSError as exc:
        raise state_unavailable(place, exc) from exc


def state_unavailable(place: Place, exc: OSError) -> Exception:
    """The error for a state directory that cannot be used."""
    from sidecar.model.errors import SidecarError

    return SidecarError(
        "state-unavailable",
        f"The state directory {place.state_dir} cannot be used ({exc.strerror or exc}).",
        "Make it a directory of yours that can be written, on a file system with free space.",
        {"path": place.state_dir},
    )


def directory_id(path: str) -> str:
    """What stays the same when a directory is moved, and differs in a copy of it.

    Raises:
        OSError: it is gone.
    """
    status = os.stat(path)
    return f"{status.st_dev}:{status.st_ino}"
