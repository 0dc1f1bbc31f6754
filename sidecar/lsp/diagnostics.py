"""Conflicts in the editor's list of problems: one entry for each file in conflict, and what else needs a look.

Each connection remembers what it sent, so a client gets the files whose problems changed and no others; it gets them
for files that are not open, too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lsprotocol import types

from sidecar.a2 import lines, messages
from sidecar.lsp.contents import READ_BYTES_MAX, Contents, View, signature
from sidecar.lsp.findings import Ended, Findings, as_told, in_order, places
from sidecar.lsp.links import Links
from sidecar.lsp.paths import Paths
from sidecar.lsp.positions import START, Rows, Shift
from sidecar.model.conflict import Conflict, ConflictJob, LineRange, severity
from sidecar.model.errors import SidecarError
from sidecar.model.settings import ConflictLevel

logger = logging.getLogger(__name__)

SOURCE = "codex-sidecar"
INTERVAL_SECONDS = 0.05
"""Between two rounds, so that a burst of changes is not a burst of messages."""
LIVE_SECONDS = 2.0
"""How often the versions of workers that still run are read again."""
UNCLAIMED = "unclaimed-change"
MISSING_REPORT = "missing-report"
UNCLAIMED_MAX = 200
"""Most files that are marked as changed by nobody known: a build can leave thousands."""

SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "information": types.DiagnosticSeverity.Information,
}


@dataclass
class _Wanted:
    """Everything that is said about one file."""

    conflicts: list[Conflict] = field(default_factory=list)
    unclaimed: bool = False
    unsaved: Ended | None = None


class Diagnoses:
    """Makes the problems of one client."""

    def __init__(
        self, paths: Paths, contents: Contents, findings: Findings, links: Links, level: Callable[[], ConflictLevel]
    ) -> None:
        """`level` says whether lines are told, or the file alone."""
        self._level = level
        self._paths = paths
        self._contents = contents
        self._findings = findings
        self._links = links
        self._kept: dict[str, tuple[object, list[types.Diagnostic]]] = {}
        self._hunks: dict[str, tuple[object, types.Range]] = {}

    async def of_conflicts(self, path: str, conflicts: list[Conflict], run_id: str | None) -> list[types.Diagnostic]:
        """The problems of a file's conflicts; made anew where the conflicts, the file or its buffer changed."""
        conflicts = [as_told(conflict, self._level()) for conflict in conflicts]
        view = await self._contents.view(path)
        # While a worker of it runs, its version may change and nothing else; reading versions costs a process each.
        live = time.monotonic() // LIVE_SECONDS if any(conflict.live for conflict in conflicts) else None
        key = (conflicts, view.key, run_id, self._paths.uri(path), live)
        if (kept := self._kept.get(path)) is not None and kept[0] == key:
            return kept[1]
        made = [await self._of_conflict(conflict, view, run_id) for conflict in conflicts]
        self._kept[path] = (key, made)
        return made

    def forget(self, paths: set[str]) -> None:
        """Keeps what was made for these files only."""
        self._kept = {path: kept for path, kept in self._kept.items() if path in paths}
        self._hunks = {path: kept for path, kept in self._hunks.items() if path in paths}

    async def of_unsaved(self, path: str, worker: Ended) -> types.Diagnostic:
        """That a worker has written a file with unsaved edits, where the buffer first differs from the disk."""
        if self._level() == "files":
            return unsaved_edit(path, worker, START)
        return unsaved_edit(path, worker, (await self._contents.view(path)).first_difference())

    async def of_unclaimed(self, path: str, run_id: str | None) -> types.Diagnostic:
        """The hint at a change that nobody reported, where the file first differs from the baseline."""
        if self._level() == "files":
            return unclaimed_change(START)
        # Only the signature is looked at each time: there may be as many of these files as `UNCLAIMED_MAX`.
        known = await asyncio.to_thread(signature, self._paths.absolute(path))
        buffer = self._contents.buffer(path)
        key = (known, None if buffer is None else hash(buffer), run_id, self._paths.uri(path))
        if (kept := self._hunks.get(path)) is None or kept[0] != key:
            self._hunks[path] = kept = (key, await self._first_hunk(path))
        return unclaimed_change(kept[1])

    async def _first_hunk(self, path: str) -> types.Range:
        """In whole lines; the file's beginning where it is new, gone, binary or too large to compare."""
        view = await self._contents.view(path)
        if view.disk is None:
            return START
        try:
            base = await self._findings.stored_version(path, "base")
        except (SidecarError, OSError) as exc:
            logger.warning("cannot read the baseline of a file: %s", exc)
            return START
        if base is None or len(base) > READ_BYTES_MAX:
            return START
        where = await asyncio.to_thread(_first_difference, base, view.disk.lines)
        return view.range(where)

    async def _of_conflict(self, conflict: Conflict, view: View, run_id: str | None) -> types.Diagnostic:
        where = places(conflict)
        jobs = in_order(conflict)
        return types.Diagnostic(
            range=view.range(where[0] if where else None),
            severity=SEVERITIES[conflict.severity],
            code=conflict.kind,
            source=SOURCE,
            message=messages.diagnostic(conflict),
            related_information=[await self._related(conflict, job, view) for job in jobs],
            data={
                "conflictId": conflict.conflict_id,
                "runId": run_id,
                "path": conflict.path,
                "jobs": [job.job_id for job in jobs],
            },
        )

    async def _related(self, conflict: Conflict, job: ConflictJob, view: View) -> types.DiagnosticRelatedInformation:
        where = job.ranges[0] if job.ranges else None
        found = None
        if job.attribution == "seen" and job.role != "deleted":
            found = await self._version(conflict.path, job.label, where, view)
        if found is None:
            found = types.Location(self._paths.uri(conflict.path), view.range(where))
        return types.DiagnosticRelatedInformation(location=found, message=messages.related(job))

    async def _version(self, path: str, side: str, where: LineRange | None, view: View) -> types.Location | None:
        """The place in a worker's own version that these lines of the file come from."""
        try:
            content = await self._findings.stored_version(path, side)
        except (SidecarError, OSError) as exc:
            logger.warning("cannot read the version of a worker: %s", exc)
            return None
        if content is None or (uri := await self._links.version(path, side, content)) is None:
            return None
        if where is None or b"\0" in content[:8_000]:
            return types.Location(uri, START)
        return types.Location(uri, await asyncio.to_thread(_range_in, content, where, view, self._contents.units))


