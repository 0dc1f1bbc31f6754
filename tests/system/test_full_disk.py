"""The disk is full while jobs are spawned and while they end: refused clearly, or told later, never lost."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest


def in_small_disk(mount: Path, module: str, megabytes: int) -> dict[str, object]:
    """Runs `python -m module MOUNT` with a tmpfs of that size at MOUNT, seen by nobody else."""
    mount.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    at = shlex.quote(str(mount))
    script = f"mount -t tmpfs -o size={megabytes}m tmpfs {at} && exec {sys.executable} -m {module} {at}"
    done = subprocess.run([*unshare, "sh", "-c", script], capture_output=True, text=True, timeout=60)
    if "unshare" in done.stderr and "Operation not permitted" in done.stderr:
        pytest.skip("this machine allows no mount namespaces")
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


@pytest.mark.slow
def test_a_full_disk_refuses_new_jobs_and_delays_but_never_loses_an_end(tmp_path: Path) -> None:
    told = in_small_disk(tmp_path / "disk", "tests.support.full_disk_manager", 2)
    assert told == {
        "refused": "state-unavailable",
        "ran": False,
        "directories": 1,
        "ended while full": None,
        "status while full": "running",
        "end": ["done", 0, "T"],
        "again": ["w2", "done"],
    }
