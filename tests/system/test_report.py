"""`report` as a person types it: real program, real sidecar, real worker processes, and a browser that is asked for."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.test_report_page import Parsed
from tests.support.cli import Cli, meeting, report, script
from tests.support.raw import wait_until
from tests.support.referee import Referee
from tests.support.repo import git, make_repo

SCRIPTED = f"{shlex.quote(sys.executable)} -m sidecar.demo.worker"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A repository whose workers are the bundled scripted ones."""
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", SCRIPTED)
    found = Cli(make_repo(tmp_path / "weather", {"src/a.txt": "one\n", "b.txt": "b\n"}))
    yield found
    found.close()


def writes(word: str, *others: str, **when: object) -> str:
    """Two of these meet in one file; before, each makes one of its own by a patch. `when`: of what comes then."""
    patch = f"*** Begin Patch\n*** Add File: src/{word}.txt\n+{word}\n*** End Patch\n"
    more = {**meeting(f"echo {word} >> src/a.txt", word, *others), **when}
    return script({"patch": patch}, more, report(f"Added <b>{word}</b>.", "src/a.txt", f"src/{word}.txt"), task=word)


def test_a_round_with_a_collision(cli: Cli, tmp_path: Path) -> None:
    bad = script({"sh": "false"}, {"http": 400}, task="fail")
    with Referee(cli.directory, tmp_path / "known") as known:
        pair = writes("alpha", "beta", **known.after("beta")), writes("beta", "alpha", **known.after("alpha"))
        cli.run("run", "--write", *pair, "--read", bad, "--on-conflict", "keep-going", expect=1)
    answer = cli.json("report")
    place = Path(answer["path"])
    assert place == cli.directory / ".git" / "codex-sidecar" / f"report-{answer['runId'].removeprefix('run-')}.html"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert answer["workers"] == 3
    assert answer["bytes"] == place.stat().st_size
    changed = git(cli.directory, "status", "--porcelain", "--untracked-files=all").splitlines()
    assert changed == [" M src/a.txt", "?? src/alpha.txt", "?? src/beta.txt"], "the page is not in the work tree"

    found = Parsed(place.read_text())
    assert "Of 3 workers 2 ended done and 1 failed" in found.text
    assert git(cli.directory, "rev-parse", "HEAD")[:10] in found.text
    table = next(table for table in found.tables if table[0][0] == "file")
    cells = {row[0].partition("!")[0]: row[1:] for row in table}
    assert cells["file"] == ["w1", "w2"]
    assert cells["src/alpha.txt"] == ["A", ""]
    assert cells["src/beta.txt"] == ["", "A"]
    assert all("M" in cell for cell in cells["src/a.txt"])
    assert [conflict["path"] for conflict in cli.json("conflicts", expect=1)["conflicts"]] == ["src/a.txt"]
    assert answer["openConflicts"] == 1
    assert all(cell.endswith("!") for cell in cells["src/a.txt"]), "the conflict is marked"
    assert "Added <b>alpha</b>." in found.text
    assert "edited src/alpha.txt (added)" in found.text
    lanes = [value for tag, name, value in found.attributes if (tag, name) == ("svg", "aria-label")]
    assert [lane.split(",")[0] for lane in lanes] == ["w1 alpha: done", "w2 beta: done", "w3 fail: failed"]
    assert lanes[0].endswith("1 command, 1 edit")

    # A repair shows with what brings it back, and the conflict is settled.
    cli.run("rollback", "--yes")
    target = tmp_path / "out.html"
    target.write_text("old")
    target.chmod(0o640)
    assert cli.run("report", "--out", str(target)).stdout == f"{target}\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    later = Parsed(target.read_text())
    snapshot = cli.json("snapshots")["snapshots"][0]["snapshotId"]
    assert "no conflict is open" in later.text
    assert f"codex-sidecar restore {snapshot}" in later.text
    assert "before a roll back" in later.text
    assert list(tmp_path.glob(".report-*")) == [], "nothing half written is left"

    # Everything is as it was, so the run is over, and another one is another page.
    cli.run("run", "--write", writes("gamma"))
    newer = cli.json("report")
    assert newer["runId"] != answer["runId"]
    assert newer["path"] != answer["path"]
    assert newer["workers"] == 1


def test_a_run_that_goes_on(cli: Cli) -> None:
    cli.run("spawn", script({"sh": "sleep 614"}, report("never"), task="rest"))
    wait_until(lambda: "command" in str(cli.json("events", "w1")["events"]), "the command runs")
    text = Parsed(Path(cli.json("report")["path"]).read_text()).text
    assert "Of 1 worker 1 is running" in text
    assert "to now, " in text
    assert "running sleep 614" in text


def test_the_browser_is_asked_for_the_page(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    target = tmp_path / "a page.html"
    done = cli.run("report", "--open", "--out", os.path.relpath(target, cli.directory))
    assert done.stdout == f"{target}\n"
    assert seen.read_text() == f"{target.as_uri()}\n"
    assert "No worker has run yet." in Parsed(target.read_text()).text

    monkeypatch.setenv("BROWSER", "false")
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    done = cli.run("report", "--open", "--out", str(target))
    assert "open the file yourself" in done.stderr


def test_wrong_uses_are_refused_by_name(cli: Cli, tmp_path: Path) -> None:
    assert "--run" in cli.json("report", "--run", "run-none", expect=2)["message"]
    assert "--out" in cli.json("report", "--out", str(tmp_path), expect=2)["message"]
    assert "--out" in cli.json("report", "--out", str(tmp_path / "no" / "x.html"), expect=2)["message"]
    assert cli.run("report", cwd=tmp_path, expect=3).stderr.startswith("codex-sidecar: ")
