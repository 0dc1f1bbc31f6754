"""What is there of what workers need, signing in, trying a conflict, and making another program the boss."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys

from sidecar.lsp.documents import setup_uri
from sidecar.lsp.flows import texts
from sidecar.lsp.flows.flow import Flow
from sidecar.lsp.flows.primitives import Button, Item
from sidecar.model.errors import SidecarError

BOSSES = {"codex": "Codex", "claude": "Claude Code", "vscode": "VS Code"}
"""The programs that `codex-sidecar install` knows, by its word for each."""
VARIABLE = "CODEX_SIDECAR_CODEX"
"""Names the Codex to a process that has no settings."""
INSTALL_SECONDS = 60.0
"""How long the installer may take: it starts the server once, to see it answer."""


async def check_setup(flow: Flow) -> None:
    """The report, as it is now."""
    flow.desk.refresh(setup_uri())
    await flow.ask.open(setup_uri())


async def sign_in(flow: Flow) -> None:
    """A terminal in which Codex itself asks; no credential is ever seen here."""
    core = flow.desk.core
    codex = await core.manager.backend.locate(core.settings.codex, flow.desk.caller.client.env)
    program, *arguments = codex.argv
    await flow.ask.terminal(texts.SIGN_IN, program, [*arguments, "login"], core.top)


async def sample_conflict(flow: Flow) -> None:
    """A terminal in which the demo plays: workers that collide in a scratch repository, without an account."""
    # A terminal is closed with the program that it was opened for, and what the demo has shown is to be read, also
    # after Ctrl+C.
    stay = f'trap : INT; "$@"; printf "\\n%s" {shlex.quote(texts.CLOSE_TERMINAL)}; read -r _'
    more = {name: value for name, value in (("PYTHONPATH", _modules()), (VARIABLE, await _codex(flow))) if value}
    demo = ["env", *(f"{name}={value}" for name, value in more.items()), sys.executable, "-m", "sidecar", "demo"]
    await flow.ask.terminal(texts.SAMPLE_CONFLICT, "/bin/sh", ["-c", stay, "sh", *demo], "/")


async def _codex(flow: Flow) -> str | None:
    """The Codex of this client, shell-quoted: a terminal knows nothing of the settings, nor always the same PATH.

    Where it cannot be used the demo finds that out too and says why; None where the client names none.
    """
    core, env = flow.desk.core, flow.desk.caller.client.env
    try:
        found = await core.manager.backend.locate(core.settings.codex, env)
    except SidecarError:
        path = os.path.expanduser(core.settings.codex.path.strip())
        return shlex.quote(path) if path else env.get(VARIABLE)
    return shlex.join([found.named, *found.argv[1:]])


async def install_boss(flow: Flow) -> None:
    """Shows what would be written for a boss, and writes it when the person agrees."""
    items = [Item(name, title, None, texts.BOSS_DETAIL) for name, title in BOSSES.items()]
    boss = await flow.ask.pick(texts.WHICH_BOSS, items)
    if boss is None:
        return
    entry, note = await _install(flow, boss, "--print")
    entry, note = entry.rstrip(), last_line(note)
    title = BOSSES[boss]
    detail = f"{texts.write_detail(note)}\n\n{entry}"
    if await flow.ask.modal(texts.write_entry(title), detail, [Button("write", texts.WRITE_IT)]) is None:
        return
    done = json.loads((await _install(flow, boss, "--json"))[0])
    await flow.ask.toast("info", texts.boss_installed(title, done["path"], done["outcome"]))


def _modules() -> str | None:
    """Where this process's modules are, for another process of the same program."""
    return os.environ.get("PYTHONPATH")


async def _install(flow: Flow, boss: str, *flags: str) -> tuple[str, str]:
    """What `codex-sidecar install` prints as its result and as notes; it stands above this room, so it is run.

    Raises:
        SidecarError: of the installer.
    """
    # The client's HOME says which files are meant; this process's module path says where the program is.
    path = {"PYTHONPATH": modules} if (modules := _modules()) else {}
    env = {**flow.desk.caller.client.env, **path}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "install", boss, *flags,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=env, cwd="/",
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), INSTALL_SECONDS)
    except (asyncio.TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    result, notes = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    if process.returncode != 0:
        raise SidecarError("invalid-arguments", last_line(notes) or texts.BOSS_FAILED)
    return result, notes


def last_line(printed: str) -> str:
    """The last line that is not empty, without the name of the program."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return lines[-1].removeprefix("codex-sidecar: ")[:500] if lines else ""
