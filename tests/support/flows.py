"""Tools that a test answers by itself, and jobs for the tree, for tests of the actions of the palette."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from sidecar.tools import table
from tests.support.lsp import AnythingOutput, add_tool
from tests.support.lsp_conflicts import World


class Calls:
    """Stands in for tools: what they were called with, and the errors that they are to answer, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.made: list[tuple[str, Any]] = []
        self.errors: list[SidecarError] = []
        for name in names:
            self._stand_in(monkeypatch, name)

    def _stand_in(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        async def handler(caller: Any, asked: Any) -> Any:
            given = {field: getattr(asked, field) for field in asked.__struct_fields__}
            self.made.append((name, {key: one for key, one in given.items() if type(one).__name__ != "UnsetType"}))
            if self.errors:
                raise self.errors.pop(0)
            return AnythingOutput()

        add_tool(monkeypatch, name, handler, table.BY_NAME[name].input)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.made]


def put(world: World, label: str, status: str = "running", *paths: str, **more: Any) -> None:
    """Adds a worker that changed these paths, or changes what is known of it."""
    touched = [{"path": path, "change": "modified", "attribution": "seen"} for path in paths]
    facts: dict[str, Any] = {
        "label": label, "title": f"title of {label}", "sandbox": "workspace-write", "access": "write",
        "touchedFiles": touched, "runId": "run-1", **more,
    }  # fmt: skip
    world.core.put(f"job-{label}", status=status, **facts)
