"""Each repair as an editor's command, on what real Codex workers left: asked first, done, and shown no more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.codex import native_codex, write_codex_home
from tests.support.codex_collision import BOTH, FILES, FIRST, IN_TURN, PATH, SECOND, TEXT, put_back, same_line
from tests.support.codex_editor import Editor, open_editor
from tests.support.raw import no_service_left
from tests.support.referee import Referee
from tests.support.repo import git, make_repo

pytestmark = [pytest.mark.codex, pytest.mark.slow]


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", FILES)
    with no_service_left(path):
        yield path


@pytest.fixture
async def editor(repo: Path, tmp_path: Path) -> AsyncIterator[Editor]:
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url)
        async with open_editor(repo, CODEX_HOME=str(home), CODEX_SIDECAR_CODEX=str(native_codex())) as found:
            yield found


async def collide(editor: Editor) -> tuple[str, str, str]:
    """Both workers to their end; their ids, and the conflict's."""
    with Referee(editor.repo, editor.repo.parent / "known") as referee:
        one, two = await editor.spawn(*same_line(referee))
        await editor.ended(one, two)
    assert editor.text() == SECOND
    shown = await editor.shown("overlapping-edit", "warning")
    assert shown["data"]["jobs"] == [one, two]
    assert shown["range"]["start"]["line"] == 3
    return one, two, shown["data"]["conflictId"]


async def unchanged_beside(editor: Editor, head: str) -> None:
    """Whatever a repair did, it did it to the one file."""
    assert git(editor.repo, "rev-parse", "HEAD") == head
    assert git(editor.repo, "diff", "--cached", "--name-only") == ""
    assert git(editor.repo, "stash", "list") == ""
    assert (editor.repo / "README.md").read_text() == "my own notes\n"
    expected = "" if editor.text() == TEXT else f" M {PATH}\n"
    assert git(editor.repo, "status", "--porcelain") == f" M README.md\n{expected}"


@pytest.fixture
def head(repo: Path) -> str:
    return git(repo, "rev-parse", "HEAD")


def write_notes(repo: Path) -> None:
    """Something of the person's own, which no repair is to touch."""
    (repo / "README.md").write_text("my own notes\n")


async def test_keep_and_restore(editor: Editor, repo: Path, head: str) -> None:
    one, two, conflict = await collide(editor)
    write_notes(repo)
    preview, kept = await editor.act("codex_resolve", conflictId=conflict, strategy="keep", jobId=one)
    assert [file["path"] for file in preview["files"]] == kept["files"] == [PATH]
    assert [job["jobId"] for job in preview["jobs"]] == [one, two]
    assert preview["untouched"] == ["README.md"]
    assert editor.text() == FIRST
    await editor.cleared()
    refused = await editor.refused("codex_resolve", conflictId=conflict, strategy="keep", jobId=two)
    assert refused["kind"] == "unknown-conflict"

    _, back = await editor.act("codex_restore", snapshotId=kept["snapshotId"])
    assert editor.text() == SECOND
    await editor.act("codex_restore", snapshotId=back["snapshotId"])
    assert editor.text() == FIRST
    snapshots = (await editor.call("codex_snapshots"))["snapshots"]
    assert [found["snapshotId"] for found in snapshots][:2] == [kept["snapshotId"], back["snapshotId"]]
    await unchanged_beside(editor, head)


async def test_reconcile(editor: Editor, repo: Path, head: str) -> None:
    _, _, conflict = await collide(editor)
    write_notes(repo)
    preview, done = await editor.act("codex_resolve", conflictId=conflict, strategy="reconcile")
    assert "is given to a new worker with the versions of w1 and w2" in preview["text"]
    (job,) = done["jobs"]
    assert (job["label"], job["replaces"]) == ("w3", None)
    await editor.ended(job["jobId"])
    assert editor.text() == BOTH
    await editor.cleared()
    settled = (await editor.call("codex_conflicts"))["settled"]
    assert [(found["path"], found["how"]) for found in settled] == [(PATH, "reconciled")]
    await unchanged_beside(editor, head)


