"""Which node serves which shard: decided by marks, generations and the nodes that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memory_core import BadInputError
from memory_core.data_root import node_identity
from memory_core.memory_record import (
    FolderFound,
    Home,
    MemoryRecord,
    NodeFindings,
    look_here,
    newest,
    write_record,
)
from memory_core.note_file import write_note
from memory_core.shard_choice import choose, known_memory
from memory_core.shard_folder import Marks

SHARDS = 3
RECORD = MemoryRecord(
    memory="m",
    memory_id="id",
    shards=SHARDS,
    homes=[Home(node=f"node-{n}", host=f"host-{n}") for n in range(SHARDS)],
)


def folder(shard: int, node: int, **changes: Any) -> FolderFound:
    """A shard's folder as a survey finds it."""
    marks = Marks(
        memory="m",
        memory_id="id",
        shard=shard,
        shards=SHARDS,
        generation=1,
        node=f"node-{node}",
        made=True,
    )
    return FolderFound(
        marks=msgspec.structs.replace(
            marks, **{name: value for name, value in changes.items() if name != "has_database"}
        ),
        has_database=changes.get("has_database", True),
    )


def node(number: int, *folders: FolderFound, **changes: Any) -> NodeFindings:
    """A node that answered a survey."""
    settings: dict[str, Any] = {
        "node_id": f"ray-{number}",
        "host": f"host-{number}",
        "root": "/data",
        "identity": f"node-{number}",
        "folders": list(folders),
    }
    return NodeFindings(**{**settings, **changes})


def test_a_shard_is_served_where_its_folder_is():
    """Each on its node, under whatever name Ray knows that now."""
    found = [node(n, folder(n, n), node_id=f"new-{n}") for n in range(SHARDS)]
    for shard in range(SHARDS):
        choice = choose(RECORD, shard, found)
        assert choice.node_id == f"new-{shard}"
        assert choice.home == RECORD.homes[shard]
        assert choice.reason is None


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            [node(0, folder(0, 0))],
            "its folder is on host host-1 (node node-1), which is not there; start Ray there "
            "again, or restore a backup",
        ),
        (
            [node(1)],
            "its folder is gone from host host-1 (node node-1); put it back, or restore a backup",
        ),
        (
            [node(1, folder(1, 1, made=False))],
            "the folder on host host-1 was not made to its end; restore a backup",
        ),
        (
            [node(1, folder(1, 1, has_database=False))],
            "the folder on host host-1 has lost its database; restore a backup",
        ),
        (
            [node(1, folder(1, 1, shards=7))],
            "the folder on host host-1 is of a memory of 7 shards, which now has 3; restore a "
            "backup",
        ),
        (
            [node(2, folder(1, 1))],
            "the folder on host host-2 was copied there from node node-1; its own is on host "
            "host-1 (node node-1), which is not there; start Ray there again, or restore a backup",
        ),
        (
            [node(1, folder(1, 1)), node(4, folder(1, 4))],
            "several nodes have a folder of it (host-1 (/data), host-4 (/data)), and which is "
            "right is not known; move all but one away",
        ),
        (
            [node(2, problem="/data/m: cannot be read")],
            "its folder is on host host-1 (node node-1), which is not there (host-2: /data/m: "
            "cannot be read); start Ray there again, or restore a backup",
        ),
    ],
)
def test_a_shard_that_nobody_may_serve_says_why(found: list[NodeFindings], sentence: str):
    """The sentence names the host that has the folder, what is wrong with it, and the remedy."""
    choice = choose(RECORD, 1, found)
    assert choice.node_id is None
    assert choice.reason == f"shard 1 of memory 'm' is unavailable: {sentence}"


def test_a_folder_of_before_a_restore_is_not_served():
    """A node that comes back with the generation of before is told from the one that has it."""
    restored = msgspec.structs.replace(RECORD, generation=2)
    choice = choose(restored, 1, [node(1, folder(1, 1))])
    assert choice.node_id is None
    assert "is of an earlier generation (1, the memory is at 2)" in str(choice.reason)
    both = [node(1, folder(1, 1)), node(5, folder(1, 5, generation=2))]
    assert choose(restored, 1, both).node_id == "ray-5"


