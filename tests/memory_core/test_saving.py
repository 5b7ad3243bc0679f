"""What a repair keeps of a memory that is there twice, and what it does not bring back."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memory_core import Delete, Describe, MemoryConfig, MemoryStore, Record, Retrieve, Store
from memory_core.inspection import verify
from memory_core.log import DATA_FAMILIES, IDS, Batch, Log
from memory_core.operations import TIERS
from memory_core.payload import pack_state
from memory_core.record import agent_prefix, lower_key, lower_value, make_value
from memory_core.repairing import Repair, repair

pytestmark = pytest.mark.fault

SETTINGS: dict[str, Any] = {"dimension": 8, "stm_capacity": 20, "im_capacity": 30}
STM, IM, LTM = range(len(TIERS))
EACH = 90


def fill(store: MemoryStore, agent: str, first: int = 0, count: int = EACH) -> None:
    store.execute([Store.of(agent, f"s{n}", {"n": n}) for n in range(first, first + count)])


def held(folder: Path | str) -> dict[tuple[str, str], dict[str, Any]]:
    """Every memory of agents a and b, each found under its id and nothing else there."""
    asked = [(agent, f"s{n}") for agent in "ab" for n in range(2 * EACH)]
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        results = store.execute([Retrieve(*one) for one in asked])
        [described] = store.execute([Describe()])
    found = {
        one: result.state
        for one, result in zip(asked, results, strict=True)
        if isinstance(result, Record)
    }
    assert described.counts.total == len(found)
    return found


def edit(folder: Path, change: Callable[[Batch], None]) -> None:
    """Write to a closed database what no store would."""
    log = Log(str(folder), MemoryConfig(path=folder, **SETTINGS))
    batch = log.batch()
    change(batch)
    log.write(batch)
    log.close()


def tables_of(folder: Path, family: str) -> list[Path]:
    """The tables of a closed database's column family."""
    name = b"name" + family.encode() + b"\n"  # among each table's properties
    return [table for table in sorted(folder.glob("*.sst")) if name in table.read_bytes()]


def lower_record(agent: str, state_id: str, sequence: int, state: Any) -> tuple[bytes, bytes]:
    value = make_value(sequence, 5, 0.5, pack_state(state))
    return lower_key(agent_prefix(agent), sequence), lower_value(state_id.encode(), value)


def id_record(agent: str, state_id: str, sequence: int) -> tuple[bytes, bytes]:
    return agent_prefix(agent) + state_id.encode(), sequence.to_bytes(8, "big")


