"""`doctor`: what is there, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import os
from typing import Any

import msgspec

from sidecar import __version__
from sidecar.cli import exits
from sidecar.cli.command import Command
from sidecar.cli.connect import connect
from sidecar.cli.output import Output, one_line
from sidecar.cli.wording import for_terminal
from sidecar.model.errors import SidecarError
from sidecar.tools.caller import Client

_NO_REMEDY_HERE = ("invalid-arguments", "limit-reached", "internal")
"""Errors that are none of a missing piece."""


def _add_flags(parser: argparse.ArgumentParser) -> None:
    """Nothing but `--repo` and `--json`."""


async def _run(found: argparse.Namespace, out: Output) -> int:
    answer = await check(found.repo)
    out.result(answer, as_text(answer))
    return exits.DONE if answer["ok"] else exits.ENVIRONMENT


async def check(repo: str | None) -> dict[str, Any]:
    """The checks of the repository's sidecar; where there is none to ask, those that need none.

    Raises:
        SidecarError: the question itself was refused.
    """
    try:
        async with connect(repo) as client:
            return await client.call("codex_doctor", {})
    except SidecarError as exc:
        if exc.kind in _NO_REMEDY_HERE:
            raise
        return await _without_sidecar(repo, exc)


async def _without_sidecar(repo: str | None, why: SidecarError) -> dict[str, Any]:
    from sidecar.service.doctor import run_checks

    client = Client("cli", __version__, cwd=os.path.abspath(repo or os.curdir), pid=os.getpid())
    answer: dict[str, Any] = msgspec.to_builtins(await run_checks(None, client))
    if why.kind != "not-a-repository":
        # The repository is there; it is its sidecar that does not come up.
        answer["checks"] = [one for one in answer["checks"] if one["name"] != "repository"]
        sidecar = {"name": "sidecar", "ok": False, "required": True, "message": why.message, "hint": why.hint}
        answer["checks"].append({**sidecar, "details": why.details})
    answer["ok"] = all(one["ok"] or not one["required"] for one in answer["checks"])
    return answer


def as_text(answer: dict[str, Any]) -> str:
    """One line for each check, the remedy below it, then one sentence."""
    width = max(len(one["name"]) for one in answer["checks"])
    lines = [f"codex-sidecar {answer['version']}"]
    for one in answer["checks"]:
        word = "ok" if one["ok"] else "missing"
        optional = "" if one["ok"] or one["required"] else " (not required)"
        lines.append(f"{word:<7}  {one['name'].ljust(width)}  {one_line(one['message'])}{optional}")
        if one["hint"] and not one["ok"]:
            lines.append(f"{'':<7}  {'':<{width}}  → {one_line(for_terminal(one['hint']))}")
    lines.append("Workers can run." if answer["ok"] else "Workers cannot run yet: see the lines that say `missing`.")
    return "\n".join(lines)


COMMAND = Command(
    name="doctor",
    summary="name each missing piece (Git, repository, Codex, login, sandbox, state) and its remedy",
    add_flags=_add_flags,
    run=_run,
    description="Checks what workers need. The exit code is 3 where something required is missing.",
)
