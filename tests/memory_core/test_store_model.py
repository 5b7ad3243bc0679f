"""`MemoryStore` against a plain dict, and its search against an exact one in numpy."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from memory_core import (
    Condition,
    Delete,
    Deleted,
    Describe,
    Described,
    Done,
    Failure,
    Filter,
    Hits,
    Maintain,
    Maintained,
    Memories,
    MemoryConfig,
    MemoryStore,
    Missing,
    Moved,
    Operation,
    Query,
    Record,
    Result,
    Retrieve,
    RetrieveMany,
    Search,
    StateEncoder,
    Store,
    Transition,
    growing_index,
    index_growth,
    snapshots,
    verify,
)
from memory_core.payload import unpack_state

DIMENSION = 12
TIERS = ("stm", "im", "ltm")
# one id begins with the bytes that end another, so that keys that ran together would show
AGENTS = ("a", "ab", "b\0", "\u00e4\U0001f600")
STATES = ("s", "bs", "\0s", "1", "2", "3", "4", "5", "\u00e9", "long" * 9)


@dataclass
class Memory:
    """What the model knows of one memory."""

    state: dict[str, Any]
    vector: npt.NDArray[np.float64]
    sequence: int
    importance: float
    stored_ns: int
    kind: str
    step: int | None
    metadata: bytes | None
    tier: int = 0
    # times when it was retrieved, and whether that is noted as often
    reads: list[int] = field(default_factory=list)
    is_noted: bool = False

    def fits(self, wanted: Filter) -> bool:
        """Whether a filter lets it through, one question after another."""
        return (
            (wanted.kinds is None or self.kind in wanted.kinds)
            and within(self.stored_ns, wanted.time_ns)
            and (
                wanted.steps is None or (self.step is not None and within(self.step, wanted.steps))
            )
            and within(self.importance, wanted.importance)
            and all(self.holds(condition) for condition in wanted.conditions)
            and all(word.casefold() in repr(self.state).casefold() for word in wanted.words)
        )

    def holds(self, condition: Condition) -> bool:
        """Conditions of the strategies below only: on ``x``, which is there, and ``tag``."""
        value = self.state.get(condition.path[0])
        if condition.path[0] not in self.state:
            return condition.operator in {"ne", "nin"}
        return {
            "eq": lambda: value == condition.value,
            "ne": lambda: value != condition.value,
            "gte": lambda: value >= condition.value,
            "in": lambda: value in condition.value,
            "nin": lambda: value not in condition.value,
        }[condition.operator]()


def within(value: float, bounds: tuple[Any, Any] | None) -> bool:
    low, high = bounds or (None, None)
    return (low is None or value >= low) and (high is None or value <= high)


@dataclass
class Model:
    """A store in a plain dict: what each operation must give, worked out the slow way."""

    stm_capacity: int
    im_capacity: int
    encoder: StateEncoder = field(default_factory=lambda: StateEncoder(DIMENSION))
    agents: dict[str, dict[str, Memory]] = field(default_factory=dict)
    sequence: int = 0
    now_ns: int = 0
    half_life_ns: float = 3.6e12
    ttls_ns: tuple[int | None, int | None, int | None] = (None, None, None)

    def vector(self, payload: bytes | None, ready: bytes | None) -> npt.NDArray[np.float64]:
        if ready is not None:
            vector = np.frombuffer(ready, np.float32).astype(np.float64)
            return vector / np.linalg.norm(vector)
        assert payload is not None
        return self.encoder.encode([unpack_state(payload)])[0].astype(np.float64)

    def access(self, memory: Memory) -> float:
        """How often and how lately it was retrieved, from 0 to 1."""
        ages_ns = [self.now_ns - at for at in memory.reads]
        strength = sum(2 ** (-age / self.half_life_ns) for age in ages_ns)
        return round(strength / (strength + 3.5), 6)

    def forget_reads(self) -> None:
        """As a store does that is closed."""
        for memories in self.agents.values():
            for memory in memories.values():
                memory.reads, memory.is_noted = [], False

    def read(self, memories: Iterable[Memory]) -> None:
        """They were given as an answer."""
        for memory in memories:
            memory.reads.append(self.now_ns)
            memory.is_noted |= memory.tier > 0 and self.access(memory) > 0.5

    def is_over(self, memory: Memory, tier: int) -> bool:
        ttl_ns = self.ttls_ns[tier]
        return ttl_ns is not None and self.now_ns - memory.stored_ns > ttl_ns

    def expire(self) -> None:
        """Forget what is too old for the tier that it is in."""
        for agent_id, memories in list(self.agents.items()):
            for state_id, memory in list(memories.items()):
                if self.is_over(memory, memory.tier):
                    del memories[state_id]
            if not memories:
                del self.agents[agent_id]

    def promote(self, agent_id: str | None = None, *, noted_only: bool = True) -> int:
        """Move up what is retrieved often, of one agent or of all."""
        moved = 0
        for owner in list(self.agents) if agent_id is None else [agent_id]:
            rising = []
            for memory in self.agents.get(owner, {}).values():
                if memory.tier and (memory.is_noted or not noted_only):
                    if self.access(memory) > 0.5 and not self.is_over(memory, memory.tier - 1):
                        rising.append(memory)
                    memory.is_noted = False
            for memory in rising:
                memory.tier -= 1
            moved += len(rising)
            if rising:
                self.make_room(owner, 0, self.stm_capacity)
                self.make_room(owner, 1, self.im_capacity)
        return moved

    def move_down(self, memory: Memory) -> None:
        memory.tier += 1
        memory.reads = []

    def held(self, agent_id: str | None, tier: int) -> list[tuple[str, str, Memory]]:
        chosen = self.agents if agent_id is None else {agent_id: self.agents.get(agent_id, {})}
        return [
            (owner, state_id, memory)
            for owner, memories in chosen.items()
            for state_id, memory in memories.items()
            if memory.tier == tier
        ]

    def store(self, operation: Store) -> None:
        self.sequence += 1
        self.agents.setdefault(operation.agent_id, {})[operation.state_id] = Memory(
            unpack_state(operation.payload),
            self.vector(operation.payload, operation.vector),
            self.sequence,
            float(np.float32(operation.importance)),
            self.now_ns,
            operation.kind,
            operation.step,
            operation.metadata,
        )
        self.make_room(operation.agent_id, 0, self.stm_capacity)

    def make_room(self, agent_id: str, tier: int, capacity: int) -> None:
        held = self.held(agent_id, tier)
        if len(held) > capacity:
            excess = len(held) - capacity + capacity // 10
            for _, _, _, memory in self.by_retention(held)[:excess]:
                self.move_down(memory)
            if tier == 0:
                self.make_room(agent_id, 1, self.im_capacity)

    def by_retention(
        self, held: list[tuple[str, str, Memory]]
    ) -> list[tuple[float, int, str, Memory]]:
        """(retention, order, agent, memory), the first to go first."""
        ranked = []
        for agent_id in {owner for owner, _, _ in held}:
            own = sorted(
                (memory for owner, _, memory in held if owner == agent_id),
                key=lambda memory: memory.sequence,
            )
            for rank, memory in enumerate(own):
                recency = rank / max(len(own) - 1, 1)
                retention = recency + memory.importance + self.access(memory)
                ranked.append((retention, memory.sequence, agent_id, memory))
        return sorted(ranked, key=lambda one: one[:2])

    def transition(self, operation: Transition) -> int:
        tier = TIERS.index(operation.to) - 1
        ranked = self.by_retention(self.held(operation.agent_id, tier))
        moving = ranked[: int(len(ranked) * operation.percentage / 100 + 0.5)]
        for _, _, _, memory in moving:
            self.move_down(memory)
        if tier == 0:
            for agent_id in {agent_id for _, _, agent_id, _ in moving}:
                self.make_room(agent_id, 1, self.im_capacity)
        return len(moving)

    def check_batch(self, batch: Sequence[Operation], results: Sequence[Result]) -> None:
        """Do the operations here too, those that are done in parts by themselves."""
        pairs = zip(batch, results, strict=True)
        for in_parts, some in groupby(pairs, lambda one: isinstance(one[0], Transition | Maintain)):
            self.expire()
            writes = False
            for operation, result in some:
                self.check(operation, result)
                self.expire()
                if isinstance(operation, Store | Delete) and not is_bad(operation):
                    writes = True
            if writes and not in_parts:
                self.promote()
                self.expire()

    def maintain(self, operation: Maintain, result: Result) -> None:
        """What moves up makes others move down, how many is not this model's to say."""
        assert isinstance(result, Maintained), result
        assert result.promoted == self.promote(operation.agent_id, noted_only=False)

    def check(self, operation: Operation, result: Result) -> None:
        """Do the operation here too, and compare what it gave."""
        if is_bad(operation):
            assert isinstance(result, Failure), (operation, result)
            assert result.error == "BadInputError"
        elif isinstance(operation, Store):
            assert isinstance(result, Done), (operation, result)
            self.store(operation)
        elif isinstance(operation, Retrieve):
            self.check_retrieve(operation, result)
        elif isinstance(operation, Search):
            self.check_search(operation, result)
        elif isinstance(operation, Transition):
            assert result == Moved(self.transition(operation))
        elif isinstance(operation, Delete):
            assert result == Deleted(self.delete(operation))
        elif isinstance(operation, Maintain):
            self.maintain(operation, result)
        elif isinstance(operation, RetrieveMany):
            held = self.in_tier(operation.agent_id, operation.tier)
            self.check_memories([one for one in operation.state_ids if one in held], result, held)
        elif isinstance(operation, Query):
            self.check_query(operation, result)
        else:
            self.check_describe(operation, result)

    def delete(self, operation: Delete) -> int:
        if operation.agent_id is None:
            count = sum(map(len, self.agents.values()))
            self.agents.clear()
            return count
        held = self.agents.get(operation.agent_id, {})
        if operation.state_id is None:
            return len(self.agents.pop(operation.agent_id, {}))
        deleted = held.pop(operation.state_id, None) is not None
        if not held:
            self.agents.pop(operation.agent_id, None)
        return int(deleted)

    def in_tier(self, agent_id: str, tier: str) -> dict[str, Memory]:
        return {
            state_id: memory
            for state_id, memory in self.agents.get(agent_id, {}).items()
            if tier in {"all", TIERS[memory.tier]}
        }

    def check_query(self, operation: Query, result: Result) -> None:
        held = self.in_tier(operation.agent_id, operation.tier)
        fitting = [one for one, memory in held.items() if memory.fits(operation.filter)]
        fitting.sort(key=lambda one: held[one].sequence, reverse=operation.newest_first)
        self.check_memories(fitting[: operation.limit], result, held)

    def check_memories(self, ids: list[str], result: Result, held: dict[str, Memory]) -> None:
        assert isinstance(result, Memories), result
        assert [one.state_id for one in result.memories] == ids
        for one in result.memories:
            memory = held[one.state_id]
            assert (one.state, one.tier, one.kind) == (
                memory.state,
                TIERS[memory.tier],
                memory.kind,
            )
            assert (one.importance, one.stored_ns) == (memory.importance, memory.stored_ns)
            assert (one.step, one.metadata) == (memory.step, memory.metadata)
        self.read(held[one.state_id] for one in result.memories)

    def check_retrieve(self, operation: Retrieve, result: Result) -> None:
        memory = self.agents.get(operation.agent_id, {}).get(operation.state_id)
        if memory is None or operation.tier not in {"all", TIERS[memory.tier]}:
            assert isinstance(result, Missing), (operation, result)
        else:
            assert isinstance(result, Record), (operation, result)
            assert (result.state, result.tier) == (memory.state, TIERS[memory.tier])
            self.read([memory])

    def check_search(self, operation: Search, result: Result) -> None:
        if operation.prefer and not (operation.vector_weight or operation.attribute_weight):
            assert isinstance(result, Failure), result
            assert result.args[0] == "vector_weight"
            return
        assert isinstance(result, Hits), result
        own = {
            state_id: memory
            for state_id, memory in self.in_tier(operation.agent_id, operation.tier).items()
            if memory.fits(operation.filter or Filter())
        }
        query = self.vector(operation.payload, operation.vector)
        exact = {state_id: float(memory.vector @ query) for state_id, memory in own.items()}
        if operation.prefer:
            for state_id, memory in own.items():
                share = sum(map(memory.holds, operation.prefer)) / len(operation.prefer)
                exact[state_id] *= operation.vector_weight
                exact[state_id] += operation.attribute_weight * share
        if operation.min_score is not None:  # between scores that differ by rounding alone
            assert all(hit.score >= operation.min_score for hit in result.hits)
            near = [one for one in exact.values() if abs(one - operation.min_score) < 1e-5]
            if near:
                self.read(own[hit.state_id] for hit in result.hits)
                return
            exact = {one: score for one, score in exact.items() if score >= operation.min_score}
        self.read(own[hit.state_id] for hit in result.hits)
        best = sorted(exact.values(), reverse=True)[: operation.k]
        scores = [hit.score for hit in result.hits]
        assert len(scores) == len(best)
        assert scores == sorted(scores, reverse=True), "not best first"
        np.testing.assert_allclose(scores, best, atol=2e-6)
        assert len({hit.state_id for hit in result.hits}) == len(scores), "a memory found twice"
        for hit in result.hits:
            memory = own[hit.state_id]
            assert abs(hit.score - exact[hit.state_id]) < 2e-6
            assert (hit.state, hit.tier) == (memory.state, TIERS[memory.tier])

    def check_describe(self, operation: Describe, result: Result) -> None:
        assert isinstance(result, Described)
        chosen = self.agents if operation.agent_id is None else {operation.agent_id}
        assert result.agents == len(self.agents.keys() & chosen)
        counts = [len(self.held(operation.agent_id, tier)) for tier in range(3)]
        assert [result.counts.stm, result.counts.im, result.counts.ltm] == counts


