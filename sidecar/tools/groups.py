"""Several spawns in one call, each by itself: what is wrong with one entry stops none of the others."""

from __future__ import annotations

import logging

import msgspec

from sidecar.model.errors import SidecarError, internal
from sidecar.model.inputs import SpawnGroupInput, SpawnInput
from sidecar.model.outputs import ErrorOutput, GroupEntry, SpawnGroupOutput
from sidecar.tools import handlers, schema
from sidecar.tools.caller import Caller

logger = logging.getLogger(__name__)


async def spawn_group(caller: Caller, asked: SpawnGroupInput) -> SpawnGroupOutput:
    """Spawns the entries one after another, so that their labels and places in the queue follow their order."""
    return SpawnGroupOutput(results=[await _entry(caller, index, entry) for index, entry in enumerate(asked.jobs)])


async def _entry(caller: Caller, index: int, entry: object) -> GroupEntry:
    try:
        made = await handlers.spawn(caller, schema.read(SpawnInput, entry))
    except SidecarError as exc:
        return _refused(schema.placed(exc, f"jobs[{index}]"))
    except Exception as exc:
        # The jobs before it run already: their ids must reach whoever called.
        logger.exception("entry %d of a group", index)
        return _refused(internal(exc))
    return GroupEntry(**msgspec.structs.asdict(made))


def _refused(error: SidecarError) -> GroupEntry:
    found = ErrorOutput(kind=error.kind, message=error.message, hint=error.hint, details=error.details)
    return GroupEntry(error=found)
