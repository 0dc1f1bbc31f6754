"""Giving a job another title, which is what people see of it besides its label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from sidecar.jobs.manager import JobManager


async def rename(manager: JobManager, job_id: str, title: str) -> None:
    """The job is called so from now on, also by the next sidecar.

    Args:
        title: one line of at most `limits.TITLE_CHARS` characters; the caller has checked it.

    Raises:
        SidecarError: `unknown-job`; `state-unavailable`, the title is the old one then.
    """
    while True:
        live = manager.live.get(job_id)
        if live is None:
            job = await manager.amend(job_id, title=title)
            known = manager.known_job(job_id)
            # Another correction that began before may have come after with the title of before.
            if known is None or known.title == job.title:
                return
            continue
        async with live.change:
            # The lock keeps every transition out meanwhile: the journal is written once with the title of now.
            await manager.journal.save(msgspec.structs.replace(live.snapshot(), title=title))
            live.job.title = title
        manager.publish("job", job_id)
        return
