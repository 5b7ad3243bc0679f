"""A target at one volume of memories: the figures of each repeat, and their medians.

Times are of operations that were issued one at a time. Memory is that of the store's processes
(`harness.analysis.probed_volume.memory_usage_bytes`); for a store that works in the agents'
process that includes the process itself, so what a memory takes is counted from the empty store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any

from harness.analysis.finite import finite_number
from harness.analysis.probed_volume import (
    memory_usage_bytes,
    no_probes,
    probe_latency,
    read_probes,
)
from harness.rundir_reader import RunReader
from harness.schema import OPERATIONS

__all__ = ["empty_figures", "nothing_measured", "volume_figures", "volume_repeat"]

Figures = dict[str, Any]


def empty_figures(step: RunReader) -> Figures:
    """What the store takes without a memory."""
    return {
        "memory_usage_bytes": memory_usage_bytes(step),
        "disk_usage_bytes": _found(step).get("disk_usage_bytes"),
    }


def volume_repeat(step: RunReader, place: str) -> Figures:
    """The figures of one repeat; of a volume that was cut, those until then.

    Args:
        step: its run directory.
        place: of it, in the bench directory.
    """
    found = _found(step)
    rows = read_probes(step, found)
    whole = not found.get("cut")
    figures = {name: probe_latency(rows[name].times("response")) for name in OPERATIONS}
    load = _mapping(found, "load")
    stored, duration_s = load.get("stored") or 0, load.get("duration_s") or 0.0
    searched = _mapping(found, "searched")
    retrieved = _mapping(found, "retrieved")
    return {
        "step": place,
        "status": step.run.get("status"),
        "cut": found.get("cut"),
        **{f"{name}_latency_ms": figures[name] for name in OPERATIONS},
        "service": {name: probe_latency(rows[name].times("service")) for name in OPERATIONS},
        "load_rate_ops_s": stored / duration_s if stored and duration_s else None,
        "flush_s": found.get("flush_s"),
        "memory_usage_bytes": memory_usage_bytes(step) if whole else None,
        "disk_usage_bytes": found.get("disk_usage_bytes"),
        "recall": searched.get("recall"),
        "k": found.get("k"),
        "short_searches": searched.get("short"),
        "missing": retrieved.get("missing"),
        "altered": retrieved.get("altered"),
        "retrieved": retrieved.get("count"),
        "failed": sum(rows[name].failed for name in OPERATIONS) + (load.get("failed") or 0),
        "settled": all(one.get("settled") for one in _mapping(found, "settle").values())
        if found.get("settle")
        else None,
    }


def nothing_measured() -> Figures:
    """The figures of a repeat without a row: every name, and no figure."""
    times = probe_latency(no_probes()["store"].times("response"))
    return {
        **{f"{name}_latency_ms": times for name in OPERATIONS},
        "service": dict.fromkeys(OPERATIONS, times),
        **dict.fromkeys(("load_rate_ops_s", "flush_s", "recall", "failed")),
        **dict.fromkeys(("memory_usage_bytes", "disk_usage_bytes")),
    }


def volume_figures(
    repeats: Sequence[Figures], volume: int, empty: Mapping[str, Any] | None
) -> Figures:
    """The medians of repeats, each figure for itself, and the repeats.

    Args:
        repeats: at least one.
        volume: in memories.
        empty: what the store takes without one, where it is known.
    """
    figures: Figures = dict(_median(repeats))
    for name in ("step", "status"):
        figures.pop(name, None)
    figures["failed"] = sum(one.get("failed") or 0 for one in repeats)
    for name in ("missing", "altered"):
        known = [one[name] for one in repeats if one.get(name) is not None]
        figures[name] = sum(known) if known else None
    for kind in ("memory", "disk"):
        used = figures.get(f"{kind}_usage_bytes")
        nothing = None if empty is None else empty.get(f"{kind}_usage_bytes")
        grown = None if used is None or nothing is None or figures.get("cut") else used - nothing
        figures[f"{kind}_bytes_per_memory"] = None if grown is None else grown / volume
    figures["repeats"] = list(repeats)
    return figures


def _median(documents: Sequence[Mapping[str, Any]]) -> Figures:
    """Documents of one shape as one: of numbers the lower median, of the rest the first known."""
    merged: Figures = {}
    for name in documents[0]:
        values = [one[name] for one in documents if one.get(name) is not None]
        if values and all(isinstance(value, Mapping) for value in values):
            merged[name] = _median(values)
            continue
        numbers = [value for value in values if finite_number(value) is not None]
        merged[name] = median_low(numbers) if numbers else next(iter(values), None)
    return merged


def _found(step: RunReader) -> Mapping[str, Any]:
    return _mapping(step.run, "volume")


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}
