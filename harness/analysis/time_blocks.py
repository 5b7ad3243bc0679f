"""How much the figures of a single run vary within it: a bootstrap over blocks of its time.

The measured time is cut into blocks of equal length. Resampling whole blocks, rather than
operations, keeps what neighbours share (a batch, a flush, a pause) together: operations of one
moment are not independent, and an interval that took them to be would be far too narrow
(Carlstein, "The Use of Subseries Values for Estimating the Variance of a General Statistic from
a Stationary Sequence", Annals of Statistics 14(3), 1986). A figure of a resample is that of all
its operations together, so a percentile is one of operations, not a mean of percentiles. As with
repeats (`harness.analysis.bootstrap`) deviations are logarithms, widened for few blocks.

What differs from one run to the next (a warm disk, a neighbour on the machine, where the
scheduler put things) is in none of it: two runs of one plan may differ by more.

Times are counted in bins 1% wide, which bounds memory whatever the run's length; only how a
figure deviates is taken from them, never a figure itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.bootstrap import Estimate
from harness.analysis.student import normal_half_width, student_half_width
from harness.rundir_reader import FileMetadata, RunReader
from harness.schema import OPERATIONS, OUTCOMES, PHASES, ROLES, SUCCESSES

__all__ = ["BLOCKS_MAX", "BLOCKS_MIN", "Keep", "TimeBlocks", "block_ratio_interval", "read_blocks"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Keep = Callable[[FileMetadata, pa.Table], npt.NDArray[np.bool_]]

BLOCKS_MIN, BLOCKS_MAX = 10, 60
# CPU time is sampled: a shorter block would share its samples with its neighbours.
_CPU_BLOCK_FEWEST_S = 0.4
_BIN_RATIO = 1.01
_FIRST_BIN_NS = 10.0
_BINS = math.ceil(math.log(1e10) / math.log(_BIN_RATIO))  # 10 ns to 100 s
_RESAMPLES = 1000
_TIMES = ("response", "service")
_PERCENTILES = {"p50_ms": 0.50, "p90_ms": 0.90, "p95_ms": 0.95, "p99_ms": 0.99}
_POINTS = ("scheduled_ns", "started_ns", "finished_ns", "service_ns")
_COLUMNS = ("phase", "op", "outcome", *_POINTS)
_OTHER_NAMES = {
    "operations_per_second": "throughput_ops_s",
    "actual_rate_ops_per_second": "throughput_ops_s",
    "avg_operation_time_ms": "all.mean_ms",
    "p95_operation_time_ms": "all.p95_ms",
    "efficiency.operations_per_cpu_second": "operations_per_cpu_second",
}


@dataclass(frozen=True, kw_only=True)
class TimeBlocks:
    """A run, or several, in blocks; `read_blocks` makes one.

    Attributes:
        block_s: length of each block, ``(blocks,)`` seconds.
        succeeded: operations by block, ``(blocks,)``.
        histograms: by time (response, service): ``(operations of OPERATIONS, blocks, bins)``.
        sums_ns: by time: ``(operations, blocks)``.
        cpu_s: by role: CPU seconds, ``(blocks,)``; none where blocks are too short for samples.
    """

    block_s: Floats
    succeeded: Counts
    histograms: dict[str, Counts]
    sums_ns: dict[str, Floats]
    cpu_s: dict[str, Floats]

    @property
    def blocks(self) -> int:
        """How many."""
        return int(self.block_s.size)

    @staticmethod
    def joined(parts: Iterable[TimeBlocks]) -> TimeBlocks:
        """Give the blocks of several runs of one plan as those of one."""
        found = list(parts)
        roles = set.intersection(*(set(one.cpu_s) for one in found))
        return TimeBlocks(
            block_s=np.concatenate([one.block_s for one in found]),
            succeeded=np.concatenate([one.succeeded for one in found]),
            histograms={
                time: np.concatenate([one.histograms[time] for one in found], axis=1)
                for time in _TIMES
            },
            sums_ns={
                time: np.concatenate([one.sums_ns[time] for one in found], axis=1)
                for time in _TIMES
            },
            cpu_s={role: np.concatenate([one.cpu_s[role] for one in found]) for role in roles},
        )

    def figure(self, path: str, weights: Floats) -> Floats | None:
        """Give a figure of a summary for resamples of the blocks.

        Args:
            path: of the figure; one of a run's, or its name in a benchmark's section.
            weights: how often each resample has each block, ``(resamples, blocks)``.

        Returns:
            ``(resamples,)``, NaN where a resample has no operation; None for a figure that
            blocks do not have.
        """
        path = _OTHER_NAMES.get(path, path)
        with np.errstate(divide="ignore", invalid="ignore"):
            if path == "throughput_ops_s":
                return np.asarray(weights @ self.succeeded / (weights @ self.block_s))
            if path == "operations_per_cpu_second":
                used = self._cpu("all", weights)
                return None if used is None else 1e6 / used
            if path.startswith("cpu_us_per_operation."):
                return self._cpu(path.rpartition(".")[2], weights)
            parts = path.split(".")
            time, name, at = ["response", *parts] if len(parts) == 2 else (parts + [""] * 3)[:3]
            if time not in _TIMES or name not in {"all", *OPERATIONS}:
                return None
            return self._time(time, name, at, weights)

    def _cpu(self, role: str, weights: Floats) -> Floats | None:
        used = list(self.cpu_s.values()) if role == "all" else [self.cpu_s.get(role)]
        known = [one for one in used if one is not None]
        if not known:
            return None
        operations = self.histograms["response"].sum(axis=(0, 2))
        return np.asarray(1e6 * (weights @ np.sum(known, axis=0)) / (weights @ operations))

    def _time(self, time: str, name: str, at: str, weights: Floats) -> Floats | None:
        of = slice(None) if name == "all" else slice(*(OPERATIONS.index(name) + n for n in (0, 1)))
        counts = self.histograms[time][of].sum(axis=0)
        if at == "mean_ms":
            sums_ns = self.sums_ns[time][of].sum(axis=0)
            return np.asarray(weights @ sums_ns / (weights @ counts.sum(axis=1)) / 1e6)
        if at not in _PERCENTILES:
            return None
        return _percentile_ms(counts, weights, _PERCENTILES[at])


def _percentile_ms(counts: Counts, weights: Floats, quantile: float) -> Floats:
    """The percentile of each resample of counts ``(blocks, bins)``, interpolated within a bin."""
    used = np.flatnonzero(counts.any(axis=0))
    if not used.size:
        return np.full(len(weights), np.nan)
    first = int(used[0])
    # a bin more on either side, so that there is always one before and one at the end
    reached = np.cumsum(np.pad(counts[:, first : used[-1] + 1], ((0, 0), (1, 1))), axis=1)
    totals = weights @ reached.astype(np.float64)
    wanted = quantile * totals[:, -1]
    place = np.minimum((totals < wanted[:, None]).sum(axis=1), totals.shape[1] - 1)
    rows = np.arange(len(totals))
    before = totals[rows, np.maximum(place - 1, 0)]
    part = (wanted - before) / (totals[rows, place] - before)
    values = _FIRST_BIN_NS / 1e6 * _BIN_RATIO ** (first + place - 1 + part)
    return np.where(totals[:, -1] > 0, values, np.nan)


def read_blocks(reader: RunReader, keep: Keep | None = None) -> TimeBlocks | None:
    """Cut a run into blocks: one a second, but 10 at least and 60 at most.

    Reads the rows twice, one file in memory at a time.

    Args:
        reader: of the run.
        keep: which rows of a file count, ``(n,)`` booleans; by default all that were measured.
            The time that is cut is that of these rows.

    Returns:
        None for a run without such a row.
    """
    window = _window(reader, keep)
    if window is None:
        return None
    begin_ns, end_ns = window
    duration_s = (end_ns - begin_ns) / 1e9
    blocks = min(max(round(duration_s), BLOCKS_MIN), BLOCKS_MAX)
    edges_ns = begin_ns + np.linspace(0, end_ns - begin_ns, blocks + 1)
    succeeded = np.zeros(blocks, np.int64)
    histograms = {time: np.zeros((len(OPERATIONS), blocks, _BINS), np.int64) for time in _TIMES}
    sums_ns = {time: np.zeros((len(OPERATIONS), blocks)) for time in _TIMES}
    good = [OUTCOMES.index(name) for name in sorted(SUCCESSES)]
    for start_ns, table in _measured(reader, keep):
        # from the window's begin, so that no wall clock is rounded to a float
        finished = table["finished_ns"].to_numpy() + (start_ns - begin_ns)
        block = np.minimum(finished * blocks // max(end_ns - begin_ns, 1), blocks - 1)
        code = _codes(table, "op")
        succeeded += np.bincount(block[np.isin(_codes(table, "outcome"), good)], minlength=blocks)
        response = table["finished_ns"].to_numpy() - table["scheduled_ns"].to_numpy()
        for time, values in (("response", response), ("service", table["service_ns"].to_numpy())):
            cell = code * blocks + block
            shape = (len(OPERATIONS), blocks)
            sums_ns[time] += np.bincount(cell, values, math.prod(shape)).reshape(shape)
            binned = np.bincount(cell * _BINS + _bins(values), minlength=math.prod(shape) * _BINS)
            histograms[time] += binned.reshape(*shape, _BINS)
    long_enough = duration_s / blocks >= _CPU_BLOCK_FEWEST_S
    return TimeBlocks(
        block_s=np.full(blocks, max(duration_s, 1e-9) / blocks),
        succeeded=succeeded,
        histograms=histograms,
        sums_ns=sums_ns,
        cpu_s=_cpu_by_block(reader.processes(), edges_ns) if long_enough else {},
    )


def _measured(reader: RunReader, keep: Keep | None) -> Iterable[tuple[int, pa.Table]]:
    for metadata, table in reader.operation_batches(_COLUMNS):
        measured = _codes(table, "phase") == PHASES.index("measure")
        if keep is not None:
            measured &= keep(metadata, table)
        if measured.any():
            yield metadata.start_wall_ns, table.filter(pa.array(measured))


def _window(reader: RunReader, keep: Keep | None) -> tuple[int, int] | None:
    """First issue to last answer on the time line, which is cut; it is no figure."""
    begins, ends = [], []
    for start_ns, table in _measured(reader, keep):
        begins.append(start_ns + int(table["started_ns"].to_numpy().min()))
        ends.append(start_ns + int(table["finished_ns"].to_numpy().max()))
    return (min(begins), max(ends)) if begins and max(ends) > min(begins) else None


def _codes(table: pa.Table, name: str) -> Counts:
    chunks = [chunk.indices.to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
    return np.concatenate([np.empty(0, np.int64), *chunks]).astype(np.int64)


def _bins(values_ns: Counts) -> Counts:
    logs = np.log(np.maximum(values_ns, _FIRST_BIN_NS) / _FIRST_BIN_NS) / math.log(_BIN_RATIO)
    return np.minimum(logs.astype(np.int64), _BINS - 1)


def _cpu_by_block(processes: pa.Table, edges_ns: Floats) -> dict[str, Floats]:
    """CPU seconds of each role within each block, read off between samples."""
    used: dict[str, Floats] = {}
    if not processes.num_rows:
        return used
    wall = processes["wall_ns"].to_numpy()
    counter = processes["cpu_seconds"].fill_null(np.nan).to_numpy()
    names = np.asarray(processes["role"].fill_null("").to_pylist(), np.str_)
    pids = processes["pid"].to_numpy()
    nodes = np.asarray(processes["node_id"].fill_null("").to_pylist(), np.str_)
    for role in sorted(set(names.tolist()) & set(ROLES)):
        of_role = (names == role) & np.isfinite(counter)
        for node in np.unique(nodes[of_role]):
            for pid in np.unique(pids[of_role & (nodes == node)]):
                mine = of_role & (nodes == node) & (pids == pid)
                order = np.argsort(wall[mine], kind="stable")
                read = np.interp(edges_ns, wall[mine][order], counter[mine][order])
                used[role] = used.get(role, 0.0) + np.diff(read)
    return used


def block_ratio_interval(
    base: TimeBlocks,
    new: TimeBlocks,
    path: str,
    *,
    ratio: float,
    confidence: float = 0.95,
    seed: int = 1,
) -> Estimate:
    """Give the interval of the ratio of a figure, new over base, by variation within the runs.

    Args:
        base: what is compared with.
        new: what is compared.
        path: of the figure.
        ratio: the ratio of the figures themselves, which is the estimate.
        confidence: of the interval.
        seed: the same seed gives the same interval.

    Returns:
        Low and high are None where blocks do not have the figure, or too many resamples have
        no operation that it could be of.
    """
    generator = np.random.default_rng(seed)
    deviations = np.zeros(_RESAMPLES)
    for side, sign in ((new, 1.0), (base, -1.0)):
        count = side.blocks
        weights = generator.multinomial(count, np.full(count, 1 / count), _RESAMPLES)
        drawn = side.figure(path, weights.astype(np.float64))
        whole = side.figure(path, np.ones((1, count)))
        if drawn is None or whole is None:
            return Estimate(estimate=ratio, low=None, high=None)
        widening = math.sqrt(count / (count - 1)) * student_half_width(count - 1, confidence)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_ratio = np.log(drawn / whole[0])
        deviations += sign * log_ratio * widening / normal_half_width(confidence)
    if not np.isfinite(deviations).all():
        return Estimate(estimate=ratio, low=None, high=None)
    low, high = np.quantile(deviations, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(
        estimate=ratio,
        low=ratio * math.exp(min(float(low), 0.0)),
        high=ratio * math.exp(max(float(high), 0.0)),
    )
