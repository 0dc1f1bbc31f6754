"""What must be there for workers to run, checked one by one, each with its remedy."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar import __version__
from sidecar.model.errors import SidecarError
from sidecar.model.outputs import CheckOutput, DoctorOutput
from sidecar.model.settings import CodexSettings
from sidecar.tools.caller import Client

if TYPE_CHECKING:
    from sidecar.service.core import Core

GIT_MINIMUM = (2, 38)
"""`git merge-tree --write-tree` came with it."""


def check(
    name: str, ok: bool, message: str, hint: str = "", *, required: bool = True, **details: object
) -> CheckOutput:
    """One line of the doctor; the hint is dropped where nothing is wrong."""
    return CheckOutput(name=name, ok=ok, required=required, message=message, hint="" if ok else hint, details=details)


async def run_checks(core: Core | None, client: Client) -> DoctorOutput:
    """All checks. Without a core (outside a repository) those that need one say so."""
    from sidecar.worker.backend import CodexBackend

    checks = [_python(), await _git(client)]
    if core is None:
        hint = "Change into a Git repository, or run `git init` there."
        checks.append(check("repository", False, f"{client.cwd} is not inside a Git repository.", hint))
        backend, settings, top = CodexBackend(), CodexSettings(), client.cwd
        checks += await backend.checks(settings, client.env, top)
    else:
        checks.append(await _repository(core))
        checks.append(await asyncio.to_thread(_state_directory, core.state_dir))
        checks += await core.manager.backend.checks(core.settings.codex, client.env, core.top)
    return DoctorOutput(ok=all(one.ok or not one.required for one in checks), version=__version__, checks=checks)


def _python() -> CheckOutput:
    found = platform.python_version()
    return check(
        "python", sys.version_info >= (3, 10), f"Python {found}", "Install Python 3.10 or newer.", version=found
    )


async def _git(client: Client) -> CheckOutput:
    from sidecar.git.version import git_version

    path = shutil.which("git", path=client.env.get("PATH", os.defpath))
    if path is None:
        return check("git", False, "The program `git` was not found.", "Install Git 2.39 or newer.")
    try:
        version = await asyncio.to_thread(git_version)
    except SidecarError as exc:
        return check("git", False, exc.message, exc.hint, path=path)
    ok = version >= GIT_MINIMUM
    shown = ".".join(map(str, version))
    return check("git", ok, f"Git {shown} ({path})", "Install Git 2.39 or newer.", path=path, version=shown)


async def _repository(core: Core) -> CheckOutput:
    try:
        head = await core.runs.head()
    except SidecarError as exc:
        return check("repository", False, exc.message, exc.hint, top=core.top)
    at = f"at {head[:10]}" if head else "without a commit yet"
    return check("repository", True, f"{core.top} {at}", top=core.top, head=head)


def _state_directory(state_dir: Path) -> CheckOutput:
    probe = state_dir / ".probe"
    try:
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        free = shutil.disk_usage(state_dir).free
    except OSError as exc:
        hint = "Make it writable, or free disk space; jobs cannot be recorded without it."
        return check(
            "state directory", False, f"{state_dir} cannot be written ({exc.strerror}).", hint, path=str(state_dir)
        )
    log = str(state_dir / "sidecar.log")
    return check(
        "state directory", True, f"{state_dir} ({free // 2**20} MiB free)", path=str(state_dir), log=log, freeBytes=free
    )
