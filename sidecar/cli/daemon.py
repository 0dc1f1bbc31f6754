"""`daemon status|stop`: the sidecar process of this repository."""

from __future__ import annotations

import argparse
from typing import Any

from sidecar.cli import exits
from sidecar.cli.command import Command
from sidecar.cli.connect import control, stop
from sidecar.cli.output import Output
from sidecar.cli.texts import plural

NOT_RUNNING: dict[str, Any] = {"running": False, "pid": None, "version": None, "clients": 0, "jobs": 0}


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["status", "stop"], help="`stop` ends the process; workers keep running.")


async def _run(found: argparse.Namespace, out: Output) -> int:
    if found.action == "stop":
        return await _stop(found.repo, out)
    status = await control(found.repo, "status")
    out.result(NOT_RUNNING if status is None else status, _text(status))
    return exits.DONE


async def _stop(repo: str | None, out: Output) -> int:
    before = await stop(repo)
    if before is None:
        out.result(NOT_RUNNING, "The sidecar was not running.")
        return exits.DONE
    text = f"The sidecar (process {before['pid']}) was stopped."
    if active := before["jobs"]:
        keep = f"{plural(active, 'worker')} {'keeps' if active == 1 else 'keep'} running"
        text += f" {keep}; the next client starts a sidecar that takes them up."
    out.result({**NOT_RUNNING, "stopped": before["pid"]}, text)
    return exits.DONE


def _text(status: dict[str, Any] | None) -> str:
    if status is None:
        return "The sidecar is not running; it starts with the first command or client."
    return (
        f"The sidecar is running: process {status['pid']}, version {status['version']}, "
        f"{plural(status['clients'], 'client')}, {plural(status['jobs'], 'unfinished job')}."
    )


COMMAND = Command(
    name="daemon",
    summary="the sidecar process of this repository: status, stop",
    add_flags=_add_flags,
    run=_run,
    description="Says whether this repository's sidecar process runs, or ends it. Workers keep running either way.",
)
