"""Conflicts and repairs as a person types them: real program, real sidecar, real git, real workers, real terminal."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.cli import PROGRAM, Cli, report, script
from tests.support.codex import native_codex, write_codex_home
from tests.support.repo import git, make_repo

SCRIPTED = f"{shlex.quote(sys.executable)} -m sidecar.demo.worker"
NUMBERS = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n"
SHOUTED = NUMBERS.replace("two", "TWO")
FILES = {"a.txt": NUMBERS, "b.txt": NUMBERS, ".gitignore": "drafts/\n"}


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


def pair(repo: Path, path: str = "a.txt", *, apart: bool, linger: float = 0.7) -> list[str]:
    """Two prompts whose workers meet in one file: the second puts back a copy from before the first one's patch.

    Args:
        repo: the repository.
        path: the file; it holds NUMBERS.
        apart: they change different lines, so that the versions merge; else the same line.
        linger: seconds for which the second one goes on working after it has written.
    """
    draft = repo / "drafts" / path
    patch = f"*** Begin Patch\n*** Update File: {path}\n@@\n one\n-two\n+TWO\n three\n*** End Patch\n"
    edit = "s/eight/EIGHT/" if apart else "s/[tT][wW][oO]/& too/"
    copies = f"mkdir -p drafts && cp {path} drafts/{path}"
    # One rename, so that nobody can see the file half written.
    writes = f"sed '{edit}' drafts/{path} >drafts/new && mv drafts/new {path}"
    return [
        script(
            {"patch": patch, "until": {"path": str(draft), "holds": "one"}, "delay": 0.3},
            report("Two is TWO.", path),
            task=f"shout {path}",
        ),
        script(
            {"sh": copies},
            {"sh": writes, "until": {"path": str(repo / path), "holds": "TWO"}, "delay": 0.5},
            {**report("Edited a copy.", path), "delay": linger},
            task=f"copy {path}",
        ),
    ]


MERGED = SHOUTED.replace("eight", "EIGHT")
IN_TURN = NUMBERS.replace("two", "TWO too")
LOST = NUMBERS.replace("two", "two too")


def text(cli: Cli, path: str = "a.txt") -> str:
    return (cli.directory / path).read_text()


class Person:
    """Someone at a terminal: waits for what is shown, and types."""

    def __init__(self, cli: Cli, *argv: str) -> None:
        self._ours, theirs = os.openpty()
        env = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            [*PROGRAM, *argv], cwd=cli.directory, stdin=theirs, stdout=theirs, stderr=theirs, env=env
        )
        os.close(theirs)
        self.shown = ""
        self._at = 0

    def sees(self, wanted: str) -> None:
        """Waits until this is shown, after what was waited for before."""
        while wanted not in self.shown[self._at :]:
            try:
                chunk = os.read(self._ours, 65_536)
            except OSError:  # EIO: the program has ended.
                chunk = b""
            assert chunk, f"{wanted!r} was not shown in {self.shown}"
            self.shown += chunk.decode().replace("\r\n", "\n")
        self._at = self.shown.index(wanted, self._at) + len(wanted)

    def types(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def interrupts(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ends(self, code: int) -> str:
        """Reads to the end and returns all that was shown."""
        while True:
            try:
                chunk = os.read(self._ours, 65_536)
            except OSError:
                break
            self.shown += chunk.decode().replace("\r\n", "\n")
        os.close(self._ours)
        assert self._process.wait(timeout=10) == code, self.shown
        assert "Traceback" not in self.shown
        return self.shown


@pytest.mark.codex
def test_lost_lines_are_merged_back(real: Cli) -> None:
    done = real.run("run", "--on-conflict", "merge", "--write", *pair(real.directory, apart=True))
    lines = done.stdout.splitlines()
    warning = "! a.txt: w2 overwrote lines that w1 had changed (line 2) so far. w1's version is stored"
    assert warning in lines
    assert lines.index(warning) < lines.index("w2  done"), "at once, not at the end"
    assert "merged: a.txt" in lines
    assert lines[-1] == "No conflict is left open."
    assert text(real) == MERGED
    assert real.json("conflicts")["conflicts"] == []
    assert real.run("conflicts").stdout == "no conflicts\n"
    assert git(real.directory, "status", "--porcelain") == " M a.txt\n"


@pytest.mark.codex
def test_workers_on_the_same_line_run_again_in_turn(real: Cli) -> None:
    answer = real.json("run", "--on-conflict", "rerun", "--write", *pair(real.directory, apart=False))
    (conflict,) = answer["conflicts"]
    assert (conflict["path"], conflict["kind"], conflict["mergeable"]) == ("a.txt", "overlapping-edit", False)
    assert answer["warnings"] == ["! a.txt: w1 and w2 changed the same line (2) so far"]
    (repair,) = answer["repairs"]
    assert [job["label"] for job in repair["jobs"]] == ["w3", "w4"]
    assert [job["replaces"] for job in repair["jobs"]] == [job["jobId"] for job in answer["jobs"]]
    assert [job["status"] for job in answer["repairJobs"]] == ["done", "done"]
    assert answer["openConflicts"] == []
    assert text(real) == IN_TURN
    # The state before the repair is in the snapshot, and comes back byte for byte.
    assert real.json("restore", repair["snapshotId"])["preview"]["files"] != []
    assert text(real) == IN_TURN, "a preview changes nothing"
    real.run("restore", repair["snapshotId"], "--yes")
    assert text(real) == LOST


def test_a_round_without_a_terminal_leaves_conflicts_open(cli: Cli) -> None:
    spawns = [*pair(cli.directory, apart=True), *pair(cli.directory, "b.txt", apart=False)]
    done = cli.run("run", "--write", *spawns, expect=1)
    lines = done.stdout.splitlines()
    assert "2 conflicts:" in lines
    assert lines[-1] == "2 conflicts left open; `codex-sidecar conflicts` shows them again."
    assert (text(cli), text(cli, "b.txt")) == (NUMBERS.replace("eight", "EIGHT"), LOST)
    shown = cli.run("conflicts", expect=1).stdout.splitlines()
    assert shown[0].startswith('error        a.txt: w2 "copy a.txt" overwrote lines')
    assert shown[0].endswith("To merge the versions: codex-sidecar resolve a.txt merge")
    assert shown[1].startswith('warning      b.txt: w3 "shout b.txt" and w4 "copy b.txt" changed the same line (2).')
    assert shown == lines[lines.index("2 conflicts:") + 1 :][:2]

    # What was printed is what can be typed.
    words = shlex.split(shown[0].rpartition(": ")[2])[1:]
    preview = cli.run(*words).stdout
    how = preview.splitlines()[-1]
    assert how.startswith(
        "Nothing was changed yet. To do it: codex-sidecar resolve --conflict-id a.txt --strategy merge"
    )
    assert text(cli) == NUMBERS.replace("eight", "EIGHT")
    assert cli.run(*shlex.split(how.partition(": ")[2])[1:]).stdout.startswith("merged: a.txt\n")
    assert text(cli) == MERGED
    used = cli.run(*shlex.split(how.partition(": ")[2])[1:], expect=2)
    assert "codex-sidecar: No open conflict" in used.stderr

    kept = cli.json("resolve", "b.txt", "keep", "w3", "--yes")
    assert (kept["strategy"], kept["files"]) == ("keep", ["b.txt"])
    assert text(cli, "b.txt") == SHOUTED
    assert cli.json("conflicts")["conflicts"] == []
    snapshots = cli.json("snapshots")["snapshots"]
    assert [one["snapshotId"] for one in snapshots][-1] == kept["snapshotId"]
    table = cli.run("snapshots").stdout.splitlines()
    assert [line.split()[0] for line in table[:-1]] == [one["snapshotId"] for one in snapshots]


def test_a_person_decides_conflict_by_conflict(cli: Cli) -> None:
    spawns = [*pair(cli.directory, apart=True), *pair(cli.directory, "b.txt", apart=False)]
    person = Person(cli, "run", "--write", *spawns)
    person.sees("! a.txt: w2 overwrote lines that w1 had changed (line 2) so far")
    person.sees("   m  merge the versions (suggested)")
    person.sees("Enter leaves it open: ")
    person.types("m")
    person.sees("Do it? [y/N] ")
    assert text(cli) == NUMBERS.replace("eight", "EIGHT"), "nothing happens before the answer"
    person.types("n")
    person.sees("Nothing was changed.")
    person.sees("Enter leaves it open: ")
    person.types("merge")
    person.sees("Do it? [y/N] ")
    person.types("y")
    person.sees("merged: a.txt")
    person.sees("b.txt: ")
    person.sees("Enter leaves it open: ")
    person.types("r")
    person.sees("and re-run w3, then w4?")
    person.sees("Do it? [y/N] ")
    person.types("y")
    person.sees("w6  done")
    shown = person.ends(0)
    assert shown.rstrip().endswith("No conflict is left open.")
    assert (text(cli), text(cli, "b.txt")) == (MERGED, IN_TURN)


def test_a_person_may_leave_a_conflict_open_or_close_it(cli: Cli) -> None:
    person = Person(cli, "run", "--write", *pair(cli.directory, apart=False))
    person.sees("Enter leaves it open: ")
    person.types("")
    assert "1 conflict left open" in person.ends(1)
    assert text(cli) == LOST
    assert cli.run("resolve", "a.txt", "dismiss").stdout == "left as it is; the conflict is closed\n"
    assert cli.json("conflicts")["conflicts"] == []
    assert text(cli) == LOST


def test_another_worker_reconciles(cli: Cli) -> None:
    """The new worker gets both tasks, so the bundled one plays the first of the two scripts again."""
    draft = cli.directory / "drafts" / "a.txt"
    edit = "if grep -q too a.txt; then sed -i 's/two too/TWO too/' a.txt; else sed -i 's/two/TWO/' a.txt; fi"
    first = script({"sh": edit, "until": {"path": str(draft), "holds": "one"}}, report("Shouted.", "a.txt"), task="one")
    person = Person(cli, "run", "--write", first, pair(cli.directory, apart=False, linger=0.3)[1])
    person.sees("Enter leaves it open: ")
    person.types("c")
    person.sees("is given to a new worker with the versions of w1 and w2")
    person.sees("Do it? [y/N] ")
    person.types("y")
    person.sees("w3 reconciles them")
    person.sees("w3  started: reconcile a.txt")
    person.sees("w3  done")
    assert person.ends(0).endswith("No conflict is left open.\n")
    assert text(cli) == IN_TURN


def test_ctrl_c_at_a_question(cli: Cli) -> None:
    person = Person(cli, "run", "--write", *pair(cli.directory, apart=True, linger=0.2))
    person.sees("Enter leaves it open: ")
    person.types("m")
    person.sees("Do it? [y/N] ")
    person.interrupts()
    assert "codex-sidecar: interrupted; " in person.ends(130)
    assert text(cli) == NUMBERS.replace("eight", "EIGHT")
    assert len(cli.json("conflicts", expect=1)["conflicts"]) == 1


def test_a_roll_back_at_a_terminal(cli: Cli) -> None:
    writes = script({"sh": "echo more >> a.txt; echo new > c.txt"}, report("Wrote.", "a.txt", "c.txt"))
    cli.run("run", "--write", writes)
    person = Person(cli, "rollback")
    person.sees("Roll back 2 files to the baseline?")
    person.sees("c.txt did not exist before and will be removed.")
    person.sees("Do it? [y/N] ")
    person.types("")
    assert person.ends(0).endswith("Nothing was changed.\n")
    assert text(cli, "c.txt") == "new\n"

    # Whatever moves between the preview and the answer is shown before anything is undone.
    person = Person(cli, "rollback")
    person.sees("Do it? [y/N] ")
    (cli.directory / "c.txt").write_text("mine now\n")
    person.types("y")
    person.sees("Also undone: your own edits in c.txt")
    person.sees("Do it? [y/N] ")
    person.types("y")
    shown = person.ends(0)
    assert "rolled back 2 files: a.txt and c.txt" in shown
    assert git(cli.directory, "status", "--porcelain") == ""
    (snapshot,) = cli.json("snapshots")["snapshots"]
    cli.run("restore", snapshot["snapshotId"], "--yes")
    assert (text(cli), text(cli, "c.txt")) == (NUMBERS + "more\n", "mine now\n")


def test_previews_and_tokens_for_programs(cli: Cli) -> None:
    cli.run("run", "--write", script({"sh": "echo more >> a.txt"}, report("Wrote.", "a.txt")))
    offered = cli.json("rollback")
    assert [file["path"] for file in offered["preview"]["files"]] == ["a.txt"]
    (cli.directory / "a.txt").write_text("moved\n")
    stale = cli.json("rollback", "--token", offered["token"], expect=2)
    assert stale["kind"] == "stale-token"
    assert stale["details"]["preview"]["userEdits"] == ["a.txt"]
    assert text(cli) == "moved\n"
    done = cli.json("rollback", "--token", stale["details"]["token"])
    assert done["files"] == ["a.txt"]
    assert text(cli) == NUMBERS
    for argv in (["restore", "none"], ["resolve", "a.txt", "merge"], ["resolve", "a.txt", "mend"], ["resolve"]):
        assert cli.json(*argv, expect=2)["kind"] in ("unknown-snapshot", "unknown-conflict", "invalid-arguments")


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_what_a_stopped_worker_leaves_can_be_undone_alone(cli: Cli) -> None:
    ends = script({"sh": "echo first >> b.txt"}, report("Wrote b.", "b.txt"), task="ends")
    stays = script({"sh": "echo second >> a.txt; echo new > c.txt"}, {"sh": "sleep 621"}, task="is stopped")
    process = cli.start("run", "--write", ends, stays)
    until(lambda: (cli.directory / "c.txt").exists() and "first" in text(cli, "b.txt"))
    until(lambda: [job["status"] for job in cli.json("status")["jobs"]] == ["done", "running"])
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    said = next(line for line in out.splitlines() if line.startswith("w2 was cancelled"))
    assert said.startswith("w2 was cancelled and left 2 files changed (a.txt and c.txt).")
    command = said.partition(": ")[2]
    assert command == "codex-sidecar rollback --job-ids w2"
    cli.run(*shlex.split(command)[1:], "--yes")
    assert git(cli.directory, "status", "--porcelain") == " M b.txt\n"
    assert text(cli, "b.txt") == NUMBERS + "first\n"


def test_a_repair_ordered_beforehand_spares_what_a_person_wrote_since(cli: Cli) -> None:
    def interfere() -> None:
        until(lambda: "TWO" in text(cli) or "two too" in text(cli))
        until(lambda: text(cli) == LOST)
        time.sleep(0.5)
        (cli.directory / "a.txt").write_text(LOST + "mine\n")

    person = threading.Thread(target=interfere)
    person.start()
    done = cli.run("run", "--on-conflict", "rerun", "--write", *pair(cli.directory, apart=False, linger=2.0), expect=1)
    person.join()
    assert text(cli) == LOST + "mine\n"
    assert "your own edits in a.txt would be undone, too" in done.stderr
    assert [job["label"] for job in cli.json("status")["jobs"]] == ["w1", "w2"]


@pytest.mark.parametrize("way", ["snapshot", "stash"])
def test_uncommitted_changes_have_two_other_ways(cli: Cli, way: str) -> None:
    (cli.directory / "b.txt").write_text("mine\n")
    (cli.directory / "mine.txt").write_text("mine, too\n")
    writes = script({"sh": "cat b.txt > c.txt"}, report("Copied b.", "c.txt"))
    done = cli.run("run", "--on-dirty", way, "--write", writes)
    assert text(cli, "c.txt") == ("mine\n" if way == "snapshot" else NUMBERS)
    baseline = cli.json("baseline")
    if way == "snapshot":
        assert baseline["files"] == 2
        assert done.stderr == ""
    else:
        assert not (cli.directory / "mine.txt").exists()
        said = done.stdout.splitlines()[-1]
        assert said.startswith("Your uncommitted changes were saved; ")
        assert f"`codex-sidecar restore {baseline['snapshotId']}`" in said
        assert cli.run("baseline").stdout.splitlines()[1] == said
        cli.run("restore", baseline["snapshotId"], "--yes")
    assert (text(cli, "b.txt"), text(cli, "mine.txt")) == ("mine\n", "mine, too\n")


def test_a_rerun_by_itself_names_the_new_jobs(cli: Cli) -> None:
    cli.run("run", "--on-conflict", "keep-going", "--write", *pair(cli.directory, apart=False, linger=0.2), expect=1)
    alone = cli.run("run", "--write", script(report("Looked.")))
    assert alone.stdout.splitlines()[-1].startswith("1 conflict from before this round; ")
    lines = cli.run("rerun", "--yes").stdout.splitlines()
    assert lines[:3] == ["rolled back 1 file: a.txt", "w4 runs in place of w1", "w5 runs in place of w2"]
    assert lines[-1] == "Wait for them: codex-sidecar wait-any w4 w5"
    jobs = {job["label"]: job["jobId"] for job in cli.json("status")["jobs"]}
    assert f"w4: job {jobs['w4']}" in lines
    until(lambda: cli.json("wait-any", "w5", "--timeout-ms", "5000")["status"] == "done")
    assert text(cli) == IN_TURN
    assert json.loads(cli.run("conflicts", "--json").stdout)["conflicts"] == []