def test_hosts_that_did_not_answer_are_named():
    """They may have what is looked for."""
    choice = choose(RECORD, 1, [], silent=["10.0.0.7"])
    assert "which is not there (10.0.0.7 did not answer); start Ray" in str(choice.reason)


def test_nodes_that_share_a_disk_serve_it_once():
    """Of two Ray nodes with one identity, one is chosen, always the same."""
    found = [node(1, folder(1, 1), node_id="b"), node(1, folder(1, 1), node_id="a")]
    assert choose(RECORD, 1, found).node_id == choose(RECORD, 1, found[::-1]).node_id == "a"


def test_the_newest_record_is_that_of_the_memory():
    """Of several nodes' records the highest generation counts, and of equals one that is made."""
    begun = msgspec.structs.replace(RECORD, made=False)
    later = msgspec.structs.replace(RECORD, generation=2, shards=1, homes=[])
    found = [node(0, record=RECORD), node(1, record=later), node(2, record=begun)]
    known = known_memory("m", found)
    assert known is not None
    assert (known.generation, known.shards) == (2, 1)
    assert newest([begun, RECORD]) == newest([RECORD, begun]) == RECORD
    assert newest([]) is None
    assert known_memory("m", [node(0), node(1)]) is None


def test_a_memory_without_a_record_is_known_by_its_folders():
    """The folders that a run kept say how many shards there are, and where."""
    known = known_memory("m", [node(0, folder(0, 0)), node(2, folder(2, 2))])
    assert known is not None
    assert (known.memory_id, known.shards, known.made) == ("id", SHARDS, True)
    assert known.homes == [RECORD.homes[0], None, RECORD.homes[2]]
    choice = choose(known, 1, [node(0, folder(0, 0))])
    assert "its folder is on no node that is there; start Ray again where" in str(choice.reason)


def test_two_memories_of_one_name_are_told_apart():
    """Nobody guesses which is meant: the ids and their hosts are named."""
    other = folder(0, 1, memory_id="other")
    with pytest.raises(BadInputError, match="there are 2 memories named 'm'") as caught:
        known_memory("m", [node(0, folder(0, 0)), node(1, other)])
    assert "host-0 has id; host-1 has other" in str(caught.value)


FOLDERS = st.builds(
    folder,
    shard=st.integers(0, SHARDS - 1),
    node=st.integers(0, 3),
    memory_id=st.sampled_from(["id", "id", "id", "other"]),
    generation=st.integers(1, 3),
    made=st.sampled_from([True, True, True, False]),
    has_database=st.sampled_from([True, True, True, False]),
)


@given(
    st.lists(st.builds(node, st.integers(0, 3), FOLDERS, FOLDERS), max_size=6),
    st.integers(1, 3),
    st.integers(0, SHARDS - 1),
)
def test_only_a_folder_of_its_own_is_ever_chosen(
    found: list[NodeFindings], generation: int, shard: int
):
    """Whoever is chosen has the one right folder, and where nobody is there is a reason."""
    record = msgspec.structs.replace(RECORD, generation=generation)
    choice = choose(record, shard, found)
    right = {
        one.identity
        for one in found
        for has in one.folders
        if (has.marks.memory_id, has.marks.shard, has.marks.generation) == ("id", shard, generation)
        and has.marks.node == one.identity
        and has.marks.made
        and has.has_database
    }
    assert (choice.node_id is None) == (len(right) != 1)
    assert (choice.node_id is None) == (choice.reason is not None)
    if choice.node_id is not None:
        chosen = [one.identity for one in found if one.node_id == choice.node_id]
        assert set(chosen) == right


