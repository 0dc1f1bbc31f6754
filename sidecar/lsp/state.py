"""`codexSidecar/state`: what this client needs to draw jobs, run, limits and conflicts; then only what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sidecar.model import limits

if TYPE_CHECKING:
    from sidecar.lsp.view.view import View
    from sidecar.service.core import Core

METHOD = "codexSidecar/state"

Key = tuple[str, str]
"""Kind and id of one item of the state."""


def items_of(state: dict[str, Any]) -> dict[Key, dict[str, Any]]:
    """The state as items, each with its `kind` and `id`; jobs and conflicts in the order of the state.

    A conflict has a kind of its own, which stands under `conflictKind` here. Where the state holds a view, its rows,
    marks and summary follow.
    """
    found: dict[Key, dict[str, Any]] = {}
    for job in state["jobs"]:
        found["job", job["jobId"]] = {"kind": "job", "id": job["jobId"], **job}
    if state["run"] is not None:
        run = state["run"]
        found["run", run["runId"]] = {"kind": "run", "id": run["runId"], **run}
    found["limits", "limits"] = {"kind": "limits", "id": "limits", **state["limits"]}
    for conflict in state["conflicts"]:
        name = conflict["conflictId"]
        found["conflict", name] = {**conflict, "conflictKind": conflict["kind"], "kind": "conflict", "id": name}
    for kind, several in (("row", state.get("rows", ())), ("mark", state.get("marks", ()))):
        for one in several:
            found[kind, one["id"]] = {"kind": kind, **one}
    if "summary" in state:
        found["summary", "summary"] = {"kind": "summary", **state["summary"]}
    return found


def _fingerprints(items: dict[Key, dict[str, Any]]) -> dict[Key, str]:
    # A text, since the core may change a dict that it once handed out; not JSON, since a path may hold bytes that are
    # no text, for which msgspec has none.
    return {key: repr(item) for key, item in items.items()}


class StatePublisher:
    """Keeps one client's picture of the state true, at most twice a second.

    `seq` counts this client's notifications from 1. A client that missed one asks for `codexSidecar/getState` and goes
    on with the notification after the `seq` it is answered.
    """

    def __init__(
        self,
        core: Core,
        notify: Callable[[str, Any], None],
        drained: Callable[[], Awaitable[None]],
        view: View | None = None,
    ) -> None:
        """`view`: of a client that draws what the server says."""
        self._core = core
        self._view = view
        self._notify = notify
        self._drained = drained
        self._dirty = asyncio.Event()
        self._seq = 0
        self._sent: dict[Key, str] = {}
        self._answered: dict[Key, str] | None = None
        """What a getState since the last notification told; the next notification holds for both pictures."""

    def touch(self) -> None:
        """Something in the state changed."""
        self._dirty.set()

    def _full(self) -> dict[str, Any]:
        state = self._core.state()
        return state if self._view is None else {**state, **self._view.draw(state)}

    def answer(self) -> dict[str, Any]:
        """The answer to `codexSidecar/getState`."""
        full = self._full()
        self._answered = _fingerprints(items_of(full))
        return {"seq": self._seq, "full": full}

    async def run(self) -> None:
        """Sends the full state, then changes, until cancelled; while the client is congested they are merged."""
        full = self._full()
        self._sent = _fingerprints(items_of(full))
        self._send({"full": full})
        while True:
            await asyncio.sleep(limits.STATE_INTERVAL_SECONDS)
            await self._dirty.wait()
            await self._drained()
            self._dirty.clear()
            self._send_changes()

    def _send_changes(self) -> None:
        items = items_of(self._full())
        now = _fingerprints(items)
        known = [self._sent] if self._answered is None else [self._sent, self._answered]
        changed = [item for key, item in items.items() if any(one.get(key) != now[key] for one in known)]
        gone = {key: None for one in known for key in one if key not in now}
        self._sent, self._answered = now, None
        if changed or gone:
            self._send({"changed": changed, "removed": [{"kind": kind, "id": name} for kind, name in gone]})

    def _send(self, content: dict[str, Any]) -> None:
        self._seq += 1
        self._notify(METHOD, {"seq": self._seq, **content})
