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
from datetime import datetime
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
MORE = 3
"""How many workers come to the view with all those; the middle one counts."""


def make(repo: Path) -> None:
    """A repository with one file for each conflict."""
    repo.mkdir()
    for number in range(CONFLICTS):
        (repo / f"f{number}.py").write_text("x = 1\n" * 20)
    git(repo, "init", "-q")
    git(repo, "add", "-A")
    git(repo, "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-q", "-m", "all")


async def spawn(client: SidecarClient, *steps: dict[str, Any], title: str = "x") -> dict[str, Any]:
    asked = {"prompt": f"x SCRIPT: {json.dumps(list(steps))}", "title": title, "sandbox": "workspace-write"}
    answer: dict[str, Any] = await client.call("codex_spawn", asked)
    return answer


async def second_write_to_problem(client: SidecarClient, window: Window, repo: Path, number: int) -> float:
    """Seconds from the second worker's write to the row in the panel Problems."""
    name = f"f{number}.py"
    mark = repo.parent / f"second-{number}"
    done = {"json": {"summary": "", "modifiedFiles": [name]}, "delay": 12}
    first = {"path": str(repo / name), "holds": "x = 2"}
    # Only once the first one's command is over: of two that run at once it could be either's, which is told, too.
    second = {"sh": f"sed -i 1s/2/3/ {name}; date +%s.%N > {shlex.quote(str(mark))}", "until": first, "delay": 3}
    jobs = [
        await spawn(client, {"sh": f"sed -i 1s/1/2/ {name}"}, done, title="first"),
        await spawn(client, second, done, title="second"),
    ]
    one, two = (job["label"] for job in jobs)
    problem = f'{one} "first" and {two} "second" changed the same line (1)'  # "so far", while they run.
    seen: float = await asyncio.to_thread(window.play, "measure", f"measured-{number}", problem=problem)
    await wait(client, *jobs)
    return seen / 1e3 - float(mark.read_text())


async def wait(client: SidecarClient, *jobs: dict[str, Any]) -> None:
    left = [job["jobId"] for job in jobs]
    while left:
        left = (await client.call("codex_wait_any", {"jobIds": left, "timeoutMs": 50_000}))["remainingJobIds"]


def stall(seen: dict[str, Any], begin: float, end: float | None = None) -> float:
    """The longest gap between two frames in this time, which is in milliseconds since 1970."""
    return max(gap for at, gap in seen["gaps"] if at + gap >= begin and at <= (end or seen["now"]))


async def one_more(client: SidecarClient, window: Window, name: str, row: str | None) -> tuple[float, float]:
    """A worker is spawned, changes a file and ends: milliseconds until its row is there, and the longest stall."""
    steps = {"sh": f"echo x > {name}", "delay": 3}, {"json": {"summary": "", "modifiedFiles": [name]}, "delay": 3}
    begun = time.time() * 1e3
    job = await spawn(client, *steps)
    seen = await asyncio.to_thread(window.play, "many", name, appears=row)
    first = seen["now"]
    await wait(client, job)
    await asyncio.sleep(3)
    last = await asyncio.to_thread(window.play, "many", f"{name}-done")
    # The picture that is taken between the two is no stutter of the view.
    return first - begun, max(stall(seen, begun), stall(last, first + 1500))


async def measure_many(client: SidecarClient, window: Window, repo: Path) -> list[Figure]:
    """The view with `JOBS` workers that have ended, each with `FILES` files."""
    for number in range(JOBS):
        name = f"d{number}"
        names = [f"{name}/{at}.txt" for at in range(FILES)]
        command = f"mkdir {name}; for n in $(seq 0 {FILES - 1}); do echo x > {name}/$n.txt; done"
        # One after the other: it is sure then whose a file is.
        job = await spawn(client, {"sh": command}, {"json": {"summary": "", "modifiedFiles": names}})
        await wait(client, job)

    async def play(name: str, **facts: Any) -> dict[str, Any]:
        seen: dict[str, Any] = await asyncio.to_thread(window.play, "many", name, **facts)
        return seen

    group, explorer, ours = f"Done ({JOBS})", "Explorer", "Codex Sidecar"
    last = {"worker": f"w{JOBS} ·", "file": f"d{JOBS - 1}/0.txt", "workers": JOBS, "rows": JOBS * (FILES + 1)}
    shown = await play("many", folder=str(repo), text=group, **last)
    opening = stall(shown, shown["opened"], shown["calm"])
    expanding = stall(shown, shown["calm"])
    more = [await one_more(client, window, f"many-more-{n}", f"w{JOBS + n} ·") for n in range(1, MORE + 1)]
    spawned, changing = (statistics.median(values) for values in zip(*more, strict=True))
    away = await play("many-away", view=explorer, text="d0")
    back = await play("many-back", view=ours, text=f"Done ({JOBS + MORE})")
    fronts = [stall(one, one["now"] - one["front"]) for one in (away, back)]
    # The same once more in a window that shows the Explorer.
    await play("many-explorer", view=explorer, text="d0")
    bare = await play("many-bare", folder=str(repo))
    await asyncio.sleep(max(0.0, shown["calm"] - shown["opened"]) / 1e3)
    bare = await play("many-bare-later") | {"opened": bare["opened"], "shot": bare["now"]}
    bare_opening = max(stall(bare, bare["opened"], bare["shot"]), stall(bare, bare["shot"] + 1500))
    more = [await one_more(client, window, f"many-bare-{n}", None) for n in range(MORE)]
    bare_changing = statistics.median(stalled for _, stalled in more)
    many = f"{JOBS} workers with {FILES} files each"
    return [
        Figure(f"{many}: window opened → workers in the view", shown["ready"], "ms"),
        Figure(
            "… worker opened → its files in the view",
            shown["files"],
            "ms",
            shown["jobs"],
            "… group opened → its workers",
        ),
        Figure("… worker spawned → its row", spawned, "ms"),
        Figure("… longest stall while the window opens", opening, "ms", bare_opening, "Explorer in front"),
        Figure("… longest stall while all workers are opened", expanding, "ms"),
        Figure("… all open: longest stall, view comes to the front", fronts[1], "ms", fronts[0], "Explorer does"),
        Figure("… all open: longest stall, a worker comes, writes, ends", changing, "ms", bare_changing, "Explorer"),
    ]


