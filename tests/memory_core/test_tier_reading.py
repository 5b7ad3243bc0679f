"""`verify` names every record that does not agree with the others, and leaves the rest counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rocksdict import Options, Rdict

from memory_core import (
    Delete,
    IncompatibleError,
    MemoryConfig,
    MemoryStore,
    Store,
    restore,
)
from memory_core.inspection import stats, verify
from memory_core.log import IDS, Batch, Log
from memory_core.operations import TIERS
from memory_core.payload import pack_state
from memory_core.record import agent_prefix, lower_key, lower_value, make_value
from memory_core.repairing import repair
from memory_core.snapshot_file import write_snapshot

SETTINGS: dict[str, Any] = {"dimension": 8, "stm_capacity": 10, "im_capacity": 10}
STM, IM, LTM = range(len(TIERS))
AGENT = agent_prefix("a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed database of 40 memories of agent a in all tiers; s0 is in the lowest."""
    with MemoryStore(MemoryConfig(path=tmp_path / "db", **SETTINGS)) as store:
        store.execute([Store.of("a", f"s{n}", {"n": n}) for n in range(40)])
    return tmp_path / "db"


def edit(folder: Path, change: Callable[[Batch], None]) -> None:
    """Write to a closed database what no store would."""
    log = Log(str(folder), MemoryConfig(path=folder, **SETTINGS))
    batch = log.batch()
    change(batch)
    log.write(batch)
    log.close()


def records(folder: Path, family: int) -> list[tuple[bytes, bytes]]:
    log = Log(str(folder), MemoryConfig(path=folder, **SETTINGS))
    found = list(log.scan(family)) if family != IDS else []
    if family == IDS:
        keys = [AGENT + f"s{n}".encode() for n in range(40)]
        found = [
            (key, value)
            for key, value in zip(keys, log.get_many(IDS, keys), strict=True)
            if value is not None
        ]
    log.close()
    return found


def value_of(state_id: str, sequence: int) -> bytes:
    return lower_value(state_id.encode(), make_value(sequence, 5, 0.5, pack_state({"n": 0})))


def said(folder: Path) -> list[str]:
    """The problems that a verification names."""
    return [str(problem) for problem in verify(folder).problems]


def test_a_whole_database_of_lower_tiers_has_nothing_to_name(folder: Path):
    """Stored again, deleted, moved and deleted whole: no record is left that none would keep."""
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        for n in (0, 5, 12, 35):
            store.execute([Store.of("a", f"s{n}", {"n": -n}), Delete("a", f"s{n + 1}")])
        store.execute([Store.of("b", f"s{n}", {"n": n}) for n in range(40)])
        store.execute([Store.of("c", f"s{n}", {"n": n}) for n in range(40)])
        store.execute([Delete("b"), Store.of("b", "s3", {"n": 3})])
    found = verify(folder)
    assert (found.problems, found.notes) == ((), ())
    assert found.memories == 36 + 1 + 40
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        store.execute([Delete(None)])
        store.execute([Store.of("a", f"s{n}", {"n": n}) for n in range(25)])
    found = verify(folder)
    assert (found.problems, found.notes, found.memories) == ((), (), 25)


def test_a_sequence_that_the_value_has_not_is_named(folder: Path):
    """A lower record is no whole one under another number than its own."""
    edit(folder, lambda batch: batch.put(IM, lower_key(AGENT, 900), value_of("x", 901)))
    assert said(folder) == [
        "im 'a' sequence 900: is no whole record: its value has the sequence 901"
    ]
    assert verify(folder).memories == 40


def test_a_memory_in_two_tiers_is_named_and_counted_once(folder: Path):
    """Under its short-term id, or under its number in both lower tiers."""
    [upper, *_], [middle, *_] = records(folder, STM), records(folder, IM)
    number = int.from_bytes(upper[1][:8], "little")

    def change(batch: Batch) -> None:
        key = lower_key(AGENT, number)
        batch.put(IM, key, lower_value(upper[0][len(AGENT) :], upper[1]))
        batch.put(IDS, upper[0], key[-8:])
        batch.put(LTM, *middle)

    edit(folder, change)
    first, second = said(folder)
    assert first == f"im 'a' sequence {number}: the same memory is in stm, too"
    assert second.startswith("ltm 'a' sequence ")
    assert second.endswith("the same memory is in im, too")
    assert verify(folder).memories == 40


def test_a_memory_twice_in_a_tier_is_named(folder: Path):
    """Of two records of an id, the one that `ids` does not name is too many."""
    edit(folder, lambda batch: batch.put(LTM, lower_key(AGENT, 900), value_of("s0", 900)))
    assert said(folder) == ["ltm 'a' sequence 900: ids names the sequence 1 for its state id 's0'"]
    assert verify(folder).memories == 40


