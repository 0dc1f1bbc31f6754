"""The one error shape: `{kind, message, hint, details}`.

An expected failure is a `SidecarError`; whoever catches anything else reports it as `internal` and logs the rest.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

ErrorKind = Literal[
    "invalid-arguments",
    "unknown-job",
    "unknown-conflict",
    "unknown-snapshot",
    "dirty-tree",
    "not-a-repository",
    "codex-not-found",
    "codex-failed",
    "sandbox-unavailable",
    "timed-out",
    "limit-reached",
    "stale-token",
    "state-unavailable",
    "busy",
    "internal",
]
ERROR_KINDS: tuple[str, ...] = get_args(ErrorKind)


class SidecarError(Exception):
    """A failure that a client is told about.

    Args:
        kind: one of `ERROR_KINDS`.
        message: one sentence that names the field or the missing thing.
        hint: the remedy, one sentence; empty where there is none.
        details: JSON-ready facts (field names, paths, tokens).
    """

    def __init__(self, kind: ErrorKind, message: str, hint: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = details or {}

    def to_dict(self) -> dict[str, Any]:
        """The error as every front end sends it."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint, "details": self.details}

    def sentence(self) -> str:
        """Message and remedy in one line, for stderr and for `error.message` of protocols."""
        return f"{self.message} {self.hint}".strip()


def invalid(field: str, problem: str, hint: str = "", **details: Any) -> SidecarError:
    """An `invalid-arguments` error that names the field."""
    return SidecarError("invalid-arguments", f"{field}: {problem}", hint, {"field": field, **details})


def unknown_job(job_id: str) -> SidecarError:
    """An `unknown-job` error; the id is shown shortened, since a client sent it."""
    return SidecarError(
        "unknown-job",
        f"No job {job_id[:80]!r} is known in this repository.",
        "Use codex_status without arguments to list the jobs.",
        {"jobId": job_id[:200]},
    )


def internal(exc: BaseException) -> SidecarError:
    """What a client sees of an unexpected failure: its type, never a traceback."""
    return SidecarError(
        "internal",
        f"The sidecar failed unexpectedly ({type(exc).__name__}).",
        "The sidecar's log file has the details; codex_doctor names it.",
    )
