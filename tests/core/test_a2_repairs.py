"""Random rounds of workers and a person, and random repairs after them: no line is ever gone for good.

Every line is a token of its own. What stood in the tree before a repair is in the tree after it, or in a snapshot that
`codex_snapshots` lists; what a worker wrote is held by git in any case.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
from pathlib import Path
from typing import Any

import pytest

from sidecar.model.errors import SidecarError
from tests.core.test_a2_round import report
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until

SEEDS = int(os.environ.get("CODEX_SIDECAR_REPAIR_SEEDS", "2"))
FILES = ("one.txt", "two.txt")
LINES = 14
WORKERS = 3
TURNS = 7
REPAIRS = 9
PERSON = -1


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


class Game:
    """One round: the turns of its writers, and then its repairs."""

    def __init__(self, round_: Round, seed: int) -> None:
        self.round = round_
        self.repo = round_.repo
        self.rng = random.Random(seed)
        self.tokens = 0
        self.contents = {name: [(self.repo / name).read_text().splitlines()] for name in FILES}
        self.log: list[str] = []
        self._snapshots: dict[str, set[str]] = {}

    # -- the round ----------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Workers and a person write in turn; each write is known before the next one begins."""
        turns = [(self.rng.choice((*range(WORKERS), *range(WORKERS), PERSON)), self.path()) for _ in range(TURNS)]
        turns += [(worker, FILES[0]) for worker in range(WORKERS)]
        gate = self.repo.parent / "gate"
        gate.write_text("")

        def when(word: str) -> dict[str, Any]:
            return {"until": {"path": str(gate), "holds": f"<{word}>"}}

        jobs = []
        for worker in range(WORKERS):
            mine = [(number, name) for number, (actor, name) in enumerate(turns) if actor == worker]
            # By a rename, which nobody can meet half done.
            steps = [{"sh": f"mv ../turn-{number} {name}"} | when(str(number)) for number, name in mine]
            jobs.append(await self.round.write(f"worker {worker}", *steps, report(*FILES) | when("end")))
        for number, (actor, name) in enumerate(turns):
            whole = self.next_content(name, f"w{actor}" if actor != PERSON else "user")
            if actor == PERSON:
                (self.repo / name).write_text(whole)
                await self.round.conflicts()
            else:
                (self.repo.parent / f"turn-{number}").write_text(whole)
                with gate.open("a") as file:
                    file.write(f"<{number}>")
                what = f"turn {number} of {jobs[actor]['label']}"
                await until(functools.partial(self.is_known, name, whole, jobs[actor]["jobId"]), what)
                # The command is over; a look after that knows that it wrote nothing more.
                await self.round.core.a2.witness.settle()
        with gate.open("a") as file:
            file.write("<end>")
        assert await self.round.ended(*jobs) == ["done"] * WORKERS
        self.log.append(str([("user" if actor == PERSON else f"w{actor}", name) for actor, name in turns]))

    def path(self) -> str:
        return self.rng.choice(FILES)

    def is_known(self, name: str, whole: str, job_id: str) -> bool:
        scene = self.round.core.a2.witness.scene
        if scene is None or scene.windows.any_open():
            return False  # What is written next could be of the worker that has not ended this.
        newest = scene.history.newest(name)
        oid = hashlib.sha1(b"blob %d\0%s" % (len(whole), whole.encode())).hexdigest()
        return newest is not None and (newest.oid, newest.writers) == (oid, (job_id,))

    def next_content(self, name: str, who: str) -> str:
        """An edit of what stands there, or now and then of what stood there before."""
        lines = list(self.rng.choice(self.contents[name]) if self.rng.random() < 0.25 else self.contents[name][-1])
        at = self.rng.randrange(len(lines) + 1)
        fresh = [self.token(who) for _ in range(self.rng.choice((1, 1, 2)))]
        lines[at : at + self.rng.choice((0, 1, 1, 2))] = fresh
        self.contents[name].append(lines)
        return text(lines)

    def token(self, who: str) -> str:
        self.tokens += 1
        return f"{who} token {self.tokens}"

    # -- what is there ------------------------------------------------------------------------------------------------

    def disk(self) -> set[str]:
        return {line for name in FILES if (path := self.repo / name).exists() for line in path.read_text().splitlines()}

    async def saved(self) -> set[str]:
        """The lines in all snapshots that are listed, as plain git reads them."""
        refs = [one["ref"] for one in (await self.round.call("codex_snapshots"))["snapshots"]]
        for ref in refs:
            if ref not in self._snapshots:
                lines = git(self.repo, "grep", "-h", "-I", "-e", "", f"{ref}:files").splitlines()
                self._snapshots[ref] = set(lines)
        return set().union(*(self._snapshots[ref] for ref in refs))

    def stored(self) -> set[str]:
        """The lines of all versions that were kept in this run."""
        scene = self.round.core.a2.witness.scene
        assert scene is not None
        oids = {one.oid for all_ in scene.history.versions.values() for one in all_ if one.oid}
        return {line for oid in oids for line in git(self.repo, "cat-file", "blob", oid).splitlines()}

    # -- repairs ------------------------------------------------------------------------------------------------------

    async def repair(self) -> None:
        """One repair, or a person's edit; then everything must still be there."""
        before, stored = self.disk(), self.stored()
        conflicts = await self.round.conflicts()
        kinds = ["by hand", "by hand", "by hand", "merge", "merge", "keep", "dismiss"] if conflicts else []
        kind = self.rng.choice([*kinds, "roll back", "restore", "edit"])
        self.log.append(kind)
        conflict = self.rng.choice(conflicts) if conflicts else {}
        if kind == "by hand":
            await self.by_hand(conflict)
        elif kind == "merge":
            await self.merge(conflict)
        elif kind == "keep":
            await self.attempt(
                "codex_resolve", conflict, strategy="keep", jobId=self.rng.choice(conflict["jobs"])["jobId"]
            )
        elif kind == "dismiss":
            await self.round.call("codex_resolve", conflictId=conflict["conflictId"], strategy="dismiss")
        elif kind == "roll back":
            changed = sorted(self.round.core.a2.witness.changed)
            if changed:
                await self.round.act("codex_rollback", paths=[self.rng.choice(changed)])
        elif kind == "restore":
            snapshots = (await self.round.call("codex_snapshots"))["snapshots"]
            if snapshots:
                await self.round.act("codex_restore", snapshotId=self.rng.choice(snapshots)["snapshotId"])
        else:
            name = self.path()
            self.contents[name].append((self.repo / name).read_text().splitlines())
            lines = list(self.contents[name][-1])
            lines.insert(self.rng.randrange(len(lines) + 1), self.token("user"))
            (self.repo / name).write_text(text(lines))
        lost = before - self.disk() - await self.saved()
        assert not lost, (lost, self.log)
        assert stored <= self.stored(), self.log

    async def attempt(self, tool: str, conflict: dict[str, Any], **more: Any) -> bool:
        """Whether it was done, and not refused for what the conflict is."""
        try:
            await self.round.act(tool, conflictId=conflict["conflictId"], **more)
        except SidecarError as exc:
            if exc.kind != "invalid-arguments":
                raise
            return False
        return True

    async def merge(self, conflict: dict[str, Any]) -> None:
        before = self.disk()
        done = await self.attempt("codex_resolve", conflict, strategy="merge")
        assert done == conflict["mergeable"], (conflict, self.log)
        assert base_free(before) <= self.disk(), (base_free(before) - self.disk(), self.log)

    async def by_hand(self, conflict: dict[str, Any]) -> None:
        """What is proposed, as it is or with a line more."""
        asked: dict[str, Any] = {"conflictId": conflict["conflictId"]}
        if self.rng.random() < 0.5 and len(conflict["jobs"]) > 1:
            asked["jobIds"] = [job["jobId"] for job in self.rng.sample(conflict["jobs"], 2)]
        try:
            found = await self.round.call("codex_merge_inputs", **asked)
        except SidecarError as exc:
            if "one worker's version only" not in exc.message:
                raise
            return
        pair = {version["label"] for version in found["versions"]}
        more = f"{self.token('user')}\n" if self.rng.random() < 0.3 else ""
        before = self.disk()
        await self.round.call(
            "codex_apply_merge",
            conflictId=conflict["conflictId"],
            text=found["marked"] + more,
            expectedHash=found["diskHash"],
        )
        self.log.append(f"{found['path']} {pair} {found['conflicts']} {more}")
        lost = base_free(before) - self.disk()
        # A worker that was not merged yet may have to wait, where its lines touch those of the two.
        waiting = {f"w{int(job['label'][1:]) - 1}" for job in conflict["jobs"]} - {
            f"w{int(one[1:]) - 1}" for one in pair
        }
        assert {line.split()[0] for line in lost} <= waiting, (lost, self.log)
        if lost:
            assert conflict["conflictId"] in {one["conflictId"] for one in await self.round.conflicts()}, self.log


def base_free(lines: set[str]) -> set[str]:
    """Without the baseline's lines and git's markers."""
    return {line for line in lines if " token " in line and not line.startswith(("<<<<<<<", "|||||||", ">>>>>>>"))}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_random_repairs_lose_nothing(tmp_path: Path, seed: int) -> None:
    repo = make_repo(tmp_path / "repo", {name: text([f"{name} base {n}" for n in range(LINES)]) for name in FILES})
    async with open_round(repo) as round_:
        round_.core.apply_settings({"limits": {"write": WORKERS}})
        game = Game(round_, seed)
        await game.play()
        for _ in range(REPAIRS):
            await game.repair()
        there = game.disk() | await game.saved()
        git(repo, "gc", "--prune=now", "-q")
        game._snapshots.clear()
        assert there == game.disk() | await game.saved()
