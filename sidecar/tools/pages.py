"""One page of a job's events, within its number of events and its number of bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import UNSET

from sidecar.jobs import paging
from sidecar.jobs.log import JobLog, OwnEvent, final_content
from sidecar.jobs.paging import Position
from sidecar.model.errors import invalid
from sidecar.model.event import Event
from sidecar.model.inputs import EventsInput
from sidecar.model.outputs import EventsOutput

if TYPE_CHECKING:
    from sidecar.jobs.manager import JobManager
    from sidecar.model.job import Job


async def read_page(manager: JobManager, asked: EventsInput) -> EventsOutput:
    """The page that `asked` names.

    Raises:
        SidecarError: `unknown-job`; `invalid-arguments` for a cursor that is none of this job.
    """
    job = await manager.job(asked.job_id)
    position = Position() if asked.cursor is UNSET else paging.decode_cursor(job.job_id, asked.cursor)
    live = manager.live.get(job.job_id)
    if live is not None:
        return await _read(live.log, job, position, asked, ended=False)
    log = await asyncio.to_thread(_open_log, manager, job)
    try:
        return await _read(log, job, position, asked, ended=True)
    finally:
        log.close()


def _open_log(manager: JobManager, job: Job) -> JobLog:
    store, backend, top = manager.store, manager.backend, manager.top
    log = JobLog(
        store.spool(job), store.own_events(job), store.times(job), backend.parser(top), lambda: backend.parser(top),
        watched=False,
    )  # fmt: skip
    log.load_finished(OwnEvent(0, job.finished_at or 0.0, "final", final_content(job.status, job.exit_code, job.error)))
    return log


async def _read(log: JobLog, job: Job, start: Position, asked: EventsInput, *, ended: bool) -> EventsOutput:
    if not ended:
        await log.catch_up()
    if not log.is_boundary(start):
        raise invalid("cursor", "not a cursor of this job", "Pass nextCursor of an earlier page, or leave it out.")
    # The cursor of the page's end is not known yet, so the longest one is taken into account.
    longest = paging.encode_cursor(job.job_id, Position(2**56, 2**20, 2**40))
    shell = EventsOutput(job_id=job.job_id, label=job.label, events=[], next_cursor=longest, done=False)
    room = asked.max_bytes - paging.size(shell)
    events: list[Event] = []

    def take(event: Event) -> bool:
        nonlocal room
        if not events:
            event = paging.fit(event, room)
        size = paging.size(event) + 1
        if events and size > room:
            return False
        events.append(event)
        room -= size
        return True

    position, at_end = await log.page(start, asked.max_events, take)
    return EventsOutput(
        job_id=job.job_id,
        label=job.label,
        events=events,
        next_cursor=paging.encode_cursor(job.job_id, position),
        done=ended and at_end,
    )
