"""What an editor's setting says about conflicts holds in the terminal, too: real processes, scripted workers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.referee import Referee
from tests.support.repo import git
from tests.system.test_cli_a2 import MERGED, SHOUTED, cli, pair, text
from tests.system.test_lsp_stdio import raw

__all__ = ["cli"]


@pytest.mark.slow
async def test_the_editors_setting_decides_where_no_flag_does(cli: Cli, tmp_path: Path) -> None:
    async with raw(cli.directory) as (editor, _):
        await editor.initialize({"conflicts": {"onConflict": "merge"}})
        await editor.request("codexSidecar/getState")
        with Referee(cli.directory, tmp_path / "first") as referee:
            answer = await asyncio.to_thread(cli.json, "run", "--write", *pair(referee, apart=True))
        assert [one["strategy"] for one in answer["repairs"]] == ["merge"]
        assert (answer["openConflicts"], text(cli)) == ([], MERGED)
        assert text(cli) != SHOUTED
        git(cli.directory, "commit", "-qam", "merged")
        # The flag goes before the setting.
        (cli.directory / "a.txt").write_text(SHOUTED.replace("TWO", "two"))
        git(cli.directory, "commit", "-qam", "back")
        with Referee(cli.directory, tmp_path / "second") as referee:
            argv = ["run", "--on-conflict", "keep-going", "--write", *pair(referee, apart=True)]
            answer = await asyncio.to_thread(lambda: cli.json(*argv, expect=1))
        assert (answer["repairs"], len(answer["openConflicts"])) == ([], 1)
