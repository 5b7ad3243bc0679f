"""What memories take, and what larger stores do to time."""

from __future__ import annotations

import pytest

from harness.sizing.storage import Range, bytes_per_memory, growth_of
from tests.sizing.made_evidence import made_memories


def test_the_largest_volume_tells_and_the_others_give_the_range():
    """Of volumes that are large enough: in a small one the store's own memory counts."""
    found = bytes_per_memory([made_memories()], "memory_bytes")
    assert found == Range(estimate=2_000, low=2_000, high=2_500)
    small = made_memories(volumes=[100, 100_000])
    assert bytes_per_memory([small], "memory_bytes") == Range(estimate=2_000)
    assert bytes_per_memory([], "memory_bytes") is None


def test_a_range_is_multiplied_with_its_ends():
    """As far as they are known."""
    assert Range(estimate=2, low=1).times(3) == Range(estimate=6, low=3)


def test_time_grows_by_the_power_that_was_measured():
    """Of an agent's memories for searches, of a shard's for the rest, and never downwards."""
    found = growth_of([made_memories()], (1e6, 400.0), (1e4, 100.0))
    assert found.factors == pytest.approx({"store": 1.0, "retrieve": 1.0, "search": 2.0})
    assert found.beyond_ratio == pytest.approx(1e6 / 50_000)
    assert growth_of([], (1e6, 400.0), (1e4, 100.0)).factors["search"] == 1.0
