"""How much of a conflict a client wants to be told: its lines, the file alone, or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sidecar.lsp import notices
from tests.support.lsp import RawClient, connected, eventually
from tests.support.lsp_conflicts import (
    PUBLISH,
    World,
    cleared,
    job,
    open_file,
    overlap,
    problem,
    problems,
    span,
    world,
)
from tests.support.person import UI

__all__ = ["world"]

APP = "src/app.py"
REFRESH = "workspace/codeLens/refresh"
ASK = "window/showMessageRequest"
BEGINNING = span((0, 0), (0, 0))


def choose(client: RawClient, **conflicts: Any) -> None:
    section = {"codexSidecar": {"conflicts": conflicts}}
    client.notify("workspace/didChangeConfiguration", {"settings": section})


def full(world: World) -> None:
    """One problem of each source."""
    world.write("new.py", "new\n")
    world.write("open.py", "on disk\n")
    world.a2.unclaimed_paths = ["new.py"]
    world.a2.without_report = [job("w2")]
    world.a2.put(overlap())


async def shown(client: RawClient, uri: str, wanted: Any) -> dict[str, Any]:
    await eventually(lambda: wanted(problems(client, uri) or [{}]))
    return (problems(client, uri) or [{}])[0]


async def lenses(client: RawClient, world: World) -> list[dict[str, Any]]:
    params = {"textDocument": {"uri": world.uri(APP)}}
    found: list[dict[str, Any]] = (await client.request("textDocument/codeLens", params))["result"]
    return found


async def test_with_files_no_lines_are_told(world: World) -> None:
    full(world)
    uri = world.uri(APP)
    async with connected(world.core, {"conflicts": {"level": "files"}}) as client:
        told = await problem(client, uri)
        assert (told["code"], told["severity"], told["range"]) == ("overlapping-edit", 2, BEGINNING)
        assert told["message"] == 'w1 "add retries" and w2 "typed errors" changed the same part of this file.'
        assert [one["message"] for one in told["relatedInformation"]] == [
            'w1 "add retries" changed this file', 'w2 "typed errors" changed this file',
        ]  # fmt: skip
        assert (await problem(client, world.uri("new.py")))["range"] == BEGINNING
        assert {str(one["range"]) for one in await lenses(client, world)} == {str(BEGINNING)}

        at = {"textDocument": {"uri": uri}, "range": BEGINNING, "context": {"diagnostics": []}}
        actions = (await client.request("textDocument/codeAction", at))["result"]
        assert 'Keep w1 "add retries"' in [one["title"] for one in actions], "the ways on are where the problem is"

        choose(client, level="lines")
        told = await shown(client, uri, lambda found: found[0].get("range") == span((2, 0), (4, 6)))
        assert "(3-5)" in told["message"]
        choose(client, level="files")
        await shown(client, uri, lambda found: found[0].get("range") == BEGINNING)


async def test_unsaved_edits_are_told_without_their_place(world: World) -> None:
    world.write("open.py", "one\ntwo\n")
    uri = world.uri("open.py")
    async with connected(world.core, {"conflicts": {"level": "files"}}) as client:
        open_file(client, uri, "one\nmine\n")
        await eventually(lambda: bool(world.a2.notes))
        world.a2.written_over["open.py"] = job("w1")
        world.a2.publish()
        told = await problem(client, uri)
        assert (told["code"], told["range"]) == ("user-edit", BEGINNING)


async def test_off_is_nothing_but_the_tree(world: World) -> None:
    full(world)
    uri = world.uri(APP)
    async with connected(world.core, {"ui": {"state": True, "virtualDocs": True}}) as client:
        await problem(client, uri)
        await eventually(lambda: len(client.of_method(PUBLISH)) == 3)
        choose(client, level="off")
        for one in client.of_method(PUBLISH)[:3]:
            await cleared(client, one["uri"])
        assert await lenses(client, world) == []
        everything = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}
        at = {"textDocument": {"uri": uri}, "range": everything, "context": {"diagnostics": []}}
        assert (await client.request("textDocument/codeAction", at))["result"] == []
        state = (await client.request("codexSidecar/getState"))["result"]["full"]
        assert f"conflict:c:{APP}" in [row["id"] for row in state["rows"]]
        assert state["summary"]["badge"] is not None
        choose(client)
        await shown(client, uri, lambda found: found[0].get("code") == "overlapping-edit")


async def test_each_client_chooses_for_itself(world: World) -> None:
    async with connected(world.core) as one, connected(world.core, {"conflicts": {"level": "off"}}) as other:
        world.a2.put(overlap())
        await problem(one, world.uri(APP))
        await other.request("codexSidecar/getState")
        assert problems(other, world.uri(APP)) is None


async def test_lenses_can_be_taken_away(world: World) -> None:
    capabilities = {"workspace": {"codeLens": {"refreshSupport": True}}}
    async with connected(world.core, None, capabilities) as client:
        client.answers[REFRESH] = lambda params: None
        world.a2.put(overlap())
        await client.wait_for_method(REFRESH)
        await problem(client, world.uri(APP))
        assert await lenses(client, world)
        before = len(client.received)
        choose(client, codeLens=False)
        await client.wait_for_method(REFRESH, before)
        assert await lenses(client, world) == []
        assert problems(client, world.uri(APP)), "the problem stays"


@pytest.mark.parametrize("dialogs", [False, True])
async def test_off_shows_no_notice_and_what_was_kept_back_comes_later(
    world: World, monkeypatch: pytest.MonkeyPatch, dialogs: bool
) -> None:
    monkeypatch.setattr(notices, "COLLECT_SECONDS", 0.05)
    kind = UI if dialogs else ASK
    world.a2.put(overlap())
    async with connected(
        world.core, {"ui": {"dialogs": dialogs}, "codexSidecar": {"conflicts.level": "off"}}
    ) as client:
        client.answers[UI] = lambda asked: None
        await asyncio.sleep(0.4)
        assert client.of_method(kind) == []
        choose(client, level="files")
        await client.wait_for_method(kind)
