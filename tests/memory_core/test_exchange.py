"""Memories to a Parquet file and back, exactly, and what becomes of a file that is none."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    MemoryConfig,
    MemoryStore,
    StateEncoder,
    StorageFullError,
    exchange,
)
from memory_core.client import MemoryClient
from memory_core.enumeration import ROWS_TOGETHER, all_pages
from memory_core.exchange import COLUMNS, export_memories, import_memories
from memory_core.local_transport import LocalTransport
from memory_core.operations import Agents, Export, Operation, Restore, Store, Transition
from memory_core.payload import pack_state
from memory_core.placement import start_shards
from memory_core.ray_memory import RayMemory
from memory_core.results import AgentSize, Done, Exported, Failure, Listed, Result

DIMENSION = 8
# a step, a metadata, a vector and an importance that float32 does not hold exactly
FULL = Store.of(
    "a",
    "full",
    {"x": 1},
    importance=0.3,
    vector=[3, 1, 4, 1, 5, 9, 2, 6],
    step=-7,
    metadata={"m": 2},
)


class Clock:
    """A wall clock that ticks once a batch, in steps that seconds in a float would not keep."""

    def __init__(self, start_ns: int = 1_700_000_000_123_456_789) -> None:
        self.now_ns = start_ns

    def __call__(self) -> int:
        self.now_ns += 1
        return self.now_ns


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., MemoryStore]]:
    """Makes stores, and closes them when the test is over."""
    made: list[MemoryStore] = []

    def begin(**settings: Any) -> MemoryStore:
        path = tmp_path / f"db-{len(made)}"
        start_ns = 10**18 * (len(made) + 1)
        made.append(
            MemoryStore(
                MemoryConfig(path=path, **{"dimension": DIMENSION, "durability": "os", **settings}),
                clock=Clock(start_ns),
            )
        )
        return made[-1]

    yield begin
    for one in made:
        one.close()


def moved(memory: Any, path: Path, into: Any, agent_id: str | None = None) -> int:
    """Export from one and import into the other; how many."""
    count = export_memories(memory, path, agent_id)
    assert import_memories(into, path) == count
    return count


def kept(memory: Any, agent_id: str | None = None) -> dict[str, list[Any]]:
    """All that is kept of each agent's memories, in the order of storing."""
    found: dict[str, list[Any]] = {}
    for owner, page in all_pages(memory, agent_id):
        found.setdefault(owner, []).extend(zip(page.memories, page.vectors, strict=True))
    return {owner: memories for owner, memories in found.items() if memories}


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    """A file beside it with something else in it."""
    other = path.with_name("changed.parquet")
    pq.write_table(change(pq.read_table(path)), other)
    return other


def with_column(name: str, values: Any, kind: Any = None) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        kind_there = kind if kind is not None else table.schema.field(at).type
        return table.set_column(at, pa.field(name, kind_there), pa.array(values, kind_there))

    return change


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([10**4000, -(2**63) - 1, 2**64, 2**64 - 1])
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["\0", "\U0001f600", "\u202e", '"', "x" * 5000])
)
keys = texts | st.sampled_from(["\U0001f9ed", "\0", "a.b", "$gte", ""])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
states = st.dictionaries(keys, values, max_size=4)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
memories = st.builds(
    Store.of,
    st.sampled_from(["a", "ab", "\0", "\U0001f600"]),
    ids,
    states,
    importance=st.floats(0, 1),
    vector=st.none()
    | st.lists(st.integers(-9, 9), min_size=DIMENSION, max_size=DIMENSION).filter(any),
    kind=st.sampled_from(["state", "action", "interaction"]),
    step=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    metadata=st.none() | states,
)


