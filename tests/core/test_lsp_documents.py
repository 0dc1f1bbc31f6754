"""Stored versions and transcripts as documents of an editor, and as files for an editor without documents."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest

from sidecar.lsp import transcript, transcripts
from sidecar.lsp.document_files import DocumentFiles
from sidecar.lsp.documents import Difference, TranscriptOf, Version, parse, uri_of
from sidecar.lsp.transcript import Transcript
from sidecar.model.errors import unknown_job
from sidecar.model.event import Event
from sidecar.model.inputs import EventsInput, StatusInput, untyped
from sidecar.model.outputs import EventsOutput, JobStatusOutput
from tests.support.lsp import RawClient, add_tool, eventually, serving
from tests.support.lsp_conflicts import RUN, World, job, overlap, problem, world

__all__ = ["world"]

CONTENT = "workspace/textDocumentContent"
RENEW = "workspace/textDocumentContent/refresh"
REGISTER = "client/registerCapability"
VIRTUAL = {"workspace": {"textDocumentContent": {"dynamicRegistration": True}}}


async def read(client: RawClient, uri: str) -> str:
    reply = await client.request(CONTENT, {"uri": uri})
    return str(reply["result"]["text"])


async def refused(client: RawClient, uri: str) -> dict[str, Any]:
    error: dict[str, Any] = (await client.request(CONTENT, {"uri": uri}))["error"]
    return error["data"]


# -- announcing -------------------------------------------------------------------------------------------------------


async def test_documents_are_registered_where_they_can_be(world: World) -> None:
    async with world.editor(capabilities=VIRTUAL) as client:
        asked = await client.wait_for_method(REGISTER)
        (one,) = asked["params"]["registrations"]
        assert one["method"] == CONTENT
        assert one["registerOptions"]["schemes"] == ["codex-sidecar"]


@pytest.mark.parametrize(
    ("ui", "content", "static"), [({}, {}, True), ({}, None, False), ({"virtualDocs": True}, {}, False)]
)
async def test_otherwise_they_are_announced_or_left_to_the_client(
    world: World, ui: dict[str, bool], content: Any, static: bool
) -> None:
    capabilities = {} if content is None else {"workspace": {"textDocumentContent": content}}
    async with serving(world.core) as (client, _):
        result = await client.initialize({"ui": ui}, capabilities)
        found = result["capabilities"]["workspace"].get("textDocumentContent")
        assert found == ({"schemes": ["codex-sidecar"]} if static else None)
        await client.request("codexSidecar/getState")
        assert not any(one.get("method") == REGISTER for one in client.received)


# -- versions ---------------------------------------------------------------------------------------------------------


async def test_versions_are_documents(world: World) -> None:
    world.a2.versions = {
        ("src/ä b.py", "base"): "grüße\r\n".encode(),
        ("src/ä b.py", "w1"): b"\xff\n",
        ("src/ä b.py", "w2"): b"a\0b",
    }
    async with world.editor(capabilities=VIRTUAL) as client:
        path = quote("src/ä b.py")
        assert await read(client, f"codex-sidecar:/{path}?run={RUN}&side=base") == "grüße\r\n"
        # As Visual Studio Code writes it.
        assert await read(client, f"codex-sidecar:/{path}?run%3D{RUN}%26side%3Dbase") == "grüße\r\n"
        assert await read(client, f"codex-sidecar:/{path}?side=w1") == "\ufffd\n"
        assert await read(client, f"codex-sidecar:/{path}?side=w2") == "(a binary or very large file of 3 bytes)\n"
        difference = await read(client, f"codex-sidecar:/{path}.diff?run={RUN}&side=base&with=w1")
        assert difference.splitlines()[:2] == ["--- base/src/ä b.py", "+++ w1/src/ä b.py"]
        absent = await read(client, f"codex-sidecar:/{path}.diff?run={RUN}&side=w9&with=w9")
        assert absent == "w9 and w9 wrote the same.\n"


@pytest.mark.parametrize(
    "uri",
    [
        "codex-sidecar:/src/app.py?run=run-1&side=w9",
        "codex-sidecar:/other.py?run=run-1&side=base",
        "codex-sidecar:/src/app.py?run=run-0&side=base",
        "codex-sidecar:/src/app.py",
        "codex-sidecar:?side=base",
        "codex-sidecar://host/src/app.py?side=base",
        "file:///src/app.py?side=base",
        "codex-sidecar:/[?side=base",
        "//[",
        "",
    ],
)
async def test_what_is_no_document_is_refused(world: World, uri: str) -> None:
    world.a2.versions["src/app.py", "base"] = b"x"
    async with world.editor(capabilities=VIRTUAL) as client:
        assert (await refused(client, uri))["kind"] == "invalid-arguments"


async def test_outside_a_repository_there_are_no_documents() -> None:
    async with serving(None) as (client, _):
        await client.initialize(None, VIRTUAL)
        assert (await refused(client, "codex-sidecar:/a?side=base"))["kind"] == "not-a-repository"


@pytest.mark.parametrize(
    "document",
    [
        Version("src/app.py", "r1", "w1"),
        Version("a b/ä?#%.py", None, "base"),
        Version(os.fsdecode(b"\xff.py"), "r1", "w1"),
        Difference("a.diff", "r1", "w1", "w2"),
        Difference("a&b=c.py", "r1", "w1", "w2"),
    ],
)
def test_a_document_is_found_by_its_uri(document: Version | Difference) -> None:
    uri = uri_of(document)
    assert uri.isascii()
    assert parse(uri) == document


# -- files ------------------------------------------------------------------------------------------------------------


async def test_files_are_private_and_go_with_their_run(tmp_path: Path) -> None:
    files = DocumentFiles(tmp_path)
    old, new = files.path("run-1", "w1", "src/a.py"), files.path("run-2", "w1", "src/a.py")
    notes = files.path("w1-add.md")
    for path in (old, new, notes):
        assert await files.write(path, b"x")
        assert path.stat().st_mode & 0o777 == 0o600
    os.utime(notes, (0, 0))
    recent = files.path("w2-new.md")
    await files.write(recent, b"x")
    await files.sweep("run-2", 14)
    assert [path.exists() for path in (old, new, notes, recent)] == [False, True, False, True]


async def test_a_file_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    files = DocumentFiles(tmp_path)
    path = files.path("run-1", "w1", "a.py")
    await files.write(path, b"x")
    before = path.stat().st_ino
    await files.write(path, b"x")
    assert path.stat().st_ino == before
    await files.write(path, b"y")
    assert path.read_bytes() == b"y"


async def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    files = DocumentFiles(tmp_path)
    path = files.path("w1.md")
    await files.write(path, b"x")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path.unlink()
    path.symlink_to(victim)
    await files.write(path, b"y")
    assert victim.read_bytes() == b"precious"
    assert path.read_bytes() == b"y"


@pytest.mark.parametrize("parts", [("run", "w1", "../../x"), ("..", "w1", "x"), ("run", "w1", "/x"), ("run", "")])
def test_no_name_leads_out(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="names no document"):
        DocumentFiles(tmp_path).path(*parts)


async def test_what_cannot_be_written_is_done_without(world: World) -> None:
    world.a2.versions["src/app.py", "w1"] = world.a2.versions["src/app.py", "w2"] = b"x\n"
    (world.core.state_dir / "documents").write_text("in the way")
    async with world.editor() as client:
        world.a2.put(overlap())
        shown = await problem(client, world.uri("src/app.py"))
        assert {one["location"]["uri"] for one in shown["relatedInformation"]} == {world.uri("src/app.py")}


# -- transcripts ------------------------------------------------------------------------------------------------------


class Story:
    """A job and its events behind the tools `codex_status` and `codex_events`."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.events: list[Event] = []
        self.status = "running"
        self.read = 0
        add_tool(monkeypatch, "codex_events", self._events, EventsInput)
        add_tool(monkeypatch, "codex_status", self._status, StatusInput)

    def tell(self, event_type: Any, at: str = "12:00:00.000", **content: Any) -> None:
        self.events.append(Event(len(self.events) + 1, event_type, f"2026-01-01T{at}Z", content))
        self.world.core.publish("events", "job-w3")

    def end(self) -> None:
        self.tell("final", kind="final", status="done", exitCode=0)
        self.status = "done"
        self.world.core.publish("job", "job-w3")

    async def _events(self, caller: Any, asked: EventsInput) -> EventsOutput:
        self.read += 1
        start = int((untyped(asked.cursor) or "c0")[1:])
        page = self.events[start : start + 2]
        done = self.status == "done" and start + len(page) == len(self.events)
        cursor = f"c{start + len(page)}"
        return EventsOutput(job_id=asked.job_id, label="w3", events=page, next_cursor=cursor, done=done)

    async def _status(self, caller: Any, asked: StatusInput) -> JobStatusOutput:
        if asked.job_id != "job-w3":
            raise unknown_job(str(asked.job_id))
        facts = dict.fromkeys(one.name for one in msgspec.structs.fields(JobStatusOutput))
        known = {"job_id": "job-w3", "label": "w3", "title": "rename *config*", "status": self.status}
        more = {"sandbox": "workspace-write", "started_at": "2026-01-01T12:00:00.000Z", "activity": "thinking"}
        return JobStatusOutput(**{**facts, **known, **more})


