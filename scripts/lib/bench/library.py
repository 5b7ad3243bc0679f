"""Measurements of memory_core as a library: in this process, without Ray or the harness.

States are those of the ``standard`` workload, made before a clock starts, and kept out of the
garbage collector's sight: they belong to the load, not to the store.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
from rocksdict import Options, Rdict, WriteOptions

from bench.errors import MeasurementError
from bench.figures import Measured
from bench.sizes import BATCH_OPERATIONS, SLICES, THREADS, Sizes
from harness.forager import Forager
from harness.workload import RETRIEVES, SEARCH_K, SEARCHES, STATES, agent_id
from memory_core import (
    AgentMemorySystem,
    Done,
    Hits,
    MemoryConfig,
    MemoryStore,
    Operation,
    Record,
    Result,
    Retrieve,
    Search,
    Store,
)
from memory_core.record import make_value

__all__ = ["batches", "calls", "single_stores"]

_SEED = 1
_OPERATIONS_A_ROUND = STATES + RETRIEVES + SEARCHES
_State = tuple[str, dict[str, Any]]  # its id and itself


def calls(sizes: Sizes, folder: Path) -> Measured:
    """One call at a time from one thread, ``durability="os"``."""
    foragers = [Forager(_SEED, agent) for agent in range(sizes.embedded_agents)]
    rounds = [
        [(agent_id(agent), _walk(forager, agent, turn)) for agent, forager in enumerate(foragers)]
        for turn in range(sizes.embedded_rounds)
    ]
    with _system(folder / "calls", "os") as system, _quiet_collector():
        begun = perf_counter()
        for agents in rounds:
            for owner, states in agents:
                _live_round(system, owner, states)
        elapsed_s = perf_counter() - begun
    operations = sizes.embedded_agents * sizes.embedded_rounds * _OPERATIONS_A_ROUND
    return {"throughput_ops_s": operations / elapsed_s}


def _live_round(system: AgentMemorySystem, owner: str, states: list[_State]) -> None:
    for state_id, state in states:
        system.store_agent_state(agent_id=owner, state_id=state_id, state_data=state)
    for state_id, _ in states[:RETRIEVES]:
        if system.retrieve_state(state_id=state_id, agent_id=owner) is None:
            raise MeasurementError(f"the state {state_id} is gone")
    for state_id, state in states[:SEARCHES]:
        if not system.retrieve_similar_states(agent_id=owner, query_state=state, k=SEARCH_K):
            raise MeasurementError(f"nothing is similar to the state {state_id}")


def single_stores(sizes: Sizes, folder: Path) -> Measured:
    """One store at a time with fsync, from one thread and from many, and bare RocksDB puts.

    They take turns, `SLICES` times, on databases of their own; the numbers are medians.
    """
    count = sizes.single_stores
    one = _slices(0, count)
    share = max(1, count // 4)  # of a thread: together they are that much faster
    many = list(zip(*(_slices(1 + thread, share) for thread in range(THREADS)), strict=True))
    # what the store writes for the same states, as it would lie in RocksDB
    values = [_value(state) for _, state in one[0]]
    took_s: dict[str, list[float]] = {"bare": [], "one": [], "many": []}
    with (
        _bare_puts(folder / "bare") as put,
        _system(folder / "one", "fsync") as alone,
        _system(folder / "many", "fsync") as shared,
        _quiet_collector(),
    ):
        for turn in range(SLICES):
            begun = perf_counter()
            for number, value in enumerate(values):
                put(b"agent_0state_%d_%d" % (turn, number), value)
            took_s["bare"].append((perf_counter() - begun) / count)
            begun = perf_counter()
            _store_all(alone, agent_id(0), one[turn])
            took_s["one"].append((perf_counter() - begun) / count)
            took_s["many"].append(_store_from_threads(shared, many[turn]) / (share * THREADS))
    measured = {f"{name}_ops_s": 1 / median(took) for name, took in took_s.items()}
    return measured | {"value_bytes": sum(map(len, values)) / count}


def _store_all(system: AgentMemorySystem, owner: str, states: list[_State]) -> None:
    for state_id, state in states:
        system.store_agent_state(agent_id=owner, state_id=state_id, state_data=state)


def _store_from_threads(system: AgentMemorySystem, work: Sequence[list[_State]]) -> float:
    """Seconds from when all threads are ready until the last has stored its states."""
    start = threading.Barrier(len(work) + 1)
    errors: list[Exception] = []

    def store(thread: int) -> None:
        start.wait()
        try:
            _store_all(system, agent_id(1 + thread), work[thread])
        except Exception as error:  # noqa: BLE001  raised where the threads are waited for
            errors.append(error)

    threads = [threading.Thread(target=store, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    start.wait()
    begun = perf_counter()
    for thread in threads:
        thread.join()
    elapsed_s = perf_counter() - begun
    if errors:
        raise errors[0]
    return elapsed_s


def batches(sizes: Sizes, folder: Path) -> Measured:
    """Batches of one operation of each of `BATCH_OPERATIONS` agents, with fsync.

    Agents stand at different places of their round, so each batch has the mix. The clock runs
    while the store executes; ``with_making_ops_s`` also counts making operations from states.
    """
    foragers = [Forager(_SEED, agent) for agent in range(BATCH_OPERATIONS)]
    made = [_operations(forager, agent, sizes) for agent, forager in enumerate(foragers)]
    lanes = [operations for operations, _ in made]
    making_s = sum(took_s for _, took_s in made)
    stagger = [agent % _OPERATIONS_A_ROUND for agent in range(BATCH_OPERATIONS)]
    steps = _OPERATIONS_A_ROUND * sizes.batch_rounds
    results: list[list[Result]] = []
    config = MemoryConfig(path=folder / "batches", durability="fsync")
    with MemoryStore(config) as store, _quiet_collector():
        early = [lane[:late] for lane, late in zip(lanes, stagger, strict=True)]
        store.execute([operation for lane in early for operation in lane])
        work = [
            [lane[late + step] for lane, late in zip(lanes, stagger, strict=True)]
            for step in range(steps)
        ]
        begun = perf_counter()
        for batch in work:
            results.append(store.execute(batch))  # noqa: PERF401  as a program would
        elapsed_s = perf_counter() - begun
    if not all(type(one) in {Done, Record, Hits} for answers in results for one in answers):
        raise MeasurementError("operations of the batches failed")
    operations = steps * BATCH_OPERATIONS
    making_s *= operations / sum(map(len, lanes))
    return {
        "throughput_ops_s": operations / elapsed_s,
        "with_making_ops_s": operations / (elapsed_s + making_s),
    }


def _operations(forager: Forager, agent: int, sizes: Sizes) -> tuple[list[Operation], float]:
    """An agent's rounds, one more than are timed, and the seconds that making them took."""
    owner = agent_id(agent)
    operations: list[Operation] = []
    making_s = 0.0
    for turn in range(sizes.batch_rounds + 1):
        states = _walk(forager, agent, turn)
        begun = perf_counter()
        operations += [Store.of(owner, state_id, state) for state_id, state in states]
        operations += [Retrieve(owner, state_id) for state_id, _ in states[:RETRIEVES]]
        operations += [Search.of(owner, state, k=SEARCH_K) for _, state in states[:SEARCHES]]
        making_s += perf_counter() - begun
    return operations, making_s


