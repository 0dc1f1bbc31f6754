"""Conflicts in the list of problems: what stands there, where, when it comes and when it goes."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lsprotocol import types

from sidecar.a2 import messages
from sidecar.lsp import diagnostics
from tests.core.test_lsp_server import pygls_client
from tests.support.lsp import ScriptedCore, connected, eventually, fast_state, serving
from tests.support.lsp_conflicts import (
    PUBLISH,
    RUN,
    World,
    cleared,
    conflict,
    edit_file,
    job,
    open_file,
    overlap,
    problem,
    problems,
    span,
    worker,
    world,
)

__all__ = ["world"]

VIRTUAL = {"workspace": {"textDocumentContent": {"dynamicRegistration": True}}}


# -- content ----------------------------------------------------------------------------------------------------------


async def test_a_conflict_is_a_problem_of_its_file(world: World) -> None:
    found = overlap()
    async with world.editor() as client:
        world.a2.put(found)
        shown = await problem(client, world.uri("src/app.py"))
        assert shown["source"] == "codex-sidecar"
        assert shown["code"] == "overlapping-edit"
        assert shown["severity"] == 2
        assert shown["message"] == messages.diagnostic(found)
        assert 'w1 "add retries" and w2 "typed errors"' in shown["message"]
        assert shown["range"] == span((2, 0), (4, 6))
        data = {"conflictId": "c:src/app.py", "runId": RUN, "path": "src/app.py", "jobs": ["job-w1", "job-w2"]}
        assert shown["data"] == data
        said = [one["message"] for one in shown["relatedInformation"]]
        assert said == ['w1 "add retries" changed lines 3-5', 'w2 "typed errors" changed line 4']


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("lost-update", 1),
        ("edit-and-delete", 2),
        ("overlapping-edit", 2),
        ("user-edit", 2),
        ("same-file-edit", 3),
        ("reported-only", 3),
    ],
)
async def test_each_kind_has_its_severity(world: World, kind: str, severity: int) -> None:
    roles: dict[str, Any] = {"lost-update": ("lost", "overwrote"), "edit-and-delete": ("changed", "deleted")}
    one, other = roles.get(kind, ("changed", "changed"))
    found = conflict("src/app.py", worker("w1", (3, 5), role=one), worker("w2", (7, 7), role=other), kind=kind)
    async with world.editor() as client:
        world.a2.put(found)
        shown = await problem(client, world.uri("src/app.py"))
        assert (shown["code"], shown["severity"], shown["message"]) == (kind, severity, messages.diagnostic(found))


async def test_a_conflict_that_is_not_certain_yet_is_only_information(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(severity="information", live=True, confirmed=False))
        shown = await problem(client, world.uri("src/app.py"))
        assert shown["severity"] == 3
        assert shown["message"].endswith("so far.")
        world.a2.put(overlap())
        await eventually(lambda: (problems(client, world.uri("src/app.py")) or [{}])[0].get("severity") == 2)


@pytest.mark.parametrize(
    ("jobs", "where"),
    [
        # The first of several places; places that touch are one.
        ([worker("w1", (8, 9), (2, 2)), worker("w2", (3, 3))], span((1, 0), (2, 6))),
        ([worker("w1"), worker("w2")], span((0, 0), (0, 0))),
        # Lines of the loser, who has them no more.
        ([worker("w1", (4, 4), role="lost"), worker("w2", (1, 9), role="overwrote")], span((3, 0), (3, 6))),
        ([worker("w1", (4, 4), role="elsewhere"), worker("w2", (6, 6))], span((5, 0), (5, 6))),
        ([worker("w1", (90, 99)), worker("w2", (95, 95))], span((9, 0), (9, 7))),
    ],
)
async def test_the_range_is_the_first_place_in_whole_lines(world: World, jobs: list[Any], where: Any) -> None:
    kind = "lost-update" if jobs[0].role == "lost" else "overlapping-edit"
    async with world.editor() as client:
        world.a2.put(conflict("src/app.py", *jobs, kind=kind))
        assert (await problem(client, world.uri("src/app.py")))["range"] == where


@pytest.mark.parametrize(("encoding", "column"), [("utf-16", 4), ("utf-8", 8), ("utf-32", 3)])
async def test_columns_are_counted_as_agreed(world: World, encoding: str, column: int) -> None:
    world.write("ä b.py", "eins\n😀äü\r\nx")
    async with world.editor(capabilities={"general": {"positionEncodings": [encoding]}}) as client:
        world.a2.put(conflict("ä b.py", worker("w1", (2, 2)), worker("w2", (2, 2))))
        shown = await problem(client, world.uri("ä b.py"))
        assert shown["range"] == span((1, 0), (1, column))


@pytest.mark.parametrize("content", [None, b"a\0b\n", b""])
async def test_a_file_without_lines_has_its_problem_at_the_beginning(world: World, content: bytes | None) -> None:
    if content is not None:
        world.write("gone.py", content)
    async with world.editor() as client:
        jobs = worker("w1", role="changed"), worker("w2", role="deleted")
        world.a2.put(conflict("gone.py", *jobs, kind="edit-and-delete"))
        shown = await problem(client, world.uri("gone.py"))
        assert shown["range"] == span((0, 0), (0, 0))
        assert {one["location"]["uri"] for one in shown["relatedInformation"]} == {world.uri("gone.py")}


async def test_lines_of_a_file_that_cannot_be_read_are_still_named(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(conflict("gone.py", worker("w1", (3, 5)), worker("w2", (4, 4))))
        assert (await problem(client, world.uri("gone.py")))["range"] == span((2, 0), (5, 0))


# -- related information ----------------------------------------------------------------------------------------------


async def test_related_information_leads_to_each_workers_version(world: World) -> None:
    world.a2.versions["src/app.py", "w1"] = b"new\nnew\n" + b"".join(b"line %d\n" % n for n in range(1, 11))
    world.a2.versions["src/app.py", "w2"] = b"".join(b"line %d\n" % n for n in range(3, 11))
    async with world.editor(capabilities=VIRTUAL) as client:
        world.a2.put(overlap())
        shown = await problem(client, world.uri("src/app.py"))
        first, second = [one["location"] for one in shown["relatedInformation"]]
        assert first["uri"] == f"codex-sidecar:/src/app.py?run={RUN}&side=w1"
        assert second["uri"] == f"codex-sidecar:/src/app.py?run={RUN}&side=w2"
        # The lines are found again where the version has them.
        assert first["range"] == span((4, 0), (6, 6))
        assert second["range"] == span((1, 0), (1, 6))


async def test_without_virtual_documents_it_leads_to_private_files(world: World) -> None:
    world.a2.versions["src/app.py", "w1"] = "".join(f"line {n}\n" for n in range(1, 11)).encode()
    async with world.editor() as client:
        world.a2.put(overlap())
        shown = await problem(client, world.uri("src/app.py"))
        first, second = [one["location"]["uri"] for one in shown["relatedInformation"]]
        assert second == world.uri("src/app.py"), "no version of w2 is stored"
        path = Path(first.removeprefix("file://"))
        assert path.read_bytes() == world.a2.versions["src/app.py", "w1"]
        assert path.is_relative_to(world.core.state_dir / "documents")
        assert path.stat().st_mode & 0o777 == 0o600
        for directory in list(path.parents)[: len(path.relative_to(world.core.state_dir).parts) - 1]:
            assert directory.stat().st_mode & 0o777 == 0o700, directory


@pytest.mark.parametrize("attribution", ["ambiguous", "reported"])
async def test_a_worker_whose_version_is_not_known_leads_to_the_file(world: World, attribution: str) -> None:
    world.a2.versions["src/app.py", "w1"] = b"not certainly w1's\n"
    async with world.editor(capabilities=VIRTUAL) as client:
        jobs = worker("w1", (3, 3), attribution=attribution), worker("w2", attribution=attribution)
        world.a2.put(conflict("src/app.py", *jobs, kind="reported-only"))
        shown = await problem(client, world.uri("src/app.py"))
        assert {one["location"]["uri"] for one in shown["relatedInformation"]} == {world.uri("src/app.py")}
        assert shown["relatedInformation"][0]["location"]["range"] == span((2, 0), (2, 6))


# -- when -------------------------------------------------------------------------------------------------------------


async def test_it_comes_within_100_ms_and_goes_as_fast(world: World) -> None:
    uri = world.uri("src/app.py")
    world.a2.versions["src/app.py", "w1"] = world.a2.versions["src/app.py", "w2"] = b"x\n"
    waits: dict[str, list[float]] = {"comes": [], "goes": []}
    async with world.editor() as client:
        # A busy machine is slow now and then, a pause that is too long is there each time: the fastest one counts.
        for _ in range(50):
            for name, act in (("comes", lambda: world.a2.put(overlap())), ("goes", world.a2.drop)):
                count, start = len(client.of_method(PUBLISH)), time.monotonic()
                act()
                await eventually(lambda count=count: len(client.of_method(PUBLISH)) > count)
                waits[name].append(time.monotonic() - start)
            if all(min(found) < 0.1 for found in waits.values()):
                break
        assert problems(client, uri) == []
        assert max(min(found) for found in waits.values()) < 0.1, waits


async def test_only_files_whose_problems_changed_are_sent(world: World) -> None:
    world.write("other.py", "x\n" * 9)
    async with world.editor() as client:
        world.a2.put(overlap(), overlap("other.py"))
        await problem(client, world.uri("src/app.py"))
        await problem(client, world.uri("other.py"))
        world.a2.publish()
        world.a2.put(overlap("other.py", mergeable=True))
        world.a2.put(overlap("other.py", kind="same-file-edit"))
        await eventually(lambda: (problems(client, world.uri("other.py")) or [{}])[0]["code"] == "same-file-edit")
        world.a2.drop("c:other.py")
        await cleared(client, world.uri("other.py"))
        assert [note["uri"] for note in client.of_method(PUBLISH)].count(world.uri("src/app.py")) == 1


async def test_a_file_that_changed_beneath_has_its_lines_counted_anew(world: World) -> None:
    uri = world.uri("src/app.py")
    async with world.editor() as client:
        world.a2.put(overlap())
        await problem(client, uri)
        world.write("src/app.py", "a much longer line\n" * 20)
        world.a2.publish()
        await eventually(lambda: (problems(client, uri) or [{}])[0]["range"]["end"]["character"] == 18)


async def test_the_versions_of_running_workers_are_not_read_all_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert diagnostics.LIVE_SECONDS >= 1
    monkeypatch.setattr(diagnostics, "LIVE_SECONDS", 1e9)  # On a busy machine the rounds below may take seconds.
    world.a2.versions["src/app.py", "w1"] = world.a2.versions["src/app.py", "w2"] = b"x\n"
    async with world.editor() as client:
        world.a2.put(overlap(live=True, severity="information"))
        await problem(client, world.uri("src/app.py"))
        for _ in range(10):
            world.a2.publish()
            await asyncio.sleep(0.03)
        assert len(world.a2.read) == 2
        world.a2.versions["src/app.py", "w1"] = b"the last word\n"
        world.a2.put(overlap())
        await eventually(lambda: (problems(client, world.uri("src/app.py")) or [{}])[0]["severity"] == 2)
        (place, _) = (problems(client, world.uri("src/app.py")) or [{}])[0]["relatedInformation"]
        assert Path(place["location"]["uri"].removeprefix("file://")).read_bytes() == b"the last word\n"


async def test_everything_is_sent_after_initialized_and_not_before(world: World) -> None:
    world.a2.put(overlap())
    for _ in range(2):
        async with serving(world.core) as (client, _task):
            await client.request("initialize", {"capabilities": {}})
            await client.request("codexSidecar/getState")
            assert client.of_method(PUBLISH) == []
            client.notify("initialized", {})
            await problem(client, world.uri("src/app.py"))


async def test_each_connection_remembers_for_itself(world: World) -> None:
    uri = world.uri("src/app.py")
    async with world.editor() as first:
        world.a2.put(overlap())
        await problem(first, uri)
        async with world.editor({"dialogs": True}) as second:
            await problem(second, uri)
            assert len(first.of_method(PUBLISH)) == 1
            world.a2.drop()
            await cleared(first, uri)
            await cleared(second, uri)


async def test_nothing_is_sent_where_nothing_is_found(world: World) -> None:
    async with world.editor() as client:
        world.a2.publish()
        await asyncio.sleep(0.2)
        assert client.of_method(PUBLISH) == []


async def test_a_core_without_the_protocol_has_no_conflicts() -> None:
    core = ScriptedCore()
    async with connected(core) as client:
        core.publish("conflicts", RUN)
        where = {"textDocument": {"uri": "file:///nowhere/a.py"}}
        position = {"line": 0, "character": 0}
        assert (await client.request("textDocument/codeLens", where))["result"] == []
        assert (await client.request("textDocument/hover", {**where, "position": position}))["result"] is None
        asked = {**where, "range": span((0, 0), (0, 0)), "context": {"diagnostics": []}}
        assert (await client.request("textDocument/codeAction", asked))["result"] == []
        open_file(client, "file:///nowhere/a.py", "x")
        edit_file(client, "file:///nowhere/a.py", "y")
        await client.request("codexSidecar/getState")
        assert client.of_method(PUBLISH) == []


async def test_what_fails_for_one_file_is_told_for_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = world.a2.stored_version

    async def fails(path: str, side: str) -> bytes | None:
        if path == "bad.py":
            raise RuntimeError("the store is broken")
        return await original(path, side)

    monkeypatch.setattr(world.a2, "stored_version", fails)
    async with world.editor() as client:
        world.a2.put(overlap("bad.py"), overlap())
        await problem(client, world.uri("src/app.py"))
        assert problems(client, world.uri("bad.py")) is None
        monkeypatch.setattr(world.a2, "stored_version", original)
        world.a2.publish()
        await problem(client, world.uri("bad.py"))


# -- what else needs a look -------------------------------------------------------------------------------------------


async def test_unclaimed_changes_are_hints(world: World) -> None:
    async with world.editor() as client:
        world.a2.unclaimed_paths = ["src/app.py"]
        world.a2.publish()
        shown = await problem(client, world.uri("src/app.py"))
        assert (shown["severity"], shown["code"], shown["message"]) == (4, "unclaimed-change", messages.unclaimed())
        assert shown["range"] == span((0, 0), (0, 0))
        world.a2.put(overlap())
        await eventually(lambda: len(problems(client, world.uri("src/app.py")) or []) == 2)
        world.a2.unclaimed_paths = []
        world.a2.drop()
        await cleared(client, world.uri("src/app.py"))


@pytest.mark.parametrize(
    ("base", "now", "where"),
    [
        (b"a\nb\nc\nd\n", b"a\nB1\nB2\nc\nD\n", span((1, 0), (2, 2))),
        (b"a\nb\nc\n", b"a\nc\n", span((1, 0), (1, 1))),
        (b"a\nb\nc\n", b"a\nb\n", span((1, 0), (1, 1))),
        (b"a\n", b"a", span((0, 0), (0, 1))),
        (b"a\nb\n", b"a\nb\n", span((0, 0), (0, 0))),
        (b"a\nb\n", b"", span((0, 0), (0, 0))),
        (b"a\n\0\n", b"a\nb\n", span((0, 0), (0, 0))),
        (b"a\nb\n", b"a\n\0\n", span((0, 0), (0, 0))),
        (b"a\nb\n", None, span((0, 0), (0, 0))),
        (None, b"a\nb\n", span((0, 0), (0, 0))),
    ],
)
async def test_an_unclaimed_change_stands_at_its_first_hunk(
    world: World, base: bytes | None, now: bytes | None, where: dict[str, Any]
) -> None:
    if base is not None:
        world.a2.versions["notes.txt", "base"] = base
    if now is not None:
        (Path(world.core.top) / "notes.txt").write_bytes(now)
    async with world.editor() as client:
        world.a2.unclaimed_paths = ["notes.txt"]
        world.a2.publish()
        assert (await problem(client, world.uri("notes.txt")))["range"] == where


async def test_the_first_hunk_moves_with_the_file_and_is_compared_once(world: World) -> None:
    world.a2.versions["notes.txt", "base"] = b"a\nb\nc\n"
    (Path(world.core.top) / "notes.txt").write_bytes(b"A\nb\nc\n")
    async with world.editor() as client:
        uri = world.uri("notes.txt")
        world.a2.unclaimed_paths = ["notes.txt"]
        world.a2.publish()
        assert (await problem(client, uri))["range"] == span((0, 0), (0, 1))
        world.a2.put(overlap())  # Another round, for another file.
        await problem(client, world.uri("src/app.py"))
        assert world.a2.read.count(("notes.txt", "base")) == 1
        (Path(world.core.top) / "notes.txt").write_bytes(b"a\nb\nlonger\n")
        world.a2.publish()
        await eventually(lambda: (problems(client, uri) or [{}])[0].get("range") == span((2, 0), (2, 6)))


async def test_thousands_of_unclaimed_files_do_not_flood_the_editor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "UNCLAIMED_MAX", 10)
    async with world.editor() as client:
        world.a2.unclaimed_paths = [f"build/{number}" for number in range(5_000)]
        world.a2.put(overlap())
        await problem(client, world.uri("src/app.py"))
        await eventually(lambda: len(client.of_method(PUBLISH)) >= 11)
        await asyncio.sleep(0.2)
        assert len(client.of_method(PUBLISH)) == 11


async def test_a_missing_report_stands_on_the_transcript(world: World) -> None:
    async with world.editor(capabilities=VIRTUAL) as client:
        world.a2.without_report = [job("w3")]
        world.a2.publish()
        uri = "codex-sidecar:/w3-rename-config.md?job=job-w3"
        shown = await problem(client, uri)
        assert (shown["severity"], shown["code"]) == (3, "missing-report")
        assert shown["message"] == messages.missing_report(job("w3"))
        world.a2.without_report = []
        world.a2.publish()
        await cleared(client, uri)


# -- with pygls' own client, and in the state -------------------------------------------------------------------------


async def test_a_pygls_client_reads_all_of_it(world: World) -> None:
    got: list[types.PublishDiagnosticsParams] = []
    async with pygls_client(world.core) as client:

        @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def published(params: types.PublishDiagnosticsParams) -> None:
            got.append(params)

        @client.feature("codexSidecar/state")
        def state(params: Any) -> None:
            return

        result = await client.initialize_async(types.InitializeParams(capabilities=types.ClientCapabilities()))
        provider = result.capabilities.code_action_provider
        assert isinstance(provider, types.CodeActionOptions)
        assert list(provider.code_action_kinds or ()) == [types.CodeActionKind.QuickFix]
        assert result.capabilities.code_lens_provider is not None
        assert result.capabilities.hover_provider
        sync = result.capabilities.text_document_sync
        assert isinstance(sync, types.TextDocumentSyncOptions)
        assert sync.save
        client.initialized(types.InitializedParams())
        world.a2.put(overlap())
        await eventually(lambda: bool(got))
        (shown,) = got[0].diagnostics
        assert shown.severity is types.DiagnosticSeverity.Warning
        where = types.TextDocumentIdentifier(got[0].uri)
        context = types.CodeActionContext(diagnostics=[shown])
        actions = await client.text_document_code_action_async(types.CodeActionParams(where, shown.range, context))
        assert actions
        lenses = await client.text_document_code_lens_async(types.CodeLensParams(where))
        assert lenses
        await client.shutdown_async(None)
        client.exit(None)


async def test_the_state_has_conflicts_as_items(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    found = overlap()
    async with world.editor() as client:
        assert client.of_method("codexSidecar/state")[0]["full"]["conflicts"] == []
        world.a2.put(found)
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 2)
        facts = {**msgspec.to_builtins(found), "kind": "conflict", "conflictKind": "overlapping-edit"}
        assert note["params"]["changed"] == [{**facts, "id": "c:src/app.py"}]
        answer = await client.request("codexSidecar/getState")
        assert answer["result"]["full"]["conflicts"] == [msgspec.to_builtins(found)]
        world.a2.drop()
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 3)
        assert note["params"]["removed"] == [{"kind": "conflict", "id": "c:src/app.py"}]


async def test_a_name_that_is_no_text_is_shown_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    name = os.fsdecode(b"src/\xff.py")
    (world.top / name).write_bytes(b"x\n" * 9)
    async with world.editor() as client:
        world.a2.put(overlap(name))
        shown = await problem(client, world.top.as_uri() + "/src/%FF.py")
        assert shown["range"] == span((2, 0), (4, 1))
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 2)
        assert note["params"]["changed"][0]["path"] == name
