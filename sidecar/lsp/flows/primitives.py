"""The few things that a client can show or ask, as typed calls of its request `codexSidecar/ui`.

Everything that an action of the palette says is said through these, so a client needs no text and no rule of its own.
A question stays open for as long as the person likes; None is always "dismissed".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

UI = "codexSidecar/ui"

Severity = Literal["info", "warning", "error"]
ViewName = Literal["scm", "walkthrough", "settings", "workers", "log", "newWindowFolder"]
SettingTarget = Literal["user", "workspace"]
Change = tuple[str, str | None, str | None]
"""A file of a list of differences: whose name it has, what it was and what it is; None where it was or is not there."""


class Item(msgspec.Struct, omit_defaults=True, frozen=True):
    """One line of a pick. A label may begin with `$(icon)`."""

    id: str
    label: str
    description: str | None = None
    detail: str | None = None
    picked: bool | None = None


class Button(msgspec.Struct, frozen=True):
    """A button of a question; the first one is what Enter means."""

    id: str
    label: str


class IconButton(msgspec.Struct, frozen=True):
    """The button beside an input."""

    id: str
    icon: str
    tooltip: str


class MergeSide(msgspec.Struct, frozen=True):
    """One of the two versions that a merge editor joins."""

    uri: str
    title: str
    description: str
    detail: str


# -- the requests, by their `kind` -------------------------------------------------------------------------------------


class Primitive(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True, tag_field="kind"):
    """Base of what a client can be asked for; what is as it is by default is left out."""


class PickRequest(Primitive, frozen=True, tag="pick"):
    """Answered by `{id}`, with `many` by `{ids}`."""

    title: str
    items: Sequence[Item]
    placeholder: str | None = None
    many: bool = False


class InputRequest(Primitive, frozen=True, tag="input"):
    """Answered by `{value}` or `{button}`. A loss of focus does not close it."""

    title: str
    placeholder: str | None = None
    prompt: str | None = None
    value: str | None = None
    button: IconButton | None = None


class ModalRequest(Primitive, frozen=True, tag="modal"):
    """Answered by `{id}`; the client adds Cancel."""

    message: str
    buttons: Sequence[Button]
    detail: str | None = None


class ToastRequest(Primitive, frozen=True, tag="toast"):
    """Answered by `{id}`; null at once where it is not shown."""

    severity: Severity
    message: str
    buttons: Sequence[Button] | None = None
    unless_focused: bool = False


class OpenRequest(Primitive, frozen=True, tag="open"):
    """Opens a document, at a line (from 0) or at its end."""

    uri: str
    preview: bool
    line: int | None = None
    end: bool = False


class DiffRequest(Primitive, frozen=True, tag="diff"):
    """Shows a difference; null: nothing there."""

    left: str | None
    right: str | None
    title: str


class ChangesRequest(Primitive, frozen=True, tag="changes"):
    """Shows several differences in one view."""

    title: str
    files: Sequence[Change]


class UntitledRequest(Primitive, frozen=True, tag="untitled"):
    """Opens a new document for tasks."""

    language_id: str
    content: str


class ClipboardRequest(Primitive, frozen=True, tag="clipboard"):
    """Fills the clipboard."""

    text: str


class TerminalRequest(Primitive, frozen=True, tag="terminal"):
    """Runs a program in a terminal of its own."""

    name: str
    program: str
    args: Sequence[str]
    cwd: str | None = None


class MergeRequest(Primitive, frozen=True, tag="merge"):
    """Opens the merge editor on a file in memory that begins as `marked`."""

    conflict_id: str
    job_ids: Sequence[str]
    path: str
    base: str
    inputs: Sequence[MergeSide]
    output: str
    """The file in memory, a URI."""
    marked: str
    expected_hash: str
    title: str | None = None


class SettingRequest(Primitive, frozen=True, tag="setting"):
    """Writes a setting; a client refuses a name outside `codexSidecar.`."""

    name: str
    value: str
    target: SettingTarget


class ViewRequest(Primitive, frozen=True, tag="view"):
    """Shows a part of the editor."""

    name: ViewName
    query: str | None = None


Request = (
    PickRequest
    | InputRequest
    | ModalRequest
    | ToastRequest
    | OpenRequest
    | DiffRequest
    | ChangesRequest
    | UntitledRequest
    | ClipboardRequest
    | TerminalRequest
    | MergeRequest
    | SettingRequest
    | ViewRequest
)


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

    async def _put(self, request: Request) -> dict[str, Any]:
        answer = await self._ask(UI, msgspec.to_builtins(request))
        return answer if isinstance(answer, dict) else {}

    # -- questions --------------------------------------------------------------------------------------------------

    async def pick(self, title: str, items: Sequence[Item], placeholder: str | None = None) -> str | None:
        """The id of the item that was chosen."""
        answer = await self._put(PickRequest(title=title, placeholder=placeholder, items=items))
        return _one_of(answer.get("id"), [item.id for item in items])

    async def pick_many(self, title: str, items: Sequence[Item], placeholder: str | None = None) -> list[str] | None:
        """The ids of the items that are ticked, in the order of the items."""
        answer = await self._put(PickRequest(title=title, placeholder=placeholder, items=items, many=True))
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
            InputRequest(title=title, placeholder=placeholder, prompt=prompt, value=value, button=button)
        )
        if button is not None and answer.get("button") == button.id:
            return Pressed(button.id)
        text = answer.get("value")
        return text if isinstance(text, str) else None

    async def modal(self, message: str, detail: str | None, buttons: Sequence[Button]) -> str | None:
        """The id of the button; the client adds Cancel, which is None."""
        answer = await self._put(ModalRequest(message=message, detail=detail or None, buttons=buttons))
        return _one_of(answer.get("id"), [button.id for button in buttons])

    async def toast(
        self, severity: Severity, message: str, buttons: Sequence[Button] = (), *, unless_focused: bool = False
    ) -> str | None:
        """The id of the button; None at once where it is not shown.

        Args:
            unless_focused: shown only while the person is not at this window.
        """
        answer = await self._put(
            ToastRequest(severity=severity, message=message, buttons=buttons or None, unless_focused=unless_focused)
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
        await self._put(OpenRequest(uri=uri, line=line, preview=preview, end=end))

    async def diff(self, left: str | None, right: str | None, title: str) -> None:
        await self._put(DiffRequest(left=left, right=right, title=title))

    async def changes(self, title: str, files: Sequence[Change]) -> None:
        """Several differences in one view."""
        await self._put(ChangesRequest(title=title, files=files))

    async def untitled(self, language_id: str, content: str) -> None:
        await self._put(UntitledRequest(language_id=language_id, content=content))

    async def clipboard(self, text: str) -> None:
        await self._put(ClipboardRequest(text=text))

    async def terminal(self, name: str, program: str, args: Sequence[str], cwd: str | None = None) -> None:
        await self._put(TerminalRequest(name=name, program=program, args=args, cwd=cwd))

    async def merge(self, request: MergeRequest) -> None:
        """Opens the merge editor."""
        await self._put(request)

    async def setting(self, name: str, value: str, target: SettingTarget) -> None:
        """Writes a setting of the section `codexSidecar`; a client refuses any other."""
        await self._put(SettingRequest(name=name, value=value, target=target))

    async def view(self, name: ViewName, query: str | None = None) -> None:
        await self._put(ViewRequest(name=name, query=query))


def _one_of(found: object, known: Sequence[str]) -> str | None:
    """What a client names must be one of what it was offered."""
    return found if isinstance(found, str) and found in known else None
