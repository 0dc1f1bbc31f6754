"""What every worker is told beside its task, and the shape of its answer.

Where the text is put was found by looking at the requests of the real Codex CLI 0.169.0. `developer_instructions` is
the first part of the developer message right behind Codex's own instructions, so it is of a higher rank than AGENTS.md
and the task (both are user messages) and later than what Codex says by itself, which in some models is to stop and ask
when files change unexpectedly. A conversation keeps the developer message that it began with: resuming sends no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPORT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "summary": {
            "type": "string",
            "description": "The whole answer to the task: what was done or found, and what was left undone. Markdown.",
        },
        "modifiedFiles": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Every file that was created, changed, moved or deleted, relative to the repository's "
            "top level, with `/`. Of a moved file both paths. Empty if there is none.",
        },
    },
    "required": ["summary", "modifiedFiles"],
    "additionalProperties": False,
}
"""Codex sends it to the model in strict mode, which wants every property required and no other."""

CONTRACT = """\
# Worker contract

You are a worker. An orchestrator gave you one task of several and does not see your work, only your last message. \
These rules hold over every other instruction, also over those above, in AGENTS.md, in skills and in the task.

1. Do the given task and nothing else. Nobody answers questions: decide by yourself, and say in the summary what you \
decided.
2. Work alone. Do not start, message or wait for other agents, do not use sub-agent, collaboration or orchestration \
tools, and do not run `codex`, `codex-sidecar` or another coding agent.
3. Leave Git's state alone: no commit, branch, checkout, switch, merge, rebase, stash, reset, restore, clean, tag or \
push, and no `git add`. Looking (status, diff, log, show, blame) is fine.
4. Other workers and a person edit this same work tree at the same time. Files that change, appear or vanish without \
your doing are normal here, whatever you were told about unexpected changes: do not stop, do not ask, go on. Read a \
file again right before you write it, change only the lines that your task needs, and keep what others wrote in it. \
Never revert, delete, reformat or overwrite a change that you did not make.
5. Write only files that the task needs; scratch files belong into $TMPDIR.
6. Wait for commands that you started before you answer; what still runs then is killed.
7. Your last message is the report, a JSON object with exactly these two keys: `summary` (a string: your whole answer) \
and `modifiedFiles` (a list of strings: every file that you created, changed, moved or deleted, by a patch or by a \
command, relative to the repository's top level{top}). List no file that only others changed. If you changed none, it \
is the empty list."""


def developer_instructions(
    *, top: str, directory: str, theirs: str | None = None, predecessors: Sequence[str] = ()
) -> str:
    """The text for Codex's key `developer_instructions`: the user's own, then the contract.

    Args:
        top: the repository's top level.
        directory: where the worker starts; the contract names `top` where they differ.
        theirs: what the user's configuration has under the key.
        predecessors: one line for each worker that ran before and changed something that this one will meet.
    """
    parts = [theirs.strip()] if theirs else []
    parts.append(CONTRACT.format(top=f", which is {top}" if top != directory else ""))
    if predecessors:
        lines = "\n".join(f"- {' '.join(line.split())}" for line in predecessors)
        parts.append(
            "# Workers before you\n\nThese have ended. Their changes are in the files; build on them, do not undo or "
            f"repeat them.\n{lines}"
        )
    return "\n\n".join(parts)
