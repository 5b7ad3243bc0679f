"""Shards on several nodes, each with a disk of its own: data stays where its node is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memory_core import BadInputError, MemoryConfig, UnavailableError
from memory_core.keeper import Keeper
from memory_core.placement import find_shards, start_shards
from memory_core.ray_memory import RayMemory
from tests.memory_core.nodes import Nodes, agent_of, cluster_of_nodes, reason, until

ray = pytest.importorskip("ray")
# on a machine that is busy with much else a cluster takes minutes
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.fault,
    pytest.mark.timeout(600),
]

CONFIG = MemoryConfig(dimension=8)
IN_0, IN_1 = agent_of(0, 2), agent_of(1, 2)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster whose nodes the tests start and end."""
    with cluster_of_nodes() as found:
        yield found


@pytest.fixture(autouse=True)
def _ends_nodes(nodes: Nodes) -> Iterator[None]:
    yield
    nodes.kill_all()


def test_a_shard_comes_back_with_its_node_and_nowhere_else(nodes: Nodes):
    """While its node is away a shard is unavailable by name, others serve, and nothing is lost."""
    ids = [nodes.start("one"), nodes.start("two")]
    shards = start_shards("m", 2, CONFIG, node_ids=ids)
    keeper = Keeper(shards, interval_s=0.2)
    keeper.start()
    try:
        assert [info.path for info in shards.infos] == [
            str(nodes.root(name) / "m" / f"shard-{n}") for n, name in enumerate(["one", "two"])
        ]
        identity = shards.infos[0].node
        with RayMemory("m", deadline_s=2) as memory:
            for agent in (IN_0, IN_1):
                memory.store_agent_state(agent_id=agent, state_id="s", state_data={"a": agent})
            nodes.kill("one")
            nodes.start("three")
            expected = "shard 0 of memory 'm' is unavailable: its folder is on host "
            until(lambda: expected in reason(memory, IN_0), "a shard that is away")
            said = reason(memory, IN_0)
            assert f"(node {identity}), which is not there; start Ray there again" in said
            assert memory.retrieve_state(agent_id=IN_1, state_id="s") == {"a": IN_1}
            memory.store_agent_state(agent_id=IN_1, state_id="t", state_data={})
            with pytest.raises(UnavailableError, match="shard 0 of memory 'm' is unavailable"):
                find_shards("m")
            assert [info.shard for info in find_shards("m", partial=True)] == [1]
            with RayMemory("m", deadline_s=2) as another:
                assert another.retrieve_state(agent_id=IN_1, state_id="s") == {"a": IN_1}
                assert expected in reason(another, IN_0)
            assert not (nodes.root("three") / "m").exists()
            back = nodes.start("one")
            until(lambda: not reason(memory, IN_0), "the shard to come back")
            assert memory.retrieve_state(agent_id=IN_0, state_id="s") == {"a": IN_0}
            found = find_shards("m")
        assert [info.node_id for info in found] == [back, ids[1]]
        assert found[0].node == identity
        until(lambda: not shards.unavailable, "the keeper to see it")
        assert shards.refresh() == found
    finally:
        keeper.stop()
        shards.stop()
    assert keeper.error is None
    with pytest.raises(BadInputError, match="is that of memory 'm' already"):
        start_shards("m", 2, CONFIG, node_ids=[nodes.id("one")])
