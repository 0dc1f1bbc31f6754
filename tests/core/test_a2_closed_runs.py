"""What is known of a run after its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from tests.core.test_a2_round import TEXT, collide, edit, in_turn, patch, report
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "other.py": TEXT})


async def closed(round_: Round, run_id: str) -> dict[str, Any]:
    """What is answered of a run that is not the open one any more."""
    open_run = (await round_.call("codex_conflicts"))["runId"]
    assert open_run not in (None, run_id)
    return await round_.call("codex_conflicts", runId=run_id)


async def test_the_conflicts_that_a_commit_left_open_can_be_looked_at(repo: Path) -> None:
    async with open_round(repo) as round_:
        _, _, conflict = await collide(round_, repo)
        run_id = (await round_.call("codex_conflicts"))["runId"]
        git(repo, "commit", "-qam", "good enough")
        later = await round_.write("later", edit(1, "one"), report("app.py"))
        await round_.ended(later)
        answer = await closed(round_, run_id)
        assert (answer["runId"], answer["conflicts"], answer["settled"]) == (run_id, [conflict], [])
        assert await round_.conflicts() == [], "it is no conflict of the open run"
        with pytest.raises(SidecarError) as caught:
            await round_.call("codex_resolve", conflictId=conflict["conflictId"], strategy="dismiss")
        assert caught.value.kind == "unknown-conflict"
    async with open_round(repo) as round_:
        assert await closed(round_, run_id) == answer, "another sidecar knows it, too"


async def test_what_was_settled_is_not_told_as_left_open(repo: Path) -> None:
    async with open_round(repo) as round_:
        first = [patch(2, "two"), edit(2, "two", "other.py")]
        second = [patch(9, "nine"), edit(9, "nine", "other.py")]
        await in_turn(round_, repo, first, second, "app.py", "other.py")
        found = {conflict["path"]: conflict for conflict in await round_.conflicts()}
        assert set(found) == {"app.py", "other.py"}
        run_id = (await round_.call("codex_conflicts"))["runId"]
        await round_.call("codex_resolve", conflictId=found["app.py"]["conflictId"], strategy="dismiss")
        await round_.call("codex_baseline", begin=True, onDirty="snapshot")
        answer = await closed(round_, run_id)
        assert answer["conflicts"] == [found["other.py"]]
        assert [one["path"] for one in answer["settled"]] == ["app.py"]