def is_bad(operation: Operation) -> bool:
    """Whether the strategies below made it to fail."""
    if isinstance(operation, Transition):
        return operation.to == "stm"
    if isinstance(operation, Delete):
        return operation.agent_id is None and operation.state_id is not None
    if isinstance(operation, Store) and (operation.kind == "dream" or operation.step == 2**63):
        return True
    if isinstance(operation, Store) and operation.metadata == b"\x01":
        return True
    if isinstance(operation, Query) and operation.filter.steps == (2, 1):
        return True
    if isinstance(operation, Search) and operation.k < 1:
        return True
    return operation.agent_id == ""


agents = st.sampled_from(AGENTS)
states = st.fixed_dictionaries(
    {"x": st.integers(-3, 3)},
    optional={"tag": st.sampled_from(["", "a", "b"]), "p": st.lists(st.floats(-9, 9), max_size=2)},
)
payloads = states.map(msgspec.msgpack.encode)
vectors = (
    st.lists(st.integers(-4, 4), min_size=DIMENSION, max_size=DIMENSION)
    .filter(any)
    .map(lambda numbers: np.array(numbers, np.float32).tobytes())
)
tiers = st.sampled_from([*TIERS, "all"])
conditions = st.sampled_from(
    [
        Condition(["x"], "eq", 1),
        Condition(["x"], "gte", 0),
        Condition(["x"], "in", [-1, 2]),
        Condition(["tag"], "eq", "a"),
        Condition(["tag"], "ne", "b"),
        Condition(["tag"], "nin", ["", "a"]),
    ]
)
steps = st.none() | st.integers(-3, 3) | st.sampled_from([2**63 - 1, 1 - 2**63])


