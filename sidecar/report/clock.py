"""Times and amounts as people read them: local time with its zone, durations, tokens."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo

from sidecar.model.job import Usage
from sidecar.report.html import Html, el

_FIRST, _LAST = 0.0, 253_370_000_000.0
"""Years 1970 to 9998, in seconds: what a calendar can show in every zone."""


class Clock:
    """Local times.

    Args:
        zone: None is the zone of this machine, with its changes to and from summer time.
    """

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone

    def at(self, seconds: float) -> datetime:
        """The local time of seconds since 1970; what no calendar can show becomes the nearest that it can."""
        bounded = min(max(seconds, _FIRST), _LAST)
        return datetime.fromtimestamp(bounded, timezone.utc).astimezone(self._zone)

    def offset(self, seconds: float) -> float:
        """Seconds that local time is ahead of UTC then."""
        ahead = self.at(seconds).utcoffset()
        return ahead.total_seconds() if ahead is not None else 0.0

    def time(self, seconds: float) -> str:
        """`14:02:09`."""
        return self.at(seconds).strftime("%H:%M:%S")

    def day(self, seconds: float) -> str:
        """`25 Nov 2026`."""
        local = self.at(seconds)
        return f"{local.day} {local.strftime('%b %Y')}"

    def zone(self, seconds: float) -> str:
        """`CET, UTC+01:00`, or only the offset where the zone has no name of its own."""
        local = self.at(seconds)
        raw = local.strftime("%z") or "+0000"
        offset = f"UTC{raw[:3]}:{raw[3:5]}" if raw[:5] not in ("+0000", "-0000") else "UTC"
        name = local.strftime("%Z")
        return offset if not name.isalpha() or name == offset else f"{name}, {offset}"

    def element(self, seconds: float, *, day: bool = False) -> Html:
        """A `<time>` whose machine-readable value carries the offset."""
        shown = f"{self.day(seconds)}, {self.time(seconds)}" if day else self.time(seconds)
        stamp = self.at(seconds)
        title = f"{self.day(seconds)}, {self.time(seconds)} ({self.zone(seconds)})"
        return el("time", shown, datetime=stamp.isoformat(timespec="milliseconds"), title=title)


def parse_time(stamp: object) -> float | None:
    """An ISO 8601 time of an answer as seconds since 1970; None for anything else."""
    if not isinstance(stamp, str):
        return None
    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def duration(seconds: float) -> str:
    """`0.8 s`, `48 s`, `2 min 05 s`, `1 h 02 min`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def short(number: int) -> str:
    """`480`, `4.1k`, `1.2M`."""
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def tokens(usage: Usage | None) -> int:
    """Tokens in and out together; what was read from the cache is among those in."""
    return usage.input_tokens + usage.output_tokens if usage is not None else 0


def tokens_in_words(usage: Usage) -> str:
    """`4,100 in (3,000 of them cached), 480 out (120 of them reasoning)`."""
    cached = f" ({usage.cached_input_tokens:,} of them cached)" if usage.cached_input_tokens else ""
    thought = f" ({usage.reasoning_output_tokens:,} of them reasoning)" if usage.reasoning_output_tokens else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out{thought}"
