"""The addresses of what can be read of a job: `codex-sidecar://jobs/<job id>/<view>`, and the rest of a long one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import quote, unquote

View = Literal["result", "transcript", "diff"]
VIEWS: tuple[View, ...] = ("result", "transcript", "diff")
SCHEME = "codex-sidecar"
_URI = re.compile(
    SCHEME + r"://jobs/(?P<job>[A-Za-z0-9_.~-]{1,128})/(?P<view>result|transcript|diff)"
    r"(?:\?from=(?P<start>[^&#\s]{1,512}))?"
)


@dataclass(frozen=True)
class Address:
    """One view of one job; `start`: where to go on, as an earlier part named it, None from the beginning."""

    job_id: str
    view: View
    start: str | None = None

    def __str__(self) -> str:
        rest = "" if self.start is None else f"?from={quote(self.start, safe='')}"
        return f"{SCHEME}://jobs/{self.job_id}/{self.view}{rest}"


def parse(uri: str) -> Address | None:
    """The address, or None for any other URI."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    start = match["start"]
    return Address(match["job"], cast(View, match["view"]), None if start is None else unquote(start))
