"""An editor at a repository with real Codex workers: what it is shown of a file, and the tools as its commands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.codex_collision import PATH
from tests.support.lsp import RawClient
from tests.support.lsp_conflicts import problems
from tests.system.test_lsp_stdio import raw

SECONDS = 60.0
"""How long anything is waited for before the test fails; the machine may be busy."""
SEVERITIES = {"error": 1, "warning": 2, "information": 3}


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """The first true value of `look`."""

    async def wait() -> Any:
        while not (value := await look()):
            await asyncio.sleep(0.05)
        return value

    try:
        return await asyncio.wait_for(wait(), SECONDS)
    except asyncio.TimeoutError as exc:
        raise AssertionError(f"it did not come true: {what}") from exc


class Editor:
    """One client whose user works on one file."""

    def __init__(self, client: RawClient, repo: Path) -> None:
        self.client = client
        self.repo = repo
        self.uri = (repo / PATH).as_uri()

    async def call(self, command: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers as a command."""
        reply = await self.client.call(command, arguments)
        assert "result" in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    async def refused(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The `data` of the error with which a command is refused."""
        reply = await self.client.call(command, arguments)
        assert "error" in reply, reply
        data: dict[str, Any] = reply["error"]["data"]
        return data

    async def act(self, command: str, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both steps, and that the first one changes nothing; the preview and the answer."""
        before = self.text()
        offered = await self.call(command, **arguments)
        assert offered["preview"]["text"]
        assert self.text() == before, "a preview changes nothing"
        return offered["preview"], await self.call(command, **arguments, token=offered["token"])

    async def spawn(self, *tasks: dict[str, Any]) -> list[str]:
        """Their job ids."""
        return [(await self.call("codex_spawn", **one))["jobId"] for one in tasks]

    async def ended(self, *jobs: str) -> None:
        """Waits until all of them are done."""
        left = list(jobs)
        while left:
            left = (await self.call("codex_wait_any", jobIds=left, timeoutMs=10_000))["remainingJobIds"]
        for job in jobs:
            result = await self.call("codex_result", jobId=job)
            assert result["status"] == "done", result

    async def status(self, job: str) -> str:
        found: str = (await self.call("codex_status", jobId=job))["status"]
        return found

    async def conflicts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("codex_conflicts"))["conflicts"]
        return found

    async def shown(self, kind: str, severity: str) -> dict[str, Any]:
        """The file's one problem, once it is of this kind and this severity."""
        wanted = [(kind, SEVERITIES[severity])]

        async def look() -> dict[str, Any] | None:
            found = problems(self.client, self.uri) or []
            return found[0] if [(one["code"], one["severity"]) for one in found] == wanted else None

        try:
            found: dict[str, Any] = await until(look, f"{kind}, {severity}")
        except AssertionError as exc:
            raise AssertionError(f"{exc}; shown: {problems(self.client, self.uri)}") from exc
        return found

    async def cleared(self) -> None:
        """Waits until no problem of the file is shown, and no conflict is left."""

        async def look() -> bool:
            return not problems(self.client, self.uri)

        await until(look, "no problem is shown any more")
        assert await self.conflicts() == []

    async def hover(self, line: int) -> str:
        """What is said about a line (from 0); empty where nothing is."""
        params = {"textDocument": {"uri": self.uri}, "position": {"line": line, "character": 2}}
        result = (await self.client.request("textDocument/hover", params))["result"]
        return "" if result is None else str(result["contents"]["value"])

    async def written_by(self, who: str, *, line: int) -> None:
        """Waits until the version in which `who` ("w1", "you") wrote a line (from 0) is stored."""

        async def look() -> bool:
            return who in await self.hover(line)

        await until(look, f"{who} is known to have written line {line + 1}")

    async def mark(self, name: str) -> None:
        """Waits for a worker's mark."""

        async def look() -> bool:
            return (self.repo / "marks" / name).exists()

        await until(look, f"mark {name}")

    def save(self, text: str) -> None:
        """The user saves the file with this text."""
        (self.repo / PATH).write_text(text)
        self.client.notify("textDocument/didSave", {"textDocument": {"uri": self.uri}})

    def text(self) -> str:
        """The file; empty where there is none."""
        path = self.repo / PATH
        return path.read_text() if path.exists() else ""


@contextlib.asynccontextmanager
async def open_editor(repo: Path, **env: str) -> AsyncIterator[Editor]:
    """A plain client at `repo` that asks nobody anything and has got the whole state."""
    async with raw(repo, **env) as (client, _):
        await client.initialize(None, rootUri=repo.as_uri())
        await client.wait_for_method("codexSidecar/state")
        yield Editor(client, repo)
