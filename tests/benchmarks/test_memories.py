"""The memories of the benchmark follow from the seed, and a volume is a prefix of the next."""

from __future__ import annotations

import numpy as np
import pytest

from harness.benchmarks.memories import (
    HELD_OUT_EACH,
    Walks,
    drawn,
    held_by,
    number_of,
    state_id,
)
from memory_core.payload import unpack_state


def test_memories_do_not_depend_on_how_they_are_taken():
    """In one go or bit by bit, the same states come under the same ids."""
    whole = Walks(7, 3).take(500)
    walks = Walks(7, 3)
    parts = [one for count in (1, 2, 200, 297) for one in walks.take(count)]
    assert parts == whole
    assert Walks(8, 3).take(500) != whole
    assert len({(one.agent_id, one.state_id) for one in whole}) == 500


@pytest.mark.parametrize("agents", [1, 3, 7])
def test_a_volume_gives_each_agent_its_first_memories(agents: int):
    """Of any volume an agent has memories 0 to n - 1, with n known without counting."""
    for volume in (7, 50, 101):
        taken = Walks(1, agents).take(volume)
        for agent in range(agents):
            numbers = [one.number for one in taken if one.agent == agent]
            assert numbers == list(range(held_by(agent, agents, volume)))


def test_queries_are_of_the_walk_and_never_stored():
    """One state of eight is held out: it follows those that are stored and is none of them."""
    walks = Walks(3, 1)
    stored = {one.payload for one in walks.take(7_000)}
    queries = walks.queries(500)
    assert len(queries) == 500
    assert len({one.payload for one in queries}) == 500
    assert not stored & {one.payload for one in queries}
    steps = [unpack_state(one.payload)["step"] for one in queries]
    assert all(step % HELD_OUT_EACH == 0 for step in steps)
    assert min(steps) < 100
    assert max(steps) > 7_900


def test_few_queries_come_again_and_many_are_thinned():
    """As many as asked for are given, and what is held is bounded."""
    walks = Walks(3, 1)
    walks.take(40)
    assert len(walks.queries(100)) == 100
    assert len({one.payload for one in walks.queries(100)}) == 5
    walks.take(70_000)
    assert len(walks._held_out) <= 8_192
    assert len({one.payload for one in walks.queries(1_000)}) == 1_000


def test_each_memory_is_drawn_before_any_is_drawn_again():
    """10 draws of 4 have each memory at least twice; purposes and volumes draw apart."""
    counts = np.bincount(drawn(1, 4, 1, 10))
    assert sorted(counts.tolist()) == [2, 2, 3, 3]
    assert drawn(1, 1_000, 1, 100).tolist() == drawn(1, 1_000, 1, 100).tolist()
    assert drawn(1, 1_000, 1, 100).tolist() != drawn(1, 1_000, 2, 100).tolist()
    assert len(set(drawn(1, 1_000, 1, 1_000).tolist())) == 1_000


def test_payloads_are_those_of_the_memories_asked_for():
    """Whatever the order, each position has its own memory."""
    whole = Walks(2, 2).take(300)
    wanted = np.array([299, 0, 5, 5, 17])
    assert Walks(2, 2).payloads(wanted) == [whole[place] for place in wanted.tolist()]


@pytest.mark.parametrize("strange", ["", "state_1_5", "state_0_", "state_0_x", "state_0_٣", "x"])
def test_only_own_ids_have_a_number(strange: str):
    """An id that the agent never stored under is no memory of its."""
    assert number_of(state_id(0, 12), 0) == 12
    assert number_of(strange, 0) is None
