"""The commands as a person types them: real program, real sidecar process, real Codex against the scripted model."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.service.link import process_start
from tests.support.cli import PROGRAM, Cli, interrupt_when, meeting, on_a_terminal, path_without_codex, report, script
from tests.support.codex import native_codex, write_codex_home
from tests.support.raw import wait_until
from tests.support.referee import Referee
from tests.support.repo import git, make_repo

SCRIPTED = f"{shlex.quote(sys.executable)} -m sidecar.demo.worker"
FILES = {"a.txt": "one\ntwo\n", "b.txt": "b\n"}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A repository whose workers are the bundled scripted ones: quick, and the same processes otherwise."""
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", SCRIPTED)
    found = Cli(make_repo(tmp_path / "repo", FILES))
    yield found
    found.close()


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A repository whose workers are real Codex."""
    with ScriptedModel() as model:
        monkeypatch.setenv("CODEX_HOME", str(write_codex_home(tmp_path / "codex-home", model.url)))
        monkeypatch.setenv("CODEX_SIDECAR_CODEX", str(native_codex()))
        found = Cli(make_repo(tmp_path / "repo", FILES))
        yield found
        found.close()


def running(cli: Cli, label: str = "w1") -> bool:
    return any(job["label"] == label and job["status"] == "running" for job in cli.json("status")["jobs"])


def sleepers(cli: Cli) -> list[psutil.Process]:
    """Processes of this repository's workers that sleep; other tests have such, too, and run at the same time."""
    found = []
    for one in psutil.process_iter(["cmdline", "cwd"]):
        if (one.info["cmdline"] or [])[:1] == ["sleep"] and one.info["cwd"] == str(cli.directory):
            found.append(one)
    return found


def until(go: Path) -> dict[str, str]:
    """A command that ends when the file is there."""
    return {"sh": f"until [ -e {go} ]; do sleep 0.1; done"}


@pytest.mark.codex
def test_a_job_from_its_spawn_to_its_result(real: Cli) -> None:
    patch = "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+ONE\n two\n*** End Patch\n"
    prompt = script({"sh": "cat a.txt"}, {"patch": patch}, report("It says ONE now.", "a.txt"), task="shout")
    spawned = real.json("spawn", prompt, "--sandbox", "workspace-write", "--title", "shout it")
    assert (spawned["label"], spawned["title"], spawned["sandbox"]) == ("w1", "shout it", "workspace-write")
    waited = real.json("wait-any", "w1")
    assert (waited["completedJobId"], waited["status"]) == (spawned["jobId"], "done")
    result = real.json("result", "w1")
    assert result["finalMessage"] == "It says ONE now."
    assert result["touchedFiles"] == [{"path": "a.txt", "change": "modified", "attribution": "seen"}]
    assert (real.directory / "a.txt").read_text() == "ONE\ntwo\n"
    assert real.json("status", "--job-id", spawned["jobId"])["status"] == "done"
    first = real.json("events", "w1", "--max-events", "2")
    rest = real.json("events", "w1", "--max-events", "200", "--max-bytes", "65536", "--cursor", first["nextCursor"])
    assert [event["seq"] for event in first["events"] + rest["events"]] == list(range(1, 3 + len(rest["events"])))
    assert rest["done"] is True

    shown = real.run("result", spawned["jobId"]).stdout
    assert shown.startswith("w1 shout it: done in ")
    assert shown.endswith("files: a.txt (modified)\n\nIt says ONE now.\n")
    lines = real.run("events", "w1").stdout
    assert "runs cat a.txt" in lines
    assert "modified a.txt" in lines
    assert "w1  shout it  done" in real.run("status").stdout

    resumed = real.json("resume", "w1", script(report("Still here."), task="and now?"))
    assert resumed["label"] == "w2"
    assert real.json("wait-any", "w2")["status"] == "done"
    assert real.json("result", "w2", "--view", "finalMessage")["finalMessage"] == "Still here."


@pytest.mark.codex
def test_a_whole_round(real: Cli, tmp_path: Path) -> None:
    task = tmp_path / "task.md"
    task.write_text(script({"sh": "echo more >> b.txt"}, report("Added a line.", "b.txt"), task="Add to b"))
    patch = "*** Begin Patch\n*** Add File: c.txt\n+new\n*** End Patch\n"
    with Referee(real.directory, tmp_path / "known") as referee:
        answer = real.json(
            "run",
            "--write", f"@{task}", script({"patch": patch, **referee.after("Add to b")}, report("Made c.", "c.txt")),
            "--read", script({"sh": "cat a.txt"}, report("It has two lines.")),
        )  # fmt: skip
    assert [job["label"] for job in answer["jobs"]] == ["w1", "w2", "w3"]
    assert [job["status"] for job in answer["jobs"]] == ["done"] * 3
    assert [job["finalMessage"] for job in answer["jobs"]] == ["Added a line.", "Made c.", "It has two lines."]
    assert answer["conflicts"] == []
    assert answer["runId"] == real.json("status")["run"]["runId"]
    assert git(real.directory, "status", "--porcelain") == " M b.txt\n?? c.txt\n"


