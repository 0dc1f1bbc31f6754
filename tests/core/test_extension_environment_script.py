"""The extension's script that keeps its server's environments: real Pythons, real pip, real processes.

No index is asked; the wheel of these tests needs nothing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.pythons import program, python_of_version, python_without
from tests.support.raw import wait_until

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "vscode-extension" / "environment"
WHEEL = "codex_sidecar-1.0-py3-none-any.whl"
VERSION = ".".join(map(str, sys.version_info[:3]))
MINOR = ".".join(map(str, sys.version_info[:2]))
DAY = 86_400
SECONDS = 300.0

pytestmark = pytest.mark.timeout(600)


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("managed", SCRIPT / "managed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["managed"] = module  # Its dataclass looks itself up there.
    spec.loader.exec_module(module)
    return module


managed = load()


@dataclass(frozen=True)
class Said:
    """What the script has told its window."""

    end: dict[str, Any]
    installing: bool
    log: str

    @property
    def python(self) -> Path:
        return Path(self.end["python"])

    @property
    def made(self) -> int:
        """How many environments it has begun."""
        count = self.log.count("Making ")
        assert self.installing >= (count > 0), "the person is told"
        return count


def begin(home: Path, extension: Path, *options: str, command: object = sys.executable, **env: str) -> Any:
    """A window that asks a Python."""
    words = [command, "-E", "-s", "-B", SCRIPT, command, home, "--extension", extension]
    fixed = {
        "PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_NO_CACHE_DIR": "1",
    }  # fmt: skip
    return subprocess.Popen(
        [*map(str, words), *options], env={**fixed, **env}, cwd="/", text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process: Any) -> Said:
    text, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, text + log
    *before, answer = map(json.loads, text.splitlines())
    assert before in ([], [{"installing": True}])
    assert answer.keys() in ({"python"}, {"problem"})
    return Said(answer, bool(before), log)


def ask(home: Path, extension: Path, *options: str, command: object = sys.executable, **env: str) -> Said:
    return end(begin(home, extension, *options, command=command, **env))


def fails(said: Said, state: str, message: str) -> None:
    problem = said.end["problem"]
    assert problem["state"] == state, said
    assert re.search(message, problem["message"]), said


def carry(extension: Path, starts: bool = True, more: str = "", version: str = "1.2.3") -> Path:
    """An extension with a package that starts or does not."""
    path = extension / "bundled"
    path.mkdir(parents=True)
    (extension / "package.json").write_text(json.dumps({"version": version}))
    with zipfile.ZipFile(path / WHEEL, "w") as wheel:
        info = "codex_sidecar-1.0.dist-info"
        for name, text in {
            "sidecar/__init__.py": "",
            "sidecar/entry.py" if starts else "sidecar/other.py": "",
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: codex-sidecar\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    hashed = hashlib.sha256((path / WHEEL).read_bytes()).hexdigest()
    (path / "requirements.txt").write_text(f"./{WHEEL} --hash=sha256:{hashed}\n{more}")
    return extension


def environments(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir() if path.name.startswith("server-"))


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carry(tmp_path_factory.mktemp("carried") / "extension")


@dataclass(frozen=True)
class Made:
    """A finished environment for the tests that need one, because making one takes seconds."""

    home: Path
    path: Path
    said: list[Said]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, carried: Path) -> Made:
    """Made for two windows that started at once."""
    home = tmp_path_factory.mktemp("home") / "of all"
    both = [begin(home, carried), begin(home, carried)]
    said = [end(one) for one in both]
    return Made(home, said[0].python.parent.parent, said)


def key(home: Path, extension: Path, command: str = "python3") -> str:
    return str(managed.key_of(managed.Plan(command, home, extension)))


def test_the_key_changes_with_everything_that_goes_into_an_environment_and_with_nothing_else(
    tmp_path: Path, carried: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = key(tmp_path, carried)
    assert re.fullmatch(r"server-1\.2\.3-[0-9a-f]{16}", first)
    assert key(tmp_path / "elsewhere", carried, command="another") == first
    keys = {
        first,
        key(tmp_path, carry(tmp_path / "version", version="1.2.4")),
        key(tmp_path, carry(tmp_path / "wheel", starts=False)),
        key(tmp_path, carry(tmp_path / "hashes", more="# and more\n")),
    }
    monkeypatch.setattr(managed, "python_version", lambda parts: ["3", "99", "0"][:parts][-1])
    assert len({*keys, key(tmp_path, carried)}) == 5


def test_an_extension_without_a_server_says_so(tmp_path: Path) -> None:
    fails(ask(tmp_path / "home", tmp_path), "noServer", "carries no server")
    assert not (tmp_path / "home").exists()


def test_an_old_python_says_that_it_is_one(tmp_path: Path, carried: Path) -> None:
    for version in ((2, 7, 18), (3, 6, 1), (3, 9, 20)):
        said = ask(tmp_path / "home", carried, command=python_of_version(tmp_path / "python", *version))
        fails(said, "oldPython", rf"^{tmp_path}/python is Python {'.'.join(map(str, version))}\.$")
    for version in ((3, 10, 0), (4, 0, 0)):
        said = ask(tmp_path / "home", carried, "--installed", command=python_of_version(tmp_path / "python", *version))
        assert said.end == {"python": str(tmp_path / "python")}, "it is new enough, and has the server"
    assert not (tmp_path / "home").exists()


def test_an_old_python_can_read_the_first_stage() -> None:
    ast.parse((SCRIPT / "__main__.py").read_text(), feature_version=(3, 4))
    needed = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert needed is not None
    assert f"sys.version_info < ({needed[1]}, {needed[2]})" in (SCRIPT / "__main__.py").read_text()


@pytest.mark.slow
def test_two_windows_that_start_at_once_make_one_environment(made: Made) -> None:
    one, other = made.said
    assert one.python == other.python
    assert one.made + other.made == 1
    # Where one began when the other had done, it did not even wait.
    assert ("Another window is installing" in one.log + other.log) or not (one.installing and other.installing)
    assert "Successfully installed codex-sidecar-1.0" in one.log + other.log
    assert environments(made.home) == [made.path.name]


@pytest.mark.slow
def test_an_environment_is_found_again_and_its_use_remembered(made: Made, carried: Path) -> None:
    os.utime(made.path / "ready", (1, 1))
    again = ask(made.home, carried)
    assert again.end == {"python": str(made.path / "bin" / "python")}
    assert not again.installing
    assert (made.path / "ready").stat().st_mtime > time.time() - DAY
    # Not moved after it was made: its programs name their Python by its path.
    pip = subprocess.run([made.path / "bin" / "pip", "--version"], check=True, capture_output=True, text=True)
    assert str(made.path) in pip.stdout


@pytest.mark.slow
def test_what_is_not_finished_or_does_not_work_any_more_is_made_again(
    made: Made, carried: Path, tmp_path: Path
) -> None:
    name = key(tmp_path, carried)
    assert made.path.name.startswith(f"{name}.")
    half, broken = tmp_path / f"{name}.1-half", tmp_path / f"{name}.0-broken"
    # As far as it can be without the mark.
    shutil.copytree(made.path, half, symlinks=True)
    (half / "ready").unlink()
    (broken / "bin").mkdir(parents=True)
    (broken / "bin" / "python").symlink_to(tmp_path / "removed" / "python")
    (broken / "ready").touch()
    said = ask(tmp_path, carried)
    assert said.made == 1
    assert said.python.parent.parent not in (half, broken)
    assert "0-broken does not work any more" in said.log
    # Another wheel of the same version gets one of its own, and the other one is left to its users.
    other = ask(tmp_path, carry(tmp_path / "changed", more="# changed\n"))
    assert other.made == 1
    assert ask(tmp_path, carried).end == said.end != other.end


@pytest.mark.slow
def test_a_window_that_is_killed_while_it_installs_holds_up_nobody(carried: Path, tmp_path: Path) -> None:
    one = begin(tmp_path, carried)
    wait_until(lambda: list(tmp_path.glob("server-*/bin/python")), "it has begun", SECONDS)
    one.send_signal(signal.SIGSTOP)
    (left,) = environments(tmp_path)
    other = begin(tmp_path, carried)
    said = [other.stderr.readline(), other.stderr.readline()]
    assert said[1] == "Another window is installing the server.\n"
    one.kill()
    made = end(other)
    assert "Making " in made.log
    assert made.python.parent.parent.name != left
    assert ask(tmp_path, carried).end == made.end
    one.communicate(timeout=SECONDS)  # What it had begun may still write.


def test_old_environments_are_removed_but_none_that_is_in_use_young_or_not_ours(tmp_path: Path) -> None:
    old = time.time() - 2 * DAY

    def add(name: str, mark: bool, since: float | None = None) -> Path:
        path = tmp_path / name
        (path / "bin").mkdir(parents=True)
        shutil.copy("/bin/sleep", path / "bin" / "python")
        if mark:
            (path / "ready").touch()
        if since is not None:
            for one in (path / "ready", path):
                if one.exists():
                    os.utime(one, (since, since))
        return path

    current, used = add("server-2-b.1", True, old), add("server-1-a.2", True, old)
    add("server-1-a.1", True, old)
    add("server-1-a.3", True)
    add("server-1-a.4", False, old)
    add("server-1-a.5", False)
    add("removed-server-0-a.1", True, old)
    add("others", True, old)
    for name in ("server-1-a.lock", "lock"):  # What an earlier version left, and ours.
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (old, old))
    # As a sidecar that has outlived its window.
    running = subprocess.Popen([used / "bin" / "python", "600"], start_new_session=True)
    try:
        wait_until(lambda: str(used) in Path(f"/proc/{running.pid}/cmdline").read_text(), "it runs")
        managed.clean(tmp_path, current)
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left == ["lock", "others", "server-1-a.2", "server-1-a.3", "server-1-a.5", "server-2-b.1"]
    finally:
        running.kill()
        running.wait()
    managed.clean(tmp_path, current)
    assert not used.exists()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["ensurepip", "venv"])
def test_a_python_without_venvs_parts_names_the_package_that_brings_them(
    module: str, carried: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    said = ask(home, carried, command=python_without(module, tmp_path / "python"))
    fails(said, "noVenv", rf"python3 needs the package python{MINOR}-venv \(Debian, Ubuntu\)\.$")
    assert environments(home) == [], "nothing is left behind"


@pytest.mark.slow
def test_an_index_that_cannot_be_reached_is_told_from_what_else_can_fail(carried: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    away = carry(tmp_path / "away", more=f"nothing-at-all==1.0 --hash=sha256:{'0' * 64}\n")
    closed = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    said = ask(home, away, **closed)
    fails(said, "offline", "^pip: .*nothing-at-all")
    assert "127.0.0.1" in said.log, "pip's words are in the log"
    # The same with an index that is there and has no such package.
    fails(ask(home, away), "failed", "^pip: .*nothing-at-all")
    changed = carry(tmp_path / "changed")
    (changed / "bundled" / "requirements.txt").write_text(f"./{WHEEL} --hash=sha256:{'0' * 64}\n")
    fails(ask(home, changed), "failed", r"Got\s+[0-9a-f]{64}")
    fails(ask(home, carry(tmp_path / "broken", starts=False)), "failed", "does not start")
    assert environments(home) == [], "nothing is left behind"


def test_what_nobody_thought_of_is_told_too(carried: Path, tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    said = ask(tmp_path / "home", carried, HOME=str(tmp_path))
    fails(said, "failed", "FileExistsError|NotADirectoryError")
    assert "Traceback" in said.log


BROKEN = "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by "


@pytest.mark.parametrize(
    "words",
    [
        f"{BROKEN}'NewConnectionError('<...>: Failed to establish a new connection: [Errno -3] Temporary failure')'",
        f"{BROKEN}'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 403 Forbidden'))'",
        f"{BROKEN}'ReadTimeoutError(\"HTTPSConnectionPool(host='example.org', port=443): Read timed out.\")'",
        "Could not fetch URL https://example.org/simple/: There was a problem confirming the certificate: SSLError(..)",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "ERROR: HTTP error 503 while getting https://example.org/a.whl",
    ],
)
def test_pips_ways_to_say_that_it_is_offline(words: str) -> None:
    assert managed.is_offline(f"Looking in indexes\n{words}\nERROR: No matching distribution found for a==1")
    assert not managed.is_offline(f"{words}\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES")
    assert not managed.is_offline("ERROR: Could not find a version that satisfies the requirement a==1 (from: none)")


def test_a_python_without_the_server_is_told_from_one_with_it(carried: Path, tmp_path: Path) -> None:
    assert ask(tmp_path, carried, "--installed").end == {"python": sys.executable}
    without = program(tmp_path / "python", f"exec '{sys.executable}' -S \"$@\"")
    said = ask(tmp_path, carried, "--installed", command=without)
    fails(said, "noServer", rf"^{without}, Python {re.escape(VERSION)}, has no package codex-sidecar\.$")
    assert managed.has_server(tmp_path / "nowhere") is False


def test_the_program_for_others_stays_where_it_is(tmp_path: Path) -> None:
    home = tmp_path / "it's a home"
    for name in ("one", "two", "two"):
        (home / name / "bin").mkdir(parents=True, exist_ok=True)
        program(home / name / "bin" / "codex-sidecar", f'echo {name} "$@"')
        managed.write_launcher(home, home / name)
        done = subprocess.run([home / "codex-sidecar", "mcp", "a b"], check=True, capture_output=True, text=True)
        assert done.stdout == f"{name} mcp a b\n"
    assert sorted(path.name for path in home.iterdir()) == ["codex-sidecar", "one", "two"]


def test_on_windows_the_program_lies_elsewhere() -> None:
    assert managed.python_in(Path("e"), "win32") == Path("e", "Scripts", "python.exe")
    assert managed.python_in(Path("e"), "darwin") == Path("e", "bin", "python")
