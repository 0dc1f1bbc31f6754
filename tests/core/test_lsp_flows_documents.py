"""Actions that open what workers did, and the documents behind them."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.lsp import pages
from sidecar.lsp.flows import documents, texts
from sidecar.model.job import TouchedFile, Usage
from sidecar.model.outputs import CheckOutput, DoctorOutput, ErrorOutput, ResultOutput
from tests.support.flows import put
from tests.support.lsp import add_tool
from tests.support.lsp_conflicts import World, world
from tests.support.person import Person, person_at

__all__ = ["world"]


def touched(path: str, change: str = "modified", attribution: str = "seen") -> dict[str, str]:
    return {"path": path, "change": change, "attribution": attribution}


def side(path: str, name: str) -> str:
    return f"codex-sidecar:/{path}?run=run-1&side={name}"


async def text(person: Person, uri: str) -> Any:
    reply = await person.client.request("workspace/textDocumentContent", {"uri": uri})
    return reply["result"]["text"] if "result" in reply else reply["error"]


# -- transcripts and results ------------------------------------------------------------------------------------------


async def test_a_transcript_opens_at_its_end_and_is_seen(world: World) -> None:
    put(world, "w1", "done")
    async with person_at(world.core) as person, person_at(world.core) as other:
        (shown,) = await person.does("openTranscript", {"jobId": "job-w1"})
        assert shown == {
            "kind": "open",
            "uri": "codex-sidecar:/w1-title-of-w1.md?job=job-w1",
            "preview": True,
            "end": True,
        }
        state = (await other.client.request("codexSidecar/getState"))["result"]["full"]
        assert {row["id"]: row.get("icon") for row in state["rows"]}["job:job-w1"] == "pass"


def result(**more: Any) -> ResultOutput:
    facts: dict[str, Any] = {
        "job_id": "job-w1", "label": "w1", "title": "add *retries*", "status": "done", "exit_code": 0,
        "final_message": "All **done**.", "final_message_truncated": False, "modified_files": ["src/app.py"],
        "report_missing": False, "conflicts": [], "started_at": None, "finished_at": None, "error": None,
        "touched_files": [TouchedFile("src/app.py", "modified", "seen"), TouchedFile("b.py", "added", "seen")],
        "usage": Usage(input_tokens=41_000, output_tokens=900), **more,
    }  # fmt: skip
    return ResultOutput(**facts)


async def test_a_result_is_a_page_that_is_read_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put(world, "w1", "done")

    async def answer(caller: Any, asked: Any) -> ResultOutput:
        return result()

    add_tool(monkeypatch, "codex_result", answer, pages.table.BY_NAME["codex_result"].input)
    async with person_at(world.core) as person:
        (shown,) = await person.does("openResult", {"jobId": "job-w1"})
        assert shown["uri"] == "codex-sidecar:/w1-title-of-w1-result.md?job=job-w1&view=result"
        refreshed = await person.client.wait_for_method("workspace/textDocumentContent/refresh")
        assert refreshed["params"]["uri"] == shown["uri"]
        page = await text(person, shown["uri"])
        link = world.uri("src/app.py")
        assert page == (
            "# w1 · add \\*retries\\*\n\ndone · 41000 tokens in, 900 out\n\nAll **done**.\n\n"
            f"## Files it reports\n\n- [src/app.py]({link})\n\n"
            f"## Files it changed besides\n\n- [b.py]({world.uri('b.py')})\n"
        )


async def test_the_result_of_a_failed_worker_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(caller: Any, asked: Any) -> ResultOutput:
        why = ErrorOutput(kind="codex-failed", message="Codex ended.", hint="See the log.", details={})
        return result(
            status="failed", exit_code=2, final_message=None, modified_files=None, error=why, usage=None,
            touched_files=[],
        )  # fmt: skip

    add_tool(monkeypatch, "codex_result", answer, pages.table.BY_NAME["codex_result"].input)
    async with person_at(world.core) as person:
        page = await text(person, "codex-sidecar:/w1.md?job=job-w1&view=result")
        assert "failed · exit 2" in page
        assert "**Codex ended.** See the log." in page
        assert page.endswith("## Files it reports\n\n*No report.*\n")


# -- changes ----------------------------------------------------------------------------------------------------------


async def test_changes_of_a_worker_are_its_own_versions(world: World) -> None:
    files = [
        touched("a.py"),
        touched("new.py", "added"),
        touched("old.py", "deleted"),
        touched("r.py", "modified", "reported"),
    ]
    files.append(touched("gone.py", "deleted"))
    world.a2.versions["old.py", "base"] = b"was\n"
    put(world, "w1", "done", touchedFiles=files)
    async with person_at(world.core) as person:
        (shown,) = await person.does("openChanges", {"jobId": "job-w1"})
        assert shown["title"] == "w1 · title of w1"
        assert shown["files"] == [
            [world.uri("a.py"), side("a.py", "base"), f"{side('a.py', 'w1')}&own=edits"],
            [world.uri("new.py"), None, f"{side('new.py', 'w1')}&own=edits"],
            [world.uri("old.py"), side("old.py", "base"), None],
            [world.uri("r.py"), side("r.py", "base"), world.uri("r.py")],
        ]


async def test_all_changes_end_in_the_files_as_they_are(world: World) -> None:
    put(
        world,
        "w1",
        "done",
        touchedFiles=[touched("src/app.py"), touched("new.py", "added"), touched("old.py", "deleted")],
    )
    put(world, "w2", "done", touchedFiles=[touched("src/app.py"), touched("old.py", "added")])
    put(world, "w3", "done", touchedFiles=[touched("earlier.py")], runId="run-0")
    world.write("new.py", "x")
    world.write("old.py", "x")
    world.a2.versions["old.py", "base"] = b"was\n"
    async with person_at(world.core) as person:
        (shown,) = await person.does("openAllChanges")
        assert shown["title"] == "Changes since the baseline"
        assert shown["files"] == [
            [world.uri("new.py"), None, world.uri("new.py")],
            [world.uri("old.py"), side("old.py", "base"), world.uri("old.py")],
            [world.uri("src/app.py"), side("src/app.py", "base"), world.uri("src/app.py")],
        ]


async def test_a_run_without_changes_says_so(world: World) -> None:
    async with person_at(world.core) as person:
        (told,) = await person.does("openAllChanges")
        assert (told["kind"], told["message"]) == ("toast", texts.NO_CHANGES)


async def test_what_was_made_and_removed_again_is_on_no_side(world: World) -> None:
    put(world, "w1", "done", touchedFiles=[touched("gone.py", "deleted")])
    async with person_at(world.core) as person:
        shown, told = await person.does("openFileChange", {"jobId": "job-w1", "path": "gone.py"})
        assert (shown["left"], shown["right"]) == (None, None)
        assert told["message"] == "w1 removed gone.py, which the baseline does not have."
        for action in ("openChanges", "openAllChanges"):
            (told,) = await person.does(action, {"jobId": "job-w1"})
            assert (told["kind"], told["message"]) == ("toast", texts.NOTHING_LEFT)


async def test_of_very_many_files_some_are_chosen(world: World) -> None:
    put(world, "w1", "done", touchedFiles=[touched(f"f{n}.py") for n in range(documents.FILES_MAX + 1)])
    async with person_at(world.core) as person:
        seen = await person.ticks("f7.py", "f8.py").does("openChanges", {"jobId": "job-w1"})
        assert seen[0]["title"] == "201 files: which ones?"
        assert len(seen[0]["items"]) == 201
        assert [one[0] for one in seen[1]["files"]] == [world.uri("f7.py"), world.uri("f8.py")]
        assert len(await person.dismisses("pick").does("openChanges", {"jobId": "job-w1"})) == 1


@pytest.mark.parametrize(
    ("change", "left", "right"),
    [("modified", "base", "w1"), ("added", None, "w1"), ("renamed", None, "w1"), ("deleted", "base", None)],
)
async def test_one_file_of_a_worker(world: World, change: str, left: str | None, right: str | None) -> None:
    put(world, "w1", "done", touchedFiles=[touched("a.py", change)])
    world.a2.versions["a.py", "w1"] = b"x"
    if left:
        world.a2.versions["a.py", "base"] = b"was"
    async with person_at(world.core) as person:
        (shown,) = await person.does("openFileChange", {"jobId": "job-w1", "path": "a.py"})
        assert shown["left"] == (left and side("a.py", left))
        assert shown["right"] == (right and f"{side('a.py', right)}&own=edits")
        assert shown["title"] == "a.py (baseline ↔ w1 · title of w1)"


async def test_of_what_a_worker_wrote_only_its_own_edits_are_shown(world: World) -> None:
    world.a2.versions["a.py", "w1"] = b"all\n"
    async with person_at(world.core) as person:
        uri = f"{side('a.py', 'w1')}&own=edits"
        assert await text(person, uri) == "all\n", "where they cannot be told"
        world.a2.versions["a.py", "w1 alone"] = b"own\n"
        assert await text(person, uri) == "own\n"
        assert await text(person, side("a.py", "w1")) == "all\n"


@pytest.mark.parametrize("attribution", ["reported", "seen"])
async def test_without_a_version_the_file_itself_is_shown_and_that_is_said(world: World, attribution: str) -> None:
    put(world, "w1", "done", touchedFiles=[touched("src/app.py", "modified", attribution)])
    world.a2.versions["src/app.py", "base"] = b"x"
    async with person_at(world.core) as person:
        shown, told = await person.does("openFileChange", {"jobId": "job-w1", "path": "src/app.py"})
        assert (shown["left"], shown["right"]) == (side("src/app.py", "base"), world.uri("src/app.py"))
        assert told["message"].endswith("this is the file as it is now.")
        assert ("reports" in told["message"]) is (attribution == "reported")


async def test_a_file_is_opened(world: World) -> None:
    async with person_at(world.core) as person:
        (shown,) = await person.does("openFile", {"path": "src/app.py"})
        assert (shown["kind"], shown["uri"]) == ("open", world.uri("src/app.py"))
        reply = await person.acts("openFile")
        assert reply["error"]["data"]["details"]["field"] == "target.path"


# -- setup ------------------------------------------------------------------------------------------------------------


async def test_the_setup_page_names_what_is_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(caller: Any, asked: Any) -> DoctorOutput:
        checks = [
            CheckOutput(name="git", ok=True, required=True, message="Git 2.45", hint="", details={}),
            CheckOutput(name="codex", ok=False, required=True, message="No codex.", hint="Install it.", details={}),
            CheckOutput(name="rg", ok=False, required=False, message="No rg.", hint="", details={}),
        ]
        return DoctorOutput(ok=False, version="1.2.3", checks=checks)

    add_tool(monkeypatch, "codex_doctor", answer, pages.table.BY_NAME["codex_doctor"].input)
    async with person_at(world.core, env={"SSH_CONNECTION": "x"}) as person:
        (shown,) = await person.does("checkSetup")
        assert shown["uri"] == "codex-sidecar:/Codex%20Sidecar%20Setup.md?view=setup"
        page = await text(person, shown["uri"])
        assert page.startswith("# Codex Sidecar 1.2.3\n")
        assert "- ✓ **git**: Git 2.45\n- ✗ **codex**: No codex.  \n  Install it.\n- – **rg**: No rg." in page
        assert "Something that is needed is missing." in page
        assert "- 8 read-only workers at once" in page


def test_the_side_is_named_only_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_CONTAINER_MARKS", ("/nowhere",))
    assert pages.side({}) is None
    assert pages.side({"SSH_CONNECTION": "1"}) == "on the machine that SSH reaches"
    assert pages.side({"WSL_DISTRO_NAME": "Ubuntu"}) == "in WSL"
    monkeypatch.setattr(pages, "_CONTAINER_MARKS", ("/",))
    assert pages.side({"SSH_CONNECTION": "1"}) == "in this container"


@pytest.mark.parametrize(
    "uri", ["codex-sidecar:/a.py?draft=c", "codex-sidecar:/?draft=c", "codex-sidecar:/a.py?snapshot="]
)
async def test_a_document_that_is_not_there_is_an_error(world: World, uri: str) -> None:
    async with person_at(world.core) as person:
        assert (await text(person, uri))["code"] == -32602
