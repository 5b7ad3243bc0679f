"""Rows and samples of several nodes on one time line: the driver's wall clock.

What a node wrote by its own clock is moved by its measured offset (`harness.clock_offsets`); a
node whose offset is not known stays where its clock put it. Only points in time are moved. No
duration of a row changes, for those are of one clock each.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["samples_on_time_line"]


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
