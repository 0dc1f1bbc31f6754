"""Workers are the real Codex CLI: what they can do, what they cannot, and what the model is told."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.worker import private_tmp
from sidecar.worker.contract import REPORT_SCHEMA
from tests.support.repo import git
from tests.support.worker_run import MODELS, Bench, bench, report, script, texts

pytestmark = pytest.mark.codex

PATCH = (
    "*** Begin Patch\n*** Add File: new/c.txt\n+hello\n*** Update File: a.txt\n@@\n one\n-two\n+TWO\n*** End Patch\n"
)


@pytest.fixture(params=MODELS)
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, request.param) as made:
        yield made


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Bench]:
    """For what does not depend on the shape of the tools."""
    async with bench(tmp_path) as made:
        yield made


async def test_a_write_job_patches_runs_and_reports(lab: Bench) -> None:
    done = await lab.run(
        script({"patch": PATCH}, {"sh": "cat a.txt; echo x > shell.txt"}, report("all done", "a.txt", "./new/c.txt"))
    )
    assert (done.status, done.exit_code, done.error) == ("done", 0, None)
    assert (lab.repo / "a.txt").read_text() == "one\nTWO\n"
    assert (lab.repo / "new/c.txt").read_text() == "hello\n"
    assert (lab.repo / "shell.txt").read_text() == "x\n"
    assert {path: touched.change for path, touched in done.tracker.touched.items()} == {
        "a.txt": "modified",
        "new/c.txt": "added",
    }
    answer = done.tracker.report()
    assert (answer.summary, answer.modified_files, answer.missing) == ("all done", ["a.txt", "new/c.txt"], False)
    assert "one\nTWO\n" in done.outputs()
    assert done.tracker.usage is not None
    assert done.tracker.usage.input_tokens == 300
    answer = done.directory / "last-message.txt"
    assert json.loads(answer.read_text())["summary"] == "all done"
    assert answer.stat().st_mode & 0o777 == 0o600, "it is the whole answer, whatever the umask"


async def test_a_read_only_job_reads_and_cannot_write(lab: Bench) -> None:
    done = await lab.run(
        script({"sh": "cat README.md; echo x > w.txt; echo rc=$?"}, {"patch": PATCH}, report("looked")),
        sandbox="read-only",
    )
    assert done.status == "done"
    assert "hello\n" in done.outputs()
    assert "rc=1" in done.outputs()
    assert git(lab.repo, "status", "--porcelain") == ""
    assert done.tracker.touched == {}


async def test_git_and_everything_outside_are_out_of_reach(one: Bench, tmp_path: Path) -> None:
    outside, shared = tmp_path / "outside.txt", Path(f"/tmp/written-by-a-worker-{os.getpid()}")
    commands = (
        f"echo x > b.txt; git add b.txt; echo add=$?; echo y > {outside}; echo out=$?; echo z > {shared}; echo tmp=$?"
    )
    done = await one.run(script({"sh": commands}, report()))
    written = shared.exists()
    shared.unlink(missing_ok=True)
    assert "add=128" in done.outputs()
    assert "out=1" in done.outputs()
    assert "tmp=1" in done.outputs()
    assert not outside.exists()
    assert not written
    assert git(one.repo, "status", "--porcelain") == "?? b.txt\n"


async def test_danger_full_access_has_no_sandbox(one: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    done = await one.run(
        script({"sh": f"echo y > {outside}; git add -A; echo add=$?"}, report()), sandbox="danger-full-access"
    )
    assert outside.read_text() == "y\n"
    assert "add=0" in done.outputs()


async def test_the_temporary_directory_is_private_and_writable_in_the_sandbox(one: Bench) -> None:
    done = await one.run(
        script({"sh": "echo T=$TMPDIR; f=$(mktemp) && echo made=$f; touch $TMPDIR/x"}, report()), keep=True
    )
    tmpdir = private_tmp.root() / f"job-1-{one.root.name}"
    assert f"T={tmpdir}\n" in done.outputs()
    assert f"made={tmpdir}/" in done.outputs()
    assert tmpdir.stat().st_mode & 0o777 == 0o700
    assert (tmpdir / "x").exists()
    one.jobs = 0
    one.backend.cleanup(one.job())
    assert not tmpdir.exists()


async def test_codex_home_below_the_temporary_directory_works(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(f"/tmp/codex-home-{os.getpid()}")
    shutil.copytree(one.home, home)
    try:
        one.env["CODEX_HOME"] = str(home)
        done = await one.run(script({"sh": "echo fine"}, {"patch": PATCH}, report()))
        assert "fine" in done.outputs()
        assert (one.repo / "new/c.txt").exists()
        assert "could not create PATH aliases" not in done.stderr, "TMPDIR is elsewhere, so Codex has no objection"
    finally:
        shutil.rmtree(home)


async def test_a_subdirectory_as_start_and_the_whole_repository_to_write(one: Bench) -> None:
    (one.repo / "sub").mkdir()
    patch = "*** Begin Patch\n*** Add File: ../top.txt\n+x\n*** End Patch\n"
    done = await one.run(
        script({"sh": "pwd; echo x > ../from-shell.txt; echo x > ../.git/x; echo git=$?"}, {"patch": patch}, report()),
        working_directory=str(one.repo / "sub"),
    )
    assert f"{one.repo}/sub\n" in done.outputs()
    assert (one.repo / "from-shell.txt").exists()
    assert "git=1" in done.outputs()
    assert list(done.tracker.touched) == ["top.txt"]
    assert f", which is {one.repo}" in texts(done.requests[0], "developer")[1][0]


async def test_the_report_schema_goes_to_the_model(lab: Bench) -> None:
    done = await lab.run(script(report()))
    assert done.requests[0]["text"]["format"]["schema"] == REPORT_SCHEMA
    assert done.requests[0]["text"]["format"]["strict"] is True


async def test_an_answer_that_breaks_the_schema_is_kept_whole(one: Bench) -> None:
    done = await one.run(script({"message": "I would rather write prose."}))
    assert done.status == "done"
    answer = done.tracker.report()
    assert (answer.summary, answer.modified_files, answer.missing) == ("I would rather write prose.", None, True)


async def test_the_contract_is_a_developer_message_behind_codexs_own_and_the_users(lab: Bench) -> None:
    (lab.repo / "AGENTS.md").write_text("Stop on unexpected changes.\n")
    lab.configure('developer_instructions = "Speak like a pirate."')
    done = await lab.run(script(report()), predecessors=['w1 "first" changed a.txt'])
    developer = texts(done.requests[0], "developer")
    assert developer[0][0].startswith("You are Codex")
    assert developer[1][0].startswith("Speak like a pirate.\n\n# Worker contract\n")
    assert 'w1 "first" changed a.txt' in developer[1][0]
    user = texts(done.requests[0], "user")
    assert "Stop on unexpected changes." in user[0][0], "AGENTS.md is of a lower rank"
    assert user[-1][0].startswith("Please do it. SCRIPT:"), "the prompt goes to the model as it is"


async def test_resuming_goes_on_under_the_contract_and_really_writes(lab: Bench) -> None:
    first = await lab.run(script({"sh": "echo one > one.txt"}, report("first", "one.txt")))
    thread = first.tracker.thread_id
    assert thread is not None
    second = await lab.run(
        script({"sh": "cat one.txt; touch two.txt; echo rc=$?; mktemp"}, {"patch": PATCH}, report("second", "two.txt")),
        resume_thread=thread,
    )
    assert second.status == "done"
    assert second.tracker.thread_id == thread
    assert "one\nrc=0\n" in second.outputs()
    assert (lab.repo / "two.txt").exists()
    assert (lab.repo / "new/c.txt").exists()
    assert second.tracker.report().summary == "second"
    developer = texts(second.requests[0], "developer")
    assert [text for message in developer for text in message if text.startswith("# Worker contract")]
    assert second.requests[0]["text"]["format"]["schema"] == REPORT_SCHEMA
    assert first.tracker.usage is not None
    assert second.tracker.usage is not None
    assert second.tracker.usage.input_tokens == first.tracker.usage.input_tokens + 300, "counted for the conversation"
    assert second.tracker.usage.minus(first.tracker.usage).input_tokens == 300


async def test_resuming_a_read_only_job_stays_read_only(one: Bench) -> None:
    first = await one.run(script(report()), sandbox="read-only")
    second = await one.run(
        script({"sh": "touch two.txt; echo rc=$?"}, report()),
        resume_thread=first.tracker.thread_id,
        sandbox="read-only",
    )
    assert "rc=1" in second.outputs()


async def test_the_users_sandbox_settings_do_not_widen_a_job(one: Bench) -> None:
    one.configure('sandbox_mode = "danger-full-access"\ndefault_permissions = ":danger-full-access"')
    done = await one.run(script({"sh": "touch w.txt; echo rc=$?"}, report()), sandbox="read-only")
    assert "rc=1" in done.outputs()


def offered(request: dict) -> str:
    lite = [item for item in request["input"] if item.get("type") == "additional_tools"]
    return json.dumps([request.get("tools"), lite])


async def test_workers_are_offered_no_agents(lab: Bench) -> None:
    done = await lab.run(script(report()))
    assert "exec_command" in offered(done.requests[0]), "the test looks at the right place"
    assert "spawn_agent" not in json.dumps(done.requests[0])


SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answers = {
            "initialize": {"protocolVersion": message.get("params", {}).get("protocolVersion"),
                           "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}},
            "tools/list": {"tools": [{"name": "codex_spawn", "description": "x", "inputSchema": {"type": "object"}}]},
        }
        answer = answers.get(message["method"])
        body = {"result": answer} if answer else {"error": {"code": -32601, "message": "no"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}), flush=True)
"""


