"""Actions of the palette that spawn, stop and name workers: asked by the server, answered by a scripted person."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.lsp.flows import spawning, texts
from sidecar.model.errors import SidecarError
from tests.support.flows import Calls, put
from tests.support.lsp import AnythingInput, AnythingOutput, add_tool, connected
from tests.support.lsp_conflicts import World, overlap, world
from tests.support.person import Person, item, person_at

__all__ = ["world"]


@pytest.fixture
def spawns(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch, "codex_spawn")


@pytest.fixture
def cancels(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch, "codex_cancel")


# -- the request ------------------------------------------------------------------------------------------------------


async def test_an_unknown_action_is_named(world: World) -> None:
    async with person_at(world.core) as person:
        reply = await person.acts("dance")
        assert reply["error"]["data"]["kind"] == "invalid-arguments"
        assert "dance" in reply["error"]["message"]
        assert "spawnFromFile" in reply["error"]["message"]


@pytest.mark.parametrize("params", [None, [], {}, {"action": 3}, {"action": "spawn", "target": []}])
async def test_bad_parameters_are_refused(world: World, params: Any) -> None:
    async with person_at(world.core) as person:
        reply = await person.client.request("codexSidecar/act", params)
        assert reply["error"]["code"] == -32602
        assert person.seen == []


async def test_a_client_without_dialogs_has_no_actions(world: World) -> None:
    async with connected(world.core) as client:
        reply = await client.request("codexSidecar/act", {"action": "spawn"})
        assert "ui.dialogs" in reply["error"]["message"]


async def test_outside_a_repository_there_are_no_actions() -> None:
    async with connected(None, {"ui": {"dialogs": True}}) as client:
        reply = await client.request("codexSidecar/act", {"action": "spawn"})
        assert reply["error"]["data"]["kind"] == "not-a-repository"


async def test_a_client_that_cannot_show_it_ends_the_flow_quietly(world: World, spawns: Calls) -> None:
    async with connected(world.core, {"ui": {"dialogs": True}}) as client:
        name = client.start("codexSidecar/act", {"action": "spawn"})
        asked = await client.wait_for_method("codexSidecar/ui")
        client.send({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}})
        assert (await client.reply(name))["result"] == {}
        assert spawns.made == []


async def test_a_question_holds_up_nothing_and_ends_with_the_connection(world: World, spawns: Calls) -> None:
    async with person_at(world.core) as person:
        del person.client.answers["codexSidecar/ui"]
        waiting = person.client.start("codexSidecar/act", {"action": "spawn"})
        await person.client.wait_for_method("codexSidecar/ui")
        put(world, "w1")
        Person(person.client)
        await person.acts("copyJobId", {"jobId": "job-w1"})
        assert person.client.replies_to(waiting) == []
        person.client.notify("$/cancelRequest", {"id": waiting})
        assert (await person.client.reply(waiting))["error"]["code"] == -32800
    assert spawns.made == []


ASKING = [
    "cancel", "cancelAll", "forceCancel", "openTranscript", "openResult", "openChanges", "openConflict", "showStatus",
    "resolveConflict", "merge", "keepVersion", "dismissConflict", "compare", "rollback", "rollbackWorker", "rerun",
    "rerunSequential", "resume", "rename", "copyPrompt", "copyJobId", "clearWorker", "installBoss", "spawn",
    "spawnFromSelection", "spawnFromFile",
]  # fmt: skip


@pytest.mark.parametrize("action", ASKING)
async def test_escape_at_the_first_question_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Every action that asks, where there is one of everything to choose from."""
    calls = Calls(monkeypatch, "codex_spawn", "codex_spawn_group", "codex_cancel", "codex_resume", "codex_apply_merge")
    put(world, "w1", "running", "src/app.py")
    put(world, "w2", "failed", "src/app.py")
    put(world, "w3", "stopping")
    world.a2.put(overlap(severity="information"))
    before = (world.top / "src/app.py").read_bytes()
    selected = {"uri": world.uri("src/app.py"), "line": 0, "selection": "line 1", "text": TASKS}
    async with person_at(world.core) as person:
        reply = await person.acts(action, None, selected)
        assert reply["result"] == {}
        assert person.seen[0]["kind"] in ("pick", "input", "modal")
        assert len(person.seen) == 1
        assert (calls.made, world.a2.acts) == ([], [])
        assert (world.top / "src/app.py").read_bytes() == before


