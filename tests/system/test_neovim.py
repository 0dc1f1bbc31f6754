"""Neovim's own language client: the same problems and actions as anywhere else, and the same repair."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_lsp_conflicts_actions import LITERALS
from tests.support.collision import PATH, WORKER, collision_repo
from tests.support.neovim import neovim
from tests.support.raw import no_service_left
from tests.system.test_lsp_conflicts import certain, collide
from tests.system.test_lsp_stdio import raw

SECONDS = 60.0
TRIAL = Path(__file__).with_name("neovim_trial.lua")


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = collision_repo(tmp_path / "a repo")
    with no_service_left(path):
        yield path


async def play(program: str, repo: Path, out: Path, action: str) -> dict[str, Any]:
    """What the person in Neovim has seen."""
    settings = {
        "TRIAL_COMMAND": json.dumps([sys.executable, "-m", "sidecar", "lsp"]),
        "TRIAL_FILE": PATH,
        "TRIAL_ACTION": action,
        "TRIAL_OUT": str(out),
    }
    arguments = ["--headless", "--clean", "-i", "NONE", "-n", "-c", f"luafile {TRIAL}"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        program, *arguments, cwd=repo, env={**os.environ, **settings},
        stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
    )  # fmt: skip
    try:
        _, said = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert out.exists(), said.decode()
    seen: dict[str, Any] = json.loads(out.read_text())
    assert seen.get("problem") is None, (seen, said.decode())
    return seen


async def test_a_conflict_in_neovim(repo: Path, tmp_path: Path) -> None:
    program = neovim()
    uri = (repo / PATH).as_uri()
    async with raw(repo, CODEX_SIDECAR_CODEX=WORKER) as (client, _):
        await client.initialize({"ui": {"dialogs": True}}, LITERALS)
        await collide(client, repo)
        shown = await certain(client, uri)
        context = {"textDocument": {"uri": uri}, "range": shown["range"], "context": {"diagnostics": [shown]}}
        actions = (await client.request("textDocument/codeAction", context))["result"]

        seen = await play(program, repo, tmp_path / "seen.json", 'Keep w1 "lower case"')

        start, end = shown["range"]["start"], shown["range"]["end"]
        assert seen["problems"] == [
            {
                "source": shown["source"],
                "code": shown["code"],
                "severity": shown["severity"],
                "message": shown["message"],
                "range": [start["line"], start["character"], end["line"], end["character"]],
            }
        ]
        mine = [item["title"] for item in actions]
        # A client with dialogs of its own and no merge editor has no merge by hand; the rest is the same.
        assert [title for title in seen["actions"] if not title.startswith("Merge")] == mine
        assert "Keep w1" in seen["lenses"]
        assert 'w2 "title case"' in seen["hover"]["contents"]["value"]
        asked = [words for question in seen["questions"] for words in question if isinstance(words, str)]
        assert any("becomes w1's version." in words for words in asked), seen["questions"]
        assert seen["text"][2] == "    return text.lower()"
        assert seen["left"] == 0
        assert (repo / PATH).read_text().splitlines() == seen["text"]
