"""The lasting memory of jobs and runs: SQLite in WAL mode, one writer thread.

Every call returns only when its change is on disk (`synchronous=FULL`). Events are not in here; they stay in the
attempt's spool. Rows hold the record as JSON beside the few columns that are searched by.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sidecar.model.errors import SidecarError
from sidecar.model.job import Job, Run

logger = logging.getLogger(__name__)
T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT OR IGNORE INTO meta VALUES ('schema', '1');
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    final INTEGER NOT NULL,
    run_id TEXT,
    data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS jobs_unfinished ON jobs (number) WHERE final = 0;
CREATE INDEX IF NOT EXISTS jobs_run ON jobs (run_id) WHERE run_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    closed INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS facts_run ON facts (run_id, kind);
CREATE INDEX IF NOT EXISTS runs_open ON runs (number) WHERE closed = 0;
"""


class Journal:
    """Jobs and runs of one work tree. All methods may be called from the event loop; none blocks it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Opens or makes the database (0600).

        Raises:
            SidecarError: `state-unavailable`; the file is left as it is.
        """
        await self._run(self._open)

    def _open(self) -> None:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    async def close(self) -> None:
        """Waits for what is under way and closes the database."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            # A caller that is cancelled must not leave a half-known transition: the thread finishes it either way.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except (sqlite3.Error, OSError) as exc:
            logger.error("journal: %s", exc)
            raise SidecarError(
                "state-unavailable",
                f"The job journal {self.path} cannot be used ({exc}).",
                "Free disk space or make the directory writable, then try again; jobs that run are not affected.",
                {"path": str(self.path)},
            ) from exc

    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the journal is closed")
        return self._connection

    async def save(self, *records: Job | Run) -> None:
        """Inserts or replaces all records in one transaction.

        Raises:
            SidecarError: `state-unavailable`; none of them was changed.
        """
        rows = [(record, msgspec.json.encode(record)) for record in records]

        def work() -> None:
            db = self._db()
            db.execute("BEGIN IMMEDIATE")
            try:
                for record, data in rows:
                    if isinstance(record, Job):
                        db.execute(
                            "INSERT INTO jobs (number, job_id, status, final, run_id, data) VALUES (?, ?, ?, ?, ?, ?) "
                            "ON CONFLICT (job_id) DO UPDATE SET status = excluded.status, final = excluded.final, "
                            "run_id = excluded.run_id, data = excluded.data",
                            (record.number, record.job_id, record.status, record.is_final, record.run_id, data),
                        )
                    else:
                        db.execute(
                            "INSERT INTO runs (run_id, closed, data) VALUES (?, ?, ?) "
                            "ON CONFLICT (run_id) DO UPDATE SET closed = excluded.closed, data = excluded.data",
                            (record.run_id, record.closed_at is not None, data),
                        )
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # A full disk rolls back by itself; then there is none to do.
                    db.execute("ROLLBACK")
                raise

        await self._run(work)

    async def add_facts(self, run_id: str, facts: Sequence[tuple[str, str, bytes]]) -> None:
        """Adds what others keep with a run: (kind, key, data) each; all or none.

        Raises:
            SidecarError: `state-unavailable`; none was added.
        """
        rows = [(run_id, *fact) for fact in facts]

        def work() -> None:
            db = self._db()
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany("INSERT INTO facts (run_id, kind, key, data) VALUES (?, ?, ?, ?)", rows)
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # A full disk rolls back by itself; then there is none to do.
                    db.execute("ROLLBACK")
                raise

        await self._run(work)

    async def facts(self, run_id: str, kind: str) -> list[tuple[str, bytes]]:
        """What was added for a run: (key, data) in the order of adding."""
        rows = await self._rows(
            "SELECT key, data FROM facts WHERE run_id = ? AND kind = ? ORDER BY number", run_id, kind
        )
        return [(str(key), bytes(data)) for key, data in rows]

    async def run(self, run_id: str) -> Run | None:
        """The run with this id, open or closed."""
        rows = await self._rows("SELECT data FROM runs WHERE run_id = ?", run_id)
        return msgspec.json.decode(rows[0][0], type=Run) if rows else None

    async def _rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        return await self._run(lambda: self._db().execute(sql, args).fetchall())

    async def _jobs(self, sql: str, *args: object) -> list[Job]:
        return [msgspec.json.decode(row[0], type=Job) for row in await self._rows(sql, *args)]

    async def job(self, job_id: str) -> Job | None:
        """The job with this id, or None."""
        found = await self._jobs("SELECT data FROM jobs WHERE job_id = ?", job_id)
        return found[0] if found else None

    async def unfinished(self) -> list[Job]:
        """All jobs without a final status, in the order of their spawn."""
        return await self._jobs("SELECT data FROM jobs WHERE final = 0 ORDER BY number")

    async def recent(self, limit: int) -> list[Job]:
        """The newest `limit` jobs, oldest first."""
        return (await self._jobs("SELECT data FROM jobs ORDER BY number DESC LIMIT ?", limit))[::-1]

    async def since(self, number: int) -> list[Job]:
        """All jobs from this number on, in the order of their spawn."""
        return await self._jobs("SELECT data FROM jobs WHERE number >= ? ORDER BY number", number)

    async def of_run(self, run_id: str) -> list[Job]:
        """The write jobs of a run, in the order of their spawn."""
        return await self._jobs("SELECT data FROM jobs WHERE run_id = ? ORDER BY number", run_id)

    async def last_number(self) -> int:
        """The highest label number given so far, 0 without any."""
        return int((await self._rows("SELECT COALESCE(MAX(number), 0) FROM jobs"))[0][0])

    async def open_run(self) -> Run | None:
        """The run that is open, or None."""
        rows = await self._rows("SELECT data FROM runs WHERE closed = 0 ORDER BY number DESC LIMIT 1")
        return msgspec.json.decode(rows[0][0], type=Run) if rows else None
