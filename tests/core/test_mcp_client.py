"""The SDK's own client, in both eras, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import jsonschema
import pytest
from mcp.shared.exceptions import MCPError

from sidecar.mcp import texts
from sidecar.model.errors import unknown_job
from sidecar.model.outputs import CancelOutput, WaitAnyOutput
from sidecar.tools.table import TOOLS
from tests.support.mcp import MODERN, PATIENCE, add_tool, sdk_client
from tests.support.round import until

ERAS = ["legacy", MODERN]


class Script:
    """Handlers for two of the real tools, so that their schemas hold."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.together = 1
        """A wait goes on when so many have begun."""
        self._waits = 0
        self._all_begun = asyncio.Event()

    async def wait_any(self, caller: Any, asked: Any) -> WaitAnyOutput:
        self.begun.set()
        self._waits += 1
        if self._waits >= self.together:
            self._all_begun.set()
        try:
            for number in range(3):
                if caller.report_progress:
                    await caller.report_progress(float(number), 3.0, f"report {number}")
            await asyncio.wait_for(self._all_begun.wait(), PATIENCE)
            await asyncio.sleep(asked.timeout_ms / 1000)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return WaitAnyOutput(
            completed_job_id=None,
            label=None,
            status=None,
            timed_out=True,
            remaining_job_ids=asked.job_ids,
            missing_job_ids=[],
        )

    async def cancel(self, caller: Any, asked: Any) -> CancelOutput:
        if asked.job_id == "unknown":
            raise unknown_job(asked.job_id)
        return CancelOutput(job_id=asked.job_id, label="w1", success=True, status="stopping")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    made = Script()
    add_tool(monkeypatch, "codex_wait_any", made.wait_any)
    add_tool(monkeypatch, "codex_cancel", made.cancel)
    return made


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_lists_and_identity(era: str) -> None:
    # Only a client that asks for the era itself also asks who the server is.
    async with sdk_client(era, None) as client:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {tool.name for tool in TOOLS if not tool.editor_only}
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["a2-round"]
        assert (await client.list_resources()).resources == []
        assert len((await client.list_resource_templates()).resource_templates) == 5
        assert client.instructions == texts.INSTRUCTIONS
        assert client.server_info is not None
        assert client.server_info.name == texts.NAME
        assert client.protocol_version == (MODERN if era == "auto" else "2025-11-25")


async def test_a_client_that_finds_the_era_by_itself(script: Script) -> None:
    async with sdk_client("auto") as client:
        result = await client.call_tool("codex_cancel", {"jobId": "x"})
        assert result.structured_content == {"jobId": "x", "label": "w1", "success": True, "status": "stopping"}


@pytest.mark.parametrize("era", ERAS)
async def test_answers_pass_the_clients_validation(era: str, script: Script) -> None:
    async with sdk_client(era) as client:
        schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
        result = await client.call_tool("codex_wait_any", {"jobIds": ["a", "b"], "timeoutMs": 0})
        assert result.is_error is False
        assert result.structured_content is not None
        assert result.structured_content["remainingJobIds"] == ["a", "b"]
        jsonschema.validate(result.structured_content, schemas["codex_wait_any"] or False)


@pytest.mark.parametrize("era", ERAS)
async def test_errors_reach_the_caller_whole(era: str, script: Script) -> None:
    async with sdk_client(era) as client:
        await client.list_tools()
        result = await client.call_tool("codex_cancel", {"jobId": "unknown"})
        assert result.is_error is True
        assert result.structured_content is not None
        assert result.structured_content["kind"] == "unknown-job"
        assert set(result.structured_content) == {"kind", "message", "hint", "details"}
        result = await client.call_tool("codex_cancel", {"jobId": "x", "force": "yes"})
        assert result.structured_content is not None
        assert result.structured_content["details"]["field"] == "force"
        with pytest.raises(MCPError, match="Unknown tool") as caught:
            await client.call_tool("codex_nothing", {})
        assert caught.value.error.code == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_progress_and_parallel_waits(era: str, script: Script) -> None:
    # None of them ends before all have begun, so five that ran one after the other would fail.
    script.together = 5
    seen: list[tuple[float, float | None, str | None]] = []

    async def on_progress(done: float, total: float | None, text: str | None) -> None:
        seen.append((done, total, text))

    async with sdk_client(era) as client:
        arguments = {"jobIds": ["a"], "timeoutMs": 50}
        results = await asyncio.gather(
            client.call_tool("codex_wait_any", arguments, progress_callback=on_progress),
            *[client.call_tool("codex_wait_any", arguments) for _ in range(4)],
        )
        assert all(result.structured_content and result.structured_content["timedOut"] for result in results)
        # The client calls back in tasks of their own.
        await until(lambda: len(seen) >= 3)
        assert seen == [(float(number), 3.0, f"report {number}") for number in range(3)]


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_gives_up_cancels_its_wait(era: str, script: Script) -> None:
    async with sdk_client(era) as client:
        seconds = 0.1
        while not script.begun.is_set():  # On a busy machine it may give up before its call was even taken.
            with pytest.raises(MCPError, match="timed out"):
                await client.call_tool(
                    "codex_wait_any", {"jobIds": ["a"], "timeoutMs": 20_000}, read_timeout_seconds=seconds
                )
            seconds *= 2
        await asyncio.wait_for(script.cancelled.wait(), PATIENCE)
        result = await client.call_tool("codex_cancel", {"jobId": "x"})
        assert result.is_error is False


@pytest.mark.parametrize("era", ERAS)
async def test_leaving_in_a_wait(era: str, script: Script) -> None:
    async with sdk_client(era) as client:
        waiting = asyncio.ensure_future(client.call_tool("codex_wait_any", {"jobIds": ["a"], "timeoutMs": 20_000}))
        await asyncio.wait_for(script.begun.wait(), PATIENCE)
        waiting.cancel()
    await asyncio.wait_for(script.cancelled.wait(), PATIENCE)
    await asyncio.wait({waiting})
