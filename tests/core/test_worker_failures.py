"""How workers of the real Codex CLI fail, and what the sidecar makes of it: a verdict, a reason, a remedy."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.model.errors import SidecarError
from sidecar.model.settings import CodexSettings
from tests.support.codex import native_codex
from tests.support.worker_run import MODELS, Bench, Finished, bench, report, script

pytestmark = pytest.mark.codex


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


def refused(done: Finished, *words: str, hint: str = "", kind: str = "codex-failed") -> None:
    assert done.status == "failed"
    assert done.error is not None
    assert done.error.kind == kind
    for word in words:
        assert word in done.error.message
    assert hint in done.error.hint
    assert "\n" not in done.error.message


async def test_a_request_that_the_provider_refuses(lab: Bench) -> None:
    body = {"error": {"message": "The model `x` does not exist.", "type": "invalid_request_error", "code": "model"}}
    done = await lab.run(script({"http": 400, "body": body}))
    assert done.exit_code == 1
    refused(done, "The provider refused the request: The model `x` does not exist.", hint="check `model`")


async def test_usage_limit(lab: Bench) -> None:
    body = {"error": {"type": "usage_limit_reached", "message": "limit", "plan_type": "plus", "resets_at": 1795500000}}
    done = await lab.run(script({"http": 429, "body": body}))
    refused(done, "usage limit", hint="limit is reached")
    assert len(done.requests) == 1, "it is not tried again"


async def test_context_length(lab: Bench) -> None:
    body = {"code": "context_length_exceeded", "message": "too long"}
    done = await lab.run(script({"sse": "failed", "body": body}))
    refused(done, "context window", hint="Split the task")


async def test_an_incomplete_answer(lab: Bench) -> None:
    done = await lab.run(script({"sse": "incomplete", "message": "half"}))
    refused(done)


async def test_a_fault_of_the_provider_that_passes(lab: Bench) -> None:
    done = await lab.run(script({"http": 500, "times": 2, **report("recovered")}))
    assert done.status == "done"
    assert done.tracker.report().summary == "recovered"
    assert len(done.requests) == 3


async def test_a_fault_in_the_middle_of_the_work(lab: Bench) -> None:
    body = {"error": {"message": "The model `x` does not exist.", "type": "invalid_request_error", "code": "model"}}
    done = await lab.run(script({"sh": "echo x > w.txt"}, {"http": 400, "body": body}))
    refused(done)
    assert (lab.repo / "w.txt").exists()
    assert done.tracker.open_commands == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words", "hint"),
    [
        ({"http": 401}, "401 Unauthorized", "codex login"),
        ({"http": 429, "headers": {"retry-after": "1"}}, "429 Too Many Requests", "fewer workers"),
        ({"sse": "truncated", "message": "half"}, "stream closed before response.completed", "codex_resume"),
        ({"sse": "malformed"}, "stream", "codex_resume"),
        ({"sse": "empty"}, "stream", "codex_resume"),
        ({"sse": "reset"}, "", ""),
    ],
    ids=lambda value: str(value.get("http") or value.get("sse")) if isinstance(value, dict) else "",
)
async def test_faults_that_codex_retries(lab: Bench, how: dict[str, object], words: str, hint: str) -> None:
    done = await lab.run(script(how))
    refused(done, words, hint=hint)
    assert done.exit_code == 1
    assert done.seconds < 40
    assert [event.content["terminal"] for event in done.events if event.type == "error"][-1] is True


@pytest.mark.slow
async def test_a_provider_that_cannot_be_reached_does_not_hang_the_worker(lab: Bench) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        lab.configure(url=f"http://127.0.0.1:{nobody.getsockname()[1]}/v1")
        done = await lab.run(script(report()), seconds=55)
    refused(done, "Connection failed", hint="cannot be reached")
    assert done.exit_code == 1
    assert done.seconds < 45


async def test_a_provider_that_cannot_be_reached_with_few_retries(lab: Bench) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        lab.configure(url=f"http://127.0.0.1:{nobody.getsockname()[1]}/v1")
        lab.append("stream_max_retries = 0\nrequest_max_retries = 0\n")
        done = await lab.run(script(report()))
    refused(done, "Connection failed", hint="cannot be reached")


async def test_a_silent_provider(lab: Bench) -> None:
    lab.append("stream_max_retries = 0\nstream_idle_timeout_ms = 1000\n")
    done = await lab.run(script({"sse": "hang"}))
    refused(done, "idle timeout", hint="connection to the model broke")


BUSY = {"sh": "echo one > one.txt; sleep 60"}


def is_busy(lab: Bench) -> bool:
    """The worker's command runs, and Codex has noted that it was called."""
    notes = "".join(path.read_text() for path in lab.home.glob("sessions/**/*.jsonl"))
    one = lab.repo / "one.txt"
    return one.exists() and one.read_text() == "one\n" and "sleep 60" in notes.partition("function_call")[2]


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGHUP, -1)], ids=lambda value: str(value)
)
async def test_killed_from_outside(lab: Bench, how: signal.Signals, code: int) -> None:
    done = await lab.run(script(BUSY, report()), kill=(lambda: is_busy(lab), how))
    assert done.exit_code == code
    refused(done, f"killed by {how.name} from outside")


