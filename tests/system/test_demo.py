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

from sidecar.demo import collision, scenario
from sidecar.demo.referee import Referee
from sidecar.demo.scratch import Scratch
from sidecar.demo.script import Modifiers, find_script, wait_until
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

    # The second scene: the warnings come while the workers run, then the repairs, then the whole diff.
    story = [
        "! weather/report.py: w5 and w6 changed the same line (15) so far",
        "w6  done",
        "! weather/fetch.py: w8 overwrote lines that w7 had changed (line 10) so far. w7's version is stored",
        "w8  done",
        "2 conflicts:",
        "$ codex-sidecar resolve weather/fetch.py merge",
        "merged: weather/fetch.py",
        "$ codex-sidecar rerun",
        "rolled back 1 file: weather/report.py",
        "w9 runs in place of w5",
        "w9  done",
        "w10 started: Allow an empty report",
        "w10 done",
        "$ git diff",
        '+    """The text of one report; the last OSError when every try failed."""',
        "+            sleep(min(2**attempt, 30))",
        "+    return max((parse(line) for line in lines if line.strip()), key=lambda pair: pair[1], default=None)",
        "The scratch repository was removed.",
    ]
    at = -1
    for line in story:
        assert line in lines[at + 1 :], f"{line!r} is not where it belongs in {done.stdout}"
        at = lines.index(line, at + 1)
    assert len([line for line in lines if line.startswith("  codex-sidecar restore ")]) == 2
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
    collided = answer["collision"]
    assert [job["status"] for job in collided["jobs"]] == ["done"] * 6
    kinds = {item["path"]: item["kind"] for item in collided["conflicts"]}
    assert kinds == {collision.FETCH: "lost-update", collision.REPORT: "overlapping-edit"}
    assert [repair["strategy"] for repair in collided["repairs"]] == ["merge", "rerun"]
    assert len(collided["warnings"]) == 2
    repo = Path(answer["repository"])
    for path, text in collision.AFTER.items():
        assert (repo / path).read_text() == text
    commits = git(repo, "log", "--format=%s").splitlines()
    assert commits == ["Try again, and name the bad line", "A small weather package"], "workers do not commit"
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

        # Those of the second scene lead to both edits of each pair, if they are played one after another.
        for task in collision.tasks(Referee(scratch.directory / "known")):
            for step in task.script:
                if "patch" in step:
                    apply_patch(step["patch"], scratch.repo)
                elif "sh" in step:
                    subprocess.run(step["sh"], shell=True, cwd=scratch.repo, capture_output=True, check=True)
        assert scratch.differences(collision.AFTER) == []
    finally:
        scratch.remove()


def test_an_answer_waits_for_what_another_worker_writes(tmp_path: Path) -> None:
    file = tmp_path / "draft.py"
    pauses: list[float] = []

    def pause(seconds: float) -> bool:
        """Another worker writes meanwhile: first something else, then what was waited for."""
        pauses.append(seconds)
        file.write_text("def other" if len(pauses) < 3 else "def warmest")
        return len(pauses) > 10

    (step,) = find_script(f'SCRIPT: [{{"sh": "x", "until": {{"path": "{file}", "holds": "warmest"}}}}]') or []
    assert step.actions == ({"sh": "x"},)
    wait_until(step.modifiers, pause)
    assert len(pauses) == 3
    wait_until(step.modifiers, pause)
    assert len(pauses) == 3, "what is there already is not waited for"
    wait_until(Modifiers(until={"path": str(tmp_path / "never"), "holds": "x"}), pause)
    assert len(pauses) == 11, "a model that is being stopped waits no longer"