@pytest.mark.slow
@settings(max_examples=settings().max_examples // 2)
@given(
    batches=st.lists(st.lists(memories, max_size=6), max_size=4),
    percentages=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    reopened=st.booleans(),
)
def test_whatever_was_stored_comes_back_from_a_file_as_it_was(
    batches: list[list[Store]], percentages: tuple[int, int], reopened: bool
):
    """State, type, step, importance, metadata, time, tier, order and vector are the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = MemoryConfig(path=folder / "1", dimension=DIMENSION, durability="os")
        with MemoryStore(config, clock=Clock()) as store:
            for batch in batches:
                assert all(type(one) is Done for one in store.execute(batch))
            store.execute([Transition("im", percentages[0]), Transition("ltm", percentages[1])])
            expected = kept(store)
            other = MemoryConfig(path=folder / "2", dimension=DIMENSION, durability="os")
            with MemoryStore(other) as into:
                count = moved(store, folder / "file.parquet", into)
                if not reopened:
                    assert kept(into) == expected
            with MemoryStore(other) as into:
                assert kept(into) == expected
                stored = {(one.agent_id, one.state_id) for batch in batches for one in batch}
                assert count == len(stored)


def test_all_columns_are_there_and_readable_by_people(
    make: Callable[..., MemoryStore], tmp_path: Path
):
    """A file says what each memory is, its state in bytes and as JSON."""
    store = make()
    hostile = {"\U0001f9ed\0": [1, [2.5, None]], "big": 10**5000, "e": {}}
    store.execute([FULL, Store.of("a", "plain", hostile, kind="action"), Transition("im", 50.0)])
    assert export_memories(store, tmp_path / "file.parquet", None) == 2
    table = pq.read_table(tmp_path / "file.parquet")
    assert tuple(table.column_names) == COLUMNS
    full, plain = table.to_pylist()
    vector = full.pop("vector")
    np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-6)
    np.testing.assert_allclose(vector[0] / vector[1], 3, atol=1e-5)
    assert full == {
        "agent_id": "a",
        "state_id": "full",
        "memory_type": "state",
        "step_number": -7,
        "importance": float(np.float32(0.3)),
        "stored_at_ns": 10**18 + 1,
        "tier": "im",
        "state": pack_state({"x": 1}),
        "state_json": '{"x": 1}',
        "metadata": pack_state({"m": 2}),
        "metadata_json": '{"m": 2}',
    }
    assert (plain["memory_type"], plain["tier"]) == ("action", "stm")
    assert plain["vector"] is plain["metadata"] is plain["step_number"] is None
    assert json.loads(plain["state_json"]) == {**hostile, "big": hex(10**5000)}


def test_a_vector_is_written_only_where_it_does_not_follow_from_the_state(
    make: Callable[..., MemoryStore],
):
    """A memory that moved down has its vector in its record, which the encoder makes again."""
    store = make()
    store.execute([Store.of("a", f"s{number}", {"x": number}) for number in range(99)])
    store.execute([FULL, Transition("im", 100.0), Transition("ltm", 50.0)])
    vectors = {one.state_id: vector for one, vector in kept(store)["a"]}
    assert [state_id for state_id, vector in vectors.items() if vector is not None] == ["full"]


class OwnEncoder(StateEncoder):
    """An encoder that is not taken at its word."""


def test_vectors_of_an_encoder_of_ones_own_travel_with_the_memories(
    make: Callable[..., MemoryStore], tmp_path: Path
):
    """What such an encoder made is in the file, and kept to the bit."""
    store, into = make(encoder=OwnEncoder(DIMENSION)), make(encoder=OwnEncoder(DIMENSION))
    store.execute([Store.of("a", f"s{number}", {"x": number}) for number in range(50)])
    expected = kept(store)
    assert all(vector is not None for _, vector in expected["a"])
    moved(store, tmp_path / "file.parquet", into)
    assert kept(into) == expected


def test_one_agent_is_exported_without_the_others(make: Callable[..., MemoryStore], tmp_path: Path):
    """With an agent id only its memories are in the file; of an unknown agent there are none."""
    store, into = make(), make()
    store.execute([Store.of(agent, "s", {"x": 1}) for agent in ("a", "ab", "b")])
    assert moved(store, tmp_path / "ab.parquet", into, "ab") == 1
    assert list(kept(into)) == ["ab"]
    assert moved(store, tmp_path / "none.parquet", into, "unknown") == 0
    assert moved(make(), tmp_path / "empty.parquet", into) == 0


class Watched:
    """Executes on a store, and notes the largest batch and reply."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.operations = self.rows = self.bytes = 0

    def execute(self, batch: Sequence[Operation], /) -> list[Result]:
        results = self.store.execute(batch)
        pages = [one for one in results if isinstance(one, Exported)]
        payloads = [len(one.payload) for page in pages for one in page.memories]
        self.operations = max(self.operations, len(batch))
        self.rows = max(self.rows, len(payloads))
        self.bytes = max(self.bytes, sum(payloads))
        return results


def test_many_memories_pass_some_at_a_time(make: Callable[..., MemoryStore], tmp_path: Path):
    """Neither rows nor bytes of a batch, a reply or a row group pass a bound, and all arrive."""
    store, into = make(), make()
    for agent, count in [("a", 1), ("b", 4_500), ("c", 1_999), ("d", 2)]:
        batch = [Store.of(agent, f"s{number}", {"x": number}) for number in range(count)]
        store.execute(batch)
    large = {"text": "x" * 3_000_000}
    store.execute([Store.of(f"large-{at % 3}", f"s{at}", large) for at in range(9)])
    out, back = Watched(store), Watched(into)
    assert moved(out, tmp_path / "file.parquet", back) == 6_511
    assert out.rows <= ROWS_TOGETHER
    assert back.operations <= ROWS_TOGETHER
    assert out.bytes <= 12_000_000
    file = pq.ParquetFile(tmp_path / "file.parquet")
    groups = [file.metadata.row_group(at) for at in range(file.num_row_groups)]
    assert max(group.num_rows for group in groups) <= ROWS_TOGETHER
    assert max(group.total_byte_size for group in groups) <= 30_000_000
    assert kept(into) == kept(store)


def test_importing_twice_is_importing_once(make: Callable[..., MemoryStore], tmp_path: Path):
    """A memory takes the place of the one of its id, in whatever tier that was."""
    store, into = make(), make()
    store.execute([Store.of("a", f"s{number}", {"x": number}) for number in range(20)])
    store.execute([Transition("im", 50.0)])
    expected = kept(store)
    into.execute([Store.of("a", "s3", {"other": 1}), Transition("im", 100.0)])
    into.execute([Transition("ltm", 100.0)])
    moved(store, tmp_path / "file.parquet", into)
    assert import_memories(into, tmp_path / "file.parquet") == 20
    assert kept(into) == expected


def test_a_tier_that_an_import_makes_too_full_moves_memories_down(
    make: Callable[..., MemoryStore], tmp_path: Path
):
    """Capacities hold for what is imported as for what is stored."""
    store, into = make(), make(stm_capacity=3, im_capacity=4)
    store.execute([Store.of("a", f"s{number}", {"x": number}) for number in range(20)])
    moved(store, tmp_path / "file.parquet", into)
    tiers = [memory.tier for memory, _ in kept(into)["a"]]
    assert tiers == ["ltm"] * 13 + ["im"] * 4 + ["stm"] * 3


def test_an_export_replaces_no_file(make: Callable[..., MemoryStore], tmp_path: Path):
    """A file that is there already, a folder and a link to nowhere stay as they are."""
    store = make()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ["file", "folder", "link"]:
        with pytest.raises(BadInputError, match=r"^path: .*is there already; name a new file$"):
            export_memories(store, tmp_path / name, None)
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.fault
def test_an_export_that_fails_leaves_nothing_behind(
    make: Callable[..., MemoryStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A full disk, a missing folder or a store that is closed: no file, and none half written."""
    store, folder = make(), tmp_path / "exports"
    folder.mkdir()
    store.execute([FULL])
    with pytest.raises(BadInputError, match="No such file or directory"):
        exchange.export_memories(store, folder / "missing" / "file", None)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(exchange.os, "fsync", full)
        with pytest.raises(StorageFullError, match="no room"):
            exchange.export_memories(store, folder / "file", None)
    store.close()
    with pytest.raises(Exception, match="closed"):
        exchange.export_memories(store, folder / "file", None)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("path", ["", "a\0b", 7, None, "\ud800"])
def test_a_path_that_is_none_is_named(make: Callable[..., MemoryStore], path: Any):
    """What cannot name a file is bad input of the field path, both ways."""
    store = make()
    for call in [lambda: export_memories(store, path, None), lambda: import_memories(store, path)]:
        with pytest.raises(BadInputError, match=r"^path: must be the path of a file"):
            call()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.drop_columns(["tier"]), "has no column tier"),
        (lambda table: table.append_column("note", [["x", "y"]]), "has a column 'note'"),
        (with_column("step_number", ["1", "2"], pa.string()), "step_number of string"),
        (with_column("state_id", ["s", None]), "rows without state_id"),
        (with_column("tier", ["stm", "attic"]), "row 1: tier: must be stm, im or ltm"),
        (
            with_column("memory_type", ["dream", "state"]),
            "row 0: memory_type: must be state, action",
        ),
        (with_column("importance", [0.5, float("nan")]), "row 1: importance: must be from 0"),
        (with_column("agent_id", ["a", ""]), "row 1: agent_id: is empty"),
        (with_column("state", [b"\x80", b"\xc1"]), "row 1: state: is no packed state"),
        (with_column("metadata", [None, b"\x93"]), "row 1: metadata: is no packed state"),
        (with_column("vector", [None, [None] * 8]), "a vector with a number missing"),
        (with_column("stored_at_ns", [1, -(2**63)]), "row 1: stored_at_ns: must be a whole number"),
    ],
)
def test_a_file_of_something_else_is_refused_before_anything_is_imported(
    make: Callable[..., MemoryStore],
    tmp_path: Path,
    change: Callable[[pa.Table], pa.Table],
    problem: str,
):
    """One sentence says what is wrong with the file, and the store is as it was."""
    store, into = make(), make()
    store.execute([FULL, Store.of("a", "s", {"x": 1})])
    export_memories(store, tmp_path / "file.parquet", None)
    other = rewritten(tmp_path / "file.parquet", change)
    with pytest.raises(BadInputError) as caught:
        import_memories(into, other)
    assert caught.value.field == "path"
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kept(into) == {}


@pytest.mark.fault
def test_a_damaged_file_is_refused_before_anything_is_imported(
    make: Callable[..., MemoryStore], tmp_path: Path
):
    """Cut short, a bit flipped anywhere in its rows, empty, or none: nothing is imported."""
    store, into = make(), make()
    for start in range(0, 6_000, 2_000):
        batch = range(start, start + 2_000)
        store.execute([Store.of("a", f"s{number}", {"x": number}) for number in batch])
    export_memories(store, tmp_path / "file.parquet", None)
    whole = (tmp_path / "file.parquet").read_bytes()
    last = pq.ParquetFile(tmp_path / "file.parquet").metadata.row_group(2).column(7)
    at = last.data_page_offset + last.total_compressed_size // 2
    flipped = whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]
    for damaged in [whole[: len(whole) // 2], whole[:-1], flipped, b"", b"PAR1", b"text\n" * 9]:
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(BadInputError, match=r"^path: .*damaged cannot be read as Parquet"):
            import_memories(into, tmp_path / "damaged")
    for name in ["missing", "."]:
        with pytest.raises(BadInputError, match="is no file; name one"):
            import_memories(into, tmp_path / name)
    assert kept(into) == {}


def test_a_vector_that_does_not_fit_the_store_is_named(
    make: Callable[..., MemoryStore], tmp_path: Path
):
    """Memories before it stay, and the error says how many."""
    store, into = make(), make(dimension=9)
    store.execute([Store.of("a", "s1", {"x": 1}), FULL, Store.of("a", "s2", {"x": 1})])
    export_memories(store, tmp_path / "file.parquet", None)
    with pytest.raises(BadInputError, match=r"8 dimensions, but .* has 9 \(1 memories before"):
        import_memories(into, tmp_path / "file.parquet")


def test_pages_are_refused_without_a_sensible_size(make: Callable[..., MemoryStore]):
    """A page of nothing and an import into no tier are bad input."""
    wrong = [
        Agents(None, 0),
        Agents("", 5),
        Export("", 0),
        Export("a", 0, 10**9),
        Export("a", "x"),  # type: ignore[arg-type]
        Restore("a", "s", b"\x80", 0.5, None, "state", None, None, 0, "all"),
        Restore("a", "s", b"\x80", 0.5, None, "state", None, None, 2**64, "stm"),
        Restore("a", "s", b"\x80", 0.5, None, "dream", None, None, 0, "stm"),
        Restore("a", "s", "x", 0.5, None, "state", None, None, 0, "stm"),  # type: ignore[arg-type]
    ]
    results = make().execute(wrong)
    assert [one.error for one in results if isinstance(one, Failure)] == ["BadInputError"] * 9


def test_agents_are_listed_over_all_shards_in_order(make: Callable[..., MemoryStore]):
    """A client merges the shards' lists, so pages of them miss and double nobody."""
    transport = LocalTransport([make() for _ in range(3)])
    names = sorted(f"agent_{number}" for number in range(50))

    async def listed() -> list[AgentSize]:
        client = MemoryClient(transport, 3)
        for name in names:
            await client.call(Store.of(name, "s", {"x": 1}))
        found: list[AgentSize] = []
        while True:
            result = await client.call(Agents(found[-1].agent_id if found else None, 7))
            assert isinstance(result, Listed)
            if not result.agents:
                begun = await client.call(Agents(None, 20, "agent_4"))
                assert begun == Listed([one for one in found if one.agent_id[:7] == "agent_4"])
                return found
            assert len(result.agents) <= 7
            found += result.agents

    found = asyncio.run(listed())
    transport.close()
    assert found == [AgentSize(name, 1, len(pack_state({"x": 1}))) for name in names]


def test_the_face_lists_agents():
    """`list_agents` gives a page of those whose ids begin with a prefix, and their sizes."""
    with AgentMemorySystem() as memory:
        for name in ["b", "ab", "a", "ac", "\u00e4"]:
            memory.store_agent_state(agent_id=name, state_id="s", state_data={"x": 1})
        assert [one.agent_id for one in memory.list_agents()] == ["a", "ab", "ac", "b", "\u00e4"]
        size = len(pack_state({"x": 1}))
        assert memory.list_agents(prefix="a", after="a", limit=1) == [AgentSize("ab", 1, size)]
        assert memory.list_agents(prefix="c") == []
        with pytest.raises(BadInputError, match=r"^prefix: is empty"):
            memory.list_agents(prefix="")


def test_the_face_exports_and_imports(tmp_path: Path):
    """`export_memories` and `import_memories` are calls of the face, by keyword."""
    with AgentMemorySystem() as memory, AgentMemorySystem() as other:
        memory.store_agent_action(
            agent_id="a", state_id="s", state_data={"x": 2**80}, step_number=3, metadata={"m": []}
        )
        assert memory.export_memories(path=tmp_path / "file.parquet") == 1
        assert other.import_memories(path=str(tmp_path / "file.parquet")) == 1
        assert other.retrieve_states(agent_id="a", state_ids=["s"]) == memory.retrieve_states(
            agent_id="a", state_ids=["s"]
        )
        assert other.execute([Export("a")]) == memory.execute([Export("a")])


def test_the_package_is_imported_without_pyarrow():
    """Pyarrow is loaded by the first export or import."""
    script = "import sys, memory_core.face; sys.exit('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == 0


@pytest.mark.cluster
@pytest.mark.slow
def test_memories_travel_between_a_process_and_shards_on_ray(tmp_path: Path, ray_here: object):
    """A file of a memory in process goes into shards, and one of theirs is the same."""
    with AgentMemorySystem(MemoryConfig(dimension=DIMENSION)) as local:
        for number in range(30):
            local.execute([Store.of(f"agent_{number % 7}", f"s{number}", {"x": number})])
        local.execute([FULL, Transition("im", 50.0)])
        assert local.export_memories(path=tmp_path / "1.parquet") == 31
        shards = start_shards(
            "exchange", 2, MemoryConfig(path=tmp_path / "data", dimension=DIMENSION)
        )
        try:
            with RayMemory("exchange") as memory:
                assert memory.import_memories(path=tmp_path / "1.parquet") == 31
                assert memory.export_memories(path=tmp_path / "2.parquet") == 31
                assert kept(memory) == kept(local)
                assert memory.export_memories(path=tmp_path / "3.parquet", agent_id="a") == 1
        finally:
            shards.stop()
    tables = [pq.read_table(tmp_path / f"{number}.parquet") for number in (1, 2)]
    assert tables[0].equals(tables[1])
