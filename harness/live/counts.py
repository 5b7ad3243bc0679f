"""What operations came to so far: the stream of counters that everything live reads.

Cohorts count (`harness.recorder`), the control actor adds up, the driver hands on. Counters only
grow, from the run's beginning, so that whoever looks at two moments knows what was between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["PARTS", "Counts", "OperationCounts", "summed"]

# What a response time is made of, but for what an operation was late: fields with `_ns` after them.
PARTS = ("queue", "transport", "shard_wait", "service")


@dataclass(frozen=True, kw_only=True)
class OperationCounts:
    """What all operations of one kind in one phase came to, since the run began.

    Attributes:
        outcomes: how many ended in each way, by the names of `harness.schema.OUTCOMES`; one that
            never occurred may be missing.
        response_ns: their response times added up: from when each was due, or issued, to its end.
        queue_ns: what they waited in the client before their batch was sent, added up.
        transport_ns: their way there and back, retries and all, without the wait in the shard.
        shard_wait_ns: from a shard's receipt to its start on their batch.
        service_ns: from that start until their batch was durable.
        latencies: their response times as a histogram, counts by bucket
            (`harness.recorder.bucket_start_ns`: 16 to an octave from 1 us).
    """

    outcomes: Mapping[str, int] = field(default_factory=dict)
    response_ns: int = 0
    queue_ns: int = 0
    transport_ns: int = 0
    shard_wait_ns: int = 0
    service_ns: int = 0
    latencies: Mapping[int, int] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())


def summed(several: Collection[OperationCounts]) -> OperationCounts:
    """What all of them came to together."""
    outcomes: Counter[str] = Counter()
    latencies: Counter[int] = Counter()
    for one in several:
        outcomes.update(one.outcomes)
        latencies.update(one.latencies)
    times_ns = {
        name: sum(getattr(one, name) for one in several)
        for name in ("response_ns", *(f"{part}_ns" for part in PARTS))
    }
    return OperationCounts(outcomes=outcomes, latencies=latencies, **times_ns)


# By phase ("warmup" or "measure") and operation ("store", "retrieve", "search").
Counts = Mapping[tuple[str, str], OperationCounts]
