"""The bundled model and the bundled worker: they play scripts, and the real Codex CLI works with the model."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.items import Toolbox, output_item
from sidecar.demo.model import ScriptedModel, plan
from sidecar.demo.patch import apply_patch
from sidecar.demo.script import Modifiers, find_script
from sidecar.model.settings import CodexSettings
from sidecar.worker.stream import StreamParser
from tests.support.raw import wait_until
from tests.support.worker_run import MODELS, bench, report, script

ECHO = {"type": "namespace", "name": "mcp__jobs", "tools": [{"type": "function", "name": "echo"}]}
EXEC = {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}
DIRECT: dict[str, Any] = {
    "tools": [{"type": "function", "name": "exec_command"}, {"type": "custom", "name": "apply_patch"}, ECHO]
}
CODE_MODE: dict[str, Any] = {"input": [{"type": "additional_tools", "tools": [EXEC]}]}


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def called(name: str, call_id: str, output: Any = "ok") -> list[dict[str, Any]]:
    return [
        {"type": "function_call", "name": name, "call_id": call_id},
        {"type": "function_call_output", "call_id": call_id, "output": output},
    ]


def ask(model: ScriptedModel, text: str, *later: dict[str, Any], **more: Any) -> tuple[int, list[dict[str, Any]]]:
    body = {"model": "m", "input": [user(text), *later], "prompt_cache_key": "thread", **DIRECT, **more}
    request = urllib.request.Request(f"{model.url}/responses", json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            events = answer.read().decode().split("\n\n")
            return answer.status, [json.loads(one.split("data: ", 1)[1]) for one in events if 'data: {"' in one]
    except urllib.error.HTTPError as exc:
        return exc.code, [json.loads(exc.read())]


def items(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


# -- scripts ----------------------------------------------------------------------------------------------------


def test_a_script_is_found_in_any_text() -> None:
    assert find_script("no script here") is None
    steps = find_script(
        'Do it. SCRIPT: [{"sh": "ls", "delay": 1, "usage": [7]}, [{"message": "a"}, {"stall": 2}]] Bye.'
    )
    assert steps is not None
    assert [step.actions for step in steps] == [({"sh": "ls"},), ({"message": "a"},)]
    assert steps[0].modifiers == Modifiers(delay=1, usage=(7, 0, 0, 0))
    assert steps[1].modifiers.stall == 2


@pytest.mark.parametrize("text", ["SCRIPT: [", "SCRIPT: {}", "SCRIPT: [3]", "SCRIPT:", 'SCRIPT: [{"usage": 3}]'])
def test_a_broken_script_says_so(text: str) -> None:
    steps = find_script(text)
    assert steps is not None
    assert "bad script" in steps[0].actions[0]["json"]["summary"]


def test_the_step_follows_from_the_outputs_since_the_newest_script() -> None:
    first = user('SCRIPT: [{"sh": "a"}, {"sh": "b"}, {"message": "end"}]')
    second = user('SCRIPT: [{"sh": "c"}, {"message": "second end"}]')

    def action(*inputs: dict[str, Any]) -> dict[str, Any]:
        return plan({"input": list(inputs)})[0].actions[0]

    assert action(first) == {"sh": "a"}
    assert action(first, *called("exec_command", "1")) == {"sh": "b"}
    played = [*called("exec_command", "1"), *called("exec_command", "2")]
    assert action(first, *played) == {"message": "end"}
    assert action(first, *played, second) == {"sh": "c"}
    assert action(first, *played, second, *called("exec_command", "3"), user("go on")) == {"message": "second end"}
    over = action(first, *played, *called("exec_command", "4"))
    assert over["json"]["summary"] == "The script is over."


def test_two_calls_of_one_answer_are_one_step() -> None:
    both = [
        call for index in (0, 1) for call in (called("exec_command", "1")[index], called("exec_command", "2")[index])
    ]
    steps = user('SCRIPT: [[{"sh": "a"}, {"sh": "b"}], {"message": "end"}]')
    assert plan({"input": [steps, *both]})[0].actions == ({"message": "end"},)


def test_a_command_that_still_runs_is_waited_for() -> None:
    steps = user('SCRIPT: [{"sh": "sleep 99"}, {"message": "end"}]')
    running = called("exec_command", "1", "Process running with session ID 71")
    action = plan({"input": [steps, *running]})[0].actions[0]
    assert (action["call"], action["args"]["session_id"]) == ("write_stdin", 71)
    still = called("write_stdin", "2", "Process running with session ID 71")
    assert plan({"input": [steps, *running, *still]})[0].actions[0]["call"] == "write_stdin"
    over = called("write_stdin", "3", "Process exited with code 0")
    assert plan({"input": [steps, *running, *still, *over]})[0].actions == ({"message": "end"},)
    left = user('SCRIPT: [{"sh": "sleep 99", "leave": true}, {"message": "end"}]')
    assert plan({"input": [left, *running]})[0].actions == ({"message": "end"},)


def test_actions_take_the_shape_of_the_offered_tools() -> None:
    direct, code = Toolbox(DIRECT), Toolbox(CODE_MODE)
    assert not direct.code_mode
    assert code.code_mode
    assert output_item({"sh": "ls"}, direct)["name"] == "exec_command"
    assert output_item({"patch": "p"}, direct) | {"id": "", "call_id": ""} == {
        "id": "", "call_id": "", "name": "apply_patch", "type": "custom_tool_call", "input": "p"}  # fmt: skip
    echo = output_item({"mcp": "mcp__jobs__echo", "args": {"a": 1}}, direct)
    assert (echo["name"], echo["namespace"], json.loads(echo["arguments"])) == ("echo", "mcp__jobs", {"a": 1})
    for action in ({"sh": "ls"}, {"patch": "p"}, {"mcp": "mcp__jobs__echo"}, {"js": "text(1)"}):
        item = output_item(action, code)
        assert (item["type"], item["name"], item["namespace"]) == ("custom_tool_call", "exec", "functions")


# -- the server -------------------------------------------------------------------------------------------------


def test_an_answer_and_what_was_asked() -> None:
    with ScriptedModel() as model:
        assert model.url.startswith("http://127.0.0.1:")
        status, events = ask(model, script([{"reasoning": "hm"}, {"message": "hello", "usage": [1, 2, 3, 4]}]))
        assert status == 200
        assert [event["type"] for event in events if "output" not in event["type"]] == [
            "response.created",
            "response.completed",
        ]
        assert [item["type"] for item in items(events)] == ["reasoning", "message"]
        assert events[-1]["response"]["usage"]["input_tokens"] == 1
        assert model.requests[0]["input"][0]["role"] == "user"
        _, events = ask(model, "no script")
        assert json.loads(items(events)[0]["content"][0]["text"]) == {"summary": "ok", "modifiedFiles": []}
        assert len(model.requests) == 2


def test_failures_as_often_as_the_script_says() -> None:
    with ScriptedModel() as model:
        flaky = script({"http": 503, "times": 2, "headers": {"retry-after": "1"}, "message": "then"})
        assert [ask(model, flaky)[0] for _ in range(3)] == [503, 503, 200]
        assert ask(model, flaky, prompt_cache_key="another thread")[0] == 503
        status, body = ask(model, script({"http": 418, "body": {"error": {"message": "teapot"}}}))
        assert (status, body) == (418, [{"error": {"message": "teapot"}}])


@pytest.mark.parametrize(
    ("how", "last"),
    [
        ("truncated", "response.output_item.done"),
        ("failed", "response.failed"),
        ("incomplete", "response.incomplete"),
        ("empty", None),
        ("malformed", None),
    ],
)
def test_broken_streams(how: str, last: str | None) -> None:
    with ScriptedModel() as model:
        _, events = ask(model, script({"sse": how, "message": "x"}))
        assert (events[-1]["type"] if events else None) == last


def test_a_reset_connection() -> None:
    with ScriptedModel() as model, pytest.raises(ConnectionError):
        ask(model, script({"sse": "reset"}))


def test_stopping_cuts_an_answer_that_hangs() -> None:
    model = ScriptedModel().start()
    ended: list[float] = []

    def wait_for_answer() -> None:
        ask(model, script({"sse": "hang"}))
        ended.append(time.monotonic())

    asking = threading.Thread(target=wait_for_answer)
    asking.start()
    wait_until(lambda: model.requests, "the model is asked")
    time.sleep(0.2)
    assert not ended
    model.stop()
    asking.join(20)
    assert ended


def test_delays_are_real() -> None:
    with ScriptedModel() as model:
        began = time.monotonic()
        ask(model, script({"message": "x", "delay": 0.2, "stall": 0.2}))
        assert time.monotonic() - began >= 0.4


def test_as_a_program(tmp_path: Path) -> None:
    port = tmp_path / "port"
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar.demo.model", "--port-file", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port.read_text().strip()}/v1"
        with urllib.request.urlopen(f"{url}/models", timeout=20) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


@pytest.mark.parametrize("module", ["model", "worker"])
def test_they_need_the_standard_library_only(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import sidecar.demo.{module}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    roots = {name.split(".")[0] for name in done.stdout.split()}
    assert roots - {"sidecar"} <= set(sys.stdlib_module_names)


# -- with the real Codex CLI ------------------------------------------------------------------------------------


@pytest.mark.codex
@pytest.mark.parametrize("name", MODELS)
async def test_codex_plays_a_script_with_both_shapes_of_tools(tmp_path: Path, name: str) -> None:
    polls = 1 if name == MODELS[0] else 0
    go = tmp_path / "go"
    async with bench(tmp_path, name) as lab:

        async def let_go() -> None:
            """Once the model was told that the command still runs; in code mode the model is not asked again."""
            while len(lab.model.requests) < 3 + polls:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0 if polls else 0.7)
            go.touch()

        going = asyncio.create_task(let_go())
        done = await lab.run(
            script(
                [{"reasoning": "**Thinking**"}, {"sh": "echo hi; exit 3"}],
                [{"web_search": "what"}, {"patch": "*** Begin Patch\n*** Add File: n.txt\n+x\n*** End Patch"}],
                {"sh": f"until [ -e {go} ]; do sleep 0.1; done; echo late", "args": {"yield_time_ms": 300}},
                {"usage": [5, 4, 3, 2], **report("all", "n.txt")},
            )
        )
        await going
    assert done.status == "done"
    assert [event.content["kind"] for event in done.events] == [
        "thread-started", "turn-started", "reasoning", "command", "command", "web_search", "web_search",
        "file_change", "file_change", "command", "command", "message", "turn-completed",
    ]  # fmt: skip
    assert [one["exitCode"] for one in done.of_kind("command")] == [None, 3, None, 0]
    assert "late" in done.of_kind("command")[-1]["output"]
    assert done.tracker.report().modified_files == ["n.txt"]
    assert done.tracker.usage is not None
    assert done.tracker.usage.input_tokens == 100 * (3 + polls) + 5


async def test_the_backend_runs_the_bundled_worker_like_codex(tmp_path: Path) -> None:
    async with bench(tmp_path) as lab:
        lab.settings = CodexSettings()
        lab.env["CODEX_SIDECAR_CODEX"] = f"'{sys.executable}' -m sidecar.demo.worker"
        steps = ({"sh": "echo $TMPDIR > where"}, {"sh": "pwd"}, report("did", "where"))
        done = await lab.run(script(*steps), config={"x.y": "z"}, model="any", reasoning_effort="high")
        assert done.status == "done"
        assert done.outputs() == f"{lab.repo}\n"
        assert "job-1" in (lab.repo / "where").read_text()
        assert done.tracker.report().modified_files == ["where"]
        again = await lab.run(script(report("again")), resume_thread=done.tracker.thread_id)
        assert again.tracker.thread_id == done.tracker.thread_id


# -- the bundled worker -----------------------------------------------------------------------------------------


def work(prompt: str, cwd: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[bytes], StreamParser, list[str]]:
    command = [
        sys.executable,
        "-m",
        "sidecar.demo.worker",
        *(arguments or ("exec", "--json", "-s", "workspace-write", "-")),
    ]
    done = subprocess.run(command, cwd=cwd, input=prompt.encode(), capture_output=True, timeout=30, env={**os.environ})
    parser = StreamParser(str(cwd))
    kinds = [str(parser.parse(line).content["kind"]) for line in done.stdout.splitlines() if line]
    return done, parser, kinds


def test_the_bundled_worker_prints_what_codex_prints(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    patch = "*** Begin Patch\n*** Add File: d/n.txt\n+x\n*** Update File: a.txt\n@@\n one\n-two\n+TWO\n*** End Patch"
    done, parser, kinds = work(
        script([{"reasoning": "hm"}, {"sh": "echo hi; exit 3"}], {"patch": patch}, report("did", "a.txt", "d/n.txt")),
        tmp_path,
        *["exec", "-c", "a=b", "--json", "-s", "workspace-write", "-o", str(tmp_path / "last"), "-"],
    )
    assert done.returncode == 0
    assert kinds == ["thread-started", "turn-started", "reasoning", "command", "command", "file_change", "file_change",
                     "message", "turn-completed"]  # fmt: skip
    assert (tmp_path / "a.txt").read_text() == "one\nTWO\nthree\n"
    assert {path: file.change for path, file in parser.touched.items()} == {"d/n.txt": "added", "a.txt": "modified"}
    assert parser.report().modified_files == ["a.txt", "d/n.txt"]
    assert json.loads((tmp_path / "last").read_text())["summary"] == "did"
    assert parser.usage is not None
    assert parser.usage.input_tokens == 300


def test_the_bundled_worker_resumes_under_the_same_thread_and_keeps_a_read_only_job_from_patching(
    tmp_path: Path,
) -> None:
    patch = "*** Begin Patch\n*** Add File: n.txt\n+x\n*** End Patch"
    for arguments in (
        ["exec", "--json", "-s", "read-only", "-c", "x=1", "resume", "thread-7", "-"],
        ["exec", "resume", "--json", "-c", 'sandbox_mode="read-only"', "-c", "x=1", "thread-7", "-"],
    ):
        done, parser, _ = work(script({"patch": patch}, report()), tmp_path, *arguments)
        assert (done.returncode, parser.thread_id) == (0, "thread-7")
        assert not (tmp_path / "n.txt").exists()


def test_the_bundled_worker_fails_as_the_script_says(tmp_path: Path) -> None:
    done, parser, kinds = work(script({"http": 500}), tmp_path)
    assert (done.returncode, parser.turn, kinds.count("error")) == (1, "failed", 6)
    done, parser, kinds = work(script({"http": 500, "times": 2, "message": "recovered"}), tmp_path)
    assert (done.returncode, parser.final_text, kinds.count("error")) == (0, "recovered", 2)


def test_the_bundled_worker_without_a_script_and_without_a_command(tmp_path: Path) -> None:
    assert work("hello", tmp_path)[1].report().summary == "ok"
    assert work("", tmp_path, "--version")[0].stdout == b"scripted-worker 1.0\n"
    assert work("", tmp_path, "login", "status")[0].returncode == 2


@pytest.mark.parametrize(
    "patch",
    [
        "no patch",
        "*** Begin Patch\n*** Update File: a.txt\n@@\n-nope\n+x\n*** End Patch",
        "*** Begin Patch\n*** Add File: new.txt\n+x\n*** Delete File: missing.txt\n*** End Patch",
        "*** Begin Patch\nwhat\n*** End Patch",
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(tmp_path: Path, patch: str) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(ValueError, match=r"."):
        apply_patch(patch, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "one\n"


def test_a_patch_moves_and_deletes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "b.txt").write_text("b\n")
    moved = "*** Update File: a.txt\n*** Move to: sub/c.txt\n@@\n two\n+three\n"
    patch = f"*** Begin Patch\n{moved}*** Delete File: b.txt\n*** End Patch"
    changes = apply_patch(patch, tmp_path)
    assert [change["kind"] for change in changes] == ["update", "delete"]
    assert (tmp_path / "sub/c.txt").read_text() == "one\ntwo\nthree\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sub"]
