"""Which git there is."""

from __future__ import annotations

from sidecar.model.errors import SidecarError


def git_version() -> tuple[int, ...]:
    """The version of the git that every call uses, for instance (2, 39, 5). Blocks (one process).

    Raises:
        SidecarError: `state-unavailable` where git is missing or does not run.
    """
    from git import Git, GitCommandError, GitCommandNotFound

    try:
        return tuple(Git().version_info)
    except (GitCommandError, GitCommandNotFound) as exc:
        raise SidecarError(
            "state-unavailable", "The program `git` does not run.", "Install Git 2.39 or newer."
        ) from exc