def _walk(forager: Forager, agent: int, turn: int) -> list[_State]:
    """The states of an agent's round; rounds are asked for in their order."""
    states = [msgspec.to_builtins(state) for state in forager.walk(turn, STATES)]
    return [(f"state_{agent}_{turn * STATES + place}", one) for place, one in enumerate(states)]


def _slices(agent: int, count: int) -> list[list[_State]]:
    """As many states of an agent for each slice."""
    forager = Forager(_SEED, agent)
    rounds = -(-count * SLICES // STATES)
    states = [state for turn in range(rounds) for state in _walk(forager, agent, turn)]
    return [states[count * turn : count * (turn + 1)] for turn in range(SLICES)]


def _value(state: dict[str, Any]) -> bytes:
    return make_value(1, 0, 0.5, Store.of("-", "-", state).payload)


@contextlib.contextmanager
def _bare_puts(folder: Path) -> Iterator[Callable[[bytes, bytes], None]]:
    """RocksDB by itself: each put is on the disk when it returns."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    synced = WriteOptions()
    synced.sync = True
    database = Rdict(str(folder), options)
    database.set_write_options(synced)
    try:
        yield database.put
    finally:
        database.close()


def _system(folder: Path, durability: str) -> AgentMemorySystem:
    return AgentMemorySystem(MemoryConfig(path=folder, durability=durability))


@contextlib.contextmanager
def _quiet_collector() -> Iterator[None]:
    """Keep the collector off what is there already; it goes on with what is made from here."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
