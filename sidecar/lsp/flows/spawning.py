"""Spawning workers: from a task that is typed, from a selection, or from the headings of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pygls.exceptions import JsonRpcException

from sidecar.lsp.flows import texts
from sidecar.lsp.flows.flow import Flow
from sidecar.lsp.flows.primitives import IconButton, Item, Pressed
from sidecar.model import limits
from sidecar.model.errors import SidecarError

IN_EDITOR = IconButton("editor", "edit", texts.IN_EDITOR)
_HEADING = re.compile(r"^## +(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


async def spawn(flow: Flow) -> None:
    """Task, then sandbox; or a file to write the task in."""
    task = await flow.ask.input(texts.SPAWN_1, placeholder=texts.TASK, button=IN_EDITOR)
    if isinstance(task, Pressed):
        await flow.ask.untitled("markdown", texts.TASK_FILE)
    elif task is not None and task.strip():
        await _spawn(flow, task)


async def spawn_from_selection(flow: Flow) -> None:
    """Like `spawn`, for the selected lines: the worker is told where they are, and what they were."""
    place = selection_of(flow)
    if place is None:
        await flow.ask.toast("info", texts.NO_SELECTION)
        return
    path, first, last, selected = place
    value = f"{path}:{first}-{last}: " if first != last else f"{path}:{first}: "
    task = await flow.ask.input(texts.SPAWN_1, placeholder=texts.TASK, value=value, button=IN_EDITOR)
    about = texts.selection(path, first, last, selected, flow.editor.language_id)
    if isinstance(task, Pressed):
        await flow.ask.untitled("markdown", f"{texts.TASK_FILE}{about}")
    elif task is not None and task.strip():
        await _spawn(flow, f"{task.strip()}\n\n{about}")


def selection_of(flow: Flow) -> tuple[str, int, int, str] | None:
    """Path, first and last line (from 1) and text of what is selected; None where nothing is."""
    editor = flow.editor
    if editor.uri is None or not editor.selection:
        return None
    path = flow.desk.paths.relative(editor.uri) or editor.uri
    # A selection that ends before the first character of a line does not hold that line.
    last = editor.end_line - (editor.selection.endswith("\n") and editor.end_line > editor.line)
    return path, editor.line + 1, last + 1, editor.selection


async def spawn_from_file(flow: Flow) -> None:
    """One worker for each heading of level 2 of the file that is open; those that are ticked."""
    found = tasks_of(flow.editor.text or "")[: limits.GROUP_JOBS]
    if not found:
        await flow.ask.toast("info", texts.NO_TASK)
        return
    if len(found) > 1:
        items = [Item(str(at), title, None, _first_line(body), True) for at, (title, body) in enumerate(found)]
        ticked = await flow.ask.pick_many(texts.from_file(len(found)), items)
        if not ticked:
            return
        found = [found[int(at)] for at in ticked]
    sandbox = await _sandbox(flow)
    model = await _model(flow) if sandbox is not None else None
    if sandbox is None or model is None:
        return
    entries = [{"prompt": _prompt(title, body), "sandbox": sandbox, **model} for title, body in found]
    await _spawn_group(flow, [title for title, _ in found], entries)


def tasks_of(text: str) -> list[tuple[str, str]]:
    """Title and body of each task: what stands below a heading of level 2, or else the whole text.

    A heading inside a fenced block is a line of code; a comment is no part of a task.
    """
    found: list[tuple[str, list[str]]] = []
    before: list[str] = []
    fence: str | None = None
    for line in _COMMENT.sub("", text).splitlines():
        mark = _FENCE.match(line)
        if mark is not None:
            fence = mark[1] if fence is None else None if mark[1].startswith(fence) else fence
        heading = _HEADING.match(line) if fence is None and mark is None else None
        if heading is not None:
            found.append((heading[1], []))
        else:
            (found[-1][1] if found else before).append(line)
    if found:
        return [(title, "\n".join(body).strip()) for title, body in found]
    whole = [line for line in before if line.strip() != "# Task"]
    body = "\n".join(whole).strip()
    return [(_first_line(body), body)] if body else []


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _prompt(title: str, body: str) -> str:
    return body if not body or body.startswith(title) else f"{title}\n\n{body}"


async def _sandbox(flow: Flow) -> str | None:
    wanted = flow.settings.spawn.default_mode
    if wanted != "ask":
        return wanted
    slots = flow.desk.core.state()["limits"]

    def free(kind: str) -> str | None:
        return texts.free_slots(kind, **slots[kind]) if kind in slots else None

    items = [
        Item("workspace-write", f"$(edit) {texts.CAN_EDIT}", "workspace-write", free("write")),
        Item("read-only", f"$(eye) {texts.READ_ONLY}", "read-only", free("read")),
    ]
    return await flow.ask.pick(texts.SPAWN_2, items)


async def _spawn(flow: Flow, prompt: str) -> None:
    sandbox = await _sandbox(flow)
    if sandbox is None:
        return
    model = await _model(flow)
    if model is not None:
        await spawn_on(flow, {"prompt": prompt, "sandbox": sandbox, **model})


async def _model(flow: Flow) -> dict[str, str] | None:
    """The field `model`, where one is wanted; None where the question was dismissed."""
    if not flow.settings.spawn.ask_for_model:
        return {}
    model = await flow.ask.input(texts.MODEL, placeholder=texts.MODEL_DEFAULT, prompt=texts.MODEL_PROMPT)
    if not isinstance(model, str):
        return None
    return {"model": model.strip()} if model.strip() else {}


async def spawn_on(flow: Flow, asked: Mapping[str, Any]) -> None:
    """Spawns; uncommitted changes are asked about where the setting is to refuse them."""
    try:
        await flow.tool("codex_spawn", **asked)
    except SidecarError as exc:
        if exc.kind != "dirty-tree":
            raise
        taken = await _takes_dirty(flow, exc.details)
        if taken is not None:
            await flow.tool("codex_spawn", **{**asked, "onDirty": "snapshot"})
            await _remember(flow, taken)


async def _takes_dirty(flow: Flow, details: Mapping[str, Any]) -> Literal["once", "always"] | None:
    """Whether the uncommitted changes are to be the baseline; *Remember my choice* is switched on and off before."""
    remember = False
    while True:
        items = [
            Item("snapshot", texts.SNAPSHOT_BASELINE, None, texts.SNAPSHOT_DETAIL),
            Item("show", texts.SHOW_CHANGES),
            Item("remember", texts.remember(remember), None, texts.REMEMBER_DETAIL),
        ]
        chosen = await flow.ask.pick(texts.dirty(int(details.get("count", 0))), items)
        if chosen != "remember":
            break
        remember = not remember
    if chosen == "show":
        await flow.ask.view("scm")
    if chosen != "snapshot":
        return None
    return "always" if remember else "once"


async def _remember(flow: Flow, taken: Literal["once", "always"]) -> None:
    """Writes the setting that answers the question from now on; comes last, as a message may stand for long."""
    if taken == "always":
        try:
            await flow.ask.setting(texts.DIRTY_TREE, "snapshot", "user")
        except JsonRpcException as exc:
            await flow.ask.toast("warning", texts.not_remembered(exc.message))


async def _spawn_group(flow: Flow, titles: list[str], entries: list[dict[str, Any]]) -> None:
    """All entries; one that failed does not keep the others, and those that met uncommitted changes are asked for."""
    answer = await flow.tool("codex_spawn_group", jobs=entries)
    results = answer["results"]
    stopped = [at for at, one in enumerate(results) if one.get("error", {}).get("kind") == "dirty-tree"]
    taken = await _takes_dirty(flow, results[stopped[0]]["error"]["details"]) if stopped else None
    if taken is not None:
        again = await flow.tool("codex_spawn_group", jobs=[{**entries[at], "onDirty": "snapshot"} for at in stopped])
        for at, one in zip(stopped, again["results"], strict=True):
            results[at] = one
        stopped = []
    # Who was asked about uncommitted changes and said no has been told.
    failed = [
        (titles[at], f"{one['error']['message']} {one['error']['hint']}".strip())
        for at, one in enumerate(results)
        if "error" in one and at not in stopped
    ]
    if failed:
        await flow.ask.toast("warning", texts.group_failed(failed, sum("error" not in one for one in results)))
    if taken is not None:
        await _remember(flow, taken)
