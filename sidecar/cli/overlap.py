"""The protocol's rule of conflicts: one file in the lists of several workers whose times overlapped.

A worker that began after another's end builds on its work; that is no conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sidecar.cli.texts import parse_time


@dataclass(frozen=True)
class SharedFile:
    """A path (relative to the repository) and the labels of the workers that name it, in the order of their spawn."""

    path: str
    job_ids: tuple[str, ...]
    labels: tuple[str, ...]


def named_files(result: dict[str, Any]) -> set[str]:
    """What a worker reported and what it was seen to touch."""
    touched = {file["path"] for file in result["touchedFiles"]}
    return touched | set(result["modifiedFiles"] or ())


def shared_files(results: Sequence[dict[str, Any]]) -> list[SharedFile]:
    """Files that at least two workers name whose times overlapped, by path.

    Args:
        results: answers of `codex_result` of jobs that may write, in the order of their spawn.
    """
    meeting: dict[str, set[int]] = {}
    for (left, one), (right, other) in combinations(enumerate(results), 2):
        if _overlap(one, other):
            for path in named_files(one) & named_files(other):
                meeting.setdefault(path, set()).update((left, right))
    return [
        SharedFile(
            path,
            tuple(results[index]["jobId"] for index in sorted(indexes)),
            tuple(results[index]["label"] for index in sorted(indexes)),
        )
        for path, indexes in sorted(meeting.items())
    ]


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    start_one, start_other = parse_time(one["startedAt"]), parse_time(other["startedAt"])
    if start_one is None or start_other is None:
        return False
    end_one, end_other = parse_time(one["finishedAt"]), parse_time(other["finishedAt"])
    return (end_other is None or start_one < end_other) and (end_one is None or start_other < end_one)
