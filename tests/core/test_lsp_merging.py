"""While a client merges a file, its other ways to end the conflict are not offered in the file."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from sidecar.lsp.documents import merge_uri, merged_in
from tests.support.lsp import RawClient, connected
from tests.support.lsp_conflicts import World, overlap, world

__all__ = ["world"]

APP = "src/app.py"
REFRESH = "workspace/codeLens/refresh"


async def lenses(client: RawClient, world: World) -> list[Any]:
    params = {"textDocument": {"uri": world.uri(APP)}}
    return list((await client.request("textDocument/codeLens", params))["result"])


def open_document(client: RawClient, uri: str) -> None:
    document = {"uri": uri, "languageId": "python", "version": 1, "text": "<<<<<<<\n"}
    client.notify("textDocument/didOpen", {"textDocument": document})


def close_document(client: RawClient, uri: str) -> None:
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


async def test_there_are_no_lenses_while_the_file_is_merged(world: World) -> None:
    capabilities = {"workspace": {"codeLens": {"refreshSupport": True}}}
    async with connected(world.core, None, capabilities) as client, connected(world.core) as other:
        client.answers[REFRESH] = lambda params: None
        world.a2.put(overlap())
        await client.wait_for_method(REFRESH)
        assert await lenses(client, world)
        uri = merge_uri(APP, world.core.top)
        before = len(client.received)
        open_document(client, uri)
        await client.wait_for_method(REFRESH, before)
        assert await lenses(client, world) == []
        assert await lenses(other, world), "another window does not merge"
        before = len(client.received)
        close_document(client, uri)
        await client.wait_for_method(REFRESH, before)
        assert await lenses(client, world)


async def test_the_merge_of_another_file_or_repository_is_none_of_this_one(world: World) -> None:
    async with connected(world.core) as client:
        world.a2.put(overlap())
        assert await lenses(client, world)
        for uri in (merge_uri("src/other.py", world.core.top), merge_uri(APP, "/elsewhere")):
            open_document(client, uri)
            assert await lenses(client, world)
            close_document(client, uri)


@pytest.mark.parametrize("top", ["/home/a/r", "/home/a b/&=?#é", "/r\udcff"])
@pytest.mark.parametrize("path", ["a.txt", "src/a b.py", "x?y#z=&%41.txt", "n\udcff.txt"])
def test_a_merge_is_recognised_however_the_client_escapes_it(path: str, top: str) -> None:
    uri = merge_uri(path, top)
    escaped, _, query = uri.partition("?")
    assert merged_in(uri, top) == path
    assert merged_in(f"{escaped}?{quote(query, safe='')}", top) == path, "as Visual Studio Code writes it"
    assert merged_in(uri, "/other") is None


@pytest.mark.parametrize(
    "uri", ["file:///a.txt", "codex-merge:/", "codex-merge:/a.txt", "codex-merge:/a?top=", "codex-merge://[x"]
)
def test_what_is_no_merge_is_none(uri: str) -> None:
    assert merged_in(uri, "") is None
