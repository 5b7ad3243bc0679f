"""Whether a run may be believed: did the load generator keep its own schedule?

Each cohort's event loop sleeps for a fixed time over and over and records how much later than
asked it woke (timer lag). In the open loop an operation that is due while the loop is held up
starts late through no fault of the store, so a run whose lag has a p99 over `LAG_LIMIT_MS` is
INVALID. In the closed loop nothing is due at a time: a slow load generator offers less load,
which `harness.analysis.limits` says, but what it measures stays true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.rows import Window

__all__ = ["LAG_LIMIT_MS", "Validity", "validity"]

LAG_LIMIT_MS = 50.0


class Validity(TypedDict):
    """What `validity` finds; ``reason`` is one sentence, None when valid."""

    valid: bool
    reason: str | None
    timer_lag_p99_ms: float | None
    timer_lag_samples: int


def validity(
    loadgen: pa.Table, cohort_windows: Mapping[int, Window], *, open_loop: bool
) -> Validity:
    """Judge a run by its event loops' timer lag within the measured phase.

    The p99 is by nearest rank: of fewer than 100 samples it is the largest, so that a short run
    is judged by its worst moment and not excused for being short. An open-loop run that
    measured something but recorded no lag is INVALID too: nothing shows that it kept its
    schedule.

    Args:
        loadgen: rows of `harness.schema.LOADGEN_SCHEMA`.
        cohort_windows: the measured phase of each cohort on its own clock.
        open_loop: operations were due on a schedule.
    """
    lag_ns = _measured_lag_ns(loadgen, cohort_windows)
    found = Validity(
        valid=True, reason=None, timer_lag_p99_ms=None, timer_lag_samples=int(lag_ns.size)
    )
    if lag_ns.size:
        found["timer_lag_p99_ms"] = float(np.quantile(lag_ns, 0.99, method="inverted_cdf")) / 1e6
    if open_loop and cohort_windows:
        found["reason"] = _broken_schedule(found["timer_lag_p99_ms"])
        found["valid"] = found["reason"] is None
    return found


def _broken_schedule(p99_ms: float | None) -> str | None:
    if p99_ms is None:
        return (
            "The load generator recorded no timer lag, so nothing shows that it kept its schedule."
        )
    if p99_ms <= LAG_LIMIT_MS:
        return None
    return (
        f"The load generator did not keep its schedule: the p99 of its timer lag is "
        f"{p99_ms:,.1f} ms, over the limit of {LAG_LIMIT_MS:.0f} ms."
    )


def _measured_lag_ns(
    loadgen: pa.Table, cohort_windows: Mapping[int, Window]
) -> npt.NDArray[np.int64]:
    cohort, at_ns = loadgen["cohort"].to_numpy(), loadgen["at_ns"].to_numpy()
    lag_ns: npt.NDArray[np.int64] = loadgen["lag_ns"].to_numpy()
    inside = np.zeros(lag_ns.size, np.bool_)
    for number, window in cohort_windows.items():
        # A loop that was held up to beyond the end woke after it: its lag still counts.
        overlaps = (at_ns >= window.begin_ns) & (at_ns - lag_ns <= window.end_ns)
        inside |= (cohort == number) & overlaps
    return lag_ns[inside]
