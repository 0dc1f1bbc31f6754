"""The kind of worker that the job manager runs: the real Codex CLI, one process a job."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar.model.errors import SidecarError
from sidecar.model.job import Job
from sidecar.model.outputs import CheckOutput
from sidecar.model.settings import CodexSettings
from sidecar.worker import config_check, private_tmp
from sidecar.worker.command import Invocation, build_argv, build_env, write_files
from sidecar.worker.contract import REPORT_SCHEMA, developer_instructions
from sidecar.worker.find import Codex, Finder
from sidecar.worker.judge import Verdict, judge
from sidecar.worker.login import check_login
from sidecar.worker.preflight import PROFILES, Preflight
from sidecar.worker.program import in_thread
from sidecar.worker.stream import StreamParser
from sidecar.worker.user_config import UserConfig, codex_home, load_user_config


class CodexBackend:
    """Finds, prepares, reads and judges Codex workers; it never starts one. Safe to share between all jobs."""

    def __init__(self) -> None:
        self._finder = Finder()
        self._preflight = Preflight()

    async def locate(self, settings: CodexSettings, env: Mapping[str, str]) -> Codex:
        """The program that workers run.

        Raises:
            SidecarError: `codex-not-found`.
        """
        return await self._finder.locate(settings, env)

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Raises `invalid-arguments`, naming `config.<key>`, for a key that would break the worker contract."""
        config_check.check_config(config)

    async def prepare(
        self,
        job: Job,
        *,
        codex: Codex,
        env: Mapping[str, str],
        directory: Path,
        top: str,
        settings: CodexSettings,
        predecessors: Sequence[str] = (),
    ) -> Invocation:
        """Writes the files of an attempt into `directory` and says how the worker is called.

        Args:
            env: of the front end that spawned the job.
            directory: of the attempt, 0700.
            top: the repository's top level.
            predecessors: one line for each worker that ran before and whose changes this one builds on. A resumed
                conversation does not get to see them.

        Raises:
            SidecarError: `invalid-arguments` (a setting), `limit-reached`, `state-unavailable` (the disk).
        """
        return await in_thread(self._prepare, job, codex, env, directory, top, settings, predecessors)

    def _prepare(
        self,
        job: Job,
        codex: Codex,
        env: Mapping[str, str],
        directory: Path,
        top: str,
        settings: CodexSettings,
        predecessors: Sequence[str],
    ) -> Invocation:
        tmpdir = private_tmp.make(job.job_id)
        config = load_user_config(env, job.working_directory, top, settings.extra_args)
        instructions = developer_instructions(
            top=top,
            directory=job.working_directory,
            theirs=config.developer_instructions,
            predecessors=predecessors,
        )
        try:
            write_files(directory, REPORT_SCHEMA)
        except OSError as exc:
            raise SidecarError(
                "state-unavailable", f"The worker's files cannot be written ({exc.strerror}).", "Free disk space."
            ) from exc
        argv = build_argv(
            job,
            program=codex.argv,
            extra_args=settings.extra_args,
            files=directory,
            top=top,
            tmpdir=tmpdir,
            instructions=instructions,
            orchestrators=config.orchestrators,
        )
        return Invocation(argv, build_env(env, tmpdir), job.working_directory)

    async def preflight(self, job: Job, *, codex: Codex, env: Mapping[str, str], top: str) -> None:
        """Tries the sandbox that the job needs; free after the first success.

        Raises:
            SidecarError: `sandbox-unavailable`, `codex-failed` (its configuration), `state-unavailable`.
        """
        tmpdir = await in_thread(private_tmp.make, job.job_id)
        await self._preflight.check(
            codex, job.sandbox, env=build_env(env, tmpdir), directory=job.working_directory or top
        )

    def parser(self, top: str) -> StreamParser:
        """A fresh parser for the output of one attempt."""
        real = os.path.realpath(top)
        return StreamParser(top, () if real == top else (real,))

    def judge(self, tracker: StreamParser, *, exit_code: int | None, stderr_tail: str) -> Verdict:
        """How an attempt that ended by itself did."""
        return judge(tracker, exit_code=exit_code, stderr_tail=stderr_tail)

    def cleanup(self, job: Job) -> None:
        """Removes the job's private temporary directory. Blocks."""
        private_tmp.remove(job.job_id)

    # -- doctor -------------------------------------------------------------------------------------------------

    async def checks(self, settings: CodexSettings, env: Mapping[str, str], top: str) -> list[CheckOutput]:
        """What the doctor says about Codex: found and new enough, logged in, its sandbox."""
        try:
            codex = await self.locate(settings, env)
        except SidecarError as exc:
            found = _check("codex", False, exc.message, exc.hint, **exc.details)
            skipped = "Not checked, since there is no Codex to ask."
            return [found, *(_check(name, False, skipped, required=False) for name in ("login", "sandbox"))]
        where: dict[str, Any] = {"path": codex.argv[0], "source": codex.source, "argv": list(codex.argv)}
        if not codex.is_codex:
            message = f"{codex.banner or 'A program of unknown version'} ({codex.source}); it is not the Codex CLI."
            return [
                _check("codex", True, message, version=None, **where),
                _check("login", True, "Not needed by this program."),
                _check("sandbox", True, "Not used by this program."),
            ]
        message = f"Codex {codex.shown_version} at {codex.argv[0]} ({codex.source})"
        config = await asyncio.to_thread(load_user_config, env, top, top, settings.extra_args)
        return [
            _check("codex", True, message, version=codex.shown_version, home=str(codex_home(env)), **where),
            await check_login(codex, config, env),
            await self._check_sandbox(codex, config, env, top),
        ]

    async def _check_sandbox(self, codex: Codex, config: UserConfig, env: Mapping[str, str], top: str) -> CheckOutput:
        probe = f"doctor-{secrets.token_hex(8)}"
        try:
            tmpdir = await asyncio.to_thread(private_tmp.make, probe)
            for sandbox in PROFILES:
                await Preflight().check(codex, sandbox, env=build_env(env, tmpdir), directory=top)
        except SidecarError as exc:
            return _check("sandbox", False, exc.message, exc.hint, **exc.details)
        finally:
            await asyncio.to_thread(private_tmp.remove, probe)
        return _check("sandbox", True, "Codex's sandbox works (read-only and workspace-write).")


def _check(name: str, ok: bool, message: str, hint: str = "", *, required: bool = True, **details: Any) -> CheckOutput:
    return CheckOutput(name=name, ok=ok, required=required, message=message, hint="" if ok else hint, details=details)
