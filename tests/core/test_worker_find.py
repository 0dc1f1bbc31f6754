"""Where the Codex CLI is looked for, and which program is started in the end."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path

import pytest

from sidecar.model.errors import SidecarError
from sidecar.model.settings import CodexSettings
from sidecar.worker import find
from sidecar.worker.backend import CodexBackend
from sidecar.worker.find import Codex, Finder, native_beside
from tests.support.codex import TESTS, native_codex
from tests.support.plain import alive, until

NPM_CPU, RUST_CPU = find._CPU[platform.machine().lower()]
TRIPLE = f"{RUST_CPU}-unknown-linux-musl"
PACKAGE = f"codex-linux-{NPM_CPU}"


def program(path: Path, says: str = "codex-cli 0.169.0", body: str = "") -> Path:
    """A program that answers `--version` and counts how often it was run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho run >> '{path}.runs'\n{body}\necho '{says}'\n")
    path.chmod(0o755)
    return path


def runs(path: Path) -> int:
    return len(Path(f"{path}.runs").read_text().splitlines())


async def locate(env: dict[str, str], path: str = "") -> Codex:
    return await Finder().locate(CodexSettings(path=path), env)


async def missing(env: dict[str, str], path: str = "") -> SidecarError:
    with pytest.raises(SidecarError) as caught:
        await locate(env, path)
    assert caught.value.kind == "codex-not-found"
    return caught.value


async def test_the_setting_comes_first_then_the_variable_then_the_path(tmp_path: Path) -> None:
    by_setting = program(tmp_path / "a" / "codex one")
    by_variable = program(tmp_path / "b" / "codex two")
    by_path = program(tmp_path / "c" / "codex")
    env = {"PATH": str(by_path.parent), "CODEX_SIDECAR_CODEX": f"'{by_variable}' --lead 'x y'"}
    found = await locate(env, str(by_setting))
    assert (found.argv, found.source) == ((str(by_setting),), "setting")
    found = await locate(env)
    assert (found.argv, found.source) == ((str(by_variable), "--lead", "x y"), "CODEX_SIDECAR_CODEX")
    del env["CODEX_SIDECAR_CODEX"]
    found = await locate(env)
    assert (found.argv, found.source) == ((str(by_path),), "PATH")
    assert (found.version, found.is_codex, found.shown_version) == ((0, 169, 0), True, "0.169.0")


async def test_the_path_is_that_of_the_front_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = program(tmp_path / "mine" / "codex")
    monkeypatch.setenv("PATH", f"{mine.parent}:{os.environ['PATH']}")
    error = await missing({"PATH": str(tmp_path)})
    assert "there is no `codex` on the PATH" in error.message
    assert "npm install -g @openai/codex" in error.hint


async def test_relative_entries_of_the_path_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "codex")
    monkeypatch.chdir(tmp_path)
    for path in (".", "", ":"):
        await missing({"PATH": path})


async def test_names_in_setting_and_variable_are_searched_on_the_path(tmp_path: Path) -> None:
    other = program(tmp_path / "codex-beta")
    env = {"PATH": str(tmp_path)}
    assert (await locate(env, "codex-beta")).argv == (str(other),)
    assert (await locate({**env, "CODEX_SIDECAR_CODEX": "codex-beta -x"})).argv == (str(other), "-x")


@pytest.mark.parametrize("path", ["/no/such/codex", "bin/codex", "no-such-name"])
async def test_a_setting_that_names_nothing(path: str) -> None:
    error = await missing({"PATH": "/bin"}, path)
    assert "codexSidecar.codex.path" in error.message
    assert path in error.message


async def test_a_directory_or_a_plain_file_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file"):
        await missing({}, str(path))


async def test_a_variable_that_is_not_shell_quoted() -> None:
    error = await missing({"CODEX_SIDECAR_CODEX": "'open"})
    assert "CODEX_SIDECAR_CODEX is not a shell-quoted command" in error.message


async def test_too_old(tmp_path: Path) -> None:
    old = program(tmp_path / "codex", "codex-cli 0.168.9")
    error = await missing({}, str(old))
    assert "0.168.9" in error.message
    assert "too old" in error.message
    assert "npm install -g @openai/codex@latest" in error.hint
    assert error.details["minimum"] == "0.169.0"


@pytest.mark.parametrize("says", ["codex-cli 0.169.0", "codex-cli 0.170.0-alpha.3", "codex 1.0.0"])
async def test_new_enough(tmp_path: Path, says: str) -> None:
    assert (await locate({}, str(program(tmp_path / "codex", says)))).is_codex


