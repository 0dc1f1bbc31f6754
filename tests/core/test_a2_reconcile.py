"""A reconcile worker outlives its sidecar, and the next one knows which conflict it ends."""

from __future__ import annotations

from pathlib import Path

from tests.core.test_a2_round import TEXT, report
from tests.support.repo import make_repo
from tests.support.round import open_round, until


def works(word: str, other: str) -> list[dict[str, object]]:
    """Writes line 4 while the other does; the reconcile worker, which is told of this task, waits for `go` first."""
    waits = "if [ -e ../again ]; then until [ -e ../go ]; do sleep 0.02; done; fi"
    meets = f"touch ../{word}; until [ -e ../{other} ]; do sleep 0.02; done"
    # What is half written is outside the repository, for a look may meet what the other one has not taken away yet.
    writes = f"sed '4s/.*/{word}/' app.py > ../{word}.new; mv ../{word}.new app.py"
    return [{"sh": waits}, {"sh": f"{meets}; {writes}"}, report("app.py")]


async def test_the_next_sidecar_ends_the_conflict(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {"app.py": TEXT})
    async with open_round(repo) as round_:
        jobs = [
            await round_.write("one", *works("first", "second")),
            await round_.write("two", *works("second", "first")),
        ]
        assert await round_.ended(*jobs) == ["done", "done"]
        (conflict,) = await round_.conflicts()
        (tmp_path / "again").touch()
        done = await round_.act("codex_resolve", conflictId=conflict["conflictId"], strategy="reconcile")
        (made,) = done["jobs"]
        await until(lambda: round_.core.manager.live[made["jobId"]].job.status == "running", "it runs")
        await round_.restart()
        (again,) = await round_.conflicts()
        assert again["path"] == "app.py"
        (tmp_path / "go").touch()
        assert await round_.ended(made) == ["done"]
        await until(lambda: round_.core.a2.conflicts() == [], "the conflict is over")
        assert await round_.conflicts() == []
