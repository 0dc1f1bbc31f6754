"""What can undo work happens in two steps: a preview and its token, then the act. This is the terminal's way through.

A preview grows stale when anything that it named has changed; then there is a new one, and a person is asked again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sidecar.model.errors import SidecarError

if TYPE_CHECKING:
    from sidecar.cli.connect import Caller

Preview = dict[str, Any]
Approve = Callable[[Preview], Awaitable[bool]]
"""Shows a preview, and says whether to act on it."""
RENEWALS = 2
"""How often a preview that has grown stale is shown anew."""


async def perform(
    client: Caller, tool: str, arguments: dict[str, Any], approve: Approve
) -> tuple[dict[str, Any], bool]:
    """Calls a tool of two steps, and acts on its preview where `approve` says so.

    Args:
        client: the sidecar.
        tool: its name.
        arguments: its input; with a `token` it acts at once, and only a stale one is asked about.
        approve: decides on each preview.

    Returns:
        The answer of the act and True; the last preview, with its token, and False where it was not approved.

    Raises:
        SidecarError: as the tool answered; `stale-token` where things moved after each of the previews.
    """
    asked = {name: value for name, value in arguments.items() if name != "token"}
    stale: SidecarError | None = None
    try:
        answer = await client.call(tool, arguments)
    except SidecarError as exc:
        answer, stale = _renewed(exc), exc
    for _ in range(1 + RENEWALS):
        if not is_preview(answer):
            return answer, True
        if not await approve(answer["preview"]):
            return answer, False
        try:
            return await client.call(tool, {**asked, "token": answer["token"]}), True
        except SidecarError as exc:
            answer, stale = _renewed(exc), exc
    assert stale is not None, "only a stale token leads here"
    raise stale


def is_preview(answer: dict[str, Any]) -> bool:
    """Whether an answer of a tool of two steps is its first step."""
    return "preview" in answer and "token" in answer


def _renewed(error: SidecarError) -> dict[str, Any]:
    """The new preview that a stale token is answered with; any other error goes on."""
    if error.kind != "stale-token" or not is_preview(error.details):
        raise error
    return {"preview": error.details["preview"], "token": error.details["token"]}
