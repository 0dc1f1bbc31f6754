"""The tree by keyboard only, and what in it needs a person next."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from sidecar.lsp.flows import conflicts, documents, texts
from sidecar.lsp.flows.flow import Flow
from sidecar.lsp.flows.primitives import Item
from sidecar.lsp.view import rows
from sidecar.lsp.view.shapes import Facts
from sidecar.lsp.view.shapes import Job as ShownJob

Row = dict[str, Any]

_OPEN: Mapping[str, Callable[[Flow], Awaitable[None]]] = {
    "openConflict": conflicts.open_conflict,
    "openTranscript": documents.open_transcript,
    "showCommit": documents.show_commit,
}
"""What a click on a row does, for the rows of groups."""


def _tree(flow: Flow) -> tuple[list[str], dict[str, Row]]:
    """The groups in order, and every row by its id, as the client draws them."""
    state = flow.desk.core.state()
    if flow.desk.view is not None:
        drawn = flow.desk.view.draw(state)
        roots, made = drawn["summary"]["roots"], drawn["rows"]
    else:
        jobs = msgspec.convert(state["jobs"], list[ShownJob])
        roots, found = rows.tree(
            Facts(jobs=jobs, run=state["run"], conflicts=flow.desk.findings.conflicts(), now=time.time())
        )
        made = msgspec.to_builtins(found)
    return roots, {row["id"]: row for row in made}


async def show_status(flow: Flow) -> None:
    """All workers and conflicts as a list; Enter does what a click on the row does."""
    roots, found = _tree(flow)
    shown = [(found[root], found[name]) for root in roots for name in found[root].get("children", ())]
    if not shown:
        await flow.ask.toast("info", texts.NO_WORKERS)
        return
    items = [
        Item(
            row["id"],
            f"$({row['icon']}) {row['label']}" if row.get("icon") else row["label"],
            row["description"] or None,
            group["label"],
        )
        for group, row in shown
    ]
    chosen = await flow.ask.pick(texts.STATUS, items)
    if chosen is not None:
        await _open(flow, found[chosen])


async def next_attention(flow: Flow) -> None:
    """The first row that needs a person, then the one after it, and so round."""
    _, found = _tree(flow)
    names = [name for name in found.get("group:attention", {}).get("children", ()) if found[name].get("command")]
    if not names:
        await flow.ask.toast("info", texts.NO_ATTENTION)
        return
    last = flow.desk.last_attention
    at = names.index(last) + 1 if last in names else 0
    flow.desk.last_attention = names[at % len(names)]
    await _open(flow, found[flow.desk.last_attention])


async def _open(flow: Flow, row: Row) -> None:
    run = _OPEN.get(row.get("command", ""))
    if run is not None:
        await run(Flow(flow.desk, row.get("target", {}), flow.editor))