def server_entry(name: str, program: Path, *args: str) -> str:
    shown = ", ".join(json.dumps(one) for one in args)
    return f'\n[mcp_servers.{name}]\ncommand = "{program}"\nargs = [{shown}]\nrequired = true\n'


async def test_the_orchestration_server_of_the_users_configuration_is_not_offered(lab: Bench, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    ours = tmp_path / "bin" / "codex-sidecar"
    ours.parent.mkdir()
    ours.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/server.py"\n')
    ours.chmod(0o755)
    lab.append(server_entry("docs", Path(sys.executable), str(tmp_path / "server.py")))
    done = await lab.run(script(report()))
    assert "mcp__docs" in json.dumps(done.requests[0]), "another server is offered"
    lab.append(server_entry("codex-cli-wrapper", Path(sys.executable), str(tmp_path / "server.py")))
    lab.append(server_entry("renamed", ours, "mcp"))
    (lab.repo / ".codex").mkdir()
    (lab.repo / ".codex/config.toml").write_text(server_entry("of-the-project", ours, "mcp"))
    for trust in ("", f'\n[projects."{lab.repo}"]\ntrust_level = "trusted"\n'):
        lab.append(trust)
        done = await lab.run(script(report()))
        assert done.status == "done", done.stderr
        said = json.dumps(done.requests[0])
        assert "mcp__docs" in said
        for name in ("codex_cli_wrapper", "codex-cli-wrapper", "renamed", "of_the_project", "of-the-project"):
            assert name not in said


async def test_settings_and_config_reach_codex(one: Bench) -> None:
    one.settings = type(one.settings)(
        path=one.settings.path, extra_args=["-c", "model_verbosity=high", "-m", "gpt-5.5"]
    )
    done = await one.run(
        script({"sh": "echo E=$EXTRA"}, report()),
        reasoning_effort="high",
        model="gpt-6.1-sol",
        config={"shell_environment_policy.set": {"EXTRA": 'with "quotes" & spaces'}},
    )
    request = done.requests[0]
    assert request["model"] == "gpt-6.1-sol"
    assert request["reasoning"]["effort"] == "high"
    assert request["text"]["verbosity"] == "high"
    assert 'E=with "quotes" & spaces' in done.outputs()


async def test_the_environment_of_the_front_end_reaches_the_worker(one: Bench) -> None:
    one.env |= {"MY_VARIABLE": "mine", "CODEX_SIDECAR_CODEX": "elsewhere"}
    done = await one.run(script({"sh": "echo V=$MY_VARIABLE; env | grep -c CODEX_SIDECAR_; true"}, report()))
    assert "V=mine\n0\n" in done.outputs()


async def test_the_longest_prompt_is_taken(one: Bench) -> None:
    prompt = script(report("long"))
    done = await one.run("x" * (1_048_576 - len(prompt)) + prompt)
    assert done.tracker.report().summary == "long"
