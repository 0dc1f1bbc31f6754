"""Repairs as a person or a program types them, on what real Codex workers left: shown, asked, done, taken back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.demo.model import ScriptedModel
from tests.support.cli import Cli
from tests.support.codex import native_codex, write_codex_home
from tests.support.codex_collision import BOTH, FILES, FIRST, PATH, SECOND, TEXT, same_line
from tests.support.referee import Referee
from tests.support.repo import git, make_repo
from tests.system.test_cli_a2 import Person

pytestmark = [pytest.mark.codex, pytest.mark.slow]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """A repository in which two real Codex workers have changed the same line."""
    with ScriptedModel() as model:
        monkeypatch.setenv("CODEX_HOME", str(write_codex_home(tmp_path / "codex", model.url)))
        monkeypatch.setenv("CODEX_SIDECAR_CODEX", str(native_codex()))
        found = Cli(make_repo(tmp_path / "repo", FILES))
        try:
            with Referee(found.directory, tmp_path / "known") as referee:
                prompts = [task["prompt"] for task in same_line(referee)]
                done = found.json("run", "--on-conflict", "keep-going", "--write", *prompts, expect=1)
            assert [job["status"] for job in done["jobs"]] == ["done", "done"]
            (conflict,) = done["conflicts"]
            assert (conflict["path"], conflict["kind"]) == (PATH, "overlapping-edit")
            assert done["openConflicts"] == [conflict["conflictId"]]
            assert text(found) == SECOND
            yield found
        finally:
            found.close()


def text(cli: Cli) -> str:
    return (cli.directory / PATH).read_text()


def printed_command(shown: str) -> list[str]:
    """The arguments of the command that a preview ends with."""
    how = shown.splitlines()[-1]
    assert how.startswith("Nothing was changed yet. To do it: codex-sidecar ")
    return shlex.split(how.partition(": ")[2])[1:]


def test_a_program_keeps_a_version_and_restores(cli: Cli) -> None:
    offered = cli.json("resolve", PATH, "keep", "w1")
    assert [job["label"] for job in offered["preview"]["jobs"]] == ["w1", "w2"]
    assert text(cli) == SECOND, "a preview changes nothing"
    refused = cli.json("resolve", PATH, "keep", "w2", "--token", offered["token"], expect=2)
    assert refused["kind"] == "stale-token"
    assert text(cli) == SECOND, "a token is for its own call"
    offered = cli.json("resolve", PATH, "keep", "w1")
    kept = cli.json("resolve", PATH, "keep", "w1", "--token", offered["token"])
    assert (kept["strategy"], kept["files"]) == ("keep", [PATH])
    assert text(cli) == FIRST
    assert cli.json("conflicts")["conflicts"] == []

    (snapshot,) = cli.json("snapshots")["snapshots"]
    assert (snapshot["snapshotId"], snapshot["files"]) == (kept["snapshotId"], 1)
    offered = cli.json("restore", snapshot["snapshotId"])
    assert [file["path"] for file in offered["preview"]["files"]] == [PATH]
    assert text(cli) == FIRST
    back = cli.json("restore", snapshot["snapshotId"], "--token", offered["token"])
    assert back["files"] == [PATH]
    assert text(cli) == SECOND
    assert git(cli.directory, "status", "--porcelain") == f" M {PATH}\n"


def test_a_program_lets_another_worker_reconcile(cli: Cli) -> None:
    offered = cli.json("resolve", PATH, "reconcile")
    assert text(cli) == SECOND
    assert len(cli.json("status")["jobs"]) == 2, "a preview starts nobody"
    done = cli.json("resolve", PATH, "reconcile", "--token", offered["token"])
    (job,) = done["jobs"]
    assert (job["label"], job["replaces"]) == ("w3", None)
    assert cli.json("wait-any", "w3", "--timeout-ms", "60000")["status"] == "done"
    assert text(cli) == BOTH
    assert cli.json("conflicts")["conflicts"] == []


def test_a_person_keeps_a_version(cli: Cli) -> None:
    person = Person(cli, "resolve", PATH, "keep", "w1")
    person.sees("app.py becomes w1's version.")
    person.sees("Do it? [y/N] ")
    person.types("")
    assert person.ends(0).endswith("Nothing was changed.\n")
    assert text(cli) == SECOND
    person = Person(cli, "resolve", PATH, "keep", "w1")
    person.sees("Do it? [y/N] ")
    person.types("y")
    shown = person.ends(0)
    assert "one version kept: app.py\n" in shown
    assert text(cli) == FIRST
    assert cli.run("conflicts").stdout == "no conflicts\n"


def test_a_person_lets_another_worker_reconcile(cli: Cli) -> None:
    person = Person(cli, "resolve", PATH, "reconcile")
    person.sees("app.py is given to a new worker with the versions of w1 and w2.")
    person.sees("Do it? [y/N] ")
    assert text(cli) == SECOND
    person.types("y")
    person.sees("w3 reconciles them")
    assert "Wait for them: codex-sidecar wait-any w3" in person.ends(0)
    cli.run("wait-any", "w3", "--timeout-ms", "60000")
    assert text(cli) == BOTH
    assert cli.run("conflicts").stdout == "no conflicts\n"


def test_a_program_rolls_back_what_it_was_shown(cli: Cli) -> None:
    offered = cli.json("rollback")
    assert [file["path"] for file in offered["preview"]["files"]] == [PATH]
    (cli.directory / PATH).write_text(SECOND + "mine\n")
    stale = cli.json("rollback", "--token", offered["token"], expect=2)
    assert stale["kind"] == "stale-token"
    assert stale["details"]["preview"]["userEdits"] == [PATH]
    assert text(cli) == SECOND + "mine\n"
    done = cli.json("rollback", "--token", stale["details"]["token"])
    assert done["files"] == [PATH]
    assert text(cli) == TEXT
    assert git(cli.directory, "status", "--porcelain") == ""
    assert cli.json("conflicts")["conflicts"] == []
    cli.json("restore", done["snapshotId"], "--yes")
    assert text(cli) == SECOND + "mine\n"


def test_a_script_rolls_back_with_the_printed_command_and_a_person_restores(cli: Cli) -> None:
    (cli.directory / "README.md").write_text("my own notes\n")
    command = printed_command(cli.run("rollback", "--job-ids", "w1").stdout)
    assert text(cli) == SECOND
    assert cli.run(*command).stdout.startswith("rolled back 1 file: app.py\n")
    assert text(cli) == TEXT
    cli.run(*command, expect=2)
    assert git(cli.directory, "status", "--porcelain") == " M README.md\n"

    (snapshot,) = cli.json("snapshots")["snapshots"]
    first, last = cli.run("snapshots").stdout.splitlines()
    assert first.startswith(snapshot["snapshotId"])
    assert last == "`codex-sidecar restore SNAPSHOT` brings one back."
    person = Person(cli, "restore", snapshot["snapshotId"])
    person.sees("Do it? [y/N] ")
    assert text(cli) == TEXT
    person.types("y")
    assert "restored 1 file: app.py\n" in person.ends(0)
    assert text(cli) == SECOND
    assert git(cli.directory, "status", "--porcelain") == f" M README.md\n M {PATH}\n"
    assert len(cli.json("snapshots")["snapshots"]) == 2, "what a restore replaces is kept, too"
