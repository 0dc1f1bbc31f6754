"""What a person can do about a conflict in any editor: code actions, lenses, hovers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from sidecar.lsp.actions import ASK, SHOW, choices, code_lenses
from sidecar.lsp.options import Ui
from sidecar.tools import table
from tests.support.lsp import RawClient, eventually
from tests.support.lsp_conflicts import (
    ScriptedOwner,
    World,
    conflict,
    edit_file,
    open_file,
    overlap,
    problem,
    problems,
    span,
    worker,
    world,
)

__all__ = ["world"]

LITERALS = {"textDocument": {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}}}}
OWN_DIALOGS = {"dialogs": True, "mergeEditor": True, "virtualDocs": True}
TITLES = [
    "Merge w1 and w2...",
    'Keep w1 "add retries"',
    'Keep w2 "typed errors"',
    "Compare w1 with w2",
    "Let a worker reconcile w1 and w2...",
    "Roll back src/app.py and re-run w1, then w2...",
    "Mark as resolved",
]


async def actions(client: RawClient, uri: str, line: int = 3, **context: Any) -> list[dict[str, Any]]:
    where = {"start": {"line": line, "character": 1}, "end": {"line": line, "character": 1}}
    params = {"textDocument": {"uri": uri}, "range": where, "context": {"diagnostics": [], **context}}
    return list((await client.request("textDocument/codeAction", params))["result"])


async def test_the_actions_of_a_conflict_are_tools(world: World) -> None:
    async with world.editor(OWN_DIALOGS, LITERALS) as client:
        world.a2.put(overlap(mergeable=True))
        shown = await problem(client, world.uri("src/app.py"))
        found = await actions(client, world.uri("src/app.py"))
        assert [one["title"] for one in found] == TITLES
        assert {one["kind"] for one in found} == {"quickfix"}
        assert [one.get("isPreferred", False) for one in found] == [True] + [False] * 6
        assert all(one["diagnostics"] == [shown] for one in found)
        assert {one["command"]["command"] for one in found} <= table.BY_NAME.keys()
        given = [one["command"]["arguments"] for one in found]
        conflict_id = "c:src/app.py"
        assert given[0] == [{"conflictId": conflict_id, "strategy": "merge"}]
        assert given[1] == [{"conflictId": conflict_id, "strategy": "keep", "jobId": "job-w1"}]
        assert given[2] == [{"conflictId": conflict_id, "strategy": "keep", "jobId": "job-w2"}]
        assert given[3] == [{"conflictId": conflict_id, "jobIds": ["job-w1", "job-w2"], "show": "compare"}]
        assert [one[0]["strategy"] for one in given[4:]] == ["reconcile", "rerun", "dismiss"]


async def test_a_client_without_dialogs_is_asked_by_the_server(world: World) -> None:
    async with world.editor(capabilities=LITERALS) as client:
        world.a2.put(overlap(mergeable=True))
        await problem(client, world.uri("src/app.py"))
        found = await actions(client, world.uri("src/app.py"))
        asks = {one["title"]: one["command"]["arguments"][0].get(ASK, False) for one in found}
        assert [asks[title] for title in TITLES] == [True, True, True, False, True, True, False]


@pytest.mark.parametrize(
    ("line", "context", "expected"),
    [
        (2, {}, 7),
        (4, {}, 7),
        (1, {}, 0),
        (5, {}, 0),
        (3, {"only": ["quickfix"]}, 7),
        (3, {"only": [""]}, 7),
        (3, {"only": ["refactor"]}, 0),
        (3, {"only": ["quickfix.other"]}, 0),
        (3, {"only": []}, 0),
    ],
)
async def test_actions_are_where_the_problem_is(
    world: World, line: int, context: dict[str, Any], expected: int
) -> None:
    async with world.editor(capabilities=LITERALS) as client:
        world.a2.put(overlap())
        await problem(client, world.uri("src/app.py"))
        assert len(await actions(client, world.uri("src/app.py"), line, **context)) == expected
        assert await actions(client, world.uri("README.md"), line, **context) == []


async def test_a_problem_that_the_editor_has_moved_keeps_its_actions(world: World) -> None:
    async with world.editor(capabilities=LITERALS) as client:
        world.a2.put(overlap())
        shown = await problem(client, world.uri("src/app.py"))
        moved = {**shown, "range": span((8, 0), (9, 0))}
        other = {**moved, "source": "pyright"}
        assert await actions(client, world.uri("src/app.py"), 8, diagnostics=[other]) == []
        found = await actions(client, world.uri("src/app.py"), 8, diagnostics=[other, moved])
        assert found[0]["diagnostics"] == [moved]
        world.a2.drop()
        assert await actions(client, world.uri("src/app.py"), 8, diagnostics=[moved]) == []


async def test_a_client_without_literals_gets_commands(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap())
        await problem(client, world.uri("src/app.py"))
        found = await actions(client, world.uri("src/app.py"))
        assert [one["title"] for one in found] == TITLES
        assert {one["command"] for one in found} == {"codex_resolve", "codex_merge_inputs"}


def titles(*jobs: Any, ui: Ui | None = None, **more: Any) -> list[str]:
    return [choice.title for choice in choices(conflict("src/app.py", *jobs, **more), ui or Ui())]


def test_only_stored_versions_are_offered() -> None:
    one, other = worker("w1", (1, 2)), worker("w2", attribution="reported")
    assert titles(one, other, kind="reported-only") == [TITLES[1], *TITLES[4:]]
    nobody = [worker(label, attribution="reported") for label in ("w1", "w2")]
    assert titles(*nobody, kind="reported-only") == TITLES[4:]


def test_three_workers_are_compared_pair_by_pair_in_the_order_of_their_spawn() -> None:
    found = titles(*(worker(label, (1, 1)) for label in ("w3", "w1", "w2")), ui=Ui(dialogs=True, merge_editor=True))
    assert found[0] == "Merge w1, w2 and w3..."
    assert found[4:7] == ["Compare w1 with w2", "Compare w1 with w3", "Compare w2 with w3"]
    assert found[8] == "Roll back src/app.py and re-run w1, then w2, then w3..."


def test_lines_that_do_not_merge_need_a_person() -> None:
    for ui in (Ui(), Ui(dialogs=True, merge_editor=True)):
        first = choices(overlap(), ui)[0]
        asked = {"conflictId": "c:src/app.py", SHOW: "merge"}
        assert (first.title, first.command, first.arguments) == (TITLES[0], "codex_merge_inputs", asked)
    # Neither a merge editor nor a question from us: nothing could be done with the inputs.
    assert choices(overlap(), Ui(dialogs=True))[0].title == TITLES[1]
    # Markers in the file are for two versions.
    assert titles(*(worker(label, (1, 1)) for label in ("w1", "w2", "w3")))[0] == TITLES[1]


def test_a_file_that_was_removed_has_no_two_texts() -> None:
    jobs = worker("w1", role="changed"), worker("w2", role="deleted")
    assert titles(*jobs, kind="edit-and-delete") == [*TITLES[1:3], *TITLES[4:]]


# -- lenses -----------------------------------------------------------------------------------------------------------


async def test_lenses_stand_above_the_lines_in_conflict(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap(mergeable=True))
        found = (await client.request("textDocument/codeLens", {"textDocument": {"uri": world.uri("src/app.py")}}))[
            "result"
        ]
        assert [one["command"]["title"] for one in found] == [
            "w1 and w2 changed the same lines", "Merge...", "Keep w1", "Keep w2", "Compare",
        ]  # fmt: skip
        assert {str(one["range"]) for one in found} == {str(span((2, 0), (2, 0)))}
        assert {one["command"]["command"] for one in found} <= table.BY_NAME.keys()
        assert found[1]["command"]["arguments"][0][ASK] is True
        other = await client.request("textDocument/codeLens", {"textDocument": {"uri": world.uri("README.md")}})
        assert other["result"] == []


def test_a_client_that_draws_the_state_gets_icons_above_the_file() -> None:
    lens = code_lenses([overlap()], Ui(state=True), "/top")[0]
    first = lens.command
    assert lens.range.start.line == 0
    assert first is not None
    assert (first.title, first.command) == ("$(warning)\u00a0w1 and w2 changed the same lines", "")


async def test_a_client_of_several_repositories_is_told_which_one_a_command_is_for(world: World) -> None:
    world.a2.put(overlap())
    uri = world.uri("src/app.py")
    async with world.editor({"state": True, "dialogs": True}) as client:
        found = (await client.request("textDocument/codeLens", {"textDocument": {"uri": uri}}))["result"]
        commands = [one["command"] for one in found if one["command"]["command"]]
        assert {one["arguments"][0]["top"] for one in commands} == {str(world.top)}
        keep = next(one for one in commands if one["title"] == "Keep w1")
        reply = await client.call(keep["command"], *keep["arguments"])
        assert "token" in reply["result"], "it is served as it stands"


REFRESH = "workspace/codeLens/refresh"


def refreshes(client: RawClient) -> int:
    return sum(one.get("method") == REFRESH for one in client.received)


async def test_lenses_are_renewed_when_the_conflicts_change(world: World) -> None:
    async with world.editor(capabilities={"workspace": {"codeLens": {"refreshSupport": True}}}) as client:
        client.answers[REFRESH] = lambda params: None
        world.a2.put(overlap())
        await eventually(lambda: refreshes(client) == 1)
        world.a2.publish()
        world.a2.drop()
        await eventually(lambda: refreshes(client) == 2)
        world.a2.publish()
        await asyncio.sleep(0.6)
        assert refreshes(client) == 2


async def test_a_client_that_cannot_renew_lenses_is_not_asked_to(world: World) -> None:
    async with world.editor() as client:
        world.a2.put(overlap())
        await problem(client, world.uri("src/app.py"))
        assert refreshes(client) == 0


# -- hovers -----------------------------------------------------------------------------------------------------------


async def hover(client: RawClient, uri: str, line: int) -> dict[str, Any] | None:
    params = {"textDocument": {"uri": uri}, "position": {"line": line, "character": 0}}
    found: dict[str, Any] | None = (await client.request("textDocument/hover", params))["result"]
    return found


def owners(world: World) -> None:
    at = datetime(2026, 1, 2, 14, 2).timestamp()
    first, second = ("job-w1", "w1", "add *retries*"), ("job-w2", "w2", "typed errors")
    world.a2.owned["src/app.py"] = [
        ScriptedOwner(2, 3, (first,), "seen", at),
        ScriptedOwner(5, 5, (first, second), "ambiguous", None),
        ScriptedOwner(7, 7, (("user", "you", ""),), "seen", at),
        ScriptedOwner(8, 8, (), "ambiguous", None),
    ]


async def test_a_hover_says_who_wrote_a_line(world: World) -> None:
    owners(world)
    uri = world.uri("src/app.py")
    markdown = {"textDocument": {"hover": {"contentFormat": ["markdown"]}}}
    virtual = {"workspace": {"textDocumentContent": {}}}
    async with world.editor(capabilities=markdown | virtual) as client:
        found = await hover(client, uri, 2)
        assert found is not None
        link = "codex-sidecar:/w1-add-retries.md?job=job-w1"
        said = rf'w1 "add \*retries\*", 14:02 (seen) · [Transcript]({link})'
        assert found["contents"] == {"kind": "markdown", "value": said}
        assert found["range"] == span((1, 0), (2, 6))
        both = await hover(client, uri, 4)
        assert both is not None
        assert both["contents"]["value"].split("\n\n")[1].startswith('w2 "typed errors" (ambiguous)')
        person = await hover(client, uri, 6)
        assert person is not None
        assert person["contents"]["value"] == "you, 14:02 (seen)"
        for line in (0, 3, 7, 9, 500):
            assert await hover(client, uri, line) is None
        assert await hover(client, world.uri("README.md"), 0) is None


async def test_a_client_without_markdown_gets_plain_text(world: World) -> None:
    owners(world)
    async with world.editor(capabilities={"textDocument": {"hover": {"contentFormat": ["plaintext"]}}}) as client:
        found = await hover(client, world.uri("src/app.py"), 1)
        assert found is not None
        assert found["contents"] == {"kind": "plaintext", "value": 'w1 "add *retries*", 14:02 (seen)'}


async def test_lines_are_found_through_unsaved_edits(world: World) -> None:
    """The buffer has two lines more above and one line of its own inside."""
    owners(world)
    uri = world.uri("src/app.py")
    lines = [f"line {number}\n" for number in range(1, 11)]
    async with world.editor(capabilities={"textDocument": {"hover": {"contentFormat": ["plaintext"]}}}) as client:
        world.a2.put(overlap())
        assert (await problem(client, uri))["range"] == span((2, 0), (4, 6))
        open_file(client, uri, "".join(lines))
        edit_file(client, uri, "".join(["# new\n", "# new too\n", *lines[:2], "mine\n", *lines[2:]]))
        found = await hover(client, uri, 3)
        assert found is not None
        assert found["range"] == span((3, 0), (5, 6))
        assert await hover(client, uri, 4) is None, "a line that is not saved is nobody's"
        assert await hover(client, uri, 5) is not None
        assert await hover(client, uri, 2) is None
        world.a2.publish()
        await eventually(lambda: (problems(client, uri) or [{}])[0]["range"] == span((5, 0), (7, 6)))
