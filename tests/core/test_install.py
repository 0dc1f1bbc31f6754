"""`codex-sidecar install` and `uninstall`: one entry in a client's file, everything else as it was."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from sidecar.bosses import entries
from sidecar.bosses.files import Json, Toml, changed
from sidecar.bosses.setup import BOSSES, Setup
from sidecar.cli.main import main
from sidecar.mcp.handshake import greet
from sidecar.model.errors import SidecarError

NAMES = st.text(st.sampled_from("abz-_ .\"'é"), min_size=1, max_size=8).filter(lambda name: name != entries.SERVER)
VALUES = st.one_of(st.booleans(), st.integers(-9, 9), st.text(max_size=9), st.lists(st.integers(0, 3), max_size=3))
SERVERS = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=3), max_size=3)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CODEX_HOME", "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Path(os.environ["HOME"])


def file_of(client: str) -> Path:
    return BOSSES[client].path(os.environ)


def content(client: str) -> dict[str, Any]:
    boss = BOSSES[client]
    return boss.form.read(file_of(client).read_text())


@given(rest=st.dictionaries(NAMES, VALUES, max_size=3), servers=SERVERS, form=st.sampled_from(["toml", "json"]))
def test_what_was_there_stays_and_taking_back_leaves_it(rest: dict[str, Any], servers: Any, form: str) -> None:
    rest.pop("servers", None)
    kind = Toml() if form == "toml" else Json()
    before = {**rest, "servers": servers} if servers else rest
    text = tomlkit.dumps(before) if form == "toml" else json.dumps(before)
    entry = entries.for_codex({})
    after = changed(kind, text, "servers", lambda old: kind.put(old, "servers", entry))
    assert kind.read(after) == {**rest, "servers": {**servers, entries.SERVER: entry}}
    back = kind.read(changed(kind, after, "servers", lambda old: kind.take(old, "servers")))
    assert {name: value for name, value in back.items() if value != {}} == {
        name: value for name, value in before.items() if value != {}
    }


def test_comments_and_order_of_a_toml_file_stay(home: Path) -> None:
    path = file_of("codex")
    path.parent.mkdir()
    text = '# mine\nmodel = "m"  # fast\n\n[mcp_servers.other]\ncommand = "x"\n\n[profiles.p]\nmodel = "n"\n'
    path.write_text(text)
    os.chmod(path, 0o640)
    Setup(BOSSES["codex"], os.environ).install()
    written = path.read_text()
    assert all(line in written.splitlines() for line in text.splitlines())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    Setup(BOSSES["codex"], os.environ).uninstall()
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["", "mcp_servers = {}\n", 'mcp_servers.other.command = "x"\n', "[mcp_servers]\n"])
def test_every_way_to_write_the_table_is_taken(home: Path, text: str) -> None:
    path = file_of("codex")
    path.parent.mkdir()
    path.write_text(text)
    Setup(BOSSES["codex"], os.environ).install()
    assert entries.is_ours(content("codex")["mcp_servers"][entries.SERVER])


def test_the_keys_of_model_providers_are_passed_on(home: Path) -> None:
    path = file_of("codex")
    path.parent.mkdir()
    path.write_text('[model_providers.corp]\nenv_key = "CORP_KEY"\n')
    Setup(BOSSES["codex"], os.environ).install()
    names = content("codex")["mcp_servers"][entries.SERVER]["env_vars"]
    assert {"CODEX_HOME", "OPENAI_API_KEY", "CORP_KEY"} <= set(names)


@pytest.mark.parametrize("client", list(BOSSES))
def test_another_servers_entry_is_never_overwritten_nor_taken(home: Path, client: str, capsys: Any) -> None:
    boss = BOSSES[client]
    path = file_of(client)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = boss.form.put("", boss.section, {"command": "/opt/other", "args": ["serve"]})
    path.write_text(text)
    for word in ("install", "uninstall"):
        assert main([word, client]) == 2
        assert "another server's" in capsys.readouterr().err
    assert path.read_text() == text


def test_what_a_person_changed_in_our_entry_stays(home: Path) -> None:
    Setup(BOSSES["codex"], os.environ).install()
    path = file_of("codex")
    path.write_text(path.read_text().replace("tool_timeout_sec = 60", "tool_timeout_sec = 300"))
    assert Setup(BOSSES["codex"], os.environ).install() == "unchanged"
    moved = path.read_text().replace(content("codex")["mcp_servers"][entries.SERVER]["command"], "/gone/codex-sidecar")
    path.write_text(moved.replace('args = ["-m", "sidecar", "mcp"]', 'args = ["mcp"]'))
    assert Setup(BOSSES["codex"], os.environ).install() == "written"
    entry = content("codex")["mcp_servers"][entries.SERVER]
    assert entry["tool_timeout_sec"] == 300
    assert (entry["command"], entry["args"]) == entries.program()


@pytest.mark.parametrize(
    ("client", "text", "named"),
    [
        ("codex", "model = [", "config.toml"),
        ("claude", "{ broken", ".claude.json"),
        ("vscode", '// a comment\n{"servers": {}}', "mcp.json"),
        ("claude", '{"mcpServers": [1]}', "mcpServers"),
        ("claude", "[]", "no object"),
    ],
)
def test_a_file_that_can_not_be_read_is_left_as_it_is(
    home: Path, client: str, text: str, named: str, capsys: Any
) -> None:
    path = file_of(client)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert main(["install", client]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "--print" in said
    assert path.read_text() == text
    assert main(["install", client, "--print"]) == 0
    assert entries.SERVER in capsys.readouterr().out
    assert path.read_text() == text


def test_a_link_stays_a_link(home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.json"
    kept.write_text('{\n    "theme": "dark"\n}\n')
    file_of("claude").symlink_to(kept)
    Setup(BOSSES["claude"], os.environ).install()
    assert file_of("claude").is_symlink()
    assert '\n    "mcpServers"' in kept.read_text()
    assert json.loads(kept.read_text())["theme"] == "dark"


def test_print_writes_nothing(home: Path, capsys: Any) -> None:
    for client in BOSSES:
        assert main(["install", client, "--print"]) == 0
        assert not file_of(client).exists()
    assert 'command = "' in capsys.readouterr().out


@pytest.mark.parametrize("client", list(BOSSES))
def test_print_shows_what_would_be_taken_back(home: Path, client: str, capsys: Any) -> None:
    assert main(["uninstall", client, "--print"]) == 0
    assert "has no entry of this program" in capsys.readouterr().out
    assert not file_of(client).exists()
    file_of(client).parent.mkdir(parents=True, exist_ok=True)
    Setup(BOSSES[client], os.environ).install()
    written = file_of(client).read_text()
    assert main(["uninstall", client, "--print"]) == 0
    said = capsys.readouterr()
    assert entries.SERVER in said.out
    assert str(file_of(client)) in said.err
    assert main(["uninstall", client, "--print", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entry"] == content(client)[BOSSES[client].section][entries.SERVER]
    assert file_of(client).read_text() == written


def test_a_file_that_changed_meanwhile_is_not_written_over(home: Path) -> None:
    setup = Setup(BOSSES["claude"], os.environ)
    file_of("claude").write_text('{"new": 1}')
    with pytest.raises(SidecarError) as caught:
        setup.install()
    assert caught.value.kind == "busy"
    assert file_of("claude").read_text() == '{"new": 1}'


@pytest.mark.slow
def test_install_greets_the_server_and_uninstall_takes_it_back(home: Path, capsys: Any) -> None:
    assert main(["install", "codex", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["outcome"] == "written"
    assert said["server"]["tools"] >= 13
    assert content("codex")["mcp_servers"][entries.SERVER] == said["entry"]
    assert main(["uninstall", "codex", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "removed"
    assert main(["uninstall", "codex", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "absent"


@pytest.mark.slow
@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('hello', flush=True); input()"])
async def test_a_program_that_does_not_answer_as_the_server_is_named(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.mcp.handshake.SECONDS", 3.0)
    with pytest.raises(SidecarError) as caught:
        await greet(sys.executable, ["-c", code], tmp_path)
    assert caught.value.kind == "state-unavailable"
    assert sys.executable in caught.value.message
