"""One round of workers from the terminal: start all, follow them, stop them on Ctrl-C, collect their results."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar.cli import signals, texts
from sidecar.cli.output import Output
from sidecar.cli.screen import View, view_for
from sidecar.cli.watch import Watch
from sidecar.model.errors import SidecarError
from sidecar.model.job import FINAL_STATUSES

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller

WAIT_MS = 25_000


@dataclass
class Ended:
    """How a round ended: each job's `codex_result`, in the order of the spawns, whether Ctrl-C stopped it, and what was
    said about conflicts while it ran."""

    results: list[dict[str, Any]]
    interrupted: bool
    warnings: list[str]


class Stop:
    """What Ctrl-C does to a round: the first stops its workers, the second kills them, the third leaves them alone."""

    def __init__(self, client: Caller) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()
        self._main = asyncio.current_task()
        self.presses = 0
        self.jobs: list[str] = []
        self.view: View | None = None

    def press(self) -> None:
        """One Ctrl-C."""
        self.presses += 1
        if self.presses > 2:
            if self._main is not None:
                self._main.cancel()
            return
        self.stop_all(force=self.presses == 2)

    def stop_all(self, *, force: bool) -> None:
        """Asks for the end of all workers of the round."""
        if self.view is not None:
            self.view.say("Killing the workers." if force else "Stopping the workers; Ctrl-C again kills them.")
        for job_id in self.jobs:
            task = asyncio.ensure_future(self._cancel(job_id, force))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _cancel(self, job_id: str, force: bool) -> None:
        await self._client.call("codex_cancel", {"jobId": job_id, "force": force})


async def run_round(
    client: Caller, spawns: Sequence[dict[str, Any]], out: Output, warnings: list[str] | None = None
) -> Ended:
    """Starts one worker for each input of `codex_spawn` and stays until all have ended.

    A round starts whole or not at all: where one is refused, the ones before it are stopped again.

    Args:
        warnings: what is said about conflicts is added to it while the round runs.

    Raises:
        SidecarError: a spawn was refused, or the sidecar went away (the workers go on then).
        Interrupted: after the third Ctrl-C; the workers are being stopped.
    """
    with _stoppable(client) as stop:
        return await _follow(client, await _spawn(client, spawns, stop), stop, out, warnings)


async def follow_jobs(client: Caller, job_ids: Sequence[str], out: Output) -> Ended:
    """Stays until these jobs have ended, as if they had been started by `run_round`.

    Raises:
        SidecarError: as the sidecar answered, or it went away (the workers go on then).
        Interrupted: after the third Ctrl-C; the workers are being stopped.
    """
    with _stoppable(client) as stop:
        stop.jobs += job_ids
        found = [await client.call("codex_status", {"jobId": job_id}) for job_id in job_ids]
        return await _follow(client, found, stop, out)


@contextlib.contextmanager
def _stoppable(client: Caller) -> Iterator[Stop]:
    """Ctrl-C stops the workers of the round meanwhile, instead of ending the command."""
    stop = Stop(client)
    with signals.on_signal(signal.SIGINT, stop.press):
        try:
            yield stop
        except asyncio.CancelledError:
            if stop.presses > 2:
                raise signals.Interrupted(signal.SIGINT) from None
            raise


async def _spawn(client: Caller, spawns: Sequence[dict[str, Any]], stop: Stop) -> list[dict[str, Any]]:
    spawned: list[dict[str, Any]] = []
    for arguments in spawns:
        if stop.presses:
            break
        try:
            spawned.append(await client.call("codex_spawn", arguments))
        except SidecarError as exc:
            await take_back(client, [job["jobId"] for job in spawned])
            raise _refused(exc, len(spawned) + 1, len(spawns)) from None
        stop.jobs.append(spawned[-1]["jobId"])
    return spawned


async def _follow(
    client: Caller, jobs: Sequence[dict[str, Any]], stop: Stop, out: Output, warnings: list[str] | None = None
) -> Ended:
    if stop.presses:
        stop.stop_all(force=False)  # The Ctrl-C came before the last one had an id.
    watch = Watch(client, jobs, warnings)
    with view_for(watch.jobs, out) as view:
        stop.view = view
        await watch.follow(view.show)
        stop.view = None
    results = [await client.call("codex_result", {"jobId": job["jobId"]}) for job in jobs]
    return Ended(results, interrupted=stop.presses > 0, warnings=watch.warnings)


async def take_back(client: Caller, job_ids: list[str]) -> None:
    """Stops the workers that had been started, and waits until nothing of them is alive."""
    for job_id in job_ids:
        await client.call("codex_cancel", {"jobId": job_id, "force": True})
    for job_id in job_ids:
        while (await client.call("codex_status", {"jobId": job_id}))["status"] not in FINAL_STATUSES:
            await client.call("codex_wait_any", {"jobIds": [job_id], "timeoutMs": WAIT_MS})


def _refused(exc: SidecarError, number: int, total: int) -> SidecarError:
    """The error of a refused spawn; where others had been started before it, it says that they were stopped again."""
    if number == 1:
        return exc
    taken_back = f"{texts.plural(number - 1, 'worker')} before it {'was' if number == 2 else 'were'} stopped again."
    message = f"Task {number} of {total} was refused: {exc.message} The {taken_back}"
    return SidecarError(exc.kind, message, exc.hint, exc.details)
