"""Random schedules of three workers and a person: no line and no file is ever given to a worker that did not write it.

The whole witness with real processes, streams, git and watched tree; the workers are scripted. Steps come one after
another, commands overlap. Left out is the one known limit: a person's save that no editor announces while a worker's
command runs is taken for that worker's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.repo import make_repo
from tests.support.round import Round, open_round, until
from tests.support.schedules import PERSON, WORKERS, Author, Schedule, Step, patch_text, text

SEEDS = [int(seed) for seed in os.environ.get("CODEX_SIDECAR_SCHEDULE_SEEDS", "1 2 3").split()]
STEPS = 14


class Stage:
    """Plays a schedule: opens the gate of one step after another and waits until the step is done."""

    def __init__(self, round_: Round, schedule: Schedule, gates: Path) -> None:
        self.round = round_
        self.schedule = schedule
        self.gates = gates
        self.jobs: dict[str, str] = {}

    def scripts(self) -> dict[str, list[Any]]:
        """What each worker is told to do: a step of the script for each patch and for each command."""
        made: dict[str, list[Any]] = {worker: [] for worker in WORKERS}
        commands: dict[str, tuple[int, list[str]]] = {}
        for number, step in enumerate(self.schedule.steps):
            gate = {"path": str(self.gates / f"go.{number}"), "holds": "go"}
            if step.kind == "patch":
                made[step.actor].append({"patch": patch_text(step), "until": gate})
            elif step.kind == "open":
                commands[step.actor] = (number, [self._mark(number)])
            elif step.kind in ("write", "close"):
                begun, parts = commands[step.actor]
                parts += [f"while [ ! -e {self.gates}/go.{number} ]; do sleep 0.02; done", *self._deed(number, step)]
                if step.kind == "close":
                    at = {"path": str(self.gates / f"go.{begun}"), "holds": "go"}
                    made[step.actor].append({"sh": "\n".join(parts), "until": at})
        over = {"path": str(self.gates / "go.end"), "holds": "go"}
        for steps in made.values():
            steps.append({"json": {"summary": "did it", "modifiedFiles": []}, "until": over})
        return made

    def _mark(self, number: int) -> str:
        return f": > {self.gates}/done.{number}"

    def _deed(self, number: int, step: Step) -> list[str]:
        if step.kind == "close":
            return []
        if step.content is not None:
            (self.gates / f"text.{number}").write_text(text(step.content))
            # What stands there is written over in place, as most programs do.
            return [f"cat {self.gates}/text.{number} > {step.path}", self._mark(number)]
        return [f"mv {step.path} {step.moved_to}" if step.moved_to else f"rm {step.path}", self._mark(number)]

    async def play(self) -> None:
        for worker, steps in self.scripts().items():
            self.jobs[worker] = (await self.round.write(worker, *steps))["jobId"]
        for number, step in enumerate(self.schedule.steps):
            await self._step(number, step)
        self._go("end")
        ended = await self.round.ended(*({"jobId": job} for job in self.jobs.values()))
        assert ended == ["done"] * len(WORKERS)
        await self.round.core.a2.look()

    def _go(self, name: object) -> None:
        (self.gates / "go.new").write_text("go")
        (self.gates / "go.new").rename(self.gates / f"go.{name}")

    def _stands(self, step: Step) -> bool:
        """Whether the tree is what it is after the step."""
        gone = step.path if step.content is None else None
        made, lines = (step.moved_to, step.before) if step.moved_to else (step.path, step.content)
        if gone is not None and (self.round.repo / gone).exists():
            return False
        return lines is None or (
            (self.round.repo / str(made)).exists() and (self.round.repo / str(made)).read_text() == text(lines)
        )

    async def _step(self, number: int, step: Step) -> None:
        a2 = self.round.core.a2
        if step.kind == "save":
            assert step.content is not None
            # No look is under way while the person saves: what it meets before the editor's word has no name yet.
            await a2.look()
            (self.round.repo / step.path).write_text(text(step.content))
            a2.note_saved(step.path)
            await a2.ends_known()
            return
        scene = a2.witness.scene
        assert scene is not None
        job = self.jobs[step.actor]
        lines = scene.history.lines.get(job, 0)
        self._go(number)
        if step.kind in ("open", "write"):
            await until((self.gates / f"done.{number}").exists, f"step {number}")
        elif step.kind == "patch":
            await until(lambda: self._stands(step), f"patch {number}")
            # Its event tells of it a moment later; what another writes in that moment is another race.
            await until(lambda: scene.history.lines.get(job, 0) > lines, f"event of patch {number}")
            await a2.look()
        else:
            await until(lambda: job not in scene.windows.open_commands(), f"end of command {number}")


async def faults(stage: Stage) -> list[str]:
    """Lines and files that are not whose they are said to be."""
    schedule, a2 = stage.schedule, stage.round.core.a2
    names = {job: worker for worker, job in stage.jobs.items()} | {PERSON: PERSON}
    found = []
    named = 0
    for path, lines in schedule.end.items():
        assert (stage.round.repo / path).read_text() == text(lines), path
        for owner in await a2.owners(path):
            said = {names[writer] for writer, _, _ in owner.writers}
            for number in range(owner.start, owner.end + 1):
                line = lines[number - 1]
                # A line that comes back after it was gone has several true writers, one that was moved too.
                true = schedule.wrote.get((path, line), set()) | {line.split()[0]}
                named += 1
                if said and not said & true:
                    found.append(f"{path}:{number} {line!r} is {sorted(true)}'s, not {sorted(said)}'s")
    for worker, job in stage.jobs.items():
        for file in (await stage.round.call("codex_result", jobId=job))["touchedFiles"]:
            if file["attribution"] == "seen" and worker not in schedule.touched.get(file["path"], set()):
                found.append(f"{worker} never touched {file['path']}")
    assert named, "nobody was named for any line"
    return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_nobody_is_named_for_what_another_wrote(tmp_path: Path, seed: int) -> None:
    schedule = Author(seed).make(STEPS)
    repo = make_repo(tmp_path / "repo", {path: text(lines) for path, lines in schedule.base.items()})
    gates = tmp_path / "gates"
    gates.mkdir()
    async with open_round(repo) as round_:
        round_.core.apply_settings({"limits": {"write": len(WORKERS)}})
        await round_.call("codex_baseline")
        stage = Stage(round_, schedule, gates)
        await stage.play()
        wrong = await faults(stage)
        assert not wrong, "\n".join([*wrong, *map(str, enumerate(schedule.steps))])
