"""The virtual environments in which the extension keeps its server: finds one that fits, or has venv and pip make it.

    python -E -s -B environment COMMAND HOME [--installed]

The extension runs this with each Python that somebody may mean, COMMAND, until one is new enough. Lines for its output
channel go to standard error. On standard output stands `{"installing": true}` as soon as it begins to take long, and at
the end one JSON object: `python`, the program of an environment whose server starts, or `problem` with a `state` that
decides what the view offers, and a `message` of one line for people. Only the standard library is at hand here.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "ready"
"""Written last; its time is that of the last use."""
NOWHERE = os.path.abspath(os.sep)
"""`python -c` takes modules from the working directory first, and pyenv its version: it must be nobody's."""
START_SECONDS = 60
INSTALL_SECONDS = 30 * 60
UNUSED_SECONDS = 24 * 60 * 60
UNFINISHED_SECONDS = 60 * 60
HASHES = re.compile("DO NOT MATCH THE HASHES|subprocess-exited-with-error")
OFFLINE = re.compile(
    r"after connection broken by|Max retries exceeded|Failed to (connect|establish)|ReadTimeout|ConnectTimeout"
    r"|timed out|ProxyError|SSLError|name resolution|Network is unreachable|HTTP error 5\d\d",
    re.IGNORECASE,
)


class Problem(Exception):
    """Why there is no server. `state` decides what the view offers."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True)
class Plan:
    """What an environment is made of, and where."""

    command: str
    """The Python that runs this, as the extension calls it."""
    home: Path
    """The directory of all environments."""
    extension: Path
    """The extension, which carries the server's wheel and requirements.txt."""

    @property
    def carried(self) -> Path:
        return self.extension / "bundled"


def main(arguments: list[str]) -> int:
    """Answers with the Python of the server, or why there is none; returns the exit code, 0 in both cases."""
    parser = argparse.ArgumentParser(prog="environment")
    parser.add_argument("command", help="the Python that runs this")
    parser.add_argument("home", type=Path, help="the directory of all environments")
    parser.add_argument("--installed", action="store_true", help="the server is a package of this Python")
    parser.add_argument("--extension", type=Path, default=Path(__file__).parent.parent, help="(for tests)")
    asked = parser.parse_args(arguments)
    plan = Plan(asked.command, asked.home, asked.extension)
    log(f"{plan.command} is Python {python_version()}.")
    try:
        say(python=with_server(plan) if asked.installed else with_environment(plan))
    except Problem as problem:
        say(problem={"state": problem.state, "message": str(problem)})
    except Exception as exc:  # noqa: BLE001 - a person reads it in the view, and all of it in the log
        log(traceback.format_exc())
        say(problem={"state": "failed", "message": f"{type(exc).__name__}: {exc}"})
    return 0


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def with_server(plan: Plan) -> str:
    """The Python itself.

    Raises:
        Problem: it has no server.
    """
    if not has_server(plan.command):
        raise Problem("noServer", f"{plan.command}, Python {python_version()}, has no package codex-sidecar.")
    return plan.command


def with_environment(plan: Plan) -> str:
    """The Python of an environment of the extension's own.

    Raises:
        Problem: it can not be made.
    """
    environment = existing(plan) or make(plan)
    write_launcher(plan.home, environment)
    clean(plan.home, environment)
    return str(python_in(environment))


def python_version(parts: int = 3) -> str:
    """As in "3.11.7"."""
    return ".".join(map(str, sys.version_info[:parts]))


def python_in(environment: Path, platform: str = sys.platform) -> Path:
    """The program of a virtual environment."""
    return environment / "Scripts" / "python.exe" if platform == "win32" else environment / "bin" / "python"


