"""Packed states are held in memory up to a bound, and forgotten agent by agent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memory_core import Done, MemoryConfig, MemoryStore, Record, Retrieve, Store
from memory_core.memories import AgentMemories, IndexSettings
from memory_core.payload_budget import PayloadBudget

VECTOR = np.ones(4, np.float32) / 2


def agents(count: int, memories: int, size: int) -> dict[str, AgentMemories]:
    made = {}
    for number in range(count):
        one = made[f"a{number}"] = AgentMemories(f"a{number}", IndexSettings(4, 100))
        for place in range(memories):
            entry = (place, 0.5, 0, 0, 0, size)
            one.make_short().put(f"s{place}", VECTOR, entry, bytes(size))
    return made


def held_bytes(some: dict[str, AgentMemories]) -> int:
    tables = [one.short for one in some.values() if one.short is not None]
    return sum(len(payload) for table in tables for payload in table.payloads if payload)


def test_agents_forget_in_turn_until_a_quarter_is_free():
    """Past the bound, only as many agents forget as it takes, and the next time the next ones."""
    some = agents(10, 4, 1_000)
    budget = PayloadBudget(30_000)
    budget.add(40, 40_000, some)
    assert 15_000 <= held_bytes(some) <= 22_500
    forgotten = [name for name in some if not held_bytes({name: some[name]})]
    assert forgotten == [f"a{number}" for number in range(len(forgotten))]
    budget.add(12, 12_000, some)
    assert not held_bytes({"next": some[f"a{len(forgotten)}"]})


def test_what_nobody_holds_is_not_looked_for_for_ever():
    """Counted too high, after overwrites, the bound still ends its search."""
    budget = PayloadBudget(1_000)
    budget.add(1, 10_000, {})
    some = agents(2, 1, 100)
    budget.add(1, 10_000_000, some)
    assert held_bytes(some) == 0
    budget.add(1, 100, agents(1, 1, 100))


@pytest.mark.parametrize("cache_bytes", [0, 5_000, 1 << 20])
def test_reads_are_right_whatever_is_held(tmp_path: Path, cache_bytes: int):
    """States are read from memory or from the database alike, also after being overwritten."""
    config = MemoryConfig(path=tmp_path, dimension=8, payload_cache_bytes=cache_bytes)
    with MemoryStore(config) as store:
        for turn in range(3):
            batch = [
                Store.of(f"a{number % 7}", f"s{number}", {"turn": turn, "pad": "x" * 100})
                for number in range(200)
            ]
            assert store.execute(batch) == [Done()] * 200
            for _ in range(2):
                results = store.execute([Retrieve(one.agent_id, one.state_id) for one in batch])
                assert results == [Record(one.payload, "stm") for one in batch]
                held = held_bytes(store._tables.agents)
                assert held <= cache_bytes
    assert (held > 0) == (cache_bytes > 5_000)