@pytest.fixture
def story(world: World, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(world, monkeypatch)


URI = "codex-sidecar:/w3-rename-config.md?job=job-w3"


async def test_a_transcript_tells_the_story(world: World, story: Story) -> None:
    call = {"kind": "command", "itemId": "i1", "command": "pytest -q", "exitCode": None, "output": "", "status": "x"}
    story.tell("spawned", kind="spawned", title="x")
    story.tell("tool_call", "12:00:01.000", **call)
    story.tell("tool_result", "12:00:05.100", **{**call, "exitCode": 1, "output": "1 failed\n"})
    change = {"path": "src/app.py", "change": "modified"}
    story.tell("tool_result", kind="file_change", itemId="i2", changes=[change], status="completed")
    story.tell("message", kind="message", itemId="i3", text='{"summary": "# Done\\nall of it", "modifiedFiles": []}')
    story.end()
    async with world.editor(capabilities=VIRTUAL) as client:
        text = await read(client, URI)
        times = re.sub(r"\d\d:\d\d:\d\d", "TIME", text)
        assert times == (
            "# w3 · rename \\*config\\*\n\n"
            "can edit files (`workspace-write`) · done · started TIME\n\n"
            "## TIME Ran: pytest -q (exit 1, 4.1 s)\n\n```text\n1 failed\n```\n\n"
            f"## TIME Edited src/app.py\n\n- [src/app.py]({world.uri('src/app.py')}) modified\n\n"
            "## TIME Message\n\n> # Done\n> all of it\n\n"
            "## TIME Done\n\n"
        )


async def test_a_transcript_is_renewed_at_most_twice_a_second(world: World, story: Story) -> None:
    story.tell("message", kind="message", itemId="i0", text="0")
    async with world.editor(capabilities=VIRTUAL) as client:
        times: list[float] = []

        def renew(params: Any) -> None:
            assert params == {"uri": URI}
            times.append(time.monotonic())
            client.start(CONTENT, {"uri": URI})

        client.answers[RENEW] = renew
        assert "> 0" in await read(client, URI)
        story.tell("message", kind="message", itemId="i", text="more")
        await client.request("no/such")
        assert len(times) == 1, "the first after a pause comes before the next reply"
        for _ in range(3):
            # Of two times of one loop the earlier comes first, however busy the machine is.
            await client.request("no/such")
            seen, end = len(times), time.monotonic() + 0.6
            while time.monotonic() < end:
                story.tell("message", kind="message", itemId="i", text="more")
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)
            await client.request("no/such")
            assert len(times) > seen, "it comes as soon as it may"
        story.end()
        await client.wait_for(lambda one: "Done" in str(one.get("result")))
        assert all(later - earlier > 0.499 for earlier, later in itertools.pairwise(times))


