"""MCP clients that others wrote, on the real `codex-sidecar mcp`: what we took for granted about clients shows here."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import MARKER
from sidecar.mcp import catalog
from sidecar.model.errors import ERROR_KINDS
from tests.support import conformance
from tests.support.codex import native_codex, write_codex_home
from tests.support.mcp_clients import FOLDER, PYTHON, SERVER, Inspector, http_server, needs_clients, run, sdk
from tests.support.raw import no_service_left, services, state_dir
from tests.support.relay import relayed
from tests.support.repo import git, make_repo

NAMES = [tool.name for tool in catalog.listed()]
pytestmark = [needs_clients, pytest.mark.slow, pytest.mark.timeout(180)]
WORKER = shlex.join([sys.executable, "-m", "sidecar.demo.worker"])


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    path = make_repo(tmp_path / "repo", {"a.txt": "one\n"})
    with no_service_left(path):
        yield path


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that play their scripts without Codex."""
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", WORKER)


@pytest.fixture
def codex(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which real Codex workers ask the scripted model."""
    with ScriptedModel() as model:
        home = write_codex_home(tmp_path / "codex", model.url)
        yield {"CODEX_HOME": str(home), "CODEX_SIDECAR_CODEX": str(native_codex())}


def task(*steps: Any, summary: str = "done", files: tuple[str, ...] = ()) -> str:
    return f"{MARKER} {json.dumps([*steps, {'json': {'summary': summary, 'modifiedFiles': list(files)}}])}"


@pytest.mark.codex
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_inspector_lists_the_tools_and_leads_a_worker(repo: Path, codex: dict[str, str], era: str) -> None:
    lead_a_worker(repo, Inspector(era, repo, *SERVER, env={**os.environ, **codex}), era)


def lead_a_worker(repo: Path, inspector: Inspector, era: str) -> None:
    # `--strict` fails where a schema has what some clients or models do not take.
    listed = inspector("tools/list", "--strict")["tools"]
    # The Inspector can handle tasks, which the modern era has.
    assert [tool["name"] for tool in listed] == NAMES + ["codex_run"] * (era == "modern")
    job = inspector.tool(
        "codex_spawn",
        prompt=task({"sh": "echo two >> a.txt"}, summary="added", files=("a.txt",)),
        sandbox="workspace-write",
    )
    waited = inspector.tool("codex_wait_any", jobIds=[job["jobId"]], timeoutMs=50_000)
    assert (waited["completedJobId"], waited["status"]) == (job["jobId"], "done")
    result = inspector.tool("codex_result", jobId=job["jobId"])
    assert (result["finalMessage"], result["modifiedFiles"]) == ("added", ["a.txt"])
    assert (repo / "a.txt").read_text() == "one\ntwo\n"
    if era == "modern":
        run = inspector.tool("codex_run", prompt=task({"sh": "cat a.txt"}, summary="read"))
        assert (run["status"], run["finalMessage"]) == ("done", "read")


@pytest.mark.usefixtures("scripted")
def test_the_typescript_sdk_waits_longer_than_its_time_limit(repo: Path, tmp_path: Path) -> None:
    seen = sdk(long_job(tmp_path, wait_ms=16_000, limit_ms=12_000), "stdio", *SERVER, cwd=repo)
    check_sdk(seen)
    assert seen["waitedMs"] > 12_000, "only progress kept the call alive"
    assert len(seen["progress"]) >= 2
    assert git(repo, "status", "--porcelain") == ""


def long_job(tmp_path: Path, *, wait_ms: int, limit_ms: int) -> dict[str, Any]:
    """A job that ends when the client says so. Progress comes every 5 s: a limit of 12 s leaves a busy machine 7 s."""
    go = tmp_path / "go"
    return {"prompt": until(go, "at last"), "go": str(go), "waitMs": wait_ms, "limitMs": limit_ms}


def until(go: Path, summary: str) -> str:
    """A prompt whose worker ends when the file is there."""
    return task({"sh": f"while [ ! -e {go} ]; do sleep 0.05; done"}, summary=summary)


def check_sdk(seen: dict[str, Any]) -> None:
    """What every client made with the TypeScript SDK must have seen."""
    assert seen["server"]["name"] == "codex-cli-wrapper"
    assert seen["instructions"]
    assert seen["tools"] == NAMES
    assert seen["waited"]["timedOut"] is True
    assert [report["progress"] for report in seen["progress"]] == sorted(r["progress"] for r in seen["progress"])
    assert seen["progress"]
    assert seen["impatient"] == -32001, "the SDK's own code for a time-out"
    assert "enough" in seen["aborted"]
    assert seen["during"] in ("starting", "running"), "a wait that is given up leaves the job alone"
    assert seen["refused"]["isError"] is True
    assert seen["refused"]["structuredContent"]["details"]["field"] == "prompt"
    assert seen["completed"] == seen["job"]["jobId"]
    assert (seen["result"]["status"], seen["result"]["finalMessage"]) == ("done", "at last")


@pytest.mark.usefixtures("scripted")
def test_fastmcp_handles_jobs_as_tasks(repo: Path, tmp_path: Path) -> None:
    job = {"quick": task(summary="quickly"), "slow": until(tmp_path / "go", "slowly"), "go": str(tmp_path / "go")}
    seen = json.loads(run(PYTHON, FOLDER / "tasks_client.py", json.dumps(job), *SERVER, cwd=repo))
    assert seen["tools"] == [*NAMES, "codex_run"]
    assert (seen["awaited"]["status"], seen["awaited"]["finalMessage"]) == ("done", "quickly")
    assert seen["first"] == "working"
    assert (seen["status"]["title"], seen["status"]["label"]) == ("slow", "w2")
    assert (seen["result"]["jobId"], seen["result"]["finalMessage"]) == (seen["status"]["jobId"], "slowly")
    assert (seen["last"], seen["cancelled"]["status"]) == ("cancelled", "cancelled")
    assert git(repo, "status", "--porcelain") == ""


# -- mcp-fuzzer -------------------------------------------------------------------------------------------------------

RECORDED = """#!/bin/sh
tee -a {out}/asked | {server} | tee -a {out}/answered
"""


@pytest.mark.usefixtures("scripted")
def test_the_fuzzer_finds_no_crash_no_hang_and_no_change(repo: Path, tmp_path: Path) -> None:
    """Its own verdict counts valid input that is accepted as a finding, so only its crashes count; the rest we judge.

    Some of what it sends is no JSON (NaN): to that the answer has no id, and it waits out its time limit.
    """
    run_cli(repo, "status")
    server = tmp_path / "server"
    server.write_text(RECORDED.format(out=tmp_path, server=shlex.join(SERVER)))
    server.chmod(0o700)
    for mode in ("tools", "protocol"):
        options = {"mode": mode, "phase": "both", "protocol-phase": "aggressive", "protocol": "stdio", "seed": "15"}
        options |= {"runs": "10", "runs-per-type": "5", "timeout": "5", "endpoint": str(server)}
        options |= {"fs-root": str(tmp_path), "output-dir": str(tmp_path / "report")}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        said = run(PYTHON.with_name("mcp-fuzzer"), *words, "--no-network", "--no-corpus", cwd=repo)
        if mode == "tools":
            assert "Total Crashes: 0" in said
            assert "Total Exceptions: 0" in said
    asked, not_json = [], 0
    for line in (tmp_path / "asked").read_text().splitlines():
        try:
            asked.append(json.loads(line, parse_constant=_refuse))
        except ValueError:
            not_json += 1
    answered = [json.loads(line) for line in (tmp_path / "answered").read_text().splitlines()]
    replies = [one for one in answered if "method" not in one]
    ids = [json.dumps(one["id"]) for one in replies if one["id"] is not None]
    requests = {json.dumps(one["id"]) for one in asked if isinstance(one, dict) and "id" in one and "method" in one}
    assert len(requests) > 350, "the fuzzer worked"
    assert sorted(ids) == sorted(requests), "each request has one answer"
    assert [one["error"]["code"] for one in replies if one["id"] is None] == [-32700] * not_json
    assert {one["error"]["code"] for one in replies if "error" in one} <= {-32700, -32600, -32601, -32602}
    refused = [one["result"] for one in replies if one.get("result", {}).get("isError")]
    assert {one["structuredContent"]["kind"] for one in refused} <= set(ERROR_KINDS) - {"internal"}
    assert len(refused) > 100
    # The sidecar is the one that was started first, it answers, and nothing was written.
    log = (state_dir(repo) / "sidecar.log").read_text()
    assert "Traceback" not in log
    assert log.count(" listens on ") == 1
    assert len(services(repo)) == 1
    assert run_cli(repo, "status")["limits"]
    assert git(repo, "status", "--porcelain", "--ignored") == ""
    assert git(repo, "rev-list", "--count", "--branches").strip() == "1"


def _refuse(name: str) -> None:
    raise ValueError(name)


# -- Streamable HTTP --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("scripted")
def test_the_typescript_sdk_over_http(repo: Path, tmp_path: Path) -> None:
    with http_server(repo) as (url, token):
        seen = sdk(long_job(tmp_path, wait_ms=6_000, limit_ms=60_000), "http", url, token, cwd=repo)
    check_sdk(seen)
    assert token not in json.dumps(seen)


@pytest.mark.codex
def test_inspector_over_http(repo: Path, codex: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in codex.items():
        monkeypatch.setenv(name, value)
    with http_server(repo) as (url, token):
        inspector = Inspector("modern", repo, "--server-url", url, "--header", f"Authorization: Bearer {token}")
        lead_a_worker(repo, inspector, "modern")


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("part", "scenarios"), [*zip(conformance.ERAS, (33, 40), strict=True), ("tasks", 10)], ids=lambda value: str(value)
)
def test_the_conformance_suite_finds_what_docs_say(repo: Path, tmp_path: Path, part: str, scenarios: int) -> None:
    with http_server(repo) as (url, token):
        job = run_cli(repo, "spawn", task(summary="read me"))["jobId"]
        run_cli(repo, "wait-any", job)
        with relayed(url, token, conformance.fixtures(job)) as relay:
            found = conformance.run(relay, tmp_path / "out", part)
    for one in run_cli(repo, "status")["jobs"]:
        if one["finishedAt"] is None:
            run_cli(repo, "cancel", one["jobId"], "--force")
    statuses = [not words for seen in found.values() for words in seen.values()]
    print(f"{part}: {len(found)} scenarios, {statuses.count(True)} checks passed, {statuses.count(False)} failed")
    assert conformance.surprises(found, conformance.exceptions()) == []
    assert len(found) == scenarios
    assert git(repo, "status", "--porcelain") == ""


def test_an_exception_that_passes_is_a_surprise_too() -> None:
    known = {("one", "a"): "why", ("two", "b"): "why", ("three", "c"): "why"}
    found = {"one": {"a": "still fails", "new": "fails"}, "two": {"b": "", "fine": ""}}
    assert conformance.surprises(found, known) == [
        "one new failed: fails",
        "two b did not fail: take it out of the exceptions",
    ]
    names = {f"{scenario} {check}" for scenario, check in conformance.exceptions()}
    assert len(names) == sum(map(len, json.loads(conformance.EXCEPTIONS.read_text()).values())), "each stands once"


def run_cli(repo: Path, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(sys.executable, "-m", "sidecar", *words, "--json", cwd=repo))
    return answer
