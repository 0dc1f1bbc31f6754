"""A real collision in a plain editor: problems, actions and the repair, over the whole chain of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.core.test_lsp_conflicts_actions import LITERALS
from tests.support.collision import LINES, PATH, WORKER, collision_repo, tasks
from tests.support.lsp import RawClient, eventually
from tests.support.lsp_conflicts import cleared, edit_file, open_file, problems
from tests.support.raw import no_service_left
from tests.support.referee import Referee
from tests.support.repo import git
from tests.system.test_lsp_stdio import raw

ASK = "window/showMessageRequest"
SHOW = "window/showDocument"


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = collision_repo(tmp_path / "r")
    with no_service_left(path):
        yield path


async def collide(client: RawClient, repo: Path) -> list[str]:
    """Runs both workers to their end; their ids."""
    with Referee(repo, repo.parent / "known") as referee:
        ids = [(await client.call("codex_spawn", task))["result"]["jobId"] for task in tasks(referee=referee)]
        left = list(ids)
        while left:
            answer = (await client.call("codex_wait_any", {"jobIds": left}))["result"]
            assert answer["status"] == "done"
            left = answer["remainingJobIds"]
    return ids


async def certain(client: RawClient, uri: str) -> dict[str, Any]:
    """The problem of a file once no worker of it runs."""

    def is_certain() -> bool:
        found = problems(client, uri) or []
        return len(found) == 1 and found[0]["severity"] < 3

    await eventually(is_certain)
    return (problems(client, uri) or [{}])[0]


async def test_a_collision_is_seen_and_repaired_from_an_editor(repo: Path) -> None:
    uri = (repo / PATH).as_uri()
    async with raw(repo, CODEX_SIDECAR_CODEX=WORKER) as (client, _):
        await client.initialize(None, LITERALS, rootUri=repo.as_uri())
        first, second = await collide(client, repo)
        shown = await certain(client, uri)
        assert shown["code"] in ("lost-update", "overlapping-edit")
        assert 'w1 "lower case"' in shown["message"]
        assert 'w2 "title case"' in shown["message"]
        assert shown["data"]["jobs"] == [first, second]
        assert shown["range"] == {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 23}}
        one, other = [Path(item["location"]["uri"].removeprefix("file://")) for item in shown["relatedInformation"]]
        assert one.read_text().splitlines()[2] == "    return text.lower()"
        assert other.read_text().splitlines()[2] == "    return text.title()"

        notice = await client.wait_for_method(ASK)
        assert [item["title"] for item in notice["params"]["actions"]] == ["Review", "Later"]

        position = {"textDocument": {"uri": uri}, "position": {"line": 2, "character": 5}}
        hover = (await client.request("textDocument/hover", position))["result"]
        assert 'w2 "title case"' in hover["contents"]["value"]
        lenses = (await client.request("textDocument/codeLens", {"textDocument": {"uri": uri}}))["result"]
        assert "Keep w1" in [lens["command"]["title"] for lens in lenses]

        context = {"textDocument": {"uri": uri}, "range": shown["range"], "context": {"diagnostics": [shown]}}
        actions = (await client.request("textDocument/codeAction", context))["result"]
        keep = next(item for item in actions if item["title"] == 'Keep w1 "lower case"')
        count = len(client.received)
        preview = (await client.call(keep["command"]["command"], *keep["command"]["arguments"]))["result"]
        asked = await client.wait_for_method(ASK, count)
        assert asked["params"]["message"] == preview["preview"]["text"]
        assert (repo / PATH).read_text().splitlines()[2] == "    return text.title()", "asking changes nothing"
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": asked["params"]["actions"][0]})
        await cleared(client, uri)
        assert (repo / PATH).read_text().splitlines()[2] == "    return text.lower()"
        snapshots = (await client.call("codex_snapshots"))["result"]["snapshots"]
        assert len(snapshots) == 1
        assert git(repo, "status", "--porcelain") == f" M {PATH}\n"


async def test_a_merge_by_hand(repo: Path) -> None:
    """In an editor without a merge editor: first the difference is looked at, then the file gets markers."""
    uri = (repo / PATH).as_uri()
    async with raw(repo, CODEX_SIDECAR_CODEX=WORKER) as (client, _):
        client.answers[SHOW] = lambda params: {"success": True}
        await client.initialize(
            None, {**LITERALS, "window": {"showDocument": {"support": True}}}, rootUri=repo.as_uri()
        )
        await collide(client, repo)
        shown = await certain(client, uri)
        context = {"textDocument": {"uri": uri}, "range": shown["range"], "context": {"diagnostics": [shown]}}
        found = (await client.request("textDocument/codeAction", context))["result"]
        commands = {item["title"]: item["command"] for item in found}
        assert found[0]["title"] == "Merge w1 and w2..."

        compare = commands["Compare w1 with w2"]
        assert "result" in await client.call(compare["command"], *compare["arguments"])
        opened = await client.wait_for_method(SHOW)
        difference = Path(unquote(opened["params"]["uri"]).removeprefix("file://")).read_text()
        assert "-    return text.lower()\n+    return text.title()\n" in difference

        count = len(client.received)
        merge = commands["Merge w1 and w2..."]
        assert "result" in await client.call(merge["command"], *merge["arguments"])
        asked = await client.wait_for(
            lambda one: one.get("method") == ASK and "markers" in one["params"]["message"], count
        )
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": asked["params"]["actions"][0]})
        await cleared(client, uri)
        text = (repo / PATH).read_text()
        assert "<<<<<<<" in text
        assert "return text.lower()" in text
        assert "return text.title()" in text
        assert (await client.call("codex_conflicts"))["result"]["conflicts"] == []


async def test_a_worker_writes_a_file_with_unsaved_edits(repo: Path) -> None:
    uri = (repo / PATH).as_uri()
    text = "".join(f"{line}\n" for line in LINES)
    async with raw(repo, CODEX_SIDECAR_CODEX=WORKER) as (client, _):
        await client.initialize(None, rootUri=repo.as_uri())
        await client.wait_for_method("codexSidecar/state")
        open_file(client, uri, text)
        edit_file(client, uri, text + "MINE = True\n")
        job = (await client.call("codex_spawn", tasks(pause=60.0)[0]))["result"]["jobId"]
        await eventually(lambda: bool(problems(client, uri)))
        shown = (problems(client, uri) or [{}])[0]
        assert (shown["code"], shown["severity"], shown["data"]["jobs"]) == ("user-edit", 3, [job])
        status = (await client.call("codex_status", {"jobId": job}))["result"]["status"]
        assert status == "running", "the warning comes while the worker is still at it"
        await client.call("codex_cancel", {"jobId": job, "force": True})
        await eventually(lambda: [one["severity"] for one in problems(client, uri) or ()] == [2])
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        await eventually(lambda: all(one["code"] != "user-edit" for one in problems(client, uri) or []))


async def test_a_late_editor_sees_what_was_found_before(repo: Path) -> None:
    uri = (repo / PATH).as_uri()
    virtual = {"workspace": {"textDocumentContent": {"dynamicRegistration": True}}}
    async with raw(repo, CODEX_SIDECAR_CODEX=WORKER) as (first, _):
        await first.initialize({"ui": {"dialogs": True}})
        await collide(first, repo)
        async with raw(repo) as (second, _):
            await second.initialize(None, virtual)
            shown = await certain(second, uri)
            link = shown["relatedInformation"][0]["location"]["uri"]
            answer = (await second.request("workspace/textDocumentContent", {"uri": link}))["result"]
            assert answer["text"].splitlines()[2] == "    return text.lower()"
            base = link.replace("side=w1", "side=base")
            answer = (await second.request("workspace/textDocumentContent", {"uri": base}))["result"]
            assert answer["text"].splitlines() == LINES
            page = f"codex-sidecar:/w1.md?job={shown['data']['jobs'][0]}"
            answer = (await second.request("workspace/textDocumentContent", {"uri": page}))["result"]
            assert f"Edited {PATH}" in answer["text"]
        assert not any(one.get("method") == ASK for one in first.received)
