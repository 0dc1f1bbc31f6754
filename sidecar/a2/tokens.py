"""Two steps for whatever can undo work: a preview with a token, and the act with it, only if nothing moved since."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from sidecar.git.snapshot import new_id, ref_of
from sidecar.model.a2_outputs import Preview, PreviewOutput
from sidecar.model.errors import SidecarError

KEPT = 200


Named = Callable[[str], str]
"""The text of a preview with the ref of the snapshot that the act will save."""


class _Given(NamedTuple):
    call: str
    seen: str
    saved_as: str


class Tokens:
    """The tokens that were given out; they live as long as this process."""

    def __init__(self) -> None:
        self._given: OrderedDict[str, _Given] = OrderedDict()

    def offer(self, call: Any, preview: Preview, seen: Any, named: Named) -> PreviewOutput:
        """A preview with a new token.

        Args:
            call: the tool and its arguments without the token.
            preview: what a person reads; its text names no snapshot.
            seen: everything that the act relies on (what stands on the disk, who runs, …), printable.
            named: its text with the snapshot's name.
        """
        token = secrets.token_hex(16)
        saved_as = new_id(time.time())
        self._given[token] = _Given(_digest(call), _acted_on(preview, seen), saved_as)
        while len(self._given) > KEPT:
            self._given.popitem(last=False)
        return PreviewOutput(preview=msgspec.structs.replace(preview, text=named(ref_of(saved_as))), token=token)

    def check(self, token: str, call: Any, preview: Preview, seen: Any, named: Named) -> str:
        """Lets the act happen once.

        Returns:
            The id that the preview has promised for the snapshot.

        Raises:
            SidecarError: `stale-token` with a new preview and token in `details`, where the token is not known (any
                more), was given for another call, or what it was given for has changed.
        """
        given = self._given.pop(token, None)
        if given is not None and given[:2] == (_digest(call), _acted_on(preview, seen)):
            return given.saved_as
        raise stale(self.offer(call, preview, seen, named))


def stale(fresh: Any) -> SidecarError:
    """The `stale-token` error with a new preview and its token, as `Tokens.offer` answers them."""
    return SidecarError(
        "stale-token",
        "Something has changed since the preview, or the token is not for this call; nothing was done.",
        "Look at the new preview in details and use its token.",
        msgspec.to_builtins(fresh),
    )


def _acted_on(preview: Preview, seen: Any) -> str:
    """Names what would be done, and to what.

    The text is not compared: it names a snapshot, and with the untouched files what has nothing to do with the act.
    """
    return _digest((preview.files, preview.jobs, preview.user_edits, seen))


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()
