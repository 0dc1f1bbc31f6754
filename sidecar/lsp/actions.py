"""What a person can do about a conflict, as code actions and code lenses.

Every command is a tool of the product, so that any client runs it. A tool that can undo work asks first: where the
client has dialogs of its own it gets the plain tool; otherwise the command carries `ask`, and the question is put by
the server (see `sidecar.lsp.asking`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from lsprotocol import types

from sidecar.a2 import messages
from sidecar.lsp.diagnostics import SOURCE
from sidecar.lsp.findings import in_order, places, stored
from sidecar.lsp.options import Ui
from sidecar.model.conflict import Conflict, ConflictJob, Strategy

ASK = "ask"
SHOW = "show"
TOP = "top"
"""Fields beside a tool's own arguments, for `sidecar.lsp.asking`."""
COMPARED_MAX = 3
"""Most workers whose versions are offered for comparison pair by pair."""


@dataclass(frozen=True)
class Choice:
    """One way on: what it says, and the command behind it."""

    title: str
    short: str | None
    """For a code lens; None where it has none."""
    command: str
    arguments: dict[str, Any]

    def as_command(self, top: str | None, *, short: bool = False) -> types.Command:
        """
        Args:
            top: told to a client that serves several repositories.
        """
        title = self.short if short and self.short else self.title
        told = self.arguments if top is None else {**self.arguments, TOP: top}
        return types.Command(title=title, command=self.command, arguments=[told])


def choices(conflict: Conflict, ui: Ui) -> list[Choice]:
    """All ways on, best first: merge, keep one version, compare, let a worker reconcile, do it again, leave it."""
    workers = in_order(conflict)
    versions = stored(conflict)
    found = _merge(conflict, versions, workers, ui)
    for job in versions:
        found.append(
            _resolve(conflict, "keep", messages.keep_action(job), ui, messages.lens_keep(job), jobId=job.job_id)
        )
    there = [] if _removed(conflict) else versions[:COMPARED_MAX]
    for one, other in combinations(there, 2):
        asked = {"conflictId": conflict.conflict_id, "jobIds": [one.job_id, other.job_id], SHOW: "compare"}
        short = messages.lens_compare() if len(versions) == 2 else None
        found.append(Choice(messages.compare_action(one, other), short, "codex_merge_inputs", asked))
    found.append(_resolve(conflict, "reconcile", messages.reconcile_action(workers), ui))
    found.append(_resolve(conflict, "rerun", messages.rerun_action(conflict.path, workers), ui))
    found.append(_resolve(conflict, "dismiss", messages.dismiss_action(), ui))
    return found


def _merge(conflict: Conflict, versions: list[ConflictJob], workers: list[ConflictJob], ui: Ui) -> list[Choice]:
    title, short = messages.merge_action(versions or workers), messages.lens_merge()
    if conflict.mergeable:
        return [_resolve(conflict, "merge", title, ui, short)]
    # Lines that do not merge by themselves need a person: a merge editor, or the file with markers for two versions.
    if len(versions) < 2 or _removed(conflict) or not (ui.merge_editor or (len(versions) == 2 and not ui.dialogs)):
        return []
    asked = {"conflictId": conflict.conflict_id, SHOW: "merge"}
    return [Choice(title, short, "codex_merge_inputs", asked)]


def _removed(conflict: Conflict) -> bool:
    """Whether a worker removed the file, so that there are no two texts."""
    return any(job.role == "deleted" for job in conflict.jobs)


def _resolve(
    conflict: Conflict, strategy: Strategy, title: str, ui: Ui, short: str | None = None, **more: str
) -> Choice:
    asked: dict[str, Any] = {"conflictId": conflict.conflict_id, "strategy": strategy, **more}
    if strategy != "dismiss" and not ui.dialogs:
        asked[ASK] = True
    return Choice(title, short, "codex_resolve", asked)


def title_of(conflict: Conflict, strategy: str, job_id: str | None) -> str | None:
    """What the button says that carries out a strategy: the action's title, without the dots of a question."""
    for choice in choices(conflict, Ui()):
        if choice.arguments.get("strategy") == strategy and choice.arguments.get("jobId") == job_id:
            return choice.title.removesuffix("...")
    return None


# Code actions ------------------------------------------------------------------------------------


def code_actions(
    params: types.CodeActionParams,
    conflicts: Sequence[Conflict],
    shown: Sequence[types.Diagnostic],
    ui: Ui,
    top: str,
    *,
    literals: bool,
) -> list[types.CodeAction | types.Command]:
    """The actions for a place in a file.

    Args:
        conflicts: those of the file.
        shown: what the client was told about the file; conflicts that it has not been told of have no actions.
        top: of the work tree.
        literals: the client takes code actions; else it gets the bare commands.
    """
    only = params.context.only
    if only is not None and not any("quickfix".startswith(kind) for kind in only):
        return []
    made: list[types.CodeAction | types.Command] = []
    for conflict in conflicts:
        problems = _problems_at(params, conflict, shown)
        if not problems:
            continue
        for number, choice in enumerate(choices(conflict, ui)):
            if not literals:
                made.append(choice.as_command(_told(top, ui)))
                continue
            preferred = number == 0 and bool(stored(conflict))
            made.append(
                types.CodeAction(
                    title=choice.title,
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=problems,
                    is_preferred=True if preferred else None,
                    command=choice.as_command(_told(top, ui)),
                )
            )
    return made


def _told(top: str, ui: Ui) -> str | None:
    """A client with one server for each repository must find the right one."""
    return top if ui.state else None


def _problems_at(
    params: types.CodeActionParams, conflict: Conflict, shown: Sequence[types.Diagnostic]
) -> list[types.Diagnostic]:
    """The client's own problems of this conflict at the place that it asks about."""
    named = [one for one in params.context.diagnostics if one.source == SOURCE and _id(one) == conflict.conflict_id]
    if named:
        return named
    return [one for one in shown if _id(one) == conflict.conflict_id and _touch(one.range, params.range)]


def _id(diagnostic: types.Diagnostic) -> object:
    """Whose problem it is; a client hands `data` back as it came."""
    data: Any = diagnostic.data
    if isinstance(data, dict):
        return data.get("conflictId")
    return getattr(data, "conflictId", None)


def _touch(one: types.Range, other: types.Range) -> bool:
    return _key(one.start) <= _key(other.end) and _key(other.start) <= _key(one.end)


def _key(position: types.Position) -> tuple[int, int]:
    return position.line, position.character


# Code lenses -------------------------------------------------------------------------------------


def code_lenses(conflicts: Sequence[Conflict], ui: Ui, top: str) -> list[types.CodeLens]:
    """What happened, and the ways on that have a short name: above the first line of the conflict.

    A client that draws the state has them above line 1, where a person begins who opens the file from the tree.
    """
    found: list[types.CodeLens] = []
    for conflict in conflicts:
        lines = [] if ui.state else places(conflict)
        start = types.Position(lines[0].start - 1 if lines else 0, 0)
        at = types.Range(start, start)
        # An editor that draws icons also shows a lens without a command as plain text.
        command = "" if ui.state else "codex_conflicts"
        told = types.Command(title=messages.lens(conflict, icons=ui.state), command=command, arguments=[])
        found.append(types.CodeLens(at, told))
        found += [
            types.CodeLens(at, one.as_command(_told(top, ui), short=True)) for one in choices(conflict, ui) if one.short
        ]
    return found
