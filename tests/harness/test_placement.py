"""Every shard and every cohort gets a node, by the roles and the cores of the nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.capacity import TASK_BYTES, agents_per_task, cohort_ranges
from harness.errors import UsageError
from harness.placement import AGENT_NODE, MEMORY_NODE, Node, Places, Wanted, place

PLENTY = 1e15
MEMORY, AGENT = (MEMORY_NODE,), (AGENT_NODE,)


def node(number: int, cpus: float = 2.0, *roles: str, memory_bytes: float = PLENTY) -> Node:
    """A node ``n<number>`` at an address of that number."""
    address = f"10.0.0.{number}"
    return Node(
        node_id=f"n{number}", address=address, cpus=cpus, memory_bytes=memory_bytes, roles=roles
    )


def placed(nodes: list[Node], **wanted: object) -> Places:
    """Where a run of 100 agents is put, driven from the first of the nodes."""
    return place(nodes, nodes[0].node_id, Wanted(**{"agents": 100, **wanted}))


@st.composite
def clusters(draw: st.DrawFn) -> list[Node]:
    """Nodes of any cores and roles, at least one of which can have shards."""
    sizes = draw(st.lists(st.integers(0, 16), min_size=1, max_size=8))
    roles = st.sampled_from([(), MEMORY, AGENT])
    nodes = [node(number, cpus, *draw(roles)) for number, cpus in enumerate(sizes)]
    assume(any(one.cores and one.roles != AGENT for one in nodes))
    return draw(st.permutations(nodes))


@st.composite
def wishes(draw: st.DrawFn) -> Wanted:
    """What a run may want that fits any cluster."""
    shards = draw(st.none() | st.integers(1, 60))
    return Wanted(
        agents=draw(st.integers(1, 200_000)),
        shards=shards,
        shards_per_node=draw(st.none() | st.integers(1, 20)) if shards is None else None,
        in_process=draw(st.booleans()),
    )


@given(clusters(), wishes())
def test_everything_gets_a_node_that_may_have_it(nodes: list[Node], wanted: Wanted):
    """Shards are never on agent nodes; agents are on agent nodes where there are any."""
    places = place(nodes, nodes[0].node_id, wanted)
    by_id = {one.node_id: one for one in nodes}
    assert all(by_id[one].cores for one in [*places.shards, *places.cohorts])
    roles_of_shards = {by_id[one].roles for one in places.shards}
    assert roles_of_shards <= {MEMORY if any(n.roles == MEMORY for n in nodes) else ()}
    assert bool(places.shards) is not wanted.in_process
    if wanted.shards is not None and not wanted.in_process:
        assert len(places.shards) == wanted.shards
    assert len(places.cohorts) == len(places.ranges) >= 1
    assert places.ranges == cohort_ranges(wanted.agents, max(b - a for a, b in places.ranges))
    assert max(last - first for first, last in places.ranges) <= 25_000
    has_agents = {by_id[one].roles for one in places.cohorts}
    if any(one.roles == AGENT for one in nodes):
        assert has_agents == {AGENT}
    elif any(n.cores and not n.roles and n.node_id not in places.shards for n in nodes):
        assert has_agents == {()}
        assert not set(places.cohorts) & set(places.shards)


@given(clusters(), wishes())
def test_nodes_have_as_much_as_their_cores(nodes: list[Node], wanted: Wanted):
    """Of two nodes that have shards, or cohorts, none has one more a core than another."""
    places = place(nodes, nodes[0].node_id, wanted)
    cores = {one.node_id: one.cores for one in nodes}
    kinds = [places.cohorts]
    if wanted.shards_per_node is None:
        kinds.append(places.shards)
    for kind in kinds:
        given_to = Counter(kind)
        for one, count in given_to.items():
            for other, others in given_to.items():
                # whoever has the last one had no more a core with it than any other would have
                assert count / cores[one] <= (others + 1) / cores[other] + 1e-9


@given(clusters(), wishes(), st.randoms())
def test_places_do_not_depend_on_the_order_of_the_nodes(nodes, wanted, random):
    """The same nodes and plan give the same places."""
    driver = nodes[0].node_id
    shuffled = list(nodes)
    random.shuffle(shuffled)
    assert place(shuffled, driver, wanted) == place(nodes, driver, wanted)


@given(st.integers(1, 64), st.integers(1, 100_000), st.booleans())
def test_one_machine_has_a_shard_a_core_and_a_cohort_for_two(cpus: int, agents: int, own: bool):
    """What a machine alone does is not changed by what a cluster does."""
    places = place([node(1, cpus)], "n1", Wanted(agents=agents, in_process=own))
    assert places.shards == ([] if own else ["n1"] * cpus)
    per_task = agents_per_task(agents, cpus, alone=own)
    assert places.ranges == cohort_ranges(agents, per_task)
    assert set(places.cohorts) == {"n1"}


def test_roles_part_shards_from_agents():
    """A head without cores, two memory nodes and two agent nodes: a shard and a task a core."""
    nodes = [
        node(1, 0),
        *(node(n, 2, *MEMORY) for n in (2, 3)),
        *(node(n, 2, *AGENT) for n in (4, 5)),
    ]
    places = placed(nodes)
    assert Counter(places.shards) == {"n2": 2, "n3": 2}
    assert Counter(places.cohorts) == {"n4": 2, "n5": 2}


def test_without_roles_few_shards_leave_nodes_to_the_agents():
    """2 shards on 4 equal hosts are on two that are not the driver's, agents on the others."""
    places = placed([node(n) for n in (1, 2, 3, 4)], shards=2, agents_per_task=50)
    assert places.shards == ["n2", "n3"]
    assert sorted(places.cohorts) == ["n1", "n4"]


