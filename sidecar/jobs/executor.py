"""What the job manager asks of whoever runs a worker's attempt.

`local` is the first executor; one for many hosts fits the same shape, because a handle is JSON, outcomes say
"may have run" (LOST) apart from "certainly did not start" (REFUSED), and events are read by byte offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import msgspec

from sidecar.model.job import Access, Handle


class Outcome(Enum):
    EXITED = "exited"
    """The worker ended by itself (or was killed by somebody else)."""
    CANCELLED = "cancelled"
    """It was stopped because `cancel` asked for it."""
    TIMED_OUT = "timed-out"
    """It was stopped because its time was over."""
    LOST = "lost"
    """Its end was not seen; it may have run. Nothing of it is alive any more."""
    REFUSED = "refused"
    """It certainly did not start."""


class AttemptSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one job, ready to be started.

    `directory` exists (0700) and holds `prompt`; the executor adds its own files there. `env` is the complete
    environment of the worker. `timeout_seconds` is counted on the monotonic clock from the start.
    """

    job_id: str
    attempt: int
    access: Access
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    directory: Path
    timeout_seconds: float
    grace_seconds: float


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended. `exit_code` is negative for a signal, None where it is not known."""

    outcome: Outcome
    exit_code: int | None
    finished_at: float
    strays: int = 0
    """How many processes the worker had left behind, all ended by now."""
    why: str = ""


class NotStarted(Exception):
    """`start` failed before anything ran; the attempt may be made again."""


class Executor(Protocol):
    """All methods run on the event loop and never block it for more than 20 ms."""

    name: str

    async def start(self, spec: AttemptSpec) -> Handle:
        """Starts the attempt; returns once the worker's process exists (or its end is already recorded).

        Raises:
            NotStarted: certainly nothing was started.
        """

    async def wait(self, handle: Handle) -> Exit:
        """Returns when the attempt has ended and nothing of it is alive. May be called again after a restart."""

    async def cancel(self, handle: Handle, *, force: bool) -> None:
        """Asks for the stop (SIGTERM, SIGKILL after the grace; `force`: SIGKILL at once) and returns without waiting.

        The request is durable: it is carried out even when the sidecar dies right after.
        """

    async def freeze(self, handles: Sequence[Handle]) -> None:
        """Stops every process of these attempts until `thaw`; those that have ended are passed over.

        A sidecar that dies in between leaves them frozen; the next one thaws whatever it takes up.
        """

    async def thaw(self, handles: Sequence[Handle]) -> None:
        """Lets them go on; harmless where they were not frozen."""

    async def reattach(self, handle: Handle) -> bool:
        """After a restart: True if the attempt still runs or its end is recorded; `wait` then tells.

        False: it was lost; whatever was left of it has been ended.
        """

    async def over(self, directory: Path) -> bool:
        """Whether an attempt that was started has ended for certain, so that nothing of it has to be waited for."""

    async def find(self, directory: Path, job_id: str, attempt: int) -> Handle | None:
        """The handle of an attempt whose start was under way when the sidecar died.

        None: certainly not started, and it never will be any more (the attempt is fenced off).
        """
