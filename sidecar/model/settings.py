"""The settings of section `codexSidecar`; the value that a client announced last holds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.model import limits
from sidecar.model.errors import SidecarError, invalid
from sidecar.model.limits import STALLED_AFTER_SECONDS


class _Section(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    pass


class CodexSettings(_Section, frozen=True):
    path: str = ""
    extra_args: list[str] = []


class LimitSettings(_Section, frozen=True):
    read: Annotated[int, Meta(ge=1, le=64)] = limits.K_READ
    write: Annotated[int, Meta(ge=1, le=16)] = limits.K_WRITE


class SpawnSettings(_Section, frozen=True):
    timeout_minutes: Annotated[float, Meta(gt=0, le=limits.TIMEOUT_MS_MAX / 60_000)] = limits.SPAWN_TIMEOUT_MINUTES
    default_mode: Literal["ask", "read-only", "workspace-write"] = "ask"
    """The sandbox of workers that a person spawns in the editor."""
    ask_for_model: bool = False


class BaselineSettings(_Section, frozen=True):
    dirty_tree: Literal["refuse", "snapshot", "stash"] = "refuse"


ConflictLevel = Literal["lines", "files", "off"]
"""How much of a conflict an editor tells beside the tree: its lines, the file alone, or nothing."""


class ConflictSettings(_Section, frozen=True):
    on_conflict: Literal["ask", "merge", "rerun", "keep-going"] = "ask"
    level: ConflictLevel = "lines"
    code_lens: bool = True


class SnapshotSettings(_Section, frozen=True):
    keep_days: Annotated[int, Meta(ge=1, le=3650)] = 14


class Settings(_Section, frozen=True):
    """All settings with their defaults. Unknown keys are left to the client that knows them."""

    codex: CodexSettings = CodexSettings()
    limits: LimitSettings = LimitSettings()
    spawn: SpawnSettings = SpawnSettings()
    stalled_after_seconds: Annotated[float, Meta(ge=0)] = STALLED_AFTER_SECONDS
    baseline: BaselineSettings = BaselineSettings()
    conflicts: ConflictSettings = ConflictSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    isolation: Literal["shared"] = "shared"
    notifications: Literal["off", "attention", "finished", "always"] = "attention"
    """Which notices an editor with dialogs gets unasked."""
    on_run_finished_command: str = ""
    """Program and arguments, run when the last worker has ended; only from a client that reads it per machine."""
    log_level: Literal["error", "warning", "info", "debug"] = "info"


def parse_settings(value: object) -> tuple[Settings, list[SidecarError]]:
    """Reads the section `codexSidecar` leniently: a bad value is reported and its default holds.

    Args:
        value: nested (`{"limits": {"read": 4}}`) or flat (`{"limits.read": 4}`) JSON; anything else gives the defaults.

    Returns:
        The settings, and one `invalid-arguments` error for each value that was not taken.
    """
    if value is None:
        return Settings(), []
    if not isinstance(value, dict):
        return Settings(), [invalid("codexSidecar", f"expected an object, got {type(value).__name__}")]
    nested: dict[str, object] = {}
    for key, item in value.items():
        target = nested
        *parents, last = str(key).split(".")
        for parent in parents:
            child = target.setdefault(parent, {})
            if not isinstance(child, dict):
                child = target[parent] = {}
            target = child
        if isinstance(item, dict) and isinstance(target.get(last), dict):
            target[last] = {**target[last], **item}  # type: ignore[dict-item]
        else:
            target[last] = item
    problems: list[SidecarError] = []
    chosen: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        if field.encode_name not in nested:
            continue
        section = nested[field.encode_name]
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            chosen[field.encode_name] = _take(field.type, section, field.encode_name, problems)
        elif field.encode_name in (one := _valid(Settings, {field.encode_name: section}, field.encode_name, problems)):
            chosen[field.encode_name] = one[field.encode_name]
    return msgspec.convert(chosen, Settings), problems


def _take(kind: type[msgspec.Struct], section: object, where: str, problems: list[SidecarError]) -> dict[str, object]:
    if not isinstance(section, dict):
        problems.append(invalid(f"codexSidecar.{where}", f"expected an object, got {type(section).__name__}"))
        return {}
    taken: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in section:
            value = {field.encode_name: section[field.encode_name]}
            taken.update(_valid(kind, value, f"{where}.{field.encode_name}", problems))
    return taken


def _valid(
    kind: type[msgspec.Struct], value: dict[str, object], where: str, problems: list[SidecarError]
) -> dict[str, object]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        problems.append(invalid(f"codexSidecar.{where}", str(exc).split(" - at ")[0]))
        return {}
    return value
