"""How an attempt that ended by itself did: `done`, or `failed` and why.

Codex exits with 0 whenever the model ends its turn, says what went wrong in prose only, and dies of a signal without
a word; this puts the three together.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
from typing import Any, Literal

from sidecar.model.errors import ErrorKind
from sidecar.model.job import JobError
from sidecar.worker.stream import StreamParser

Verdict = tuple[Literal["done", "failed"], "JobError | None"]

_MESSAGE_CHARS = 1_000
_STDERR_CHARS = 4_000

# Of the known texts the first that is found decides. They are Codex's own, in lower case.
_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"401 unauthorized|not logged in|missing bearer|invalid api key|incorrect api key|token.{0,20}expired"
        r"|sign in again|refresh token",
        "Log in with `codex login`, or set the API key that its configuration names; then spawn the job again.",
    ),
    (
        r"usage limit|quota exceeded|insufficient_quota|out of credits",
        "The account's limit is reached: wait for the time that the message names or add credits, then spawn the job "
        "again or go on with codex_resume.",
    ),
    (
        r"429 too many requests|rate limit",
        "The provider is limiting requests: run fewer workers at once (limits.read, limits.write) and resume the job.",
    ),
    (r"403 forbidden", "The account may not use this model or service; choose another `model` or log in otherwise."),
    (
        r"context window|context length|input exceeds|too large",
        "Split the task into smaller ones, or spawn it anew instead of resuming a long conversation.",
    ),
    (
        r"not inside a trusted directory",
        "Run the worker in a Git repository, or trust the directory in Codex once with `codex exec --trust`.",
    ),
    (
        r"connection failed|connection refused|error sending request|dns error|network is unreachable",
        "The model's provider cannot be reached: check the network, the proxy and the provider's base_url.",
    ),
    (
        r"error loading config|failed to parse|unknown configuration|invalid transport|model provider .* not found",
        "Correct Codex's config.toml, the settings codex.extraArgs or the job's `config`.",
    ),
    (r"required mcp servers failed", "Correct that MCP server in Codex's config.toml, or disable it for workers."),
    (r"unexpected argument|invalid value|cannot be used with", "Check the setting codex.extraArgs."),
    (r"no rollout found|no saved session", "That conversation is gone; spawn the job anew."),
    (r"high demand|500 internal|503 service|502 bad gateway|overloaded", "The provider has a fault; resume it later."),
    (
        r"stream disconnected|stream closed|idle timeout",
        "The connection to the model broke; codex_resume goes on in its conversation.",
    ),
    (
        r"400 bad request|invalid_request|unsupported|refused the request",
        "The provider refused the request: check `model`, `reasoningEffort` and `config`.",
    ),
)
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), hint) for pattern, hint in _HINTS)

SANDBOX_HINT = (
    "Codex's sandbox needs user namespaces: allow them (sysctl user.max_user_namespaces, "
    "kernel.apparmor_restrict_unprivileged_userns=0; for a container the seccomp and AppArmor options), or spawn the "
    "job with sandbox `danger-full-access` where the machine itself is the sandbox. codex_doctor checks it."
)
_NOISE = re.compile(
    r"^(Reading (additional input|prompt) from stdin|warning: Untrusted project-local|WARNING: proceeding"
    r"|.* failed to record rollout items|Stack backtrace|\s+\d+: |\s+at /|Usage: |\s+codex exec |For more information)"
)
_PREFIX = re.compile(r"^Error: (?:(?:thread|turn)/\w+: )?(?:(?:thread|turn)/\w+ failed: )?(?:error creating thread: )?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def judge(tracker: StreamParser, *, exit_code: int | None, stderr_tail: str) -> Verdict:
    """Decides about an attempt that nobody stopped.

    Args:
        tracker: had every line of its output.
        exit_code: negative for a signal; None where it is not known.
        stderr_tail: the last part of its stderr.
    """
    if tracker.sandbox_broken:
        return _failed(
            tracker,
            "Codex's sandbox did not start a single command of this worker, so it could do nothing.",
            exit_code,
            stderr_tail,
            hint=SANDBOX_HINT,
            kind="sandbox-unavailable",
        )
    if exit_code is None:
        return _failed(tracker, "The worker's exit was not seen.", exit_code, stderr_tail)
    if exit_code < 0:
        hint = "It was killed from outside, for instance by the system when memory ran out; codex_resume goes on."
        message = f"The worker was killed by {signal_name(-exit_code)} from outside."
        return _failed(tracker, message, exit_code, stderr_tail, hint=hint)
    if tracker.turn == "failed":
        return _failed(tracker, tracker.last_error or "Codex ended the turn as failed.", exit_code, stderr_tail)
    if exit_code != 0:
        reason = (tracker.last_error if tracker.turn == "open" else None) or reason_of(stderr_tail)
        when = "in the middle of its turn" if tracker.thread_id else "before it began"
        message = reason or f"Codex ended {when} with exit code {exit_code} and did not say why."
        return _failed(tracker, message, exit_code, stderr_tail)
    if tracker.turn == "open":
        reason = tracker.last_error or reason_of(stderr_tail)
        message = "The worker's output ended early: Codex exited with 0 but did not complete its turn."
        return _failed(tracker, f"{message} {reason}".strip(), exit_code, stderr_tail)
    return "done", None


def _failed(
    tracker: StreamParser,
    message: str,
    exit_code: int | None,
    stderr_tail: str,
    *,
    hint: str = "",
    kind: ErrorKind = "codex-failed",
) -> Verdict:
    message = plain(_readable(message))
    if not hint:
        hint = hint_for(message) or "The job's events say what it did; codex_doctor checks the set-up."
    details: dict[str, Any] = {"exitCode": exit_code, "turn": tracker.turn}
    if tracker.last_error:
        details["lastError"] = plain(tracker.last_error)
    if stderr_tail.strip():
        details["stderr"] = stderr_tail[-_STDERR_CHARS:]
    return "failed", JobError(kind, message, hint, details)


def _readable(message: str) -> str:
    """The sentence in what a provider answered; Codex hands a refused request's JSON on as it came."""
    if message.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):  # Only looks like JSON: shown as it is.
            value = json.loads(message)
            error = value.get("error", value)
            text = error.get("message") if isinstance(error, dict) else error
            if isinstance(text, str) and text.strip():
                return f"The provider refused the request: {text}"
    return _PREFIX.sub("", message)


def hint_for(message: str) -> str:
    """The remedy for a text that is known; empty for others."""
    return next((hint for pattern, hint in _PATTERNS if pattern.search(message)), "")


def reason_of(stderr: str) -> str:
    """The part of Codex's stderr that says why it failed, in one line; empty where nothing does."""
    lines = [line.rstrip() for line in _COLOUR.sub("", stderr).splitlines()]
    said = [line for line in lines if line.strip() and not _NOISE.match(line)]
    for index, line in enumerate(said):
        if re.match(r"error\b", line, re.IGNORECASE):
            return plain(_PREFIX.sub("", " ".join(said[index : index + 2])))
    return plain(" ".join(said[-2:]))


def plain(text: str) -> str:
    """One line without control characters, at most 1,000 characters: errors are shown in terminals."""
    shown = " ".join(_CONTROL.sub(" ", _COLOUR.sub("", text[: 4 * _MESSAGE_CHARS])).split())
    return shown if len(shown) <= _MESSAGE_CHARS else shown[: _MESSAGE_CHARS - 1] + "…"


def signal_name(number: int) -> str:
    """`SIGKILL` of 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