def _range_in(content: bytes, where: LineRange, view: View, units: Callable[[str], int]) -> types.Range:
    rows = Rows(content, units)
    if view.disk is None or view.disk.lines == rows.lines:
        return rows.range(where)
    return rows.range(Shift.between(view.disk.lines, rows.lines).range(where))


def _first_difference(base: bytes, now: list[bytes]) -> LineRange | None:
    """The lines of the first hunk; where it only removed lines, the line behind them."""
    old = lines.split(base)
    if any(b"\0" in line for content in (old, now) for line in content):
        return None
    hunks = lines.diff(old, now).hunks
    return LineRange(hunks[0].new_start + 1, max(hunks[0].new_end, hunks[0].new_start + 1)) if hunks else None


def unclaimed_change(where: types.Range) -> types.Diagnostic:
    return types.Diagnostic(
        range=where,
        severity=types.DiagnosticSeverity.Hint,
        code=UNCLAIMED,
        source=SOURCE,
        message=messages.unclaimed(),
    )


def unsaved_edit(path: str, worker: Ended, where: types.Range) -> types.Diagnostic:
    return types.Diagnostic(
        range=where,
        severity=SEVERITIES[severity("user-edit", live=not worker.is_final)],
        code="user-edit",
        source=SOURCE,
        message=messages.unsaved_edit(worker),
        data={"conflictId": None, "path": path, "jobs": [worker.job_id]},
    )


def missing_report(worker: Ended) -> types.Diagnostic:
    return types.Diagnostic(
        range=START,
        severity=types.DiagnosticSeverity.Information,
        code=MISSING_REPORT,
        source=SOURCE,
        message=messages.missing_report(worker),
        data={"conflictId": None, "jobs": [worker.job_id]},
    )


