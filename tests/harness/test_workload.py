"""Operations follow from seed, agent and round alone, in the order that the workload has."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.trace import ReplaySlice, load_trace
from harness.workload import (
    MixedAgent,
    ReplayAgent,
    StandardAgent,
    WorkloadAgent,
    agent_id,
)
from memory_core.operations import Retrieve, Search, Store
from memory_core.payload import unpack_state

MIX = {"store": 1.0, "retrieve": 8.0, "search": 1.0}
TRACE = Path(__file__).resolve().parents[1] / "data" / "sugarscape.parquet"

# Prints a digest of the first rounds of a few agents, of each workload without a trace.
DIGEST = f"""
import hashlib, msgspec
from harness.workload import MixedAgent, StandardAgent
digest = hashlib.sha256()
for number in (0, 1, 499):
    for agent in (StandardAgent(5, number), MixedAgent(5, number, {MIX!r})):
        for rounds in range(3):
            for operation in agent.round(rounds):
                digest.update(msgspec.msgpack.encode(operation))
print(digest.hexdigest())
"""


def operations(agent: WorkloadAgent, rounds: int, *, warmup: bool = False) -> list[Any]:
    return [one for number in range(rounds) for one in agent.round(number, warmup=warmup)]


def encoded(some: Iterable[Any]) -> bytes:
    return msgspec.msgpack.encode(list(some))


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(leaves(one) for one in value.values())
    return sum(leaves(one) for one in value) if isinstance(value, list) else 1


def replayed(folder: Path, agents: dict[str, int], *, named: bool = False) -> ReplaySlice:
    """A slice of a trace in which each agent has so many states, for the first 100 agents."""
    path = folder / "trace.jsonl"
    rows = [
        {"agent_id": name, "state": {"x": number, "name": name}, "step": number}
        | ({"state_id": f"{name}-{number}"} if named else {})
        for name, states in agents.items()
        for number in range(states)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ReplaySlice.from_bytes(load_trace(path).slice_for(range(100)))


def test_a_standard_round_is_the_one_that_is_documented():
    """A round stores 10 states, retrieves the first 5 by id, searches with the first 3, k = 5."""
    for number in (0, 7):
        agent = StandardAgent(1, 42)
        before = operations(agent, number)
        done = list(agent.round(number))
        stores, retrieves, searches = done[:10], done[10:15], done[15:]
        ids = [f"state_42_{10 * number + place}" for place in range(10)]
        assert len(before) == 18 * number
        assert [type(one) for one in done] == [Store] * 10 + [Retrieve] * 5 + [Search] * 3
        assert {one.agent_id for one in done} == {"agent_42"}
        assert [one.state_id for one in stores] == ids
        assert [one.state_id for one in retrieves] == ids[:5]
        assert [one.payload for one in searches] == [one.payload for one in stores[:3]]
        assert {one.k for one in searches} == {5}
        assert {one.tier for one in retrieves + searches} == {"all"}


def test_rounds_repeat_with_new_states_and_ids():
    """No id and no state of a round comes again in another, of the same agent or of others."""
    stores = [
        one
        for number in range(20)
        for one in operations(StandardAgent(1, number), 20)
        if isinstance(one, Store)
    ]
    assert len({one.state_id for one in stores}) == len(stores) == 20 * 20 * 10
    assert len({one.payload for one in stores}) == len(stores)


def test_a_state_is_a_nested_mapping_of_about_fifteen_leaves():
    """A state is a forager's: position, health, energy, inventory, action, neighbours, step."""
    states = [
        unpack_state(one.payload)
        for one in operations(StandardAgent(3, 0), 30)
        if isinstance(one, Store)
    ]
    expected = {"position", "health", "energy", "inventory", "action", "neighbours", "step"}
    for state in states:
        assert expected <= set(state)
        assert 14 <= leaves(state) <= 16
        assert all(0 <= place < 1000 for place in state["position"])
        assert 1 <= state["health"] <= 100
        assert 0 <= state["energy"] <= 100
    assert [state["step"] for state in states] == list(range(1, 301))


