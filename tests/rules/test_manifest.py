"""What the extension declares in package.json is what its server has: actions, settings, and what its texts lead to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from sidecar.lsp.flows.actions import ACTIONS
from sidecar.model.settings import Settings

EXTENSION = Path(__file__).resolve().parent.parent.parent / "vscode-extension"
TEXT = (EXTENSION / "package.json").read_text()
CONTRIBUTED: dict[str, Any] = json.loads(TEXT)["contributes"]
WORDS: dict[str, str] = json.loads((EXTENSION / "package.nls.json").read_text())
PREFIX = "codexSidecar."
COMMANDS = {one["command"]: one for one in CONTRIBUTED["commands"]}

OF_THE_WINDOW = {"toggleAttribution", "restartServer", "showServerLog", "openSettings", "openWalkthrough"}
"""Commands that need no server."""
OF_VSCODE = {"git.init", "vscode.openFolder", "workbench.action.openSettings"}
OF_PYTHON = {"python.setInterpreter"}
"""Commands of the Python extension, which need not be there."""


def declared(name: str) -> bool:
    return name in COMMANDS


def test_every_command_is_an_action_and_every_action_a_command() -> None:
    names = {name.removeprefix(PREFIX) for name in COMMANDS}
    assert all(name.startswith(PREFIX) for name in COMMANDS)
    assert names - OF_THE_WINDOW == {name for name in ACTIONS if not name.startswith("codex_")}


def test_every_text_is_there_and_used() -> None:
    assert set(re.findall(r'"%([^%"]+)%"', TEXT)) == set(WORDS)


def test_menus_keys_and_steps_name_commands_that_there_are() -> None:
    named = [one["command"] for menu in CONTRIBUTED["menus"].values() for one in menu]
    named += [one["command"] for one in CONTRIBUTED["keybindings"]]
    steps = CONTRIBUTED["walkthroughs"][0]["steps"]
    events = [event for step in steps for event in step["completionEvents"]]
    named += [event.removeprefix("onCommand:") for event in events if event.startswith("onCommand:")]
    assert [name for name in named if not declared(name)] == []
    for step in steps:
        assert (EXTENSION / step["media"]["svg"]).is_file()


def test_links_in_texts_lead_to_commands_that_there_are() -> None:
    links = {name for text in WORDS.values() for name in re.findall(r"\(command:([\w.]+)", text)}
    assert {name for name in links if not declared(name)} <= OF_VSCODE | OF_PYTHON
    for one in CONTRIBUTED["viewsWelcome"]:
        if any(name in WORDS[one["contents"].strip("%")] for name in OF_PYTHON):
            assert "codexSidecar.pythonExtension" in one["when"]
    shown = {text for text in WORDS.values() for name in re.findall(r"command:codexSidecar\.\w+", text)}
    assert len(shown) > 5


def test_the_first_step_is_done_once_the_server_and_codex_are_there() -> None:
    (first, *others) = CONTRIBUTED["walkthroughs"][0]["steps"]
    # VS Code never counts what is true already when it reads the steps, which may be when the walkthrough opens;
    # then it is Check Setup that counts.
    ready = "onContext:codexSidecar.state == ready"
    assert first["completionEvents"] == [ready, f"{ready} && codexSidecar.did == checkSetup"]
    assert all(event.startswith("onCommand:") for step in others for event in step["completionEvents"])


def flat(section: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Settings by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in section.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def test_every_setting_of_the_server_is_declared_with_its_default() -> None:
    ours = CONTRIBUTED["configuration"]["properties"]
    for name, default in flat(msgspec.to_builtins(Settings())).items():
        if name != "isolation":  # It has one value only.
            assert ours[f"{PREFIX}{name}"]["default"] == default, name


def test_what_names_a_program_is_no_setting_of_a_repository() -> None:
    ours = CONTRIBUTED["configuration"]["properties"]
    for name in ("codex.path", "codex.extraArgs", "onRunFinishedCommand"):
        assert ours[f"{PREFIX}{name}"]["scope"] == "machine", name
    for name in ("server.path", "python.path"):
        assert ours[f"{PREFIX}{name}"]["scope"] == "machine-overridable", name
