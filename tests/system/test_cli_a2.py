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
from tests.support.referee import Referee
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


@pytest.fixture
def referee(tmp_path: Path) -> Iterator[Referee]:
    """What the sidecar of the repository knows."""
    with Referee(tmp_path / "repo", tmp_path / "known") as found:
        yield found


def pair(referee: Referee, path: str = "a.txt", *, apart: bool, **linger: Any) -> list[str]:
    """Two prompts whose workers meet in one file: the second puts back a copy from before the first one's patch.

    Args:
        referee: tells each what is known of the other.
        path: the file; it holds NUMBERS.
        apart: they change different lines, so that the versions merge; else the same line.
        linger: until when the second one goes on working after it has written: the modifiers of its last step.
    """
    patch = f"*** Begin Patch\n*** Update File: {path}\n@@\n one\n-two\n+TWO\n three\n*** End Patch\n"
    edit = "s/eight/EIGHT/" if apart else "s/[tT][wW][oO]/& too/"
    copies = f"mkdir -p drafts && cp {path} drafts/{path}"
    # One rename, so that nobody can see the file half written.
    writes = f"sed '{edit}' drafts/{path} >drafts/new && mv drafts/new {path}"
    return [
        script(
            {"patch": patch, **referee.after(f"copy {path}")},
            report("Two is TWO.", path),
            task=f"shout {path}",
        ),
        script(
            {"sh": copies},
            {"sh": writes, **referee.after(f"shout {path}")},
            {**report("Edited a copy.", path), **linger},
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
        self._raw = b""
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
            assert self._reads(), f"{wanted!r} was not shown in {self.shown}"
        self._at = self.shown.index(wanted, self._at) + len(wanted)

    def _reads(self) -> bool:
        """Reads what is there, or waits for it; False at the end. A piece may end within a character or a newline."""
        try:
            chunk = os.read(self._ours, 65_536)
        except OSError:  # EIO: the program has ended.
            return False
        self._raw += chunk
        self.shown = self._raw.removesuffix(b"\r").decode(errors="ignore").replace("\r\n", "\n")
        return bool(chunk)

    def types(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def interrupts(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ends(self, code: int) -> str:
        """Reads to the end and returns all that was shown."""
        while self._reads():
            pass
        os.close(self._ours)
        assert self._process.wait(timeout=60) == code, self.shown
        assert "Traceback" not in self.shown
        return self.shown


@pytest.mark.codex
def test_lost_lines_are_merged_back(real: Cli, referee: Referee) -> None:
    prompts = pair(referee, apart=True, **referee.said("warned"))
    process = real.start("run", "--on-conflict", "merge", "--write", *prompts)
    warning = "! a.txt: w2 overwrote lines that w1 had changed (line 2) so far. w1's version is stored"
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if lines[-1] == warning:
            referee.say("warned")
    assert (process.wait(60), process.communicate()[1]) == (0, "")
    assert warning in lines
    assert lines.index(warning) < lines.index("w2  done"), "at once, not at the end"
    assert "merged: a.txt" in lines
    assert lines[-1] == "No conflict is left open."
    assert text(real) == MERGED
    assert real.json("conflicts")["conflicts"] == []
    assert real.run("conflicts").stdout == "no conflicts\n"
    assert git(real.directory, "status", "--porcelain") == " M a.txt\n"


@pytest.mark.codex
def test_workers_on_the_same_line_run_again_in_turn(real: Cli, referee: Referee) -> None:
    # Nothing is printed until the end; what is known is told within a look or two, which come five times a second.
    prompts = pair(referee, apart=False, **referee.after("copy a.txt", 2), delay=3.0)
    answer = real.json("run", "--on-conflict", "rerun", "--write", *prompts)
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


def test_a_round_without_a_terminal_leaves_conflicts_open(cli: Cli, referee: Referee) -> None:
    spawns = [*pair(referee, apart=True), *pair(referee, "b.txt", apart=False)]
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


def test_a_person_decides_conflict_by_conflict(cli: Cli, referee: Referee) -> None:
    spawns = [*pair(referee, apart=True, **referee.said("warned")), *pair(referee, "b.txt", apart=False)]
    person = Person(cli, "run", "--write", *spawns)
    person.sees("! a.txt: w2 overwrote lines that w1 had changed (line 2) so far")
    referee.say("warned")
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


def test_a_person_may_leave_a_conflict_open_or_close_it(cli: Cli, referee: Referee) -> None:
    person = Person(cli, "run", "--write", *pair(referee, apart=False))
    person.sees("Enter leaves it open: ")
    person.types("")
    assert "1 conflict left open" in person.ends(1)
    assert text(cli) == LOST
    assert cli.run("resolve", "a.txt", "dismiss").stdout == "left as it is; the conflict is closed\n"
    assert cli.json("conflicts")["conflicts"] == []
    assert text(cli) == LOST


def test_another_worker_reconciles(cli: Cli, referee: Referee) -> None:
    """The new worker gets both tasks, so the bundled one plays the first of the two scripts again."""
    edit = "if grep -q too a.txt; then sed -i 's/two too/TWO too/' a.txt; else sed -i 's/two/TWO/' a.txt; fi"
    shouts = {"sh": edit, **referee.after("copy a.txt")}
    first = script(shouts, report("Shouted.", "a.txt"), task="shout a.txt")
    person = Person(cli, "run", "--write", first, pair(referee, apart=False)[1])
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


def test_ctrl_c_at_a_question(cli: Cli, referee: Referee) -> None:
    person = Person(cli, "run", "--write", *pair(referee, apart=True))
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


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_what_a_stopped_worker_leaves_can_be_undone_alone(cli: Cli, referee: Referee) -> None:
    ends = script({"sh": "echo first >> b.txt"}, report("Wrote b.", "b.txt"), task="ends")
    writes = {"sh": "echo second >> a.txt; echo new > c.txt", **referee.after("ends")}
    stays = script(writes, {"sh": "sleep 621"}, task="is stopped")
    process = cli.start("run", "--write", ends, stays)
    until(lambda: (cli.directory / "c.txt").exists() and "first" in text(cli, "b.txt"))
    until(lambda: [job["status"] for job in cli.json("status")["jobs"]] == ["done", "running"])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    said = next(line for line in out.splitlines() if line.startswith("w2 was cancelled"))
    assert said.startswith("w2 was cancelled and left 2 files changed (a.txt and c.txt).")
    command = said.partition(": ")[2]
    assert command == "codex-sidecar rollback --job-ids w2"
    cli.run(*shlex.split(command)[1:], "--yes")
    assert git(cli.directory, "status", "--porcelain") == " M b.txt\n"
    assert text(cli, "b.txt") == NUMBERS + "first\n"


def test_a_repair_ordered_beforehand_spares_what_a_person_wrote_since(cli: Cli, referee: Referee) -> None:
    known, written = referee.after("copy a.txt", 2)["until"], referee.said("written")

    def interfere() -> None:
        until(lambda: Path(known["path"]).exists())
        (cli.directory / "a.txt").write_text(LOST + "mine\n")
        referee.say("written")

    person = threading.Thread(target=interfere)
    person.start()
    done = cli.run("run", "--on-conflict", "rerun", "--write", *pair(referee, apart=False, **written), expect=1)
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


def test_a_rerun_by_itself_names_the_new_jobs(cli: Cli, referee: Referee) -> None:
    cli.run("run", "--on-conflict", "keep-going", "--write", *pair(referee, apart=False), expect=1)
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