async def test_a_transcript_that_was_closed_is_not_renewed(world: World, story: Story) -> None:
    async with world.editor(capabilities=VIRTUAL) as client:
        client.answers[RENEW] = lambda params: None
        await read(client, URI)
        for _ in range(3):
            story.tell("message", kind="message", itemId="i", text="more")
            await asyncio.sleep(0.3)
        # The client did not ask again after the first time, so it shows the document no more.
        assert sum(one.get("method") == RENEW for one in client.received) == 1


async def test_an_unknown_job_has_no_transcript(world: World, story: Story) -> None:
    async with world.editor(capabilities=VIRTUAL) as client:
        assert (await refused(client, "codex-sidecar:/w9.md?job=job-w9"))["kind"] == "unknown-job"
        assert parse("codex-sidecar:/w9.md?job=job-w9") == TranscriptOf("job-w9")


async def test_without_documents_a_missing_report_leads_to_a_file_that_is_kept_up(
    world: World, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "REFRESH_SECONDS", 0.02)
    story.tell("message", kind="message", itemId="i0", text="first words")
    async with world.editor() as client:
        world.a2.without_report = [job("w3")]
        world.a2.publish()
        path = world.core.state_dir / "documents" / "w3-rename-config.md"
        shown = await problem(client, path.as_uri())
        assert shown["code"] == "missing-report"
        assert "first words" in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        story.end()
        await eventually(lambda: "Done" in path.read_text())
        await asyncio.sleep(0.1)
        reads = story.read
        world.a2.publish()
        await asyncio.sleep(0.1)
        assert story.read == reads, "a transcript that has ended is not read again"


