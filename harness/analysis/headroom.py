"""Which resource is nearest to its limit: how much of each that has one was in use.

A process runs Python, so its limit is one core; one that uses more has threads that do not, and no
such limit (stores of others, and their servers). An agent issues one operation at a time, so its
limit is to have one under way always. How much a disk or a network carries is not known, so they
are not in the list; when one of them does limit a run, `harness.analysis.limits` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from harness.analysis.limits import ONE_THREAD_CORES
from harness.analysis.operation_times import OperationTimes
from harness.analysis.resources import NODE

__all__ = ["MACHINE_CPU", "ResourceUse", "nearest_sentence", "resource_uses"]

MACHINE_CPU = "the machine's CPU"
_PROCESSES = {
    "shard": "the core of the busiest shard",
    "cohort": "the core of the busiest load generator process",
    "raylet": "the core of the busiest raylet",
    "gcs": "the core of Ray's control store",
}


class ResourceUse(TypedDict):
    """A resource and how much of it was in use, on average: ``used_ratio`` in [0, 1]."""

    resource: str
    used_ratio: float


def resource_uses(summary: Mapping[str, Any], times: OperationTimes) -> list[ResourceUse]:
    """Give the resources that have a limit and were sampled, the most used first.

    Args:
        summary: of the run.
        times: of its operations.
    """
    resources = summary["resources"]
    node = resources[NODE]
    found = {
        words: _of_one_core(resources[role]["process_cpu_percent_max"])
        for role, words in _PROCESSES.items()
    }
    found[MACHINE_CPU] = _hundredth(node["cpu_percent_busiest"])
    used, free = node["memory_used_bytes_max"], node["memory_available_bytes_min"]
    # summed over the machines here, of one there: only of one machine they go together
    if used is not None and free is not None and node["nodes"] == 1:
        found["memory"] = used / (used + free)
    agents = summary["agents"]["count"]
    if agents and times.duration_s > 0:
        under_way_s = float((times.finished_ns - times.issued_ns).sum()) / 1e9
        found["the agents' own time"] = under_way_s / (agents * times.duration_s)
    uses = [
        ResourceUse(resource=name, used_ratio=min(1.0, ratio))
        for name, ratio in found.items()
        if ratio is not None
    ]
    return sorted(uses, key=lambda one: -one["used_ratio"])


def nearest_sentence(uses: list[ResourceUse], rate_ops_s: float | None) -> str:
    """Say which resource is nearest to its limit, and which comes next."""
    if not uses:
        return "Nothing was sampled, so nothing shows which resource is nearest to its limit."
    at = "" if rate_ops_s is None else f" at {rate_ops_s:,.6g} operations/s"
    first = f"{uses[0]['resource']}, {uses[0]['used_ratio']:.0%} used"
    then = f"; next {uses[1]['resource']}, {uses[1]['used_ratio']:.0%}" if uses[1:] else ""
    return f"Nearest to its limit{at} is {first}{then}."


def _of_one_core(percent: float | None) -> float | None:
    """What of one core a process used; None of one that used more."""
    cores = _hundredth(percent)
    return None if cores is None or cores > ONE_THREAD_CORES else cores


def _hundredth(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
