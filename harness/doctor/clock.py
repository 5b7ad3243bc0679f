"""Check of the clock: what the kernel keeps time by, and what reading it costs.

Each operation reads the clock some ten times. A read that does not enter the kernel takes some
tens of nanoseconds; one that does, as with the clock sources ``hpet`` and ``acpi_pm``, takes
microseconds, which would be in every figure.
"""

from __future__ import annotations

import time
from pathlib import Path

from harness.doctor.check import Check
from harness.report import figures

__all__ = ["check_clock", "clock_sources", "read_cost_ns"]

_READS, _TRIES = 2_000, 5
_DEAR_NS = 500.0
# Read without a system call, on x86, ARM, and as guest of KVM, Hyper-V and Xen.
_FAST = frozenset(
    {"tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page", "xen", "stp"}
)


def read_cost_ns() -> float:
    """What reading the monotonic clock takes: the least of some tries, in nanoseconds."""
    clock = time.perf_counter_ns
    best = float("inf")
    for _ in range(_TRIES):
        begin = clock()
        for _ in range(_READS):
            clock()
        best = min(best, (clock() - begin) / _READS)
    return best


def clock_sources(root: Path = Path("/")) -> tuple[str | None, list[str]]:
    """The clock source in use, and those to choose from; None and none where it is not said."""
    folder = root / "sys/devices/system/clocksource/clocksource0"
    try:
        current = (folder / "current_clocksource").read_text().strip()
        return current or None, (folder / "available_clocksource").read_text().split()
    except OSError:
        return None, []


def check_clock(current: str | None, available: list[str], cost_ns: float) -> Check:
    """Whether the clock is cheap to read.

    Args:
        current: the clock source in use; None where the system does not say.
        available: those to choose from.
        cost_ns: what reading it takes.
    """
    cost = f"reading it takes {figures.digits(cost_ns)} ns"
    sentence = f"{current or 'It is not said which'}; {cost}."
    if cost_ns <= _DEAR_NS:
        return Check(name="clock source", verdict="ok", sentence=sentence)
    fast = next((name for name in available if name in _FAST and name != current), None)
    remedy = "choose another machine, or a hypervisor that offers a fast clock"
    if fast is not None:
        remedy = f"echo {fast} > /sys/devices/system/clocksource/clocksource0/current_clocksource"
    return Check(
        name="clock source",
        verdict="warning",
        sentence=f"{current or 'It is not said which'}; {cost}, which every time includes.",
        remedy=remedy,
    )