async def test_a_job_without_transcript_costs_only_its_own_problem(world: World, story: Story) -> None:
    async with world.editor() as client:
        world.a2.without_report = [job("w1"), job("w3")]
        world.a2.put(overlap())
        await problem(client, world.uri("src/app.py"))
        await problem(client, (world.core.state_dir / "documents" / "w3-rename-config.md").as_uri())


# -- the page ---------------------------------------------------------------------------------------------------------

JOB = {"label": "w1", "title": "t", "sandbox": "read-only", "status": "running", "activity": "", "startedAt": None}


def page(*events: tuple[str, dict[str, Any]]) -> str:
    made = Transcript(lambda path: f"file:///{path}")
    for number, (kind, content) in enumerate(events, 1):
        made.add({"seq": number, "type": kind, "timestamp": "2026-01-01T00:00:00.000Z", "content": content})
    return re.sub(r"\d\d:\d\d:\d\d", "TIME", made.page(JOB).split("\n\n", 2)[2])


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("tool_call", {"kind": "command", "itemId": "a", "command": "ls *"}, "## TIME Runs: ls \\*"),
        ("tool_call", {"kind": "file_change", "itemId": "a", "changes": []}, "## TIME Edits files"),
        ("tool_result", {"kind": "file_change", "itemId": "a", "changes": [{"path": "x"}], "status": "failed"},
         "## TIME Failed to edit x\n\n- [x](file:///x)"),
        ("progress", {"kind": "reasoning", "itemId": "a", "text": "hm"}, "## TIME Thought\n\n> hm"),
        ("progress", {"kind": "todo_list", "itemId": "a", "items": [{"text": "t", "completed": True}, 3]},
         "## TIME Plan\n\n- [x] t"),
        ("tool_result", {"kind": "mcp", "itemId": "a", "server": "s", "tool": "t"}, "## TIME Called t of s"),
        ("tool_result", {"kind": "web_search", "itemId": "a", "query": "q"}, "## TIME Searched the web: q"),
        ("error", {"kind": "error", "message": "no\nway"}, "## TIME Error: no way"),
        ("progress", {"kind": "warning", "itemId": "a", "message": "m"}, "## TIME Warning: m"),
        ("final", {"kind": "final", "status": "failed", "error": {"message": "why"}}, "## TIME Failed\n\nwhy"),
        ("progress", {"kind": "unknown", "raw": "```"},
         '## TIME unknown\n\n````json\n{"kind": "unknown", "raw": "```"}'),
        ("progress", {"kind": "turn-started"}, ""),
        ("message", {"kind": "message", "text": "{broken"}, "## TIME Message\n\n> {broken"),
    ],
)  # fmt: skip
def test_each_event_has_its_section(kind: str, content: dict[str, Any], expected: str) -> None:
    assert page((kind, content)).strip().removesuffix("\n````") == expected.strip()


