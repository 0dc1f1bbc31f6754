"""Tries Codex's sandbox with one harmless command: without it every command of a worker fails, and Codex exits with 0.

One try takes 20 to 60 ms; after a success none is made again for the same binary, CODEX_HOME and mode.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from sidecar.model.errors import SidecarError
from sidecar.model.job import Sandbox
from sidecar.worker import program
from sidecar.worker.find import Codex
from sidecar.worker.judge import SANDBOX_HINT, plain, reason_of
from sidecar.worker.user_config import codex_home

SECONDS = 20.0
_CONFIGURATION = re.compile(r"Error loading config|TOML parse error|CODEX_HOME points to|\.toml:\d+|config\.toml")
PROFILES: dict[Sandbox, str] = {"read-only": ":read-only", "workspace-write": ":workspace"}


class Preflight:
    """Remembers successes for as long as the process lives; failures are tried again."""

    def __init__(self) -> None:
        self._passed: set[tuple[object, ...]] = set()
        # One at a time: simultaneous starts over one CODEX_HOME can lose the sandbox helper.
        self._lock = asyncio.Lock()

    async def check(self, codex: Codex, sandbox: Sandbox, *, env: Mapping[str, str], directory: str) -> None:
        """Runs `true` in the sandbox, unless that went well before or there is nothing to try.

        Args:
            env: the environment of the worker, TMPDIR included.
            directory: where the worker starts.

        Raises:
            SidecarError: `sandbox-unavailable` with what Codex printed; `codex-failed` where its configuration is
                broken.
        """
        profile = PROFILES.get(sandbox)
        if profile is None or not codex.is_codex:
            return
        key = (codex.argv, str(codex_home(env)), sandbox)
        async with self._lock:
            if key not in self._passed:
                await self._try(codex, profile, env, directory)
                self._passed.add(key)

    async def _try(self, codex: Codex, profile: str, env: Mapping[str, str], directory: str) -> None:
        argv = [*codex.argv, "sandbox", "-P", profile, "-C", directory, "--", "true"]
        try:
            ran = await program.run(argv, env=env, cwd=directory, seconds=SECONDS)
        except OSError as exc:
            raise SidecarError("codex-failed", f"Codex cannot be started ({exc.strerror}).") from exc
        if ran.code == 0:
            return
        said = reason_of(ran.stderr) or plain(ran.stdout)
        details = {"output": ran.stderr[-4_000:], "exitCode": ran.code, "codex": codex.argv[0]}
        if _CONFIGURATION.search(ran.stderr):
            message = f"Codex does not accept its configuration: {said}"
            hint = f"Look at CODEX_HOME, {codex_home(env)}, and the config.toml in it."
            raise SidecarError("codex-failed", message, hint, details)
        why = said or ("no answer in time" if ran.code is None else f"exit code {ran.code}, and it said nothing")
        raise SidecarError(
            "sandbox-unavailable", f"Codex's sandbox ({profile[1:]}) does not work here: {why}", SANDBOX_HINT, details
        )
