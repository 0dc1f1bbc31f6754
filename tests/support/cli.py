"""The program `codex-sidecar` as a terminal starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidecar.cli.connect import connect, stop
from sidecar.cli.rounds import take_back

PROGRAM = [sys.executable, "-m", "sidecar"]


def script(*steps: Any, task: str = "do it") -> str:
    """A prompt that plays these steps."""
    return f"{task}\nSCRIPT: {json.dumps(list(steps))}"


def report(summary: str, *files: str) -> dict[str, Any]:
    """The last step of a script."""
    return {"json": {"summary": summary, "modifiedFiles": list(files)}}


def meeting(command: str, name: str, *others: str) -> dict[str, Any]:
    """A step that runs `command` while the steps named `others` run too, however busy the machine is.

    For workers without a sandbox: they wait for each other beside the repository, before the command and after it.
    """

    def meet(word: str) -> str:
        waits = "".join(f"; until [ -e ../{other}.{word} ]; do sleep 0.05; done" for other in others)
        return f"touch ../{name}.{word}{waits}"

    return {"sh": f"{meet('begins')}; sleep 0.3; {command}; {meet('ends')}; sleep 0.3"}


def path_without_codex(directory: Path) -> str:
    """A PATH on which everything is but `codex`."""
    directory.mkdir(exist_ok=True)
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            link = directory / program.name
            if program.name != "codex" and not link.is_symlink():
                link.symlink_to(program)
    return str(directory)


class Cli:
    """Runs commands in one directory; `close` stops its sidecar and whatever still works for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def start(self, *argv: str, cwd: Path | None = None, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *argv],
            cwd=cwd or self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, *argv: str, expect: int | None = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        process = self.start(*argv, cwd=cwd)
        out, err = process.communicate(timeout=60)
        assert expect is None or process.returncode == expect, (argv, process.returncode, out, err)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def json(self, *argv: str, expect: int = 0, cwd: Path | None = None) -> dict[str, Any]:
        """The one object that the command prints with `--json`."""
        done = self.run(*argv, "--json", expect=expect, cwd=cwd)
        assert done.stdout.count("\n") == 1, "exactly one object"
        return json.loads(done.stdout)

    def close(self) -> None:
        asyncio.run(self._close())

    async def _close(self) -> None:
        repo = str(self.directory)
        async with connect(repo) as client:
            jobs = (await client.call("codex_status", {}))["jobs"]
            await take_back(client, [job["jobId"] for job in jobs if job["finishedAt"] is None])
        await stop(repo)


def interrupt_when(process: subprocess.Popen[str], ready: Callable[[], Any], number: int = signal.SIGINT) -> None:
    """Sends the signal as soon as `ready` says so."""
    end = time.monotonic() + 30
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not get that far"
        time.sleep(0.05)
    process.send_signal(number)


def on_a_terminal(argv: list[str], cwd: Path, *, when: str = "", then: Callable[[], object] | None = None) -> str:
    """What the command writes to a pseudo-terminal; `then` is called once it has shown `when`."""
    ours, theirs = os.openpty()
    with subprocess.Popen([*PROGRAM, *argv], cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65_536)
            except OSError:  # EIO: nobody holds the other end any more.
                break
            if not chunk:
                break
            shown += chunk
            if then is not None and when.encode() in shown:
                then()
                then = None
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()
