"""An A2 protocol small enough to script, for tests of what an editor shows of it.

`ScriptedA2` stands in for `sidecar.a2.service.A2`: it has what the language server and the handlers of the A2 tools use
of it, and a test decides what it has found. Its repairs change nothing but its own list of conflicts; what a repair
really does is tested with the real one. Like the real one it tells every change by `Change("conflicts", run)`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.model.a2_outputs import (
    ActedOutput,
    AppliedMergeOutput,
    MergeInputsOutput,
    Preview,
    PreviewOutput,
    RerunOutput,
    ResolvedOutput,
    VersionOutput,
)
from sidecar.model.conflict import SEVERITIES, Conflict, ConflictJob, LineRange
from sidecar.model.errors import SidecarError
from sidecar.tools import table
from sidecar.tools.a2_tools import A2_TOOLS
from tests.support.lsp import RawClient, ScriptedCore, connected

RUN = "run-1"
PUBLISH = "textDocument/publishDiagnostics"
TITLES = {"w1": "add retries", "w2": "typed errors", "w3": "rename config"}


@dataclass(frozen=True)
class ScriptedOwner:
    start: int
    end: int
    writers: tuple[tuple[str, str, str], ...]
    attribution: Any = "seen"
    at: float | None = None


@dataclass(frozen=True)
class ScriptedJob:
    job_id: str
    label: str
    title: str
    is_final: bool = True


def job(label: str, *, is_final: bool = True) -> ScriptedJob:
    return ScriptedJob(f"job-{label}", label, TITLES[label], is_final)


def worker(label: str, *ranges: tuple[int, int], **more: Any) -> ConflictJob:
    """A worker of a conflict, seen to have written these lines."""
    facts: dict[str, Any] = {"attribution": "seen", "ranges": [LineRange(*one) for one in ranges], **more}
    return ConflictJob(job_id=f"job-{label}", label=label, title=TITLES[label], **facts)


def conflict(path: str, *jobs: ConflictJob, kind: Any = "overlapping-edit", **more: Any) -> Conflict:
    facts: dict[str, Any] = {
        "conflict_id": f"c:{path}",
        "severity": SEVERITIES[kind],
        "confirmed": True,
        "mergeable": False,
        "suggested": "reconcile",
        **more,
    }
    return Conflict(path=path, kind=kind, jobs=list(jobs), **facts)


def overlap(path: str = "src/app.py", **more: Any) -> Conflict:
    """Two workers that changed lines 3 to 5 and 4 of a file."""
    return conflict(path, worker("w1", (3, 5)), worker("w2", (4, 4)), **more)


class ScriptedA2:
    """What a test wants to have been found. `acts` has every repair that was carried out."""

    def __init__(self, core: ScriptedCore) -> None:
        self.core = core
        self.resolver = self.plans = self
        self.found: dict[str, Conflict] = {}
        self.versions: dict[tuple[str, str], bytes] = {}
        self.owned: dict[str, list[ScriptedOwner]] = {}
        self.unclaimed_paths: list[str] = []
        self.without_report: list[ScriptedJob] = []
        self.written_over: dict[str, ScriptedJob] = {}
        self.notes: list[tuple[str, str, bool]] = []
        self.acts: list[tuple[str, dict[str, Any]]] = []
        self.read: list[tuple[str, str]] = []
        self.saved: list[str] = []
        self.moved = False
        self._tokens = itertools.count(1)
        self._token: str | None = None

    # -- the test's side --------------------------------------------------------------------------------------------

    def publish(self) -> None:
        self.core.publish("conflicts", self.core.run["runId"] if self.core.run else "")

    def put(self, *found: Conflict) -> None:
        self.found.update({one.conflict_id: one for one in found})
        self.publish()

    def drop(self, *conflict_ids: str) -> None:
        for one in conflict_ids or tuple(self.found):
            del self.found[one]
        self.publish()

    # -- what the language server uses ------------------------------------------------------------------------------

    def conflicts(self) -> list[Conflict]:
        return list(self.found.values())

    def unclaimed(self) -> list[str]:
        return list(self.unclaimed_paths)

    def missing_reports(self) -> list[ScriptedJob]:
        return list(self.without_report)

    async def owners(self, path: str) -> list[ScriptedOwner]:
        return self.owned.get(path, [])

    async def stored_version(self, path: str, side: str) -> bytes | None:
        self.read.append((path, side))
        return self.versions.get((path, side))

    async def own_edits(self, path: str, label: str) -> bytes | None:
        return self.versions.get((path, f"{label} alone"))

    def note_saved(self, path: str) -> None:
        self.saved.append(path)

    def note_buffer(self, path: str, editor: str, dirty: bool) -> None:
        self.notes.append((path, editor, dirty))
        if not dirty and self.written_over.pop(path, None) is not None:
            self.publish()

    def unsaved(self) -> dict[str, ScriptedJob]:
        return dict(self.written_over)

    # -- what the handlers of the tools use -------------------------------------------------------------------------

    async def resolve(
        self, conflict_id: str, strategy: str, job_id: str | None, token: str | None, client: Any
    ) -> PreviewOutput | ResolvedOutput:
        found = self.found.get(conflict_id)
        if found is None:
            raise SidecarError("unknown-conflict", "There is no such conflict.")
        if found.live:
            raise SidecarError("busy", f"w1 is still running and may change {found.path}.")
        if strategy != "dismiss" and (preview := self._preview(f"{strategy} {found.path}?", token)) is not None:
            return preview
        self.acts.append(("resolve", {"conflictId": conflict_id, "strategy": strategy, "jobId": job_id}))
        self.drop(conflict_id)
        return ResolvedOutput(conflict_id=conflict_id, strategy=strategy, snapshot_id="s1", files=[found.path], jobs=[])

    async def rollback(self, paths: Any, job_ids: Any, token: str | None) -> PreviewOutput | ActedOutput:
        if (preview := self._preview("Roll back?", token)) is not None:
            return preview
        self.acts.append(("rollback", {"paths": paths, "jobIds": job_ids}))
        return ActedOutput(snapshot_id="s1", files=[], kept={})

    async def rerun(self, job_ids: Any, order: str, token: str | None, client: Any) -> PreviewOutput | RerunOutput:
        if (preview := self._preview("Roll back and run again?", token)) is not None:
            return preview
        self.acts.append(("rerun", {"jobIds": job_ids} if order == "spawned" else {"jobIds": job_ids, "order": order}))
        return RerunOutput(jobs=[], snapshot_id="s1", files=[])

    async def restore(self, snapshot_id: str, token: str | None) -> PreviewOutput | ActedOutput:
        if (preview := self._preview("Restore?", token)) is not None:
            return preview
        self.acts.append(("restore", {"snapshotId": snapshot_id}))
        return ActedOutput(snapshot_id="s2", files=[], kept={})

    async def merge_inputs(self, conflict_id: str, job_ids: list[str] | None) -> MergeInputsOutput:
        found = self.found[conflict_id]
        jobs = [one for one in found.jobs if job_ids is None or one.job_id in job_ids]
        texts = {one.label: self.versions[found.path, one.label].decode() for one in jobs}
        return MergeInputsOutput(
            path=found.path,
            base=self.versions[found.path, "base"].decode(),
            versions=[
                VersionOutput(job_id=one.job_id, label=one.label, title=one.title, text=texts[one.label])
                for one in jobs
            ],
            marked="<<<<<<< w1\none\n=======\ntwo\n>>>>>>> w2\n",
            conflicts=1,
            disk_hash="hash",
        )

    async def apply_merge(self, conflict_id: str, text: str, expected_hash: str) -> AppliedMergeOutput:
        if self.moved:
            raise SidecarError("stale-token", "src/app.py changed on disk.", "Read the merge again.")
        self.acts.append(("apply_merge", {"text": text, "expectedHash": expected_hash}))
        path = self.found[conflict_id].path
        self.drop(conflict_id)
        return AppliedMergeOutput(conflict_id=conflict_id, path=path, snapshot_id="s1")

    def _preview(self, text: str, token: str | None) -> PreviewOutput | None:
        """None where the token lets the repair go on."""
        if token is not None and not self.moved:
            assert token == self._token, "a token that was never given"
            return None
        self._token = f"token-{next(self._tokens)}"
        shown = Preview(text=text, files=[], jobs=[], user_edits=[], untouched=[])
        if token is None:
            return PreviewOutput(preview=shown, token=self._token)
        self.moved = False
        details = {"preview": {**msgspec.to_builtins(shown), "text": f"{text} (again)"}, "token": self._token}
        raise SidecarError("stale-token", "Something has changed.", "Look again.", details)


class World:
    """A work tree on the disk, and a core whose A2 protocol is scripted."""

    def __init__(self, top: Path, **files: str) -> None:
        self.top = top
        self.core = ScriptedCore(str(top))
        self.core.state_dir.mkdir(parents=True)
        self.core.set_run(RUN)
        self.a2 = ScriptedA2(self.core)
        self.core.a2 = self.a2  # type: ignore[attr-defined]

    def write(self, path: str, content: str | bytes) -> Path:
        target = self.top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def uri(self, path: str) -> str:
        return (self.top / path).as_uri()

    @contextlib.asynccontextmanager
    async def editor(self, ui: dict[str, bool] | None = None, capabilities: Any = None) -> AsyncIterator[RawClient]:
        """A client whose `window/showMessageRequest` stays unanswered."""
        async with connected(self.core, {"ui": ui} if ui else None, capabilities) as client:
            yield client


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A work tree with one file of ten lines; the A2 tools can be called."""
    for tool in A2_TOOLS:
        monkeypatch.setitem(table.BY_NAME, tool.name, tool)
    made = World(tmp_path / "tree")
    made.write("src/app.py", "".join(f"line {number}\n" for number in range(1, 11)))
    return made


