"""What the program answers without asking a sidecar: help, version, wrong use, bugs."""

from __future__ import annotations

import json

import pytest

from sidecar import __version__
from sidecar.cli import doctor
from sidecar.cli.exits import of_error
from sidecar.cli.main import main
from sidecar.model.errors import ERROR_KINDS

COMMANDS = (
    "lsp", "mcp", "run", "spawn", "spawn-group", "wait-any", "events", "result", "status", "cancel", "resume",
    "baseline", "conflicts", "resolve", "rollback", "rerun", "snapshots", "restore", "report", "doctor", "install",
    "uninstall", "daemon", "demo",
)  # fmt: skip


@pytest.mark.parametrize(
    "argv",
    [
        [], ["resolve"], ["nonsense"], ["--nonsense"], ["daemon", "restart"], ["daemon"], ["run"], ["--repo"],
        ["status", "--jso"], ["status", "one", "two"], ["spawn", "x", "--sandbox"], ["--repo=/not/there", "status"],
        ["run", "--write", "x", "--on-conflict", "mend"], ["resolve", "a.py", "mend"], ["rollback", "--token"],
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("codex-sidecar: ")
    assert shown.err.count("\n") == 1


def test_an_unknown_command_is_answered_with_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spwan", "x", "--json"]) == 2
    shown = capsys.readouterr()
    error = json.loads(shown.out)
    assert error["kind"] == "invalid-arguments"
    assert "spwan" in error["message"]
    assert all(command in shown.err for command in COMMANDS)


def test_the_help_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("commands:") + 1
    listed = [line.split()[0] for line in lines[start : lines.index("", start)]]
    assert listed == list(COMMANDS)


def test_every_command_has_help_with_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS[2:]:
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: codex-sidecar {command} ")
        assert "exit codes:" in shown
        assert "--repo DIR" in shown


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"codex-sidecar {__version__}\n"


def test_every_error_has_an_exit_code() -> None:
    assert {of_error(kind) for kind in ERROR_KINDS} == {1, 2, 3}  # type: ignore[arg-type]


def test_a_bug_is_a_sentence_not_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(repo: str | None) -> dict[str, object]:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor, "check", broken)
    assert main(["doctor", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["kind"] == "internal"
    assert shown.err.count("\n") == 1
    assert "ZeroDivisionError: oh" in shown.err
    assert "test_cli_main.py" in shown.err
