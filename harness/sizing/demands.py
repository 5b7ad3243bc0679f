"""What operations demand of shards, cohorts and the wire, fitted to measured runs.

- CPU. By the service demand law the CPU time of a process over a run is what its completions
  demanded (Denning and Buzen, "The Operational Analysis of Queueing Network Models", Computing
  Surveys 10(3), 1978): here ``batches * call + operations * each``, so runs with batches of
  different sizes tell what a call costs from what an operation does. The two are fitted to all
  runs by non-negative least squares of relative errors. CPU time does not depend on how many
  others share the cores.
- Time. Of each type of operation, the time of a batch is a line in its size: through the medians
  of the runs, by the same least squares. What single batches lie off the median of their run is
  kept as noise, by run, since it is far from normal. These times are as long as they were on the
  machine that was measured, with whoever shared its cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.schema import OPERATIONS
from harness.sizing.evidence import RunEvidence

__all__ = ["Demands", "Line", "TypedTimes", "fit_cpu", "fit_demands", "fit_line"]

Floats = npt.NDArray[np.float64]
# Batches must differ by this factor between runs, or a call and an operation cannot be told apart.
BATCH_RATIO_MIN = 2.0
# A type that fewer batches of a run were of has no median there.
_FEWEST_BATCHES = 5


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a batch costs, in seconds or bytes: ``call``, and ``each`` for every operation in it."""

    call: float
    each: float

    def of(self, batch_ops: float) -> float:
        """The cost of a batch of so many operations."""
        return self.call + self.each * batch_ops


@dataclass(frozen=True, kw_only=True)
class TypedTimes:
    """Times of batches by type of operation.

    Attributes:
        lines: by type.
        noise: by type, of each run the operations of a batch and ``(n,)`` seconds that single
            batches lay off the run's median; in the order of batch sizes.
    """

    lines: Mapping[str, Line]
    noise: Mapping[str, Sequence[tuple[float, Floats]]] = field(repr=False)

    def noise_near(self, operation: str, batch_ops: float) -> Floats:
        """The noise of the run whose batches are nearest in size, by ratio."""
        found = self.noise[operation]
        return min(found, key=lambda one: abs(np.log(one[0] / max(batch_ops, 1.0))))[1]


@dataclass(frozen=True, kw_only=True)
class Demands:
    """All that sizing and simulation need of measured runs.

    Attributes:
        mix: share of each type of operation.
        shard_cpu: CPU seconds of a shard for a batch.
        cohort_cpu: of a cohort.
        service: the shard's service time.
        passage: all the rest of an operation's time, queueing in the client included.
        wire: bytes between processes for a batch; None where not sampled.
        batch_ops: smallest and largest average size of batches that were measured.
        agents_max: the most agents of a run.
        rate_max_ops_s: the highest throughput of a shard in a run.
        foreign_core_ratio: of the machine's cores, used by others; None where not known.
    """

    mix: Mapping[str, float]
    shard_cpu: Line
    cohort_cpu: Line
    service: TypedTimes
    passage: TypedTimes
    wire: Line | None
    batch_ops: tuple[float, float]
    agents_max: int
    rate_max_ops_s: float
    foreign_core_ratio: float | None

    def by_type(self) -> dict[str, float]:
        """CPU seconds of a shard for one more operation of each type in a batch.

        Processes are sampled as a whole, so the cost of an operation is shared out by how much
        longer each type makes the service time.
        """
        slopes = {name: line.each for name, line in self.service.lines.items()}
        mean = sum(self.mix[name] * slope for name, slope in slopes.items())
        if mean <= 0:
            return dict.fromkeys(slopes, self.shard_cpu.each)
        return {name: self.shard_cpu.each * slope / mean for name, slope in slopes.items()}