class DiagnosticsPublisher:
    """Keeps one client's problems true."""

    def __init__(
        self,
        findings: Findings,
        paths: Paths,
        diagnoses: Diagnoses,
        links: Links,
        dirty: set[str],
        run_id: Callable[[], str | None],
        level: Callable[[], ConflictLevel],
        publish: Callable[[types.PublishDiagnosticsParams], None],
        drained: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Args:
            dirty: the files of which this client holds unsaved edits; it is looked at again in every round.
            run_id: names the open run.
            level: with `off` there are no problems.
        """
        self._findings = findings
        self._paths = paths
        self._diagnoses = diagnoses
        self._links = links
        self._dirty = dirty
        self._run_id = run_id
        self._level = level
        self._publish = publish
        self._drained = drained
        self._news = asyncio.Event()
        self._news.set()
        self._sent: dict[str, list[types.Diagnostic]] = {}
        self._reported: set[str] = set()

    def touch(self) -> None:
        """Something that the problems are made of has changed."""
        self._news.set()

    async def run(self) -> None:
        """Sends everything once, then what changes, until cancelled."""
        while True:
            await self._news.wait()
            await self._drained()
            self._news.clear()
            try:
                await self._round()
            except Exception:
                logger.exception("the problems cannot be told")
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _round(self) -> None:
        wanted = self._collect()
        files = {self._paths.uri(path): path for path in wanted}
        for uri in [uri for uri in self._sent if uri not in files and uri not in self._reported]:
            self._send(uri, [])
        for uri, path in files.items():
            try:
                self._send(uri, await self._of_file(path, wanted[path]))
            except Exception:
                logger.exception("the problems of a file cannot be told")
        self._diagnoses.forget(set(wanted))
        # Last, since a transcript may have to be written first.
        reports = await self._reports()
        for uri in self._reported - reports.keys() - files.keys():
            self._send(uri, [])
        self._reported = set(reports)
        for uri, found in reports.items():
            self._send(uri, found)

    def _collect(self) -> dict[str, _Wanted]:
        wanted: dict[str, _Wanted] = {}
        if self._level() == "off":
            return wanted
        for path, worker in self._findings.unsaved().items():
            if path in self._dirty:
                wanted.setdefault(path, _Wanted()).unsaved = worker
        for conflict in self._findings.conflicts():
            wanted.setdefault(conflict.path, _Wanted()).conflicts.append(conflict)
        for path in self._findings.unclaimed()[:UNCLAIMED_MAX]:
            wanted.setdefault(path, _Wanted()).unclaimed = True
        return wanted

    async def _of_file(self, path: str, wanted: _Wanted) -> list[types.Diagnostic]:
        found = []
        if wanted.unsaved is not None:
            found.append(await self._diagnoses.of_unsaved(path, wanted.unsaved))
        if wanted.conflicts:
            found += await self._diagnoses.of_conflicts(path, wanted.conflicts, self._run_id())
        if wanted.unclaimed:
            found.append(await self._diagnoses.of_unclaimed(path, self._run_id()))
        return found

    async def _reports(self) -> dict[str, list[types.Diagnostic]]:
        """On the transcript of each job, which is what a person needs to see then."""
        found: dict[str, list[types.Diagnostic]] = {}
        for job in self._findings.missing_reports() if self._level() != "off" else ():
            try:
                uri = await self._links.transcript(job.job_id, job.label, job.title)
            except SidecarError as exc:
                logger.warning("no transcript of %s: %s", job.label, exc.message)
                continue
            if uri is not None:
                found[uri] = [missing_report(job)]
        return found

    def _send(self, uri: str, found: list[types.Diagnostic]) -> None:
        if found == self._sent.get(uri, []):
            return
        if found:
            self._sent[uri] = found
        else:
            del self._sent[uri]
        self._publish(types.PublishDiagnosticsParams(uri, found))

    def sent(self, path: str) -> list[types.Diagnostic]:
        """What the client shows now about a file."""
        return self._sent.get(self._paths.uri(path), [])
