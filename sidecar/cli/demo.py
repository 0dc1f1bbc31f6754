"""`demo`: the main job on a scratch repository, without an account."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.cli import demo_collision, exits, signals, texts
from sidecar.cli.command import Command
from sidecar.cli.connect import Caller, connect, control, stop
from sidecar.cli.demo_collision import Collided, collide
from sidecar.cli.output import Output, one_line, sentence
from sidecar.cli.rounds import Ended, run_round, take_back
from sidecar.demo import scenario
from sidecar.demo.model import ScriptedModel
from sidecar.demo.scratch import Scratch
from sidecar.model.errors import SidecarError
from sidecar.model.settings import CodexSettings

TIMEOUT_MS = 60_000
"""A worker of the demo takes a few seconds; one that hangs must not keep a newcomer waiting."""
SCRIPTED_WORKER = f"{shlex.quote(sys.executable)} -m sidecar.demo.worker"


@dataclass(frozen=True)
class Worker:
    """Who plays the workers.

    Attributes:
        real: it is Codex itself.
        said: what it is.
        detail: where it was found, or why it is not Codex.
        env: what the workers' environment has more than this process's.
    """

    real: bool
    said: str
    detail: str
    env: Mapping[str, str]


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="Keep the scratch repository and say where it is.")


async def _run(found: argparse.Namespace, out: Output) -> int:
    with _ended_by_signals():
        made, interrupted = await signals.to_its_end(asyncio.to_thread(_make_scratch))
        try:
            if interrupted:
                raise asyncio.CancelledError
            with ScriptedModel() as model:
                return await _play(made, model.url, out, keep=found.keep)
        finally:
            await signals.to_its_end(_clean_up(made, out, keep=found.keep))


def _make_scratch() -> Scratch:
    try:
        return Scratch(scenario.PROJECT)
    except OSError as exc:
        raise SidecarError(
            "state-unavailable",
            f"The scratch repository could not be made ({exc}).",
            "The demo needs Git 2.39 or newer and a temporary directory that can be written.",
        ) from exc


async def _play(scratch: Scratch, model_url: str, out: Output, *, keep: bool) -> int:
    scratch.point_codex_to(model_url)
    with _environment(CODEX_HOME=str(scratch.codex_home)):
        worker = await _choose(scratch)
        out.text(f"Codex Sidecar demo with {worker.said}.\n{texts.hanging('', worker.detail)}")
        out.text(f"Two workers edit and two read, all at once, in a small Python package:\n{scratch.repo}\n")
        begun = time.monotonic()
        with _environment(**worker.env):
            async with connect(str(scratch.repo)) as client:
                ended = await run_round(client, [_spawn(task) for task in scenario.TASKS], out)
                first = time.monotonic() - begun
                wrong = await _wrong(ended, scratch)
                if not ended.interrupted:
                    out.text(_as_text(ended, await asyncio.to_thread(scratch.diff_stat), first, wrong))
                collided = None
                if not ended.interrupted and not wrong:
                    collided = await collide(client, scratch, out, TIMEOUT_MS)
                    wrong = collided.wrong
    if ended.interrupted or (collided is not None and collided.interrupted):
        out.note("interrupted; the workers were stopped.")
        return exits.INTERRUPTED
    seconds = time.monotonic() - begun
    out.result(_as_json(worker, ended, collided, seconds, wrong, scratch, keep), _closing(collided, seconds, wrong))
    return exits.WORKER_FAILED if wrong else exits.DONE


async def _wrong(ended: Ended, scratch: Scratch) -> list[str]:
    """Where the first scene did not come out as it must."""
    wrong = [f"{result['label']} ended {result['status']}" for result in ended.results if result["status"] != "done"]
    return wrong + await asyncio.to_thread(scratch.differences, scenario.expected_tree())


def _spawn(task: scenario.Task) -> dict[str, Any]:
    return {"prompt": task.prompt, "title": task.title, "sandbox": task.sandbox, "timeoutMs": TIMEOUT_MS}


async def _choose(scratch: Scratch) -> Worker:
    """Real Codex where one is found and can run here; else the scripted worker."""
    from sidecar.worker.backend import CodexBackend

    scripted = {"CODEX_SIDECAR_CODEX": SCRIPTED_WORKER}
    try:
        codex = await CodexBackend().locate(CodexSettings(), os.environ)
    except SidecarError as exc:
        why = sentence(exc.message, exc.hint)
        return Worker(False, "a bundled scripted worker, since no Codex was found", why, scripted)
    if not codex.is_codex:
        name = one_line(codex.banner) or "a program of unknown version"
        return Worker(False, f"{name}, which is not Codex", f"{codex.source} names {codex.named}.", {})
    async with connect(str(scratch.repo)) as client:
        checks = (await client.call("codex_doctor", {}))["checks"]
    missing = next((one for one in checks if not one["ok"] and one["required"]), None)
    if missing is not None:
        why = sentence(missing["message"], missing["hint"])
        return Worker(False, "a bundled scripted worker, since Codex cannot work here", why, scripted)
    said = f"real Codex {codex.shown_version} that asks a scripted model: no account needed"
    return Worker(True, said, f"Codex was found at {codex.named}.", {})


@contextlib.contextmanager
def _environment(**changes: str) -> Iterator[None]:
    """This process's environment, which its workers get, with `changes` for a while."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# -- what is shown at the end ---------------------------------------------------------------------------------------