# -- spawning ---------------------------------------------------------------------------------------------------------


async def test_spawn_asks_for_task_and_sandbox(world: World, spawns: Calls) -> None:
    async with person_at(world.core) as person:
        seen = await person.types("add retries").picks("Can edit files").does("spawn")
        assert spawns.made == [
            ("codex_spawn", {"prompt": "add retries", "sandbox": "workspace-write", "isolation": "shared"})
        ]
        assert [one["title"] for one in seen] == ["Spawn Worker (1/2)", "Spawn Worker (2/2)"]
        read_only = item(seen[1], "Read only")
        assert (read_only["label"], read_only["description"]) == ("$(eye) Read only", "read-only")
        assert read_only["detail"] == "8 of 8 read slots free"


async def test_the_pick_says_where_in_the_queue_a_worker_will_stand(world: World, spawns: Calls) -> None:
    world.core.state = lambda: {  # type: ignore[method-assign]
        "jobs": [],
        "run": None,
        "conflicts": [],
        "limits": {
            "read": {"limit": 8, "running": 1, "queued": 0},
            "write": {"limit": 2, "running": 2, "queued": 1},
        },
    }
    async with person_at(world.core) as person:
        seen = await person.types("x").dismisses("pick").does("spawn")
        assert item(seen[1], "Can edit")["detail"] == "will wait in the queue (position 2)"
        assert item(seen[1], "Read only")["detail"] == "7 of 8 read slots free"
        assert spawns.made == []


@pytest.mark.parametrize("task", ["", "   "])
async def test_an_empty_task_spawns_nothing(world: World, spawns: Calls, task: str) -> None:
    async with person_at(world.core) as person:
        assert len(await person.types(task).does("spawn")) == 1
        assert spawns.made == []


async def test_the_setting_answers_the_second_question(world: World, spawns: Calls) -> None:
    async with person_at(world.core, {"spawn": {"defaultMode": "read-only"}}) as person:
        await person.types("look").does("spawn")
        assert spawns.made[0][1]["sandbox"] == "read-only"


@pytest.mark.parametrize(("typed", "model"), [("gpt-5", "gpt-5"), ("  ", None)])
async def test_the_model_is_asked_for_where_the_setting_says_so(
    world: World, spawns: Calls, typed: str, model: str | None
) -> None:
    async with person_at(world.core, {"spawn.askForModel": True}) as person:
        await person.types("look").picks("Read only").types(typed).does("spawn")
        assert spawns.made[0][1].get("model") == model


async def test_no_model_is_no_worker(world: World, spawns: Calls) -> None:
    async with person_at(world.core, {"spawn.askForModel": True}) as person:
        await person.types("look").picks("Read only").dismisses("input").does("spawn")
        assert spawns.made == []


async def test_the_task_can_be_written_in_an_editor(world: World, spawns: Calls) -> None:
    async with person_at(world.core) as person:
        seen = await person.presses_icon().does("spawn")
        assert seen[0]["button"] == {"id": "editor", "icon": "edit", "tooltip": "Write the task in an editor"}
        assert (seen[1]["kind"], seen[1]["languageId"]) == ("untitled", "markdown")
        assert "Spawn Workers from This File" in seen[1]["content"]
        assert spawns.made == []


def dirty() -> SidecarError:
    return SidecarError("dirty-tree", "3 files have uncommitted changes.", "Commit.", {"count": 3})


async def test_uncommitted_changes_are_asked_about(world: World, spawns: Calls) -> None:
    spawns.errors = [dirty()]
    async with person_at(world.core) as person:
        seen = await person.types("x").picks("Can edit").picks("Use them as the baseline").does("spawn")
        assert seen[2]["title"] == "3 files have uncommitted changes"
        assert [asked.get("on_dirty") for _, asked in spawns.made] == [None, "snapshot"]