def fit_demands(runs: Sequence[RunEvidence]) -> Demands:
    """Fit the demands to runs.

    Raises:
        UsageError: runs do not suffice: there are none, or all had batches of one size.
    """
    if not runs:
        raise UsageError(
            "--from", "has no run; give runs of harness run, or a directory of bench agents"
        )
    sizes = [run.batch_ops for run in runs]
    if max(sizes) < BATCH_RATIO_MIN * min(sizes):
        raise UsageError(
            "--from",
            f"has batches of {min(sizes):.3g} to {max(sizes):.3g} operations only, which do not "
            "tell what a call costs from what an operation does; give runs with fewer and with "
            "more agents, such as a directory of bench agents",
        )
    shard_cpu, cohort_cpu = fit_cpu(runs)
    counts = {name: sum(run.operations[name] for run in runs) for name in OPERATIONS}
    foreign = [run.foreign_cores / run.cores for run in runs if run.foreign_cores is not None]
    return Demands(
        mix={name: count / sum(counts.values()) for name, count in counts.items()},
        shard_cpu=shard_cpu,
        cohort_cpu=cohort_cpu,
        service=_typed_times(runs, "service_us"),
        passage=_typed_times(runs, "passage_us"),
        wire=_wire(runs),
        batch_ops=(min(sizes), max(sizes)),
        agents_max=max(run.agents for run in runs),
        rate_max_ops_s=max(run.throughput_ops_s / run.shards for run in runs),
        foreign_core_ratio=float(np.mean(foreign)) if foreign else None,
    )


def fit_cpu(runs: Sequence[RunEvidence]) -> tuple[Line, Line]:
    """CPU seconds of a shard, and of a cohort, for a batch."""
    batches = np.array([run.batches_sent for run in runs], np.float64)
    operations = np.array([run.operations_total for run in runs], np.float64)
    shard_s = np.array([run.shard_cpu_s for run in runs])
    cohort_s = np.array([run.cohort_cpu_s for run in runs])
    return fit_line(batches, operations, shard_s), fit_line(batches, operations, cohort_s)


def _wire(runs: Sequence[RunEvidence]) -> Line | None:
    known = [run for run in runs if run.wire_bytes]
    if not known:
        return None
    batches = np.array([run.batches_sent for run in known], np.float64)
    operations = np.array([run.operations_total for run in known], np.float64)
    return fit_line(batches, operations, np.array([run.wire_bytes for run in known], np.float64))


def fit_line(batches: Floats, operations: Floats, costs: Floats) -> Line:
    """The least squares of relative errors of ``batches * call + operations * each = costs``.

    Neither is negative: of two unknowns the best is inside, or with one of them at zero (Lawson
    and Hanson, "Solving Least Squares Problems", 1974, chapter 23).
    """
    design = np.stack([batches, operations], axis=1) / costs[:, None]
    inside, *_ = np.linalg.lstsq(design, np.ones(len(costs)), rcond=None)
    if (inside >= 0).all():
        return Line(call=float(inside[0]), each=float(inside[1]))
    alone = design.sum(axis=0) / np.maximum((design**2).sum(axis=0), 1e-300)
    left = ((design * alone - 1) ** 2).sum(axis=0)
    if left[0] < left[1]:
        return Line(call=float(alone[0]), each=0.0)
    return Line(call=0.0, each=float(alone[1]))


def _typed_times(runs: Sequence[RunEvidence], column: str) -> TypedTimes:
    """Lines and noise of a time, of batches that are of one type as good as alone."""
    lines: dict[str, Line] = {}
    noise: dict[str, list[tuple[float, Floats]]] = {}
    for name in OPERATIONS:
        points = [point for run in runs if (point := _median_of(run, name, column)) is not None]
        if not points:
            continue
        sizes = np.array([size for size, _, _ in points])
        medians = np.array([median for _, median, _ in points])
        lines[name] = fit_line(np.ones(len(points)), sizes, medians)
        noise[name] = sorted(((size, off) for size, _, off in points), key=lambda one: one[0])
    if not lines:
        raise UsageError(
            "--from", "has no batches of one type of operation; give runs of the standard workload"
        )
    return TypedTimes(lines=lines, noise=noise)


def _median_of(run: RunEvidence, name: str, column: str) -> tuple[float, float, Floats] | None:
    """Of a run's batches of a type: median size, median seconds, and what each lies off that."""
    counts = {one: np.array(run.batches.operations[one]) for one in OPERATIONS}
    total = sum(counts.values())
    chosen = (counts[name] > 0) & (counts[name] == total)
    if chosen.sum() < _FEWEST_BATCHES:
        return None
    seconds = np.array(getattr(run.batches, column), np.float64)[chosen] / 1e6
    seconds = np.maximum(seconds, 1e-6)
    median = float(np.median(seconds))
    return float(np.median(counts[name][chosen])), median, seconds - median
