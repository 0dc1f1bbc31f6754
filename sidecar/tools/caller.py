"""Who calls a tool."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sidecar.model.errors import SidecarError

if TYPE_CHECKING:
    from sidecar.service.core import Core

Frontend = Literal["lsp", "mcp", "cli"]


@dataclass(frozen=True)
class Client:
    """What a front end said about itself when it connected."""

    frontend: Frontend
    version: str
    cwd: str = field(default_factory=os.getcwd)
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    pid: int | None = None


@dataclass(frozen=True)
class Caller:
    """The context of one tool call.

    `core` is None outside a repository; every tool then answers `not-a-repository`.
    `report_progress(done, total, text)` is there where the protocol can show progress during a call.
    """

    core: Core | None
    client: Client
    report_progress: Callable[[float, float | None, str], Awaitable[None]] | None = None

    def work_tree(self) -> Core:
        """The core of the repository in which the caller is.

        Raises:
            SidecarError: `not-a-repository`.
        """
        if self.core is None:
            raise SidecarError(
                "not-a-repository",
                f"{self.client.cwd} is not inside a Git repository.",
                "Open a folder of a Git repository, or run `git init` there.",
                {"directory": self.client.cwd},
            )
        return self.core
