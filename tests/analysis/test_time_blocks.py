"""Variation within a run: blocks of its time, and intervals of ratios made from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.analysis.time_blocks import TimeBlocks, block_ratio_interval, read_blocks
from harness.rundir_reader import open_run
from tests.made_runs import DURATION_S, made_run

FIGURES = [
    "throughput_ops_s",
    "all.mean_ms",
    "all.p50_ms",
    "search.p95_ms",
    "store.p99_ms",
    "service.all.mean_ms",
    "service.retrieve.p50_ms",
    "cpu_us_per_operation.shard",
]


def blocks_of(path: Path) -> TimeBlocks:
    found = read_blocks(open_run(path))
    assert found is not None
    return found


def whole(blocks: TimeBlocks, path: str) -> float:
    figure = blocks.figure(path, np.ones((1, blocks.blocks)))
    assert figure is not None, path
    return float(figure[0])


@pytest.mark.parametrize("path", FIGURES)
def test_blocks_together_say_what_the_summary_says(tmp_path: Path, path: str):
    """Figures of all blocks are those of the run to within a bin's width, or a gap in the tail."""
    run = made_run(tmp_path / "run")
    stated: object = open_run(run).summary
    for name in path.split("."):
        assert isinstance(stated, dict)
        stated = stated[name]
    assert whole(blocks_of(run), path) == pytest.approx(stated, rel=0.02)


def test_blocks_are_a_second_long(tmp_path: Path):
    """A run of 20 s has 20 blocks, whose operations add up to the run's."""
    blocks = blocks_of(made_run(tmp_path / "run"))
    assert blocks.blocks == 20
    assert blocks.block_s.sum() == pytest.approx(DURATION_S, rel=0.01)
    assert blocks.succeeded.sum() == 3000
    assert blocks.histograms["response"].sum() == 3000


def test_a_run_without_rows_has_no_blocks(tmp_path: Path):
    """There is nothing to resample where no row was written."""
    run = made_run(tmp_path / "run")
    next((run / "ops").iterdir()).unlink()
    assert read_blocks(open_run(run)) is None


def test_a_known_change_is_within_the_interval(tmp_path: Path):
    """Times half as long again give an interval about 1.5 that leaves out 1."""
    base = blocks_of(made_run(tmp_path / "base", seed=1))
    new = blocks_of(made_run(tmp_path / "new", seed=3, slower=1.5))
    ratio = whole(new, "all.p50_ms") / whole(base, "all.p50_ms")
    found = block_ratio_interval(base, new, "all.p50_ms", ratio=ratio)
    low, high = found["low"], found["high"]
    assert low is not None
    assert high is not None
    assert 1.3 < low < 1.5 < high < 1.7


def drawn_blocks(random: np.random.Generator, count: int = 20) -> TimeBlocks:
    """Blocks whose speed varies from one to the next by 10%, all operations of one alike."""
    succeeded = np.round(1000 * random.lognormal(0, 0.1, count)).astype(np.int64)
    histograms = np.zeros((3, count, 2400), np.int64)
    return TimeBlocks(
        block_s=np.ones(count),
        succeeded=succeeded,
        histograms={"response": histograms, "service": histograms},
        sums_ns={"response": np.zeros((3, count)), "service": np.zeros((3, count))},
        cpu_s={},
    )


def test_blocks_that_do_not_differ_rarely_seem_to():
    """Of 200 pairs of one distribution about 1 in 20 intervals leave out 1."""
    random = np.random.default_rng(5)
    missed = 0
    for _ in range(200):
        base, new = drawn_blocks(random), drawn_blocks(random)
        ratio = whole(new, "throughput_ops_s") / whole(base, "throughput_ops_s")
        found = block_ratio_interval(base, new, "throughput_ops_s", ratio=ratio)
        assert found["low"] is not None
        assert found["high"] is not None
        missed += not found["low"] <= 1 <= found["high"]
    assert 2 <= missed <= 20


def test_a_figure_that_blocks_do_not_have_has_no_interval(tmp_path: Path):
    """Memory, and names that are none, keep their ratio without ends."""
    blocks = blocks_of(made_run(tmp_path / "run"))
    for path in ("resources.shard.rss_bytes_max", "all", "all.p999_ms", "a.b.c.d", "walk.p50_ms"):
        found = block_ratio_interval(blocks, blocks, path, ratio=1.25)
        assert found == {"estimate": 1.25, "low": None, "high": None}


def test_joined_blocks_are_those_of_both(tmp_path: Path):
    """Two runs joined have the blocks of both, and figures of their operations together."""
    one, two = (
        blocks_of(made_run(tmp_path / name, seed=seed, slower=seed))
        for seed, name in ((1, "one"), (2, "two"))
    )
    joined = TimeBlocks.joined([one, two])
    assert joined.blocks == 40
    assert whole(one, "all.mean_ms") < whole(joined, "all.mean_ms") < whole(two, "all.mean_ms")
