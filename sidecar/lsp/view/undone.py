"""Which files that workers wrote are as the baseline has them again: rolled back, or undone in any other way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.a2.scene import Scene


def undone(scene: Scene | None) -> frozenset[str]:
    """Paths whose newest version is the baseline's, as far as the witness has seen. Reads memory only.

    A file without a version, which a worker only reports, is not among them: nothing is known of it.
    """
    if scene is None:
        return frozenset()
    return frozenset(path for path in scene.history.versions if _as_before(scene, path))


def _as_before(scene: Scene, path: str) -> bool:
    before, now = scene.base_of(path), scene.now_known(path)
    if now.oid is None:
        return before.oid is None
    # An empty id: the content was not kept, and nobody can compare it.
    return bool(now.oid) and (now.oid, now.mode) == (before.oid, before.mode)
