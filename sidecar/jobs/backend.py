"""What the job manager asks of a kind of worker. `sidecar.worker` has the one for Codex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from sidecar.model.event import ParsedEvent
from sidecar.model.job import Job, JobError, TouchedFile, Usage
from sidecar.model.outputs import CheckOutput
from sidecar.model.settings import CodexSettings


class Invocation(Protocol):
    """How the worker's process is started; its prompt comes by standard input."""

    @property
    def argv(self) -> tuple[str, ...]: ...
    @property
    def env(self) -> Mapping[str, str]: ...
    @property
    def cwd(self) -> str: ...


class Report(Protocol):
    """What the worker answered: its whole answer, and the files it says it changed (None: it did not say)."""

    @property
    def summary(self) -> str: ...
    @property
    def modified_files(self) -> Sequence[str] | None: ...
    @property
    def missing(self) -> bool: ...


class StreamParser(Protocol):
    """Pure: one event for each line of the worker's output, and what is known from all lines so far."""

    @property
    def thread_id(self) -> str | None: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def activity(self) -> str | None: ...
    @property
    def final_text(self) -> str | None: ...
    @property
    def touched(self) -> Mapping[str, TouchedFile]: ...

    def parse(self, line: bytes) -> ParsedEvent: ...
    def report(self) -> Report: ...


class Backend(Protocol):
    """A kind of worker. Methods that are not async do no I/O that takes longer than a few milliseconds."""

    async def locate(self, settings: CodexSettings, env: Mapping[str, str]) -> Any:
        """Finds the program. Raises `codex-not-found`."""

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Raises `invalid-arguments` for a key that would break the worker contract."""

    async def prepare(
        self,
        job: Job,
        *,
        codex: Any,
        env: Mapping[str, str],
        directory: Path,
        top: str,
        settings: CodexSettings,
        predecessors: Sequence[str] = (),
    ) -> Invocation:
        """Writes the files that the worker needs into `directory` and says how it is called.

        Args:
            predecessors: one line for each worker that it follows: what that one changed.
        """

    async def preflight(self, job: Job, *, codex: Any, env: Mapping[str, str], top: str) -> None:
        """Raises `sandbox-unavailable` where the worker's commands could not run."""

    def parser(self, top: str) -> StreamParser:
        """A fresh parser."""

    def judge(
        self, tracker: Any, *, exit_code: int | None, stderr_tail: str
    ) -> tuple[Literal["done", "failed"], JobError | None]:
        """How a worker that ended by itself did."""

    async def checks(self, settings: CodexSettings, env: Mapping[str, str], top: str) -> list[CheckOutput]:
        """What the doctor says about this kind of worker."""

    def cleanup(self, job: Job) -> None:
        """Removes what `prepare` made outside `directory`. Blocks."""
