"""The demo, as a newcomer starts it: with real Codex, without, and interrupted; nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sidecar.demo import scenario
from sidecar.demo.scratch import Scratch
from tests.support.cli import Cli, interrupt_when, path_without_codex
from tests.support.codex import native_codex
from tests.support.repo import git


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The demo's temporary directory; afterwards no process may be at work there."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield path
    assert processes_in(path) == []


def left_in(path: Path) -> list[str]:
    """What lies in the temporary directory, and in those of the workers; the sidecar's directory of sockets stays."""
    found = [file for file in path.rglob("*") if file.parent != path or not file.name.startswith("codex-sidecar-")]
    found += path.glob("codex-sidecar-demo-*")
    found += Path(os.environ["XDG_CACHE_HOME"]).glob("codex-sidecar/tmp/*")
    return [str(file) for file in found]


def processes_in(path: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [process.info["cwd"] or "", *(process.info["cmdline"] or [])]
        if any(str(path) in word for word in words):
            found.append(" ".join(words))
    return found


@pytest.mark.codex
def test_with_real_codex(temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", str(native_codex()))
    done = Cli(tmp_path).run("demo")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Codex Sidecar demo with real Codex 0.169.0")
    assert "w1  started: Retry the download" in lines
    assert "w3  runs grep -n 'def ' weather/*.py" in lines
    assert "w2  modified tests/test_report.py, added weather/errors.py, modified weather/report.py" in lines
    assert [line.split()[-6:-4] for line in lines if line.startswith("w1  Retry the download ")] == [["done", "2"]]
    assert " 5 files changed, 39 insertions(+), 5 deletions(-)" in lines
    assert lines[-1] == "The scratch repository was removed."
    assert done.stderr == ""
    assert left_in(temporary) == []


def test_without_codex(temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_codex(tmp_path / "bin"))
    answer = Cli(tmp_path).json("demo", "--keep")
    assert answer["ok"] is True
    assert answer["worker"] == "scripted"
    assert "no Codex was found" in answer["message"]
    assert [job["status"] for job in answer["jobs"]] == ["done"] * 4
    repo = Path(answer["repository"])
    for path, text in scenario.expected_tree().items():
        assert (repo / path).read_text() == text
    assert git(repo, "log", "--format=%s") == "A small weather package\n", "workers do not commit"
    status = Cli(repo).json("daemon", "status")
    assert status["running"] is False


def test_the_first_line_says_who_plays(temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", "no-such-program")
    process = Cli(tmp_path).start("demo")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Codex Sidecar demo with a bundled scripted worker, since no Codex")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == "codex-sidecar: interrupted; nothing of the demo is left.\n"
    assert left_in(temporary) == []


@pytest.mark.codex
def test_ctrl_c_leaves_nothing_behind(temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", str(native_codex()))
    process = Cli(tmp_path).start("demo")
    interrupt_when(process, lambda: any(" exec " in words for words in processes_in(temporary)))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "The scratch repository was removed." in out
    assert "interrupted" in err
    assert left_in(temporary) == []


def test_the_scratch_repository_tells_what_is_wrong(temporary: Path) -> None:
    scratch = Scratch(scenario.PROJECT)
    try:
        assert scratch.differences(scenario.PROJECT) == []
        (scratch.repo / "weather" / "fetch.py").write_text("other\n")
        (scratch.repo / "README.md").unlink()
        (scratch.repo / "more.txt").write_text("more\n")
        assert scratch.differences(scenario.PROJECT) == [
            "README.md is missing",
            "more.txt should not be there",
            "weather/fetch.py is not what the script wrote",
        ]
        assert "3 files changed" in scratch.diff_stat()
    finally:
        scratch.remove()
    assert left_in(temporary) == []


def test_the_scripts_do_what_the_tasks_ask_for(temporary: Path) -> None:
    """The files that the scripts write pass the tests that they write, and the patches lead there."""
    from sidecar.demo.patch import apply_patch

    scratch = Scratch(scenario.PROJECT)
    try:
        for task in scenario.TASKS:
            for step in task.script:
                if "patch" in step:
                    apply_patch(step["patch"], scratch.repo)
        assert scratch.differences(scenario.expected_tree()) == []
        done = subprocess.run(
            ["python3", "-B", "-m", "unittest"], cwd=scratch.repo, capture_output=True, text=True, check=True
        )
        assert "Ran 4 tests" in done.stderr
    finally:
        scratch.remove()
