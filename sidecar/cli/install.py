"""`install` and `uninstall`: makes Codex, Claude Code or VS Code a boss of this sidecar, or no longer."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from sidecar.bosses.setup import BOSSES, Setup
from sidecar.cli import exits
from sidecar.cli.command import PROGRAM, Command
from sidecar.cli.output import Output
from sidecar.cli.texts import plural
from sidecar.model.errors import SidecarError


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("client", choices=list(BOSSES), help="Codex, Claude Code or VS Code.")
    parser.add_argument("--print", dest="only_print", action="store_true", help="Show the entry and change nothing.")


async def _install(found: argparse.Namespace, out: Output) -> int:
    boss = BOSSES[found.client]
    if found.only_print:
        return _print(found.client, out)
    setup = Setup(boss, os.environ)
    setup.check_free()
    entry = setup.entry
    # In a directory without a repository the program answers by itself: a check must not start a sidecar.
    with tempfile.TemporaryDirectory() as elsewhere:
        from sidecar.mcp.handshake import greet

        greeting = await greet(entry["command"], entry["args"], Path(elsewhere))
    outcome = setup.install()
    what, has = ("is a boss already", "has") if outcome == "unchanged" else ("is a boss now", "got")
    text = (
        f"{setup.shown()}\n\n{boss.title} {what}: {setup.path} {has} this entry, "
        f"and the server answered with {plural(greeting.tools, 'tool')}.\n"
        f"Start {boss.title} again to use it. `{PROGRAM} uninstall {found.client}` takes the entry back."
    )
    out.result(
        {
            "client": found.client,
            "path": str(setup.path),
            "outcome": outcome,
            "entry": entry,
            "server": {"version": greeting.version, "tools": greeting.tools},
        },
        text,
    )
    return exits.DONE


def _print(client: str, out: Output) -> int:
    boss = BOSSES[client]
    path = boss.path(os.environ)
    try:
        setup = Setup(boss, os.environ)
        entry, shown = setup.entry, setup.shown()
    except SidecarError:
        # A file that can not be read is what a person needs the bare entry for.
        entry = boss.entry({})
        shown = boss.form.show(boss.section, entry)
    out.result({"client": client, "path": str(path), "outcome": "printed", "entry": entry}, shown)
    if not out.as_json:
        out.note(f"belongs into {path}; nothing was written.")
    return exits.DONE


async def _uninstall(found: argparse.Namespace, out: Output) -> int:
    setup = Setup(BOSSES[found.client], os.environ)
    if found.only_print:
        return _print_there(found.client, setup, out)
    outcome = setup.uninstall()
    text = (
        f"{setup.path} has no entry of this program; nothing was changed."
        if outcome == "absent"
        else f"The entry was taken out of {setup.path}."
    )
    out.result({"client": found.client, "path": str(setup.path), "outcome": outcome}, text)
    return exits.DONE


def _print_there(client: str, setup: Setup, out: Output) -> int:
    setup.check_free()
    there = setup.there
    answer = {"client": client, "path": str(setup.path), "outcome": "printed", "entry": there}
    if there is None:
        out.result(answer, f"{setup.path} has no entry of this program.")
        return exits.DONE
    out.result(answer, setup.shown(there))
    if not out.as_json:
        out.note(f"would be taken out of {setup.path}; nothing was changed.")
    return exits.DONE


INSTALL = Command(
    name="install",
    summary="make Codex, Claude Code or VS Code a boss: show the entry, check it by a handshake, write it",
    add_flags=_add_flags,
    run=_install,
    description="Writes the MCP server's entry into the client's own configuration. Entries of others stay untouched.",
)
UNINSTALL = Command(
    name="uninstall",
    summary="take that entry back",
    add_flags=_add_flags,
    run=_uninstall,
    description="Takes the entry that `install` wrote out of the client's configuration.",
)
