"""Every action of the palette by its name, and how one is run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pygls.exceptions import JsonRpcException

from sidecar.lsp.flows import attention, conflicts, documents, repair, setup, spawning, workers
from sidecar.lsp.flows.flow import Desk, Editor, Flow
from sidecar.model.errors import invalid
from sidecar.tools.schema import json_type

logger = logging.getLogger(__name__)

ACTIONS: Mapping[str, Callable[[Flow], Awaitable[None]]] = {
    "spawn": spawning.spawn,
    "spawnFromSelection": spawning.spawn_from_selection,
    "spawnFromFile": spawning.spawn_from_file,
    "cancel": workers.cancel,
    "forceCancel": workers.force_cancel,
    "cancelAll": workers.cancel_all,
    "waitAny": workers.wait_any,
    "rerun": workers.rerun,
    "resume": workers.resume,
    "rename": workers.rename,
    "copyPrompt": workers.copy_prompt,
    "copyJobId": workers.copy_job_id,
    "clearDone": workers.clear_done,
    "clearWorker": workers.clear_worker,
    "openTranscript": documents.open_transcript,
    "openResult": documents.open_result,
    "openChanges": documents.open_changes,
    "openAllChanges": documents.open_all_changes,
    "openFileChange": documents.open_file_change,
    "openFile": documents.open_file,
    "showCommit": documents.show_commit,
    "rollback": repair.roll_back,
    "rollbackWorker": repair.roll_back_worker,
    "rerunSequential": repair.rerun_sequential,
    "restoreSnapshot": repair.restore_snapshot,
    "openConflict": conflicts.open_conflict,
    "resolveConflict": conflicts.resolve_conflict,
    "merge": conflicts.merge,
    "finishMerge": conflicts.finish_merge,
    "keepVersion": conflicts.keep_version,
    "dismissConflict": conflicts.dismiss,
    "compare": conflicts.compare,
    "nextAttention": attention.next_attention,
    "showStatus": attention.show_status,
    "checkSetup": setup.check_setup,
    "signIn": setup.sign_in,
    "installBoss": setup.install_boss,
    "sampleConflict": setup.sample_conflict,
    "codex_resolve": conflicts.codex_resolve,
    "codex_merge_inputs": conflicts.codex_merge_inputs,
    "codex_rollback": repair.codex_rollback,
    "codex_rerun": repair.codex_rerun,
    "codex_restore": repair.restore_snapshot,
}
"""By the id of the palette's command, without its prefix, or by the name of the tool that a code action carries."""


async def act(desk: Desk, params: object) -> dict[str, Any]:
    """Runs one action to its end, which may be as far away as the person's answer to the last question.

    Args:
        params: `{action, target?, editor?}`.

    Raises:
        SidecarError: `invalid-arguments`, or what a tool of the action answered.
    """
    if not isinstance(params, dict):
        raise invalid("params", f"expected an object, got {json_type(params)}")
    name = params.get("action")
    run = ACTIONS.get(name) if isinstance(name, str) else None
    if run is None:
        raise invalid("action", f"no action is called {str(name)[:80]!r}", f"There are {', '.join(ACTIONS)}.")
    # A client may put what `finishMerge` needs beside the target.
    beside = {field: params[field] for field in ("text", "expectedHash") if field in params}
    target = {**beside, **_object(params.get("target"), "target")}
    try:
        await run(Flow(desk, target, _editor(_object(params.get("editor"), "editor"))))
    except JsonRpcException as exc:
        # A client need not know every primitive; what it does not know is the end of this conversation.
        logger.warning("the action %s ended: the client answered %s", name, exc.message)
    return {}


def _object(value: object, field: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(field, f"expected an object, got {json_type(value)}")
    return value


def _editor(found: Mapping[str, Any]) -> Editor:
    """What the client tells of the editor; what is of another type is left out."""

    def text(name: str) -> str | None:
        value = found.get(name)
        return value if isinstance(value, str) else None

    def number(name: str, otherwise: int) -> int:
        value = found.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise

    line = number("line", 0)
    return Editor(
        uri=text("uri"),
        line=line,
        end_line=max(line, number("endLine", line)),
        selection=text("selection"),
        text=text("text"),
        language_id=text("languageId"),
    )
