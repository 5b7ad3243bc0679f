"""What batches take in a simulation: drawn from measured times (`harness.sizing.demands`).

A batch's service time is that of its types' lines together: the dearest call of its types once
(an fsync serves all), each type's time for each of its operations, and noise as it was measured
at the nearest size of a batch. A group of batches that a shard commits together is one batch in
this. The passage (everything but service) is in two parts: CPU of the cohort and of the shard's
call, for which others wait, and a delay for which nobody does.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.schema import OPERATIONS
from harness.sizing.demands import Demands, TypedTimes

__all__ = ["BatchTimes", "MeasuredTimes"]

# By type, in the order of `harness.schema.OPERATIONS`.
Counts = Sequence[int]
# Noise makes no batch shorter than this share of the line.
_LEAST_RATIO = 0.25
_LEAST_DELAY_RATIO = 0.1


class BatchTimes(Protocol):
    """What the parts of a batch's way take, in seconds."""

    def cohort_s(self, batch_ops: int) -> float:
        """CPU of the cohort's event loop, sending and answering together."""

    def delay_s(self, counts: Counts) -> float:
        """On the way there and back together, where nobody waits for anybody."""

    def call_s(self) -> float:
        """CPU of the shard's process for receiving and answering a batch."""

    def service_s(self, counts: Counts) -> float:
        """Of a group of batches that the shard commits together."""


class MeasuredTimes:
    """Times drawn from what was measured.

    Args:
        demands: what was measured.
        seed: of the noise.
        growth: by type, what a larger store multiplies service time by.
        core_speed_ratio: how fast a core is, of those that were measured.
    """

    def __init__(
        self,
        demands: Demands,
        seed: int,
        *,
        growth: Mapping[str, float] | None = None,
        core_speed_ratio: float = 1.0,
    ) -> None:
        self._random = random.Random(seed)
        self._speed = core_speed_ratio
        self._cohort, self._call_s = demands.cohort_cpu, demands.shard_cpu.call / core_speed_ratio
        self._service = _Drawn(demands.service, self._random, growth or {})
        self._passage = _Drawn(demands.passage, self._random, {})

    def cohort_s(self, batch_ops: int) -> float:
        """See `BatchTimes`."""
        return self._cohort.of(batch_ops) / self._speed

    def call_s(self) -> float:
        """See `BatchTimes`."""
        return self._call_s

    def delay_s(self, counts: Counts) -> float:
        """What is left of the passage when the CPU is taken out of it, a tenth of it at least."""
        passage_s = self._passage.draw(counts)
        cpu_s = self.cohort_s(sum(counts)) + self._call_s
        return max(passage_s - cpu_s, _LEAST_DELAY_RATIO * passage_s)

    def service_s(self, counts: Counts) -> float:
        """See `BatchTimes`."""
        return self._service.draw(counts) / self._speed


class _Drawn:
    """Lines and noise of each type, ready for drawing."""

    def __init__(
        self, times: TypedTimes, numbers: random.Random, growth: Mapping[str, float]
    ) -> None:
        names = [name if name in times.lines else None for name in OPERATIONS]
        grown = [1.0 if name is None else growth.get(name, 1.0) for name in names]
        lines = [None if name is None else times.lines[name] for name in names]
        self._calls = [0.0 if line is None else line.call for line in lines]
        self._each = [
            0.0 if line is None else line.each * grows
            for line, grows in zip(lines, grown, strict=True)
        ]
        self._names, self._times, self._random = names, times, numbers
        self._noise: dict[tuple[int, int], list[float]] = {}

    def draw(self, counts: Counts) -> float:
        call_s, of_operations_s, noisiest = 0.0, 0.0, -1
        for kind, count in enumerate(counts):
            if count:
                of_operations_s += self._each[kind] * count
                if noisiest < 0 or self._calls[kind] > call_s:
                    call_s, noisiest = self._calls[kind], kind
        fitted_s = call_s + of_operations_s
        if noisiest < 0 or self._names[noisiest] is None:
            return fitted_s
        noise = self._noise_of(noisiest, sum(counts))
        off_s = noise[int(self._random.random() * len(noise))]
        return max(fitted_s + off_s, _LEAST_RATIO * fitted_s)

    def _noise_of(self, kind: int, batch_ops: int) -> list[float]:
        octave = batch_ops.bit_length()
        key = (kind, octave if batch_ops > 1 else 0)
        found = self._noise.get(key)
        if found is None:
            name = self._names[kind] or ""
            found = self._noise[key] = self._times.noise_near(name, batch_ops).tolist()
        return found
