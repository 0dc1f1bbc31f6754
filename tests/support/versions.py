"""Another version of the package, as a process meets it: a copy of the source with another number."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import sidecar

SOURCE = Path(sidecar.__file__).parent


def install(directory: Path, version: str, *, edits: dict[str, str] | None = None) -> dict[str, str]:
    """Copies the package to `directory`, as `version`.

    Args:
        directory: where to; made if it is missing.
        version: what the copy says it is.
        edits: text to append to files of the copy, by their path in the package.

    Returns:
        The environment in which `python -m sidecar` is the copy.
    """
    copy = directory / "sidecar"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    text = (copy / "__init__.py").read_text()
    (copy / "__init__.py").write_text(text.replace(f'"{sidecar.__version__}"', f'"{version}"'))
    for name, appended in (edits or {}).items():
        with (copy / name).open("a") as file:
            file.write(appended)
    return {**os.environ, "PYTHONPATH": str(directory)}
