"""Exit codes of the program, decided in one place.

0 done, 1 a worker failed or a conflict is left open, 2 wrong use, 3 the environment lacks something.
"""

from __future__ import annotations

from sidecar.model.errors import ErrorKind

DONE = 0
WORKER_FAILED = 1
WRONG_USE = 2
ENVIRONMENT = 3
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
BROKEN_PIPE = 141
"""128 + SIGPIPE: nobody reads what is printed."""

_BY_KIND: dict[ErrorKind, int] = {
    "invalid-arguments": WRONG_USE,
    "unknown-job": WRONG_USE,
    "unknown-conflict": WRONG_USE,
    "unknown-snapshot": WRONG_USE,
    "stale-token": WRONG_USE,
    "codex-not-found": ENVIRONMENT,
    "not-a-repository": ENVIRONMENT,
    "sandbox-unavailable": ENVIRONMENT,
    "state-unavailable": ENVIRONMENT,
    # No worker ran, so none failed: what is missing is a clean tree, a free slot, a moment of rest. The message says
    # how to get it.
    "dirty-tree": ENVIRONMENT,
    "limit-reached": ENVIRONMENT,
    "busy": ENVIRONMENT,
    "codex-failed": WORKER_FAILED,
    "timed-out": WORKER_FAILED,
    "internal": WORKER_FAILED,
}

HELP = """\
exit codes:
  0    done; the workers that were asked about ended done, or still run
  1    a worker failed, was cancelled or interrupted (`result`, `wait-any`, `run`), or a conflict is left open
       (`conflicts`, `run`)
  2    wrong use: a bad flag, an unknown command or job
  3    the environment lacks something (Git, a repository, Codex, its sandbox, a clean tree); the message says what
  130  interrupted by Ctrl-C
`status`, `events` and `cancel` answer 0 whatever became of the job.
"""


def of_error(kind: ErrorKind) -> int:
    """The exit code that an error stands for."""
    return _BY_KIND[kind]


def of_job_status(status: str | None) -> int:
    """1 for a job that ended otherwise than `done`; 0 for one that is done or goes on."""
    return WORKER_FAILED if status in ("failed", "cancelled", "interrupted") else DONE
