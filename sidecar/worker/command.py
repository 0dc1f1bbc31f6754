"""How a worker is called: arguments, environment, and the files that its attempt needs.

The order of the arguments decides who wins. What the user's settings add comes first, then the job's `config`, then
what the contract needs; of several `-c` Codex takes the last. Options of `codex exec` that stand before its
subcommand `resume` hold for that, too, although `codex exec resume` knows few of them itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.model.errors import SidecarError, invalid
from sidecar.model.job import Job
from sidecar.worker.config_check import VALUE_BYTES
from sidecar.worker.toml_text import to_toml
from sidecar.worker.user_config import Orchestrator

LAST_MESSAGE = "last-message.txt"
SCHEMA = "report-schema.json"
OWN_PREFIX = "CODEX_SIDECAR_"

_OWNED = {"-s": 1, "--sandbox": 1, "-C": 1, "--cd": 1, "-o": 1, "--output-last-message": 1, "--output-schema": 1,
          "--json": 0, "--skip-git-repo-check": 0}  # fmt: skip
"""Options that the sidecar sets itself, with the number of their values: a second one would be an error in Codex."""
_MODEL = ("-m", "--model")
_REFUSED = {
    "--dangerously-bypass-approvals-and-sandbox": "the sandbox of a worker is chosen by the spawn",
    "--yolo": "the sandbox of a worker is chosen by the spawn",
    "--full-auto": "the sandbox of a worker is chosen by the spawn",
    "--approve-for-me": "nobody is there to approve anything",
    "--worktree": "workers share the work tree",
    "--": "what follows would be taken for a prompt",
    "-": "the prompt is the job's",
}
_SETTING = "codexSidecar.codex.extraArgs"


@dataclass(frozen=True)
class Invocation:
    """How the worker's process is started. The prompt comes by standard input."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str


def build_argv(
    job: Job,
    *,
    program: Sequence[str],
    extra_args: Sequence[str],
    files: Path,
    top: str,
    tmpdir: Path,
    instructions: str,
    orchestrators: Sequence[Orchestrator] = (),
) -> tuple[str, ...]:
    """The whole command line.

    Args:
        program: Codex and its leading arguments.
        extra_args: the setting `codex.extraArgs`.
        files: an empty directory of the attempt; the schema lies in it and the last message will.
        top: the repository's top level.
        tmpdir: the job's own temporary directory.
        instructions: the text of `developer_instructions`.
        orchestrators: MCP servers of the user's configuration that this worker must not get.

    Raises:
        SidecarError: `invalid-arguments` for a setting that would break the contract, `limit-reached` for developer
            instructions that are too long for a command line.
    """
    if len(instructions.encode()) > VALUE_BYTES:
        raise SidecarError(
            "limit-reached",
            f"developer_instructions in Codex's configuration are longer than {VALUE_BYTES} bytes with the contract.",
            "Move most of them to AGENTS.md.",
        )
    directory = job.working_directory
    argv = [*program, "exec", *filter_extra_args(extra_args, drop_model=job.model is not None)]
    argv += ["--json", "--skip-git-repo-check", "-s", job.sandbox, "-C", directory]
    argv += ["--output-schema", str(files / SCHEMA), "-o", str(files / LAST_MESSAGE)]
    if job.model is not None:
        argv += ["-m", job.model]
    # A provider that cannot be reached would be asked for ever.
    settings: list[tuple[str, Any]] = [("features.unbounded_connection_retries", False)]
    settings += list(job.config.items())
    if job.reasoning_effort is not None:
        settings.append(("model_reasoning_effort", job.reasoning_effort))
    if job.sandbox == "workspace-write":
        # /tmp is everybody's; TMPDIR is this job's alone and stays writable.
        settings.append(("sandbox_workspace_write.exclude_slash_tmp", True))
        settings.append(("sandbox_workspace_write.exclude_tmpdir_env_var", True))
        argv += ["--add-dir", str(tmpdir)]
        if os.path.realpath(directory) != os.path.realpath(top):
            argv += ["--add-dir", top]
    settings += [("agents.enabled", False), ("developer_instructions", instructions)]
    for server in orchestrators:
        # With its transport it can be disabled even where Codex does not load the file that lists it.
        if server.transport is not None:
            settings.append((f"mcp_servers.{server.name}.{server.transport[0]}", server.transport[1]))
        settings.append((f"mcp_servers.{server.name}.enabled", False))
    for key, value in settings:
        argv += ["-c", f"{key}={to_toml(value)}"]
    if job.resume_thread is not None:
        argv += ["resume", job.resume_thread]
    return (*argv, "-")


def filter_extra_args(arguments: Sequence[str], *, drop_model: bool) -> list[str]:
    """The user's arguments without those that the sidecar gives itself.

    Raises:
        SidecarError: `invalid-arguments` for one that would break the contract.
    """
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, inline = argument, False
        if argument.startswith("--"):
            name, mark, _ = argument.partition("=")
            inline = bool(mark)
        elif argument.startswith("-") and len(argument) > 2:
            name, inline = argument[:2], True
        if name in _REFUSED:
            raise invalid(_SETTING, f"`{name}` may not be given: {_REFUSED[name]}", "Remove it from the setting.")
        values = _OWNED.get(name, 1 if drop_model and name in _MODEL else None)
        if values is None:
            kept.append(argument)
        elif values and not inline:
            next(rest, None)
    return kept


def build_env(env: Mapping[str, str], tmpdir: Path) -> dict[str, str]:
    """The worker's environment: the front end's, with the job's TMPDIR and without what only concerns the sidecar."""
    kept = {name: value for name, value in env.items() if not name.startswith(OWN_PREFIX)}
    return {**kept, "TMPDIR": str(tmpdir)}


def write_files(files: Path, schema: Mapping[str, Any]) -> None:
    """Writes the report schema, and an empty last message for Codex to write into; both 0600. Blocks.

    Codex makes the file of its option `-o` as the umask of the worker says, which is the person's, for their work tree;
    one that is there keeps its mode. Empty it says what no file would: there is no last message.

    Raises:
        OSError: they could not be written.
    """
    for name, data in ((SCHEMA, json.dumps(schema).encode()), (LAST_MESSAGE, b"")):
        (files / name).unlink(missing_ok=True)  # Of an attempt that was prepared before.
        fd = os.open(files / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