def ranges(ends: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None, or a range with or without each end, which lie in order."""
    both = st.tuples(ends, ends).map(
        lambda pair: tuple(sorted(pair)) if None not in pair else pair  # type: ignore[type-var]
    )
    return st.none() | both


kinds = st.lists(st.sampled_from(["state", "action", "interaction"]), max_size=2)
times = ranges(st.none() | st.integers(0, 60).map(lambda at: at * 1_000))
step_ranges = ranges(st.none() | st.integers(-3, 3))
importances = ranges(st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]))
filters = st.one_of(  # one thing at a time finds more than all at once, which few memories fit
    st.builds(Filter, kinds=kinds),
    st.builds(Filter, time_ns=times),
    st.builds(Filter, steps=step_ranges),
    st.builds(Filter, importance=importances),
    st.builds(Filter, conditions=st.lists(conditions, max_size=2)),
    st.builds(Filter, words=st.sampled_from([[], ["TAG"], ["a", "x"]])),
    st.builds(Filter, st.none() | kinds, times, step_ranges, importances),
)
stores = st.builds(
    Store,
    agents,
    st.sampled_from(STATES),
    payloads,
    st.sampled_from([0.0, 0.3, 0.5, 1.0]) | st.floats(0, 1),
    st.none() | vectors,
    st.sampled_from(["state", "state", "action", "interaction"]),
    steps,
    st.sampled_from([None, None, b"\x80", b"\x81\xa1m\x01"]),
)
filtered = st.builds(
    Search,
    agents,
    payloads,
    st.none(),
    st.integers(1, 12),
    tiers,
    st.none() | st.sampled_from([-1.0, 0.0, 0.3, 2]),
    st.none() | filters,
    st.lists(conditions, max_size=3),
    st.sampled_from([0.0, 0.7, 1.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
searches = st.builds(Search, agents, payloads, st.none(), st.integers(1, 12), tiers) | st.builds(
    Search, agents, st.none(), vectors, st.sampled_from([1, 3, 2**62]), tiers
)
transitions = st.builds(
    Transition,
    st.sampled_from(["im", "ltm"]),
    st.sampled_from([0, 1, 33.4, 50, 100]) | st.floats(0, 100),
    st.none() | agents,
)
bad = st.sampled_from(
    [
        Store("", "s", b"\x80"),
        Retrieve("", "s"),
        Search("a", b"\x80", None, 0),
        Transition("stm", 10.0),
        Store("a", "s", b"\x80", kind="dream"),
        Store("a", "s", b"\x80", step=2**63),
        Store("a", "s", b"\x80", metadata=b"\x01"),
        Query("a", Filter(steps=(2, 1))),
        Delete(None, "s"),
    ]
)
deletions = st.builds(Delete, agents, st.sampled_from(STATES)) | st.sampled_from(
    [Delete("a"), Delete("ab"), Delete(None)]
)
maintenances = st.builds(Maintain, st.none() | agents)
operations = st.one_of(
    stores,
    stores,
    stores,
    st.builds(Retrieve, agents, st.sampled_from(STATES), tiers),
    searches,
    filtered,
    transitions,
    deletions,
    st.builds(RetrieveMany, agents, st.lists(st.sampled_from(STATES), max_size=5), tiers),
    st.builds(Query, agents, filters, tiers, st.none() | st.integers(1, 4), st.booleans()),
    st.builds(Describe, st.none() | agents),
    maintenances,
    bad,
)


def copy_as_it_stands(folder: Path, copy: Path) -> None:
    """Copy a database that is open, at a moment when none of its files changes."""
    for _ in range(1000):
        # a compaction may take files away meanwhile
        with contextlib.suppress(shutil.Error, FileNotFoundError):
            before = sizes(folder)
            shutil.copytree(folder, copy)
            if before == sizes(folder) == sizes(copy):
                return
        shutil.rmtree(copy, ignore_errors=True)
    raise AssertionError("the database never stands still")


def sizes(folder: Path) -> dict[str, int]:
    paths = [
        path for path in folder.rglob("*") if not path.name.startswith("LOG") and not path.is_dir()
    ]
    return {str(path.relative_to(folder)): path.stat().st_size for path in paths}


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make snapshots of lower tiers, and fold rows into lists, however few they are."""
    monkeypatch.setattr(growing_index, "FOLD_ROWS", 4)
    monkeypatch.setattr(index_growth, "FOLD_ROWS", 4)
    for name in ("_LEAST_MEMORIES", "_LEAST_CHANGES", "_CHANGED_RATIO", "_CLOSING_RATIO"):
        monkeypatch.setattr(snapshots, name, 0)


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and the model with the same batches."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="store-model-"))
        self.opened = 0
        self.store: MemoryStore | None = None

    @initialize(
        capacities=st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.just((40, 2)),
        durability=st.sampled_from(["fsync", "os"]),
        cache_bytes=st.sampled_from([0, 600, 1 << 20]),
        exact_below=st.sampled_from([2, 10_000]),
        # steps of the clock are 1,000 ns
        half_life_ns=st.sampled_from([500, 20_000, 3_600 * 10**9]),
        ttls_ns=st.just((None, None, None))
        | st.tuples(*[st.sampled_from([None, 1, 3_500, 9_000, 30_000])] * 3),
    )
    def begin(
        self,
        capacities: tuple[int, int],
        durability: str,
        cache_bytes: int,
        exact_below: int,
        half_life_ns: int,
        ttls_ns: tuple[int | None, int | None, int | None],
    ) -> None:
        self.config = {
            "dimension": DIMENSION,
            "stm_capacity": capacities[0],
            "im_capacity": capacities[1],
            "durability": durability,
            "payload_cache_bytes": cache_bytes,
            "exact_below": exact_below,
            "access_half_life_s": half_life_ns / 1e9,
        }
        for tier, ttl_ns in zip(TIERS, ttls_ns, strict=True):
            self.config[f"{tier}_ttl_s"] = None if ttl_ns is None else ttl_ns / 1e9
        self.model = Model(*capacities, half_life_ns=half_life_ns, ttls_ns=ttls_ns)
        self.open(self.folder / "0")

    def open(self, path: Path) -> None:
        self.store = MemoryStore(
            MemoryConfig(path=path, **self.config), clock=lambda: self.model.now_ns
        )

    @rule(batch=st.lists(operations, max_size=12))
    def execute(self, batch: Sequence[Operation]) -> None:
        self.model.now_ns += 1_000
        results = self.store.execute(batch)
        assert len(results) == len(batch)
        self.model.check_batch(batch, results)

    @rule(operation=operations)
    def execute_one(self, operation: Operation) -> None:
        self.execute([operation])

    @rule(agent_id=agents, new=st.lists(stores, min_size=4, max_size=12))
    def fill(self, agent_id: str, new: Sequence[Store]) -> None:
        self.execute([msgspec.structs.replace(store, agent_id=agent_id) for store in new])

    @rule(agent_id=agents, tier=st.sampled_from(["im", "ltm"]))
    def store_again_what_has_moved_down(self, agent_id: str, tier: str) -> None:
        self.execute([Transition(tier, 100.0, agent_id)])
        held = self.model.held(agent_id, TIERS.index(tier))
        again = [Store(agent_id, state_id, b"\x81\xa1x\x07") for _, state_id, _ in held[:2]]
        self.execute([*again, Search(agent_id, b"\x81\xa1x\x07", None, 20)])

    @rule(agent_id=agents, tier=st.sampled_from(["im", "ltm"]), times=st.integers(3, 5))
    def retrieve_often_what_has_moved_down(self, agent_id: str, tier: str, times: int) -> None:
        held = self.model.held(agent_id, TIERS.index(tier))
        often = [Retrieve(agent_id, state_id) for _, state_id, _ in held[:2]] * times
        self.execute([*often, Store(agent_id, "s", b"\x81\xa1x\x03")])

    @rule(batches=st.integers(1, 40))
    def let_time_pass(self, batches: int) -> None:
        self.model.now_ns += 1_000 * batches

    @rule()
    def open_again(self) -> None:
        self.model.forget_reads()
        self.store.close()
        assert verify(self.store.path).is_clean
        self.open(Path(self.store.path))

    @rule()
    def open_what_a_killed_process_leaves(self) -> None:
        self.opened += 1
        path = self.folder / str(self.opened)
        self.model.forget_reads()
        copy_as_it_stands(Path(self.store.path), path)
        self.store.close()
        self.open(path)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if self.store is None:
            return
        everything: list[Operation] = [Describe()]
        for agent_id in AGENTS:
            everything.append(Describe(agent_id))
            everything.append(Query(agent_id))
            everything += [Search(agent_id, b"\x81\xa1x\x02", None, k) for k in (2, 100)]
            everything += [
                Retrieve(agent_id, state_id, tier)
                for state_id in self.model.agents.get(agent_id, {})
                for tier in TIERS
            ]
        self.model.expire()
        everything += [Retrieve(agent_id, state_id) for agent_id in AGENTS for state_id in STATES]
        self.model.check_batch(everything, self.store.execute(everything))

    @invariant()
    def keeps_within_its_capacities(self) -> None:
        for agent_id in AGENTS if self.store is not None else ():
            [described] = self.store.execute([Describe(agent_id)])
            assert isinstance(described, Described)
            assert described.counts.stm <= self.config["stm_capacity"]
            assert described.counts.im <= self.config["im_capacity"]

    def teardown(self) -> None:
        if self.store is not None:
            self.store.close()
        shutil.rmtree(self.folder)


class TestStoreModel(StoreMachine.TestCase):
    """The store gives what the model gives, whatever is asked in whatever order."""

    settings = settings(
        max_examples=settings().max_examples * 5 // 8,
        stateful_step_count=25,
        # what explains a failure runs under a tracer, which is too slow for a database
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
