"""Two steps for whatever can undo work: a preview with a token, and the act with it, only if nothing moved since."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import Any

import msgspec

from sidecar.model.a2_outputs import Preview, PreviewOutput
from sidecar.model.errors import SidecarError

KEPT = 200


class Tokens:
    """The tokens that were given out; they live as long as this process."""

    def __init__(self) -> None:
        self._given: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def offer(self, call: Any, preview: Preview, seen: Any) -> PreviewOutput:
        """A preview with a new token.

        Args:
            call: the tool and its arguments without the token.
            preview: what a person reads.
            seen: everything that the act relies on (what stands on the disk, who runs, …), printable.
        """
        token = secrets.token_hex(16)
        self._given[token] = (_digest(call), _digest((preview, seen)))
        while len(self._given) > KEPT:
            self._given.popitem(last=False)
        return PreviewOutput(preview=preview, token=token)

    def check(self, token: str, call: Any, preview: Preview, seen: Any) -> None:
        """Lets the act happen once.

        Raises:
            SidecarError: `stale-token` with a new preview and token in `details`, where the token is not known (any
                more), was given for another call, or what it was given for has changed.
        """
        if self._given.pop(token, None) == (_digest(call), _digest((preview, seen))):
            return
        fresh = msgspec.to_builtins(self.offer(call, preview, seen))
        raise SidecarError(
            "stale-token",
            "Something has changed since the preview, or the token is not for this call; nothing was done.",
            "Look at the new preview in details and use its token.",
            fresh,
        )


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()
