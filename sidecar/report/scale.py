"""Where a time stands on the timeline.

A round is often minutes of work with hours between: pauses in which no worker was alive are drawn short, so that the
work can be seen. Within a stretch of work the scale is linear, and the same in all stretches.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

from sidecar.report.clock import Clock

STEPS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800),
)
"""Seconds between ticks that people count in."""
TICKS = 8
"""About how many ticks the whole axis bears."""
PAUSE_SECONDS = 20.0
"""A shorter pause is never cut."""
PAUSE_SHARE = 0.15
"""Nor is one that is a smaller part of the work than this."""
PAUSE_WIDTH = 3.0
PAUSES_WIDTH = 30.0
"""Percent that one cut pause takes, and all together at most."""
LABEL_WIDTH = 7.5
"""Percent that the label of a tick needs."""


class Stretch(NamedTuple):
    """Times `start` to `end` stand at `left` to `right` percent."""

    start: float
    end: float
    left: float
    right: float


class Tick(NamedTuple):
    at: float
    x: float
    label: str


class Pause(NamedTuple):
    """A pause that is drawn short: its length in seconds, and where it stands (percent)."""

    seconds: float
    left: float
    right: float


class Scale:
    """The time scale of these spans of life (start, end), each in seconds since 1970."""

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        merged = _merged(spans) or [(0.0, 1.0)]
        self._stretches = _placed(_joined(merged))
        self._starts = [stretch.start for stretch in self._stretches]

    def x(self, at: float) -> float:
        """Percent from the left; what lies outside stands at the edge."""
        index = max(bisect.bisect_right(self._starts, at) - 1, 0)
        here = self._stretches[index]
        if at <= here.end:
            return here.left + (here.right - here.left) * _share(at, here.start, here.end)
        if index + 1 == len(self._stretches):
            return here.right
        following = self._stretches[index + 1]
        return here.right + (following.left - here.right) * _share(at, here.end, following.start)

    def pauses(self) -> list[Pause]:
        """The pauses that are drawn short."""
        pairs = zip(self._stretches, self._stretches[1:], strict=False)
        return [Pause(after.start - before.end, before.right, after.left) for before, after in pairs]

    def ticks(self, clock: Clock) -> list[Tick]:
        """Ticks at round local times. A stretch without one gets a tick at its start; labels do not touch."""
        work = sum(stretch.end - stretch.start for stretch in self._stretches)
        step = next((one for one in STEPS if work / one <= TICKS), STEPS[-1] * max(1, work // (STEPS[-1] * TICKS)))
        found: list[Tick] = []
        day = ""
        for stretch in self._stretches:
            times = _round_times(stretch, step, clock) or [stretch.start]
            for at in times:
                x = self.x(at)
                if (found and x - found[-1].x < LABEL_WIDTH) or x > 100 - LABEL_WIDTH / 2:
                    continue
                label = _label(at, step, clock)
                if clock.day(at) != day:
                    shown = clock.day(at).rpartition(" ")[0]
                    label = f"{shown} {label}" if day else label
                    day = clock.day(at)
                found.append(Tick(at, x, label))
        first = self._stretches[0].start
        return found or [Tick(first, 0.0, _label(first, step, clock))]


def _share(at: float, start: float, end: float) -> float:
    return min(max((at - start) / (end - start), 0.0), 1.0) if end > start else 0.0


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        end = max(start, end)
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _joined(merged: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Joins what only short pauses divide."""
    work = sum(end - start for start, end in merged)
    shortest = max(PAUSE_SECONDS, PAUSE_SHARE * work)
    joined = [merged[0]]
    for start, end in merged[1:]:
        if start - joined[-1][1] < shortest:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _placed(spans: list[tuple[float, float]]) -> list[Stretch]:
    pause = min(PAUSE_WIDTH, PAUSES_WIDTH / max(len(spans) - 1, 1))
    room = 100.0 - pause * (len(spans) - 1)
    least = sum(end - start for start, end in spans) / (20 * len(spans)) or 1.0
    # A stretch of no length at all must still be seen.
    lengths = [max(end - start, least) for start, end in spans]
    placed: list[Stretch] = []
    left = 0.0
    for (start, end), length in zip(spans, lengths, strict=True):
        right = left + room * length / sum(lengths)
        placed.append(Stretch(start, max(end, start + 1e-3), left, right))
        left = right + pause
    return placed


def _round_times(stretch: Stretch, step: float, clock: Clock) -> list[float]:
    ahead = clock.offset(stretch.start)
    first = -(-(stretch.start + ahead) // step) * step - ahead
    number = int((stretch.end - first) // step) + 1
    return [first + index * step for index in range(min(number, 50 * TICKS))]


def _label(at: float, step: float, clock: Clock) -> str:
    if step < 1:
        return f"{clock.time(at + 0.05)}.{int((at + 0.05) % 1 * 10)}"
    return clock.time(at + 0.01)[: 8 if step < 60 else 5]
