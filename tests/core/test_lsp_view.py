"""The view as a client gets it: whole, then what changed; and what is asked for, remembered and looked at for it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import stat
import weakref
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from sidecar.lsp.view import memory, rows, setup, view, watch
from sidecar.lsp.view.memory import Memory, memory_of
from sidecar.lsp.view.shapes import StateMessage
from sidecar.model.job import WorkerCommit, iso, now
from sidecar.model.settings import CodexSettings, Settings
from sidecar.worker.backend import CodexBackend
from tests.support.codex import native_codex, write_codex_home
from tests.support.lsp import RawClient, ScriptedCore, connected, eventually, fast_state
from tests.support.lsp_conflicts import (
    ScriptedOwner,
    World,
    edit_file,
    open_file,
    overlap,
    world,
)
from tests.support.lsp_conflicts import job as unreported
from tests.support.repo import git, make_repo
from tests.support.round import open_round

__all__ = ["world"]

STATE = "codexSidecar/state"
DRAWS = {"ui": {"state": True}}
FILE = {"path": "src/app.py", "change": "modified", "attribution": "seen"}


class Drawing:
    """What a client draws that follows docs/protocol.md and nothing else."""

    def __init__(self, client: RawClient) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.marks: dict[str, dict[str, Any]] = {}
        self.summary: dict[str, Any] = {}
        for note in client.of_method(STATE):
            self.take(note)

    def take(self, note: dict[str, Any]) -> None:
        if "full" in note:
            self.rows = {row["id"]: row for row in note["full"]["rows"]}
            self.marks = {mark["id"]: mark for mark in note["full"]["marks"]}
            self.summary = note["full"]["summary"]
            return
        kinds: dict[str, dict[str, Any]] = {"row": self.rows, "mark": self.marks}
        for item in note["changed"]:
            facts = {name: value for name, value in item.items() if name != "kind"}
            if item["kind"] in kinds:
                kinds[item["kind"]][item["id"]] = facts
            elif item["kind"] == "summary":
                self.summary = facts
        for gone in note["removed"]:
            if gone["kind"] in kinds:
                del kinds[gone["kind"]][gone["id"]]

    @property
    def tree(self) -> dict[str, list[str]]:
        return {self.rows[root]["label"]: self.rows[root]["children"] for root in self.summary["roots"]}


async def drawn(client: RawClient, found: Callable[[Drawing], Any]) -> Drawing:
    """The drawing once `found` is true of it."""
    await eventually(lambda: bool(found(Drawing(client))))
    return Drawing(client)


def items(note: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["kind"], item["id"]) for item in note["changed"]]


# -- the state --------------------------------------------------------------------------------------------------------


async def test_the_view_comes_with_the_state_and_then_only_what_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_state(monkeypatch)
    world.core.put("job-w1", label="w1", title="one")
    world.core.put("job-w2", label="w2", title="two", activity="thinking")
    async with world.editor({"state": True}) as client:
        first = client.of_method(STATE)[0]["full"]
        assert set(first) == {"jobs", "run", "limits", "conflicts", "rows", "marks", "summary"}
        assert Drawing(client).tree == {"Running (2)": ["job:job-w1", "job:job-w2"]}
        world.core.put("job-w2", activity="editing a.py")
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 2)
        assert items(note["params"]) == [("job", "job-w2"), ("row", "job:job-w2"), ("summary", "summary")]
        world.a2.put(overlap())
        found = await drawn(client, lambda one: one.marks)
        assert found.marks["src/app.py"]["badge"] == "w!"
        assert found.tree["Needs attention (1)"] == ["conflict:c:src/app.py"]
        assert found.rows["conflict:c:src/app.py"]["children"] == [
            "conflict:c:src/app.py:job-w1",
            "conflict:c:src/app.py:job-w2",
        ]
        assert found.summary["badge"] == {"value": 1, "tooltip": "1 needs attention: 1 conflict"}
        world.a2.drop()
        found = await drawn(client, lambda one: not one.marks)
        assert set(found.rows) == {"group:running", "job:job-w1", "job:job-w2"}
        answer = (await client.request("codexSidecar/getState"))["result"]["full"]
        assert {row["id"]: row for row in answer["rows"]} == found.rows
        assert answer["summary"] == found.summary


async def test_a_client_that_draws_by_itself_gets_no_view(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    world.core.put("job-w1", touchedFiles=[FILE])
    async with world.editor() as client:
        assert set(client.of_method(STATE)[0]["full"]) == {"jobs", "run", "limits", "conflicts"}
        world.core.put("job-w1", status="done")
        note = await client.wait_for(lambda one: one.get("params", {}).get("seq") == 2)
        assert {kind for kind, _ in items(note["params"])} == {"job", "limits"}
        assert (await client.request("codexSidecar/rows", {"id": "job:job-w1"}))["result"] == {"rows": []}


async def test_a_worker_without_a_report_is_told(world: World) -> None:
    world.core.put("job-w1", label="w1", status="done")
    world.a2.without_report = [unreported("w1")]
    async with world.editor({"state": True}) as client:
        assert Drawing(client).rows["job:job-w1"]["description"] == "no files · no file list"


async def test_files_are_asked_for_when_a_row_is_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    world.core.put("job-w1", label="w1", touchedFiles=[FILE])
    world.a2.put(overlap())
    async with world.editor({"state": True}) as client:
        row = Drawing(client).rows["job:job-w1"]
        assert row["lazy"] is True
        assert "children" not in row
        answer = (await client.request("codexSidecar/rows", {"id": row["id"]}))["result"]["rows"]
        assert [(one["id"], one["description"]) for one in answer] == [
            ("file:job-w1:src/app.py", "also changed by w2"),
        ]
        # What stands below it changes: the row says so.
        world.a2.drop()
        await drawn(client, lambda one: one.rows["job:job-w1"]["files"] != row["files"])
        answer = (await client.request("codexSidecar/rows", {"id": row["id"]}))["result"]["rows"]
        assert answer[0]["description"] == ""
        for name in ("group:running", "job:nobody", "", "conflict:c:src/app.py"):
            assert (await client.request("codexSidecar/rows", {"id": name}))["result"] == {"rows": []}
        for bad in ({}, {"id": 3}, None):
            assert (await client.request("codexSidecar/rows", bad))["error"]["data"]["kind"] == "invalid-arguments"


async def test_what_is_sent_has_the_shapes_that_the_client_is_made_from(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_state(monkeypatch)
    world.core.put("job-w1", label="w1", touchedFiles=[FILE])
    world.a2.put(overlap())
    async with world.editor({"state": True}) as client:
        world.core.put("job-w1", status="failed")
        world.a2.drop()
        await drawn(client, lambda one: "job:job-w1" in one.tree.get("Needs attention (1)", ()) and not one.marks)
        for note in client.of_method(STATE):
            again = msgspec.to_builtins(msgspec.convert(note, StateMessage))
            for name in ("rows", "marks", "summary"):
                assert again.get("full", {}).get(name) == note.get("full", {}).get(name)
            drawings = [item for item in note.get("changed", ()) if item["kind"] in ("row", "mark", "summary")]
            assert [item for item in again.get("changed", ()) if item in drawings] == drawings
            assert again.get("removed") == note.get("removed")


async def test_time_goes_on_in_the_rows_of_workers_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    monkeypatch.setattr(view, "TICK_SECONDS", 0.05)
    clock = [now()]
    monkeypatch.setattr(view, "time", SimpleNamespace(time=lambda: clock[0]))
    core = ScriptedCore()
    core.put("a", label="w1", activity="thinking", startedAt=iso(clock[0] - 3_598))
    core.put("b", label="w2", activity="waiting", status="queued")
    async with connected(core, DRAWS) as client:
        assert Drawing(client).rows["job:a"]["description"] == "thinking · 59m"
        clock[0] += 3
        await drawn(client, lambda one: one.rows["job:a"]["description"] == "thinking · 1h 00m")
        assert [items(note) for note in client.of_method(STATE)[1:]] == [[("row", "job:a")]]


async def test_no_time_goes_on_for_a_screen_reader_nor_where_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    drawings: list[float] = []
    draw = view.View.draw

    def count(self: view.View, state: dict[str, Any]) -> dict[str, Any]:
        drawings.append(now())
        return draw(self, state)

    monkeypatch.setattr(view.View, "draw", count)
    monkeypatch.setattr(view, "TICK_SECONDS", 0.01)
    began = now() - 3_000
    core = ScriptedCore()
    core.put("a", label="w1", activity="thinking", startedAt=iso(began))
    able = {"workspace": {"didChangeConfiguration": {"dynamicRegistration": True}}}
    async with connected(core, DRAWS, able) as client:
        asked = await client.wait_for_method("client/registerCapability")
        wanted = asked["params"]["registrations"][0]["registerOptions"]["section"]
        assert wanted == ["codexSidecar", "editor.accessibilitySupport"]
        await eventually(lambda: len(drawings) > 5)
        reads = {"editor": {"accessibilitySupport": "on"}}
        client.notify("workspace/didChangeConfiguration", {"settings": reads})
        clock = datetime.fromtimestamp(began).strftime("%H:%M")
        await drawn(client, lambda one: one.rows["job:a"]["description"] == f"thinking · since {clock}")
        seen = len(drawings)
        await asyncio.sleep(0.2)
        assert len(drawings) == seen, "twenty ticks have passed"
        client.notify("workspace/didChangeConfiguration", {"settings": {"editor.accessibilitySupport": "auto"}})
        await drawn(client, lambda one: one.rows["job:a"]["description"] == "thinking · 50m")
        core.put("a", status="done")
        await drawn(client, lambda one: "group:done" in one.rows)
        seen = len(drawings)
        await asyncio.sleep(0.2)
        assert len(drawings) == seen


async def test_a_screen_reader_may_be_told_of_from_the_beginning() -> None:
    core = ScriptedCore()
    core.put("a", label="w1", activity="thinking", startedAt=iso(now() - 3_000))
    async with connected(core, {**DRAWS, "editor": {"accessibilitySupport": "on"}}) as client:
        assert " · since " in Drawing(client).rows["job:a"]["description"]


async def test_that_all_is_done_is_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    monkeypatch.setattr(view, "FINISHED_SECONDS", 0.5)
    core = ScriptedCore()
    core.put("a", label="w1", status="done")
    core.put("b", label="w2", status="queued")
    async with connected(core, DRAWS) as client:
        assert Drawing(client).summary["status"] == {"text": "1 queued", "icon": "sync~spin", "level": 1}
        core.put("b", status="done")
        done = {"text": "2 done", "icon": "check", "level": 0}
        await eventually(lambda: done in [Drawing(client).summary["status"]])
        await drawn(client, lambda one: one.summary["status"] is None)
        async with connected(core, DRAWS) as late:
            assert Drawing(late).summary["status"] is None


async def test_force_stop_is_offered_though_nothing_else_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    monkeypatch.setattr(rows, "FORCE_SECONDS", 0.5)
    core = ScriptedCore()
    core.put("a", status="stopping", stopRequestedAt=iso(now() + 0.5))
    async with connected(core, DRAWS) as client:
        await drawn(client, lambda one: one.rows["job:a"]["context"] == "worker.stopping.write.force")


async def test_the_client_says_which_files_are_marked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    world.core.put("job-w1", label="w1", runId=world.core.run["runId"], touchedFiles=[FILE])  # type: ignore[index]
    options = {"codexSidecar": {"decorations": {"files": "touched"}, "limits": {"read": 3}}, **DRAWS}
    async with connected(world.core, options) as client:
        assert Drawing(client).marks == {
            "src/app.py": {"id": "src/app.py", "badge": "w1", "tooltip": "Changed by w1", "conflict": False},
        }
        section = {"codexSidecar": {"decorations": {"files": "off"}, "limits": {"read": 3}}}
        client.notify("workspace/didChangeConfiguration", {"settings": section})
        await drawn(client, lambda one: not one.marks)


async def test_hints_at_whose_the_lines_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fast_state(monkeypatch)
    writers = ("job-w1", "w1", "add retries"), ("job-w2", "w2", "typed errors")
    world.a2.owned["src/app.py"] = [ScriptedOwner(3, 5, writers[:1]), ScriptedOwner(8, 8, writers)]
    refresh = "workspace/inlayHint/refresh"
    options = {"codexSidecar": {"attribution": "inlayHints", "limits": {"read": 3}}, **DRAWS}
    able = {"workspace": {"inlayHint": {"refreshSupport": True}}}
    async with connected(world.core, options, able) as client:
        client.answers[refresh] = lambda params: None
        uri, text = world.uri("src/app.py"), (world.top / "src/app.py").read_text()

        async def hints(first: int, last: int) -> list[tuple[int, int, str]]:
            where = {"start": {"line": first, "character": 0}, "end": {"line": last, "character": 0}}
            answer = await client.request("textDocument/inlayHint", {"textDocument": {"uri": uri}, "range": where})
            return [(one["position"]["line"], one["position"]["character"], one["label"]) for one in answer["result"]]

        rows_of = text.splitlines()
        first, second = (
            (2, len(rows_of[2]), "w1 add retries"),
            (7, len(rows_of[7]), "w1 add retries and w2 typed errors"),
        )
        assert await hints(0, 20) == [first, second]
        assert await hints(3, 7) == [second]
        open_file(client, uri, text)
        edit_file(client, uri, "new\n" + text)
        assert await hints(0, 20) == [(3, *first[1:]), (8, *second[1:])]
        # A worker has written more, a file was saved, the setting is another.
        section = {"codexSidecar": {"attribution": "currentLine", "limits": {"read": 3}}}
        for happens in (
            world.a2.publish,
            lambda: client.notify("textDocument/didSave", {"textDocument": {"uri": uri}}),
            lambda: client.notify("workspace/didChangeConfiguration", {"settings": section}),
        ):
            seen = len(client.received)
            happens()
            await client.wait_for_method(refresh, after=seen)
        assert await hints(0, 20) == []


async def test_whose_the_lines_are(world: World) -> None:
    writers = ("job-w1", "w1", "add retries"), ("job-w2", "w2", "typed errors")
    world.a2.owned["src/app.py"] = [
        ScriptedOwner(3, 5, writers[:1]),
        ScriptedOwner(8, 8, writers),
        ScriptedOwner(9, 9, ()),
    ]
    async with world.editor({"state": True}) as client:

        async def owners(uri: str) -> list[tuple[int, int, str]]:
            answer = (await client.request("codexSidecar/owners", {"uri": uri}))["result"]["owners"]
            return [(one["start"], one["end"], one["text"]) for one in answer]

        uri = world.uri("src/app.py")
        both = "w1 add retries and w2 typed errors"
        assert await owners(uri) == [(2, 4, "w1 add retries"), (7, 7, both)]
        # Unsaved lines above move them.
        text = (world.top / "src/app.py").read_text()
        open_file(client, uri, text)
        edit_file(client, uri, "new\nnew\n" + text)
        assert await owners(uri) == [(4, 6, "w1 add retries"), (9, 9, both)]
        assert await owners(world.uri("other.py")) == []
        assert await owners("untitled:one") == []
        assert (await client.request("codexSidecar/owners", {}))["error"]["data"]["kind"] == "invalid-arguments"


# -- what is remembered -----------------------------------------------------------------------------------------------


async def test_what_one_window_clears_is_gone_in_all_and_after_a_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast_state(monkeypatch)
    world.core.put("job-w1", status="done")
    world.core.put("job-w2", status="done")
    world.core.put("job-w3", status="running")
    async with connected(world.core, DRAWS) as one, connected(world.core, DRAWS) as other:
        kept = memory_of(world.core)
        kept.clear(["job-w1", "job-w3"])
        for client in (one, other):
            await drawn(client, lambda seen: "job:job-w1" not in seen.rows)
            assert set(Drawing(client).rows) == {"group:running", "group:done", "job:job-w2", "job:job-w3"}
        kept.see("job-w2")
        await drawn(one, lambda seen: seen.rows["job:job-w2"]["icon"] == "pass")
        await kept.saved()
    path = world.core.state_dir / memory.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = ScriptedCore(str(world.top))
    for job_id in ("job-w1", "job-w2", "job-w3"):
        again.put(job_id, status="done")
    async with connected(again, DRAWS) as client:
        assert set(Drawing(client).rows) == {"group:done", "job:job-w2"}
        assert Drawing(client).rows["job:job-w2"]["icon"] == "pass"
        again.put("job-w4", status="running")
        memory_of(again).clear_ended()
        await drawn(client, lambda seen: set(seen.rows) == {"group:running", "job:job-w4"})
        await memory_of(again).saved()


async def test_the_end_of_a_worker_is_not_seen_before_it_has_come(tmp_path: Path) -> None:
    kept = Memory(tmp_path / "view.json", lambda: ["ended"])
    kept.see("running")
    kept.see("ended")
    await kept.saved()
    assert kept.seen == {"ended"}


async def test_the_newest_are_kept_and_nothing_is_said_twice(tmp_path: Path) -> None:
    path = tmp_path / "view.json"
    kept = Memory(path, list)
    told: list[frozenset[str]] = []
    leave = kept.subscribe(lambda: told.append(kept.cleared))
    ids = [f"job-{number}" for number in range(memory.KEPT + 5)]
    kept.clear(ids)
    kept.clear(ids[-2:])
    assert told == [frozenset(ids[5:])]
    leave()
    kept.clear(["last"])
    assert len(told) == 1
    await kept.saved()
    assert Memory(path, list).cleared == {*ids[6:], "last"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"cleared": 3, "seen": {"a": 1}}',
        b"[" * 100_000,
        b" " * (memory.FILE_BYTES + 1),
    ],
    ids=["empty", "torn", "a list", "no text", "other types", "deep", "large"],
)
async def test_a_file_that_makes_no_sense_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "view.json"
    path.write_bytes(content)
    kept = Memory(path, list)
    assert (kept.cleared, kept.seen) == (frozenset(), frozenset())
    kept.clear(["a"])
    await kept.saved()
    assert json.loads(path.read_bytes()) == {"cleared": ["a"], "seen": [], "told": []}


async def test_parts_of_a_file_that_make_sense_are_read(tmp_path: Path) -> None:
    path = tmp_path / "view.json"
    path.write_text('{"cleared": ["a", 3, null, "b"], "unknown": 1}')
    assert Memory(path, list).cleared == {"a", "b"}


async def test_a_disk_that_takes_nothing_does_not_stop_anything(tmp_path: Path) -> None:
    kept = Memory(tmp_path / "gone" / "view.json", list)
    kept.clear(["a"])
    await kept.saved()
    assert kept.cleared == {"a"}
    (tmp_path / "gone").mkdir()
    kept.clear(["b"])
    await kept.saved()
    assert Memory(tmp_path / "gone" / "view.json", list).cleared == {"a", "b"}


def test_a_core_that_is_gone_is_forgotten() -> None:
    core = ScriptedCore()
    memory_of(core)  # type: ignore[arg-type]
    seen = weakref.ref(core)
    del core
    gc.collect()
    assert seen() is None


# -- what is looked at ------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def looking(repo: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Any, RawClient]]:
    """A real core, and a client that draws it, both quick."""
    fast_state(monkeypatch)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(watch, "COUNT_SECONDS", 0.0)
    async with open_round(make_repo(repo)) as made, connected(made.core, DRAWS) as client:
        yield made, client


async def test_a_commit_of_a_person_during_a_run_needs_attention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with looking(tmp_path / "repo", monkeypatch) as (made, client):
        run = await made.core.a2.open_run("refuse", False)
        await drawn(client, lambda one: one.summary["baseline"])
        assert Drawing(client).rows == {}
        (made.repo / "README.md").write_text("changed\n")
        git(made.repo, "commit", "-qam", "second")
        head = git(made.repo, "rev-parse", "HEAD").strip()
        found = await drawn(client, lambda one: "notice:head" in one.rows)
        row = found.rows["notice:head"]
        assert row["label"] == f"HEAD moved from {run.head[:7]} to {head[:7]}"
        assert found.summary["badge"] == {"value": 1, "tooltip": "1 needs attention: HEAD moved"}
        assert found.summary["message"].startswith(f"Baseline {run.head[:7]}, ")
        git(made.repo, "reset", "-q", "--hard", "HEAD~1")
        await drawn(client, lambda one: one.rows == {})


async def test_a_commit_of_a_worker_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with looking(tmp_path / "repo", monkeypatch) as (made, client):
        run = await made.core.a2.open_run("refuse", False)
        (made.repo / "README.md").write_text("changed\n")
        git(made.repo, "commit", "-qam", "second")
        head = git(made.repo, "rev-parse", "HEAD").strip()
        # It is seen before anybody knows whose it is.
        await drawn(client, lambda one: "notice:head" in one.rows)
        run.worker_heads.append(head)
        run.worker_commits.append(WorkerCommit("gone", head))
        made.core.manager.publish("run", run.run_id)
        found = await drawn(client, lambda one: f"notice:commit:gone:{head}" in one.rows)
        assert "notice:head" not in found.rows
        assert found.rows[f"notice:commit:gone:{head}"]["label"] == f"A worker created commit {head[:7]}"


async def test_snapshots_are_counted_and_tasks_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with looking(tmp_path / "repo", monkeypatch) as (made, client):
        assert Drawing(client).summary["counts"]["snapshots"] == 0
        job = await made.write("first")
        row = f"job:{job['jobId']}"
        await drawn(client, lambda one: "> first. " in one.rows.get(row, {}).get("tooltip", ""))
        await made.ended(job)
        await drawn(client, lambda one: one.rows[row]["context"].startswith("worker.done.write"))
        await asyncio.to_thread(made.core.a2.snapshots_store.capture, "a test")
        made.core.manager.publish("conflicts", "")
        await drawn(client, lambda one: one.summary["counts"]["snapshots"] == 1)


async def test_what_was_rolled_back_is_not_changed_by_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with looking(tmp_path / "repo", monkeypatch) as (made, client):
        job = await made.write("work", {"sh": "echo more >> README.md; echo new > new.py"})
        await made.ended(job)
        await drawn(client, lambda one: (one.summary["message"] or "").endswith(" 2 files changed by workers."))
        done = await made.act("codex_rollback", paths=["new.py"])
        await drawn(client, lambda one: one.summary["message"].endswith(" 1 file changed by workers."))
        await made.act("codex_rollback")
        await drawn(client, lambda one: one.summary["message"].endswith(" 0 files changed by workers."))
        await made.act("codex_restore", snapshotId=done["snapshotId"])
        await drawn(client, lambda one: one.summary["message"].endswith(" 1 file changed by workers."))
        assert len((await made.call("codex_result", jobId=job["jobId"]))["touchedFiles"]) == 2


async def test_nothing_is_looked_at_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with looking(tmp_path / "repo", monkeypatch) as (made, client):
        assert made.core in watch._WATCHES
        async with connected(made.core, DRAWS) as other:
            assert Drawing(other).rows == {}
        core, task = made.core, watch._WATCHES[made.core]._task
        assert task is not None
        assert not task.done()
        await client.close()
        await eventually(lambda: core not in watch._WATCHES and task.done())


# -- the setup --------------------------------------------------------------------------------------------------------


class Needs:
    """What the setup of a client said, in order."""

    def __init__(self, env: dict[str, str], top: Path, path: str = "") -> None:
        self.core: Any = SimpleNamespace(
            top=str(top),
            settings=Settings(codex=CodexSettings(path=path)),
            manager=SimpleNamespace(backend=CodexBackend()),
        )
        self.heard: list[str | None] = []
        self.setup = setup.Setup(self.core, env, lambda: self.heard.append(self.setup.need))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.setup.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


def codex_env(home: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "CODEX_HOME": str(home)}


async def test_no_codex_then_one_that_is_not_signed_in_then_one_that_need_not_be(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    needs = Needs(codex_env(home), tmp_path, path=str(tmp_path / "nothing"))
    async with needs.running():
        await eventually(lambda: needs.heard == ["noCodex"])
        # Another setting changes nothing.
        needs.core.settings = msgspec.structs.replace(needs.core.settings, log_level="debug")
        needs.setup.touch()
        assert not needs.setup._again.is_set()
        needs.core.settings = Settings(codex=CodexSettings(path=str(native_codex())))
        needs.setup.touch()
        await eventually(lambda: needs.heard == ["noCodex", "notLoggedIn"])
        write_codex_home(home, "http://127.0.0.1:9/v1")
        needs.setup._again.set()
        await eventually(lambda: needs.heard == ["noCodex", "notLoggedIn", None])


async def test_what_is_missing_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "AGAIN_SECONDS", 0.05)
    home = write_codex_home(tmp_path / "home", "http://127.0.0.1:9/v1")
    wanted = tmp_path / "codex"
    needs = Needs(codex_env(home), tmp_path, path=str(wanted))
    async with needs.running():
        await eventually(lambda: needs.heard == ["noCodex"])
        wanted.symlink_to(native_codex())
        await eventually(lambda: needs.heard == ["noCodex", None])


async def test_the_setup_is_part_of_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with looking(tmp_path / "repo", monkeypatch) as (made, client):
        # The client of these tests has an empty environment: there is no PATH in which a codex could be.
        await drawn(client, lambda one: one.summary["setup"] == "noCodex")
        section = {"codexSidecar": {"codex": {"path": str(native_codex())}}}
        client.notify("workspace/didChangeConfiguration", {"settings": section})
        await drawn(client, lambda one: one.summary["setup"] != "noCodex")
        assert made.core.settings.codex.path == str(native_codex())
