"""A referee of workers' scripts that follows a repository's jobs by itself, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecar.demo import referee
from sidecar.model.errors import SidecarError
from sidecar.service import launch
from sidecar.service.place import find_place
from tests.support.raw import Raw


class Referee(referee.Referee):
    """Looks for as long as it is entered, at whichever sidecar serves the repository."""

    def __init__(self, repo: Path, directory: Path) -> None:
        super().__init__(directory)
        self._repo = repo
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="referee")

    def __enter__(self) -> Referee:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            # No sidecar runs yet or any more, or it ends; a script that waits in vain fails its test.
            with contextlib.suppress(OSError, SidecarError, _Ended), self._connected() as raw:

                async def call(tool: str, arguments: dict[str, Any], raw: Raw = raw) -> dict[str, Any]:
                    return _answer(raw.ask({"id": 1, "tool": tool, "arguments": arguments}))

                while not self._stop.wait(0.05):
                    asyncio.run(self.look(call))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Raw]:
        place = find_place(str(self._repo))
        connection = None if place is None else launch.connect(place, "cli", start=False)
        if connection is None:
            raise _Ended
        with Raw(connection.sock) as raw:
            yield raw


class _Ended(Exception):
    """The sidecar is gone, or about to go."""


def _answer(answer: dict[str, Any] | None) -> dict[str, Any]:
    if answer is None or "result" not in answer:
        raise _Ended
    return dict(answer["result"])
