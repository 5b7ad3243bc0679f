"""Which node has which shard and which cohort: pure functions of the nodes and the plan.

A node has a role when it was started with it (``ray start --resources='{"memory_node": 1}'``):
shards go to memory nodes, agents to agent nodes. Where no node has the role that is looked for:

shards    go to nodes with cores that are no agent nodes, the driver's last;
cohorts   go to nodes with cores that are no memory nodes and got no shard; without any, to those
          that got no shard; without any, to all nodes with cores: so one machine has both.

Invariants: every shard and every cohort has a node; no shard is on an agent node; nodes have them
by their cores, so that two nodes of as many cores and enough memory differ by one at most; the
same nodes and plan give the same places. What else a run has (driver, control, guard) is on the
driver's node.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from harness.capacity import (
    agents_per_task,
    check_fits,
    check_threads,
    cohort_ranges,
    most_that_fit,
)
from harness.errors import UsageError

__all__ = ["AGENT_NODE", "MEMORY_NODE", "Node", "Places", "Wanted", "place"]

MEMORY_NODE = "memory_node"
AGENT_NODE = "agent_node"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node of Ray's that is alive.

    Attributes:
        node_id: Ray's name of it.
        address: of its raylet.
        host: the name that its system gives it; empty when that is not known.
        cpus: cores that Ray was given there; 0 on a head that is to run nothing.
        memory_bytes: free for processes, as Ray was told or found.
        roles: those it was started with, of ``memory_node`` and ``agent_node``.
    """

    node_id: str
    address: str
    cpus: float
    memory_bytes: float
    host: str = ""
    roles: tuple[str, ...] = ()

    @property
    def cores(self) -> int:
        """Whole cores; a node with a role has one at least."""
        return max(int(self.cpus), 1 if self.roles else 0)

    @property
    def most(self) -> int:
        """The most processes that can run there at once."""
        return most_that_fit(self.cores, self.memory_bytes)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be placed.

    Attributes:
        agents: of the run.
        shards: of the store, all together; None is a number for each node.
        shards_per_node: that number; None is one a core.
        agents_per_task: None chooses.
        in_process: there are no shards; mostly since the store works in the agents' processes.
        one_process: all agents are threads of one process.
    """

    agents: int
    shards: int | None = None
    shards_per_node: int | None = None
    agents_per_task: int | None = None
    in_process: bool = False
    one_process: bool = False


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where everything goes.

    Attributes:
        shards: the node of each shard, by its number; empty where the store is in process.
        cohorts: the node of each cohort, by its number.
        ranges: the agents of each cohort, as (first, last + 1).
    """

    shards: list[str]
    cohorts: list[str]
    ranges: list[tuple[int, int]]


def place(nodes: Sequence[Node], driver_node_id: str, wanted: Wanted) -> Places:
    """Give every shard and every cohort a node.

    Args:
        nodes: all that are alive, in any order.
        driver_node_id: the one that the driver is on.
        wanted: what is to be placed.

    Raises:
        UsageError: there is no node for them, or more are wanted than can run at once.
    """
    able = _in_order(nodes, driver_node_id)
    shards = [] if wanted.in_process else _place_shards(able, driver_node_id, wanted)
    hosts = _nodes_for_cohorts(able, set(shards))
    alone = not {node.node_id for node in hosts} & set(shards)
    ranges = _ranges(sum(node.cores for node in hosts), wanted, alone=alone)
    option = "--agents" if wanted.agents_per_task is None else "--agents-per-task"
    _check_fits(len(ranges), hosts, option)
    return Places(shards=shards, cohorts=_spread(len(ranges), hosts), ranges=ranges)


def _in_order(nodes: Sequence[Node], driver_node_id: str) -> list[Node]:
    """The nodes that can have something, the driver's last."""
    for node in nodes:
        if len(node.roles) > 1:
            raise UsageError(
                "--address",
                f"node {node.host or node.address} is both a {MEMORY_NODE} and an {AGENT_NODE}; "
                "start it with one of the two resources, or with neither",
            )
    able = [node for node in nodes if node.cores]
    if not able:
        raise UsageError(
            "--address",
            "no node of the cluster has a core for shards and agents; start one without "
            "--num-cpus=0",
        )
    return sorted(
        able,
        # as long as one another, addresses of one network are in the order of their numbers
        key=lambda one: (
            one.node_id == driver_node_id,
            len(one.address),
            one.address,
            one.node_id,
        ),
    )


def _place_shards(able: Sequence[Node], driver_node_id: str, wanted: Wanted) -> list[str]:
    found = [node for node in able if MEMORY_NODE in node.roles]
    has_role = bool(found)
    found = found or [node for node in able if AGENT_NODE not in node.roles]
    if not found:
        raise UsageError(
            "--address",
            "every node with cores is an agent_node, so none is left for shards; start one with "
            "ray start --resources='{\"memory_node\": 1}'",
        )
    if wanted.shards_per_node is not None:
        shards = wanted.shards_per_node * len(found)
        _check_fits(shards, found, "--shards-per-node")
        return [node.node_id for _ in range(wanted.shards_per_node) for node in found]
    if wanted.shards is None:
        return _spread(sum(node.cores for node in found), found)
    _check_fits(wanted.shards, found, "--shards")
    others = [node for node in found if node.node_id != driver_node_id]
    enough = wanted.shards <= sum(node.cores for node in others)
    return _spread(wanted.shards, others if enough and not has_role else found)


def _nodes_for_cohorts(able: Sequence[Node], with_shards: set[str]) -> list[Node]:
    free = [node for node in able if node.node_id not in with_shards]
    return (
        [node for node in able if AGENT_NODE in node.roles]
        or [node for node in free if MEMORY_NODE not in node.roles]
        or free
        or list(able)
    )


def _ranges(cores: int, wanted: Wanted, *, alone: bool) -> list[tuple[int, int]]:
    if wanted.one_process:
        check_threads(wanted.agents, wanted.agents_per_task)
        return cohort_ranges(wanted.agents, wanted.agents)
    chosen = agents_per_task(wanted.agents, cores, alone=alone)
    return cohort_ranges(wanted.agents, wanted.agents_per_task or chosen)


def _check_fits(processes: int, nodes: Sequence[Node], option: str) -> None:
    check_fits(
        processes,
        sum(node.cores for node in nodes),
        sum(node.memory_bytes for node in nodes),
        option=option,
        most=sum(node.most for node in nodes),
    )


def _spread(count: int, nodes: Sequence[Node]) -> list[str]:
    """A node for each of `count` processes, by the nodes' cores and within what they carry.

    The next goes to where the fewest a core are (the highest quotients method of D'Hondt), so
    as many as there are cores come out as one a core. Beyond what all carry, that is left aside.
    """
    heap = [(False, 1 / node.cores, order, 0) for order, node in enumerate(nodes)]
    heapq.heapify(heap)
    places: list[str] = []
    for _ in range(count):
        _, _, order, given = heap[0]
        node, given = nodes[order], given + 1
        places.append(node.node_id)
        heapq.heapreplace(heap, (given >= node.most, (given + 1) / node.cores, order, given))
    return places
