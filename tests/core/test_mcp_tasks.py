"""Jobs as tasks (`io.modelcontextprotocol/tasks`): who gets one, what it answers, and that it is the job itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.script import MARKER
from sidecar.mcp import catalog, tasks, texts
from sidecar.mcp.catalog import input_schema
from sidecar.tools import table
from tests.support.mcp import META, RawClient, checked, connected, serving
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until

DECLARED = META | {"io.modelcontextprotocol/clientCapabilities": {"extensions": {tasks.IDENTIFIER: {}}}}
MISSING_CAPABILITY = -32021
REPORT = {"json": {"summary": "the end", "modifiedFiles": []}}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": "one\n"})


def prompt(*steps: Any) -> str:
    return f"{MARKER} {json.dumps(steps)}"


def hold(go: Path) -> dict[str, str]:
    return {"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}


async def ask(client: RawClient, method: str, meta: dict[str, Any] = DECLARED, **params: Any) -> dict[str, Any]:
    """The whole reply, an error too."""
    return await client.request(method, {**params, "_meta": meta})


async def run(client: RawClient, *steps: Any, meta: dict[str, Any] = DECLARED, **more: Any) -> dict[str, Any]:
    arguments = {"prompt": prompt(*steps), **more}
    return await ask(client, "tools/call", meta, name="codex_run", arguments=arguments)


async def get(client: RawClient, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(client, "tasks/get", taskId=task_id))["result"]
    return found


async def finished(client: RawClient, task_id: str) -> dict[str, Any]:
    while (task := await get(client, task_id))["status"] == "working":
        await asyncio.sleep(0.05)
    return task


async def job_of(round_: Round, task_id: str) -> dict[str, Any]:
    return await round_.call("codex_status", jobId=task_id)


async def test_a_task_is_a_job_and_its_result_is_that_of_codex_result(repo: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        made = (await run(client, hold(go), REPORT, title="look", sandbox="read-only"))["result"]
        assert made["resultType"] == "task"
        assert set(made) == {
            "resultType", "taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs",
            "_meta",
        }  # fmt: skip
        assert (made["status"], made["ttlMs"]) == ("working", None)
        assert isinstance(made["pollIntervalMs"], int)
        # It was on disk before the answer, under the same id.
        job = await round_.core.journal.job(made["taskId"])
        assert job is not None
        assert (job.title, job.frontend) == ("look", "mcp")
        working = await get(client, made["taskId"])
        assert (working["resultType"], working["status"]) == ("complete", "working")
        assert "result" not in working
        go.touch()
        task = await finished(client, made["taskId"])
        assert task["status"] == "completed"
        assert task["createdAt"] == made["createdAt"]
        assert task["lastUpdatedAt"] > made["createdAt"]
        result = checked(task["result"])
        assert result["isError"] is False
        assert result["structuredContent"] == await round_.call("codex_result", jobId=made["taskId"])
        assert result["structuredContent"]["finalMessage"] == "the end"
        assert (await ask(client, "tasks/cancel", taskId=made["taskId"]))["result"]["resultType"] == "complete"
        assert (await get(client, made["taskId"]))["status"] == "completed"


async def test_a_worker_that_failed_is_a_completed_task_with_an_error(repo: Path) -> None:
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        made = (await run(client, {"http": 400, "body": {"error": {"message": "no model today"}}}))["result"]
        task = await finished(client, made["taskId"])
        assert (await job_of(round_, made["taskId"]))["status"] == "failed"
        assert task["status"] == "completed"
        assert "error" not in task
        result = checked(task["result"])
        assert result["isError"] is True
        assert result["structuredContent"]["status"] == "failed"
        assert result["structuredContent"]["error"]["kind"]


async def test_cancel_is_polite_answers_at_once_and_leaves_nothing_alive(repo: Path, tmp_path: Path) -> None:
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        made = (await run(client, hold(tmp_path / "never"), REPORT))["result"]
        await until(lambda: round_.core.manager.live[made["taskId"]].job.status == "running")
        answer = (await ask(client, "tasks/cancel", taskId=made["taskId"]))["result"]
        assert set(answer) <= {"resultType", "_meta"}
        # Of the job itself, which may have ended by now.
        cancel = (await round_.core.manager.job(made["taskId"])).cancel
        assert cancel is not None
        assert cancel.force is False
        task = await finished(client, made["taskId"])
        assert task["status"] == "cancelled"
        assert not {"result", "error"} & set(task)
        assert (await job_of(round_, made["taskId"]))["status"] == "cancelled"


async def test_every_job_of_the_repository_is_a_task_also_after_a_restart(repo: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with open_round(repo) as round_:
        spawned = await round_.call("codex_spawn", prompt=prompt(hold(go), REPORT))
        async with serving(round_.core, round_.caller.client.env) as (client, _):
            made = (await run(client, hold(go), REPORT))["result"]
        await round_.restart()
        async with serving(round_.core, round_.caller.client.env) as (client, _):
            assert (await get(client, made["taskId"]))["status"] == "working"
            go.touch()
            for task_id in (made["taskId"], spawned["jobId"]):
                task = await finished(client, task_id)
                assert task["result"]["structuredContent"]["finalMessage"] == "the end"


async def test_a_spawn_that_is_refused_is_a_plain_error(repo: Path) -> None:
    (repo / "app.py").write_text("changed\n")
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        dirty = (await run(client, REPORT, sandbox="workspace-write"))["result"]
        assert (dirty["isError"], dirty["structuredContent"]["kind"]) == (True, "dirty-tree")
        assert dirty["resultType"] == "complete"
        wrong = (await run(client, REPORT, isolatoin="shared"))["result"]
        assert wrong["structuredContent"]["details"]["field"] == "isolatoin"
        assert (await round_.call("codex_status"))["jobs"] == []
    assert git(repo, "status", "--porcelain").strip() == "M app.py"


@pytest.mark.parametrize("capabilities", [{}, {"extensions": {}}, {"extensions": {"io.modelcontextprotocol/ui": {}}}])
async def test_a_client_that_does_not_declare_tasks_is_told_what_to_use(
    repo: Path, capabilities: dict[str, Any]
) -> None:
    meta = META | {"io.modelcontextprotocol/clientCapabilities": capabilities}
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        listed = (await ask(client, "tools/list", meta))["result"]["tools"]
        assert "codex_run" not in {tool["name"] for tool in listed}
        error = (await run(client, REPORT, meta=meta))["error"]
        assert error["code"] == MISSING_CAPABILITY
        assert error["data"] == {"requiredCapabilities": {"extensions": {tasks.IDENTIFIER: {}}}}
        assert "codex_spawn" in error["message"]
        assert "codex_wait_any" in error["message"]
        for method in sorted(tasks.METHODS):
            reply = await ask(client, method, meta, taskId="x", inputResponses={})
            assert reply["error"]["code"] == MISSING_CAPABILITY, method
        listen = await ask(client, "subscriptions/listen", meta, notifications={"taskIds": ["x"]})
        assert listen["error"]["code"] == MISSING_CAPABILITY
        assert (await round_.call("codex_status"))["jobs"] == []


async def test_the_older_protocols_know_nothing_of_it() -> None:
    async with serving() as (client, _):
        capabilities = {"extensions": {tasks.IDENTIFIER: {}}}
        params = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "r"}}
        answer = await client.request("initialize", {**params, "clientInfo": {"name": "raw", "version": "1"}})
        assert "extensions" not in answer["result"]["capabilities"]
        assert "tasks" not in answer["result"]["capabilities"]
        client.notify("notifications/initialized")
        tools = (await client.request("tools/list"))["result"]["tools"]
        assert "codex_run" not in {tool["name"] for tool in tools}
        assert "taskSupport" not in json.dumps(tools)
        reply = await client.request("tools/call", {"name": "codex_run", "arguments": {"prompt": "x"}})
        assert "codex_spawn" in reply["error"]["message"]
        for method in (*sorted(tasks.METHODS), "tasks/list", "tasks/result"):
            params = {"taskId": "x", "inputResponses": {}}
            assert (await client.request(method, params))["error"]["code"] == -32601, method


async def test_unknown_tasks_and_methods_are_refused_by_their_codes(repo: Path) -> None:
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        capabilities = (await ask(client, "server/discover"))["result"]["capabilities"]
        assert capabilities["extensions"] == {tasks.IDENTIFIER: {}}
        for method in sorted(tasks.METHODS):
            for bad in ("no-such-job", "../../etc/passwd", "x" * 10_000, ""):
                error = (await ask(client, method, taskId=bad, inputResponses={}))["error"]
                assert error["code"] == -32602, (method, bad)
                assert len(json.dumps(error)) < 1_000
            for wrong in (5, None, ["x"]):
                assert (await ask(client, method, taskId=wrong, inputResponses={}))["error"]["code"] == -32602
            assert (await ask(client, method, inputResponses={}))["error"]["code"] == -32602
        for method in ("tasks/list", "tasks/result", "tasks/wait"):
            assert (await ask(client, method, taskId="x"))["error"]["code"] == -32601
        made = (await run(client, REPORT))["result"]
        assert (await ask(client, "tasks/update", taskId=made["taskId"]))["error"]["code"] == -32602
        # No task asks for input; the specification wants such answers to be ignored.
        update = await ask(client, "tasks/update", taskId=made["taskId"], inputResponses={"name": {"action": "accept"}})
        assert set(update["result"]) <= {"resultType", "_meta"}
        assert (await finished(client, made["taskId"]))["status"] == "completed"


async def test_a_cancelled_call_leaves_no_half_made_task(repo: Path) -> None:
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        await ask(client, "server/discover")
        name = client.start(
            "tools/call", {"name": "codex_run", "arguments": {"prompt": prompt(REPORT)}, "_meta": DECLARED}
        )
        client.notify("notifications/cancelled", {"requestId": name})
        assert "result" in await ask(client, "tools/list")
        jobs = (await round_.call("codex_status"))["jobs"]
        # Either it came too late or there is no job; a job that is there ends like any other.
        for job in jobs:
            assert (await finished(client, job["jobId"]))["status"] == "completed"


async def test_outside_a_repository() -> None:
    async with serving(None) as (client, _):
        refused = (await run(client, REPORT))["result"]
        assert refused["structuredContent"]["kind"] == "not-a-repository"
        assert (await ask(client, "tasks/get", taskId="x"))["error"]["code"] == -32602


async def test_the_spawn_of_the_six_tools_never_becomes_a_task(repo: Path) -> None:
    async with open_round(repo) as round_, serving(round_.core, round_.caller.client.env) as (client, _):
        arguments = {"prompt": prompt(REPORT)}
        reply = await ask(client, "tools/call", name="codex_spawn", arguments=arguments)
        result = checked(reply["result"])
        assert result["resultType"] == "complete"
        assert set(result["structuredContent"]) >= {"jobId", "label", "status", "queuePosition"}
        await round_.ended(result["structuredContent"])


async def test_what_a_model_of_a_declaring_client_reads_is_below_six_kilobytes_too() -> None:
    async with serving() as (client, _):
        tools = (await ask(client, "tools/list"))["result"]["tools"]
        assert [tool["name"] for tool in tools] == [tool.name for tool in catalog.listed()] + ["codex_run"]
        shown = [{key: tool[key] for key in ("name", "description", "inputSchema")} for tool in tools]
        text = json.dumps(shown, ensure_ascii=False, separators=(",", ":")) + texts.INSTRUCTIONS
        assert len(text.encode()) < 6_000


async def test_the_listed_input_of_codex_run_is_a_part_of_that_of_codex_spawn() -> None:
    small, full = input_schema(table.RUN.input_schema, table.RUN.shown), table.RUN.input_schema
    assert full == table.BY_NAME["codex_spawn"].input_schema
    assert small["required"] == full["required"]
    assert set(small["properties"]) < set(full["properties"])
    assert "additionalProperties" not in small
    async with connected() as client:
        tools = (await client.request("tools/list"))["result"]["tools"]
        assert len(tools) == len(catalog.listed())
