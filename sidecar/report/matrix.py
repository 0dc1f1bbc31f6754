"""Which worker touched which file: a table of files by workers, with the conflicts marked.

A cell says everything without colour: the letter is the change, its wrapping is how it is known, `!` is a conflict.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from sidecar.a2.messages import count, listed
from sidecar.model.job import TouchedFile
from sidecar.report.facts import Conflict, Report, Worker
from sidecar.report.html import Html, el, join, one_line
from sidecar.report.trouble import severity_class

LETTERS = {"added": "A", "modified": "M", "deleted": "D", "renamed": "R", "mode": "X"}
KNOWN = {"seen": "seen", "ambiguous": "maybe another's", "reported": "only reported"}
ONE_TABLE = 60
"""Up to so many files stand in one table; more are grouped by directory."""
OPEN_GROUPS = 3
EXPLAINED_CELLS = 5_000
"""Up to so many cells bear an explanation of their own; row and column headers say it anyway."""
SHOWN_FILES = 5_000
PATH_CHARS = 300
SHOWN_UNCLAIMED = 100


class Column(NamedTuple):
    """A worker that touched files, and its number on the page."""

    number: int
    worker: Worker
    files: dict[str, TouchedFile]


class Group(NamedTuple):
    name: str
    paths: list[str]


def matrix(report: Report) -> Html:
    """Legend, the table or tables, and what no worker accounts for."""
    columns = [
        Column(number, worker, {file.path: file for file in worker.files})
        for number, worker in enumerate(report.workers, 1)
        if worker.files
    ]
    conflicts = {conflict.path: (number, conflict) for number, conflict in enumerate(report.conflicts, 1)}
    paths = sorted({path for column in columns for path in column.files} | conflicts.keys(), key=_by_directory)
    if not paths:
        return join(el("p", "No worker touched a file.", class_="empty"), _unclaimed(report))
    shown = paths[:SHOWN_FILES]
    explained = sum(len(column.files) for column in columns) <= EXPLAINED_CELLS
    groups = _groups(shown)
    if len(groups) == 1:
        tables = [_table(groups[0].paths, columns, conflicts, explained, "", "Files by workers")]
    else:
        tables = [_group(group, columns, conflicts, explained, wanted=len(groups) <= OPEN_GROUPS) for group in groups]
    cut = f"{count(len(paths) - len(shown), 'more file')} are not shown." if len(paths) > len(shown) else None
    return join(
        _legend(report, columns),
        *tables,
        el("p", cut) if cut else None,
        _untouching(report, columns),
        _unclaimed(report),
    )


def _by_directory(path: str) -> tuple[str, str]:
    return posixpath.split(path)


def _groups(paths: Sequence[str]) -> list[Group]:
    """By directory; by the first part of the path where that gives too many groups."""
    if len(paths) <= ONE_TABLE:
        return [Group("", list(paths))]
    for depth in (99, 3, 2, 1):
        groups: dict[str, list[str]] = {}
        for path in paths:
            name = "/".join(path.split("/")[:-1][:depth])
            groups.setdefault(name, []).append(path)
        if len(groups) <= ONE_TABLE:
            break
    return [Group(name, groups[name]) for name in sorted(groups)]


# -- tables ---------------------------------------------------------------------------------------------------------

Conflicts = dict[str, tuple[int, Conflict]]


def _group(group: Group, columns: Sequence[Column], conflicts: Conflicts, explained: bool, *, wanted: bool) -> Html:
    """One directory, folded where nothing in it needs a look."""
    mine = [column for column in columns if any(path in column.files for path in group.paths)]
    troubled = sum(path in conflicts and conflicts[path][1].state != "settled" for path in group.paths)
    name = f"{one_line(group.name, PATH_CHARS)}/" if group.name else "top level"
    facts = f"{count(len(group.paths), 'file')}, {count(len(mine), 'worker')}"
    badge = el("span", f"! {count(troubled, 'conflict')}", class_="badge warning") if troubled else None
    prefix = f"{group.name}/" if group.name else ""
    table = _table(group.paths, mine, conflicts, explained, prefix, f"Files in {name} by workers")
    summary = el("summary", el("b", name), " ", el("span", facts, class_="quiet"), " ", badge)
    return el("details", summary, table, class_="group", open=bool(troubled) or wanted)


def _table(
    paths: Sequence[str], columns: Sequence[Column], conflicts: Conflicts, explained: bool, prefix: str, caption: str
) -> Html:
    heads = [
        el(
            "th",
            el("a", one_line(column.worker.label, 16), href=f"#worker-{column.number}"),
            scope="col",
            title=one_line(column.worker.title, 120),
        )
        for column in columns
    ]
    rows = []
    for path in paths:
        found = conflicts.get(path)
        involved = {worker.job_id for worker in found[1].workers} if found and found[1].state != "settled" else set()
        cells = [_cell(column, path, column.worker.job_id in involved, explained) for column in columns]
        rows.append(el("tr", _path(path, prefix, found), *cells))
    table = el(
        "table",
        el("caption", caption, class_="unseen"),
        el("thead", el("tr", el("th", "file", scope="col", class_="corner"), *heads)),
        el("tbody", *rows),
        class_="matrix",
    )
    return el("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _path(path: str, prefix: str, found: tuple[int, Conflict] | None) -> Html:
    shown = path.removeprefix(prefix)
    directory, name = posixpath.split(shown)
    parts = [el("span", f"{one_line(directory, PATH_CHARS)}/", class_="quiet")] if directory else []
    parts.append(Html(el("span", one_line(name, PATH_CHARS))))
    if found is not None:
        number, conflict = found
        kind = one_line(conflict.kind, 40)
        badge = f"{kind}, settled" if conflict.state == "settled" else f"! {kind}"
        parts.append(el("a", badge, href=f"#conflict-{number}", class_=f"badge {severity_class(conflict)}"))
    return el("th", el("bdi", *parts), scope="row", title=one_line(path, PATH_CHARS) if prefix else None)


def _cell(column: Column, path: str, in_conflict: bool, explained: bool) -> Html:
    file = column.files.get(path)
    if file is None:
        return el("td", "!", class_="x") if in_conflict else Html("<td></td>")
    sign = cell_sign(file)
    words = None
    if explained:
        words = f"{one_line(column.worker.label, 16)}: {file.change}, {KNOWN.get(file.attribution, file.attribution)}"
        words += ", in conflict" if in_conflict else ""
    return el("td", sign + ("!" if in_conflict else ""), class_=_cell_class(file, in_conflict), title=words)


def _cell_class(file: TouchedFile, in_conflict: bool) -> str:
    return {"seen": "s", "ambiguous": "a"}.get(file.attribution, "r") + (" x" if in_conflict else "")


def cell_sign(file: TouchedFile) -> str:
    """`M` seen, `M?` ambiguous, `(M)` only reported."""
    letter = LETTERS.get(file.change, "M")
    return {"seen": letter, "ambiguous": f"{letter}?"}.get(file.attribution, f"({letter})")


# -- around the tables ----------------------------------------------------------------------------------------------


def _legend(report: Report, columns: Sequence[Column]) -> Html:
    used = {file.change for column in columns for file in column.files.values()}
    letters = [
        el("li", el("b", letter), f" {'mode or type' if change == 'mode' else change}")
        for change, letter in LETTERS.items()
        if change in used or change in ("added", "modified", "deleted")
    ]
    ways = [("s", "M", "seen: this worker wrote it"), ("a", "M?", "ambiguous: it or another that ran then")]
    ways.append(("r", "(M)", "reported: only in its answer"))
    known = [el("li", el("span", sign, class_=f"key {class_}"), f" {words}") for class_, sign, words in ways]
    conflict = None
    if any(one.state != "settled" for one in report.conflicts):
        conflict = el("li", el("span", "M!", class_="key s x"), " in conflict")
    return el("ul", *letters, *known, conflict, class_="legend", aria_label="Signs of the table of files")


def _untouching(report: Report, columns: Sequence[Column]) -> Html | None:
    there = {column.number for column in columns}
    others = [worker.label for number, worker in enumerate(report.workers, 1) if number not in there]
    if not others:
        return None
    shown = [one_line(label, 16) for label in others[:20]]
    if len(others) > len(shown):
        shown.append(f"{len(others) - len(shown)} more")
    return el("p", f"No file touched by {listed(shown)}.", class_="quiet")


def _unclaimed(report: Report) -> Html | None:
    if not report.unclaimed:
        return None
    items = [el("li", el("bdi", one_line(path, PATH_CHARS))) for path in report.unclaimed[:SHOWN_UNCLAIMED]]
    more = len(report.unclaimed) - len(items)
    words = f"{count(len(report.unclaimed), 'file')} changed since the baseline that no worker accounts for"
    return el(
        "details",
        el("summary", words),
        el("ul", *items, el("li", f"… and {more} more") if more > 0 else None, class_="paths"),
        class_="group",
    )
