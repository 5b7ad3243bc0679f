"""What operations came to, as a cohort packs it: added up by the control actor, unpacked for views.

A tally has an `OperationTally` for each phase and operation of which there was one, by a number,
its kind: ``phase * len(OPERATIONS) + operation``, both as their places in `harness.schema`. So it
is a message of some hundred small integers, and adding up is a loop over those that are not 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from harness.live.counts import Counts, OperationCounts
from harness.schema import OPERATIONS, OUTCOMES, PHASES, SUCCESSES

__all__ = [
    "KINDS",
    "OperationTally",
    "Tally",
    "add_tally",
    "counts_of",
    "kind_of",
    "latencies_of",
    "measured",
]

KINDS = len(PHASES) * len(OPERATIONS)
_Places = TypeVar("_Places", int, npt.NDArray[np.int64])
_MEASURE = PHASES.index("measure")
_FAILURES = tuple(place for place, name in enumerate(OUTCOMES) if name not in SUCCESSES)


class OperationTally(msgspec.Struct, array_like=True):
    """What operations of one kind came to; times and histogram as `OperationCounts` has them.

    ``outcomes`` has a number for each of OUTCOMES.
    """

    outcomes: list[int]
    latencies: dict[int, int] = {}
    response_ns: int = 0
    queue_ns: int = 0
    transport_ns: int = 0
    shard_wait_ns: int = 0
    service_ns: int = 0


Tally = dict[int, OperationTally]


def kind_of(phase: _Places, operation: _Places) -> _Places:
    """The number of a kind, from the places of its phase and operation in `harness.schema`.

    Of arrays of them, each of shape (rows,), an array.
    """
    return phase * len(OPERATIONS) + operation


def add_tally(total: Tally, more: Mapping[int, OperationTally]) -> None:
    """Add to a total, which takes nothing of ``more`` for its own."""
    for kind, one in more.items():
        mine = total.setdefault(kind, OperationTally([0] * len(OUTCOMES)))
        mine.outcomes = [a + b for a, b in zip(mine.outcomes, one.outcomes, strict=True)]
        mine.response_ns += one.response_ns
        mine.queue_ns += one.queue_ns
        mine.transport_ns += one.transport_ns
        mine.shard_wait_ns += one.shard_wait_ns
        mine.service_ns += one.service_ns
        for bucket, count in one.latencies.items():
            mine.latencies[bucket] = mine.latencies.get(bucket, 0) + count


def measured(tally: Mapping[int, OperationTally]) -> tuple[int, int]:
    """How many operations of the phase ``measure`` there were, and how many of them failed."""
    of_phase = range(kind_of(_MEASURE, 0), kind_of(_MEASURE, 0) + len(OPERATIONS))
    outcomes: list[Sequence[int]] = [tally[kind].outcomes for kind in of_phase if kind in tally]
    failures = sum(one[place] for one in outcomes for place in _FAILURES)
    return sum(map(sum, outcomes)), failures


def latencies_of(tally: Mapping[int, OperationTally]) -> Counter[int]:
    """The histogram of all kinds together, warm-up included."""
    total: Counter[int] = Counter()
    for one in tally.values():
        total.update(one.latencies)
    return total


def counts_of(tally: Mapping[int, OperationTally]) -> Counts:
    """As views have it; the tally is not to be added to any more."""
    found = {}
    for kind, one in sorted(tally.items()):
        phase, operation = divmod(kind, len(OPERATIONS))
        named = zip(OUTCOMES, one.outcomes, strict=True)
        found[PHASES[phase], OPERATIONS[operation]] = OperationCounts(
            outcomes={name: count for name, count in named if count},
            response_ns=one.response_ns,
            queue_ns=one.queue_ns,
            transport_ns=one.transport_ns,
            shard_wait_ns=one.shard_wait_ns,
            service_ns=one.service_ns,
            latencies=one.latencies,
        )
    return found
