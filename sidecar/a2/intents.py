"""What a re-run is about to do, on disk before it does it: files go back first, jobs are spawned after.

A sidecar that dies in between is finished by the next one. Whether the files had gone back is told by a mark, or by the
repair's own journal; which jobs are there already is told by the job journal. The callers' environment lies here, 0600,
until all new jobs are recorded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.git.journal import Journal as RepairJournal
from sidecar.git.leftovers import displaced, finished
from sidecar.git.repair import Recovery
from sidecar.git.repository import Repository
from sidecar.git.state import Work, open_work
from sidecar.git.worktree import NO_FILE
from sidecar.jobs import durable
from sidecar.jobs.live import Live
from sidecar.jobs.store import disk_refused
from sidecar.model.job import Job, now

if TYPE_CHECKING:
    from sidecar.a2.service import A2

logger = logging.getLogger(__name__)

REASON = "before jobs are run again"
"""Of the snapshot and in the repair's journal."""
_INTENT = "intent.json"
_MOVED = "moved.json"


@dataclass(frozen=True)
class Intent:
    """One re-run that has begun. It stands in for the client that asked, who is gone after a restart."""

    run_id: str
    jobs: list[str]
    """The jobs that run again, in order."""
    paths: list[str]
    after: int
    """The highest job number before; whatever replaces one of `jobs` and is newer, this re-run has made."""
    trash: list[str]
    """The journals of earlier repairs."""
    at: float
    frontend: str
    env: dict[str, str]
    over: list[str] = field(default_factory=list)
    """Paths whose conflicts are over with it, also those of which nothing has to go back."""


