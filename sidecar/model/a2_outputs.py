"""What the A2 tools answer. Whatever can undo work answers a preview first, and acts only with its token."""

from __future__ import annotations

from sidecar.model.conflict import Conflict
from sidecar.model.outputs import ToolOutput


class BaselineOutput(ToolOutput, frozen=True):
    run_id: str
    head: str | None
    tree: str
    recorded_at: str
    files: int
    """How many files of the baseline no commit held."""
    snapshot_id: str | None


class BaselineShown(ToolOutput, frozen=True):
    head: str | None
    tree: str | None
    recorded_at: str


class HeadMoved(ToolOutput, frozen=True, rename={"from_": "from", "to": "to"}):
    from_: str | None
    to: str | None


class WorkerCommit(ToolOutput, frozen=True):
    job_id: str
    label: str
    commit: str


class SettledOutput(ToolOutput, frozen=True):
    """A path whose conflicts are over, and how: merged, kept, reconciled, rolled back, run again, dismissed."""

    path: str
    how: str
    at: str
    job_ids: list[str]
    snapshot_id: str | None


class ConflictsOutput(ToolOutput, frozen=True):
    run_id: str | None
    baseline: BaselineShown | None
    conflicts: list[Conflict]
    unclaimed: list[str]
    missing_reports: list[str]
    head_moved: HeadMoved | None
    worker_commits: list[WorkerCommit]
    settled: list[SettledOutput]


class PreviewFile(ToolOutput, frozen=True):
    path: str
    action: str
    """In words: `goes back to the baseline`, `is removed`, `becomes the merge of w1 and w2`, …"""


class PreviewJob(ToolOutput, frozen=True):
    job_id: str
    label: str
    title: str


class Preview(ToolOutput, frozen=True):
    text: str
    """The whole question for a person: what is undone, what is not touched, where the snapshot will be."""
    files: list[PreviewFile]
    jobs: list[PreviewJob]
    user_edits: list[str]
    """Paths with a person's own edits that would be undone too."""
    untouched: list[str]
    """Changed paths that stay as they are."""


class PreviewOutput(ToolOutput, frozen=True):
    preview: Preview
    token: str


class ActedOutput(ToolOutput, frozen=True):
    snapshot_id: str | None
    files: list[str]
    kept: dict[str, str]
    """Paths that were left as they are, and why."""


class ReplacedJob(ToolOutput, frozen=True):
    job_id: str
    label: str
    replaces: str | None


class ResolvedOutput(ToolOutput, frozen=True):
    conflict_id: str
    strategy: str
    snapshot_id: str | None
    files: list[str]
    jobs: list[ReplacedJob]


class RerunOutput(ToolOutput, frozen=True):
    jobs: list[ReplacedJob]
    snapshot_id: str | None
    files: list[str]


class SnapshotOutput(ToolOutput, frozen=True):
    snapshot_id: str
    created_at: str
    reason: str
    files: int
    ref: str


class SnapshotsOutput(ToolOutput, frozen=True):
    snapshots: list[SnapshotOutput]


class VersionOutput(ToolOutput, frozen=True):
    job_id: str
    label: str
    title: str
    text: str | None
    """None: the worker deleted the file."""
    joined: bool = False
    """Whether it is the file as it stands, which a merge by hand has joined from this version and others."""


class MergeInputsOutput(ToolOutput, frozen=True):
    path: str
    base: str | None
    versions: list[VersionOutput]
    marked: str
    """The merge with diff3 markers, to start from."""
    conflicts: int
    disk_hash: str


class AppliedMergeOutput(ToolOutput, frozen=True):
    conflict_id: str
    path: str
    snapshot_id: str | None
