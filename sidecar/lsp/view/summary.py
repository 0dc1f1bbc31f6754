"""What the whole repository comes to: counts, the badge, the status bar's tooltip, and marks on files."""

from __future__ import annotations

from sidecar.a2 import messages
from sidecar.lsp.view import texts
from sidecar.lsp.view.shapes import Badge, Counts, Facts, Job, Mark, Status, Summary, needs_person
from sidecar.model.job import Usage

MARKS_MAX = 2000
"""Most files that are marked as touched; conflicts are always marked."""


def summary(facts: Facts, roots: list[str]) -> Summary:
    """The item `summary` of the state."""
    jobs = facts.shown
    conflicts = sum(map(needs_person, facts.conflicts))
    urgent = [job for job in jobs if job.needs_person]
    whole_run = len(facts.commits) + (facts.head is not None)
    attention = conflicts + len(urgent) + whole_run
    counts = Counts(
        running=sum(job.active and job.status != "queued" for job in jobs),
        queued=sum(job.status == "queued" for job in jobs),
        done=sum(job.status == "done" for job in jobs),
        conflicts=conflicts,
        notes=len(facts.conflicts) - conflicts,
        attention=attention,
        ended=sum(not job.active for job in jobs),
        changed_files=len({file.path for job in jobs for file in job.touched_files}),
        snapshots=facts.snapshots,
    )
    return Summary(
        id="summary",
        roots=roots,
        counts=counts,
        message=_message(facts, roots),
        badge=Badge(value=attention, tooltip=_needs(facts, attention, conflicts, urgent)) if attention else None,
        status=_status(counts, finished=facts.finished),
        menu=_menu(jobs, attention, facts.top),
        baseline=facts.run is not None,
        setup=facts.setup,
    )


def _status(counts: Counts, *, finished: bool) -> Status | None:
    """`2 running, 1 queued, 1 conflict`; what is done is told only while that is news."""
    others = counts.attention - counts.conflicts
    problems = texts.spoken(
        messages.count(counts.conflicts, "conflict") if counts.conflicts else "",
        f"{others} {_need(others)} attention" if others else "",
    )
    work = texts.spoken(
        f"{counts.running} running" if counts.running else "", f"{counts.queued} queued" if counts.queued else ""
    )
    if problems:
        return Status(text=texts.spoken(work, problems), icon="warning", level=2)
    if work:
        return Status(text=work, icon="sync~spin", level=1)
    return Status(text=f"{counts.done} done", icon="check", level=0) if counts.done and finished else None


def _message(facts: Facts, roots: list[str]) -> str | None:
    """`Baseline 3f2a91c, 14:02. 3 files changed by workers.`"""
    if facts.run is None or not roots:
        return None
    head = str(facts.run.get("head") or "")[:7] or "without a commit"
    told = texts.spoken(f"Baseline {head}", texts.clock(facts.run.get("recordedAt")))
    touched = {file.path for job in facts.jobs if job.run_id == facts.run_id for file in job.touched_files}
    paths = [path for path in touched if path not in facts.undone]
    return f"{told}. {messages.count(len(paths), 'file')} changed by workers."


def _needs(facts: Facts, attention: int, conflicts: int, urgent: list[Job]) -> str:
    """`2 need attention: 1 failed worker, 1 conflict`."""
    kinds = ["stalled" if job.quiet else job.status for job in urgent]
    workers = [
        messages.count(kinds.count(kind), f"{kind} worker")
        for kind in ("failed", "stalled", "interrupted", "cancelled")
        if kind in kinds
    ]
    parts = [
        *workers,
        messages.count(conflicts, "conflict") if conflicts else "",
        "HEAD moved" if facts.head is not None else "",
        f"{messages.count(len(facts.commits), 'commit')} by workers" if facts.commits else "",
    ]
    return f"{attention} {_need(attention)} attention: {texts.spoken(*parts)}"


def _need(number: int) -> str:
    return "needs" if number == 1 else "need"


def _menu(jobs: list[Job], attention: int, top: str) -> str:
    """One line of Markdown for each worker that has not ended, what all have used, and what can be done."""
    lines = []
    for job in jobs:
        if job.active:
            state = texts.state_word(job)
            now = texts.doing(job, missing=False).said
            lines.append(texts.plain(f"{texts.name(job)}: {texts.spoken(state, now)}"))
    total = Usage()
    for job in jobs:
        total = total.plus(job.usage)
    if total.tokens:
        lines.append(texts.plain(texts.tokens(total)))
    links = [("Spawn Worker", "spawn")]
    if attention:
        links.append(("Next Item That Needs Attention", "nextAttention"))
    if any(job.active for job in jobs):
        links.append(("Cancel All", "cancelAll"))
    links.append(("Show Server Log", "showServerLog"))
    lines.append(" · ".join(texts.link(text, action, top) for text, action in links))
    return "\n\n".join(lines)


def marks(facts: Facts) -> list[Mark]:
    """Marks on files in conflict, and, where wanted, on files that workers of the open run touched."""
    if facts.marks == "off":
        return []
    found = {
        one.path: Mark(id=one.path, badge="w!", tooltip=f"Conflict: {texts.conflict(one)}", conflict=True)
        for one in facts.conflicts
        if needs_person(one)
    }
    if facts.marks == "touched" and facts.run_id is not None:
        touched: dict[str, dict[str, None]] = {}
        for job in facts.jobs:
            if job.run_id == facts.run_id:
                for file in job.touched_files:
                    if file.path not in facts.undone:
                        touched.setdefault(file.path, {})[job.label] = None
        for path, labels in list(touched.items())[:MARKS_MAX]:
            found.setdefault(path, _touched(path, list(labels)))
    return list(found.values())


def _touched(path: str, labels: list[str]) -> Mark:
    badge = labels[0] if len(labels) == 1 and 0 < len(labels[0]) <= 2 else "w+"
    return Mark(id=path, badge=badge, tooltip=f"Changed by {messages.listed(labels)}", conflict=False)
