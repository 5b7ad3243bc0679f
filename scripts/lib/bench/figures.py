"""Figures: the values of a quantity over the repeats, and whether their median reaches its goal.

Pure. A repeat that could not be measured has no value; a figure without any has no median.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

__all__ = [
    "Figure",
    "FigureSpec",
    "Goal",
    "Measured",
    "Repeat",
    "Value",
    "Verdict",
    "figure_of",
    "number",
    "ratio",
    "total",
]

# The numbers of one measurement, by name; and those of a repeat, by measurement.
Measured = Mapping[str, float]
Repeat = Mapping[str, Measured]
# What a repeat says of a quantity; None when it was not measured.
Value = Callable[[Repeat], float | None]


class Verdict(StrEnum):
    """What became of a figure's goal."""

    MET = "met"
    MISSED = "MISSED"
    NOT_MEASURED = "NOT MEASURED"
    NOT_JUDGED = "not judged"  # other sizes than the goal was set for
    NONE = ""  # there is no goal


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a median must reach: at least ``least``, or at most ``most``; both for exactly.

    With a ``base``, at most ``most_times`` its number in the same repeat, or ``most``, whichever
    is more; ``base_title`` says what it is.
    """

    least: float | None = None
    most: float | None = None
    aim: float | None = None
    most_times: float = 1.0
    base: Value | None = None
    base_title: str = ""

    def is_met(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A line of the table before anything is measured.

    Attributes:
        row: what ``--only`` calls it; several figures may share a row.
        title: what it is, in words.
        unit: ``operations/s``, ``times``, ``bytes``, ``s``, ``agents``, ``candidates``, ``ratio``
            or ``µs``.
        value: how it follows from a repeat.
        goal: None for what is only told.
    """

    row: str
    title: str
    unit: str
    value: Value
    goal: Goal | None = None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A line of the table: the values of the repeats that were measured.

    ``allowances`` are the most that each of them may be, where the goal has a base.
    """

    spec: FigureSpec
    values: tuple[float, ...]
    judged: bool = True
    allowances: tuple[float, ...] = ()

    @property
    def median(self) -> float | None:
        """The middle value, None when there is none."""
        return median(self.values) if self.values else None

    @property
    def verdict(self) -> Verdict:
        """What became of the goal."""
        if self.median is None:
            return Verdict.NOT_MEASURED
        if self.spec.goal is None:
            return Verdict.NONE
        if not self.judged:
            return Verdict.NOT_JUDGED
        met = self.spec.goal.is_met(self.median)
        if self.spec.goal.base is not None:
            pairs = zip(self.values, self.allowances, strict=True)
            met = median(value / allowance for value, allowance in pairs) <= 1
        return Verdict.MET if met else Verdict.MISSED

    @property
    def reaches_aim(self) -> bool:
        """Whether the median is not only enough but what was aimed for."""
        goal = self.spec.goal
        known = goal is not None and goal.aim is not None and self.median is not None
        return known and self.median >= goal.aim  # type: ignore[union-attr, operator]

    def as_dict(self) -> dict[str, Any]:
        """The figure as JSON has it."""
        goal = self.spec.goal
        return {
            "row": self.spec.row,
            "title": self.spec.title,
            "unit": self.spec.unit,
            "median": self.median,
            "min": min(self.values, default=None),
            "max": max(self.values, default=None),
            "values": list(self.values),
            "at_least": goal and goal.least,
            "at_most": goal and goal.most,
            "at_most_times": goal.most_times if goal and goal.base else None,
            "allowances": list(self.allowances),
            "aim": goal and goal.aim,
            "verdict": self.verdict.value,
        }


def figure_of(spec: FigureSpec, repeats: Sequence[Repeat], *, judged: bool = True) -> Figure:
    """The figure that repeats give."""
    measured = [repeat for repeat in repeats if spec.value(repeat) is not None]
    values = tuple(value for repeat in measured if (value := spec.value(repeat)) is not None)
    allowances: tuple[float, ...] = ()
    if spec.goal is not None and spec.goal.base is not None:
        allowances = tuple(_allowance(spec.goal, repeat) for repeat in measured)
    return Figure(spec=spec, values=values, judged=judged, allowances=allowances)


def _allowance(goal: Goal, repeat: Repeat) -> float:
    base = goal.base(repeat) if goal.base is not None else None
    return max(goal.most or 0.0, goal.most_times * (base or 0.0))


def number(measurement: str, name: str) -> Value:
    """A number of a measurement as it is."""
    return lambda repeat: repeat.get(measurement, {}).get(name)


def total(measurement: str, *names: str) -> Value:
    """The sum of numbers of a measurement."""

    def value(repeat: Repeat) -> float | None:
        measured = repeat.get(measurement, {})
        if not all(name in measured for name in names):
            return None
        return sum(measured[name] for name in names)

    return value


def ratio(above: Value, below: Value) -> Value:
    """One quantity over another of the same repeat."""

    def value(repeat: Repeat) -> float | None:
        numerator, denominator = above(repeat), below(repeat)
        if numerator is None or not denominator:
            return None
        return numerator / denominator

    return value
