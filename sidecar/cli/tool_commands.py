"""`spawn`, `wait-any`, `events`, `result`, `status`, `cancel`, `resume`: one tool call each."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from sidecar.cli import exits, flags, texts
from sidecar.cli.command import GOES_ON, Command
from sidecar.cli.connect import connect
from sidecar.cli.event_lines import event_line
from sidecar.cli.output import Output
from sidecar.tools import table

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller
    from sidecar.tools.table import Tool

SUMMARIES = {
    "spawn": "start one worker and say its id",
    "wait-any": "wait until one of the jobs has ended (at most 50 s)",
    "events": "show what a worker did, page by page",
    "result": "show a worker's answer and its files",
    "status": "show one job, or all jobs and the limits",
    "cancel": "stop a worker with everything it started",
    "resume": "go on in the conversation of a job that has ended",
}


def commands() -> list[Command]:
    """The commands of all tools that have one."""
    return [_command(tool) for tool in table.BY_COMMAND.values()]


def _command(tool: Tool) -> Command:
    assert tool.command is not None

    async def run(found: argparse.Namespace, out: Output) -> int:
        return await _run(tool, found, out)

    return Command(
        name=tool.command,
        summary=SUMMARIES.get(tool.command, tool.title),
        add_flags=lambda parser: flags.add_flags(parser, tool),
        run=run,
        description=f"{tool.title}: {SUMMARIES.get(tool.command, tool.description)}.",
        on_interrupt=GOES_ON,
    )


async def _run(tool: Tool, found: argparse.Namespace, out: Output) -> int:
    arguments = flags.collect(tool, found)
    table.check(tool, arguments)  # A wrong use starts no sidecar.
    async with connect(found.repo) as client:
        answer = await client.call(tool.name, await _with_ids(client, arguments))
    _show(tool, arguments, answer, out)
    return _exit_code(tool, answer)


async def _with_ids(client: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with labels (`w3`) replaced by job ids; what is no known label stays as it is."""
    named = [(field, arguments[field]) for field in flags.JOB_FIELDS if field in arguments]
    wanted = {name for _, value in named for name in (value if isinstance(value, list) else [value])}
    if not any(_like_label(name) for name in wanted):
        return arguments
    ids = {job["label"]: job["jobId"] for job in (await client.call("codex_status", {}))["jobs"]}
    changed = dict(arguments)
    for field, value in named:
        changed[field] = [ids.get(name, name) for name in value] if isinstance(value, list) else ids.get(value, value)
    return changed


def _like_label(name: str) -> bool:
    return name[:1] == "w" and name[1:].isdecimal()


def _show(tool: Tool, arguments: dict[str, Any], answer: dict[str, Any], out: Output) -> None:
    if tool.name == "codex_events":
        lines = [event_line(event) for event in answer["events"]] or ["no events on this page"]
        if not answer["done"]:
            lines.append(f"… more with --cursor {answer['nextCursor']}")
        text = "\n".join(lines)
    elif tool.name == "codex_status":
        text = texts.status(answer, time.time())
    else:
        text = texts.BY_TOOL[tool.name](answer)
    out.result(answer, text)
    if missing := answer.get("missingJobIds"):
        out.note(f"Not known in this repository: {', '.join(missing)}.")


def _exit_code(tool: Tool, answer: dict[str, Any]) -> int:
    if tool.name == "codex_wait_any" and answer["completedJobId"] is None and not answer["timedOut"]:
        return exits.WRONG_USE
    if tool.name in ("codex_wait_any", "codex_result"):
        return exits.of_job_status(answer["status"])
    return exits.DONE
