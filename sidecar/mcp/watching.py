"""Tells a client that a resource it subscribed to has changed, at most once a second for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated

from sidecar.mcp.uris import VIEWS, Address, View

if TYPE_CHECKING:
    from sidecar.jobs.changes import Change
    from sidecar.service.core import Core

INTERVAL_SECONDS = 1.0
_CHANGED: dict[str, tuple[View, ...]] = {"events": ("transcript",), "job": VIEWS}

Notify = Callable[[str], Awaitable[None]]


class Watching:
    """The subscriptions of one connection: by `resources/subscribe`, and by streams that listen on `bus`."""

    def __init__(self, core: Core | None) -> None:
        self.bus = InMemorySubscriptionBus()
        self._subscribed: dict[str, Notify] = {}
        self._sent: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._core = core
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Begins to follow the jobs; called again it does nothing."""
        if self._stop is None and self._core is not None:
            self._stop = self._core.subscribe(self._changed)

    def add(self, address: Address, notify: Notify) -> None:
        """`notify` is called with the URI after each change."""
        self._subscribed[str(address)] = notify
        self.start()

    def remove(self, address: Address) -> None:
        """Nothing more is told of it; nothing happens where it is not subscribed to."""
        self._subscribed.pop(str(address), None)

    def __len__(self) -> int:
        return len(self._subscribed)

    async def close(self) -> None:
        """Ends everything; what is being sent is sent."""
        if self._stop is not None:
            self._stop()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await asyncio.gather(*self._sending)

    def _changed(self, change: Change) -> None:
        for view in _CHANGED.get(change.kind, ()):
            uri = str(Address(change.id, view))
            if uri in self._timers:
                continue
            loop = asyncio.get_running_loop()
            wait = self._sent.get(uri, -INTERVAL_SECONDS) + INTERVAL_SECONDS - loop.time()
            # Also where it is due: what changes in the same turn of the loop is told once.
            self._timers[uri] = loop.call_later(max(wait, 0.0), self._due, uri)

    def _due(self, uri: str) -> None:
        del self._timers[uri]
        now = asyncio.get_running_loop().time()
        self._sent = {one: at for one, at in self._sent.items() if at + INTERVAL_SECONDS > now}
        self._sent[uri] = now
        task = asyncio.ensure_future(self._send(uri))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri))
        if (notify := self._subscribed.get(uri)) is not None:
            await notify(uri)
