"""`run`: one whole round from the terminal."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from sidecar.cli import a2_texts, exits
from sidecar.cli.asking import terminal
from sidecar.cli.command import PROGRAM, Command
from sidecar.cli.connect import connect, control
from sidecar.cli.flags import read_text
from sidecar.cli.output import Output
from sidecar.cli.repair import Mended, Mender, OnConflict, left_by
from sidecar.cli.rounds import Ended, run_round
from sidecar.cli.texts import plural
from sidecar.model.errors import SidecarError, invalid
from sidecar.tools import table

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller

DESCRIPTION = """\
Starts one worker for each task, shows what they do, then their answers, their files and their conflicts.

Writing workers come first, since they are the ones that can be refused; a refused task stops the round. When two
workers come into each other's way a line says so at once. Afterwards --on-conflict decides: `ask` (the default) shows
each conflict and asks, at a terminal; `merge` merges what merges cleanly; `rerun` rolls back the files of the workers
in conflict and runs these again one by one; `keep-going` only shows them. Without it the setting
codexSidecar.conflicts.onConflict of an editor that serves this repository decides, if there is one. Before each repair
a snapshot is saved.
The exit code is 1 when a conflict is left open. Ctrl-C stops the workers; a second Ctrl-C kills them.
"""

ON_CONFLICT: tuple[OnConflict, ...] = get_args(OnConflict)


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
        choices=ON_CONFLICT,
        default=None,
        help="What to do about conflicts. Default: the editor's setting, else ask; without a terminal ask is "
        "keep-going.",
    )
    parser.add_argument(
        "--on-dirty",
        choices=["refuse", "snapshot", "stash"],
        default=None,
        help="What to do with uncommitted changes when the writing workers start: name them and stop, make them part "
        "of the baseline, or save them and make the tree clean.",
    )


def _spawns(found: argparse.Namespace) -> list[dict[str, Any]]:
    """The inputs of `codex_spawn`, checked before anything is started."""
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


@dataclass
class Whole:
    """A whole round: how its workers ended, what became of its conflicts, and the run that it belongs to."""

    ended: Ended
    mended: Mended
    run: dict[str, Any] | None
    put_aside: str | None
    left: list[tuple[dict[str, Any], list[str]]] = field(default_factory=list)
    """Results of workers that did not finish, each with the files that it left changed."""

    @property
    def lasting(self) -> list[dict[str, Any]]:
        """The results that count in the end: of a worker that ran again only those of the later run."""
        first = [result for result in self.ended.results if result["jobId"] not in self.mended.replaced]
        return first + [result for result in self.mended.results if result["jobId"] not in self.mended.replaced]

    @property
    def interrupted(self) -> bool:
        return self.ended.interrupted or self.mended.interrupted


async def _run(found: argparse.Namespace, out: Output) -> int:
    spawns = _spawns(found)
    async with connect(found.repo) as client:
        how = found.on_conflict or (await _announced(found.repo) if found.write else "ask")
        ended = await run_round(client, spawns, out)
        out.text(a2_texts.results(ended.results))
        run = (await client.call("codex_status", {}))["run"]
        whole = Whole(ended, Mended(), run, await _put_aside(client, run, found.on_dirty) if found.write else None)
        writing = [one["jobId"] for one, asked in zip(ended.results, spawns, strict=False) if _may_write(asked)]
        if writing:
            mender = Mender(client, writing, out, terminal(out))
            whole.mended = await mender.mend("keep-going" if ended.interrupted else how)
            left = [(result, await left_by(client, result)) for result in whole.lasting]
            whole.left = [(result, paths) for result, paths in left if paths]
    closing = _closing(whole)
    if closing or out.as_json:
        out.result(_as_json(whole), "\n" + "\n".join(closing))
    if whole.interrupted:
        out.note("interrupted; the workers of this round were stopped, what they had written stays in the tree.")
    return _exit_code(whole)


async def _announced(repo: str | None) -> OnConflict:
    """What the editor's setting says to do about conflicts; `ask` without one.

    Raises:
        SidecarError: the sidecar does not answer.
    """
    try:
        answer = await control(repo, "settings")
    except SidecarError as exc:
        if exc.kind != "invalid-arguments":
            raise
        answer = None  # A sidecar of an older version does not know the question.
    how: OnConflict = answer["conflicts"]["onConflict"] if answer is not None else "ask"
    return how if how in ON_CONFLICT else "ask"


def _may_write(arguments: dict[str, Any]) -> bool:
    return bool(arguments["sandbox"] != "read-only")


async def _put_aside(client: Caller, run: dict[str, Any] | None, on_dirty: str | None) -> str | None:
    """The snapshot that holds a person's uncommitted work under `--on-dirty stash`."""
    if on_dirty != "stash" or run is None:
        return None
    snapshot: str | None = (await client.call("codex_baseline", {}))["snapshotId"]
    return snapshot


def _exit_code(whole: Whole) -> int:
    if whole.interrupted:
        return exits.INTERRUPTED
    if whole.mended.left:
        return exits.WORKER_FAILED
    return max((exits.of_job_status(result["status"]) for result in whole.lasting), default=exits.DONE)


def _as_json(whole: Whole) -> dict[str, Any]:
    return {
        "runId": whole.run["runId"] if whole.run else None,
        "jobs": whole.ended.results,
        "warnings": whole.ended.warnings,
        "conflicts": whole.mended.found,
        "repairs": whole.mended.acts,
        "repairJobs": whole.mended.results,
        "openConflicts": [item["conflictId"] for item in whole.mended.left],
        "leftChanges": [
            {"jobId": result["jobId"], "label": result["label"], "files": paths} for result, paths in whole.left
        ],
        "putAside": whole.put_aside,
    }


def _closing(whole: Whole) -> list[str]:
    """What a person has to know at the end, one line each."""
    lines = [a2_texts.left_changes(result, paths) for result, paths in whole.left]
    if count := len(whole.mended.left):
        shows = "shows it again" if count == 1 else "shows them again"
        lines.append(f"{plural(count, 'conflict')} left open; `{PROGRAM} conflicts` {shows}.")
    elif whole.mended.found:
        lines.append("No conflict is left open.")
    if others := whole.mended.others:
        lines.append(f"{plural(others, 'conflict')} from before this round; `{PROGRAM} conflicts` shows what is open.")
    if whole.put_aside is not None:
        lines.append(a2_texts.put_aside(whole.put_aside))
    return lines


COMMAND = Command(
    name="run",
    summary="one round: start workers, watch them, show results, repair conflicts",
    add_flags=_add_flags,
    run=_run,
    description=DESCRIPTION,
    on_interrupt=f"`{PROGRAM} status` shows the workers, `{PROGRAM} conflicts` what is left open.",
)
