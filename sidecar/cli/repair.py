"""After a round: its conflicts, and what is done about them. `--on-conflict` of `run` names the way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sidecar.a2 import messages
from sidecar.cli import a2_texts, two_steps
from sidecar.cli.asking import Choice, Terminal, approval
from sidecar.cli.conflict_watch import of_jobs
from sidecar.cli.output import Output, one_line, sentence
from sidecar.cli.rounds import follow_jobs
from sidecar.cli.texts import plural
from sidecar.model.conflict import Conflict, Strategy
from sidecar.model.errors import SidecarError

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller

OnConflict = Literal["ask", "merge", "rerun", "keep-going"]


@dataclass
class Mended:
    """What became of the conflicts of a round.

    Attributes:
        found: the conflicts after the round, from the worst.
        left: those of them that are open at the end, and new ones of the workers that a repair started.
        acts: the answers of the repairs, each with its `strategy`.
        results: `codex_result` of the workers that repairs started, in that order.
        replaced: ids of jobs that ran again.
        interrupted: Ctrl-C stopped the workers of a repair.
        others: how many conflicts of other workers are open in the same run.
    """

    found: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    interrupted: bool = False
    others: int = 0


class Mender:
    """Repairs the conflicts of some jobs, and follows the workers that it starts for that.

    Args:
        client: the sidecar.
        job_ids: the jobs of the round.
        out: where it says what it does.
        person: who can be asked; None: nobody.
        brief: leaves out the whole answers of the workers that repairs start.
    """

    def __init__(
        self, client: Caller, job_ids: Collection[str], out: Output, person: Terminal | None, *, brief: bool = False
    ) -> None:
        self._client = client
        self._job_ids = set(job_ids)
        self._out = out
        self._person = person
        self._brief = brief
        self.mended = Mended()

    async def mend(self, how: OnConflict) -> Mended:
        """Looks for conflicts, shows them, and repairs them the way that `how` says.

        Raises:
            SidecarError: the sidecar is gone.
            Interrupted: after the third Ctrl-C while workers of a repair run.
        """
        mended = self.mended
        mended.found = mended.left = await self.look()
        if not mended.found:
            return mended
        self._out.text(f"\n{plural(len(mended.found), 'conflict')}:")
        for item in mended.found:
            self._out.text(a2_texts.conflict_line(item))
        if how == "merge":
            await self.merge()
        elif how == "rerun":
            await self.rerun()
        elif how == "ask" and self._person is not None:
            await self._ask(self._person)
        return mended

    async def look(self) -> list[dict[str, Any]]:
        """The open conflicts of the round, its repairs' workers among them; from the worst."""
        all_open = (await self._client.call("codex_conflicts", {}))["conflicts"]
        found = of_jobs(all_open, self._job_ids)
        self.mended.others = len(all_open) - len(found)
        return found

    async def merge(self) -> None:
        """Merges every conflict that merges cleanly; the others stay open."""
        for item in self.mended.left:
            if item["mergeable"]:
                # A person's own edits become part of the merge, so nothing of theirs is undone.
                asked = {"conflictId": item["conflictId"], "strategy": "merge"}
                await self._act("codex_resolve", asked, approval(None))
        self.mended.left = await self.look()

    async def rerun(self) -> None:
        """Rolls back the files of all workers in conflict, and runs these again one by one."""
        jobs = dict.fromkeys(job["jobId"] for item in self.mended.left for job in item["jobs"])
        if jobs:
            await self._act("codex_rerun", {"jobIds": list(jobs)}, self._sparing)
            self.mended.left = await self.look()

    async def _ask(self, person: Terminal) -> None:
        """One conflict after the other, until each is repaired or left open."""
        kept_open: set[str] = set()
        while not self.mended.interrupted:
            pending = [item for item in self.mended.left if item["conflictId"] not in kept_open]
            if not pending:
                return
            conflict = a2_texts.conflict_of(pending[0])
            person.show(f"\n{one_line(conflict.path)}: {one_line(messages.diagnostic(conflict))}")
            choice = await person.choose("What is to be done? Enter leaves it open:", choices(conflict))
            if choice is None:
                kept_open.add(conflict.conflict_id)
                continue
            asked = {"conflictId": conflict.conflict_id, **choice.meaning}
            await self._act("codex_resolve", asked, approval(person))
            self.mended.left = await self.look()

    async def _sparing(self, preview: dict[str, Any]) -> bool:
        """A re-run that was ordered before the round is not asked about, unless it undoes what a person wrote since."""
        if not preview["userEdits"]:
            return True
        if self._person is not None:
            return await approval(self._person)(preview)
        edits = a2_texts.file_names(preview["userEdits"])
        self._out.note(f"not repaired: your own edits in {edits} would be undone, too.")
        return False

    async def _act(self, tool: str, arguments: dict[str, Any], approve: two_steps.Approve) -> None:
        """One repair, and the run of the workers that it starts. What is refused is said, and stays open."""
        try:
            answer, done = await two_steps.perform(self._client, tool, arguments, approve)
        except SidecarError as exc:
            if exc.kind == "state-unavailable":
                raise
            self._out.note(f"not repaired: {sentence(exc.message, exc.hint)}")
            return
        if not done:
            self._out.text("Nothing was changed.")
            return
        self.mended.acts.append({"strategy": "rerun", **answer})
        self._out.text(a2_texts.repaired(self.mended.acts[-1], await self._labels()))
        if started := [job["jobId"] for job in answer["jobs"]]:
            self._job_ids.update(started)
            self.mended.replaced.update(job["replaces"] for job in answer["jobs"] if job["replaces"])
            ended = await follow_jobs(self._client, started, self._out)
            self.mended.results += ended.results
            self.mended.interrupted |= ended.interrupted
            if not self._brief:
                self._out.text(a2_texts.results(ended.results))

    async def _labels(self) -> dict[str, str]:
        if self._out.as_json:
            return {}
        return {job["jobId"]: job["label"] for job in (await self._client.call("codex_status", {}))["jobs"]}


async def left_by(client: Caller, result: dict[str, Any]) -> list[str]:
    """The files that a worker which did not finish has changed: those that rolling back this job would undo.

    Raises:
        SidecarError: the sidecar is gone.
    """
    if result["status"] not in ("failed", "cancelled", "interrupted"):
        return []
    try:
        offered = await client.call("codex_rollback", {"jobIds": [result["jobId"]]})
    except SidecarError as exc:
        if exc.kind == "state-unavailable":
            raise
        return []  # Nothing of it differs from the baseline, or it never started.
    return [file["path"] for file in offered["preview"]["files"]]


def choices(conflict: Conflict) -> list[Choice]:
    """The ways out of a conflict, the suggested one marked. Only a version that is stored can be kept."""
    found: list[Choice] = []

    def add(key: str, strategy: Strategy, text: str, **more: str) -> None:
        mark = " (suggested)" if strategy == conflict.suggested and strategy != "keep" else ""
        found.append(
            Choice((key, strategy) if strategy != "keep" else (key,), text + mark, {"strategy": strategy, **more})
        )

    if conflict.mergeable:
        add("m", "merge", messages.STRATEGIES["merge"])
    for job in conflict.jobs:
        if job.attribution == "seen":
            add(job.label, "keep", f"keep the version of {messages.who(job)}", jobId=job.job_id)
    add("c", "reconcile", messages.STRATEGIES["reconcile"])
    add("r", "rerun", messages.STRATEGIES["rerun"])
    add("d", "dismiss", messages.STRATEGIES["dismiss"])
    return found
