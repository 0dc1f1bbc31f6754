"""`run`: one whole round from the terminal."""

from __future__ import annotations

import argparse
from typing import Any

from sidecar.cli import exits, texts
from sidecar.cli.command import Command
from sidecar.cli.connect import connect
from sidecar.cli.flags import read_text
from sidecar.cli.output import Output, one_line
from sidecar.cli.overlap import SharedFile, shared_files
from sidecar.cli.rounds import Ended, run_round
from sidecar.model.errors import SidecarError, invalid
from sidecar.tools import table

DESCRIPTION = """\
Starts one worker for each task, shows what they do, then their answers and their files.

Writing workers come first, since they are the ones that can be refused; a refused task stops the round. Files that
several workers wrote at the same time are listed as conflicts; they are left as they are, and the exit code is 1.
Ctrl-C stops the workers of this round; a second Ctrl-C kills them.
"""


def _add_flags(parser: argparse.ArgumentParser) -> None:
    for flag, what in (("--write", "may edit files"), ("--read", "only looks")):
        parser.add_argument(
            flag,
            nargs="+",
            action="extend",
            default=[],
            metavar="TEXT",
            help=f"Tasks, each for a worker that {what}. @FILE reads one from a file.",
        )
    parser.add_argument(
        "--on-conflict",
        choices=["ask", "merge", "rerun", "keep-going"],
        default=None,
        help="What to do about a conflict. This version shows them and repairs none: `merge` and `rerun` are refused.",
    )
    parser.add_argument(
        "--on-dirty",
        choices=["refuse", "snapshot", "stash"],
        default=None,
        help="What to do with uncommitted changes when the writing workers start.",
    )


def _spawns(found: argparse.Namespace) -> list[dict[str, Any]]:
    """The inputs of `codex_spawn`, checked before anything is started."""
    if found.on_conflict in ("merge", "rerun"):
        raise invalid(
            "--on-conflict", f"`{found.on_conflict}` is not available in this version", "Use `ask` or `keep-going`."
        )
    asked = []
    for flag, sandbox in (("write", "workspace-write"), ("read", "read-only")):
        for value in getattr(found, flag):
            arguments: dict[str, Any] = {"prompt": read_text(value, f"--{flag}"), "sandbox": sandbox}
            if found.on_dirty is not None and flag == "write":
                arguments["onDirty"] = found.on_dirty
            try:
                table.check(table.BY_NAME["codex_spawn"], arguments)
            except SidecarError as exc:
                raise SidecarError(exc.kind, f"--{flag}: {exc.message}", exc.hint, exc.details) from None
            asked.append(arguments)
    if not asked:
        raise invalid("--write", "no task was given", "Give --write TEXT or --read TEXT, each as often as you like.")
    return asked


async def _run(found: argparse.Namespace, out: Output) -> int:
    spawns = _spawns(found)
    async with connect(found.repo) as client:
        run = (await client.call("codex_status", {}))["run"] if not found.write else None
        ended = await run_round(client, spawns, out)
        if found.write:
            run = (await client.call("codex_status", {}))["run"]
    writing = [one for one, asked in zip(ended.results, spawns, strict=False) if asked["sandbox"] != "read-only"]
    conflicts = shared_files(writing)
    code = _exit_code(ended, conflicts)
    out.result(_as_json(ended, conflicts, run), _as_text(ended, conflicts))
    if ended.interrupted:
        out.note("interrupted; the workers of this round were stopped, what they had written stays in the tree.")
    return code


def _exit_code(ended: Ended, conflicts: list[SharedFile]) -> int:
    if ended.interrupted:
        return exits.INTERRUPTED
    if conflicts:
        return exits.WORKER_FAILED
    return max((exits.of_job_status(result["status"]) for result in ended.results), default=exits.DONE)


def _as_json(ended: Ended, conflicts: list[SharedFile], run: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "runId": run["runId"] if run else None,
        "jobs": ended.results,
        "conflicts": [
            {
                "path": shared.path,
                "jobs": [
                    {"jobId": job_id, "label": label}
                    for job_id, label in zip(shared.job_ids, shared.labels, strict=True)
                ],
            }
            for shared in conflicts
        ],
    }


def _as_text(ended: Ended, conflicts: list[SharedFile]) -> str:
    blocks = [texts.result(result) for result in ended.results]
    if conflicts:
        blocks.append("\n".join(conflict_lines(conflicts)))
    shown = ""
    for before, block in zip(["\n", *blocks], blocks, strict=False):
        # Workers that said nothing are one line each and need no room between them.
        shown += ("\n\n" if "\n" in before + block and shown else "\n") + block
    return shown


def conflict_lines(conflicts: list[SharedFile]) -> list[str]:
    """What a person has to know about files that several workers wrote."""
    if len(conflicts) == 1:
        heading = "conflict: 1 file was written by several workers at the same time, so one may have undone the other:"
    else:
        heading = f"conflicts: {len(conflicts)} files were written by several workers at the same time:"
    rows = [[f"  {one_line(shared.path)}", " and ".join(shared.labels)] for shared in conflicts]
    return [heading, *texts.columns(rows), "Look at them with `git diff` before you commit; nothing was repaired."]


COMMAND = Command(
    name="run",
    summary="one round: start workers, watch them, show results and conflicts",
    add_flags=_add_flags,
    run=_run,
    description=DESCRIPTION,
    on_interrupt="the workers that still run are being stopped; `codex-sidecar status` shows them.",
)
