"""A backup becomes a memory on a cluster of other nodes, with other shards, or nothing changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_core import BadInputError, Done, MemoryConfig, Store, UnavailableError
from memory_core.node_survey import live_nodes
from memory_core.placement import open_shards, start_shards
from memory_core.ray_memory import RayMemory
from tests.memory_core.backed_up import SETTINGS
from tests.memory_core.nodes import Nodes, cluster_of_nodes, until

ray = pytest.importorskip("ray")
pytestmark = [
    *(pytest.mark.cluster, pytest.mark.slow, pytest.mark.fault),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster of the nodes "two" and "three", to which a test may add others."""
    with cluster_of_nodes() as found:
        found.start("two")
        found.start("three")
        yield found


def store(memory: RayMemory, first: int, count: int) -> None:
    operations = [
        Store.of(f"a{agent}", f"s{number}", {"number": number})
        for number in range(first, first + count)
        for agent in range(6)
    ]
    assert all(isinstance(one, Done) for one in memory.execute(operations))


def check(memory: RayMemory, first: int, last: int) -> None:
    """All memories of the numbers from first to last, and no other."""
    assert memory.get_memory_statistics().counts.total == 6 * (last - first)
    for agent in range(6):
        for number in (first, last - 1):
            state = memory.retrieve_state(agent_id=f"a{agent}", state_id=f"s{number}")
            assert state == {"number": number}


def inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_memory_is_restored_onto_other_nodes_and_shards(nodes: Nodes):
    """With a node gone the memory goes on from its backup; the node's folder is served no more."""
    from memory_core.cluster_backup import back_up_memory
    from memory_core.cluster_restore import restore_memory

    place = nodes.folder / "place"
    ids = [nodes.start("one"), nodes.id("two")]
    shards = start_shards("m", 2, MemoryConfig(**SETTINGS), node_ids=ids)
    with RayMemory("m") as memory:
        store(memory, 0, 30)
        first = back_up_memory("m", str(place)).manifest
        store(memory, 30, 5)  # not in the backup
    shards.stop()
    nodes.kill("one")
    ids = [nodes.id("two"), nodes.id("three")]
    restored = restore_memory(
        *(str(place), "m", "m", lambda count: [ids[n % 2] for n in range(count)]),
        shards=3,
        replace=True,
    )
    record = restored.record
    assert (record.generation, record.made, record.memory_id) == (2, True, first.memory_id)
    assert inside(nodes.root("two") / "m") == [
        *("memory.json", "replaced", "shard-0", "shard-0.json", "shard-2", "shard-2.json")
    ]
    gone = nodes.start("one")  # comes back with its folder of before
    shards = open_shards("m")
    try:
        assert shards.unavailable == {}
        with RayMemory("m") as memory:
            check(memory, 0, 30)
            store(memory, 30, 2)
        again = back_up_memory("m", str(place)).manifest
        assert (again.generation, len(again.shards)) == (2, 3)
    finally:
        shards.stop()
        nodes.kill("one")
        until(lambda: gone not in live_nodes(), "the end of a node")
    other = restore_memory(str(place), "m", "m2", lambda count: ids[1:] * count, shards=1)
    assert (other.record.generation, other.record.memory_id != first.memory_id) == (1, True)
    shards = open_shards("m2")
    try:
        with RayMemory("m2") as memory:
            check(memory, 0, 32)
    finally:
        shards.stop()