def problems(client: RawClient, uri: str) -> list[dict[str, Any]] | None:
    """What the client shows of a file now; None where it was never told anything."""
    notes = [note for note in client.of_method(PUBLISH) if note["uri"] == uri]
    return notes[-1]["diagnostics"] if notes else None


def span(start: tuple[int, int], end: tuple[int, int]) -> dict[str, Any]:
    return {
        "start": {"line": start[0], "character": start[1]},
        "end": {"line": end[0], "character": end[1]},
    }


async def problem(client: RawClient, uri: str) -> dict[str, Any]:
    """The one problem of a file, once it is there."""
    await client.wait_for(lambda one: one.get("method") == PUBLISH and one["params"]["uri"] == uri)
    found = problems(client, uri)
    assert found is not None
    assert len(found) == 1, found
    return found[0]


async def cleared(client: RawClient, uri: str) -> None:
    await client.wait_for(lambda one: one.get("method") == PUBLISH and one["params"] == {"uri": uri, "diagnostics": []})


def open_file(client: RawClient, uri: str, text: str, version: int = 1) -> None:
    document = {"uri": uri, "languageId": "python", "version": version, "text": text}
    client.notify("textDocument/didOpen", {"textDocument": document})


def edit_file(client: RawClient, uri: str, text: str, version: int = 2) -> None:
    params = {"textDocument": {"uri": uri, "version": version}, "contentChanges": [{"text": text}]}
    client.notify("textDocument/didChange", params)
