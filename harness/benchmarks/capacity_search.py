"""The search for the largest load that keeps an objective: pure, told of each trial's outcome.

    search = CapacitySearch(start=10, most=1000, tolerance_ratio=0.1, whole=True)
    while (load := search.next_load()) is not None:
        search.record(load, kept=try_it(load))
    search.finding()

Measurements are noisy, so one trial decides little:

1. Find the edge. The load doubles from the start until it breaks the objective (or halves until
   it keeps it), then the gap between the largest that kept it and the smallest that broke it is
   bisected at its geometric mean. A load that broke it once is tried again, up to three times,
   and the majority decides: a hiccup at a small load does not end the climb.
2. Make sure. The largest load without a broken trial is tried until it has kept the objective in
   `repeats` trials. Where it breaks one, it bounds the answer from above, and the search goes on
   below it.

The edge is the first that the climb meets: where a larger load keeps the objective again, that
is not looked for. At most `trials_max` trials are made; what is known then is the finding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CapacityFinding", "CapacitySearch", "Ended"]

# A majority of three decides whether a load breaks the objective.
_BROKEN_MIN = _KEPT_MIN = 2
_SIGNIFICANT_DIGITS = 3

Ended = Literal["edge", "max", "never", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class CapacityFinding:
    """What is known of the capacity.

    Attributes:
        ended: ``edge``, it lies from ``low`` to ``high``; ``max``, the largest load asked for
            kept the objective; ``never``, the smallest did not; ``unfinished``, the trials came
            to an end before that was sure.
        low: the largest load that kept the objective in all its trials; None if none did.
        low_trials: how many those were.
        high: the smallest load above ``low`` that broke it in any trial; None if none did.
        high_trials: trials of ``high``.
        high_broken: those that broke it.
        erratic: loads below ``low`` that broke it in some trial, so that more than the load
            decides.
        trials: all that were made.
    """

    ended: Ended
    low: float | None
    low_trials: int
    high: float | None
    high_trials: int
    high_broken: int
    erratic: list[float]
    trials: int


@dataclass(kw_only=True)
class CapacitySearch:
    """A search under way.

    Attributes:
        start: the first load.
        most: the largest load to try.
        least: the smallest load to try.
        tolerance_ratio: how far apart the edge's sides may lie, as a share of the lower one.
        repeats: trials that the answer has to keep the objective in, all of them.
        trials_max: bound on all trials together.
        whole: loads are whole numbers; otherwise they have three significant digits.
    """

    start: float
    most: float
    least: float = 1.0
    tolerance_ratio: float = 0.1
    repeats: int = 3
    trials_max: int = 40
    whole: bool = True
    _outcomes: dict[float, list[bool]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.start <= self.most:
            raise ValueError(f"{self.least} <= {self.start} <= {self.most} does not hold")
        if self.tolerance_ratio <= 0 or self.repeats < 1 or self.trials_max < 1:
            raise ValueError("tolerance_ratio, repeats and trials_max must be above 0")

    def record(self, load: float, *, kept: bool) -> None:
        """Note a trial's outcome."""
        self._outcomes.setdefault(load, []).append(kept)

    def next_load(self) -> float | None:
        """The load to try next; None when the search is at its end."""
        if self._trials >= self.trials_max:
            return None
        return self._wanted()

    def finding(self) -> CapacityFinding:
        """What is known now; at any time, so that a search that is stopped has an answer too."""
        low, high = self._sides()
        ended: Ended = "unfinished"
        if self._wanted() is None:
            ended = "never" if low is None else "max" if high is None else "edge"
        below = [load for load in self._outcomes if low is not None and load < low]
        return CapacityFinding(
            ended=ended,
            low=low,
            low_trials=len(self._outcomes.get(low, ())) if low is not None else 0,
            high=high,
            high_trials=len(self._outcomes.get(high, ())) if high is not None else 0,
            high_broken=self._broken(high) if high is not None else 0,
            erratic=sorted(load for load in below if self._broken(load)),
            trials=self._trials,
        )

    @property
    def _trials(self) -> int:
        return sum(map(len, self._outcomes.values()))

    def _broken(self, load: float) -> int:
        return self._outcomes[load].count(False)

    def _wanted(self) -> float | None:
        """The load to try next, whatever the bound on trials."""
        undecided = [load for load in self._outcomes if self._is_undecided(load)]
        if undecided:
            return min(undecided)
        low, high = self._majority_sides()
        if high is None:
            if low is None:
                return self.start
            if low < self.most:
                return min(2 * low, self.most)
        elif low is None:
            return self._below(high)
        elif (between := self._between(low, high)) is not None:
            return between
        return self._sure()

    def _sure(self) -> float | None:
        """What to try, with the edge found, to be sure of it; None when it is."""
        low, high = self._sides()
        if low is None:
            return self._below(high) if high is not None else None
        if high is not None and (between := self._between(low, high)) is not None:
            return between
        return low if len(self._outcomes[low]) < self.repeats else None

    def _is_undecided(self, load: float) -> bool:
        broken = self._broken(load)
        kept = len(self._outcomes[load]) - broken
        return 0 < broken < _BROKEN_MIN and kept < _KEPT_MIN

    def _majority_sides(self) -> tuple[float | None, float | None]:
        """The largest load that mostly kept it below the smallest that mostly broke it."""
        high = min((load for load in self._outcomes if self._mostly_broke(load)), default=None)
        kept = (load for load in self._outcomes if not self._mostly_broke(load))
        low = max((load for load in kept if high is None or load < high), default=None)
        return low, high

    def _mostly_broke(self, load: float) -> bool:
        return 2 * self._broken(load) > len(self._outcomes[load])

    def _sides(self) -> tuple[float | None, float | None]:
        """The largest load that never broke it, and the smallest above that did at all."""
        _, top = self._majority_sides()
        clean = (load for load in self._outcomes if not self._broken(load))
        low = max((load for load in clean if top is None or load < top), default=None)
        broke = (load for load in self._outcomes if self._broken(load))
        high = min((load for load in broke if low is None or load > low), default=None)
        return low, high

    def _below(self, high: float) -> float | None:
        """Half of a load; None when there is nothing smaller to try."""
        if high <= self.least:
            return None
        return max(self.least, self._rounded(high / 2))

    def _between(self, low: float, high: float) -> float | None:
        """The geometric mean of two loads; None when they are close enough together."""
        if high <= low * (1 + self.tolerance_ratio):
            return None
        between = self._rounded(math.sqrt(low * high))
        if self.whole:
            between = min(max(between, low + 1), high - 1)
        return between if low < between < high else None

    def _rounded(self, load: float) -> float:
        if self.whole:
            return max(1.0, float(math.floor(load)))
        return float(f"{load:.{_SIGNIFICANT_DIGITS}g}")
