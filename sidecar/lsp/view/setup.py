"""Whether workers can run at all, as far as that is cheap to know: is Codex there, is it logged in?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sidecar.lsp.view.shapes import SetupNeed
from sidecar.model.errors import SidecarError
from sidecar.worker.login import check_login
from sidecar.worker.user_config import load_user_config

if TYPE_CHECKING:
    from sidecar.model.settings import CodexSettings
    from sidecar.service.core import Core

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
"""How often something that is missing is looked for again: a person installs Codex, or signs in, in a terminal."""


class Setup:
    """What one client's environment lacks. Asks again only when the settings change, or while something is missing."""

    def __init__(self, core: Core, env: Mapping[str, str], changed: Callable[[], None]) -> None:
        self._core = core
        self._env = env
        self._changed = changed
        self._asked: CodexSettings | None = None
        self._again = asyncio.Event()
        self.need: SetupNeed | None = None

    def touch(self) -> None:
        """The settings may have changed."""
        if self._asked is not None and self._core.settings.codex != self._asked:
            self._again.set()

    async def run(self) -> None:
        """Checks, and checks again where that may have become wrong, until cancelled."""
        while True:
            self._again.clear()
            self._asked = self._core.settings.codex
            need = await self._look(self._asked)
            if need != self.need:
                self.need = need
                self._changed()
            try:
                await asyncio.wait_for(self._again.wait(), AGAIN_SECONDS if self.need else None)
            except asyncio.TimeoutError:
                continue

    async def _look(self, settings: CodexSettings) -> SetupNeed | None:
        top, backend = self._core.top, self._core.manager.backend
        try:
            codex = await backend.locate(settings, self._env)
            if not codex.is_codex:
                return None
            config = await asyncio.to_thread(load_user_config, self._env, top, top, settings.extra_args)
            login = await check_login(codex, config, self._env)
        except SidecarError as exc:
            if exc.kind == "codex-not-found":
                return "noCodex"
            logger.warning("the setup cannot be checked: %s", exc.message)
            return self.need
        return None if login.ok else "notLoggedIn"
