"""What a worker's files look like against the baseline, as a unified diff."""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING

from sidecar.a2.messages import one_line

if TYPE_CHECKING:
    from sidecar.model.job import Job, TouchedFile
    from sidecar.service.core import Core

BYTES_MAX = 128 * 1024
"""A larger file is named and not compared: a comparison in Python may take seconds."""


async def of_job(core: Core, job: Job) -> list[str]:
    """The lines of the whole diff. A note about a file starts with `# `.

    A worker's version of a file holds what others had written before it, so the diff is that of the file, not of the
    worker alone. Only the open run's contents are at hand.
    """
    run = core.runs.open
    if job.access != "write":
        return ["# A read-only worker: it changed nothing."]
    if run is None or job.run_id != run.run_id:
        return ["# The run of this job is closed. Its commits, or the tree, have what it did."]
    await core.a2.ends_known()
    lines: list[str] = []
    for file in sorted(core.a2.touched(job), key=lambda one: one.path):
        lines += await _of_file(core, job, file)
    return lines or ["# No file of this worker is known so far."]


async def _of_file(core: Core, job: Job, file: TouchedFile) -> list[str]:
    name = one_line(file.path)
    old = await core.a2.stored_version(file.path, "base")
    new = None if file.change == "deleted" else await core.a2.stored_version(file.path, job.label)
    if new is None and file.change != "deleted":
        return [f"# {name}: {file.change} ({file.attribution}), its content was not stored."]
    old, new = old or b"", new or b""
    if max(len(old), len(new)) > BYTES_MAX:
        return [f"# {name}: {file.change} ({file.attribution}), larger than {BYTES_MAX} bytes."]
    if b"\0" in old or b"\0" in new:
        return [f"# {name}: {file.change} ({file.attribution}), binary."]
    found = await asyncio.to_thread(_compare, name, job.label, old, new)
    return [f"# {name}: {file.change} ({file.attribution})", *found]


def _compare(name: str, label: str, old: bytes, new: bytes) -> list[str]:
    before, after = (text.decode(errors="replace").split("\n") for text in (old, new))
    return list(difflib.unified_diff(before, after, f"baseline/{name}", f"{label}/{name}", lineterm=""))