class Cluster(RuleBasedStateMachine):
    """Nodes come and go under new names of Ray's, while a memory is written and restored."""

    def __init__(self) -> None:
        super().__init__()
        self.record = RECORD
        self.disks: dict[int, list[FolderFound]] = {n: [folder(n, n)] for n in range(SHARDS)}
        self.disks[SHARDS] = []
        self.there = set(self.disks)
        self.joined = 0
        # what was acknowledged last, and what the folder of each shard has, by node and generation
        self.acknowledged = [0] * SHARDS
        self.written = {(n, n, 1): 0 for n in range(SHARDS)}

    def found(self) -> list[NodeFindings]:
        return [node(n, *self.disks[n], node_id=f"ray-{n}-{self.joined}") for n in self.there]

    def serving(self, shard: int) -> int | None:
        """The node that serves a shard now."""
        chosen = choose(self.record, shard, self.found()).node_id
        return None if chosen is None else int(chosen.split("-")[1])

    @rule(shard=st.integers(0, SHARDS - 1))
    def write(self, shard: int) -> None:
        """A write is acknowledged by whoever serves the shard."""
        where = self.serving(shard)
        if where is not None:
            self.acknowledged[shard] += 1
            self.written[where, shard, self.record.generation] = self.acknowledged[shard]

    @rule(number=st.integers(0, SHARDS))
    def goes_or_comes(self, number: int) -> None:
        """A node dies, or is there again under another name of Ray's."""
        self.there ^= {number}
        self.joined += 1

    @precondition(lambda self: self.there and self.record.generation < 4)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """A backup of all that was acknowledged is restored onto nodes that are there."""
        generation = self.record.generation + 1
        homes = []
        for shard in range(SHARDS):
            onto = data.draw(st.sampled_from(sorted(self.there)))
            kept = [one for one in self.disks[onto] if one.marks.shard != shard]
            self.disks[onto] = [*kept, folder(shard, onto, generation=generation)]
            self.written[onto, shard, generation] = self.acknowledged[shard]
            homes.append(Home(node=f"node-{onto}", host=f"host-{onto}"))
        self.record = msgspec.structs.replace(self.record, generation=generation, homes=homes)

    @invariant()
    def serves_what_was_acknowledged(self) -> None:
        """Whoever serves a shard has every write of it that was acknowledged."""
        for shard in range(SHARDS):
            where = self.serving(shard)
            if where is not None:
                have = self.written[where, shard, self.record.generation]
                assert have == self.acknowledged[shard]

    @invariant()
    def serves_when_it_can(self) -> None:
        """A shard whose node is there is served, and by its node."""
        for shard in range(SHARDS):
            home = self.record.homes[shard]
            assert home is not None
            number = int(home.node.split("-")[1])
            assert self.serving(shard) == (number if number in self.there else None)


TestCluster = Cluster.TestCase


def test_a_node_tells_what_it_has(tmp_path: Path):
    """Marks, databases, the record and the identity are found where they are written."""
    root = str(tmp_path)
    assert look_here("m", "ray", root=root).folders == []
    assert look_here("m", "ray", root=root).identity is None
    identity = node_identity(root)
    write_record(RECORD, root=root)
    (tmp_path / "m" / "shard-0").mkdir()
    (tmp_path / "m" / "shard-0" / "CURRENT").touch()
    for shard in range(2):
        write_note(str(tmp_path / "m" / f"shard-{shard}.json"), folder(shard, 0).marks)
    found = look_here("m", "ray", root=root)
    assert (found.node_id, found.identity, found.record) == ("ray", identity, RECORD)
    assert [one.has_database for one in found.folders] == [True, False]
    assert [one.marks.shard for one in found.folders] == [0, 1]
    assert found.problem is None


def test_what_a_node_cannot_read_is_its_problem(tmp_path: Path):
    """Damaged marks hide no other shard; a damaged record is said."""
    (tmp_path / "m").mkdir()
    write_note(str(tmp_path / "m" / "shard-0.json"), folder(0, 0).marks)
    (tmp_path / "m" / "shard-1.json").write_text("{")
    found = look_here("m", "ray", root=str(tmp_path))
    assert [one.marks.shard for one in found.folders] == [0]
    assert "shard-1.json: is damaged" in str(found.problem)
    (tmp_path / "m" / "memory.json").write_text("")
    found = look_here("m", "ray", root=str(tmp_path))
    assert "memory.json: is damaged" in str(found.problem)