def test_a_forager_walks():
    """Positions follow from each other: a step is at most 10 long, around the world's edge."""
    states = [
        unpack_state(one.payload)
        for one in operations(StandardAgent(8, 3), 50)
        if isinstance(one, Store)
    ]
    places = np.array([state["position"] for state in states])
    steps = np.abs(np.diff(places, axis=0))
    steps = np.minimum(steps, 1000 - steps)
    assert float(np.hypot(*steps.T).max()) <= 10.0
    assert float(np.hypot(*steps.T).min()) > 0.0


@pytest.mark.parametrize("kind", ["standard", "mix"])
def test_the_same_seed_gives_the_same_operations(kind: str):
    """Same seed and agent: the same operations; another seed or another agent: others."""

    def done(seed: int, number: int) -> bytes:
        made = StandardAgent(seed, number) if kind == "standard" else MixedAgent(seed, number, MIX)
        return encoded(operations(made, 3))

    assert done(1, 0) == done(1, 0)
    assert len({done(1, 0), done(2, 0), done(1, 1), done(2**63 - 1, 0), done(0, 0)}) == 5


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_another_process_gives_the_same_operations(hash_seed: str):
    """Operations do not depend on the process: not on its hash seed, nor on its environment."""
    here = hashlib.sha256()
    for number in (0, 1, 499):
        for agent in (StandardAgent(5, number), MixedAgent(5, number, MIX)):
            for one in operations(agent, 3):
                here.update(msgspec.msgpack.encode(one))
    there = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert there.stdout.strip() == here.hexdigest()


@pytest.mark.parametrize(
    "mix",
    [
        {"store": 1.0, "retrieve": 8.0, "search": 1.0},
        {"store": 2.0, "retrieve": 0.0, "search": 2.0},
        {"store": 0.0, "retrieve": 1.0, "search": 3.0},
    ],
    ids=["mostly retrieve", "no retrieve", "no store"],
)
def test_a_mix_has_the_proportions_of_its_weights(mix: dict[str, float]):
    """Of 9,000 operations each kind is as frequent as its weight says, to within 5 deviations."""
    kinds = Counter(type(one) for one in operations(MixedAgent(11, 5, mix), 500))
    total = sum(kinds.values())
    assert total == 9_000
    for kind, name in ((Store, "store"), (Retrieve, "retrieve"), (Search, "search")):
        share = mix[name] / sum(mix.values())
        # The first operation stores whatever the weights are.
        tolerance = 5 * (total * share * (1 - share)) ** 0.5 + 1
        assert abs(kinds[kind] - total * share) <= tolerance


def test_a_mix_retrieves_only_what_it_has_stored():
    """A retrieval names one of the agent's last 1,000 stores, all of which come before it."""
    for number in range(5):
        stored: list[str] = []
        for one in operations(MixedAgent(3, number, MIX), 300):
            assert one.agent_id == agent_id(number)
            if isinstance(one, Store):
                stored.append(one.state_id)
            elif isinstance(one, Retrieve):
                assert one.state_id in stored[-1_000:]
        assert stored == [f"state_{number}_{place}" for place in range(len(stored))]


def test_a_mix_begins_with_a_store_even_without_a_weight_for_it():
    """An agent that only searches or retrieves has something to find: it stores once."""
    for name in ("retrieve", "search"):
        mix = {"store": 0.0, "retrieve": 0.0, "search": 0.0} | {name: 1.0}
        done = operations(MixedAgent(1, 0, mix), 20)
        assert [isinstance(one, Store) for one in done] == [True] + [False] * 359


@pytest.mark.parametrize("kind", ["standard", "mix", "trace"])
def test_warm_up_changes_nothing_of_what_is_measured(kind: str, tmp_path: Path):
    """Whatever was done to warm up, the measured operations are the same, under other ids."""

    def made() -> WorkloadAgent:
        if kind == "trace":
            return ReplayAgent(replayed(tmp_path, {"a": 35}), 0)
        return StandardAgent(9, 4) if kind == "standard" else MixedAgent(9, 4, MIX)

    plain = operations(made(), 3)
    warmed = made()
    warm_up = operations(warmed, 2, warmup=True)
    assert encoded(operations(warmed, 3)) == encoded(plain)
    stored = {one.state_id for one in plain if isinstance(one, Store)}
    warm = {one.state_id for one in warm_up if isinstance(one, Store)}
    assert warm
    assert not stored & warm
    if kind != "trace":
        states = {one.payload for one in plain if isinstance(one, Store)}
        assert not states & {one.payload for one in warm_up if isinstance(one, Store)}
    named = {one.state_id for one in warm_up if isinstance(one, Retrieve)}
    assert named <= warm