def has_server(python: str | Path) -> bool:
    """Whether a Python can start the server."""
    try:
        done = subprocess.run(
            [python, "-c", "import sidecar.entry"], cwd=NOWHERE, timeout=START_SECONDS, capture_output=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def key_of(plan: Plan) -> str:
    """The name of what is made from a plan: another one for everything that goes into it.

    Raises:
        Problem: the extension was built without a server.
    """
    wheels = sorted(plan.carried.glob("*.whl"))
    if not wheels:
        raise Problem("noServer", "This build of the extension carries no server.")
    made_of = hashlib.sha256(python_version(2).encode())
    for path in (wheels[0], plan.carried / "requirements.txt"):
        made_of.update(f"\0{path.name}\0".encode() + path.read_bytes())
    version = json.loads((plan.extension / "package.json").read_text())["version"]
    return f"server-{version}-{made_of.hexdigest()[:16]}"


def existing(plan: Plan) -> Path | None:
    """The finished environment of a plan, if there is one that works."""
    # The first one, so that all windows take the same if there should be two.
    for mark in sorted(plan.home.glob(f"{key_of(plan)}.*/{MARK}")):
        if has_server(python_in(mark.parent)):
            mark.touch()
            return mark.parent
        log(f"{mark.parent} does not work any more; its Python may have been removed.")
        mark.unlink(missing_ok=True)
    return None


def make(plan: Plan) -> Path:
    """Makes the environment of a plan, or waits for another window that does.

    Raises:
        Problem: it can not be made.
    """
    say(installing=True)
    plan.home.mkdir(parents=True, exist_ok=True)
    with locked(plan.home / "lock"):
        # The other window may have done it.
        return existing(plan) or build(plan)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Spares a second download and nothing else: each window builds in a directory of its own, so two do no harm.

    The system lets go of it when its owner ends, however that happens.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("Another window is installing the server.")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as exc:
            log(f"{path} can not be locked: {exc}")  # Some network file systems have no locks.
        yield


def build(plan: Plan) -> Path:
    """Makes the environment of a plan, from nothing.

    Raises:
        Problem: venv, pip or the server does not work.
    """
    # Never moved afterwards: the paths of its programs are in it.
    environment = plan.home / f"{key_of(plan)}.{os.getpid()}-{time.time_ns():x}"
    try:
        log(f"Making {environment} with {plan.command}, Python {python_version()}")
        made, lines = run([plan.command, "-I", "-m", "venv", str(environment)], NOWHERE)
        if not made:
            if all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
                raise Problem("failed", f"{plan.command} made no virtual environment: {last(lines)}")
            package = f"python{python_version(2)}-venv"
            raise Problem("noVenv", f"{plan.command} needs the package {package} (Debian, Ubuntu).")
        # --no-user: somebody's pip.conf may have `user = true`, which is an error in a virtual environment.
        options = ["--no-input", "--no-user", "--no-deps", "--progress-bar", "off", "--disable-pip-version-check"]
        pip = [str(python_in(environment)), "-I", "-m", "pip", "install", *options]
        made, lines = run([*pip, "--require-hashes", "-r", "requirements.txt"], str(plan.carried))
        if not made:
            raise Problem("offline" if is_offline("\n".join(lines)) else "failed", f"pip: {last(lines)}")
        if not has_server(python_in(environment)):
            raise Problem("failed", f"The server in {environment} does not start.")
        (environment / MARK).touch()
    except BaseException:
        shutil.rmtree(environment, ignore_errors=True)
        raise
    return environment


def is_offline(output: str) -> bool:
    """Whether pip failed because it reached no index. It has one exit code for everything."""
    return not HASHES.search(output) and OFFLINE.search(output) is not None


def last(lines: list[str]) -> str:
    """The last line that says something."""
    return next((line for line in reversed(lines) if line.strip()), "")


def run(command: list[str], cwd: str) -> tuple[bool, list[str]]:
    """Runs a program, and logs each line of it; returns whether it went well, and all lines."""
    try:
        process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as exc:
        log(str(exc))
        return False, [str(exc)]
    timer = threading.Timer(INSTALL_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    lines = []
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                log(lines[-1])
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    return process.returncode == 0, lines


def write_launcher(home: Path, environment: Path) -> None:
    """Writes `codex-sidecar`, a program that starts the one in an environment.

    Environments come and go with the versions of the extension; this stays where it is, so that the configuration of
    another program can name it.
    """
    if sys.platform == "win32":
        return
    path = home / "codex-sidecar"
    text = f'#!/bin/sh\nexec {shlex.quote(str(environment / "bin" / "codex-sidecar"))} "$@"\n'
    if not path.exists() or path.read_text() != text:
        next_one = path.with_name(f"{path.name}.{os.getpid()}")
        next_one.write_text(text)
        next_one.chmod(0o755)
        next_one.replace(path)


def clean(home: Path, keep: Path) -> None:
    """Removes what nobody uses: environments a day after their last use, unfinished ones after an hour."""
    running = command_lines()
    for path in sorted(home.iterdir()):
        if not path.name.startswith(("server-", "removed-")) or path == keep or str(path) in running:
            continue
        try:
            mark = path / MARK
            finished = mark.exists()
            age = time.time() - (mark if finished else path).stat().st_mtime
            if age > (UNUSED_SECONDS if finished else UNFINISHED_SECONDS):
                log(f"Removing {path}, last used {datetime.timedelta(seconds=int(age))} ago")
                # At once out of everybody's sight; Windows refuses it while a program in it runs.
                gone = path.rename(home / f"removed-{path.name}")
                shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        except OSError as exc:
            log(f"{path} is not removed: {exc}")  # It can be later.


def command_lines() -> str:
    """Those of all processes. A server outlives its window, and goes on loading modules from its environment."""
    if sys.platform == "win32":
        return ""
    if sys.platform != "linux":
        return subprocess.run(["ps", "-axww", "-o", "args="], check=True, capture_output=True, text=True).stdout
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):  # Small containers have no ps.
        with contextlib.suppress(OSError):  # A process may end meanwhile.
            lines.append(path.read_bytes().decode(errors="surrogateescape"))
    return "\n".join(lines)
