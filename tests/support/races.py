"""Random schedules whose steps run at the same time: groups of two or three workers whose gates open together.

Every line that anybody writes is a token of its own, and nobody takes away another's token on purpose; one that is lost
was really lost in a race. What a step writes is made up when its group begins, from what then stands in the tree; so
after a race that was lost the next group goes on from what there is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKERS = ("w1", "w2", "w3")
PATHS = ("hot.txt", "cold.txt")
LINES = 6
PATCHES = ("insert", "insert", "whole", "replace")
COMMANDS = ("append", "sed", "copy")


@dataclass(frozen=True)
class Deed:
    """One step of one worker. `how` is of `PATCHES` (a patch) or of `COMMANDS` (done by a command).

    `pause`: seconds between the gate and the write. `goes_on`: the command of the deed before is still open.
    """

    actor: str
    how: str
    path: str
    pause: float
    late: bool = False
    goes_on: bool = False

    @property
    def is_patch(self) -> bool:
        return self.how in PATCHES


@dataclass
class Race:
    """The groups of a schedule, and what their writers did on purpose."""

    seed: int
    groups: list[list[Deed]] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    """Tokens that their own writers took away."""
    tokens: int = 0

    def token(self, actor: str) -> str:
        self.tokens += 1
        return f"{actor} {self.tokens}"


def base(path: str) -> str:
    return "".join(f"base {path[0]} {n}\n" for n in range(LINES))


def make(seed: int, groups: int) -> Race:
    """A schedule of so many groups."""
    rng, race = random.Random(seed), Race(seed)
    before: dict[str, Deed] = {}
    for _ in range(groups):
        actors = rng.sample(WORKERS, rng.choice((2, 2, 3)))
        deeds = []
        for actor in actors:
            path = rng.choices(PATHS, (4, 1))[0]
            pause = rng.choice((0.0, 0.0, 0.003, 0.01, 0.03, 0.1))
            if rng.random() < 0.6:
                # A word that is under way for longer than `HEAR_SECONDS` may come too late to be heeded.
                deed = Deed(actor, rng.choice(PATCHES), path, pause, late=pause < 0.1 and rng.random() < 0.3)
            else:
                last = before.get(actor)
                goes_on = last is not None and not last.is_patch and rng.random() < 0.5
                deed = Deed(actor, rng.choice(COMMANDS), path, pause, goes_on=goes_on)
            before[actor] = deed
            deeds.append(deed)
        race.groups.append(deeds)
    return race


def scripts(race: Race, place: Path) -> dict[str, list[Any]]:
    """What each worker is told; gates and texts are files in `place`, named by group and actor."""
    made: dict[str, list[Any]] = {worker: [] for worker in WORKERS}
    for number, group in enumerate(race.groups):
        gate = {"path": str(place / f"go.{number}"), "holds": ""}
        for deed in group:
            name = f"{number}.{deed.actor}"
            if deed.is_patch:
                order = "late" if deed.late else "early"
                words = f"{order} {deed.pause} {place / f'text.{name}'} {place / f'done.{name}'}"
                made[deed.actor].append({"patch": words, "until": gate})
                continue
            parts = f"while [ ! -e {place}/go.{number} ]; do sleep 0.002; done\nsleep {deed.pause}\n"
            # The text is a little program, so that a command shows which file it works on and not yet what it writes.
            parts += f". {place}/text.{name} {deed.path}\n: > {place}/done.{name}\n"
            if deed.goes_on:
                made[deed.actor][-1]["sh"] += parts
            else:
                made[deed.actor].append({"sh": parts, "until": gate})
    over = {"path": str(place / "go.end"), "holds": ""}
    for steps in made.values():
        steps.append({"json": {"summary": "did it", "modifiedFiles": []}, "until": over})
    return made


def write_texts(race: Race, number: int, place: Path, read: Callable[[str], str]) -> list[Path]:
    """Makes up what the deeds of a group write, from the tree as it is; the files that tell their ends."""
    rng = random.Random(f"{race.seed} {number}")
    for deed in race.groups[number]:
        lines = read(deed.path).splitlines()
        token = race.token(deed.actor)
        anchors = [line for line in lines if line.startswith("base ")]
        # A race of two programs may leave an empty file behind.
        anchor = rng.choice(anchors or [""])
        mine = [line for line in lines if line.split()[0] == deed.actor]
        at = rng.randrange(len(lines) + 1)
        if deed.how == "append":
            text = f"echo '{token}' >> {deed.path}\n"
        elif deed.how == "sed":
            text = f"sed -i '/^{anchor}$/a {token}' {deed.path}\n"
        elif deed.how == "copy":
            whole = [*lines[:at], token, *lines[at:]]
            text = f"printf '%s\\n' {' '.join(repr(line) for line in whole)} > {deed.path}\n"
        elif deed.how == "replace" and mine:
            gone = rng.choice(mine)
            race.replaced.add(gone)
            text = _patch(deed.path, f"-{gone}\n+{token}\n")
        elif deed.how == "whole" or not anchors:
            body = [*(f" {line}" for line in lines[:at]), f"+{token}", *(f" {line}" for line in lines[at:])]
            text = _patch(deed.path, "".join(f"{line}\n" for line in body))
        else:
            text = _patch(deed.path, f" {anchor}\n+{token}\n")
        (place / f"text.{number}.{deed.actor}").write_text(text)
    return [place / f"done.{number}.{deed.actor}" for deed in race.groups[number]]


def _patch(path: str, body: str) -> str:
    return f"*** Begin Patch\n*** Update File: {path}\n@@\n{body}*** End Patch\n"
