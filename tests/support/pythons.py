"""Pythons that somebody may have: too old, or without a part."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path


def program(path: Path, text: str) -> Path:
    """A shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python_of_version(path: Path, *version: int) -> Path:
    """The Python of the tests, which says of itself that it is another version when it runs a directory."""
    code = f"import runpy, sys; sys.version_info = ({', '.join(map(str, version))}, 'final', 0); del sys.argv[0]; "
    code += "sys.path.insert(0, sys.argv[0]); runpy.run_path(sys.argv[0], run_name='__main__')"
    python = sys.executable
    skipped = 'while [ "${1#-}" != "$1" ]; do shift; done'
    return program(path, f'[ "$1" = -c ] && exec \'{python}\' "$@"\n{skipped}\nexec \'{python}\' -c "{code}" "$@"')


def python_without(module: str, prefix: Path) -> Path:
    """The Python of the tests with all of its standard library but a module."""
    library = Path(sysconfig.get_path("stdlib"))
    mine = prefix / library.parent.name / library.name
    mine.mkdir(parents=True)
    (prefix / "bin").mkdir()
    command = prefix / "bin" / "python3"
    shutil.copy(Path(sys.executable).resolve(), command)
    for path in [*library.parent.glob("libpython*"), *library.iterdir()]:
        if path.name != module:
            (mine.parent if path.parent == library.parent else mine).joinpath(path.name).symlink_to(path)
    return command
