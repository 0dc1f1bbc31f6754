"""The bundled scripted worker for races: it acts within a millisecond of its gate, and its patches are made up late.

A patch of its script is `{"patch": "<order> <pause> <file> <done>"}`: the patch is read from `file` when its turn
comes, and `done` is made afterwards. `order` says when its begin is printed: `early` before the file is written, as
Codex does, with `pause` seconds between; `late` after it, as Codex may on a busy machine.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from sidecar.demo import script, worker
from sidecar.demo.patch import apply_patch

PATIENCE_SECONDS = 300.0


class Racer(worker.Turn):
    def _patch(self, text: str) -> None:
        order, pause, source, done = text.split()
        patch = Path(source).read_text()
        name = patch.split(" File: ", 1)[1].split("\n", 1)[0]
        changes = [{"path": str(Path.cwd() / name), "kind": "update"}]
        item: dict[str, Any] = {"id": f"item_{self._items}", "type": "file_change", "changes": changes}
        if order == "early":
            self._item("started", **item, status="in_progress")
            time.sleep(float(pause))
        try:
            apply_patch(patch, Path.cwd())
            status = "completed"
        except ValueError:
            status = "failed"
        if order == "late":
            time.sleep(float(pause))
            self._item("started", **item, status="in_progress")
        self._item("completed", **item, status=status)
        Path(done).touch()


def wait_until(modifiers: script.Modifiers, pause: Any) -> None:
    """As the bundled one, with a closer look."""
    if modifiers.until is None:
        return
    gate, end = Path(modifiers.until["path"]), time.monotonic() + PATIENCE_SECONDS
    while not gate.is_file() and time.monotonic() < end:
        time.sleep(0.001)


if __name__ == "__main__":
    worker.Turn = Racer  # type: ignore[misc]
    worker.wait_until = wait_until
    sys.exit(worker.main())
