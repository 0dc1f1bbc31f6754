"""The one cattrs converter of all connections.

cattrs generates code for a type when it first meets it; for the types of `initialize` that takes 30 ms, which would
stop the loop for every client of the process. It is done at import, which the service does in a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.protocol import default_converter

if TYPE_CHECKING:
    from cattrs import Converter


def _build() -> Converter:
    made: Converter = default_converter()  # type: ignore[no-untyped-call]
    for name, kind in types.ALL_TYPES_MAP.items():
        if isinstance(kind, type) and (name.startswith("Client") or name.endswith("ClientCapabilities")):
            made.get_structure_hook(kind)
    made.get_structure_hook(types.InitializeParams)
    made.get_unstructure_hook(types.InitializeResult)
    return made


CONVERTER = _build()