def test_a_restore_that_cannot_be_changes_nothing(nodes: Nodes):
    """A memory that runs, exists or is another is refused; so is a damaged backup; all stays."""
    from memory_core.cluster_backup import back_up_memory
    from memory_core.cluster_restore import restore_memory

    place = nodes.folder / "refusals"
    ids = [nodes.id("two"), nodes.id("three")]

    def on(count: int) -> list[str]:
        return [ids[n % 2] for n in range(count)]

    for name in ("r", "other"):
        shards = start_shards(name, 1, MemoryConfig(**SETTINGS), node_ids=ids[:1])
        with RayMemory(name) as memory:
            store(memory, 0, 20)
        back_up_memory(name, str(place))
        if name == "r":
            with pytest.raises(BadInputError, match="'r' is running; stop it"):
                restore_memory(str(place), "r", "r", on, replace=True)
        shards.stop()
    before = inside(nodes.root("two") / "r")
    with pytest.raises(BadInputError, match=r"'r' exists \(on .*; replace it"):
        restore_memory(str(place), "r", "r", on)
    with pytest.raises(BadInputError, match="'other' is another memory than that of the backup"):
        restore_memory(str(place), "r", "other", on, replace=True)
    table = max(place.rglob("r/tables/*"), key=lambda path: path.stat().st_size)
    shutil.move(table, nodes.folder / "table")
    with pytest.raises(UnavailableError, match=f"{table}.* is missing from the backup"):
        restore_memory(str(place), "r", "r", on, shards=2, replace=True)
    assert inside(nodes.root("two") / "r") == before
    assert inside(nodes.root("three") / "r") == []
    shards = open_shards("r", MemoryConfig(**SETTINGS))
    try:
        with RayMemory("r") as memory:
            check(memory, 0, 20)
    finally:
        shards.stop()


def test_a_restore_that_was_killed_is_done_again(nodes: Nodes):
    """What a killed restore leaves looks like no memory, and is removed by the next."""
    from memory_core.cluster_backup import back_up_memory
    from memory_core.cluster_restore import restore_memory
    from memory_core.memory_record import MemoryRecord
    from memory_core.node_restoring import NodeRestoring, RestoreRequest
    from memory_core.node_survey import record_everywhere
    from memory_core.shard_folder import ShardClaim, begin_making

    place = nodes.folder / "place"
    ids = [nodes.id("two")]
    shards = start_shards("killed", 1, MemoryConfig(**SETTINGS), node_ids=ids)
    with RayMemory("killed") as memory:
        store(memory, 0, 10)
        backup = back_up_memory("killed", str(place)).manifest
    shards.stop()
    ids = [nodes.id("three")]
    root = nodes.root("three")
    shutil.rmtree(nodes.root("two") / "killed")  # its disk is lost
    request = RestoreRequest(
        uri=str(place), source="killed", backup=backup.backup, shards=[0, 1], count=2
    )
    # as it is when a restore is killed half-way: databases beside, a record, and marks of one
    restoring = NodeRestoring("killed", str(root))
    restoring.fetch(request)
    with pytest.raises(UnavailableError, match="is being restored on host"):
        restore_memory(str(place), "killed", "killed", lambda count: ids * count)
    record = MemoryRecord(
        memory="killed", memory_id=backup.memory_id, shards=2, generation=2, made=False
    )
    assert record_everywhere(record) == []
    claim = ShardClaim(
        memory="killed", memory_id=backup.memory_id, shard=0, shards=2, generation=2, root=str(root)
    )
    begin_making(claim)
    restoring.let_go()
    assert any(name.startswith("restoring-") for name in inside(root / "killed"))
    with pytest.raises(BadInputError, match="whose making was cut short"):
        open_shards("killed")
    restored = restore_memory(str(place), "killed", "killed", lambda count: ids * count)
    assert restored.record.generation == 3
    assert inside(root / "killed") == ["memory.json", "shard-0", "shard-0.json"]
    shards = open_shards("killed")
    try:
        with RayMemory("killed") as memory:
            check(memory, 0, 10)
    finally:
        shards.stop()


def test_the_commands_back_up_and_restore(nodes: Nodes, tmp_path: Path):
    """`harness store backup` and `restore` do so on the cluster that they are given."""
    from tests.harness.driving import command

    shards = start_shards("said", 2, MemoryConfig(**SETTINGS), node_ids=[nodes.id("two")])
    place = nodes.folder / "said"
    try:
        with RayMemory("said") as memory:
            store(memory, 0, 10)
        done = command(
            *("store", "backup", "said", place, "--keep", 3, "--address", nodes.address),
            temp=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert "2 shards" in done.stdout
        done = command(
            *("store", "restore", place, "said", "--address", nodes.address), temp=tmp_path
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "NAME: 'said' is running; stop it, or name another (--as)" in done.stderr
    finally:
        shards.stop()
    done = command(
        *("store", "restore", place, "said", "--as", "told", "--shards", 1),
        *("--address", nodes.address, "--json"),
        temp=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["generation"] == 1
    shards = open_shards("told")
    try:
        with RayMemory("told") as memory:
            check(memory, 0, 10)
    finally:
        shards.stop()