async def test_interrupted_from_outside(lab: Bench) -> None:
    done = await lab.run(script(BUSY, report()), kill=(lambda: is_busy(lab), signal.SIGINT))
    assert done.exit_code == 1
    refused(done, "in the middle of its turn with exit code 1")


async def test_a_killed_worker_can_be_resumed(lab: Bench) -> None:
    first = await lab.run(script(BUSY, report()), kill=(lambda: is_busy(lab), signal.SIGKILL))
    second = await lab.run(script({"sh": "cat one.txt"}, report("again")), resume_thread=first.tracker.thread_id)
    assert second.status == "done"
    assert "one\n" in second.outputs()


async def test_a_conversation_that_is_gone(lab: Bench) -> None:
    done = await lab.run(script(report()), resume_thread="01a203fb-d236-79e2-ba40-25b27308c80f")
    refused(done, "01a203fb", hint="spawn the job anew")


async def test_wrong_extra_arguments(lab: Bench) -> None:
    lab.settings = CodexSettings(path=lab.settings.path, extra_args=["--no-such-option"])
    done = await lab.run(script(report()))
    assert done.exit_code == 2
    refused(done, "unexpected argument '--no-such-option'", hint="extraArgs")


async def test_broken_configuration_is_told_by_the_preflight(lab: Bench) -> None:
    lab.configure("model = [broken")
    with pytest.raises(SidecarError, match=r"Codex does not accept its configuration") as caught:
        await lab.run(script(report()))
    assert caught.value.kind == "codex-failed"
    assert str(lab.home) in caught.value.hint


async def test_a_codex_home_that_is_not_there(lab: Bench) -> None:
    lab.env["CODEX_HOME"] = str(lab.root / "nowhere")
    with pytest.raises(SidecarError, match=r"configuration: CODEX_HOME points to .*nowhere.* does not exist") as caught:
        await lab.run(script(report()))
    assert caught.value.kind == "codex-failed"


async def test_broken_configuration_is_told_by_the_verdict_too(lab: Bench) -> None:
    lab.configure("model = [broken")
    done = await lab.run(script(report()), sandbox="danger-full-access")
    refused(done, "rror", hint="config.toml")


@pytest.fixture
def unsandboxed(tmp_path: Path) -> str:
    """Codex where the kernel grants no further user namespace, as in many containers."""
    program = tmp_path / "bin" / "codex"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nexec unshare -Ur sh -c "
        f'\'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" "$@"\' \'{native_codex()}\' "$@"\n'
    )
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("sandbox", ["read-only", "workspace-write"])
async def test_a_sandbox_that_does_not_work_is_told_before_the_start(
    lab: Bench, unsandboxed: str, sandbox: str
) -> None:
    lab.settings = CodexSettings(path=unsandboxed)
    with pytest.raises(SidecarError, match=r"bwrap: .*namespace") as caught:
        await lab.run(script(report()), sandbox=sandbox)
    assert caught.value.kind == "sandbox-unavailable"
    assert "max_user_namespaces" in caught.value.hint
    assert lab.model.requests == []


@pytest.mark.parametrize("model", MODELS)
async def test_a_sandbox_that_is_lost_later_fails_the_job_although_codex_exits_with_0(
    lab: Bench, unsandboxed: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def passed(*args: object, **more: object) -> None:
        """It had passed the preflight."""

    lab.model_name = model
    lab.configure()
    lab.settings = CodexSettings(path=unsandboxed)
    monkeypatch.setattr(lab.backend, "preflight", passed)
    done = await lab.run(script({"sh": "echo a"}, {"sh": "echo b"}, report("could not")))
    assert done.exit_code == 0
    refused(done, "did not start a single command", hint="user namespaces", kind="sandbox-unavailable")


async def test_without_a_sandbox_full_access_works(lab: Bench, unsandboxed: str) -> None:
    lab.settings = CodexSettings(path=unsandboxed)
    done = await lab.run(script({"sh": "echo fine"}, report()), sandbox="danger-full-access")
    assert done.status == "done"
    assert "fine" in done.outputs()


async def test_the_doctor_names_a_sandbox_that_does_not_work(lab: Bench, unsandboxed: str) -> None:
    checks = await lab.backend.checks(CodexSettings(path=unsandboxed), lab.env, str(lab.repo))
    found = {one.name: one for one in checks}
    assert found["codex"].ok
    assert not found["sandbox"].ok
    assert found["sandbox"].required
    assert "bwrap" in found["sandbox"].message
