"""Taking times so that they can be trusted: many short rounds, medians, A and B in turn."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes:
        name: what was measured.
        value: its median, in `unit`.
        floor: what it is compared with, in the same unit and from the same run; None: an absolute figure.
        floor_name: what the floor is.
        target: the most that `value / floor` (or `value` without a floor) should be.
        at_least: the target is a least, not a most.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    floor_name: str = ""
    target: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """Value by floor."""
        return None if self.floor is None else self.value / self.floor

    @property
    def compared(self) -> float:
        """What the target speaks of."""
        return self.value if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.compared >= self.target if self.at_least else self.compared <= self.target


async def in_turn(
    rounds: int, one: Callable[[], Awaitable[float]], other: Callable[[], Awaitable[float]]
) -> tuple[float, float]:
    """Medians of two measurements taken in turn (A B A B …), after one round of each that does not count."""
    await one()
    await other()
    first: list[float] = []
    second: list[float] = []
    for _ in range(rounds):
        first.append(await one())
        second.append(await other())
    return statistics.median(first), statistics.median(second)


async def repeated(rounds: int, one: Callable[[], Awaitable[float]]) -> float:
    """Median of `rounds` measurements, after one that does not count."""
    await one()
    return statistics.median([await one() for _ in range(rounds)])


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = ["| what | figure | floor | ratio | target | met |", "|---|---|---|---|---|---|"]
    for one in figures:
        floor = f"{one.floor:.4g} {one.unit} ({one.floor_name})" if one.floor is not None else ""
        ratio = f"{one.ratio:.2f}" if one.ratio is not None else ""
        sign = "≥" if one.at_least else "≤"
        target = "" if one.target is None else f"{sign} {one.target:g}{'' if one.floor is not None else ' ' + one.unit}"
        met = {None: "", True: "yes", False: "**no**"}[one.met]
        rows.append(f"| {one.name} | {one.value:.4g} {one.unit} | {floor} | {ratio} | {target} | {met} |")
    return "\n".join(rows)
