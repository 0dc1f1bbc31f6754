"""A newcomer, in a real VS Code: the server comes along and is installed by real pip from a real index, and then the
whole way with it, from the walkthrough over two workers that collide to what is rolled back and restored.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import psutil
import pytest

from sidecar.demo.model import ScriptedModel
from sidecar.tools.handlers import title_of
from tests.support.cli import report, script
from tests.support.codex import native_codex, write_codex_home
from tests.support.pythons import program, python_of_version, python_without
from tests.support.raw import endpoint, no_service_left, wait_until
from tests.support.referee import Referee
from tests.support.repo import git, make_repo
from tests.support.vscode import Window, build_extension, chromium, open_window
from tests.support.vscode_place import FILES, FIRST, PATH, SECOND, TEXT, colliding, wait_for

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(1200)]

_USERS = Path(os.environ.get("PIP_CONFIG_FILE", Path.home() / ".config" / "pip" / "pip.conf"))
# Where pip finds its index is the machine's affair. All other settings of this run are the test's own.
_PIP = {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name.startswith("PIP_")}
NETWORK = {n: v for n, v in os.environ.items() if n.lower().endswith("_proxy") or ("CERT" in n and n[:4] != "PIP_")}


def pip_settings() -> configparser.RawConfigParser:
    """The machine's, so that the person of this test can write them into a file of their own."""
    settings = configparser.RawConfigParser()
    settings.read(_USERS)
    settings.read_dict({"global": {name: value for name, value in _PIP.items() if name != "config-file"}})
    return settings


def environments(storage: Path) -> dict[str, bool]:
    """What lies in the extension's storage, and whether it is finished."""
    return {path.name: (path / "ready").exists() for path in storage.iterdir() if path.is_dir()}


def log_of(run: Path, window: str = "*") -> str:
    """What the extension has said in its output channel, in all windows or in one, which count from 1."""
    found = run.glob(f"user-data/logs/*/exthost{window}/**/Codex Sidecar.log")
    return "\n".join(path.read_text() for path in sorted(found))


def says(run: Path, text: str, window: str = "*") -> None:
    """VS Code writes an output channel a while after it was told."""
    wait_until(lambda: text in log_of(run, window), f"the output channel says {text!r}", 60.0)


def python_extension(run: Path) -> None:
    """What VS Code takes for the Python extension at its first start: its interface, and no Python that it knows of.

    The real one comes from a marketplace only. Select Interpreter chooses what a file names.
    """
    place = run / "extensions" / "ms-python.python-1.0.0"
    place.mkdir(parents=True)
    command = {"command": "python.setInterpreter", "title": "Select Interpreter"}
    about = {"name": "python", "publisher": "ms-python", "version": "1.0.0", "engines": {"vscode": "^1.101.0"}}
    manifest = {**about, "main": "./extension.js", "contributes": {"commands": [command]}}
    (place / "package.json").write_text(json.dumps(manifest))
    (place / "extension.js").write_text(PYTHON_EXTENSION.replace("CHOSEN", json.dumps(str(run / "chosen-python"))))


PYTHON_EXTENSION = """
const { existsSync, readFileSync } = require("node:fs");
const vscode = require("vscode");
exports.activate = () => {
  const changed = new vscode.EventEmitter();
  vscode.commands.registerCommand("python.setInterpreter", () => changed.fire({}));
  return {
    environments: {
      onDidChangeActiveEnvironmentPath: changed.event,
      getActiveEnvironmentPath: () => ({ id: "chosen", path: CHOSEN }),
      resolveEnvironment: async ({ path }) =>
        existsSync(path) ? { executable: { uri: vscode.Uri.file(readFileSync(path, "utf8")) } } : undefined,
    },
  };
};
"""


def says_why(window: Window, name: str, text: str, *buttons: str, **facts: Any) -> None:
    """The view says what is missing, and offers ways out."""
    seen = window.play("welcome", name, text=text, **facts)
    assert seen["toasts"] == 0
    for button in buttons:
        assert button in seen["texts"]


# -- what the person does with the workers ----------------------------------------------------------------------------


TASKS = (
    "Retry each upload that times out, up to three times.",
    "Raise typed errors where an upload fails.",
    "Log how long each upload takes, and its size.",
)
"""Longer than a title, so that no row shows a script."""


def persons(repo: Path) -> dict[str, str]:
    """What is the person's alone, whatever workers do: HEAD, the index, and files that no worker touches."""
    names = ("README.md", "staged.txt", "untracked.txt", "kept/ignored")
    return {
        "HEAD": git(repo, "rev-parse", "HEAD"),
        "branches": git(repo, "branch", "-a", "--format=%(refname) %(objectname)"),
        "index": git(repo, "ls-files", "--stage"),
        "stashes": git(repo, "stash", "list"),
        **{name: (repo / name).read_bytes().hex() for name in names},
    }


