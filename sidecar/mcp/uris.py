"""The addresses of what can be read: `codex-sidecar://jobs/<job id>/<view>` of a job, `codex-sidecar://jobs` of all,
and the rest of a long text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import quote, unquote

View = Literal["result", "transcript", "diff", "files", "jobs"]
VIEWS: tuple[View, ...] = ("result", "transcript", "diff", "files")
"""The views of one job."""
SCHEME = "codex-sidecar"
_URI = re.compile(
    SCHEME + r"://jobs(?:/(?P<job>[A-Za-z0-9_.~-]{1,128})/(?P<view>result|transcript|diff|files))?"
    r"(?:\?from=(?P<start>[^&#\s]{1,512}))?"
)


@dataclass(frozen=True)
class Address:
    """One view of one job, or `jobs` without an id: the list of all.

    `start`: where to go on, as an earlier part named it, None from the beginning.
    """

    job_id: str
    view: View
    start: str | None = None

    def __str__(self) -> str:
        rest = "" if self.start is None else f"?from={quote(self.start, safe='')}"
        view = "" if self.view == "jobs" else f"/{self.job_id}/{self.view}"
        return f"{SCHEME}://jobs{view}{rest}"


def parse(uri: str) -> Address | None:
    """The address, or None for any other URI."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    start = match["start"]
    view = cast(View, match["view"] or "jobs")
    return Address(match["job"] or "", view, None if start is None else unquote(start))
