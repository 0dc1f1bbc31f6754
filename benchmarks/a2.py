"""The A2 protocol: what watching, deciding and repairing cost beside git itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.measure import Figure
from sidecar.a2.detect import Work, detect
from sidecar.a2.versions import Chain, Version
from sidecar.a2.weave import Weave
from sidecar.git.baseline import Baselines
from sidecar.git.repair import Repairs
from sidecar.git.repository import Repository
from sidecar.service.client import SidecarClient

FILES = 20_000
ROUNDS = 5


@contextlib.contextmanager
def large_repository() -> Iterator[Path]:
    """A repository with 20,000 small files in 200 directories."""
    with tempfile.TemporaryDirectory(prefix="codex-sidecar-bench-") as name:
        repo = Path(name) / "repo"
        for directory in range(200):
            (repo / f"d{directory}").mkdir(parents=True)
            for number in range(FILES // 200):
                (repo / f"d{directory}" / f"f{number}.py").write_text(f"# {directory} {number}\n" + "x = 1\n" * 20)
        git(repo, "init", "-q")
        git(repo, "add", "-A")
        git(repo, "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-q", "-m", "all")
        (repo / ".git" / "codex-sidecar").mkdir(mode=0o700)
        yield repo


def git(repo: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(repo), *arguments], check=True, capture_output=True)


def timed(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


def disturb(repo: Path) -> list[str]:
    """Ten changed files and three new ones."""
    changed = [f"d{n}/f{n}.py" for n in range(10)]
    for path in changed:
        with (repo / path).open("a") as file:
            file.write("changed = True\n")
    added = [f"d{n}/new{n}.py" for n in range(3)]
    for path in added:
        (repo / path).write_text("new = True\n")
    return changed + added


def repair_figures() -> list[Figure]:
    with large_repository() as repo:
        repository = Repository(repo, repo / ".git")
        state = repo / ".git" / "codex-sidecar"
        baselines = Baselines(repository, state)
        repairs = Repairs(repository, state, baselines)
        baseline = baselines.record("run-0", "refuse")
        ours, stash, record, status = [], [], [], []
        for number in range(ROUNDS + 1):
            paths = disturb(repo)
            ours.append(timed(lambda paths=paths: repairs.rollback(baseline, paths, reason="bench")))
            disturb(repo)
            identity = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
            stash.append(timed(lambda identity=identity: git(repo, *identity, "stash", "-u", "-q")))
            git(repo, "stash", "drop", "-q")
            record.append(timed(lambda number=number: baselines.record(f"run-{number + 1}", "refuse")))
            status.append(timed(lambda: git(repo, "status", "--porcelain")))
        a, b, c, d = (statistics.median(one[1:]) * 1e3 for one in (ours, stash, record, status))
    return [
        Figure("roll back of 13 paths, 20,000 files", a, "ms", b, "git stash -u", 1.0),
        Figure("baseline, 20,000 files", c, "ms", d, "git status", 3.0),
    ]


def conflict_figures() -> list[Figure]:
    """Eight jobs that all changed the same 200 files: with what is known of all versions but the last, and anew."""
    base = b"".join(b"line %d\n" % n for n in range(250))
    jobs = [Work(f"j{n}", f"w{n}", "t", float(n), 100.0) for n in range(8)]
    chains = {}
    for number in range(200):
        versions, text = [Version("b", base)], base
        for index, job in enumerate(jobs):
            text = text.replace(b"line %d\n" % (index * 30 + 1), b"by %d\n" % index)
            versions.append(Version(f"{index}", text, (job.job_id,), "seen", index + 1, 50.0))
        chains[f"f{number}.py"] = Chain(f"f{number}.py", tuple(versions))
    anew, live = [], []
    for _ in range(3):
        anew.append(timed(lambda: detect("run", jobs, chains)))
        weaves: dict[str, Weave] = {}
        before = {path: Chain(path, chain.versions[:-1]) for path, chain in chains.items()}
        detect("run", jobs, before, weaves=weaves)
        live.append(timed(lambda weaves=weaves: detect("run", jobs, chains, weaves=weaves)))
    return [
        Figure(
            "conflicts of 8 jobs × 200 shared files, all 200 just changed",
            statistics.median(live) * 1e3,
            "ms",
            target=300,
        ),
        Figure("… worked out anew, after a restart", statistics.median(anew) * 1e3, "ms"),
    ]


async def live_figures() -> list[Figure]:
    """Two workers with commands on 20,000 files: what the observer costs, and how soon a conflict is told."""
    with large_repository() as repo:
        os.environ["CODEX_SIDECAR_CODEX"] = shlex.join([sys.executable, "-m", "sidecar.demo.worker"])
        async with SidecarClient.connect(repo, start=True) as client:
            endpoint = json.loads((repo / ".git/codex-sidecar/endpoint.json").read_text())
            service = psutil.Process(endpoint["pid"])
            steps: list[object] = [{"sh": "sleep 3", "delay": 2}] * 4
            steps.append({"json": {"summary": "", "modifiedFiles": []}})
            prompt = f"x SCRIPT: {json.dumps(steps)}"
            for _ in range(2):
                await client.call("codex_spawn", {"prompt": prompt, "sandbox": "workspace-write"})
            await asyncio.sleep(3)
            before = service.cpu_times()
            children = service.children(recursive=True)
            await asyncio.sleep(15)
            used = service.cpu_times()
            share = sum(used[:4]) - sum(before[:4])
            del children
            jobs = (await client.call("codex_status", {}))["jobs"]
            for job in jobs:
                await client.call("codex_cancel", {"jobId": job["jobId"], "force": True})
            late = await _conflict_latency(client, repo)
        service.terminate()
        service.wait(5)
    return [
        Figure("observer with two workers, 20,000 files (with its git)", share / 15 * 100, "% of a core", target=2),
        Figure("second write → the conflict is told", late * 1e3, "ms", target=500),
    ]


async def _conflict_latency(client: SidecarClient, repo: Path) -> float:
    text = (repo / "d1/f1.py").read_text()
    first = text.replace("x = 1\n", "x = 2\n", 1)
    second = text.replace("x = 1\n", "x = 3\n", 1)
    stamp = repo.parent / "second"
    one = [
        {"sh": f"printf '%s' {shlex.quote(first)} > d1/f1.py; touch ../first"},
        {"json": {"summary": "", "modifiedFiles": ["d1/f1.py"]}, "delay": 12},
    ]
    two = [
        {"sh": f"printf '%s' {shlex.quote(second)} > d1/f1.py; date +%s.%N > {stamp}", "delay": 4},
        {"json": {"summary": "", "modifiedFiles": ["d1/f1.py"]}, "delay": 12},
    ]
    for steps in (one, two):
        asked = {"prompt": f"x SCRIPT: {json.dumps(steps)}", "sandbox": "workspace-write"}
        await client.call("codex_spawn", asked)
    stop = time.monotonic() + 25
    while time.monotonic() < stop:
        jobs = (await client.call("codex_status", {}))["jobs"]
        result = await client.call("codex_result", {"jobId": jobs[-1]["jobId"]})
        if result["conflicts"] and stamp.exists() and stamp.read_text():
            return time.time() - float(stamp.read_text())
        await asyncio.sleep(0.01)
    return float("nan")


async def figures() -> list[Figure]:
    """All rows; about a minute and a half."""
    rows = await asyncio.to_thread(repair_figures)
    rows += await asyncio.to_thread(conflict_figures)
    return rows + await live_figures()
