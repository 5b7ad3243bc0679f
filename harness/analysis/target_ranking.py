"""Who is ahead in a figure of several targets, and whether that is beyond the spread of repeats.

A target's figure is the median of its repeats. Who is first is compared with who is second by the
ratio of these medians; its 95% interval is `harness.analysis.bootstrap.ratio_interval`, and the
lead is beyond the spread where that interval leaves out 1. With fewer than three repeats of either
nothing is known of the spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal, TypedDict

from harness.analysis.bootstrap import Estimate, bootstrap_interval, ratio_interval

__all__ = ["Better", "Ranked", "Ranking", "rank"]

Better = Literal["more", "less"]


class Ranked(TypedDict):
    """A target and its figure, with its 95% interval where repeats tell one."""

    target: str
    value: float
    low: float | None
    high: float | None


class Ranking(TypedDict):
    """Targets by a figure, the best first.

    Attributes:
        order: all that have the figure.
        lead: how many times as good the first is as the second, 1 or more; without an estimate
            when there are not two.
        beyond_spread: whether the first is ahead beyond the spread; None where that is not known.
    """

    order: list[Ranked]
    lead: Estimate
    beyond_spread: bool | None


def rank(samples: Mapping[str, Sequence[float]], better: Better) -> Ranking | None:
    """Rank targets; None when none has the figure.

    Args:
        samples: of each target, one a repeat, positive.
        better: which way is good.
    """
    known = {target: list(values) for target, values in samples.items() if values}
    if not known:
        return None
    order = sorted(known, key=lambda one: median(known[one]), reverse=better == "more")
    lead = Estimate(estimate=None, low=None, high=None)
    if len(order) > 1:
        first, second = known[order[0]], known[order[1]]
        # the ratio of what is more to what is less
        lead = ratio_interval(second, first) if better == "more" else ratio_interval(first, second)
    low = lead["low"]
    return Ranking(
        order=[_ranked(one, known[one]) for one in order],
        lead=lead,
        beyond_spread=None if low is None else low > 1,
    )


def _ranked(target: str, samples: Sequence[float]) -> Ranked:
    found = bootstrap_interval(samples)
    return Ranked(target=target, value=median(samples), low=found["low"], high=found["high"])