def repaired(folder: Path) -> Repair:
    """The outcome of a repair to a folder beside it, which is whole."""
    outcome = repair(folder, folder.parent / "repaired")
    assert verify(outcome.path).is_clean
    assert outcome.memories == len(held(outcome.path))
    return outcome


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A closed database with agents a and b in all three tiers."""
    with MemoryStore(MemoryConfig(path=tmp_path / "db", **SETTINGS)) as store:
        fill(store, "a")
        fill(store, "b")
    return tmp_path / "db"


@pytest.fixture
def forgotten(filled: Path) -> Path:
    """The same, opened once more to delete agent a."""
    with MemoryStore(MemoryConfig(path=filled, **SETTINGS)) as store:
        store.execute([Delete("a")])
    assert len(held(filled)) == EACH
    return filled


def _unlink(file: Path) -> None:
    file.unlink()


def _flip(part: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[int((len(data) - 1) * part)] ^= 4
        file.write_bytes(data)

    return damage


@pytest.mark.parametrize(
    "damage", [_unlink, _flip(0.05), _flip(0.5), _flip(1)], ids=["missing", "begin", "mid", "end"]
)
def test_a_damaged_table_of_ids_alone_loses_nothing(filled: Path, damage: Callable[[Path], None]):
    """Where memories are is found again from the memories."""
    whole = held(filled)
    for table in tables_of(filled, "ids"):
        damage(table)
    outcome = repaired(filled)
    assert held(outcome.path) == whole
    assert len(whole) == 2 * EACH


def test_entries_that_are_gone_or_wrong_are_made_again(filled: Path):
    """A repair has every memory even when `ids` is whole and says something else."""
    whole = held(filled)

    def change(batch: Batch) -> None:
        batch.delete(IDS, id_record("a", "s3", 0)[0])
        batch.put(IDS, *id_record("a", "s4", 77_777))
        batch.put(IDS, *id_record("a", "nobody", 88_888))

    edit(filled, change)
    assert not verify(filled).is_clean
    outcome = repaired(filled)
    assert held(outcome.path) == whole
    [loss] = outcome.lost
    assert str(loss) == "ids: names 1 memories that are nowhere, the first 'a' 'nobody'"


def test_the_memory_stored_last_is_kept(filled: Path):
    """Of a memory in several tiers, or twice in one, the newest by its number is kept."""

    def change(batch: Batch) -> None:
        batch.put(IM, *lower_record("a", "s0", 901, {"n": "im"}))
        batch.put(STM, id_record("a", "s1", 0)[0], make_value(902, 5, 0.5, pack_state({"n": "x"})))
        batch.put(LTM, *lower_record("a", "s2", 903, {"n": "old"}))
        batch.put(LTM, *lower_record("a", "s2", 904, {"n": "ltm"}))
        batch.put(LTM, *lower_record("a", "s80", 0, {"n": "older than the short-term one"}))

    expected = held(filled) | {
        ("a", "s0"): {"n": "im"},
        ("a", "s1"): {"n": "x"},
        ("a", "s2"): {"n": "ltm"},
    }
    edit(filled, change)
    outcome = repaired(filled)
    assert held(outcome.path) == expected
    assert outcome.lost == ()


def test_of_the_same_record_in_two_tiers_the_lower_is_kept(filled: Path):
    """A move whose deletion was lost leaves one memory, where it was moved to."""
    counts = {name: tier.memories for name, tier in verify(filled).tiers.items()}
    whole = held(filled)
    log = Log(str(filled), MemoryConfig(path=filled, **SETTINGS))
    [upper, *_], [middle, *_], [last, *_] = ([*log.scan(tier)] for tier in (STM, IM, LTM))
    number, agent = int.from_bytes(upper[1][:8], "little"), agent_prefix("a")
    log.close()

    def change(batch: Batch) -> None:
        key = lower_key(agent, number)
        batch.put(IM, key, lower_value(upper[0][len(agent) :], upper[1]))
        batch.put(IDS, upper[0], key[-8:])
        batch.put(LTM, *middle)
        batch.put(IM, *last)

    edit(filled, change)
    assert len(verify(filled).problems) == 3
    outcome = repaired(filled)
    assert held(outcome.path) == whole
    assert outcome.saved == {
        "stm": counts["stm"] - 1,
        "im": counts["im"],
        "ltm": counts["ltm"] + 1,
    }


def test_two_memories_of_one_number_are_both_kept(filled: Path):
    """A number that an earlier life of the database gave to another memory hides neither."""
    log = Log(str(filled), MemoryConfig(path=filled, **SETTINGS))
    [key, _], *_ = log.scan(LTM)
    log.close()
    number = int.from_bytes(key[-8:], "big")
    whole = held(filled)
    # taken after the one in the long-term tier, whose number it has
    edit(filled, lambda batch: batch.put(IM, *lower_record("a", "s170", number, {"n": 170})))
    outcome = repaired(filled)
    assert held(outcome.path) == {**whole, ("a", "s170"): {"n": 170}}


def test_a_record_under_a_wrong_number_is_saved_under_its_own(filled: Path):
    """The number in the value counts where the key has another."""

    def change(batch: Batch) -> None:
        _, value = lower_record("a", "s170", 950, {"n": 170})
        batch.put(IM, lower_key(agent_prefix("a"), 960), value)
        batch.put(IDS, *id_record("a", "s170", 960))

    edit(filled, change)
    outcome = repaired(filled)
    assert held(outcome.path)["a", "s170"] == {"n": 170}


@pytest.mark.parametrize("everything", [False, True])
def test_a_deletion_of_a_range_in_the_log_is_kept(tmp_path: Path, everything: bool):
    """Without its list of files a killed database is rebuilt without what was deleted."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import sys
                from memory_core import Delete, MemoryConfig, MemoryStore, Store
                settings = {"dimension": 8, "stm_capacity": 20, "im_capacity": 30}
                for last in (False, True):
                    store = MemoryStore(MemoryConfig(path=sys.argv[1], **settings))
                    for agent in "" if last else "ab":
                        store.execute([Store.of(agent, f"s{n}", {"n": n}) for n in range(90)])
                    if not last:
                        store.close()
                store.execute([Delete(None if sys.argv[2] == "True" else "a")])
                store.execute([Store.of("b", "s90", {"n": 90})])
                print("done", flush=True)
                sys.stdin.read()
            """),
            tmp_path / "db",
            str(everything),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == "done\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        child.stdin.close()
    for file in (tmp_path / "db").glob("MANIFEST-*"):
        file.unlink()
    outcome = repaired(tmp_path / "db")
    assert outcome.from_beneath == 0
    assert not any("records" in loss.problem for loss in outcome.lost)
    expected = {("b", f"s{n}") for n in range(90 if everything else 0, 91)}
    assert set(held(outcome.path)) == expected


@pytest.mark.parametrize("family", ["stm", "im", "ltm", "ids"])
@pytest.mark.parametrize("damage", [_unlink, _flip(0.5), _flip(1)], ids=["missing", "mid", "end"])
def test_what_was_deleted_is_not_brought_back_unsaid(
    forgotten: Path, family: str, damage: Callable[[Path], None]
):
    """A damaged table that had a deletion brings memories back only where that is said."""
    damage(max(tables_of(forgotten, family)))
    outcome = repaired(forgotten)
    back = [agent for agent, _ in held(outcome.path) if agent == "a"]
    assert len(back) <= outcome.from_beneath
    if family != "stm" and damage is not _unlink:  # a table that is there says whose it is
        assert (back, outcome.from_beneath) == ([], 0)


@pytest.mark.slow
def test_any_flipped_bit_hides_no_deletion(forgotten: Path, tmp_path: Path):
    """Wherever a bit of a table is flipped, what comes back is counted and nothing is lost."""
    chance = random.Random(3)
    tables = [table for family in DATA_FAMILIES for table in tables_of(forgotten, family)]
    for number in range(24):
        copy = tmp_path / str(number) / "db"
        shutil.copytree(forgotten, copy)
        table = copy / chance.choice(tables).name
        _flip(chance.random())(table)
        is_clean = verify(copy).is_clean
        outcome = repaired(copy)
        back = [agent for agent, _ in held(outcome.path) if agent == "a"]
        assert len(back) <= outcome.from_beneath
        if is_clean:
            assert not back
            assert outcome.memories == EACH


def test_beneath_a_damaged_block_ids_tell_what_was_deleted(tmp_path: Path):
    """Deleted memories that a damaged block hid stay deleted where `ids` is whole."""
    folder = tmp_path / "db"
    noise = random.Random(4)
    state = {n: {"n": n, "noise": noise.randbytes(400).hex()} for n in range(EACH)}
    settings = {"dimension": 8, "stm_capacity": 1, "im_capacity": 10_000}
    with MemoryStore(MemoryConfig(path=folder, **settings)) as store:
        for n, one in state.items():
            store.execute([Store.of("a", f"s{n}", one)])
    with MemoryStore(MemoryConfig(path=folder, **settings)) as store:
        store.execute([Delete("a", f"s{n}") for n in range(10, 60)])
    [older, newer] = sorted(tables_of(folder, "im"))
    _flip(0.02)(newer)
    found = verify(folder)
    assert str(newer) in {problem.place for problem in found.problems}
    outcome = repair(folder, tmp_path / "repaired")
    assert older.exists()
    assert (outcome.memories, outcome.from_beneath) == (EACH - 50, 0)
