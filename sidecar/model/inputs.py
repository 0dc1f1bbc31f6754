"""What each tool takes. These structs are the input schema: unknown fields are refused, nothing is coerced."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.model import limits
from sidecar.model.job import Sandbox

JobId = Annotated[str, Meta(min_length=1, max_length=128, description="A jobId from codex_spawn.")]
ConfigValue = Union[str, int, float, bool, list[Any], dict[str, Any]]


class ToolInput(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Base of all tool inputs."""


class SpawnInput(ToolInput, frozen=True):
    prompt: Annotated[
        str,
        Meta(min_length=1, max_length=limits.PROMPT_CHARS, description="The whole task; the worker sees nothing else."),
    ]
    sandbox: Annotated[
        Sandbox,
        Meta(
            description="read-only to look and answer, workspace-write to edit files of the repository, "
            "danger-full-access for no sandbox at all (counts as a write job)."
        ),
    ] = "read-only"
    title: (
        Annotated[str, Meta(min_length=1, max_length=limits.TITLE_CHARS, description="A short name for people.")]
        | UnsetType
    ) = UNSET
    model: (
        Annotated[
            str, Meta(min_length=1, max_length=limits.PATTERN_CHARS, description="Model name; default: Codex's own.")
        ]
        | UnsetType
    ) = UNSET
    reasoning_effort: (
        Annotated[str, Meta(pattern=r"^[a-z]{1,16}(?![\s\S])", description="For instance low, medium, high.")]
        | UnsetType
    ) = UNSET
    working_directory: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=4096,
                description="Where the worker starts, inside the repository; default: its top level.",
            ),
        ]
        | UnsetType
    ) = UNSET
    timeout_ms: (
        Annotated[
            int,
            Meta(
                ge=limits.TIMEOUT_MS_MIN,
                le=limits.TIMEOUT_MS_MAX,
                description="How long the worker may run, in milliseconds; default: the setting spawn.timeoutMinutes.",
            ),
        ]
        | UnsetType
    ) = UNSET
    expected_files: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=limits.PATTERN_CHARS)]],
            Meta(
                max_length=limits.LIST_ITEMS,
                description="Globs (*, **, ?) of files it will write; jobs whose globs overlap do not run together.",
            ),
        ]
        | UnsetType
    ) = UNSET
    depends_on: (
        Annotated[
            list[JobId],
            Meta(max_length=limits.LIST_ITEMS, description="Jobs that must end `done` before this one starts."),
        ]
        | UnsetType
    ) = UNSET
    isolation: Annotated[Literal["shared", "worktree"], Meta(description="Only `shared` is available.")] = "shared"
    on_dirty: (
        Annotated[
            Literal["refuse", "snapshot", "stash"],
            Meta(description="What to do with uncommitted changes when a write job records the baseline."),
        ]
        | UnsetType
    ) = UNSET
    config: (
        Annotated[
            dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_\-.\"]{1,256}(?![\s\S])")], ConfigValue],
            Meta(
                max_length=limits.CONFIG_KEYS, description="Codex configuration for this worker: dotted key and value."
            ),
        ]
        | UnsetType
    ) = UNSET


_ENTRY = {
    "type": "object",
    "properties": {"prompt": {"type": "string"}, "sandbox": {"type": "string", "enum": list(get_args(Sandbox))}},
}
"""What a model is told of an entry. The whole input of codex_spawn a second time would cost it 3 kB."""


class SpawnGroupInput(ToolInput, frozen=True):
    jobs: Annotated[
        list[Annotated[Any, Meta(extra_json_schema=_ENTRY)]],
        Meta(
            min_length=1,
            max_length=limits.GROUP_JOBS,
            description="One for each worker, with the fields of codex_spawn.",
        ),
    ]


class WaitAnyInput(ToolInput, frozen=True):
    job_ids: Annotated[
        list[JobId], Meta(min_length=1, max_length=limits.LIST_ITEMS, description="The jobs to wait for.")
    ]
    timeout_ms: Annotated[
        int,
        Meta(
            ge=0,
            description=f"Milliseconds to wait; more than {limits.WAIT_MAX_MS} is taken as {limits.WAIT_MAX_MS}.",
        ),
    ] = limits.WAIT_DEFAULT_MS


class EventsInput(ToolInput, frozen=True):
    job_id: JobId
    cursor: (
        Annotated[
            str,
            Meta(min_length=1, max_length=512, description="nextCursor of the page before; absent: from the start."),
        ]
        | UnsetType
    ) = UNSET
    max_events: Annotated[int, Meta(ge=1, le=limits.EVENTS_MAX, description="Most events of this page.")] = (
        limits.EVENTS_DEFAULT
    )
    max_bytes: Annotated[
        int,
        Meta(
            ge=limits.EVENT_BYTES_MIN,
            le=limits.EVENT_BYTES_MAX,
            description="Largest page, in bytes of JSON; longer text is cut.",
        ),
    ] = limits.EVENT_BYTES_DEFAULT


class ResultInput(ToolInput, frozen=True):
    job_id: JobId
    view: Annotated[
        Literal["full", "finalMessage"], Meta(description="finalMessage leaves out files, conflicts and usage.")
    ] = "full"
    max_chars: Annotated[
        int, Meta(ge=1, le=limits.RESULT_CHARS_MAX, description="Longest finalMessage, in characters.")
    ] = limits.RESULT_CHARS_DEFAULT


class StatusInput(ToolInput, frozen=True):
    job_id: JobId | UnsetType = UNSET


class CancelInput(ToolInput, frozen=True):
    job_id: JobId
    force: Annotated[bool, Meta(description="true: SIGKILL at once; false: SIGTERM, and SIGKILL after 10 s.")] = False


class ResumeInput(ToolInput, frozen=True):
    job_id: JobId
    prompt: Annotated[
        str,
        Meta(
            min_length=1, max_length=limits.PROMPT_CHARS, description="What to do next in that worker's conversation."
        ),
    ]


class DoctorInput(ToolInput, frozen=True):
    pass


def untyped(value: Any) -> Any:
    """UNSET as None, anything else as it is: for callers that store optional inputs."""
    return None if value is UNSET else value
