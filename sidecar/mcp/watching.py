"""Tells clients that a resource they subscribed to has changed, or the list of them, at most once a second for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged, ResourceUpdated

from sidecar.mcp.uris import VIEWS, Address, View

if TYPE_CHECKING:
    from sidecar.jobs.changes import Change
    from sidecar.service.core import Core

INTERVAL_SECONDS = 1.0
_CHANGED: dict[str, tuple[View, ...]] = {"events": ("transcript",), "job": VIEWS}
_LIST = ""
"""Stands for the list of resources where a URI would stand."""

Notify = Callable[[str], Awaitable[None]]
NotifyList = Callable[[], Awaitable[None]]


class Watching:
    """The subscriptions of one server: by `resources/subscribe`, and by streams that listen on `bus`.

    Who subscribed is any object that stands for a client's connection; over HTTP one server has many.
    """

    def __init__(self, core: Core | None, known: Callable[[], Iterable[str]] = tuple) -> None:
        """
        Args:
            core: whose jobs are followed.
            known: the ids of the jobs that are listed already.
        """
        self.bus = InMemorySubscriptionBus()
        self._subscribed: dict[str, dict[object, Notify]] = {}
        self._lists: dict[object, NotifyList] = {}
        self._sent: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._core = core
        self._known = known
        self._seen: set[str] = set()
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Begins to follow the jobs; called again it does nothing."""
        if self._stop is None and self._core is not None:
            self._seen = set(self._known())
            self._stop = self._core.subscribe(self._changed)

    def add(self, who: object, address: Address, notify: Notify) -> None:
        """`notify` is called with the URI after each change."""
        self._subscribed.setdefault(str(address), {})[who] = notify
        self.start()

    def remove(self, who: object, address: Address) -> None:
        """Nothing more is told of it; nothing happens where it is not subscribed to."""
        subscribers = self._subscribed.get(str(address), {})
        subscribers.pop(who, None)
        if not subscribers:
            self._subscribed.pop(str(address), None)

    def add_list(self, who: object, notify: NotifyList) -> None:
        """`notify` is called after the list of resources has changed."""
        self._lists[who] = notify
        self.start()

    def forget(self, who: object) -> None:
        """Who has left is told nothing more."""
        self._lists.pop(who, None)
        for uri in [uri for uri, subscribers in self._subscribed.items() if subscribers.pop(who, None)]:
            if not self._subscribed[uri]:
                del self._subscribed[uri]

    def count(self, who: object) -> int:
        """How many resources `who` has subscribed to."""
        return sum(who in subscribers for subscribers in self._subscribed.values())

    async def close(self) -> None:
        """Ends everything; what is being sent is sent."""
        if self._stop is not None:
            self._stop()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await asyncio.gather(*self._sending.values())

    def _changed(self, change: Change) -> None:
        if change.kind == "job" and change.id not in self._seen:
            self._seen.add(change.id)
            self._schedule(_LIST)
        for view in _CHANGED.get(change.kind, ()):
            self._schedule(str(Address(change.id, view)))

    def _schedule(self, uri: str) -> None:
        if uri not in self._timers:
            loop = asyncio.get_running_loop()
            wait = self._sent.get(uri, -INTERVAL_SECONDS) + INTERVAL_SECONDS - loop.time()
            # Also where it is due: what changes in the same turn of the loop is told once.
            self._timers[uri] = loop.call_later(max(wait, 0.0), self._due, uri)

    def _due(self, uri: str) -> None:
        del self._timers[uri]
        now = asyncio.get_running_loop().time()
        self._sent = {one: at for one, at in self._sent.items() if at + INTERVAL_SECONDS > now}
        self._sent[uri] = now
        if uri in self._sending:
            # A client that does not read holds it up; the next one says more.
            self._schedule(uri)
            return
        task = self._sending[uri] = asyncio.ensure_future(self._send(uri))
        task.add_done_callback(lambda _: self._sending.pop(uri, None))

    async def _send(self, uri: str) -> None:
        if uri == _LIST:
            await self.bus.publish(ResourcesListChanged())
            await asyncio.gather(*(notify() for notify in self._lists.values()))
        else:
            await self.bus.publish(ResourceUpdated(uri))
            await asyncio.gather(*(notify(uri) for notify in self._subscribed.get(uri, {}).values()))
