"""`spawn`, `wait-any`, `conflicts`, `rollback` and so on: one tool call each, or the two of a preview and its act."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from sidecar.cli import a2_texts, exits, flags, texts, two_steps
from sidecar.cli.asking import approval, terminal
from sidecar.cli.command import GOES_ON, Command
from sidecar.cli.connect import connect
from sidecar.cli.event_lines import event_line
from sidecar.cli.output import Output
from sidecar.model.errors import SidecarError
from sidecar.tools import table

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller
    from sidecar.tools.tool import Tool

SUMMARIES = {
    "spawn": "start one worker and say its id",
    "spawn-group": "start several workers, each by itself, and say their ids",
    "wait-any": "wait until one of the jobs has ended (at most 50 s)",
    "events": "show what a worker did, page by page",
    "result": "show a worker's answer and its files",
    "status": "show one job, or all jobs and the limits",
    "cancel": "stop a worker with everything it started",
    "resume": "go on in a job's conversation; one that still runs is interrupted",
    "baseline": "show the baseline of the open run, or record one",
    "conflicts": "show files that workers changed at the same time, and how to repair each",
    "resolve": "repair one conflict: merge, keep, reconcile, rerun, dismiss",
    "rollback": "bring files that workers changed back to the baseline",
    "rerun": "roll back the conflicting jobs' files and run those jobs again one by one",
    "snapshots": "list what was saved before each repair",
    "restore": "bring a snapshot back",
}


def commands() -> list[Command]:
    """The commands of all tools that have one."""
    return [_command(tool) for tool in table.BY_COMMAND.values()]


def _command(tool: Tool) -> Command:
    assert tool.command is not None

    async def run(found: argparse.Namespace, out: Output) -> int:
        return await _run(tool, found, out)

    def add_flags(parser: argparse.ArgumentParser) -> None:
        flags.add_flags(parser, tool)
        if in_two_steps(tool):
            parser.add_argument("-y", "--yes", action="store_true", help="Act at once, without showing it first.")

    summary = SUMMARIES.get(tool.command)
    more = TWO_STEPS if in_two_steps(tool) else ""
    return Command(
        name=tool.command,
        summary=summary or tool.title,
        add_flags=add_flags,
        run=run,
        description=f"{tool.title}: {summary or tool.description.rstrip('.')}.{more}",
        on_interrupt=GOES_ON,
    )


TWO_STEPS = """

