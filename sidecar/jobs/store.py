"""Where the files of a job lie in the state directory, and the few that the manager itself reads and writes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from sidecar.jobs import attempt_files as files
from sidecar.jobs import durable
from sidecar.model.errors import SidecarError
from sidecar.model.job import Job

_ENV = "env.json"
_FINAL_MESSAGE = "final-message.txt"
STDERR_TAIL_BYTES = 16 * 1024


class JobStore:
    """Files below `<state directory>/jobs/<job id>/`. All methods block; directories are 0700, files 0600."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / "jobs"

    def directory(self, job_id: str) -> Path:
        """The job's directory."""
        return self._root / job_id

    def attempt(self, job: Job) -> Path:
        """The directory of the job's current attempt; the first one's before it was started."""
        return self.directory(job.job_id) / str(max(job.attempt, 1))

    def spool(self, job: Job) -> Path:
        return self.attempt(job) / files.SPOOL

    def own_events(self, job: Job) -> Path:
        return self.directory(job.job_id) / files.OWN_EVENTS

    def times(self, job: Job) -> Path:
        return self.directory(job.job_id) / files.TIMES

    def create(self, job: Job, prompt: str, env: Mapping[str, str]) -> None:
        """Makes the job's directory with its prompt and the environment of its front end.

        Raises:
            OSError: the caller removes nothing; a directory without a journal row is never looked at.
        """
        attempt = self.attempt(job)
        self._root.mkdir(mode=0o700, exist_ok=True)
        attempt.parent.mkdir(mode=0o700)
        attempt.mkdir(mode=0o700)
        durable.write_file(attempt / files.PROMPT, prompt.encode())
        durable.write_file(attempt.parent / _ENV, json.dumps(dict(env)).encode())

    def next_attempt(self, job: Job) -> None:
        """Makes the directory of `job.attempt` with the prompt of the attempt before, which never started."""
        before = self.directory(job.job_id) / str(job.attempt - 1)
        attempt = self.attempt(job)
        attempt.mkdir(mode=0o700, exist_ok=True)
        durable.write_file(attempt / files.PROMPT, (before / files.PROMPT).read_bytes())

    def prompt(self, job: Job) -> str:
        """The task as it was given."""
        return (self.attempt(job) / files.PROMPT).read_text("utf-8", "replace")

    def env(self, job: Job) -> dict[str, str]:
        """The environment of the front end that spawned the job; there until the job's end."""
        # The json module keeps surrogate escapes, which stand for bytes that are not UTF-8.
        loaded: dict[str, str] = json.loads((self.directory(job.job_id) / _ENV).read_bytes())
        return loaded

    def forget_env(self, job: Job) -> None:
        """Deletes the environment: it may hold secrets."""
        directory = self.directory(job.job_id)
        (directory / _ENV).unlink(missing_ok=True)
        for number in range(1, max(job.attempt, 1) + 1):
            durable.remove(directory / str(number) / files.SPEC)

    def forget_env_of_others(self, unfinished: set[str]) -> None:
        """Deletes every environment that belongs to none of these jobs, also one that was only half written."""
        with contextlib.suppress(FileNotFoundError):  # Before the first job there is no directory.
            for entry in os.scandir(self._root):
                if entry.name not in unfinished and entry.is_dir(follow_symlinks=False):
                    for name in os.listdir(entry.path):
                        if name == _ENV or name.startswith(durable.temporary_prefix(_ENV)):
                            (Path(entry.path) / name).unlink(missing_ok=True)

    def write_final_message(self, job: Job, text: str) -> None:
        """Keeps the worker's answer; not synced, since it can be read from the stream again."""
        data = text.encode("utf-8", "replace")
        durable.write_file(self.directory(job.job_id) / _FINAL_MESSAGE, data, sync=False)

    def final_message(self, job: Job) -> str | None:
        """The worker's answer as it was kept at its end, or None."""
        with contextlib.suppress(FileNotFoundError):  # Most jobs that failed early have none.
            return (self.directory(job.job_id) / _FINAL_MESSAGE).read_text("utf-8", "replace")
        return None

    def stderr_tail(self, job: Job) -> str:
        """The last part of the worker's stderr."""
        try:
            with (self.attempt(job) / files.STDERR).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - STDERR_TAIL_BYTES))
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def disk_refused(exc: OSError, path: Path) -> SidecarError:
    """The error for a state directory that cannot be written."""
    return SidecarError(
        "state-unavailable",
        f"{path} cannot be written ({os.strerror(exc.errno) if exc.errno else exc}).",
        "Free disk space or make the directory writable, then try again.",
        {"path": str(path)},
    )
