"""Rows and samples of several nodes on one time line: the driver's wall clock.

What a node wrote by its own clock is moved by its measured offset (`harness.clock_offsets`); a
node whose offset is not known stays where its clock put it. Only points in time are moved. No
duration of a row changes, for those are of one clock each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["measuring_began_ns", "samples_on_time_line"]

# Longer than any run, and beyond what any clock shows: small enough to be added to each other.
_LONGEST_S = 1e9
_LARGEST_NS = 2**62


def samples_on_time_line(samples: pa.Table, offsets_ns: Mapping[str, int]) -> pa.Table:
    """Move ``wall_ns`` of samples by the offset of their node.

    Args:
        samples: with ``node_id`` and ``wall_ns``.
        offsets_ns: each node's clock less the driver's.
    """
    if not samples.num_rows or not any(offsets_ns.values()):
        return samples
    nodes = pc.dictionary_encode(samples["node_id"].combine_chunks())
    nodes = nodes.chunk(0) if isinstance(nodes, pa.ChunkedArray) else nodes
    by_node = pa.array(
        [offsets_ns.get(name, 0) for name in nodes.dictionary.to_pylist()], pa.int64()
    )
    moved = pc.subtract(samples["wall_ns"], pc.fill_null(by_node.take(nodes.indices), 0))
    place = samples.schema.get_field_index("wall_ns")
    return samples.set_column(place, samples.schema.field(place), moved)


def measuring_began_ns(
    run: Mapping[str, Any],
    starts_ns: Mapping[int, int],
    events: Sequence[Mapping[str, Any]] = (),
) -> int:
    """When the measured phase of a run began: once the first cohort's warm-up was over.

    Where no cohort is known, it is when the driver noted that measuring began, or, before that,
    when the run was started; 0 where nothing is known.

    Args:
        run: ``run.json``.
        starts_ns: when each cohort started.
        events: the lines of ``events.jsonl``, for runs without a cohort.
    """
    if starts_ns:
        return min(starts_ns.values()) + round(_warmup_s(run) * 1e9)
    noted = (event for event in events if event.get("phase") == "measuring")
    for wall_ns in (event.get("wall_ns") for event in noted):
        if isinstance(wall_ns, int) and 0 <= wall_ns <= _LARGEST_NS:
            return wall_ns
    try:
        return round(datetime.fromisoformat(str(run.get("started"))).timestamp() * 1e9)
    except (ValueError, OverflowError):
        return 0


def _warmup_s(run: Mapping[str, Any]) -> float:
    plan = run.get("plan")
    warmup_s = plan.get("warmup_s") if isinstance(plan, Mapping) else None
    if isinstance(warmup_s, int | float) and 0 <= warmup_s < _LONGEST_S:
        return float(warmup_s)
    return 0.0