async def test_a_program_that_is_not_codex_is_taken_as_it_is(tmp_path: Path) -> None:
    found = await locate({}, str(program(tmp_path / "w", "scripted-worker 1.0")))
    assert (found.version, found.is_codex, found.banner) == (None, False, "scripted-worker 1.0")


async def test_the_bundled_worker_is_not_taken_for_codex() -> None:
    command = f"'{sys.executable}' -m sidecar.demo.worker"
    found = await locate({**os.environ, "CODEX_SIDECAR_CODEX": command})
    assert (found.version, found.banner) == (None, "scripted-worker 1.0")


async def test_a_program_that_fails_or_cannot_be_started(tmp_path: Path) -> None:
    failing = program(tmp_path / "failing", body="echo 'env: node: No such file' >&2; exit 127")
    assert "env: node: No such file" in (await missing({}, str(failing))).message
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x7fELF nonsense")
    garbage.chmod(0o755)
    assert "cannot be started" in (await missing({}, str(garbage))).message


async def test_a_program_that_does_not_answer_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "VERSION_SECONDS", 2.0)
    slow = program(tmp_path / "slow", body=f"sleep 60 & echo $! > '{tmp_path}/pid'; wait")
    began = time.monotonic()
    error = await missing(dict(os.environ), str(slow))
    assert time.monotonic() - began < 20
    assert "gave no answer" in error.message
    left = int((tmp_path / "pid").read_text())
    # SIGKILL has been sent, and is carried out when the system comes to it.
    await until(lambda: not alive(left))


async def test_version_is_asked_once_for_each_state_of_the_file(tmp_path: Path) -> None:
    path = program(tmp_path / "codex")
    finder, settings = Finder(), CodexSettings(path=str(path))
    for _ in range(3):
        await finder.locate(settings, {})
    assert runs(path) == 1
    program(path, "codex-cli 0.200.0 (newer)")
    assert (await finder.locate(settings, {})).version == (0, 200, 0)
    assert runs(path) == 2
    program(path, "codex-cli 0.1.0, older")
    with pytest.raises(SidecarError, match="too old"):
        await finder.locate(settings, {})


def launcher(package: Path) -> Path:
    return program(package / "bin" / "codex.js")


@pytest.mark.parametrize(
    ("package", "native"),
    [
        ("lib/node_modules/@openai/codex", f"lib/node_modules/@openai/codex/node_modules/@openai/{PACKAGE}"),
        ("proj/node_modules/@openai/codex", f"proj/node_modules/@openai/{PACKAGE}"),
        (
            "n/.pnpm/@openai+codex@1/node_modules/@openai/codex",
            f"n/.pnpm/@openai+codex@1/node_modules/@openai/{PACKAGE}",
        ),
        ("proj/sub/node_modules/@openai/codex", f"proj/node_modules/@openai/{PACKAGE}"),
        ("old/node_modules/@openai/codex", "old/node_modules/@openai/codex"),
    ],
    ids=["nested", "hoisted", "pnpm", "workspace", "in the package"],
)
async def test_the_npm_launcher_is_replaced_by_the_native_binary(tmp_path: Path, package: str, native: str) -> None:
    script = launcher(tmp_path / package)
    binary = program(tmp_path / native / "vendor" / TRIPLE / "bin" / "codex", "codex-cli 0.169.1")
    link = tmp_path / "bin" / "codex"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(script, link.parent))
    found = await locate({"PATH": str(link.parent)})
    assert found.argv == (str(binary),)
    assert found.named == str(link)
    assert found.version == (0, 169, 1)
    assert not Path(f"{script}.runs").exists(), "the launcher itself was not started"


async def test_a_launcher_without_its_binary_is_started_itself(tmp_path: Path) -> None:
    script = launcher(tmp_path / "node_modules/@openai/codex")
    assert (await locate({}, str(script))).argv == (str(script),)


def test_another_codex_js_is_no_launcher_of_codex(tmp_path: Path) -> None:
    script = launcher(tmp_path / "my" / "codex")
    program(tmp_path / "my/codex/vendor" / TRIPLE / "bin" / "codex")
    assert native_beside(str(script)) is None


@pytest.mark.codex
async def test_the_real_launcher_leads_to_the_real_binary() -> None:
    found = await locate({"PATH": f"{TESTS}/codex/node_modules/.bin"})
    assert found.argv == (str(native_codex()),)
    assert found.version == (0, 169, 0)


@pytest.mark.codex
async def test_locating_again_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, settings = CodexBackend(), CodexSettings(path=str(native_codex()))
    found = await backend.locate(settings, {})

    async def refuse(*argv: object, **more: object) -> None:
        raise AssertionError("Codex is asked again")

    monkeypatch.setattr(find.program, "run", refuse)
    assert await backend.locate(settings, {}) == found
