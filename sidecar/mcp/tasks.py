"""The extension `io.modelcontextprotocol/tasks` (SEP-2663): a job as a task, under the job's own id.

It exists in the protocol of 2026-07-28 only, and only for a client that declares it with each request. A task is no
second record: whatever is known of the job is the task, so each job of the repository can be asked for, also after a
restart of this process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from sidecar.mcp import answers
from sidecar.model.errors import SidecarError, internal
from sidecar.model.job import Job, iso
from sidecar.tools import table
from sidecar.tools.caller import Caller

IDENTIFIER = "io.modelcontextprotocol/tasks"
METHODS = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
"""What the extension adds. There is no list and no separate result: `tasks/get` has it."""
POLL_MS = 2_000
"""How often a client may ask: workers take minutes."""
RUN = table.RUN.name

Context = ServerRequestContext[Any]
Run = Callable[[Context, str, Any], Awaitable[dict[str, Any]]]


class TaskParams(types.RequestParams):
    """What names a task."""

    task_id: str


class UpdateParams(TaskParams):
    """Answers to what a task asked for."""

    input_responses: dict[str, Any]


def declared(ctx: Context) -> bool:
    """Whether this request says that its client can handle tasks."""
    capabilities = ctx.session.client_capabilities
    named = capabilities.extensions if capabilities is not None else None
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and IDENTIFIER in (named or {})


def require(ctx: Context, message: str) -> None:
    """Raises MCPError (missing client capability) unless the request declares tasks."""
    if not declared(ctx):
        data: dict[str, Any] = {"requiredCapabilities": {"extensions": {IDENTIFIER: {}}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, message, data)


class JobTasks(Extension):
    """Tasks for one server."""

    identifier = IDENTIFIER

    def __init__(self, caller: Caller, run: Run) -> None:
        """
        Args:
            caller: who asks.
            run: calls a tool of the table for a request.
        """
        self._caller = caller
        self._run = run

    def methods(self) -> list[MethodBinding]:
        """`tasks/get`, `tasks/update`, `tasks/cancel`."""
        bound: dict[str, tuple[type[TaskParams], Any]] = {
            "tasks/get": (TaskParams, self._get),
            "tasks/update": (UpdateParams, self._update),
            "tasks/cancel": (TaskParams, self._cancel),
        }
        versions = frozenset(MODERN_PROTOCOL_VERSIONS)
        return [MethodBinding(name, params, _gated(handler), versions) for name, (params, handler) in bound.items()]

    async def intercept_tool_call(
        self, params: types.CallToolRequestParams, ctx: Context, call_next: CallNext
    ) -> HandlerResult:
        """Answers `codex_run` with a task. The job is on disk by then; a spawn that is refused is a plain error."""
        if params.name != RUN:
            return await call_next(ctx)
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            raise MCPError(types.INVALID_PARAMS, _NOT_FOR_YOU)
        require(ctx, _NOT_FOR_YOU)
        try:
            spawned = await self._run(ctx, "codex_spawn", params.arguments)
            return {"resultType": "task", **_task(await self._job(spawned["jobId"]))}
        except SidecarError as exc:
            return answers.result(exc.to_dict(), is_error=True)

    async def _job(self, job_id: str) -> Job:
        return await self._caller.work_tree().manager.job(job_id)

    async def _get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        job = await self._job(params.task_id)
        task = _task(job)
        if task["status"] == "completed":
            answer = answers.fitted("codex_result", await self._run(ctx, "codex_result", {"jobId": job.job_id}))
            found = answers.result(answer, is_error=job.status != "done")
            task["result"] = found.model_dump(by_alias=True, mode="json", exclude_none=True)
        return task

    async def _update(self, ctx: Context, params: UpdateParams) -> dict[str, Any]:
        # No task asks for anything, and the specification wants answers to what was not asked to be ignored.
        await self._job(params.task_id)
        return {}

    async def _cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        await self._run(ctx, "codex_cancel", {"jobId": params.task_id})
        return {}


_NOT_FOR_YOU = (
    f"{RUN} is for clients that declare the extension {IDENTIFIER}. "
    "Use codex_spawn, then codex_wait_any, then codex_result."
)


def _gated(handler: Any) -> Any:
    async def gated(ctx: Context, params: TaskParams) -> dict[str, Any]:
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found", ctx.method)
        require(ctx, f"{ctx.method} is for clients that declare the extension {IDENTIFIER}.")
        try:
            answer: dict[str, Any] = await handler(ctx, params)
            return answer
        except SidecarError as exc:
            code = types.INTERNAL_ERROR if exc.kind == "internal" else types.INVALID_PARAMS
            raise MCPError(code, exc.sentence(), exc.to_dict()) from exc
        except MCPError:
            raise
        except Exception as exc:
            raise MCPError(types.INTERNAL_ERROR, internal(exc).sentence(), internal(exc).to_dict()) from exc

    return gated


def _task(job: Job) -> dict[str, Any]:
    """What the extension says of every task. A worker that failed is a completed one, whose result says so."""
    times = (job.created_at, job.started_at or 0.0, job.last_activity_at or 0.0, job.finished_at or 0.0)
    status = "working" if not job.is_final else "cancelled" if job.status == "cancelled" else "completed"
    why = f": {job.error.message}" if status == "cancelled" and job.error is not None else ""
    return {
        "taskId": job.job_id,
        "status": status,
        "statusMessage": f"{job.label} is {job.status}{why}",
        "createdAt": iso(job.created_at),
        "lastUpdatedAt": iso(max(times)),
        # A job is kept with its repository.
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }
