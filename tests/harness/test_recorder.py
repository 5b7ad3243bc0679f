"""Rows reach their files whole and once; what cannot be written is reported, and memory bounded."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import recorder
from harness.operation_tally import OperationTally, Tally, add_tally, latencies_of
from harness.recorder import (
    FIELDS,
    LATENCY_BUCKETS,
    CountingRecorder,
    Recorder,
    RowRecorder,
    bucket_of_ns,
    bucket_start_ns,
)
from harness.schema import OPERATIONS, OPS_METADATA_KEYS, OUTCOMES, PHASES, SUCCESSES
from harness.sinks import LoadgenWriter, LocalSink, OpsWriter

ORIGIN_NS = 1_000_000_000_000
OK, NOT_FOUND, TIMEOUT = (OUTCOMES.index(name) for name in ("ok", "not_found", "timeout"))


def row(number: int, *, phase: int = 1, outcome: int = OK, latency_ns: int = 9_000) -> tuple[Any]:
    """A row whose agent is its number, and which has another value in every field."""
    scheduled = ORIGIN_NS + 1_000 * number
    return (
        phase,
        number,
        number % 3,
        scheduled,
        scheduled + 10,
        scheduled + latency_ns,
        outcome,
        number % 2,
        4,
        2,
        scheduled + 110,
        30,
        5_000,
    )


class Disk:
    """A sink that can be held up, or be full."""

    def __init__(self, root: Path) -> None:
        self._sink = LocalSink(root)
        self.free = threading.Event()
        self.free.set()
        self.full = False
        self.names: list[str] = []

    def write(self, name: str, data: bytes) -> None:
        assert self.free.wait(30)
        if self.full:
            raise OSError(28, "No space left on device")
        self._sink.write(name, data)
        self.names.append(name)

    def append(self, name: str, data: bytes) -> None:
        raise AssertionError("rows are written in whole files")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.free.set()


def recorder_on(disk: Disk) -> RowRecorder:
    place = (disk, 3, "abc", 5, ORIGIN_NS)
    return RowRecorder(OpsWriter(*place), LoadgenWriter(*place), ORIGIN_NS)


def flush_often(rows: RowRecorder) -> None:
    """Flush until the first write has been noticed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rows.add(row(1))
        rows.flush()
        time.sleep(0.005)


def written(root: Path, folder: str = "ops") -> list[dict[str, Any]]:
    return [
        one for path in sorted((root / folder).iterdir()) for one in pq.read_table(path).to_pylist()
    ]


def test_a_row_is_taken_apart_so_that_its_parts_add_up(disk: Disk, tmp_path: Path):
    """Times count from the cohort's start; queueing, transport and service make up the whole."""
    rows = recorder_on(disk)
    rows.add(row(7, outcome=NOT_FOUND))
    rows.close()
    assert written(tmp_path) == [
        {
            "phase": "measure",
            "cohort": 3,
            "agent": 7,
            "op": OPERATIONS[1],
            "shard": 1,
            "scheduled_ns": 7_000,
            "started_ns": 7_010,
            "finished_ns": 16_000,
            "queue_ns": 100,
            "transport_ns": 3_890,
            "service_ns": 5_000,
            "shard_wait_ns": 30,
            "batch_ops": 4,
            "attempts": 2,
            "outcome": "not_found",
        }
    ]


def test_the_parts_of_every_row_add_up(disk: Disk, tmp_path: Path):
    """queue + transport + service == finished - started, whatever the times are."""
    rows = recorder_on(disk)
    random = np.random.default_rng(5)
    for number in range(500):
        scheduled = ORIGIN_NS + int(random.integers(0, 10**12))
        started = scheduled + int(random.integers(0, 10**9))
        sent = started + int(random.integers(0, 10**9))
        finished = sent + int(random.integers(0, 10**10))
        service = int(random.integers(0, finished - sent + 1))
        rows.add((1, number, 0, scheduled, started, finished, OK, 0, 1, 1, sent, 0, service))
    rows.close()
    found = written(tmp_path)
    assert len(found) == 500
    for one in found:
        parts = one["queue_ns"] + one["transport_ns"] + one["service_ns"]
        assert parts == one["finished_ns"] - one["started_ns"]
        assert min(one["queue_ns"], one["transport_ns"], one["service_ns"]) >= 0


def test_every_label_finds_its_name(disk: Disk, tmp_path: Path):
    """Each phase, operation and outcome is written under the name that it has in the schema."""
    rows = recorder_on(disk)
    for phase in range(len(PHASES)):
        for op in range(len(OPERATIONS)):
            for outcome in range(len(OUTCOMES)):
                rows.add((phase, 0, op, *[ORIGIN_NS] * 3, outcome, -1, 0, 0, ORIGIN_NS, 0, 0))
    rows.close()
    found = {(one["phase"], one["op"], one["outcome"]) for one in written(tmp_path)}
    assert found == {(p, op, out) for p in PHASES for op in OPERATIONS for out in OUTCOMES}