def test_without_roles_a_store_on_all_nodes_shares_them_with_the_agents():
    """As many shards as cores fill two nodes, and every second core of both has a cohort."""
    places = placed([node(1), node(2)])
    assert Counter(places.shards) == {"n1": 2, "n2": 2}
    assert Counter(places.cohorts) == {"n1": 1, "n2": 1}


def test_agents_stay_off_memory_nodes_while_others_are_there():
    """A head with cores and no role has the agents, though a memory node got no shard."""
    places = placed([node(1), node(2, 2, *MEMORY), node(3, 2, *MEMORY)], shards=1)
    assert places.shards == ["n2"]
    assert set(places.cohorts) == {"n1"}


def test_shards_per_node_are_so_many_on_each():
    """3 on each of two memory nodes of other sizes are 6, by turns."""
    nodes = [node(1), node(2, 8, *MEMORY), node(3, 2, *MEMORY)]
    assert placed(nodes, shards_per_node=3).shards == ["n2", "n3"] * 3


def test_a_role_is_enough_for_a_shard():
    """A memory node that Ray was given no core of has a shard all the same."""
    assert placed([node(1), node(2, 0, *MEMORY)]).shards == ["n2"]


def test_a_node_gets_no_more_than_its_memory_carries():
    """Where one node has room for one task, the others take the rest."""
    small = node(2, 2, *AGENT, memory_bytes=TASK_BYTES)
    places = placed([node(1), small, node(3, 2, *AGENT)], agents_per_task=20)
    assert Counter(places.cohorts) == {"n2": 1, "n3": 4}


@pytest.mark.parametrize(
    ("nodes", "wanted", "field", "says"),
    [
        ([node(1, 0), node(2, 0)], {}, "--address", "no node of the cluster has a core"),
        ([node(1, 0), node(2, 2, *AGENT)], {}, "--address", "every node with cores is an agent_"),
        ([node(1, 2, *MEMORY, *AGENT)], {}, "--address", "node 10.0.0.1 is both a memory_node"),
        ([node(1, 1), node(2, 1)], {"agents_per_task": 1, "agents": 300},
         "--agents-per-task", "at most 256"),
        ([node(1, 1), node(2, 1)], {"shards": 300}, "--shards", "at most 256"),
        ([node(1, 1), node(2, 1)], {"shards_per_node": 200}, "--shards-per-node", "400 shards"),
    ],
)  # fmt: skip
def test_what_cannot_be_placed_is_refused(
    nodes: list[Node], wanted: dict[str, object], field: str, says: str
):
    """One sentence names what is missing, or the most that can run, and what to do."""
    with pytest.raises(UsageError) as caught:
        placed(nodes, **wanted)
    assert caught.value.field == field
    assert says in caught.value.problem
    assert ";" in caught.value.problem


def test_agents_that_bring_their_own_store_need_no_memory_node():
    """A store in the agents' processes runs where all nodes are agent nodes."""
    places = placed([node(1, 0), node(2, 4, *AGENT)], in_process=True)
    assert places.shards == []
    assert places.cohorts == ["n2"] * 4


def test_threads_are_one_cohort():
    """All agents are threads of one process, wherever it is."""
    places = placed([node(1), node(2)], in_process=True, one_process=True)
    assert places.ranges == [(0, 100)]
    assert len(places.cohorts) == 1


def test_cores_are_whole():
    """Half a core is none, unless the node was started for it."""
    assert node(1, 1.5).cores == 1
    assert node(1, 0.5).cores == 0
    assert replace(node(1, 0.5), roles=AGENT).cores == 1
