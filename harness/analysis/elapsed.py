"""How long a run took over several hosts, without taking one host's clock from another's.

All cohorts start together: when the start barrier opens, each notes the time on its own host. So
a point in time on a host has an age, which is the time since that host's first cohort started, by
the clock of that host alone. A run lasted from the lowest age to the highest. What the hosts'
clocks are apart has no part in it; what the barrier's message took longer to one than to another,
some milliseconds, has. On one host it is the difference of two readings of its clock.
"""

from __future__ import annotations

from harness.rundir_reader import FileMetadata

__all__ = ["Elapsed"]


class Elapsed:
    """Takes spans of the files of a run and gives what they lasted together."""

    def __init__(self) -> None:
        self._starts_ns: dict[str, int] = {}
        self._spans_ns: dict[str, tuple[int, int]] = {}

    def add(self, metadata: FileMetadata, first_ns: int, last_ns: int) -> None:
        """Take a span of a file's rows, in ns since the start of its cohort."""
        node, start_ns = metadata.node_id, metadata.start_wall_ns
        begin_ns, end_ns = start_ns + first_ns, start_ns + last_ns
        if node in self._spans_ns:
            known_begin_ns, known_end_ns = self._spans_ns[node]
            begin_ns, end_ns = min(begin_ns, known_begin_ns), max(end_ns, known_end_ns)
        self._starts_ns[node] = min(start_ns, self._starts_ns.get(node, start_ns))
        self._spans_ns[node] = (begin_ns, end_ns)

    @property
    def first_s(self) -> float:
        """The lowest age of a begin, in seconds; 0 of nothing."""
        ages = [begin - self._starts_ns[node] for node, (begin, _) in self._spans_ns.items()]
        return min(ages, default=0) / 1e9

    @property
    def last_s(self) -> float:
        """The highest age of an end, in seconds; 0 of nothing."""
        ages = [end - self._starts_ns[node] for node, (_, end) in self._spans_ns.items()]
        return max(ages, default=0) / 1e9

    @property
    def duration_s(self) -> float:
        """From the lowest age of a begin to the highest of an end, in seconds."""
        return self.last_s - self.first_s
