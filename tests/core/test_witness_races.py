"""Workers that write one file at the same moment: what is not known is said to be so, and no repair loses a line.

The whole witness with real processes, streams, git and watched tree. Groups of steps begin together and really race, so
an edit may be lost; what then stands on the disk is the truth. A line may be nobody's for certain, but it is never
somebody else's.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar.a2.versions import USER
from tests.support import races, racing_worker
from tests.support.repo import make_repo
from tests.support.round import Round, open_round, until

SEEDS = [int(seed) for seed in os.environ.get("CODEX_SIDECAR_SCHEDULE_SEEDS", "1 2 3").split()]
GROUPS = 5
RACER = shlex.join([sys.executable, str(Path(racing_worker.__file__))])


class Stage:
    """Plays the groups of a race and asks after each what is known."""

    def __init__(self, round_: Round, race: races.Race, place: Path) -> None:
        self.round = round_
        self.race = race
        self.place = place
        self.jobs: dict[str, str] = {}

    def read(self, path: str) -> str:
        return (self.round.repo / path).read_text()

    async def play(self) -> list[str]:
        for worker, steps in races.scripts(self.race, self.place).items():
            self.jobs[worker] = (await self.round.write(worker, *steps))["jobId"]
        found = []
        for number in range(len(self.race.groups)):
            done = races.write_texts(self.race, number, self.place, self.read)
            (self.place / f"go.{number}").touch()
            await until(lambda done=done: all(path.exists() for path in done), f"group {number}")  # type: ignore[misc]
            if number % 2:
                # All are quiet now; some commands are still open.
                found += [f"after group {number}: {fault}" for fault in await self.faults()]
        (self.place / "go.end").touch()
        ended = await self.round.ended(*({"jobId": job} for job in self.jobs.values()))
        assert ended == ["done"] * len(races.WORKERS)
        found += await self.faults()
        for worker, job in self.jobs.items():
            for file in (await self.round.call("codex_result", jobId=job))["touchedFiles"]:
                did = any(
                    deed.path == file["path"] for group in self.race.groups for deed in group if deed.actor == worker
                )
                if file["attribution"] == "seen" and not did:
                    found.append(f"{worker} never touched {file['path']}")
        return found

    async def faults(self) -> list[str]:
        """Lines that are not whose they are said to be, and contents that are not known."""
        a2 = self.round.core.a2
        await a2.look()
        names = {job: worker for worker, job in self.jobs.items()} | {USER: USER}
        found = []
        assert a2.witness.scene is not None
        for path in races.PATHS:
            lines = self.read(path).splitlines()
            content = self.read(path).encode()
            blob = hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()
            newest = a2.witness.scene.history.newest(path)
            if blob != newest.oid if newest is not None else content.decode() != races.base(path):
                found.append(f"{path}: what stands there is not the newest version")
            for owner in await a2.owners(path):
                said = {names[writer] for writer, _, _ in owner.writers}
                for line in lines[owner.start - 1 : owner.end]:
                    if said and line.split()[0] not in said:
                        found.append(f"{path}: {line!r} is said to be {owner.attribution} of {sorted(said)}")
        return found

    async def repair(self) -> list[str]:
        """Merges whatever is said to merge; tokens that this loses."""
        board = self.round.core.a2.board
        found = []
        for conflict in await self.round.conflicts():
            if not conflict["mergeable"]:
                continue
            path, chain = conflict["path"], board.chains[conflict["path"]]
            held = _tokens(self.read(path))
            for job in conflict["jobs"]:
                if own := chain.written_by(job["jobId"]):
                    held |= _tokens((chain.versions[own[-1]].content or b"").decode())
            await self.round.act("codex_resolve", conflictId=conflict["conflictId"], strategy="merge")
            if lost := held - _tokens(self.read(path)) - self.race.replaced:
                found.append(f"the merge of {path} ({conflict['kind']}) lost {sorted(lost)}")
        return found


def _tokens(text: str) -> set[str]:
    return {line for line in text.splitlines() if not line.startswith("base ")}


def told(stage: Stage) -> list[str]:
    """For whoever has to find out why: what was planned and what was seen."""
    names = {job: worker for worker, job in stage.jobs.items()} | {USER: USER}
    assert stage.round.core.a2.witness.scene is not None
    history: Any = stage.round.core.a2.witness.scene.history
    seen = [
        f"{path} {one.seq} {[names[writer] for writer in one.writers]} {one.attribution} {one.at:.3f} {one.oid}"
        for path, versions in history.versions.items()
        for one in versions
    ]
    return [*map(str, enumerate(stage.race.groups)), *seen]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_no_race_gives_a_line_to_another_and_no_merge_loses_one(tmp_path: Path, seed: int) -> None:
    race = races.make(seed, GROUPS)
    repo = make_repo(tmp_path / "repo", {path: races.base(path) for path in races.PATHS})
    place = tmp_path / "place"
    place.mkdir()
    async with open_round(repo) as round_:
        round_.core.apply_settings({"limits": {"write": len(races.WORKERS)}})
        await round_.call("codex_baseline")
        round_.caller.client.env["CODEX_SIDECAR_CODEX"] = RACER
        stage = Stage(round_, race, place)
        wrong = await stage.play()
        wrong += await stage.repair()
        assert not wrong, "\n".join([*wrong, *told(stage)])
