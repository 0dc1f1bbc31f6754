"""The few things that a client can show or ask, as typed calls of its request `codexSidecar/ui`.

Everything that an action of the palette says is said through these, so a client needs no text and no rule of its own.
A question stays open for as long as the person likes; None is always "dismissed".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

UI = "codexSidecar/ui"

Severity = Literal["info", "warning", "error"]
View = Literal["scm", "walkthrough", "settings", "workers", "log", "newWindowFolder"]
Change = tuple[str, str | None, str | None]
"""A file of a list of differences: whose name it has, what it was and what it is; None where it was or is not there."""


@dataclass(frozen=True)
class Item:
    """One line of a pick. A label may begin with `$(icon)`."""

    id: str
    label: str
    description: str | None = None
    detail: str | None = None
    picked: bool | None = None


@dataclass(frozen=True)
class Button:
    """A button of a question; the first one is what Enter means."""

    id: str
    label: str


@dataclass(frozen=True)
class IconButton:
    """The button beside an input."""

    id: str
    icon: str
    tooltip: str


@dataclass(frozen=True)
class Pressed:
    """The button beside an input was pressed instead of Enter."""

    id: str


class Dialogs:
    """The primitives of one client.

    Every method raises `JsonRpcException` where the client cannot do it, which ends the flow.
    """

    def __init__(self, ask: Callable[[str, Any], Awaitable[Any]]) -> None:
        """
        Args:
            ask: sends a request that may stay unanswered for ever.
        """
        self._ask = ask

    async def _put(self, kind: str, **fields: Any) -> dict[str, Any]:
        answer = await self._ask(UI, {"kind": kind, **{name: one for name, one in fields.items() if one is not None}})
        return answer if isinstance(answer, dict) else {}

    # -- questions --------------------------------------------------------------------------------------------------

    async def pick(self, title: str, items: Sequence[Item], placeholder: str | None = None) -> str | None:
        """The id of the item that was chosen."""
        answer = await self._put("pick", title=title, placeholder=placeholder, items=[_fields(one) for one in items])
        return _one_of(answer.get("id"), [item.id for item in items])

    async def pick_many(self, title: str, items: Sequence[Item], placeholder: str | None = None) -> list[str] | None:
        """The ids of the items that are ticked, in the order of the items."""
        answer = await self._put(
            "pick", title=title, placeholder=placeholder, items=[_fields(one) for one in items], many=True
        )
        chosen = answer.get("ids")
        return [item.id for item in items if item.id in chosen] if isinstance(chosen, list) else None

    async def input(
        self,
        title: str,
        *,
        placeholder: str | None = None,
        prompt: str | None = None,
        value: str | None = None,
        button: IconButton | None = None,
    ) -> str | Pressed | None:
        """A line of text as it was typed, or the button."""
        answer = await self._put(
            "input",
            title=title,
            placeholder=placeholder,
            prompt=prompt,
            value=value,
            button=None if button is None else vars(button),
        )
        if button is not None and answer.get("button") == button.id:
            return Pressed(button.id)
        text = answer.get("value")
        return text if isinstance(text, str) else None

    async def modal(self, message: str, detail: str | None, buttons: Sequence[Button]) -> str | None:
        """The id of the button; the client adds Cancel, which is None."""
        answer = await self._put(
            "modal", message=message, detail=detail or None, buttons=[vars(one) for one in buttons]
        )
        return _one_of(answer.get("id"), [button.id for button in buttons])

    async def toast(
        self, severity: Severity, message: str, buttons: Sequence[Button] = (), *, unless_focused: bool = False
    ) -> str | None:
        """The id of the button; None at once where it is not shown.

        Args:
            unless_focused: shown only while the person is not at this window.
        """
        answer = await self._put(
            "toast",
            severity=severity,
            message=message,
            buttons=[vars(one) for one in buttons] or None,
            unlessFocused=unless_focused or None,
        )
        return _one_of(answer.get("id"), [button.id for button in buttons])

    # -- showing ----------------------------------------------------------------------------------------------------

    async def open(self, uri: str, *, line: int | None = None, preview: bool = True, end: bool = False) -> None:
        """Opens a document.

        Args:
            line: to be shown, counted from 0.
            preview: in the tab that the next one replaces.
            end: at its end, which is followed.
        """
        await self._put("open", uri=uri, line=line, preview=preview, end=end or None)

    async def diff(self, left: str | None, right: str | None, title: str) -> None:
        await self._ask(UI, {"kind": "diff", "left": left, "right": right, "title": title})

    async def changes(self, title: str, files: Sequence[Change]) -> None:
        """Several differences in one view."""
        await self._put("changes", title=title, files=[list(one) for one in files])

    async def untitled(self, language_id: str, content: str) -> None:
        await self._put("untitled", languageId=language_id, content=content)

    async def clipboard(self, text: str) -> None:
        await self._put("clipboard", text=text)

    async def terminal(self, name: str, program: str, args: Sequence[str], cwd: str | None = None) -> None:
        await self._put("terminal", name=name, program=program, args=list(args), cwd=cwd)

    async def merge(self, **fields: Any) -> None:
        """Opens the merge editor; see the protocol's page for the fields."""
        await self._put("merge", **fields)

    async def view(self, name: View, query: str | None = None) -> None:
        await self._put("view", name=name, query=query)


def _fields(item: Item) -> dict[str, Any]:
    return {name: one for name, one in vars(item).items() if one is not None}


def _one_of(found: object, known: Sequence[str]) -> str | None:
    """What a client names must be one of what it was offered."""
    return found if isinstance(found, str) and found in known else None
