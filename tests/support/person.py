"""A person at an editor with dialogs: answers what `codexSidecar/ui` asks, as a test has laid down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from sidecar.lsp.connection import serve
from sidecar.tools.caller import Client
from tests.support.lsp import PATIENCE, RawClient, Refused, socket_pair

UI = "codexSidecar/ui"
QUESTIONS = frozenset({"pick", "input", "modal", "toast"})
DIALOGS = {"state": True, "dialogs": True, "ownsProgress": True, "mergeEditor": True, "virtualDocs": True}

FLOW_SECONDS = 90.0
"""A generous time for an action on a busy machine."""

Answer = Callable[[dict[str, Any]], Any]


class Person:
    """Sees everything that the client is told to show, in order, and answers questions from a script.

    A question that the script does not have is dismissed, as by Esc; `unasked` has the answers that are left.
    """

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.seen: list[dict[str, Any]] = []
        self.unasked: list[tuple[str, Answer]] = []
        self.refuses: dict[str, str] = {}
        """What the client cannot do, by its kind, with the words of its error."""
        client.answers[UI] = self._answer

    def _answer(self, asked: dict[str, Any]) -> Any:
        self.seen.append(asked)
        if asked["kind"] in self.refuses:
            raise Refused(self.refuses[asked["kind"]])
        if asked["kind"] not in QUESTIONS:
            return {}
        if self.unasked and self.unasked[0][0] == asked["kind"]:
            return self.unasked.pop(0)[1](asked)
        return None

    # -- the script -------------------------------------------------------------------------------------------------

    def picks(self, label: str) -> Person:
        """Chooses the first item of the next pick whose label has these words."""
        return self._will("pick", lambda asked: {"id": item(asked, label)["id"]})

    def ticks(self, *labels: str) -> Person:
        """Leaves exactly these items ticked."""
        return self._will("pick", lambda asked: {"ids": [item(asked, label)["id"] for label in labels]})

    def accepts_ticks(self) -> Person:
        """Presses Enter on what is ticked."""
        return self._will("pick", lambda asked: {"ids": [one["id"] for one in asked["items"] if one.get("picked")]})

    def types(self, text: str) -> Person:
        return self._will("input", lambda asked: {"value": text})

    def accepts_text(self) -> Person:
        """Presses Enter on what the input holds."""
        return self._will("input", lambda asked: {"value": asked.get("value", "")})

    def presses_icon(self) -> Person:
        return self._will("input", lambda asked: {"button": asked["button"]["id"]})

    def clicks(self, label: str, kind: str = "modal") -> Person:
        """Clicks a button of the next modal (or toast)."""
        return self._will(kind, lambda asked: {"id": button(asked, label)})

    def dismisses(self, kind: str) -> Person:
        """Closes the next question of this kind; the script goes on after it."""
        return self._will(kind, lambda asked: None)

    def _will(self, kind: str, answer: Answer) -> Person:
        self.unasked.append((kind, answer))
        return self

    # -- acting -----------------------------------------------------------------------------------------------------

    async def acts(self, action: str, target: Any = None, editor: Any = None) -> dict[str, Any]:
        """Runs an action to its end and returns the whole reply."""
        params = {"action": action, "target": target, "editor": editor}
        return await self.reply(self.client.start("codexSidecar/act", params))

    async def reply(self, name: int) -> dict[str, Any]:
        """The reply to an action, which may start programs and wait for workers."""

        async def wait() -> dict[str, Any]:
            while not (found := self.client.replies_to(name)):
                assert not self.client.ended.is_set(), f"the connection is gone; saw {self.seen!r:.3000}"
                await asyncio.sleep(0.01)
            return found[0]

        return await asyncio.wait_for(wait(), FLOW_SECONDS)

    async def does(self, action: str, target: Any = None, editor: Any = None) -> list[dict[str, Any]]:
        """Runs an action that must work and use up the script; what the person saw meanwhile."""
        before = len(self.seen)
        reply = await self.acts(action, target, editor)
        assert reply.get("result") == {}, reply
        assert self.unasked == [], (
            f"never asked: {[kind for kind, _ in self.unasked]}; saw {self.seen[before:]!r:.3000}"
        )
        return self.seen[before:]

    def saw(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.seen if one["kind"] == kind]


def item(asked: dict[str, Any], label: str) -> dict[str, Any]:
    """The first item of a pick whose label has these words."""
    found = [one for one in asked["items"] if label in one["label"]]
    assert found, f"no {label!r} among {[one['label'] for one in asked['items']]}"
    return dict(found[0])


def button(asked: dict[str, Any], label: str) -> Any:
    found = [one["id"] for one in asked.get("buttons", []) if one["label"] == label]
    assert found, f"no {label!r} in {asked}"
    return found[0]


@contextlib.asynccontextmanager
async def person_at(
    core: Any, settings: dict[str, Any] | None = None, env: dict[str, str] | None = None
) -> AsyncIterator[Person]:
    """A person at a client that draws and asks by itself.

    Args:
        settings: the client's section `codexSidecar`; without it nothing is told unasked.
        env: the client's environment, which its workers get.
    """
    mine, theirs = await socket_pair()
    task = asyncio.ensure_future(serve(core, Client("lsp", "0", cwd=core.top, env=env or {}), *theirs))
    client = RawClient(*mine)
    person = Person(client)
    try:
        client.answers["workspace/textDocumentContent/refresh"] = lambda asked: None
        options = {"ui": DIALOGS, "codexSidecar": {"notifications": "off", **(settings or {})}}
        await client.initialize(options, rootUri=Path(core.top).as_uri())
        await client.wait_for_method("codexSidecar/state")
        yield person
    finally:
        await client.close()
        await asyncio.wait_for(task, PATIENCE)