def collide(window: Window, repo: Path, python: Path, go: Path, referee: Referee) -> None:
    """The walkthrough first, with its sample; then two workers from the palette, and the warning of their conflict."""
    # Only without the GPU's help a terminal's text can be read in the page.
    window.choose({"terminal.integrated.gpuAcceleration": "off"})
    seen = window.play(
        "walkthrough", "newcomer-walkthrough", spawn="Spawn a read-only worker", step="When two workers meet",
        button="Try with a Sample Conflict", playing="Codex Sidecar demo with",
        over="Press Enter to close this terminal.",
    )  # fmt: skip
    assert seen["ticked"][-1] == ["setup", "spawn", "conflict"]

    # Both begin before one of them writes. The model waits 20 s at most with an answer; a busy machine needs more.
    begin = [{"sh": "true", "until": {"path": str(go), "holds": "go"}}] * 8
    steps = colliding(referee, [title_of(task) for task in TASKS[:2]], len(begin))
    one, two = (script(*begin, *own, task=task) for task, own in zip(TASKS[:2], steps, strict=True))
    seen = window.play("spawn", "newcomer-spawned", folder=str(repo), prompt=one, dirty="uncommitted changes")
    assert seen["row"].startswith("w1, Retry each upload")
    assert seen["toasts"] == 0
    where = endpoint(repo)
    assert where is not None
    assert psutil.Process(where["pid"]).cmdline()[0] == str(python)
    row = window.play("spawn-again", "newcomer-spawned-again", prompt=two, file=PATH, row="w2 ·")
    assert row.startswith("w2, Raise typed errors")
    # The window watches from the beginning: a notification hides after some seconds.
    window.begin("conflict", "newcomer-conflict", path=PATH, message="changed the same line (4).")
    go.write_text("go")
    seen = window.answer()
    assert seen["buttons"] == ["Review", "Later"]
    assert "w1 and w2 changed the same line" in seen["lens"]
    window.play("row", "newcomer-done", text="Done (2)")
    assert (repo / PATH).read_text() == SECOND


def merge(window: Window, repo: Path) -> None:
    """The window is loaded anew, and the conflict is merged in it: the first worker's line is taken."""
    seen = window.play("merge-open", "newcomer-merge", folder=str(repo), path=PATH, line=4, choice="Merge w1 and w2...")
    assert seen["remaining"] == "1 Conflict Remaining"
    first, second = (" ".join(head) for head in seen["heads"])
    assert "w1 Retry each upload" in first
    assert "w2 Raise typed errors" in second
    seen = window.play("merge-accept", "newcomer-accepted", accept=f"Accept w1 {title_of(TASKS[0])}")
    assert "four by w1" in seen["text"]
    assert (repo / PATH).read_text() == SECOND, "only Finish Merge writes"
    window.play("merge-finish", "newcomer-merged")
    wait_for(repo / PATH, FIRST)


def roll_back_and_restore(window: Window, repo: Path) -> None:
    """One more worker; what all have done is rolled back, and after another reload it is restored."""
    third = FIRST.replace("line 8", "eight by w3")
    update = f"*** Update File: {PATH}\n@@\n line 7\n-line 8\n+eight by w3\n*** Add File: new.txt\n+new\n"
    prompt = script(
        {"patch": f"*** Begin Patch\n{update}*** End Patch\n"}, report("did it", PATH, "new.txt"), task=TASKS[2]
    )
    window.play("spawn-again", "newcomer-third", prompt=prompt, row="w3 ·")
    window.play("row", "newcomer-third-done", text="Done (3)")
    assert (repo / PATH).read_text() == third

    text = window.play(
        "question", "newcomer-rolled-back", command="Codex Sidecar: Roll Back to Baseline...",
        choose="Roll back which files?", question="to the baseline?", answer="Save Snapshot and Roll Back",
    )  # fmt: skip
    assert "Roll back 2 files to the baseline?" in text
    assert "Not touched: your edits in README.md" in text
    wait_for(repo / PATH, TEXT)
    wait_until(lambda: not (repo / "new.txt").exists(), "the new file is gone", 180.0)
    window.play("row", "newcomer-rolled-back-row", text="Done (3)")

    window.play(
        "question", "newcomer-restored", folder=str(repo),
        command="Codex Sidecar: Restore Snapshot...", pick="2 files,", question="from the snapshot of",
        answer="Save Snapshot and Restore",
    )  # fmt: skip
    wait_for(repo / PATH, third)
    wait_until((repo / "new.txt").exists, "the new file is there again", 180.0)
    assert (repo / "new.txt").read_bytes() == b"new\n"
    window.play("row", "newcomer-end", text="Done (3)")


