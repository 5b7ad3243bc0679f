"""What agents do: operations as a pure function of the plan's seed, the agent and the round.

The ``standard`` workload, one round of one agent: store 10 states, retrieve the first 5 of them
by id, search with the first 3 as queries, k = 5. States are of a forager on a random walk.
``--mix`` draws operations by weight instead; ``--trace`` takes recorded states.

Warm-up rounds draw from a stream of their own and store under ids of their own, so that what is
measured is the same however many of them there were.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Protocol

from harness.forager import Forager, pack
from harness.plan import RunPlan
from harness.random_numbers import uniforms
from harness.trace import ReplaySlice
from memory_core.operations import Retrieve, Search, Store

__all__ = [
    "RETRIEVES",
    "ROUND_OPERATIONS",
    "SEARCHES",
    "SEARCH_K",
    "STATES",
    "MixedAgent",
    "ReplayAgent",
    "StandardAgent",
    "WorkloadAgent",
    "agent_id",
    "operation_kind",
    "preload_share",
]

STATES = 10
RETRIEVES = 5
SEARCHES = 3
SEARCH_K = 5
ROUND_OPERATIONS = STATES + RETRIEVES + SEARCHES
_WARMUP_STREAM = 1 << 62
_MIX_STREAM = 1 << 61
_PRELOAD_STREAM = 1 << 60
_MIX_MEMORY = 1_000  # states of its own that an agent remembers the ids of

_Operation = Store | Retrieve | Search


class WorkloadAgent(Protocol):
    """One agent's part of a workload."""

    @property
    def agent_id(self) -> str:
        """The id under which it stores."""

    def preload(self, count: int) -> list[Store]:
        """So many stores for before the start; asked for once, before any round."""

    def round(self, number: int, *, warmup: bool = False) -> list[_Operation]:
        """The operations of a round; none when the agent has no more to do."""


def agent_id(agent: int) -> str:
    """The id of agent ``agent`` of a generated workload."""
    return f"agent_{agent}"


class StandardAgent:
    """An agent of the ``standard`` workload."""

    def __init__(self, seed: int, agent: int) -> None:
        self.agent_id = agent_id(agent)
        self._agent = agent
        self._seed = seed
        self._forager = Forager(seed, agent)
        self._warmup_forager = Forager(seed, agent + _WARMUP_STREAM)

    def preload(self, count: int) -> list[Store]:
        """So many stores under ids of their own."""
        return _preload(self._seed, self._agent, f"preload_{self._agent}_", count)

    def round(self, number: int, *, warmup: bool = False) -> list[_Operation]:
        """Round ``number``, from 0; rounds are asked for in their order."""
        forager = self._warmup_forager if warmup else self._forager
        prefix = f"{'warmup' if warmup else 'state'}_{self._agent}_"
        first = number * STATES
        own = self.agent_id
        return _round(
            [
                Store(own, f"{prefix}{place}", pack(state))
                for place, state in enumerate(forager.walk(number, STATES), first)
            ]
        )


class MixedAgent:
    """An agent that draws its operations by weight, 18 a round.

    It retrieves one of its last 1,000 states, and searches with the last one; its first
    operation stores.
    """

    def __init__(self, seed: int, agent: int, mix: Mapping[str, float]) -> None:
        self.agent_id = agent_id(agent)
        self._agent = agent
        self._seed = seed
        total = sum(mix.values())
        self._store_below = mix["store"] / total
        self._retrieve_below = (mix["store"] + mix["retrieve"]) / total
        self._walks = {
            False: (Forager(seed, agent), agent + _MIX_STREAM),
            True: (Forager(seed, agent + _WARMUP_STREAM), agent + _MIX_STREAM + _WARMUP_STREAM),
        }
        self._stored = {False: 0, True: 0}

    def preload(self, count: int) -> list[Store]:
        """So many stores of states that the measured rounds will retrieve."""
        self._stored[False] = count
        return _preload(self._seed, self._agent, f"state_{self._agent}_", count)

    def round(self, number: int, *, warmup: bool = False) -> list[_Operation]:
        """Round ``number``, from 0; rounds are asked for in their order."""
        forager, stream = self._walks[warmup]
        prefix = f"{'warmup' if warmup else 'state'}_{self._agent}_"
        states = forager.walk(number, ROUND_OPERATIONS)
        draws = uniforms(self._seed, stream, number, 2 * ROUND_OPERATIONS).tolist()
        own, stored = self.agent_id, self._stored[warmup]
        operations: list[_Operation] = []
        for state, kind, choice in zip(states, draws[::2], draws[1::2], strict=True):
            if kind < self._store_below or not stored:
                operations.append(Store(own, f"{prefix}{stored}", pack(state)))
                stored += 1
            elif kind < self._retrieve_below:
                back = 1 + int(choice * min(stored, _MIX_MEMORY))
                operations.append(Retrieve(own, f"{prefix}{stored - back}"))
            else:
                operations.append(Search(own, pack(state), k=SEARCH_K))
        self._stored[warmup] = stored
        return operations