def test_a_memory_that_ids_lacks_is_named_and_counted(folder: Path):
    """What only its id cannot find is there all the same."""
    edit(folder, lambda batch: batch.delete(IDS, AGENT + b"s0"))
    assert said(folder) == ["ltm 'a' sequence 1: is not in ids (state id 's0')"]
    assert verify(folder).memories == 40


def test_an_entry_without_a_memory_is_damage(folder: Path):
    """It tells of a memory that was lost, and would stand for whoever gets its number."""
    edit(folder, lambda batch: batch.put(IDS, AGENT + b"lost", (900).to_bytes(8, "big")))
    assert said(folder) == ["ids 'a' 'lost': names a memory that is in no tier"]


def test_every_memory_of_a_lost_table_is_named_by_its_entry(folder: Path):
    """Records that vanish from a tier leave the ids that they had."""
    gone = records(folder, IM)
    edit(folder, lambda batch: [batch.delete(IM, key) for key, _ in gone])
    found = said(folder)
    assert len(found) == len(gone) > 0
    assert all(one.endswith("names a memory that is in no tier") for one in found)


@pytest.mark.parametrize("tier", [STM, IM, LTM])
def test_a_value_that_is_cut_short_is_named(folder: Path, tier: int):
    """Wherever a value ends too early, its record is named and not counted."""
    [key, value], *_ = records(folder, tier)
    for length in (0, 7, 20, 25, len(value) - 1):
        edit(folder, lambda batch, length=length: batch.put(tier, key, value[:length]))
        problems = said(folder)
        assert problems[0].startswith(f"{TIERS[tier]} 'a' ")
        assert "is no whole record" in problems[0]
        assert verify(folder).memories == 39


def test_an_entry_of_another_length_is_named(folder: Path):
    """An entry is eight bytes under an agent id and a state id."""

    def change(batch: Batch) -> None:
        batch.put(IDS, AGENT + b"s0", b"1234567")
        batch.put(IDS, b"\x00\x09abc", b"12345678")

    edit(folder, change)
    found = said(folder)
    assert any(one.startswith("ids 'a' 's0': is no whole record: it is no") for one in found)
    assert any("is no whole record: the key is none" in one for one in found)


def test_problems_of_records_are_named_within_a_bound(folder: Path):
    """A hundred are named and the others are counted."""

    def change(batch: Batch) -> None:
        for n in range(250):
            batch.put(IDS, AGENT + f"lost{n}".encode(), (9_000 + n).to_bytes(8, "big"))

    edit(folder, change)
    *named, last = said(folder)
    assert len(named) == 100
    assert "150 more" in last


def test_a_database_of_format_1_is_refused(tmp_path: Path):
    """One that has no family of ids is of another format, for each of the tools."""
    folder = tmp_path / "old"
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    database = Rdict(str(folder), options)
    for name in ("meta", *TIERS):
        family = database.create_column_family(name, Options(raw_mode=True))
        family.put(b"\x00\x01as", make_value(1, 5, 0.5, pack_state({"n": 0})))
        family.put(b"identity", b'{"format": 1, "dimension": 8}')
        family.flush()
        del family
    database.close()
    for look in (verify, stats, repair, lambda path: restore(path, tmp_path / "new")):
        with pytest.raises(IncompatibleError, match="was made with format 1"):
            look(folder)
    for file in folder.glob("MANIFEST-*"):
        file.unlink()
    with pytest.raises(IncompatibleError, match="was made with format 1"):
        repair(folder)


def test_a_later_format_is_refused(folder: Path):
    """What a later release made is not read as if it were damaged."""
    log = Log(str(folder), MemoryConfig(path=folder, **SETTINGS))
    log.put_meta("identity", b'{"format": 3, "dimension": 8}')
    log.close()
    for look in (verify, stats, repair):
        with pytest.raises(IncompatibleError, match="format 3, and this is format 2"):
            look(folder)


def test_snapshots_of_indexes_are_looked_at_and_left_out(folder: Path, tmp_path: Path):
    """A damaged one is a note; a restored or repaired database has none."""
    snapshots = folder / "indexes"
    snapshots.mkdir()
    for name in ("one", "two"):
        write_snapshot(str(snapshots / name), {"sequence": 40}, [np.arange(999)])
    (snapshots / "one.new").write_bytes(b"half a fi")
    assert verify(folder).notes == ()
    data = bytearray((snapshots / "two").read_bytes())
    data[-9] ^= 1
    (snapshots / "two").write_bytes(data)

    found = verify(folder)
    assert found.is_clean
    [note] = found.notes
    assert note.place == str(snapshots / "two")
    assert "checksum" in note.problem
    assert found.memories == 40
    restored = restore(folder, tmp_path / "restored")
    repaired = repair(folder, tmp_path / "repaired")
    for outcome in (restored, repaired):
        assert outcome.memories == 40
        assert not (Path(outcome.path) / "indexes").exists()
    assert (snapshots / "one").exists()
