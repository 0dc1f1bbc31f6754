"""`python -m benchmarks.vscode`: what a person waits for in a real VS Code, that of the tests, with a warm sidecar."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.__main__ import write
from benchmarks.a2 import git
from benchmarks.measure import Figure, table
from benchmarks.scene import PROGRAM
from sidecar.service.client import SidecarClient
from tests.support.vscode import Window, build_extension, open_window

ROUNDS = 5
CONFLICTS = 3
JOBS, FILES = 50, 200


def make(repo: Path) -> None:
    """A repository with one file for each conflict."""
    repo.mkdir()
    for number in range(CONFLICTS):
        (repo / f"f{number}.py").write_text("x = 1\n" * 20)
    git(repo, "init", "-q")
    git(repo, "add", "-A")
    git(repo, "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-q", "-m", "all")


async def spawn(client: SidecarClient, *steps: dict[str, Any]) -> dict[str, Any]:
    asked = {"prompt": f"x SCRIPT: {json.dumps(list(steps))}", "sandbox": "workspace-write"}
    answer: dict[str, Any] = await client.call("codex_spawn", asked)
    return answer


async def second_write_to_problem(client: SidecarClient, window: Window, repo: Path, number: int) -> float:
    """Seconds from the second worker's write to the row in the panel Problems."""
    name = f"f{number}.py"
    mark = repo.parent / f"second-{number}"

    def write(text: str, after: str = "true") -> str:
        return f"printf '%s' {shlex.quote(text + 'x = 1' * 19)} > {name}; {after}"

    done = {"json": {"summary": "", "modifiedFiles": [name]}, "delay": 12}
    jobs = [
        await spawn(client, {"sh": write("x = 2\n")}, done),
        await spawn(client, {"sh": write("x = 3\n", f"date +%s.%N > {shlex.quote(str(mark))}"), "delay": 4}, done),
    ]
    seen: float = await asyncio.to_thread(window.play, "measure", f"measured-{number}", problem=name)
    await wait(client, *jobs)
    return seen / 1e3 - float(mark.read_text())


async def wait(client: SidecarClient, *jobs: dict[str, Any]) -> None:
    left = [job["jobId"] for job in jobs]
    while left:
        left = (await client.call("codex_wait_any", {"jobIds": left, "timeoutMs": 50_000}))["remainingJobIds"]


async def measure_many(client: SidecarClient, window: Window, repo: Path) -> list[Figure]:
    """The view with `JOBS` workers that have ended, each with `FILES` files."""
    for number in range(JOBS):
        name = f"d{number}"
        names = [f"{name}/{at}.txt" for at in range(FILES)]
        command = f"mkdir {name}; for n in $(seq 0 {FILES - 1}); do echo x > {name}/$n.txt; done"
        # One after the other: it is sure then whose a file is.
        job = await spawn(client, {"sh": command}, {"json": {"summary": "", "modifiedFiles": names}})
        await wait(client, job)
    last = f"w{JOBS} ·"
    facts = {"folder": str(repo), "text": f"Done ({JOBS})", "worker": last, "file": f"d{JOBS - 1}/0.txt"}
    shown = await asyncio.to_thread(window.play, "many", "many", **facts)
    begun = time.time()
    job = await spawn(client, {"json": {"summary": "", "modifiedFiles": []}, "delay": 5})
    seen: float = await asyncio.to_thread(window.play, "many", "many-more", appears=f"w{JOBS + 1} ·")
    await wait(client, job)
    return [
        Figure(f"{JOBS} workers with {FILES} files each: window opened → workers in the view", shown["ready"], "ms"),
        Figure(
            "… worker opened → its files in the view",
            shown["files"],
            "ms",
            shown["jobs"],
            "… group opened → its workers",
        ),
        Figure("… worker spawned → its row", seen - begun * 1e3, "ms"),
    ]


@contextlib.asynccontextmanager
async def place(root: Path) -> AsyncIterator[tuple[SidecarClient, Window, Path]]:
    """A repository with a warm sidecar whose workers are scripted, and a window; all of it ends."""
    repo = root / "repo"
    make(repo)
    os.environ["CODEX_SIDECAR_CODEX"] = shlex.join([sys.executable, "-m", "sidecar.demo.worker"])
    for name in ("home", "vscode"):
        (root / name).mkdir(mode=0o700)
    settings = {"codexSidecar.server.path": PROGRAM[0]}
    env = {**os.environ, "HOME": str(root / "home")}
    async with SidecarClient.connect(repo, start=True) as client:
        with open_window(root / "vscode", build_extension(), settings, env) as window:
            yield client, window, repo
            window.play("leave", "left")
        service = psutil.Process(json.loads((repo / ".git/codex-sidecar/endpoint.json").read_text())["pid"])
        service.terminate()
        await asyncio.to_thread(psutil.wait_procs, [service], 5)


async def measure_alone(root: Path) -> list[Figure]:
    """`measure_many` in a window and a repository of its own."""
    async with place(root) as (client, window, repo):
        return await measure_many(client, window, repo)


async def measure(root: Path) -> list[Figure]:
    async with place(root) as (client, window, repo):
        await spawn(client, {"json": {"summary": "", "modifiedFiles": []}})
        facts = {"folder": str(repo), "file": "f0.py", "text": "Done ("}
        # The first one finds nothing in the browser's caches, and does not count.
        opened = [await asyncio.to_thread(window.play, "measure", "measured", **facts) for _ in range(ROUNDS + 1)][1:]
        late = [await second_write_to_problem(client, window, repo, number) for number in range(CONFLICTS)]
    host, ready, activation = (
        statistics.median(one[name] for one in opened) for name in ("host", "ready", "activation")
    )
    return [
        Figure("window opened → workers in the view", ready, "ms", host, "… → extension host is up"),
        Figure("activation of the extension, as VS Code counts it", activation, "ms"),
        Figure("second write → row in the panel Problems", statistics.median(late) * 1e3, "ms"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vscode", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/performance.md")
    parser.add_argument("--many", action="store_true", help="only the view with very many workers and files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codex-sidecar-bench-") as name:
        text = table(asyncio.run((measure_alone if options.many else measure)(Path(name))))
    busy = f"Load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n\n{text}"
    print(busy)
    if options.write and not options.many:
        write(busy, "<!-- vscode: begin -->", "<!-- vscode: end -->")
    return 0


if __name__ == "__main__":
    sys.exit(main())