def test_a_trace_is_replayed_in_rounds_until_its_states_run_out(tmp_path: Path):
    """23 states make two rounds of 10 and one of 3, which retrieves and searches those it has."""
    agent = ReplayAgent(replayed(tmp_path, {"a": 23, "b": 1}), 0)
    rounds = [list(agent.round(number)) for number in range(5)]
    assert [len(one) for one in rounds] == [18, 18, 9, 0, 0]
    assert [type(one) for one in rounds[2]] == [Store] * 3 + [Retrieve] * 3 + [Search] * 3
    stores = [one for done in rounds for one in done if isinstance(one, Store)]
    assert [unpack_state(one.payload)["x"] for one in stores] == list(range(23))
    assert [one.state_id for one in stores] == [f"state_0_{place}" for place in range(23)]
    assert [one.state_id for one in rounds[2] if isinstance(one, Retrieve)] == [
        "state_0_20",
        "state_0_21",
        "state_0_22",
    ]
    assert {one.k for done in rounds for one in done if isinstance(one, Search)} == {5}


def test_copies_of_a_traces_agents_replay_the_same_under_their_own_ids(tmp_path: Path):
    """More agents than a trace has replay its states again, as ``<id>#<copy>``."""
    replay = replayed(tmp_path, {"a": 4, "b": 2}, named=True)
    first, second, copy = (ReplayAgent(replay, number) for number in (0, 1, 5))
    assert (first.agent_id, second.agent_id, copy.agent_id) == ("a", "b", "b#2")
    mine, other = list(second.round(0)), list(copy.round(0))
    assert {one.agent_id for one in other} == {"b#2"}
    assert [one.state_id for one in other[:2]] == ["b-0", "b-1"]
    assert [one.payload for one in mine[:2]] == [one.payload for one in other[:2]]


def test_the_recorded_trace_can_be_replayed():
    """Every agent of the trace in tests/data has operations, all of which are in order."""
    trace = load_trace(TRACE)
    replay = ReplaySlice.from_bytes(trace.slice_for(range(20)))
    for number in range(20):
        done = operations(ReplayAgent(replay, number), 2)
        stored = {one.state_id for one in done if isinstance(one, Store)}
        assert stored
        assert {one.state_id for one in done if isinstance(one, Retrieve)} <= stored
        assert {one.agent_id for one in done} == {trace.agent_id(number)}


@pytest.mark.parametrize("agent", [StandardAgent(5, 3), MixedAgent(5, 3, MIX)])
def test_what_is_stored_before_the_start_is_under_ids_of_its_own(agent: WorkloadAgent):
    """No round stores under an id that was preloaded, and the rounds' states are the same."""
    fresh = type(agent)(5, 3, *([MIX] if isinstance(agent, MixedAgent) else []))
    preloaded = agent.preload(40)
    assert len({store.state_id for store in preloaded}) == 40
    assert {store.agent_id for store in preloaded} == {agent_id(3)}
    stored = [one for one in operations(agent, 5) if isinstance(one, Store)]
    assert not {one.state_id for one in stored} & {one.state_id for one in preloaded}
    if isinstance(agent, StandardAgent):
        assert encoded(stored) == encoded(
            one for one in operations(fresh, 5) if isinstance(one, Store)
        )


def test_a_mix_finds_what_was_stored_before_the_start():
    """With states there from the start nothing else need be stored, and each id asked for is."""
    agent = MixedAgent(5, 3, {"store": 0.0, "retrieve": 1.0, "search": 0.0})
    ids = {store.state_id for store in agent.preload(40)}
    asked = operations(agent, 20)
    assert {type(one) for one in asked} == {Retrieve}
    assert {one.state_id for one in asked} == ids
