"""Documents that are made when they are asked for: a worker's result, the check of the setup, a snapshot's file."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.git.blobs import check_oid, read_blobs
from sidecar.lsp.transcript import escaped
from sidecar.model import limits
from sidecar.model.errors import invalid
from sidecar.tools import table
from sidecar.tools.caller import Caller

SHOW_COMMIT = ("--no-show-signature", "--no-ext-diff", "--no-textconv", "--no-color", "--stat", "--patch")
"""Nothing that the repository's configuration names is run for it."""
_CODE = re.compile(r"(`[^`\n]+`)|[^`\s]+|`")
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


class Pages:
    """The pages of one client."""

    def __init__(self, caller: Caller, link: Callable[[str], str]) -> None:
        """
        Args:
            link: the URI of a file of the repository.
        """
        self._caller = caller
        self._link = link

    async def result(self, job_id: str) -> str:
        """What a worker answered, reports and has used.

        Raises:
            SidecarError: `unknown-job`.
        """
        asked = {"jobId": job_id, "maxChars": limits.RESULT_CHARS_MAX}
        found = await table.call("codex_result", asked, self._caller)
        parts = [f"# {found['label']} · {escaped(found['title'])}", _facts(found)]
        if found["error"] is not None:
            parts.append(f"**{escaped(found['error']['message'])}** {escaped(found['error']['hint'])}".rstrip())
        parts.append(found["finalMessage"] or "*No final message.*")
        parts.append("## Files it reports")
        reported = found["modifiedFiles"]
        parts.append("*No report.*" if reported is None else self._listed(reported) or "*None.*")
        others = sorted({one["path"] for one in found["touchedFiles"]} - set(reported or ()))
        if others:
            parts += ["## Files it changed besides", self._listed(others)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _listed(self, paths: list[str]) -> str:
        return "\n".join(f"- [{escaped(path)}]({self._link(path)})" for path in paths)

    async def setup(self) -> str:
        """What is there of what workers need, and what to do about the rest."""
        found = await table.call("codex_doctor", {}, self._caller)
        core = self._caller.work_tree()
        head = [f"# Codex Sidecar {found['version']}", f"Repository: {escaped(core.top)}"]
        place = side(self._caller.client.env)
        if place is not None:
            head.append(f"The server and its workers run {place}.")
        head.append("Everything that is needed is there." if found["ok"] else "Something that is needed is missing.")
        lines = [_check(one) for one in found["checks"]]
        return "\n\n".join([*head, "\n".join(lines), "## Limits", _limits(core.state()["limits"])]) + "\n"

    async def in_snapshot(self, path: str, snapshot_id: str) -> bytes:
        """What a snapshot holds of a file.

        Raises:
            SidecarError: `unknown-snapshot`; `invalid-arguments`: it holds no content of this file.
        """
        core = self._caller.work_tree()

        def read() -> bytes | None:
            _, manifest = core.a2.snapshots_store.read(snapshot_id)
            stored = manifest.entries.get(path)
            if stored is None or stored.oid is None or not stored.kept:
                return None
            with core.repository.plumbing() as git:
                return read_blobs(git, [stored.oid]).get(stored.oid)

        content = await asyncio.to_thread(read)
        if content is None:
            raise invalid("uri", f"the snapshot holds no content of {path[:200]}")
        return content

    async def commit(self, commit: str) -> bytes:
        """A commit's message, the files that it changes, and how.

        Raises:
            SidecarError: `invalid-arguments`: no full id; `state-unavailable`: there is no such commit.
        """
        check_oid(commit)
        repository = self._caller.work_tree().repository

        def show() -> bytes:
            with repository.plumbing() as git:
                return git.run("show", *SHOW_COMMIT, f"{commit}^{{commit}}")

        return await asyncio.to_thread(show)


def _facts(found: Mapping[str, Any]) -> str:
    facts = [str(found["status"])]
    if found["exitCode"] not in (None, 0):
        facts.append(f"exit {found['exitCode']}")
    if found["usage"] is not None:
        facts.append(f"{found['usage']['inputTokens']} tokens in, {found['usage']['outputTokens']} out")
    return " · ".join(facts)


def _check(one: Mapping[str, Any]) -> str:
    mark = "✓" if one["ok"] else "✗" if one["required"] else "–"
    # What a hint has in backticks is a command to be copied.
    said = _CODE.sub(lambda found: found[1] or escaped(found[0]), one["hint"])
    hint = f"  \n  {said}" if said else ""
    return f"- {mark} **{escaped(one['name'])}**: {escaped(one['message'])}{hint}"


def _limits(slots: Mapping[str, Mapping[str, int]]) -> str:
    words = {"read": "read-only workers", "write": "workers that can edit files"}
    return "\n".join(f"- {slot['limit']} {words[kind]} at once" for kind, slot in slots.items() if kind in words)


def side(env: Mapping[str, str]) -> str | None:
    """Where the server is, as a part of a sentence; None where nothing says that it is not this very machine."""
    if env.get("WSL_DISTRO_NAME"):
        return "in WSL"
    if any(os.path.exists(mark) for mark in _CONTAINER_MARKS):
        return "in this container"
    if env.get("SSH_CONNECTION"):
        return "on the machine that SSH reaches"
    return None
