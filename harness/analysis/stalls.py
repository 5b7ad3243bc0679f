"""Whether a store stalls: stretches in which operations were under way and none was answered.

Method
1. By shard (by cohort where the store lives in the agents' processes), operations that were sent
   are put in the order of their answers. Between two answers, the silence begins with the earlier
   answer, or with the first issue of what was still unanswered, where that is later. So a shard
   to which nothing was sent is not silent.
2. A silence is a stall when it lasts `STALL_MIN_S` or more and `STALL_MEDIANS` times the median
   time from issue to answer: a store that is slow all the time does not stall.
3. A silence in which a cohort's event loop was held up for most of the time is the load
   generator's, and is no stall of the store.
4. The store stalls when there are `STALLS_MIN` or more that take `TIME_RATIO_MIN` of the time
   together, or when one alone takes `LONG_S`.

A stall shows in the rows as a p99 far from the p50, which the sentence has; a p99 alone does not
tell a stall from a few slow operations, silence does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.operation_times import OperationTimes

__all__ = ["STALL_MIN_S", "StallFinding", "find_stalls"]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

STALL_MIN_S = 0.1
STALL_MEDIANS = 10.0
STALLS_MIN = 3
TIME_RATIO_MIN = 0.01
LONG_S = 1.0
# The event loop's own delays that are looked at, and how much of a silence they explain.
_HELD_UP_MIN_NS = 20_000_000
_HELD_UP_RATIO = 0.5


class StallFinding(TypedDict):
    """What `find_stalls` finds.

    Attributes:
        stalls: whether the store stalls.
        count: how many stalls there were.
        shards: the numbers of the shards (or cohorts) that had one.
        median_s: how long one lasted; None without any.
        longest_s: the longest; without a stall the longest silence.
        total_s: all of them.
        every_s: from the beginning of one to that of the next, by the median; None below 3.
        sentence: says it in words.
    """

    stalls: bool
    count: int
    shards: list[int]
    median_s: float | None
    longest_s: float | None
    total_s: float
    every_s: float | None
    sentence: str


@dataclass
class _Found:
    silence_s: float = 0.0
    lengths_s: list[float] = field(default_factory=list)
    apart_s: list[float] = field(default_factory=list)
    shards: list[int] = field(default_factory=list)


def find_stalls(times: OperationTimes, loadgen: pa.Table, *, in_process: bool) -> StallFinding:
    """Look for stalls.

    Args:
        times: of the measured operations.
        loadgen: rows of `harness.schema.LOADGEN_SCHEMA`.
        in_process: the store lives in the agents' processes, one in each.
    """
    sent = (times.shard >= 0) & ~times.dropped
    groups = (times.cohort if in_process else times.shard)[sent]
    issued_ns, finished_ns = times.issued_ns[sent], times.finished_ns[sent]
    held_up = _held_up(loadgen, times.starts_ns)
    found = _Found()
    for group in np.unique(groups):
        mine = groups == group
        _look(found, int(group), issued_ns[mine], finished_ns[mine], held_up)
    return _finding(found, times, np.asarray(finished_ns - issued_ns, np.float64) / 1e6)


def _look(
    found: _Found, group: int, issued_ns: Times, finished_ns: Times, held_up: tuple[Times, Times]
) -> None:
    """Add the stalls of one shard."""
    order = np.argsort(finished_ns, kind="stable")
    issued_ns, finished_ns = issued_ns[order], finished_ns[order]
    # the first issue of all that is unanswered until this answer
    first_ns = np.minimum.accumulate(issued_ns[::-1])[::-1]
    before_ns = np.concatenate([[np.iinfo(np.int64).min], finished_ns[:-1]])
    begin_ns = np.maximum(before_ns, first_ns)
    length_s = (finished_ns - begin_ns) / 1e9
    median_s = float(np.median(finished_ns - issued_ns)) / 1e9
    long = length_s >= max(STALL_MIN_S, STALL_MEDIANS * median_s)
    found.silence_s = max(found.silence_s, float(length_s[~long].max(initial=0.0)))
    for place in np.flatnonzero(long):
        long[place] = not _explained(int(begin_ns[place]), int(finished_ns[place]), held_up)
    if not long.any():
        return
    found.shards.append(group)
    found.lengths_s += length_s[long].tolist()
    found.apart_s += (np.diff(begin_ns[long]) / 1e9).tolist()


def _held_up(loadgen: pa.Table, starts_ns: Mapping[int, int]) -> tuple[Times, Times]:
    """When event loops were held up, on the wall clock: begins and ends, in order of the ends."""
    lag_ns, cohort = loadgen["lag_ns"].to_numpy(), loadgen["cohort"].to_numpy()
    known = (lag_ns >= _HELD_UP_MIN_NS) & np.isin(cohort, list(starts_ns))
    start_ns = np.array([starts_ns[one] for one in cohort[known].tolist()], np.int64)
    end_ns = loadgen["at_ns"].to_numpy()[known] + start_ns
    order = np.argsort(end_ns, kind="stable")
    return (end_ns - lag_ns[known])[order], end_ns[order]


def _explained(begin_ns: int, end_ns: int, held_up: tuple[Times, Times]) -> bool:
    """Whether event loops were held up for most of a silence."""
    from_ns, until_ns = held_up
    first = int(np.searchsorted(until_ns, begin_ns))
    overlap_ns = np.minimum(until_ns[first:], end_ns) - np.maximum(from_ns[first:], begin_ns)
    return bool(np.maximum(overlap_ns, 0).sum() >= _HELD_UP_RATIO * (end_ns - begin_ns))


def _finding(found: _Found, times: OperationTimes, taken_ms: Floats) -> StallFinding:
    total_s, count = sum(found.lengths_s), len(found.lengths_s)
    every_s = float(np.median(found.apart_s)) if count >= STALLS_MIN and found.apart_s else None
    often = count >= STALLS_MIN and total_s >= TIME_RATIO_MIN * times.duration_s
    finding = StallFinding(
        stalls=often or any(length >= LONG_S for length in found.lengths_s),
        count=count,
        shards=found.shards,
        median_s=float(np.median(found.lengths_s)) if count else None,
        longest_s=max(found.lengths_s, default=found.silence_s) if taken_ms.size else None,
        total_s=total_s,
        every_s=every_s,
        sentence="",
    )
    finding["sentence"] = _sentence(finding, times.duration_s, taken_ms)
    return finding


def _sentence(finding: StallFinding, duration_s: float, taken_ms: Floats) -> str:
    if finding["longest_s"] is None:
        return "No operation was sent, so nothing shows whether the store stalls."
    if not finding["stalls"]:
        return (
            f"The store does not stall: the longest that operations were under way without an "
            f"answer from their shard was {1e3 * finding['longest_s']:,.0f} ms."
        )
    shards = finding["shards"]
    who = f"shard {shards[0]}" if len(shards) == 1 else f"{len(shards)} shards"
    how_often = "once" if finding["count"] == 1 else f"{finding['count']:,} times"
    if finding["every_s"] is not None:
        how_often += f", one every {finding['every_s']:,.1f} s"
    p50_ms, p99_ms = np.quantile(taken_ms, [0.5, 0.99])
    return (
        f"The store stalls: {who} gave no answer for {1e3 * (finding['median_s'] or 0.0):,.0f} ms "
        f"at a time (at most {1e3 * finding['longest_s']:,.0f} ms), {how_often}, "
        f"{finding['total_s']:,.1f} s in {duration_s:,.0f} s; operations took {p50_ms:,.2f} ms at "
        f"the median and {p99_ms:,.0f} ms at p99."
    )