def _as_text(ended: Ended, stat: str, seconds: float, wrong: list[str]) -> str:
    blocks = ["\n".join(["", *(_answer(result) for result in ended.results)])]
    blocks.append("\n".join(texts.columns([_HEADINGS, *(_row(result) for result in ended.results)])))
    blocks.append(f"$ git diff --stat\n{stat}" if stat else "git diff --stat shows no change.")
    if not wrong:
        blocks.append(
            f"All four ended done in {texts.duration(seconds)}, and the files are what they were told to write."
        )
    return "\n\n".join(blocks)


def _closing(collided: Collided | None, seconds: float, wrong: list[str]) -> str:
    blocks = ["\n" + demo_collision.as_text(collided)] if collided is not None else []
    if wrong:
        blocks.append("\n".join(["The demo did not end as it should:", *(f"  {one}" for one in wrong)]))
    else:
        blocks.append(
            f"The whole took {texts.duration(seconds)}, and every file is what it must be.\n"
            "In a repository of yours: codex-sidecar run --write 'a task that edits' --read 'a question'"
        )
    return "\n\n".join(blocks)


_HEADINGS = ["", "task", "may", "status", "files", "time", "tokens"]


def _row(result: dict[str, Any]) -> list[str]:
    seconds = texts.took(result)
    changed = len(texts.files(result))
    may = next((task.sandbox for task in scenario.TASKS if task.title == result["title"]), "")
    return [
        result["label"],
        one_line(result["title"], texts.TITLE_WIDTH),
        "edit" if may == "workspace-write" else "read",
        result["status"],
        texts.plural(changed, "file") if changed else "-",
        "" if seconds is None else texts.duration(seconds),
        texts.tokens(result["usage"]) or "-",
    ]


def _answer(result: dict[str, Any]) -> str:
    said = texts.error(result["error"]) if result["error"] else one_line(result["finalMessage"] or "no answer")
    return texts.hanging(f"{result['label']:<3} ", said)


def _as_json(
    worker: Worker,
    ended: Ended,
    collided: Collided | None,
    seconds: float,
    wrong: list[str],
    scratch: Scratch,
    keep: bool,
) -> dict[str, Any]:
    return {
        "ok": not wrong,
        "worker": "codex" if worker.real else "scripted",
        "message": f"{worker.said}. {worker.detail}",
        "seconds": round(seconds, 2),
        "jobs": ended.results,
        "collision": collided.as_json() if collided is not None else None,
        "wrong": wrong,
        "repository": str(scratch.repo) if keep else None,
    }


# -- what is left behind: nothing -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A closed terminal or a SIGTERM ends the demo like Ctrl-C does: what it made is cleaned up."""
    task = asyncio.current_task()
    assert task is not None
    ended_by: list[int] = []

    def end(number: int) -> None:
        ended_by.append(number)
        task.cancel()

    with contextlib.ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):
            stack.enter_context(signals.on_signal(number, functools.partial(end, number)))
        try:
            yield
        except asyncio.CancelledError:
            if ended_by:
                raise signals.Interrupted(ended_by[0]) from None
            raise


async def _clean_up(scratch: Scratch, out: Output, *, keep: bool) -> None:
    try:
        if await control(str(scratch.repo), "status") is not None:
            async with connect(str(scratch.repo)) as client:
                await _stop_all(client)
            await stop(str(scratch.repo))
    except SidecarError as exc:
        out.note(f"the sidecar of the demo was not stopped: {sentence(exc.message, exc.hint)}")
    if keep:
        out.text(f"The scratch repository was kept: {scratch.repo} (delete {scratch.directory} when you are done).")
        return
    try:
        await asyncio.to_thread(scratch.remove)
    except OSError as exc:
        out.note(f"{scratch.directory} could not be removed ({exc}); delete it.")
        return
    out.text("The scratch repository was removed.")


async def _stop_all(client: Caller) -> None:
    jobs = (await client.call("codex_status", {}))["jobs"]
    await take_back(client, [job["jobId"] for job in jobs if job["finishedAt"] is None])


COMMAND = Command(
    name="demo",
    summary="the main job on a scratch repository, with no account",
    add_flags=_add_flags,
    run=_run,
    description=(
        "Runs four workers on a scratch repository in a temporary directory, then four that come into each other's "
        "way, repairs that, and removes the repository again. Real Codex asks a scripted model; where no Codex is "
        "found a bundled scripted worker takes its place. --repo is not used."
    ),
    on_interrupt="nothing of the demo is left.",
)
