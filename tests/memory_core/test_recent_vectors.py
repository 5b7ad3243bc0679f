"""Vectors of recent states: what is remembered is right, and how much is bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memory_core import Hits, MemoryConfig, MemoryStore, Search, StateEncoder, Store
from memory_core.recent_vectors import RecentVectors


def test_a_search_with_a_stored_state_finds_what_an_encoded_one_does(tmp_path: Path):
    """A query that was stored before, and one that never was, rank memories the same."""
    states = [{"x": float(i), "kind": "abc"[i % 3]} for i in range(30)]
    config = MemoryConfig(path=tmp_path / "db", durability="os")
    with MemoryStore(config) as store:
        store.execute([Store.of("a", f"s{i}", state) for i, state in enumerate(states)])
        remembered = store.execute([Search.of("a", states[7], k=30)])[0]
    with MemoryStore(config) as store:  # a new store remembers none
        encoded = store.execute([Search.of("a", states[7], k=30)])[0]
    assert isinstance(remembered, Hits)
    assert isinstance(encoded, Hits)
    assert [hit.score for hit in remembered.hits] == pytest.approx(
        [hit.score for hit in encoded.hits], abs=1e-6
    )
    assert remembered.hits[0].state_id == "s7"


def test_vectors_are_forgotten_oldest_first_and_the_bound_is_kept():
    """Two generations are held at the most, and the newest states are among them."""
    recent = RecentVectors(65_536)  # 8 vectors a generation
    vector = np.zeros((1, 65_536), np.float32)
    for number in range(100):
        recent.put([b"%d" % number], vector)
        held = sum(recent.get(b"%d" % earlier) is not None for earlier in range(number + 1))
        assert held <= 16
        assert recent.get(b"%d" % number) is not None


def test_a_large_state_is_not_remembered():
    """States over 1 KiB are encoded anew: remembering them would cost more than it saves."""
    recent = RecentVectors(64)
    recent.put([b"y", b"x" * 1_025], StateEncoder().encode([{"a": 1}, {"a": 2}]))
    assert recent.get(b"x" * 1_025) is None
    recent.put([b"y"], StateEncoder().encode([{"a": 1}]))
    assert recent.get(b"y") is not None