def test_the_extension_installs_its_server(tmp_path: Path) -> None:
    chromium()
    package = build_extension()
    assert package.stat().st_size < 3_000_000
    for name in ("home", "run", "vscode"):
        (tmp_path / name).mkdir(mode=0o700)
    run = tmp_path / "vscode"
    storage = run / "user-data" / "User" / "globalStorage" / "codex-sidecar.codex-sidecar"
    for name in ("python3", "python"):
        python_of_version(tmp_path / "bin" / name, 3, 8, 18)
    # VS Code takes PATH from a login shell.
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    (tmp_path / "home" / ".profile").write_text(f"export PATH='{path}'\n")
    index = tmp_path / "pip.conf"
    index.write_text("[global]\nindex-url = http://127.0.0.1:9/simple\nretries = 1\n")
    repo = make_repo(tmp_path / "repo", FILES)
    for name in ("README.md", "staged.txt", "untracked.txt", "kept/ignored"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("mine\n")
    git(repo, "add", "staged.txt")
    with ScriptedModel() as model, no_service_left(repo):
        env = {
            "PATH": path,
            "HOME": str(tmp_path / "home"),
            "XDG_RUNTIME_DIR": str(tmp_path / "run"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
            "CODEX_HOME": str(write_codex_home(tmp_path / "codex", model.url)),
            "PIP_CONFIG_FILE": str(index),
            **NETWORK,
        }
        python_extension(run)
        with open_window(run, package, {"codexSidecar.codex.path": str(native_codex())}, env) as window:
            ways = ("Set Python Path", "Try Again", "Show Server Log")
            old = "Python that was found is too old"
            says_why(window, "old-python", old, "Select Interpreter", *ways, folder=str(repo))
            says(run, "python3 is Python 3.8.18.")
            # What is chosen is tried at once.
            chosen = python_of_version(tmp_path / "chosen" / "python3", 3, 9, 1)
            (run / "chosen-python").write_text(str(chosen))
            window.play("welcome", "another-old-python", text=old, press="Select Interpreter")
            says(run, f"{chosen} is Python 3.9.1.")
            (run / "chosen-python").unlink()
            window.choose({"codexSidecar.python.path": str(tmp_path / "nowhere")})
            says_why(window, "no-python", "Python 3.10 or newer was not found", *ways)

            bare = program(tmp_path / "bare" / "python3", f"exec '{sys.executable}' -S \"$@\"")
            strategy = "codexSidecar.server.importStrategy"
            window.choose({"codexSidecar.python.path": str(bare), strategy: "fromEnvironment"})
            ways = ("Choose Where It Comes From", "Try Again", "Show Server Log")
            says_why(window, "no-server", "has no package codex-sidecar", *ways)
            assert not storage.exists() or environments(storage) == {}

            # The first one that is new enough; with all parts but one.
            python = python_without("venv", tmp_path / "less")
            program(tmp_path / "bin" / "python", f"exec '{python}' \"$@\"")
            window.choose({"codexSidecar.python.path": "", strategy: "useBundled"})
            ways = ("Try Again", "Set Python Path", "Show Server Log")
            says_why(window, "no-venv", "apt install python3-venv", *ways)
            library = Path(sysconfig.get_path("stdlib"))
            (python.parent.parent / library.parent.name / library.name / "venv").symlink_to(library / "venv")
            window.play("welcome", "no-venv-again", text="apt install python3-venv", press="Try Again")
            says_why(window, "offline", "pip reached no package index", "Try Again", "Show Server Log")
            assert environments(storage) == {}

            with index.open("w") as file:
                pip_settings().write(file)
            window.play("welcome", "offline-again", text="pip reached no package index", press="Try Again")
            says_why(window, "installing", "Installing the Codex Sidecar server", "Show Server Log")
            wait_until(lambda: list(storage.glob("server-*/ready")), "pip has ended", 600.0)
            says_why(window, "installed", "No workers yet.")
            (made,) = environments(storage)
            says(run, "Successfully installed")
            python = storage / made / "bin" / "python"

            before = persons(repo)
            with Referee(repo, tmp_path / "known") as referee:
                collide(window, repo, python, tmp_path / "go", referee)
            assert persons(repo) == before

            # Another window starts what this one has found without asking, and asks where that does not start.
            known = log_of(run).count("Making ")
            moved, once = python.with_name("moved"), tmp_path / "once"
            python.rename(moved)
            program(python, f"[ -e '{once}' ] || {{ touch '{once}'; exit 1; }}\nexec '{moved}' \"$@\"")
            merge(window, repo)
            says(run, f"{repo}: started", "3")
            assert environments(storage) == {made: True}
            assert persons(repo) == before

            (repo / "README.md").write_text("mine, later\n")
            before = persons(repo)
            roll_back_and_restore(window, repo)
            assert persons(repo) == before
            window.play("leave", "left")
        assert log_of(run, "2").partition(": started")[0].count(" is Python ") == 0
        told = log_of(run, "3")
        assert told.index(f"{repo}: starting {python}") < told.index("python is Python ")
        assert told.count(": starting ") == 2
        assert log_of(run).count("Making ") == known, "nothing is installed again"
        # What a boss's configuration would name: a path that outlives this version of the extension.
        ask = "from sidecar.bosses.entries import program; print(program()[0])"
        named = subprocess.run(
            [python, "-c", ask], env=env, cwd="/", check=True, capture_output=True, text=True, timeout=120
        )
        program_path = named.stdout.strip()
        assert program_path == str(storage / "codex-sidecar")
        asked = [program_path, "--repo", str(repo), "status", "--json"]
        status = subprocess.run(asked, env=env, check=True, capture_output=True, text=True, timeout=120)
        assert [job["status"] for job in json.loads(status.stdout)["jobs"]] == ["done"] * 3