async def test_uncommitted_changes_are_shown_instead(world: World, spawns: Calls) -> None:
    spawns.errors = [dirty()]
    async with person_at(world.core) as person:
        seen = await person.types("x").picks("Can edit").picks("Show changes").does("spawn")
        assert seen[-1] == {"kind": "view", "name": "scm"}
        assert len(spawns.made) == 1


REMEMBERED = {
    "kind": "setting", "name": "codexSidecar.baseline.dirtyTree", "value": "snapshot", "target": "user",
}  # fmt: skip


async def test_the_choice_about_uncommitted_changes_is_remembered(world: World, spawns: Calls) -> None:
    spawns.errors = [dirty()]
    async with person_at(world.core) as person:
        person.types("x").picks("Can edit").picks("Remember").picks("Use them as the baseline")
        seen = await person.does("spawn")
        assert [seen[at]["items"][2]["label"] for at in (2, 3)] == [
            "$(circle-large-outline) Remember my choice",
            "$(check) Remember my choice (on)",
        ]
        assert seen[4:] == [REMEMBERED]
        assert [asked.get("on_dirty") for _, asked in spawns.made] == [None, "snapshot"]


@pytest.mark.parametrize("script", [("Remember", "Remember", "Use them"), ("Remember", "Show changes"), ("Remember",)])
async def test_nothing_is_remembered_without_a_choice_to_use_them(
    world: World, spawns: Calls, script: tuple[str, ...]
) -> None:
    spawns.errors = [dirty()]
    async with person_at(world.core) as person:
        person.types("x").picks("Can edit")
        for label in script:
            person.picks(label)
        seen = await person.does("spawn")
        assert all(one["kind"] != "setting" for one in seen)
        assert len(spawns.made) == (2 if script[-1] == "Use them" else 1)


async def test_a_setting_that_cannot_be_written_stops_no_spawn(world: World, spawns: Calls) -> None:
    spawns.errors = [dirty()]
    async with person_at(world.core) as person:
        person.types("x").picks("Can edit").picks("Remember").picks("Use them as the baseline")
        person.refuses["setting"] = "The file has unsaved changes."
        seen = await person.does("spawn")
        assert seen[-1]["message"] == "The choice could not be remembered: The file has unsaved changes."
        assert len(spawns.made) == 2


async def test_escape_at_uncommitted_changes_spawns_nothing(world: World, spawns: Calls) -> None:
    spawns.errors = [dirty()]
    async with person_at(world.core) as person:
        await person.types("x").picks("Can edit").dismisses("pick").does("spawn")
        assert len(spawns.made) == 1


async def test_another_failure_of_spawning_is_the_reply(world: World, spawns: Calls) -> None:
    spawns.errors = [SidecarError("codex-not-found", "No Codex.", "Install it.")]
    async with person_at(world.core) as person:
        person.types("x").picks("Read only")
        reply = await person.acts("spawn")
        assert reply["error"]["data"]["kind"] == "codex-not-found"
        assert reply["error"]["data"]["hint"] == "Install it."


async def test_a_selection_becomes_part_of_the_task(world: World, spawns: Calls) -> None:
    editor = {
        "uri": world.uri("src/app.py"),
        "line": 2,
        "endLine": 4,
        "selection": "line 3\nline 4\n",
        "languageId": "python",
    }
    async with person_at(world.core) as person:
        seen = await person.accepts_text().picks("Read only").does("spawnFromSelection", None, editor)
        assert seen[0]["value"] == "src/app.py:3-4: "
        prompt = spawns.made[0][1]["prompt"]
        assert prompt == "src/app.py:3-4:\n\nsrc/app.py, lines 3-4:\n\n```python\nline 3\nline 4\n```\n"


async def test_without_a_selection_nothing_is_asked(world: World, spawns: Calls) -> None:
    async with person_at(world.core) as person:
        seen = await person.does("spawnFromSelection", None, {"uri": world.uri("src/app.py"), "line": 1})
        assert [(one["kind"], one["message"]) for one in seen] == [("toast", texts.NO_SELECTION)]