class ReplayAgent:
    """An agent that replays a trace in rounds of the standard workload's shape.

    The last round is as long as the states that are left. Warm-up rounds replay the same states
    under ids of their own.
    """

    def __init__(self, replay: ReplaySlice, agent: int) -> None:
        self.agent_id = replay.agent_id(agent)
        self._agent = agent
        self._replay = replay
        self._states = {False: replay.iter_states(agent), True: replay.iter_states(agent)}

    def preload(self, count: int) -> list[Store]:
        """Nothing: a trace has its own states, and a plan asks for one of the two."""
        del count
        return []

    def round(self, number: int, *, warmup: bool = False) -> list[_Operation]:
        """Round ``number``, from 0, asked for in order; empty once the states have run out."""
        taken = list(islice(self._states[warmup], STATES))
        own = self.agent_id
        first = number * STATES
        stores = []
        for position, (recorded, state) in enumerate(taken):
            name = recorded if recorded is not None else f"state_{self._agent}_{first + position}"
            stores.append(Store.of(own, f"warmup_{name}" if warmup else name, state))
        return _round(stores)


def operation_kind(
    plan: RunPlan, agents: int, agent: int, place: int, *, warmup: bool, states: int | None
) -> str | None:
    """Which of OPERATIONS an agent's operation ``place`` (from 0) of a phase is, without making it.

    None after its last.

    Args:
        plan: of the run.
        agents: of the run.
        agent: which one.
        place: among its operations of the warm-up, or of what is measured.
        warmup: which of the two.
        states: of the agent in the trace that it replays; None without one.
    """
    number, at = divmod(place, ROUND_OPERATIONS)
    if plan.rounds is not None and not warmup and number >= plan.rounds:
        return None
    if plan.mix is not None and states is None:
        return _mixed_kind(plan, agents, agent, number, at, warmup=warmup)
    stores = STATES if states is None else min(STATES, max(states - number * STATES, 0))
    for kind, count in (
        ("store", stores),
        ("retrieve", min(stores, RETRIEVES)),
        ("search", min(stores, SEARCHES)),
    ):
        if at < count:
            return kind
        at -= count
    return None


def _mixed_kind(
    plan: RunPlan, agents: int, agent: int, number: int, at: int, *, warmup: bool
) -> str:
    """As `MixedAgent` draws it."""
    has_states = preload_share(plan.preload, agents, agent) > 0 and not warmup
    if number == at == 0 and not has_states:
        return "store"
    stream = agent + _MIX_STREAM + (_WARMUP_STREAM if warmup else 0)
    draws = uniforms(plan.seed, stream, number, 2 * ROUND_OPERATIONS)
    weights = plan.mix or {}
    total = sum(weights.values())
    drawn = float(draws[2 * at])
    if drawn < weights["store"] / total:
        return "store"
    return "retrieve" if drawn < (weights["store"] + weights["retrieve"]) / total else "search"


def preload_share(states: int, agents: int, agent: int) -> int:
    """How many of the states that are there from the start are an agent's."""
    return states * (agent + 1) // agents - states * agent // agents


def _preload(seed: int, agent: int, prefix: str, count: int) -> list[Store]:
    own, forager = agent_id(agent), Forager(seed, agent + _PRELOAD_STREAM)
    return [
        Store(own, f"{prefix}{place}", pack(state))
        for place, state in enumerate(forager.walk(0, count))
    ]


def _round(stores: list[Store]) -> list[_Operation]:
    """Store all states, retrieve the first ones by id, search with the first ones."""
    operations: list[_Operation] = [*stores]
    operations += [Retrieve(one.agent_id, one.state_id) for one in stores[:RETRIEVES]]
    operations += [Search(one.agent_id, one.payload, k=SEARCH_K) for one in stores[:SEARCHES]]
    return operations