class Intents:
    """The one re-run that is under way. All methods block."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._directory = state_dir / "rerun"

    def earlier_repairs(self) -> list[str]:
        """The journals that lie in the trash now."""
        trash = self._state_dir / "trash"
        return sorted(os.listdir(trash)) if trash.exists() else []

    def write(self, intent: Intent) -> None:
        """Keeps an intent; it is on the disk when this returns.

        Raises:
            SidecarError: `state-unavailable`; nothing is kept then.
        """
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self.clear()
            # The json module keeps surrogate escapes, which stand for bytes that are not UTF-8.
            durable.write_file(self._directory / _INTENT, json.dumps(asdict(intent)).encode())
        except OSError as exc:
            raise disk_refused(exc, self._directory) from exc

    def mark_moved(self, snapshot_id: str | None) -> None:
        """The files have gone back; from here on the jobs are spawned, also after a crash."""
        try:
            durable.write_file(self._directory / _MOVED, json.dumps(snapshot_id).encode())
        except OSError as exc:
            # The repair's journal tells the same until the trash is emptied.
            logger.error("%s cannot be written: %s", self._directory / _MOVED, exc)

    def read(self) -> Intent | None:
        """What an earlier sidecar did not end; removes it where it makes no sense.

        Raises:
            SidecarError: `state-unavailable`.
        """
        try:
            return Intent(**json.loads((self._directory / _INTENT).read_bytes()))
        except FileNotFoundError:
            self.end()
        except OSError as exc:
            raise disk_refused(exc, self._directory) from exc
        except (ValueError, TypeError):
            logger.exception("a re-run that was interrupted cannot be read and is given up")
            self.end()
        return None

    def moved(self) -> tuple[bool, str | None]:
        """Whether the mark is there, and the snapshot it names."""
        try:
            return True, json.loads((self._directory / _MOVED).read_bytes())
        except FileNotFoundError:
            return False, None

    def end(self) -> None:
        """Removes the intent of a re-run whose outcome the caller is told; what cannot be removed goes at a start."""
        try:
            self.clear()
        except OSError as exc:
            logger.error("%s cannot be removed: %s", self._directory, exc)

    def clear(self) -> None:
        """Removes the intent with its secrets, also what a crash left of one that was being written.

        Raises:
            OSError: it may still be there.
        """
        if not self._directory.exists():
            return
        # The intent first: a mark alone means nothing.
        (self._directory / _INTENT).unlink(missing_ok=True)
        for path in self._directory.iterdir():
            path.unlink()
        durable.sync_directory(self._directory)


async def finish(a2: A2, recovered: Sequence[Recovery]) -> None:
    """Ends a re-run that a crash interrupted: all of its jobs are there afterwards, or nothing has happened.

    Of any other repair it notes what was put in place: without that a person would be named as its writer.

    To be called before the job manager takes up its jobs; it starts the new ones as it does all that are queued.

    Args:
        a2: its run and repairs have been taken up.
        recovered: what became of interrupted repairs just now.

    Raises:
        SidecarError: `state-unavailable`; the intent is kept.
    """
    await _note_repairs(a2)
    intent = await asyncio.to_thread(a2.intents.read)
    if intent is None:
        return
    did, snapshot = await asyncio.to_thread(_files_went_back, a2, intent, recovered)
    run = a2.runs.open
    if not did:
        logger.warning("a re-run of %d jobs was interrupted before anything was changed; dropped", len(intent.jobs))
    elif run is None or run.run_id != intent.run_id:
        logger.error("an interrupted re-run cannot be finished: %s is not open any more", intent.run_id)
    else:
        await _settle(a2, intent, snapshot)
        made = await _record_missing(a2, intent)
        logger.warning("an interrupted re-run was finished: %s", ", ".join(job.label for job in made) or "nothing left")
    await asyncio.to_thread(a2.intents.end)


async def _note_repairs(a2: A2) -> None:
    scene = a2.witness.scene
    if scene is None or not (a2.state_dir / "trash").exists():
        return
    put = await asyncio.to_thread(_put_by_repairs, a2.repository, a2.state_dir)
    known = {path: scene.history.newest(path) for path in put}
    # What is known already was looked at since.
    await a2.witness.absorb([path for path, at in put.items() if (one := known[path]) is None or one.at < at])


def _put_by_repairs(repository: Repository, state_dir: Path) -> dict[str, float]:
    """Paths that still are as a repair in the trash made them, and when it did (wall clock)."""
    found = {}
    with open_work(repository, state_dir) as work:
        for journal in finished(work):
            taken = set(displaced(journal).values())
            for step in journal.steps:
                here, mine = work.tree.signature(step.path), journal.staged.get(step.number)
                gone = step.target.kind == "absent" and here.kind in NO_FILE and step.path in taken
                if gone or (mine is not None and here.same_file(mine)):
                    # The mark was made when the repair began to move things, and only renamed since.
                    found[step.path] = (journal.directory / "done").stat().st_mtime
    return found


def _files_went_back(a2: A2, intent: Intent, recovered: Sequence[Recovery]) -> tuple[bool, str | None]:
    did, snapshot = a2.intents.moved()
    if did:
        return True, snapshot
    outcomes = {one.journal_id: one.outcome for one in recovered}
    return _told_by_journal(a2.repository, a2.state_dir, intent, outcomes)


def _told_by_journal(
    repository: Repository, state_dir: Path, intent: Intent, outcomes: dict[str, str]
) -> tuple[bool, str | None]:
    with open_work(repository, state_dir) as work:
        for journal in finished(work):
            if journal.id in intent.trash or journal.about.get("reason") != REASON:
                continue
            outcome = outcomes.get(journal.id)
            if outcome == "forward" or (outcome is None and _went_forward(work, journal)):
                return True, str(journal.about["snapshot"])
    return False, None


def _went_forward(work: Work, journal: RepairJournal) -> bool:
    """Whether a repair that is over was completed, not undone: what it displaced, or put in place, is there."""
    # Only one that was undone leaves paths that somebody had built on.
    if (journal.directory / "left.json").exists():
        return False
    return bool(displaced(journal)) or any(
        work.tree.signature(step.path).inode == journal.staged[step.number].inode
        for step in journal.steps
        if step.number in journal.staged
    )


async def _settle(a2: A2, intent: Intent, snapshot: str | None) -> None:
    scene = a2.witness.scene
    if scene is None:
        return
    done = {one.path for one in scene.history.repairs if one.how == "run again" and one.at >= intent.at}
    if paths := [path for path in dict.fromkeys([*intent.paths, *intent.over]) if path not in done]:
        await a2.plans.settle(scene, paths, "run again", intent.jobs, snapshot)


async def _record_missing(a2: A2, intent: Intent) -> list[Job]:
    """Records the jobs that are not there yet, all in one transaction, as queued behind one another."""
    manager = a2.manager
    there = {
        job.replaces: job.job_id
        for job in await a2.journal.of_run(intent.run_id)
        if job.number > intent.after and job.replaces in intent.jobs
    }
    number = await a2.journal.last_number()
    new: list[Job] = []
    before: list[str] = []
    for old_id in intent.jobs:
        if old_id not in there:
            old = await manager.job(old_id)
            number += 1
            job = Job(
                job_id=secrets.token_hex(16), number=number, status="queued", created_at=now(), run_id=intent.run_id,
                **facts_again(old, intent, before),
            )  # fmt: skip
            prompt = await asyncio.to_thread(manager.store.prompt, old)
            try:
                # An attempt of this that was cut leaves a directory without a row: it is never looked at.
                await asyncio.to_thread(manager.store.create, job, prompt, intent.env)
                live = Live(job, manager.store, manager.backend, manager.top, manager.observe, watched=False)
                content = {"kind": "spawned", "title": job.title, "sandbox": job.sandbox, "label": job.label}
                await live.log.append("spawned", content)
                live.log.close()
            except OSError as exc:
                raise disk_refused(exc, manager.store.directory(job.job_id)) from exc
            new.append(job)
            there[old_id] = job.job_id
        before.append(there[old_id])
    if new:
        await a2.journal.save(*new)
    return new


def facts_of(job: Job, client: Any) -> dict[str, Any]:
    """What a job that takes another one's place has in common with it."""
    return {
        "title": job.title,
        "sandbox": job.sandbox,
        "working_directory": job.working_directory,
        "timeout_ms": job.timeout_ms,
        "frontend": client.frontend,
        "model": job.model,
        "reasoning_effort": job.reasoning_effort,
        "expected_files": job.expected_files,
        "config": job.config,
    }


def facts_again(job: Job, client: Any, before: Sequence[str]) -> dict[str, Any]:
    """What a job that runs again is spawned with, behind those `before` it."""
    return facts_of(job, client) | {"follows": list(before), "replaces": job.job_id}