It first shows what it would do. At a terminal it asks then; elsewhere the same command with the --token that it
printed acts, unless anything has changed since. A snapshot of the state before is saved first.
"""


def in_two_steps(tool: Tool) -> bool:
    """Whether a tool answers a preview first and acts with its token."""
    return "token" in tool.input_schema["properties"]


async def _run(tool: Tool, found: argparse.Namespace, out: Output) -> int:
    arguments = flags.collect(tool, found)
    table.check(tool, arguments)  # A wrong use starts no sidecar.
    async with connect(found.repo) as client:
        asked = await _with_ids(client, arguments)
        if in_two_steps(tool):
            return await _two_steps(tool, client, asked, flags.as_command(tool, arguments), out, yes=found.yes)
        answer = await client.call(tool.name, asked)
        labels = {} if out.as_json or tool.name not in a2_texts.BY_TOOL else await _labels(client)
    _show(tool, arguments, answer, labels, out)
    return _exit_code(tool, answer)


async def _two_steps(
    tool: Tool, client: Caller, arguments: dict[str, Any], typed: str, out: Output, *, yes: bool
) -> int:
    """Shows what would happen and acts where that is wanted; `typed` is the command without its token."""
    person = None if yes else terminal(out)
    if person is None and not yes:
        # Nobody can be asked: a stale token stays an error, with the new preview in it.
        try:
            answer = await client.call(tool.name, arguments)
        except SidecarError as exc:
            if exc.kind == "stale-token" and not out.as_json:
                exc.hint = "The same command without --token shows what it would do now."
            raise
        done = not two_steps.is_preview(answer)
    else:
        answer, done = await two_steps.perform(client, tool.name, arguments, approval(person))
    if done:
        _show(tool, arguments, answer, {} if out.as_json else await _labels(client), out)
    elif person is None:
        how = f"Nothing was changed yet. To do it: {typed} --token={answer['token']}"
        out.result(answer, f"{a2_texts.preview(answer['preview'])}\n\n{how}")
    else:
        out.text("Nothing was changed.")
    return exits.DONE


async def _labels(client: Caller) -> dict[str, str]:
    """Job ids → labels, of all jobs that a status lists."""
    return {job["jobId"]: job["label"] for job in (await client.call("codex_status", {}))["jobs"]}


async def _with_ids(client: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with labels (`w3`) replaced by job ids, and a file in conflict by the conflict's id; what is
    neither stays as it is."""
    changed = dict(arguments)
    if (named_file := arguments.get("conflictId", "conflict-")) and not named_file.startswith("conflict-"):
        found = (await client.call("codex_conflicts", {}))["conflicts"]
        changed["conflictId"] = next((one["conflictId"] for one in found if one["path"] == named_file), named_file)
    if isinstance(entries := arguments.get("jobs"), list):
        changed["jobs"] = [dict(entry) if isinstance(entry, dict) else entry for entry in entries]
    places = [changed, *(entry for entry in changed.get("jobs", []) if isinstance(entry, dict))]
    named = [(place, field, place[field]) for place in places for field in flags.JOB_FIELDS if field in place]
    wanted = [name for _, _, value in named for name in (value if isinstance(value, list) else [value])]
    if not any(_like_label(name) for name in wanted):
        return changed
    ids: dict[Any, str] = {label: job_id for job_id, label in (await _labels(client)).items()}

    def real(name: Any) -> Any:
        return ids.get(name, name) if isinstance(name, str) else name

    for place, field, value in named:
        place[field] = [real(name) for name in value] if isinstance(value, list) else real(value)
    return changed


def _like_label(name: Any) -> bool:
    return isinstance(name, str) and name[:1] == "w" and name[1:].isdecimal()


def _show(tool: Tool, arguments: dict[str, Any], answer: dict[str, Any], labels: dict[str, str], out: Output) -> None:
    if tool.name == "codex_events":
        lines = [event_line(event) for event in answer["events"]] or ["no events on this page"]
        if not answer["done"]:
            lines.append(f"… more with --cursor {answer['nextCursor']}")
        text = "\n".join(lines)
    elif tool.name == "codex_status":
        text = texts.status(answer, time.time())
    elif tool.name == "codex_spawn_group":
        text = "\n".join(map(_group_entry, answer["results"]))
    elif tool.name in a2_texts.BY_TOOL:
        text = a2_texts.BY_TOOL[tool.name](answer, labels)
    else:
        text = texts.BY_TOOL[tool.name](answer)
    out.result(answer, text)
    if missing := answer.get("missingJobIds"):
        out.note(f"Not known in this repository: {', '.join(missing)}.")


def _group_entry(entry: dict[str, Any]) -> str:
    error = entry.get("error")
    return texts.spawned(entry) if error is None else f"not started: {error['message']} {error['hint']}".rstrip()


def _exit_code(tool: Tool, answer: dict[str, Any]) -> int:
    if tool.name == "codex_wait_any" and answer["completedJobId"] is None and not answer["timedOut"]:
        return exits.WRONG_USE
    if tool.name == "codex_spawn_group":
        return max(exits.of_error(entry["error"]["kind"]) if "error" in entry else 0 for entry in answer["results"])
    if tool.name == "codex_conflicts":
        return exits.WORKER_FAILED if answer["conflicts"] else exits.DONE
    if tool.name in ("codex_wait_any", "codex_result"):
        return exits.of_job_status(answer["status"])
    return exits.DONE