def test_hand_over_loses_and_doubles_no_row(disk: Disk, tmp_path: Path):
    """Rows that are added while buffers change hands are written once each, in their order."""
    rows = recorder_on(disk)
    for number in range(3_000):
        rows.add(row(number))
        if number % 37 == 0:
            rows.flush()
        if number % 101 == 0:
            rows.progress()
    rows.close()
    assert [one["agent"] for one in written(tmp_path)] == list(range(3_000))


def test_rows_are_added_while_others_are_written(disk: Disk, tmp_path: Path):
    """A slow disk holds nobody up: the next buffer fills meanwhile, and nothing is lost."""
    rows = recorder_on(disk)
    disk.free.clear()
    for number in range(300):
        rows.add(row(number))
        if number in {99, 199}:
            rows.flush()
    assert not disk.names
    disk.free.set()
    rows.close()
    assert [one["agent"] for one in written(tmp_path)] == list(range(300))
    assert rows.stalls == 0


def test_an_add_that_was_looked_up_late_does_not_reach_a_written_buffer(disk: Disk):
    """`add` is another one after a hand-over: the buffer that is written is never added to."""
    rows = recorder_on(disk)
    rows.add(row(0))
    before = rows.add
    rows.flush()
    assert rows.add != before
    rows.close()


def test_waiting_buffers_are_bounded_and_stalls_counted(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Beyond MAX_WAITING_FLUSHES rows stay; once they fill a buffer the event loop waits."""
    rows = recorder_on(disk)
    disk.free.clear()
    for number in range(recorder.MAX_WAITING_FLUSHES):
        rows.add(row(number))
        rows.flush()
    rows.add(row(99))
    rows.flush()
    assert rows.stalls == 0
    monkeypatch.setattr(recorder, "MAX_BUFFERED_ROWS", 1)
    releasing = threading.Timer(0.05, disk.free.set)
    releasing.start()
    rows.flush()
    assert disk.free.is_set()
    assert rows.stalls == 1
    rows.close()
    releasing.join()
    assert [one["agent"] for one in written(tmp_path)] == [
        *range(recorder.MAX_WAITING_FLUSHES),
        99,
    ]


def test_a_buffer_says_when_it_is_full(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    """`is_full` is true from MAX_BUFFERED_ROWS rows on, and not after the hand-over."""
    monkeypatch.setattr(recorder, "MAX_BUFFERED_ROWS", 10)
    rows = recorder_on(disk)
    for number in range(9):
        rows.add(row(number))
    assert not rows.is_full
    rows.add(row(9))
    assert rows.is_full
    rows.flush()
    assert not rows.is_full
    rows.close()


@pytest.mark.parametrize("last", ["flush", "close"])
def test_what_cannot_be_written_is_reported(disk: Disk, last: str):
    """A full disk raises OSError from the next hand-over, and from close at the latest."""
    rows = recorder_on(disk)
    disk.full = True
    rows.add(row(0))
    rows.flush()
    rows.add(row(1))
    hand_over = rows.close if last == "close" else lambda: flush_often(rows)
    with pytest.raises(OSError, match="No space left"):
        hand_over()


def test_close_reports_and_ends_its_thread_whatever_was_written(disk: Disk):
    """After a failed close no thread of the recorder is left."""
    before = set(threading.enumerate())
    rows = recorder_on(disk)
    disk.full = True
    rows.add(row(0))
    with pytest.raises(OSError, match="No space left"):
        rows.close()
    assert set(threading.enumerate()) <= before


def test_rows_after_a_failed_write_are_still_written(disk: Disk, tmp_path: Path):
    """A write that failed once loses its own rows only: what came later is written by close."""
    rows = recorder_on(disk)
    disk.full = True
    rows.add(row(0))
    rows.flush()
    with pytest.raises(OSError, match="No space left"):
        flush_often(rows)
    disk.full = False
    rows.add(row(2))
    with pytest.raises(OSError, match="No space left"):
        rows.close()
    assert 2 in [one["agent"] for one in written(tmp_path)]


def test_nothing_to_write_makes_no_file(disk: Disk, tmp_path: Path):
    """A recorder that was given nothing leaves nothing."""
    rows = recorder_on(disk)
    rows.flush()
    rows.close()
    assert list(tmp_path.iterdir()) == []


def test_timer_lag_goes_to_files_of_its_own(disk: Disk, tmp_path: Path):
    """What the event loop overslept is written with when that was, from the cohort's start."""
    rows = recorder_on(disk)
    rows.add_lag(ORIGIN_NS + 10_000, 7)
    rows.flush()
    rows.add_lag(ORIGIN_NS + 20_000, 0)
    rows.close()
    assert written(tmp_path, "loadgen") == [
        {"cohort": 3, "at_ns": 10_000, "lag_ns": 7},
        {"cohort": 3, "at_ns": 20_000, "lag_ns": 0},
    ]
    metadata = pq.read_schema(sorted((tmp_path / "loadgen").iterdir())[0]).metadata
    assert {name.encode() for name in OPS_METADATA_KEYS} <= set(metadata)


def made(kind: str, disk: Disk) -> Recorder:
    return recorder_on(disk) if kind == "rows" else CountingRecorder()


@pytest.mark.parametrize("kind", ["rows", "counts"])
def test_progress_counts_what_was_measured_since_the_last_look(kind: str, disk: Disk):
    """Warm-up is neither an operation nor a failure of the run; nothing is counted twice."""
    rows = made(kind, disk)
    rows.add(row(0))
    rows.add(row(1, outcome=TIMEOUT))
    rows.add(row(2, outcome=NOT_FOUND))
    rows.add(row(3, phase=0, outcome=TIMEOUT))
    rows.add(row(4, phase=0))
    first = rows.progress()
    assert (first.operations, first.failures) == (3, 1)
    nothing = rows.progress()
    assert (nothing.operations, nothing.failures, nothing.tally) == (0, 0, {})
    rows.add(row(5))
    assert rows.progress().operations == 1
    rows.close()


def plainly(rows: list[tuple[int, ...]], *, times: bool) -> Tally:
    """What rows come to, one after the other."""
    tally: Tally = {}
    for one in rows:
        named = dict(zip(FIELDS, one, strict=True))
        kind = named["phase"] * len(OPERATIONS) + named["op"]
        mine = tally.setdefault(kind, OperationTally([0] * len(OUTCOMES), {}))
        mine.outcomes[named["outcome"]] += 1
        if not times:
            continue
        response_ns = named["finished"] - named["scheduled"]
        mine.response_ns += response_ns
        mine.queue_ns += named["sent"] - named["started"]
        mine.shard_wait_ns += named["shard_wait"]
        mine.service_ns += named["service"]
        parts_ns = named["sent"] - named["started"] + named["shard_wait"] + named["service"]
        mine.transport_ns += named["finished"] - named["started"] - parts_ns
        bucket = int(bucket_of_ns(np.array([response_ns]))[0])
        mine.latencies[bucket] = mine.latencies.get(bucket, 0) + 1
    return tally


def places(names: Sequence[str]) -> st.SearchStrategy[int]:
    return st.integers(0, len(names) - 1)


times_ns = st.integers(0, 100_000_000_000)


@st.composite
def any_row(draw: st.DrawFn) -> tuple[int, ...]:
    scheduled = ORIGIN_NS + draw(times_ns)
    started = scheduled + draw(times_ns)
    sent = started + draw(times_ns)
    wait, service = draw(times_ns), draw(times_ns)
    finished = sent + wait + service + draw(times_ns)
    phase, operation, outcome = (
        draw(places(PHASES)),
        draw(places(OPERATIONS)),
        draw(places(OUTCOMES)),
    )
    ends = (0, 4, 1, sent, wait, service)
    return (phase, 5, operation, scheduled, started, finished, outcome, *ends)


@pytest.mark.parametrize("kind", ["rows", "counts"])
@given(parts=st.lists(st.lists(any_row(), max_size=12), max_size=4), flushed=st.booleans())
def test_what_rows_come_to_is_what_counting_them_says(
    kind: str, parts: list[list[tuple[int, ...]]], flushed: bool
):
    """By phase and operation: outcomes and, of rows that are kept, exact times and histograms."""
    with tempfile.TemporaryDirectory() as folder:
        rows = made(kind, Disk(Path(folder)))
        total: Tally = {}
        for part in parts:
            for one in part:
                rows.add(one)
            if flushed:
                rows.flush()
            done = rows.progress()
            assert done.tally == plainly(part, times=kind == "rows")
            measured = [one for one in part if one[0] == PHASES.index("measure")]
            failed = [one for one in measured if OUTCOMES[one[6]] not in SUCCESSES]
            assert (done.operations, done.failures) == (len(measured), len(failed))
            add_tally(total, done.tally)
        assert total == plainly([one for part in parts for one in part], times=kind == "rows")
        rows.close()


def test_buckets_are_within_five_percent():
    """From 1 us to over an hour a bucket's middle is within 5% of every latency in it."""
    latency_ns = np.unique(np.geomspace(1_000, 4e12, 20_000).astype(np.int64))
    buckets = bucket_of_ns(latency_ns)
    middles = np.array([bucket_start_ns(bucket + 0.5) for bucket in buckets.tolist()])
    assert np.abs(middles / latency_ns - 1).max() < 0.05
    assert (np.diff(buckets) >= 0).all()
    starts = np.array([bucket_start_ns(bucket) for bucket in buckets.tolist()])
    assert (starts <= latency_ns + 1).all()


def test_buckets_end_where_the_histogram_does():
    """A latency of nothing, less than nothing, or of years has a bucket of the histogram too."""
    buckets = bucket_of_ns(np.array([-5, 0, 999, 2**62]))
    assert buckets.tolist() == [0, 0, 0, LATENCY_BUCKETS - 1]


def test_progress_misses_no_row_when_the_buffer_changes_hands(disk: Disk):
    """Rows that were added since the last look are counted though they were handed on since."""
    rows = recorder_on(disk)
    rows.add(row(0))
    rows.progress()
    rows.add(row(1))
    rows.flush()
    rows.add(row(2))
    rows.flush()
    rows.add(row(3))
    done = rows.progress()
    assert (done.operations, latencies_of(done.tally).total()) == (3, 3)
    assert rows.progress().operations == 0
    rows.close()
