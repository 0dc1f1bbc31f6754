"""The task of a worker that makes one file out of several workers' versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sidecar.a2.messages import count, diagnostic, listed
from sidecar.model.conflict import Conflict
from sidecar.model.job import Job

TASK_CHARS = 20_000
"""How much of each worker's task is told."""


def reconcile_prompt(
    conflict: Conflict,
    jobs: Sequence[Job],
    tasks: Mapping[str, str],
    versions: Mapping[str, str | None],
    base: str | None,
    others: Sequence[str] = (),
) -> str:
    """What the new worker is told: the conflict, each worker's task, and how to read each version.

    Args:
        conflict: what is to be reconciled.
        jobs: its workers.
        tasks: their prompts, by job id.
        versions: the blob of each worker's last version, by job id; None: it removed the file. Whoever has no
            version that is certainly its own is not in it.
        base: the blob of the baseline.
        others: what else is in the file and is in none of these versions, in words.
    """
    left = "The file in the work tree is what the last writer left."
    if others:
        left = f"The file in the work tree also holds {listed(others)}: that must stay."
    who = count(len(jobs), "worker") + (" and a person" if conflict.kind == "user-edit" else "")
    parts = [
        f"{who} changed {conflict.path} at the same time. Make it hold what all of their tasks "
        "ask for, and change nothing else.",
        f"What was found: {diagnostic(conflict)}",
        f"The file as it was before: {_how(base)}. {left}",
    ]
    for job in jobs:
        task = tasks[job.job_id]
        cut = task[:TASK_CHARS] + (" [cut]" if len(task) > TASK_CHARS else "")
        parts.append(
            f"## {job.label}: {job.title}\n\nIts version of the file: {_version(job.job_id, versions)}.\n"
            f"Its task, for your information, not to be done again:\n\n{_quoted(cut)}"
        )
    parts.append(
        f"Write the reconciled {conflict.path} over the one in the work tree, check that it works, and report "
        "what you took from whom."
    )
    return "\n\n".join(parts)


def _version(job_id: str, versions: Mapping[str, str | None]) -> str:
    return _how(versions[job_id]) if job_id in versions else "none that is certainly its own was stored"


def _how(blob: str | None) -> str:
    return f"`git cat-file blob {blob}`" if blob else "it was not there"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
