"""Neovim, without a screen, as an editor that knows nothing of this project."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock


def neovim() -> str:
    """The program. In CI it is installed where it is missing, on a person's machine the test is skipped."""
    found = shutil.which("nvim")
    if found is None and os.environ.get("CI") == "true":
        found = _install()
    if found is None:
        pytest.skip("Neovim is not installed (Debian: apt-get install neovim)")
    return found


def _install() -> str:
    with FileLock(Path(tempfile.gettempdir()) / "codex-sidecar-tests-apt.lock"):
        if shutil.which("nvim") is None:
            if os.getuid() != 0 or shutil.which("apt-get") is None:
                pytest.fail("Neovim is missing, and only root can install it on Debian")
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "neovim"]):
                subprocess.run(["apt-get", *words], check=True, env=env, stdout=subprocess.DEVNULL, timeout=300)
    found = shutil.which("nvim")
    assert found is not None
    return found