def test_a_call_and_its_result_are_one_section() -> None:
    command = {"kind": "command", "itemId": "item_0", "command": "ls", "output": "", "exitCode": 0}
    text = page(("tool_call", command), ("tool_result", command), ("tool_call", command))
    assert [line for line in text.splitlines() if line] == ["## TIME Ran: ls (exit 0, 0.0 s)", "## TIME Runs: ls"]


def test_foreign_text_makes_no_heading_and_ends_no_fence() -> None:
    nasty = "# heading\n```\n## Done\n````"
    command = {"kind": "command", "itemId": "a", "command": "x\n# y", "output": nasty, "exitCode": 0}
    text = page(("tool_result", command), ("message", {"kind": "message", "text": nasty}))
    fence = text.split("`````text\n")[1].split("\n`````\n")
    assert fence[0] == nasty
    outside = text.replace(nasty, "")
    assert [line for line in outside.splitlines() if line.startswith("#")] == [
        "## TIME Ran: x \\# y (exit 0, 0.0 s)", "## TIME Message",
    ]  # fmt: skip


def test_a_long_story_keeps_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "LINES_MAX", 100)
    monkeypatch.setattr(transcript, "OUTPUT_LINES_MAX", 5)
    output = "\n".join(str(number) for number in range(50))
    command = {"kind": "command", "itemId": "a", "command": "count", "output": output, "exitCode": 0}
    made = Transcript(str)
    for number in range(200):
        content = command if number == 199 else {"kind": "message", "text": f"word {number}"}
        kind = "tool_result" if number == 199 else "message"
        made.add({"seq": number, "type": kind, "timestamp": "2026-01-01T00:00:00.000Z", "content": content})
    text = made.page(JOB)
    assert len(text.splitlines()) < 120
    left = re.search(r"\*(\d+) earlier lines are left out", text)
    assert left is not None
    assert int(left[1]) > 400
    assert "word 198" in text
    assert "word 1\n" not in text
    assert "… 45 lines left out …\n45\n46\n47\n48\n49" in text


async def test_a_shortened_story_ends_with_a_link_to_all_of_it(
    world: World, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "LINES_MAX", 20)
    for attempt in (9, 10):
        (world.core.state_dir / "jobs" / "job-w3" / str(attempt)).mkdir(parents=True)
        (world.core.state_dir / "jobs" / "job-w3" / str(attempt) / "events.jsonl").write_text(f"{attempt}\n")
    async with world.editor(capabilities=VIRTUAL) as client:
        story.tell("message", kind="message", text="word")
        assert "Open full log" not in await read(client, URI)
        for number in range(20):
            story.tell("message", kind="message", text=f"word {number}")
        text = await read(client, URI)
        assert "earlier lines are left out" in text
        link = re.fullmatch(r"\[Open full log\]\((file://.+)\)", text.splitlines()[-1])
        assert link is not None
        assert Path(unquote(link[1].removeprefix("file://"))).read_text() == "10\n"


def test_names_of_files_are_plain() -> None:
    assert transcript.name("w1", "Add retries, now!") == "w1-add-retries-now.md"
    assert transcript.name("w1", "日本") == "w1.md"
    assert transcript.name("w1", "../../x") == "w1-x.md"
