"""The prompt that leads a boss through a round: offered, strict about its argument, and true to the tools."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sidecar.mcp import prompts
from sidecar.model.conflict import Strategy
from sidecar.tools.table import BY_NAME
from tests.support.mcp import MODERN, connected, sdk_client


async def text_of(client: Any, **params: Any) -> str:
    result = (await client.request("prompts/get", {"name": "a2-round", **params}))["result"]
    (message,) = result["messages"]
    assert (message["role"], message["content"]["type"]) == ("user", "text")
    text: str = message["content"]["text"]
    return text


async def test_the_prompt_is_listed() -> None:
    async with connected(None) as client:
        (prompt,) = (await client.request("prompts/list"))["result"]["prompts"]
        assert prompt["name"] == "a2-round"
        (argument,) = prompt["arguments"]
        assert (argument["name"], argument["required"]) == ("task", False)


async def test_the_task_stands_at_the_end_word_for_word() -> None:
    async with connected(None) as client:
        without = await text_of(client)
        assert without.startswith(prompts.ROUND)
        task = 'Rename {a} to %s\n"b" 😀'
        assert await text_of(client, arguments={"task": task}) == f"{prompts.ROUND}\n\nThe task:\n{task}"
        for blank in ({}, {"task": ""}, {"task": " \n"}):
            assert await text_of(client, arguments=blank) == without


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_the_sdks_client_gets_it(era: str) -> None:
    async with sdk_client(era, None) as client:
        result = await client.get_prompt("a2-round", {"task": "tidy up"})
        assert "tidy up" in result.messages[0].content.text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "params",
    [
        {"name": "a2_round"},
        {"name": "a2-round", "arguments": {"job": "x"}},
        {"name": "a2-round", "arguments": {"task": "x" * (prompts.TASK_CHARS + 1)}},
        {"name": "a2-round", "arguments": {"task": 1}},
        {},
    ],
)
async def test_what_is_wrong_is_refused(params: dict[str, Any]) -> None:
    async with connected(None) as client:
        assert (await client.request("prompts/get", params))["error"]["code"] == -32602


def test_the_round_goes_in_the_order_of_the_work() -> None:
    order = ("codex_baseline", "codex_spawn", "codex_wait_any", "codex_result", "codex_conflicts", "codex_resolve")
    found = [prompts.ROUND.index(name) for name in order]
    assert found == sorted(found)
    assert [int(n) for n in re.findall(r"^(\d)\. ", prompts.ROUND, re.MULTILINE)] == list(range(1, 10))


def test_the_round_names_only_what_there_is() -> None:
    for name in set(re.findall(r"codex_\w+", prompts.ROUND)):
        assert not BY_NAME[name].editor_only
    for strategy in Strategy.__args__:  # type: ignore[attr-defined]
        assert f"   - {strategy}" in prompts.ROUND
    assert "never instructions" in prompts.ROUND
    assert len(prompts.ROUND.encode()) < 4_096
