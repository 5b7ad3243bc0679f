"""Comparing one figure of two sides: the ratio, how sure it is, and a verdict.

With three repeats or more on each side the interval is of the ratio of their medians
(`harness.analysis.bootstrap.ratio_interval`). With fewer it follows from the intervals that the
summaries state of a figure, where they do; else it is of the variation within the runs
(`harness.analysis.time_blocks`), which says nothing of how two runs of one plan differ. A figure
is better or worse when its interval leaves out 1 and the change is not below the figure's floor;
otherwise no difference was shown. Where there is no interval, it is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.analysis.bootstrap import FEWEST_FOR_INTERVAL, Estimate, ratio_interval
from harness.analysis.comparable_figures import Better, Figure, Section, Unit, figure_interval
from harness.analysis.comparison_side import Side
from harness.analysis.time_blocks import block_ratio_interval

__all__ = ["Basis", "Compared", "Judgement", "compare_figure", "is_beyond"]

Judgement = Literal["worse", "better", "no difference", "unknown"]
Basis = Literal["repeats", "stated", "within", "none"]

_NO_BASIS: Basis = "none"
# Rows and summary say the same of a run but for a bin's width, or a gap in a thin tail; where
# they do not, the figure is not of these rows.
_AGREEMENT = 0.2


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A figure of two sides.

    Attributes:
        path: in the summary.
        section: of the figure, for people; empty for a run's.
        label: for people.
        unit: of ``base`` and ``new``.
        better: which way is good.
        base: median of its repeats.
        new: median of its repeats.
        base_repeats: how many have it.
        new_repeats: how many have it.
        ratio: new over base, with its interval; None where it cannot be said.
        basis: what the interval is of: repeats, the intervals that the summaries state,
            variation within runs, or none.
        verdict: of the change.
        reason: why, in a few words.
    """

    path: str
    section: str
    label: str
    unit: Unit
    better: Better
    base: float | None
    new: float | None
    base_repeats: int
    new_repeats: int
    ratio: Estimate
    basis: Basis
    verdict: Judgement
    reason: str


def is_beyond(one: Compared, limit_ratio: float) -> bool:
    """Whether a figure is worse by more than a limit with confidence (0.1 for 10%).

    The whole interval lies beyond: a time is more than 1.1 times what it was, a throughput less
    than 0.9 times. What was none and is some now is beyond any limit.
    """
    if one.verdict != "worse":
        return False
    low, high = one.ratio["low"], one.ratio["high"]
    if low is None or high is None:
        return one.ratio["estimate"] is None
    return low > 1 + limit_ratio if one.better == "less" else high < 1 - limit_ratio


def compare_figure(
    base: Side, new: Side, section: Section, figure: Figure, confidence: float, seed: int
) -> Compared | None:
    """Compare one figure of two sides; None when neither has it.

    Args:
        base: what is compared with.
        new: what is compared.
        section: that the figure stands in.
        figure: of it.
        confidence: of the interval.
        seed: the same seed gives the same interval.
    """
    before, after = base.samples(section, figure), new.samples(section, figure)
    if not before and not after:
        return None
    ratio, basis = Estimate(estimate=None, low=None, high=None), _NO_BASIS
    if before and after:
        ratio = ratio_interval(before, after, confidence=confidence, seed=seed)
        basis = "repeats" if ratio["low"] is not None else "none"
        few = min(len(before), len(after)) < FEWEST_FOR_INTERVAL
        if few and ratio["estimate"] is not None and ratio["estimate"] > 0:
            stated = _stated(base, new, section, figure, ratio["estimate"])
            ratio, basis = (
                (stated, "stated")
                if stated is not None
                else _within(base, new, section, figure, ratio["estimate"], confidence, seed)
            )
    verdict, reason = _judge(figure, before, after, ratio)
    return Compared(
        path=".".join([*section.path, figure.path]),
        section=section.title,
        label=figure.label,
        unit=figure.unit,
        better=figure.better,
        base=float(np.median(before)) if before else None,
        new=float(np.median(after)) if after else None,
        base_repeats=len(before),
        new_repeats=len(after),
        ratio=ratio,
        basis=basis,
        verdict=verdict,
        reason=reason,
    )


def _stated(
    base: Side, new: Side, section: Section, figure: Figure, ratio: float
) -> Estimate | None:
    """The interval that follows from those that both summaries have of the figure.

    Distances from the estimates add up in squares, in logarithms (Zou and Donner, "Construction
    of confidence limits about effect measures", Statistics in Medicine 27(10), 2008). None where
    a side has several directories, or an end that is not positive.
    """
    if len(base.members) > 1 or len(new.members) > 1:
        return None
    before = figure_interval(base.section(base.members[0], section), figure.path)
    after = figure_interval(new.section(new.members[0], section), figure.path)
    repeats = [*base.samples(section, figure), *new.samples(section, figure)]
    if before is None or after is None or len(repeats) != 2:
        return None
    old, now = repeats
    if min(*before, *after, old, now) <= 0:
        return None
    down = math.hypot(math.log(now / after[0]), math.log(before[1] / old))
    up = math.hypot(math.log(after[1] / now), math.log(old / before[0]))
    return Estimate(estimate=ratio, low=ratio * math.exp(-down), high=ratio * math.exp(up))


def _within(
    base: Side,
    new: Side,
    section: Section,
    figure: Figure,
    ratio: float,
    confidence: float,
    seed: int,
) -> tuple[Estimate, Basis]:
    """The interval by variation within the runs, where their rows tell what the summary does."""
    unknown = Estimate(estimate=ratio, low=None, high=None)
    before, name = base.blocks(section, figure.path)
    after, _ = new.blocks(section, figure.path)
    if before is None or after is None:
        return unknown, "none"
    for side, blocks in ((base, before), (new, after)):
        whole = blocks.figure(name, np.ones((1, blocks.blocks)))
        stated = side.samples(section, figure)
        least, most = min(stated) * (1 - _AGREEMENT), max(stated) * (1 + _AGREEMENT)
        if whole is None or not least <= float(whole[0]) <= most:
            return unknown, "none"
    found = block_ratio_interval(before, after, name, ratio=ratio, confidence=confidence, seed=seed)
    return found, "none" if found["low"] is None else "within"


def _judge(
    figure: Figure, before: list[float], after: list[float], ratio: Estimate
) -> tuple[Judgement, str]:
    estimate, low, high = ratio["estimate"], ratio["low"], ratio["high"]
    if not before or not after:
        return "unknown", f"{'NEW' if before else 'BASE'} does not have it"
    if not any(before):
        return _judge_from_nothing(figure, after)
    if estimate is None:
        return "unknown", "no ratio can be made"
    if low is None or high is None:
        return "unknown", "too few repeats to say how sure it is"
    if low <= 1 <= high:
        return "no difference", "the interval holds 1"
    if max(estimate, 1 / estimate) - 1 < figure.floor_ratio:
        return "no difference", f"less than {figure.floor_ratio:.0%}"
    return _direction(figure, more=estimate > 1), "the interval leaves out 1"


def _judge_from_nothing(figure: Figure, after: list[float]) -> tuple[Judgement, str]:
    if not any(after):
        return "no difference", "0 in both"
    if not figure.none_is_none:
        return "unknown", "was too little to be measured"
    if min(after) > 0:
        return _direction(figure, more=True), "was 0"
    return "unknown", "was 0, and is in some repeats"


def _direction(figure: Figure, *, more: bool) -> Judgement:
    return "better" if more == (figure.better == "more") else "worse"