TASKS = """\
# Two tasks

Some words before.

## Add retries
Three times.
```sh
## no heading
```

## Type the errors

<!-- not this -->
Use classes.
"""


def test_a_file_has_one_task_for_each_heading() -> None:
    assert spawning.tasks_of(TASKS) == [
        ("Add retries", "Three times.\n```sh\n## no heading\n```"),
        ("Type the errors", "Use classes."),
    ]
    assert spawning.tasks_of("Just this.\nAnd that.") == [("Just this.", "Just this.\nAnd that.")]
    assert spawning.tasks_of(texts.TASK_FILE) == []
    assert spawning.tasks_of("## Alone") == [("Alone", "")]


class Groups(Calls):
    """`codex_spawn_group` with answers of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[list[dict[str, Any]]] = []
        super().__init__(monkeypatch)

        async def handler(caller: Any, asked: Any) -> Any:
            self.made.append(("codex_spawn_group", asked.value or asked.jobs))
            return Results(results=self.answers.pop(0))

        add_tool(monkeypatch, "codex_spawn_group", handler, JobsInput)


class JobsInput(AnythingInput, frozen=True):
    jobs: list[Any] = []


class Results(AnythingOutput, frozen=True):
    results: Any = None


def refused(kind: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": "It is not so.", "hint": "Do that.", "details": {"count": 2}}}


async def test_a_file_spawns_the_tasks_that_are_ticked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups(monkeypatch)
    groups.answers = [[{"jobId": "a"}]]
    async with person_at(world.core) as person:
        person.ticks("Type the errors").picks("Can edit")
        seen = await person.does("spawnFromFile", None, {"uri": "untitled:1", "text": TASKS})
        assert [(one["label"], one["picked"]) for one in seen[0]["items"]] == [
            ("Add retries", True),
            ("Type the errors", True),
        ]
        assert groups.made[0][1] == [
            {"prompt": "Type the errors\n\nUse classes.", "sandbox": "workspace-write"},
        ]


async def test_what_of_a_group_failed_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups(monkeypatch)
    groups.answers = [[{"jobId": "a"}, refused("limit-reached")]]
    async with person_at(world.core) as person:
        person.accepts_ticks().picks("Read only")
        seen = await person.does("spawnFromFile", None, {"text": TASKS})
        assert seen[-1]["message"] == '1 worker spawned. Not spawned: "Type the errors". It is not so. Do that.'


async def test_a_group_asks_once_about_uncommitted_changes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups(monkeypatch)
    groups.answers = [[refused("dirty-tree"), refused("dirty-tree")], [{"jobId": "a"}, {"jobId": "b"}]]
    async with person_at(world.core) as person:
        person.accepts_ticks().picks("Can edit").picks("Use them")
        seen = await person.does("spawnFromFile", None, {"text": TASKS})
        assert [one["kind"] for one in seen] == ["pick", "pick", "pick"]
        assert [one["onDirty"] for one in groups.made[1][1]] == ["snapshot", "snapshot"]
        groups.answers = [[refused("dirty-tree"), {"jobId": "a"}], [{"jobId": "b"}]]
        person.accepts_ticks().picks("Can edit").picks("Remember").picks("Use them")
        assert (await person.does("spawnFromFile", None, {"text": TASKS}))[-1] == REMEMBERED


async def test_a_group_is_asked_for_its_model_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups(monkeypatch)
    groups.answers = [[{"jobId": "a"}, {"jobId": "b"}]]
    async with person_at(world.core, {"spawn": {"askForModel": True, "defaultMode": "read-only"}}) as person:
        await person.accepts_ticks().dismisses("input").does("spawnFromFile", None, {"text": TASKS})
        assert groups.made == []
        await person.accepts_ticks().types("m1").does("spawnFromFile", None, {"text": TASKS})
        assert [one["model"] for one in groups.made[0][1]] == ["m1", "m1"]


@pytest.mark.parametrize("script", [("pick",), ("ticks", "pick")])
async def test_escape_spawns_no_group(world: World, monkeypatch: pytest.MonkeyPatch, script: tuple[str, ...]) -> None:
    groups = Groups(monkeypatch)
    async with person_at(world.core) as person:
        for step in script:
            person.accepts_ticks() if step == "ticks" else person.dismisses(step)
        await person.does("spawnFromFile", None, {"text": TASKS})
        assert groups.made == []


# -- stopping ---------------------------------------------------------------------------------------------------------


async def test_a_worker_without_changes_is_cancelled_at_once(world: World, cancels: Calls) -> None:
    put(world, "w1")
    async with person_at(world.core) as person:
        assert await person.does("cancel", {"jobId": "job-w1"}) == []
        assert cancels.made == [("codex_cancel", {"job_id": "job-w1", "force": False})]


async def test_a_worker_with_changes_is_cancelled_after_a_question(world: World, cancels: Calls) -> None:
    put(world, "w1", "running", "a.py", "b.py")
    async with person_at(world.core) as person:
        (asked,) = await person.clicks("Cancel Worker").does("cancel", {"jobId": "job-w1"})
        assert asked["message"] == 'Cancel w1 "title of w1"?'
        assert asked["detail"].startswith("It has changed 2 files. They stay as they are")
        assert [one["label"] for one in asked["buttons"]] == ["Cancel Worker", "Cancel and Roll Back Its Files..."]
        assert cancels.names == ["codex_cancel"]


async def test_escape_cancels_no_worker(world: World, cancels: Calls) -> None:
    put(world, "w1", "running", "a.py")
    async with person_at(world.core) as person:
        await person.dismisses("modal").does("cancel", {"jobId": "job-w1"})
        assert cancels.made == []


async def test_the_worker_is_asked_for_where_none_is_named(world: World, cancels: Calls) -> None:
    put(world, "w1")
    put(world, "w2", "done")
    put(world, "w3", "queued", activity="waiting for a write slot")
    async with person_at(world.core) as person:
        (asked,) = await person.picks("w1").does("cancel")
        assert asked["title"] == "Which worker?"
        assert [(one["label"], one["description"]) for one in asked["items"]] == [
            ("w3 · title of w3", "queued, waiting for a write slot"),
            ("w1 · title of w1", "running"),
        ]
        assert cancels.made[0][1]["job_id"] == "job-w1"


async def test_all_workers_are_named_before_they_are_cancelled(world: World, cancels: Calls) -> None:
    put(world, "w1", "running", "a.py")
    put(world, "w2", "queued")
    put(world, "w3", "done")
    async with person_at(world.core) as person:
        (asked,) = await person.dismisses("modal").does("cancelAll")
        assert asked["message"] == "Cancel 2 workers?"
        assert asked["detail"].splitlines()[:2] == ['w1 "title of w1": 1 file changed', 'w2 "title of w2"']
        assert cancels.made == []
        await person.clicks("Cancel All Workers").does("cancelAll")
        assert sorted(asked["job_id"] for _, asked in cancels.made) == ["job-w1", "job-w2"]


async def test_force_stop_asks_nothing(world: World, cancels: Calls) -> None:
    put(world, "w1", "stopping", "a.py")
    async with person_at(world.core) as person:
        assert await person.does("forceCancel", {"jobId": "job-w1"}) == []
        assert cancels.made == [("codex_cancel", {"job_id": "job-w1", "force": True})]


async def test_a_conversation_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch, "codex_resume")
    put(world, "w1", "done")
    put(world, "w2")
    async with person_at(world.core) as person:
        seen = await person.picks("w1").types("now the tests").does("resume")
        assert [one["label"] for one in seen[0]["items"]] == ["w1 · title of w1"]
        assert seen[1]["title"] == 'Continue w1 "title of w1"'
        assert calls.made == [("codex_resume", {"job_id": "job-w1", "prompt": "now the tests"})]
        await person.types(" ").does("resume", {"jobId": "job-w1"})
        await person.dismisses("input").does("resume", {"jobId": "job-w1"})
        assert len(calls.made) == 1


async def test_what_was_never_offered_is_no_answer(world: World, cancels: Calls, spawns: Calls) -> None:
    put(world, "w1", "running", "a.py")
    async with person_at(world.core) as person:
        for kind, action in (("modal", "cancel"), ("modal", "cancelAll")):
            person.unasked.append((kind, lambda asked: {"id": "yes"}))
            await person.does(action, {"jobId": "job-w1"})
        person.types("x")
        person.unasked.append(("pick", lambda asked: {"id": "danger-full-access"}))
        await person.does("spawn")
        assert (cancels.made, spawns.made) == ([], [])


# -- small things -----------------------------------------------------------------------------------------------------


async def test_a_job_id_is_copied(world: World) -> None:
    put(world, "w1")
    async with person_at(world.core) as person:
        assert await person.does("copyJobId", {"jobId": "job-w1"}) == [{"kind": "clipboard", "text": "job-w1"}]


async def test_ended_workers_are_cleared_for_every_window(world: World) -> None:
    put(world, "w1", "done")
    put(world, "w2", "done")
    put(world, "w3")
    async with person_at(world.core) as person, person_at(world.core) as other:
        await person.does("clearWorker", {"jobId": "job-w1"})
        state = (await other.client.request("codexSidecar/getState"))["result"]["full"]
        ids = {row["id"] for row in state["rows"]}
        assert "job:job-w1" not in ids
        assert {"job:job-w2", "job:job-w3"} <= ids
        await person.does("clearDone")
        state = (await other.client.request("codexSidecar/getState"))["result"]["full"]
        assert {row["id"] for row in state["rows"]} & {"job:job-w2", "job:job-w3"} == {"job:job-w3"}


async def test_the_list_of_workers_mirrors_the_tree(world: World) -> None:
    put(world, "w1", "failed")
    put(world, "w2")
    async with person_at(world.core) as person:
        seen = await person.picks("w2").does("showStatus")
        labels = [(one["label"], one["detail"]) for one in seen[0]["items"]]
        assert labels == [
            ("$(error) w1 · title of w1", "Needs attention (1)"),
            ("$(loading~spin) w2 · title of w2", "Running (1)"),
        ]
        assert all("{elapsed}" not in one.get("description", "") for one in seen[0]["items"])
        assert seen[1]["kind"] == "open"
        assert "job=job-w2" in seen[1]["uri"]


async def test_next_attention_goes_round(world: World) -> None:
    put(world, "w1", "failed")
    put(world, "w2", "interrupted")
    async with person_at(world.core) as person:
        seen = [one["uri"] for _ in range(3) for one in await person.does("nextAttention")]
        assert ["job-w1" in uri for uri in seen] == [True, False, True]
        assert "job-w2" in seen[1]


async def test_nothing_to_attend_to_is_said(world: World) -> None:
    async with person_at(world.core) as person:
        (told,) = await person.does("nextAttention")
        assert told["message"] == texts.NO_ATTENTION


async def test_an_action_of_a_code_action_without_its_conflict_says_so(world: World) -> None:
    async with person_at(world.core) as person:
        reply = await person.acts("codex_resolve", {"conflictId": "gone", "strategy": "keep"})
        assert reply["error"]["data"]["kind"] == "unknown-conflict"


async def test_two_flows_run_at_once(world: World, spawns: Calls) -> None:
    """The first one's question is open while the second one comes to its end."""
    put(world, "w1", "running", "a.py")
    async with person_at(world.core) as person:
        del person.client.answers["codexSidecar/ui"]
        first = person.client.start("codexSidecar/act", {"action": "cancel", "target": {"jobId": "job-w1"}})
        asked = await person.client.wait_for_method("codexSidecar/ui")
        second = Person(person.client)
        await second.types("x").picks("Read only").does("spawn")
        assert spawns.names == ["codex_spawn"]
        person.client.send({"jsonrpc": "2.0", "id": asked["id"], "result": None})
        assert (await person.client.reply(first))["result"] == {}