async def test_rerun_of_one_conflict(editor: Editor, repo: Path, head: str) -> None:
    one, two, conflict = await collide(editor)
    write_notes(repo)
    preview, done = await editor.act("codex_resolve", conflictId=conflict, strategy="rerun")
    assert preview["files"] == [{"path": PATH, "action": "goes back to the baseline"}]
    assert [job["replaces"] for job in done["jobs"]] == [one, two]
    await editor.ended(*(job["jobId"] for job in done["jobs"]))
    assert editor.text() == IN_TURN
    await editor.cleared()
    await editor.act("codex_restore", snapshotId=done["snapshotId"])
    assert editor.text() == SECOND
    await unchanged_beside(editor, head)


async def test_rerun_of_all_that_is_in_conflict(editor: Editor, repo: Path, head: str) -> None:
    one, two, _ = await collide(editor)
    write_notes(repo)
    preview, done = await editor.act("codex_rerun")
    assert [job["jobId"] for job in preview["jobs"]] == [one, two]
    assert done["files"] == [PATH]
    assert [job["replaces"] for job in done["jobs"]] == [one, two]
    await editor.ended(*(job["jobId"] for job in done["jobs"]))
    assert editor.text() == IN_TURN
    await editor.cleared()
    await unchanged_beside(editor, head)


async def test_rerun_where_nothing_is_left_of_the_first_workers_change(editor: Editor, repo: Path, head: str) -> None:
    with Referee(repo, repo.parent / "known") as referee:
        one, two = await editor.spawn(*put_back(referee))
        await editor.ended(one, two)
    write_notes(repo)
    assert editor.text() == TEXT
    shown = await editor.shown("lost-update", "error")
    _, done = await editor.act("codex_resolve", conflictId=shown["data"]["conflictId"], strategy="rerun")
    assert [job["replaces"] for job in done["jobs"]] == [one, two]
    await editor.ended(*(job["jobId"] for job in done["jobs"]))
    assert editor.text() == FIRST
    await editor.cleared()
    await unchanged_beside(editor, head)


async def test_dismiss(editor: Editor, repo: Path, head: str) -> None:
    _, _, conflict = await collide(editor)
    write_notes(repo)
    done = await editor.call("codex_resolve", conflictId=conflict, strategy="dismiss")
    assert (done["snapshotId"], done["files"], done["jobs"]) == (None, [], [])
    await editor.cleared()
    assert editor.text() == SECOND
    assert (await editor.call("codex_snapshots"))["snapshots"] == []
    await unchanged_beside(editor, head)


async def test_roll_back_and_restore(editor: Editor, repo: Path, head: str) -> None:
    await collide(editor)
    write_notes(repo)
    offered = await editor.call("codex_rollback")
    assert (offered["preview"]["untouched"], offered["preview"]["userEdits"]) == (["README.md"], [])

    # A token holds for what its preview named, and for nothing that came after.
    editor.save(SECOND + "mine\n")
    stale = await editor.refused("codex_rollback", token=offered["token"])
    assert stale["kind"] == "stale-token"
    assert stale["details"]["preview"]["userEdits"] == [PATH]
    assert editor.text() == SECOND + "mine\n"

    done = await editor.call("codex_rollback", token=stale["details"]["token"])
    assert done["files"] == [PATH]
    assert editor.text() == TEXT
    await editor.cleared()
    await unchanged_beside(editor, head)
    await editor.act("codex_restore", snapshotId=done["snapshotId"])
    assert editor.text() == SECOND + "mine\n"
    await unchanged_beside(editor, head)


async def test_roll_back_of_one_worker(editor: Editor, repo: Path, head: str) -> None:
    """A file that both wrote goes back whole, and the preview says whose work is undone with it."""
    one, two, _ = await collide(editor)
    write_notes(repo)
    preview, done = await editor.act("codex_rollback", jobIds=[two])
    assert [job["jobId"] for job in preview["jobs"]] == [one, two]
    assert done["files"] == [PATH]
    assert editor.text() == TEXT
    await editor.cleared()
    await unchanged_beside(editor, head)
