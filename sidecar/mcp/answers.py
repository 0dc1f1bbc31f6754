"""Answers of tools as MCP results, the long ones cut to what a model can use.

What is cut says how much is missing and where it is. Other front ends get every answer whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import mcp_types as types

from sidecar.mcp.uris import Address
from sidecar.model.job import FINAL_STATUSES

STATUS_BYTES = 8_192
"""Longest list of jobs."""
BRIEF_BYTES = 2_048
"""How much of it the jobs that are not whole get at least, where there are so many."""
RESULT_BYTES = 2_048
"""Longest result besides `finalMessage`, which has a limit of its own, and `error`."""
CONFLICT_BYTES = 384
"""How much of it the conflicts get before the files."""
STATUS_NOTE = (
    "Cut to fit: the other jobs are in brief, or counted in omitted. codex_status with a jobId has one whole; "
    f"the resource {Address('', 'jobs')} has all."
)


def result(answer: dict[str, Any], *, is_error: bool) -> types.CallToolResult:
    """The answer as structured content and, word for word, as text: clients show a model the one or the other."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=compact(answer))], structured_content=answer, is_error=is_error
    )


def compact(value: Any) -> str:
    """JSON without white space, as every answer is sent."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def size(value: Any) -> int:
    """Bytes of its JSON in UTF-8."""
    return len(compact(value).encode(errors="replace"))


def fitted(tool: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of a tool, cut where it is too long for a model; else as it is."""
    if tool == "codex_status" and "jobs" in answer and size(answer) > STATUS_BYTES:
        return _status(answer)
    if tool == "codex_result" and "touchedFiles" in answer and _size_of_rest(answer) > RESULT_BYTES:
        return _result(answer)
    return answer


def brief(job: dict[str, Any]) -> dict[str, Any]:
    """What is left of a job in a long list: enough to ask for it."""
    return {key: job[key] for key in ("jobId", "label", "status")}


def _status(answer: dict[str, Any]) -> dict[str, Any]:
    """Whole are the jobs that run, then those that wait, then those that went wrong, then the newest others."""
    jobs: list[dict[str, Any]] = answer["jobs"]
    in_order = sorted(range(len(jobs)), key=lambda index: (_urgency(jobs[index]), -index))
    shell = {**answer, "jobs": [], "brief": [], "omitted": 10**9, "note": STATUS_NOTE}
    room = STATUS_BYTES - size(shell)
    kept_free = min(BRIEF_BYTES, sum(size(brief(job)) + 1 for job in jobs))
    whole, left = _fitting(((index, size(jobs[index])) for index in in_order), room - kept_free)
    others = [index for index in in_order if index not in whole]
    named, _ = _fitting(((index, size(brief(jobs[index]))) for index in others), left + kept_free)
    return shell | {
        "jobs": [jobs[index] for index in sorted(whole)],
        "brief": [brief(jobs[index]) for index in sorted(named)],
        "omitted": answer["omitted"] + len(jobs) - len(whole),
    }


def _urgency(job: dict[str, Any]) -> int:
    if job["status"] not in FINAL_STATUSES:
        return 1 if job["status"] == "queued" else 0
    return 2 if job["status"] in ("failed", "interrupted") else 3


def _size_of_rest(answer: dict[str, Any]) -> int:
    return size({**answer, "finalMessage": None, "error": None})


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    """Conflicts first, as far as they are few, then what the worker says that it changed, then what was seen."""
    names = ("conflicts", "modifiedFiles", "touchedFiles")
    full: dict[str, list[Any]] = {name: answer[name] or [] for name in names}
    rest = str(Address(answer["jobId"], "files"))
    empty: dict[str, Any] = {name: [] for name in names}
    shell = {**answer, **empty, "omitted": dict.fromkeys(names, 10**5), "rest": rest}
    room = RESULT_BYTES - _size_of_rest(shell)
    kept: dict[str, list[Any]] = {}
    for name in names:
        most = min(room, CONFLICT_BYTES) if name == "conflicts" else room
        fitting, left = _fitting(((index, size(item)) for index, item in enumerate(full[name])), most)
        kept[name] = [full[name][index] for index in sorted(fitting)]
        room -= most - left
    omitted = {name: len(full[name]) - len(kept[name]) for name in names}
    cut: dict[str, Any] = {name: kept[name] if answer[name] is not None else None for name in names}
    return shell | cut | {"omitted": {name: count for name, count in omitted.items() if count}}


def _fitting(items: Iterable[tuple[int, int]], room: int) -> tuple[set[int], int]:
    """The first of the numbered sizes that fit into a list with commas, and the room that is left."""
    found: set[int] = set()
    for index, bytes_of_item in items:
        if bytes_of_item + 1 > room:
            break
        found.add(index)
        room -= bytes_of_item + 1
    return found, room
