"""A file's own time is not always that of its change: a time that cannot be right does not tell whose a content is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.a2 import witness
from sidecar.a2.versions import USER
from sidecar.git.worktree import Signature
from sidecar.jobs.log import JobLog
from tests.core.test_a2_round import TEXT, patch, report, signal
from tests.support.repo import make_repo
from tests.support.round import Round, open_round, until

WHOLE = TEXT.replace("line 9\n", "nine by w2\n")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "src/a.py": TEXT})


def last_words(repo: Path, name: str, *files: str) -> dict[str, Any]:
    """The report, once a file outside the repository is there; until then no command is open."""
    return {**report(*files), "until": {"path": str(repo.parent / name), "holds": "go"}}


def go(repo: Path, name: str) -> None:
    (repo.parent / f"{name}.new").write_text("go")
    (repo.parent / f"{name}.new").rename(repo.parent / name)


async def known(round_: Round) -> None:
    """Looks so long after the last change that a kernel's clock has ticked."""
    await asyncio.sleep(0.1)
    await round_.core.a2.witness.settle()


def writers(round_: Round, path: str) -> list[tuple[str, ...]]:
    scene = round_.core.a2.witness.scene
    assert scene is not None
    return [version.writers for version in scene.history.versions[path]]


def behind(monkeypatch: pytest.MonkeyPatch, path: Path, *, times: int) -> list[int]:
    """An empty file is shown with the time that it had before, the first `times` times that it is read.

    Linux does so for an instant while it cuts a file: the length is set before the time is.
    """
    before = path.stat().st_ctime_ns
    shown: list[int] = []

    def dated(signature: Signature) -> Signature:
        if signature.kind != "file" or signature.size or len(shown) >= times:
            return signature
        shown.append(signature.ctime_ns)
        return signature._replace(ctime_ns=before)

    def looked(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **more: [
            one._replace(signature=dated(one.signature)) if one.path == path.name else one
            for one in real(*args, **more)
        ]

    def read(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **more: {
            name: one._replace(signature=dated(one.signature)) if name == path.name else one
            for name, one in real(*args, **more).items()
        }

    monkeypatch.setattr(witness, "changed_paths", looked(witness.changed_paths))
    monkeypatch.setattr(witness, "store_paths", read(witness.store_paths))
    return shown


@pytest.mark.parametrize("times", [1, 1000], ids=["for an instant", "always"])
async def test_a_file_that_is_being_cut_is_not_given_to_whom_its_old_time_points(
    repo: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    async with open_round(repo) as round_:
        a2, watcher = round_.core.a2, round_.core.manager.watcher
        one = await round_.write("first", patch(4, "four by w1"), last_words(repo, "end", "app.py"))
        await until(lambda: "four by w1" in (repo / "app.py").read_text(), "the first has patched")
        await until(lambda: a2.witness.scene and a2.witness.scene.history.versions.get("app.py"), "that is seen")
        await known(round_)
        shown = behind(monkeypatch, repo / "app.py", times=times)
        # As on a machine that is busy: nobody wakes the reader of the second one's stream.
        monkeypatch.setattr(watcher, "add", lambda path, callback: None)
        command = f": > app.py; touch ../cut; while [ ! -e ../go ]; do sleep 0.02; done; printf '%s' '{WHOLE}' > app.py"
        two = await round_.write("second", {"sh": command}, signal("b"), report("app.py"))
        await until(lambda: (repo.parent / "cut").exists(), "the second has emptied the file")
        await a2.witness.settle()
        assert shown, "no reading met the empty file"
        assert writers(round_, "app.py") == [(one["jobId"],), (two["jobId"],)]
        go(repo, "go")
        await until(lambda: (repo.parent / "b").exists(), "the second has written it")
        go(repo, "end")
        assert await round_.ended(one, two) == ["done", "done"]
        (conflict,) = await round_.conflicts()
        assert (conflict["kind"], conflict["severity"]) == ("lost-update", "error")
        assert [job["attribution"] for job in conflict["jobs"]] == ["seen", "seen"]


async def test_what_a_command_wrote_before_it_was_printed_is_not_surely_a_persons(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_round(repo) as round_:
        a2 = round_.core.a2
        one = await round_.write("first", patch(4, "four by w1"), last_words(repo, "end", "app.py"))
        await until(lambda: a2.witness.scene and a2.witness.scene.history.versions.get("app.py"), "the patch is seen")
        real, printed = JobLog._catch_up, False

        async def late(log: JobLog, ended: bool) -> int:
            return await real(log, ended) if printed else 0

        monkeypatch.setattr(JobLog, "_catch_up", late)
        command = f"printf '%s' '{WHOLE}' > app.py; touch ../b; while [ ! -e ../end ]; do sleep 0.02; done"
        two = await round_.write("second", {"sh": command}, report("app.py"))
        await until(lambda: (repo.parent / "b").exists(), "the second has written")
        await a2.witness.settle()
        assert writers(round_, "app.py") == [(one["jobId"],), (USER,)]
        # Its words come now; when they were printed is known no better than 0.3 s after the deed.
        logs = [live.log for live in round_.core.manager.live.values()]
        for log in logs:
            log._at_end = os.stat(repo / "app.py").st_ctime + 0.3
        printed = True
        for log in logs:
            await log.catch_up()
        go(repo, "end")
        assert await round_.ended(one, two) == ["done", "done"]
        await a2.look()
        assert writers(round_, "app.py") == [(one["jobId"],), (USER, two["jobId"])]


async def test_a_file_that_keeps_its_time_in_a_renamed_directory_is_the_renaming_workers(repo: Path) -> None:
    async with open_round(repo) as round_:
        a2 = round_.core.a2
        text = TEXT.replace("line 4\n", "four by w1\n")
        prepare = f"printf '%s' '{text}' > src/a.py; mkdir ../made; printf '%s' '{WHOLE}' > ../made/a.py; touch ../a"
        one = await round_.write("first", {"sh": prepare}, last_words(repo, "end", "src/a.py"))
        await until(lambda: a2.witness.scene and a2.witness.scene.history.versions.get("src/a.py"), "that is seen")
        await until(lambda: a2.witness.scene and not a2.witness.scene.windows.any_open(), "its command has ended")
        await known(round_)
        command = "mv src ../old && mv ../made src; touch ../moved; while [ ! -e ../end ]; do sleep 0.02; done"
        two = await round_.write("second", {"sh": command}, report("src/a.py"))
        await until(lambda: (repo.parent / "moved").exists(), "the second has renamed the directory")
        assert os.stat(repo / "src/a.py").st_ctime < os.stat(repo / "src").st_ctime
        await a2.witness.settle()
        assert writers(round_, "src/a.py")[-1] == (two["jobId"],)
        go(repo, "end")
        assert await round_.ended(one, two) == ["done", "done"]
