"""The demo's second scene: two workers in one file, the warning as it happens, the repair that keeps both edits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sidecar.cli import a2_texts
from sidecar.cli.command import PROGRAM
from sidecar.cli.connect import Caller
from sidecar.cli.output import Output
from sidecar.cli.repair import Mender
from sidecar.cli.rounds import run_round
from sidecar.demo import collision
from sidecar.demo.referee import Referee
from sidecar.demo.scratch import Scratch
from sidecar.model.errors import SidecarError

LOOK_SECONDS = 0.05
"""How often the referee looks."""


@dataclass
class Collided:
    """What the scene came to.

    Attributes:
        results: `codex_result` of its four workers, then of those that a repair started.
        conflicts: what `codex_conflicts` found.
        acts: what the repairs answered.
        warnings: what was said while the workers ran.
        wrong: where it did not come out as it must, one sentence each.
        diff: what the person has to look at, in the end.
        interrupted: Ctrl-C stopped it.
    """

    results: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    acts: list[dict[str, Any]]
    warnings: list[str]
    wrong: list[str]
    diff: str
    interrupted: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "jobs": self.results,
            "warnings": self.warnings,
            "conflicts": self.conflicts,
            "repairs": self.acts,
            "diff": self.diff,
        }


async def collide(client: Caller, scratch: Scratch, out: Output, timeout_ms: int) -> Collided:
    """Plays the scene on what the first one left, which the person has committed meanwhile.

    Raises:
        SidecarError: a worker was refused, or the sidecar is gone.
        OSError: git failed.
    """
    await asyncio.to_thread(scratch.commit, "Try again, and name the bad line")
    out.text("\nNow four more, two at a time, each pair in one file: one patches it, the other edits a copy of it.")
    referee = Referee(scratch.directory / "known")
    spawns = [
        {"prompt": task.prompt, "title": task.title, "sandbox": task.sandbox, "timeoutMs": timeout_ms}
        for task in collision.tasks(referee)
    ]
    warnings: list[str] = []
    async with _refereed(client, referee, warnings):
        ended = await run_round(client, spawns, out, warnings)
    mender = Mender(client, [result["jobId"] for result in ended.results], out, None, brief=True)
    mended = await mender.mend("keep-going")
    interrupted = ended.interrupted
    if not interrupted:
        out.text(
            f"\nWhat git can merge from the stored versions is merged:\n$ {PROGRAM} resolve {collision.FETCH} merge"
        )
        await mender.merge()
        out.text(f"\nThe same lines do not merge, so these two work again, one after the other:\n$ {PROGRAM} rerun")
        await mender.rerun()
        interrupted = mended.interrupted
    wrong = [] if interrupted else await asyncio.to_thread(scratch.differences, collision.AFTER)
    wrong += [f"{a2_texts.warning(item).removeprefix('! ')} is still in conflict" for item in mended.left]
    in_conflict = {item["path"] for item in mended.found}
    missed = [] if interrupted else [path for path in (collision.REPORT, collision.FETCH) if path not in in_conflict]
    wrong += [f"{path} should have come into conflict" for path in missed]
    results = ended.results + mended.results
    wrong += [f"{result['label']} ended {result['status']}" for result in results if result["status"] != "done"]
    return Collided(
        results, mended.found, mended.acts, ended.warnings, wrong, await asyncio.to_thread(scratch.diff), interrupted
    )


@contextlib.asynccontextmanager
async def _refereed(client: Caller, referee: Referee, warnings: list[str]) -> AsyncIterator[None]:
    """Lets the scripts go on when what they wait for is known, or has been told."""

    async def follow() -> None:
        # Without the sidecar the round ends, too, and says why.
        with contextlib.suppress(SidecarError):
            while True:
                await referee.look(client.call)
                for path in (collision.REPORT, collision.FETCH):
                    if any(path in line for line in warnings):
                        referee.say(collision.told(path))
                await asyncio.sleep(LOOK_SECONDS)

    following = asyncio.ensure_future(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait({following})
    if not following.cancelled():
        following.result()


def as_text(found: Collided) -> str:
    """The end of the scene: what is in the tree now, and the way back."""
    blocks = [f"$ git diff\n{found.diff}" if found.diff else "git diff shows no change."]
    kept = [act["snapshotId"] for act in found.acts if act["snapshotId"] is not None]
    if kept:
        ways = "\n".join(f"  {PROGRAM} restore {snapshot}" for snapshot in kept)
        blocks.append(f"Both edits of each pair are there. Each repair kept what was there before it:\n{ways}")
    return "\n\n".join(blocks)
