"""What a tool is, for every protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sidecar.model.inputs import ToolInput
from sidecar.model.outputs import ToolOutput
from sidecar.tools import schema
from sidecar.tools.caller import Caller

Handler = Callable[[Caller, Any], Awaitable[ToolOutput]]


@dataclass(frozen=True)
class Tool:
    """One tool, for every protocol.

    Attributes:
        name: what MCP and LSP call it.
        title: for people.
        description: for a model that chooses among tools.
        input: its struct; the strict schema is made from it.
        outputs: the structs it may answer with.
        handler: takes the caller and the checked input.
        read_only: changes nothing (MCP `readOnlyHint`; LSP and CLI may call it freely).
        destructive: may destroy what somebody wrote (MCP `destructiveHint`).
        idempotent: the second same call changes nothing more.
        argument_optional: LSP accepts it without an argument.
        command: the CLI's word for it; None: no command of its own.
        waits: it may take long by design, so clients show progress and can cancel it.
        editor_only: LSP alone has it.
        shown: the fields that MCP lists, where the description says which others there are; None: all.
        each_by_itself: the list whose entries the handler checks one by one, so that a bad one spoils no other.
    """

    name: str
    title: str
    description: str
    input: type[ToolInput]
    outputs: tuple[type[ToolOutput], ...]
    handler: Handler
    read_only: bool
    destructive: bool = False
    idempotent: bool = False
    argument_optional: bool = False
    command: str | None = None
    waits: bool = False
    editor_only: bool = False
    shown: tuple[str, ...] | None = None
    each_by_itself: str | None = None

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the input: one object, self-contained, unknown fields forbidden."""
        return schema.of_input(self.input)

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the output (`anyOf` is avoided: MCP wants type object at the top)."""
        return schema.of_outputs(self.outputs)
