"""A job that has not ended, with everything this process needs to follow it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sidecar.jobs.backend import Backend, StreamParser
from sidecar.jobs.log import JobLog
from sidecar.jobs.store import JobStore
from sidecar.model.event import ParsedEvent
from sidecar.model.job import Job, TouchedFile, Usage


class Live:
    """The memory of one unfinished job. `job` is always what the journal holds, plus what the stream told since.

    Attributes:
        dispatching: chosen by the scheduler; keeps its slot although the journal still says `queued`.
        finished: set once the final status is durable.
        cancelled: set with the first cancel; what comes before the worker's start is given up then.
        wake: set when the spool grew.
        first_output: set at the worker's first line or its end; the next start waits for it.
        last_activity: monotonic seconds of the last line (or the start).
    """

    def __init__(
        self,
        job: Job,
        store: JobStore,
        backend: Backend,
        top: str,
        on_line: Callable[[Job, int, ParsedEvent, float], None],
        *,
        watched: bool,
    ) -> None:
        self.job = job
        self.parser: StreamParser = backend.parser(top)
        self.log = JobLog(
            store.spool(job), store.own_events(job), store.times(job), self.parser, lambda: backend.parser(top),
            watched=watched,
        )  # fmt: skip
        self.dispatching = False
        self.finished = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.wake = asyncio.Event()
        self.first_output = asyncio.Event()
        self.last_activity = time.monotonic()
        self.task: asyncio.Task[None] | None = None
        self.stall_timer: asyncio.TimerHandle | None = None
        self.change = asyncio.Lock()
        self.log.on_line = lambda number, parsed, since: on_line(self.job, number, parsed, since)

    def usage(self) -> Usage | None:
        """Tokens of this job alone, as far as the stream told."""
        return self.parser.usage.minus(self.job.base_usage) if self.parser.usage is not None else None

    def touched(self) -> list[TouchedFile]:
        """Files that the worker was seen to change so far."""
        return list(self.parser.touched.values())

    def snapshot(self) -> Job:
        """The job with what the stream told so far, for answers; the journal's copy stays as it is."""
        job = self.job
        if not job.is_final:
            job.thread_id = self.parser.thread_id or job.thread_id
            job.usage = self.usage()
            job.activity = self.parser.activity if job.status in ("running", "stopping") else None
            job.touched_files = self.touched()
        return job
