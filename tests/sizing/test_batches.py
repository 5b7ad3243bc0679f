"""Batches are put together again from rows."""

from __future__ import annotations

import numpy as np

from harness.sizing.batches import batches_of, thinned

COLUMNS = ("cohort", "shard", "op", "started_ns", "queue_ns", "transport_ns", "service_ns")


def rows(*table: tuple[int, ...]) -> dict[str, np.ndarray]:
    names = (*COLUMNS, "batch_ops")
    columns = np.array(table, np.int64).reshape(-1, len(names))
    return {name: columns[:, at] for at, name in enumerate(names)}


def test_rows_that_were_sent_together_are_a_batch():
    """Cohort, shard and the moment of sending make one, also over two files."""
    first = rows(
        (0, 0, 0, 1_000, 5_000, 20_000, 3_000, 3),
        (0, 0, 2, 2_000, 4_000, 30_000, 3_000, 3),
        (0, 1, 1, 1_000, 5_000, 9_000, 1_000, 1),
    )
    second = rows((0, 0, 0, 0, 6_000, 40_000, 3_000, 3), (1, 0, 1, 0, 6_000, 7_000, 2_000, 1))
    found = batches_of([first, second])
    assert found.operations == {"store": [2, 0, 0], "retrieve": [0, 1, 1], "search": [1, 0, 0]}
    assert found.service_us == [3, 1, 2]
    assert found.passage_us == [35, 14, 13]


def test_a_batch_that_lacks_rows_is_left_out():
    """Warm-up had a part of it: what is left is not its size."""
    found = batches_of([rows((0, 0, 0, 0, 0, 1_000, 1_000, 2), (0, 0, 0, 9, 0, 1_000, 1_000, 1))])
    assert found.count == 1


def test_no_rows_are_no_batches():
    """A run without operations has none."""
    assert batches_of([]).count == 0
    assert batches_of([rows()]).count == 0


def test_thinning_keeps_batches_of_the_whole_run():
    """The first and the last stay, and as many between as asked for."""
    table = [(0, 0, 0, at * 1_000, 0, 1_000, at * 1_000, 1) for at in range(100)]
    few = thinned(batches_of([rows(*table)]), 10)
    assert few.count == 10
    assert (few.service_us[0], few.service_us[-1]) == (0, 99)
    assert few.operations["store"] == [1] * 10