@contextlib.asynccontextmanager
async def place(root: Path) -> AsyncIterator[tuple[SidecarClient, Window, Path]]:
    """A repository with a warm sidecar whose workers are scripted, and a window; all of it ends."""
    repo = root / "repo"
    make(repo)
    package = build_extension()
    # Commands are run by a login shell, whose profile may take seconds.
    os.environ["HOME"] = str(root / "home")
    os.environ["CODEX_SIDECAR_CODEX"] = shlex.join([sys.executable, "-m", "sidecar.demo.worker"])
    for name in ("home", "vscode"):
        (root / name).mkdir(mode=0o700)
    settings = {"codexSidecar.server.path": PROGRAM[0]}
    async with SidecarClient.connect(repo, start=True) as client:
        with open_window(root / "vscode", package, settings, os.environ) as window:
            yield client, window, repo
            window.play("leave", "left")
        service = psutil.Process(json.loads((repo / ".git/codex-sidecar/endpoint.json").read_text())["pid"])
        service.terminate()
        await asyncio.to_thread(psutil.wait_procs, [service], 5)


async def measure_alone(root: Path) -> list[Figure]:
    """`measure_many` in a window and a repository of its own."""
    async with place(root) as (client, window, repo):
        return await measure_many(client, window, repo)


STEPS = {
    "extension host has started": "Extension host with pid",
    "the extension is activated": "codex-sidecar.codex-sidecar, startup",
}
"""The log lines of VS Code's that tell of a step."""
FOUND = "its server is started"


def opened_window(window: Window, repo: Path, number: int) -> dict[str, float]:
    """What the scenario measures, in milliseconds, and when each step was done; windows count from 1."""
    facts = {"folder": str(repo), "file": "f0.py", "text": "Done ("}
    seen: dict[str, float] = window.play("measure", "measured", **facts)
    (log,) = (window.directory / "user-data" / "logs").glob(f"*/exthost{number}/remoteexthost.log")
    lines = log.read_text().splitlines()
    for step, text in STEPS.items():
        line = next(line for line in lines if text in line)
        seen[step] = datetime.fromisoformat(line[:23]).timestamp() * 1e3 - seen["start"]
    # The log of our own channel is written later than it is told.
    pumps = [one for one in psutil.process_iter(["cmdline"]) if {"lsp", str(repo)} <= {*(one.info["cmdline"] or ())}]
    seen[FOUND] = max(one.create_time() for one in pumps) * 1e3 - seen["start"]
    return seen


async def measure(root: Path) -> list[Figure]:
    async with place(root) as (client, window, repo):
        await spawn(client, {"json": {"summary": "", "modifiedFiles": []}})
        # The first one finds nothing in the browser's caches, and does not count.
        opened = [await asyncio.to_thread(opened_window, window, repo, n) for n in range(1, ROUNDS + 2)][1:]
        late = [await second_write_to_problem(client, window, repo, number) for number in range(CONFLICTS)]
    names = (*STEPS, FOUND, "ready", "activation")
    middle = {name: statistics.median(one[name] for one in opened) for name in names}
    host = middle[next(iter(STEPS))]
    return [
        *(Figure(f"window opened → {step}", middle[step], "ms") for step in (*STEPS, FOUND)),
        Figure("window opened → workers in the view", middle["ready"], "ms", host, "… → extension host has started"),
        Figure("activation of the extension, as VS Code counts it", middle["activation"], "ms"),
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
