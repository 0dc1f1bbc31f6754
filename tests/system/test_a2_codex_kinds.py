"""The kinds of conflict in which a person has a hand, or nobody's hand was seen: real Codex workers, a real editor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.codex import native_codex, write_codex_home
from tests.support.codex_collision import (
    FILES,
    FIRST,
    PATH,
    TEXT,
    at_mark,
    change_line,
    put_mark,
    report,
    set_mark,
    task,
)
from tests.support.codex_editor import Editor, open_editor
from tests.support.lsp import eventually
from tests.support.lsp_conflicts import edit_file, open_file, problems
from tests.support.raw import no_service_left
from tests.support.repo import git, make_repo

pytestmark = [pytest.mark.codex, pytest.mark.slow]
MINE = TEXT.replace("line 4", "four by me")
NINE = TEXT.replace("line 9", "nine by w1")
ALL = MINE.replace("line 9", "nine by w1")


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", FILES)
    with no_service_left(path):
        yield path


@pytest.fixture(params=["gpt-5.5", "gpt-6.1-sol"])
async def editor(repo: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Editor]:
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url, request.param)
        async with open_editor(repo, CODEX_HOME=str(home), CODEX_SIDECAR_CODEX=str(native_codex())) as found:
            yield found


async def test_a_worker_writes_what_a_person_is_editing_and_the_person_saves(editor: Editor, repo: Path) -> None:
    open_file(editor.client, editor.uri, TEXT)
    edit_file(editor.client, editor.uri, MINE)
    (job,) = await editor.spawn(
        task("work", change_line(4, "four by w1"), report("Four.", PATH, **at_mark(repo, "enough")))
    )
    shown = await editor.shown("user-edit", "information")
    assert shown["data"] == {"conflictId": None, "path": PATH, "jobs": [job]}
    assert shown["range"]["start"]["line"] == 3
    assert await editor.status(job) == "running", "the warning comes while the worker is still at it"
    assert editor.text() == FIRST
    assert await editor.conflicts() == [], "what is in a buffer only is no conflict yet"

    editor.save(MINE)
    await eventually(lambda: [one["message"][-7:] for one in problems(editor.client, editor.uri) or ()] == ["so far."])
    await editor.shown("user-edit", "information")
    put_mark(repo, "enough")
    await editor.ended(job)
    shown = await editor.shown("user-edit", "warning")
    assert shown["data"]["jobs"] == [job]
    assert shown["range"]["start"]["line"] == 3
    (conflict,) = await editor.conflicts()
    assert conflict["conflictId"] == shown["data"]["conflictId"]
    assert (conflict["kind"], conflict["mergeable"], conflict["live"]) == ("user-edit", False, False)
    assert [(one["jobId"], one["attribution"]) for one in conflict["jobs"]] == [(job, "seen")]

    preview, done = await editor.act("codex_resolve", conflictId=conflict["conflictId"], strategy="keep", jobId=job)
    assert preview["userEdits"] == [PATH], "whose work is undone is said before"
    assert editor.text() == FIRST
    await editor.cleared()
    await editor.act("codex_restore", snapshotId=done["snapshotId"])
    assert editor.text() == MINE


async def test_a_command_writes_what_a_person_is_editing_and_the_person_gives_it_up(editor: Editor, repo: Path) -> None:
    open_file(editor.client, editor.uri, TEXT)
    edit_file(editor.client, editor.uri, MINE)
    command = f"mkdir -p marks && sed 's/^line 4$/four by w1/' {PATH} > marks/new && mv marks/new {PATH}"
    (job,) = await editor.spawn(task("work", {"sh": command}, report("Four.", PATH, **at_mark(repo, "enough"))))
    shown = await editor.shown("user-edit", "information")
    assert shown["data"]["jobs"] == [job]
    assert await editor.status(job) == "running"
    editor.client.notify("textDocument/didClose", {"textDocument": {"uri": editor.uri}})
    await editor.cleared()
    put_mark(repo, "enough")
    await editor.ended(job)
    await editor.cleared()
    assert editor.text() == FIRST


async def test_a_worker_overwrites_what_a_person_saved(editor: Editor, repo: Path) -> None:
    """The worker puts a copy from before back; a merge gives both what is theirs."""
    writes = f"sed 's/^line 9$/nine by w1/' marks/copy > marks/new && mv marks/new {PATH}"
    (job,) = await editor.spawn(
        task(
            "work",
            {"sh": f"mkdir -p marks && cp {PATH} marks/copy"},
            set_mark("copied"),
            {"sh": writes, **at_mark(repo, "saved")},
            report("Nine.", PATH),
        )
    )
    await editor.mark("copied")
    open_file(editor.client, editor.uri, TEXT)
    edit_file(editor.client, editor.uri, MINE)
    editor.save(MINE)
    await editor.written_by("you", line=3)
    put_mark(repo, "saved")
    await editor.ended(job)
    assert editor.text() == NINE
    shown = await editor.shown("user-edit", "warning")
    assert "while it was running" in shown["message"]
    (conflict,) = await editor.conflicts()
    assert (conflict["kind"], conflict["mergeable"], conflict["suggested"]) == ("user-edit", True, "merge")

    preview, done = await editor.act("codex_resolve", conflictId=conflict["conflictId"], strategy="merge")
    assert "Your own edits in it become part of the result." in preview["text"]
    assert editor.text() == ALL
    await editor.cleared()
    await editor.act("codex_restore", snapshotId=done["snapshotId"])
    assert editor.text() == NINE


async def test_both_workers_report_a_file_that_nobody_was_seen_to_write(editor: Editor, repo: Path) -> None:
    jobs = await editor.spawn(
        task("first", set_mark("one"), report("Did it.", PATH, **at_mark(repo, "two"))),
        task("second", set_mark("two"), report("Did it, too.", PATH, **at_mark(repo, "one"))),
    )
    await editor.ended(*jobs)
    (conflict,) = await editor.conflicts()
    assert (conflict["kind"], conflict["severity"], conflict["mergeable"]) == ("reported-only", "information", False)
    assert [(one["jobId"], one["attribution"]) for one in conflict["jobs"]] == [(job, "reported") for job in jobs]
    shown = await editor.shown("reported-only", "information")
    assert shown["message"].startswith("w1 and w2 both report a change to this file")
    for strategy, more in (("merge", {}), ("keep", {"jobId": jobs[0]}), ("reconcile", {})):
        refused = await editor.refused("codex_resolve", conflictId=conflict["conflictId"], strategy=strategy, **more)
        assert refused["kind"] == "invalid-arguments"
    await editor.call("codex_resolve", conflictId=conflict["conflictId"], strategy="dismiss")
    await editor.cleared()
    assert git(repo, "status", "--porcelain") == ""


async def test_reports_alone_can_be_run_again(editor: Editor, repo: Path) -> None:
    """The suggested repair, although no file has to go back to the baseline for it."""
    jobs = await editor.spawn(
        task("first", set_mark("one"), report("Did it.", PATH, **at_mark(repo, "two"))),
        task("second", set_mark("two"), report("Did it, too.", PATH, **at_mark(repo, "one"))),
    )
    await editor.ended(*jobs)
    (conflict,) = await editor.conflicts()
    assert (conflict["kind"], conflict["suggested"]) == ("reported-only", "rerun")
    preview, done = await editor.act("codex_resolve", conflictId=conflict["conflictId"], strategy="rerun")
    assert (preview["files"], done["files"]) == ([], [])
    (saved,) = (await editor.call("codex_snapshots"))["snapshots"]
    assert (done["snapshotId"], saved["files"]) == (saved["snapshotId"], 1), "the file in conflict, as it is"
    await editor.ended(*(one["jobId"] for one in done["jobs"]))
    assert editor.text() == TEXT
    await editor.cleared()


async def test_either_may_have_written_and_both_run_again(editor: Editor, repo: Path) -> None:
    """Both have a command open whenever the file changes: nobody is credited, and nothing is guessed."""

    def writes(label: str, mine: str, before: str, after: str) -> dict[str, object]:
        def wait(mark: str) -> str:
            return f"until [ -e marks/{mark} ]; do sleep 0.02; done"

        begun = f"mkdir -p marks; echo set > marks/{mine}; {wait('one')}; {wait('two')}; sleep 1"
        return {"sh": f"{begun}; {wait(before)}; echo 'by {label}' >> {PATH}; echo set > marks/{after}; {wait('last')}"}

    jobs = await editor.spawn(
        task("first", writes("w1", "one", "two", "first"), report("Added.", PATH, **at_mark(repo, "last"))),
        task("second", writes("w2", "two", "first", "last"), report("Added.", PATH, **at_mark(repo, "last"))),
    )
    await editor.ended(*jobs)
    assert editor.text() == TEXT + "by w1\nby w2\n"
    (conflict,) = await editor.conflicts()
    assert (conflict["kind"], conflict["severity"], conflict["mergeable"]) == ("reported-only", "information", False)
    assert [(one["jobId"], one["attribution"]) for one in conflict["jobs"]] == [(job, "ambiguous") for job in jobs]
    shown = await editor.shown("reported-only", "information")
    assert shown["message"].startswith("w1 and w2 both seem to have changed this file")

    _, done = await editor.act("codex_resolve", conflictId=conflict["conflictId"], strategy="rerun")
    assert [one["replaces"] for one in done["jobs"]] == jobs
    await editor.ended(*(one["jobId"] for one in done["jobs"]))
    assert editor.text() == TEXT + "by w1\nby w2\n"
    await editor.cleared()
