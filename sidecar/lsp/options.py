"""What a client says about itself when it connects. Lenient: nothing in here may fail an `initialize`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from lsprotocol import types

from sidecar.model.settings import Settings
from sidecar.tools.schema import json_type

if TYPE_CHECKING:
    from cattrs import Converter

logger = logging.getLogger(__name__)

SECTION = "codexSidecar"
READER = "editor.accessibilitySupport"
"""The editor's own setting: `on` where a screen reader is used."""
_SETTINGS = frozenset(one.encode_name for one in msgspec.structs.fields(Settings))


class Ui(msgspec.Struct, rename="camel", frozen=True):
    """What the client shows by itself; false means that plain LSP does it."""

    state: bool = False
    owns_progress: bool = False
    dialogs: bool = False
    merge_editor: bool = False
    virtual_docs: bool = False
    events: bool = False


@dataclass(frozen=True)
class Options:
    """`initializationOptions`, read.

    Attributes:
        ui: the client's own surfaces.
        settings: the section `codexSidecar`; None where the client announced no setting.
        problems: sentences about what was not taken.
        editor: the editor's own settings, as far as they are told.
    """

    ui: Ui = field(default_factory=Ui)
    settings: dict[str, Any] | None = None
    problems: tuple[str, ...] = ()
    editor: object = None


def read_options(value: object) -> Options:
    """Reads `initializationOptions`: the settings directly or under `codexSidecar`, `ui`, and `editor`."""
    if value is None:
        return Options()
    if not isinstance(value, dict):
        return Options(problems=(f"initializationOptions: expected an object, got {json_type(value)}.",))
    ui, problems = _read_ui(value.get("ui"))
    section, more = section_of(value)
    if section is None:
        section = announced({name: item for name, item in value.items() if name not in ("ui", "editor")})
    return Options(ui, section, (*problems, *more), {"editor": value.get("editor")})


def _read_ui(value: object) -> tuple[Ui, list[str]]:
    if value is None:
        return Ui(), []
    if not isinstance(value, dict):
        return Ui(), [f"initializationOptions.ui: expected an object, got {json_type(value)}."]
    chosen: dict[str, bool] = {}
    problems: list[str] = []
    for one in msgspec.structs.fields(Ui):
        item = value.get(one.encode_name, False)
        if isinstance(item, bool):
            chosen[one.name] = item
        else:
            problems.append(f"initializationOptions.ui.{one.encode_name}: expected a boolean, got {json_type(item)}.")
    return Ui(**chosen), problems


def section_of(settings: object) -> tuple[dict[str, Any] | None, list[str]]:
    """The section `codexSidecar` of a client's settings, nested or with dotted keys.

    Returns:
        The section, or None where no setting of it is announced; and what is wrong with it.
    """
    if not isinstance(settings, dict):
        return None, []
    section = settings.get(SECTION)
    if isinstance(section, dict):
        return announced(section), []
    prefix = f"{SECTION}."
    dotted = {name.removeprefix(prefix): item for name, item in settings.items() if name.startswith(prefix)}
    problems = [] if section is None else [f"{SECTION}: expected an object, got {json_type(section)}."]
    return announced(dotted), problems


def announced(section: object) -> dict[str, Any] | None:
    """A section that holds at least one setting of ours; None otherwise, so that another client's settings stay."""
    if isinstance(section, dict) and any(name.split(".")[0] in _SETTINGS for name in section):
        return section
    return None


def client_setting(section: object, name: str) -> object:
    """A setting that only the client's own surfaces have, nested or with dotted keys; None where it is not there."""
    if not isinstance(section, dict):
        return None
    if name in section:
        return section[name]
    head, _, rest = name.partition(".")
    return client_setting(section.get(head), rest) if rest else None


def initialize_params(raw: dict[str, Any], converter: Converter) -> types.InitializeParams:
    """The parameters of `initialize`, without what lsprotocol does not know.

    A client may be newer than our types: one unknown value in one capability is no reason to refuse it.

    Raises:
        Exception: of cattrs, where the parameters make no sense at all.
    """
    full = {"processId": None, "rootUri": None, "capabilities": {}, **raw}
    try:
        return converter.structure(full, types.InitializeParams)
    except Exception as exc:  # noqa: BLE001 - cattrs raises whatever its hooks raise.
        logger.info("initialize holds something unknown: %s", exc)
    required = {name: full[name] for name in ("processId", "rootUri")}
    capabilities = full["capabilities"]
    if isinstance(capabilities, dict):
        capabilities = _known(capabilities, types.ClientCapabilities, {}, converter)
    required["capabilities"] = capabilities
    optional = {name: item for name, item in full.items() if name not in required}
    known = _known(optional, types.InitializeParams, required, converter)
    return converter.structure({**required, **known}, types.InitializeParams)


def _known(raw: dict[str, Any], kind: type[Any], base: dict[str, Any], converter: Converter) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for name, item in raw.items():
        try:
            converter.structure({**base, name: item}, kind)
        except Exception:  # noqa: BLE001 - as above; the name says enough.
            logger.warning("%s.%s of the client is not understood and left out", kind.__name__, name)
            continue
        taken[name] = item
    return taken
