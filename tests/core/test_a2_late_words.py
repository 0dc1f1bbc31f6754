"""A write may be seen before what its worker said of it is read; it is still that worker's, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.test_a2_round import TEXT, patch, report, signal, wait_for
from tests.support.repo import make_repo
from tests.support.round import open_round, until


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "README.md": "hello\n"})


async def test_a_patch_whose_words_are_read_late_is_not_given_to_whom_a_command_runs_for(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_round(repo) as round_:
        a2, watcher = round_.core.a2, round_.core.manager.watcher
        one = await round_.write("first", signal("a"), wait_for("end"), report())
        await until(lambda: (repo.parent / "a").exists(), "the first has a command open")
        await until(lambda: a2.witness.scene and a2.witness.scene.windows.open_commands(), "its command is known")
        # As on a machine that is busy: nobody wakes the reader of the second one's stream.
        monkeypatch.setattr(watcher, "add", lambda path, callback: None)
        two = await round_.write("second", patch(4, "four by w2"), signal("b"), wait_for("end"), report("app.py"))
        await until(lambda: (repo.parent / "b").exists(), "the second has written")
        await a2.witness.settle()
        assert a2.witness.scene is not None
        versions = a2.witness.scene.history.versions["app.py"]
        assert {version.writers for version in versions} == {(two["jobId"],)}
        (repo.parent / "end").touch()
        await round_.ended(one, two)
        first, second = [await round_.call("codex_result", jobId=job["jobId"]) for job in (one, two)]
        assert first["touchedFiles"] == []
        assert [(file["path"], file["attribution"]) for file in second["touchedFiles"]] == [("app.py", "seen")]
