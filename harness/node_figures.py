"""From the samplers' newest samples to what views have of each node.

A sampler reads the counters that the system has, which may fall: when a network interface goes,
what it carried goes from the sum. Views are promised counters that only grow, so here each grows by
what the system's grew, and stands still where that fell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.live.growing import Growing
from harness.live.progress import NodeFigures, RoleFigures

__all__ = ["SampledNodes"]

# As views name them, and as samples do.
_COUNTERS = {
    "disk_read_bytes": "disk_read_bytes",
    "disk_write_bytes": "disk_write_bytes",
    "net_received_bytes": "network_received_bytes",
    "net_sent_bytes": "network_sent_bytes",
}


class SampledNodes:
    """Takes samples as `harness.sampler.Sampler.latest` gives them; remembers their counters."""

    def __init__(self) -> None:
        self._counted = Growing()

    def figures(
        self, samples: Iterable[Mapping[str, Any]], hosts: Mapping[str, str]
    ) -> tuple[NodeFigures, ...]:
        """The figures of each node that has a sample.

        Args:
            samples: the newest of each node.
            hosts: the names of nodes, by their ids.
        """
        return tuple(
            NodeFigures(
                node_id=sample["node_id"],
                host=hosts.get(sample["node_id"], ""),
                wall_ns=sample["wall_ns"],
                cpu_percent=sample["cpu_percent"],
                cpu_count=sample["cpu_count"],
                memory_used_bytes=sample["memory_used_bytes"],
                memory_available_bytes=sample["memory_available_bytes"],
                **self._counters(sample),
                roles={role: RoleFigures(**one) for role, one in sample["roles"].items()},
            )
            for sample in samples
        )

    def _counters(self, sample: Mapping[str, Any]) -> dict[str, int]:
        return {
            name: self._counted.counted((sample["node_id"], name), sample[source])
            for name, source in _COUNTERS.items()
        }