def test_a_terminal_shows_a_table_that_moves(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    go = cli.directory.parent / "go"
    argv = ["run", "--read", script(until(go), report("Rested."))]
    shown = on_a_terminal(argv, cli.directory, when="running until", then=go.touch)
    assert "\x1b[?25l" in shown, "the cursor is hidden while the table moves"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "activity" in shown
    assert "running until" in shown
    assert shown.rstrip().endswith("Rested.")


def test_a_round_that_ends_in_a_conflict(cli: Cli) -> None:
    def writes(word: str, *others: str) -> str:
        return script(meeting(f"echo {word} >> a.txt", word, *others), report(f"Added {word}.", "a.txt"), task=word)

    done = cli.run("run", "--write", writes("alpha", "beta"), "--write", writes("beta", "alpha"), expect=1)
    lines = done.stdout.splitlines()
    assert "w1  started: alpha" in lines
    assert "w2  done" in lines
    assert "files: a.txt (modified, maybe by another worker)" in lines
    assert "1 conflict:" in lines
    assert lines[lines.index("1 conflict:") + 1].split()[1] == "a.txt:"
    assert lines[-1] == "1 conflict left open; `codex-sidecar conflicts` shows it again."
    assert done.stderr == ""
    # The round is open, so its workers' own changes are in nobody's way.
    answer = cli.json("run", "--write", writes("gamma"), "--on-conflict", "keep-going")
    assert answer["conflicts"] == [], "one alone meets nobody"


def test_a_worker_that_fails(cli: Cli) -> None:
    bad = script({"http": 400}, task="fail")
    done = cli.run("run", "--read", bad, script(report("Fine."), task="well"), expect=1)
    assert "w1  failed: " in done.stdout
    assert "w2  done" in done.stdout
    assert cli.json("result", "w1", expect=1)["error"]["kind"] == "codex-failed"
    assert cli.json("wait-any", "w1", expect=1)["status"] == "failed"
    assert cli.json("status", "w1")["status"] == "failed"
    assert cli.run("result", "w1", expect=1).stdout.splitlines()[1].startswith("error: ")


def test_a_round_starts_whole_or_not_at_all(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("\n \n")
    sleeps = script({"sh": "sleep 611"}, report("never"))
    done = cli.run("run", "--read", sleeps, f"@{tmp_path}/bad.txt", expect=2)
    assert "Task 2 of 2 was refused" in done.stderr
    assert "1 worker before it was stopped again" in done.stderr
    assert [job["status"] for job in cli.json("status")["jobs"]] == ["cancelled"]
    assert sleepers(cli) == []
    # What the table itself refuses is refused before anything is started.
    error = cli.json("run", "--read", sleeps, "", expect=2)
    assert error["message"].startswith("--read: prompt")
    assert len(cli.json("status")["jobs"]) == 1


def test_uncommitted_changes(cli: Cli) -> None:
    (cli.directory / "a.txt").write_text("mine\n")
    error = cli.json("run", "--write", script(report("x")), expect=3)
    assert error["kind"] == "dirty-tree"
    assert error["details"]["files"] == ["a.txt"]
    assert cli.json("status")["jobs"] == []
    assert cli.json("run", "--read", script(report("Looked.")))["jobs"][0]["status"] == "done"


def test_cancel(cli: Cli) -> None:
    cli.run("spawn", script({"sh": "sleep 612"}, report("never")))
    wait_until(lambda: sleepers(cli), "the worker sleeps")
    assert cli.json("wait-any", "w1", "--timeout-ms", "10")["timedOut"] is True
    assert cli.json("cancel", "w1", "--force")["success"] is True
    assert cli.json("wait-any", "w1", expect=1)["status"] == "cancelled"
    assert sleepers(cli) == []
    assert cli.json("cancel", "w1")["success"] is False


def test_ctrl_c_stops_the_workers_of_the_round(cli: Cli) -> None:
    process = cli.start("run", "--write", script({"sh": "sleep 613"}), "--read", script({"sh": "sleep 613"}))
    interrupt_when(process, lambda: len(sleepers(cli)) == 2)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopping the workers" in out
    assert [job["status"] for job in cli.json("status")["jobs"]] == ["cancelled", "cancelled"]
    assert "w1  cancelled" in out
    assert sleepers(cli) == []
    assert err.count("\n") == 1
    assert "interrupted" in err


def test_ctrl_c_of_a_wait_leaves_the_worker_alone(cli: Cli) -> None:
    cli.run("spawn", script({"sh": "sleep 614"}, report("never")))
    process = cli.start("wait-any", "w1")
    interrupt_when(process, lambda: sleepers(cli) and cli.json("daemon", "status")["clients"] == 1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err == "codex-sidecar: interrupted; the workers go on running; `codex-sidecar status` shows them.\n"
    assert running(cli)


def test_a_round_outlives_its_sidecar(cli: Cli) -> None:
    go = cli.directory.parent / "go"
    process = cli.start("run", "--json", "--read", script(until(go), report("Waited.")))

    def pid() -> int | None:
        status = cli.json("daemon", "status")
        return status["pid"] if status["running"] and running(cli) else None

    found = wait_until(pid, "the worker runs")
    os.kill(found, signal.SIGKILL)
    wait_until(lambda: process_start(found) is None, "the sidecar is dead")
    go.touch()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["jobs"][0]["finalMessage"] == "Waited."
    assert cli.json("daemon", "status")["pid"] != found


def test_the_daemon(cli: Cli) -> None:
    assert cli.json("daemon", "status") == {"running": False, "pid": None, "version": None, "clients": 0, "jobs": 0}
    assert cli.json("daemon", "stop")["running"] is False
    go = cli.directory.parent / "go"
    cli.run("spawn", script(until(go), report("Awake.")))
    status = cli.json("daemon", "status")
    assert status["running"] is True
    assert psutil.pid_exists(status["pid"])
    assert status["jobs"] == 1
    said = cli.run("daemon", "stop").stdout
    assert "1 worker keeps running" in said
    assert process_start(status["pid"]) is None
    assert cli.json("daemon", "status")["running"] is False
    go.touch()
    assert cli.json("wait-any", "w1", "--timeout-ms", "50000")["status"] == "done"


def test_unknown_names(cli: Cli) -> None:
    for command in (("result", "w9"), ("cancel", "nobody"), ("events", "w9"), ("resume", "w9", "go on")):
        done = cli.run(*command, "--json", expect=2)
        assert json.loads(done.stdout)["kind"] == "unknown-job"
        assert done.stderr.startswith("codex-sidecar: No job ")
        assert done.stderr.count("\n") == 1
    missing = cli.json("wait-any", "w9", expect=2)
    assert missing["missingJobIds"] == ["w9"]


def test_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", SCRIPTED)
    cli = Cli(tmp_path)
    for command in (("status",), ("spawn", "x"), ("run", "--read", "x"), ("daemon", "status")):
        done = cli.run(*command, "--json", expect=3)
        assert json.loads(done.stdout)["kind"] == "not-a-repository"
        assert "git init" in done.stderr
    checks = {one["name"]: one for one in cli.json("doctor", expect=3)["checks"]}
    assert checks["repository"]["ok"] is False
    assert checks["git"]["ok"] is checks["codex"]["ok"] is True
    lines = cli.run("doctor", expect=3).stdout.splitlines()
    assert any(line.startswith("missing  repository") for line in lines)
    assert any("→" in line and "git init" in line for line in lines)


def test_the_repository_may_be_named(cli: Cli, tmp_path: Path) -> None:
    assert cli.json("status", "--repo", str(cli.directory), cwd=tmp_path)["jobs"] == []
    done = cli.run("--repo", str(cli.directory), "status", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["jobs"] == []
    assert cli.json("status", "--repo", str(tmp_path / "none"), expect=2)["details"]["field"] == "--repo"


def test_the_doctor_of_a_repository(cli: Cli) -> None:
    answer = cli.json("doctor")
    assert answer["ok"] is True
    shown = cli.run("doctor").stdout
    for one in answer["checks"]:
        assert any(line.startswith("ok ") and one["name"] in line for line in shown.splitlines())


def test_without_codex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_codex(tmp_path / "bin"))
    cli = Cli(make_repo(tmp_path / "repo"))
    try:
        done = cli.run("spawn", "x", expect=3)
        assert "npm install" in done.stderr
        assert done.stdout == ""
        lines = cli.run("doctor", expect=3).stdout.splitlines()
        assert any(line.startswith("missing  codex") for line in lines)
        assert lines[-1].startswith("Workers cannot run yet")
    finally:
        cli.close()


def test_a_state_directory_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", SCRIPTED)
    repo = make_repo(tmp_path / "repo")
    (repo / ".git" / "codex-sidecar").write_text("in the way")
    cli = Cli(repo)
    assert cli.json("status", expect=3)["kind"] == "state-unavailable"
    checks = {one["name"]: one for one in cli.json("doctor", expect=3)["checks"]}
    assert "repository" not in checks
    assert checks["sidecar"]["ok"] is False


def test_a_worker_gets_no_workers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_SIDECAR_JOB", "job/1")
    assert cli.json("spawn", "x", expect=3)["kind"] == "limit-reached"
    monkeypatch.delenv("CODEX_SIDECAR_JOB")


def test_nobody_reads_what_is_printed(cli: Cli) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run([*PROGRAM, "status"], cwd=cli.directory, stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")
