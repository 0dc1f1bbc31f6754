"""The tools that spawn, follow and stop workers."""

from __future__ import annotations

from sidecar.model.inputs import (
    CancelInput,
    DoctorInput,
    EventsInput,
    ResultInput,
    ResumeInput,
    SpawnGroupInput,
    SpawnInput,
    StatusInput,
    WaitAnyInput,
)
from sidecar.model.outputs import (
    CancelOutput,
    DoctorOutput,
    EventsOutput,
    FinalMessageOutput,
    JobStatusOutput,
    ResultOutput,
    SpawnGroupOutput,
    SpawnOutput,
    StatusOutput,
    WaitAnyOutput,
)
from sidecar.tools import groups, handlers
from sidecar.tools.tool import Tool

JOB_TOOLS: tuple[Tool, ...] = (
    Tool(
        name="codex_spawn",
        title="Spawn a Codex worker",
        description=(
            "Starts a Codex worker on `prompt`, all it is told; returns its jobId at once. sandbox: "
            "workspace-write to edit files. expectedFiles: globs it writes; overlapping jobs take turns. "
            "dependsOn: jobs to be done first. onDirty: for uncommitted changes. config: Codex settings."
        ),
        input=SpawnInput,
        outputs=(SpawnOutput,),
        handler=handlers.spawn,
        read_only=False,
        destructive=True,
        command="spawn",
    ),
    Tool(
        name="codex_spawn_group",
        title="Spawn several Codex workers",
        description="codex_spawn for each entry (same fields); each gets a jobId or an error.",
        input=SpawnGroupInput,
        outputs=(SpawnGroupOutput,),
        handler=groups.spawn_group,
        read_only=False,
        destructive=True,
        command="spawn-group",
        each_by_itself="jobs",
    ),
    Tool(
        name="codex_wait_any",
        title="Wait for any worker",
        description=("Waits at most 50 s until one job has ended; then codex_result, and on with remainingJobIds."),
        input=WaitAnyInput,
        outputs=(WaitAnyOutput,),
        handler=handlers.wait_any,
        read_only=True,
        idempotent=True,
        command="wait-any",
        waits=True,
    ),
    Tool(
        name="codex_events",
        title="Read a worker's events",
        description="What a worker did, page by page (cursor: nextCursor).",
        input=EventsInput,
        outputs=(EventsOutput,),
        handler=handlers.events,
        read_only=True,
        idempotent=True,
        command="events",
    ),
    Tool(
        name="codex_result",
        title="Read a worker's result",
        description=("A worker's answer (finalMessage: data), files, conflicts, usage; partial while it runs."),
        input=ResultInput,
        outputs=(ResultOutput, FinalMessageOutput),
        handler=handlers.result,
        read_only=True,
        idempotent=True,
        command="result",
    ),
    Tool(
        name="codex_status",
        title="Show status",
        description="One job, or all, the limits and the open run.",
        input=StatusInput,
        outputs=(StatusOutput, JobStatusOutput),
        handler=handlers.status,
        read_only=True,
        idempotent=True,
        argument_optional=True,
        command="status",
    ),
    Tool(
        name="codex_cancel",
        title="Cancel a worker",
        description="Stops a worker's process tree: SIGTERM, after 10 s SIGKILL; force: at once. Its edits stay.",
        input=CancelInput,
        outputs=(CancelOutput,),
        handler=handlers.cancel,
        read_only=False,
        destructive=True,
        idempotent=True,
        command="cancel",
    ),
    Tool(
        name="codex_resume",
        title="Go on in a worker's conversation",
        description="Goes on in a job's conversation as a new job; interrupts one that runs.",
        input=ResumeInput,
        outputs=(SpawnOutput,),
        handler=handlers.resume,
        read_only=False,
        destructive=True,
        command="resume",
    ),
    Tool(
        name="codex_doctor",
        title="Check the setup",
        description="What the setup lacks, and the remedy.",
        input=DoctorInput,
        outputs=(DoctorOutput,),
        handler=handlers.doctor,
        read_only=True,
        idempotent=True,
        argument_optional=True,
    ),
)

RUN = Tool(
    name="codex_run",
    title="Run a Codex worker to its end",
    description="codex_spawn (same fields) as a task; its result: codex_result's.",
    input=SpawnInput,
    outputs=(ResultOutput,),
    handler=handlers.spawn,
    read_only=False,
    destructive=True,
    shown=("prompt",),
)
"""Not among the tools of every front end: only an MCP client that declares tasks can wait for its result."""
