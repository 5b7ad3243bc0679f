"""`verify` says what is whole and names what is not; `repair` saves what can be read."""

from __future__ import annotations

import fcntl
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_core import (
    BadInputError,
    CorruptionError,
    Describe,
    LockedError,
    MemoryConfig,
    MemoryStore,
    Record,
    Retrieve,
    StateEncoder,
    Store,
)
from memory_core.inspection import stats, verify
from memory_core.log_mending import mend_log
from memory_core.repairing import repair

pytestmark = pytest.mark.fault

AGENTS = ("a", "b")
EACH = 120
SETTINGS: dict[str, Any] = {"dimension": 8, "stm_capacity": 40, "im_capacity": 30}
FILL = textwrap.dedent("""
    import sys
    from memory_core import MemoryConfig, MemoryStore, Store
    settings = {"dimension": 8, "stm_capacity": 40, "im_capacity": 30}
    store = MemoryStore(MemoryConfig(path=sys.argv[1], **settings))
    for number in range(int(sys.argv[2])):
        for agent in "ab":
            text = "".join(chr(97 + (number * 31 + place * place) % 26) for place in range(600))
            state = {"number": number, "agent": agent, "text": text}
            store.execute([Store.of(agent, f"s{number}", state, importance=0.25)])
    if sys.argv[3] == "close":
        store.close()
    print("done", flush=True)
    sys.stdin.read()
""")


def state(agent: str, number: int) -> dict[str, Any]:
    text = "".join(chr(97 + (number * 31 + place * place) % 26) for place in range(600))
    return {"number": number, "agent": agent, "text": text}


@pytest.fixture(scope="module")
def makings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A database that was closed, in tables; and one whose process was killed, in its log."""
    made = {}
    for how in ("close", "kill"):
        made[how] = tmp_path_factory.mktemp("whole") / "db"
        child = subprocess.Popen(
            [sys.executable, "-c", FILL, made[how], str(EACH), how],
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
    return made


@pytest.fixture(params=["close", "kill"])
def folder(request: pytest.FixtureRequest, makings: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to damage, of either making."""
    copy = tmp_path / "db"
    shutil.copytree(makings[request.param], copy)
    return copy


@pytest.fixture
def closed(makings: dict[str, Path], tmp_path: Path) -> Path:
    copy = tmp_path / "db"
    shutil.copytree(makings["close"], copy)
    return copy


@pytest.fixture
def killed(makings: dict[str, Path], tmp_path: Path) -> Path:
    copy = tmp_path / "db"
    shutil.copytree(makings["kill"], copy)
    return copy


def files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.stat().st_size]


def largest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def flip(file: Path, place: int, bit: int = 3) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << bit
    file.write_bytes(data)


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
    }


def held(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Every memory of the store, which must be right where it is there."""
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        asked = [(agent, number) for agent in AGENTS for number in range(EACH)]
        results = store.execute([Retrieve(agent, f"s{number}") for agent, number in asked])
        found = {}
        for (agent, number), result in zip(asked, results, strict=True):
            if isinstance(result, Record):
                assert result.state == state(agent, number)
                found[agent, f"s{number}"] = result.state
        [described] = store.execute([Describe()])
        assert described.counts.total == len(found)
        return found


def repaired(folder: Path, **options: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """What is there after a repair that left the damaged files alone."""
    before = fingerprint(folder)
    outcome = repair(folder, folder.parent / "repaired", **options)
    assert fingerprint(folder) == before
    assert verify(outcome.path).is_clean
    found = held(Path(outcome.path))
    assert outcome.memories == len(found) == sum(outcome.saved.values())
    return found


def test_a_whole_database_is_clean_and_counted(folder: Path):
    """Without damage there is no problem, and tiers, agents and memories are counted."""
    before = fingerprint(folder)
    found = verify(folder, StateEncoder(8))

    assert found.is_clean
    assert found.problems == found.notes == ()
    assert found.memories == EACH * len(AGENTS)
    assert found.agents == len(AGENTS)
    assert {name: tier.agents for name, tier in found.tiers.items()} == dict.fromkeys(
        ("stm", "im", "ltm"), len(AGENTS)
    )
    with MemoryStore(
        MemoryConfig(path=shutil.copytree(folder, folder.parent / "o"), **SETTINGS)
    ) as store:
        [described] = store.execute([Describe()])
    assert [tier.memories for tier in found.tiers.values()] == [
        described.counts.stm,
        described.counts.im,
        described.counts.ltm,
    ]
    assert fingerprint(folder) == before


def test_another_encoder_than_the_database_was_made_with_is_a_problem(closed: Path):
    """What the database says it was made with is compared with the encoder that is given."""
    [problem] = verify(closed, StateEncoder(16)).problems
    assert "dimension 8, where 16" in str(problem)


def test_an_open_database_is_locked(tmp_path: Path):
    """A store's folder is refused while it is open, and the store keeps its lock."""
    folder = tmp_path / "db"
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        for look in (verify, stats, repair):
            with pytest.raises(LockedError):
                look(folder)
        locked = subprocess.run(
            [
                sys.executable,
                "-c",
                f"from memory_core.inspection import *; verify({str(folder)!r})",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "LockedError" in locked.stderr
        store.execute([Store.of("a", "s", {"x": 1})])
    assert verify(folder).memories == 1


def test_a_store_is_refused_while_its_folder_is_verified(closed: Path, monkeypatch: Any):
    """Nobody opens a database while it is read; afterwards anyone may."""
    refused = []

    def try_to_open(path: str) -> Any:
        with pytest.raises(LockedError):
            MemoryStore(MemoryConfig(path=closed, **SETTINGS))
        refused.append(path)
        return look_at(path)

    from memory_core.damage import look_at

    monkeypatch.setattr("memory_core.inspection.look_at", try_to_open)
    if not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("locks of this system do not tell a process from itself")
    verify(closed)
    assert refused
    assert len(held(closed)) == EACH * len(AGENTS)


def test_what_is_no_database_is_refused(tmp_path: Path):
    """A missing folder, a file and a folder of something else are each one clear sentence."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "app.log").write_text("x")
    for name in ("missing", "file", "other"):
        for look in (verify, stats, repair):
            with pytest.raises(BadInputError, match="path: "):
                look(tmp_path / name)


def _flip_middle(pattern: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        file = largest(folder, pattern)
        flip(file, file.stat().st_size // 2)
        return file

    return damage


def _flip_end(pattern: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        file = largest(folder, pattern)
        flip(file, file.stat().st_size - 30)
        return file

    return damage


def _cut(pattern: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        file = largest(folder, pattern)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        return file

    return damage


def _unlink(pattern: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        file = largest(folder, pattern)
        file.unlink()
        return file

    return damage


LIST_DAMAGE = {
    "manifest flipped": _flip_middle("MANIFEST-*"),
    "manifest cut": _cut("MANIFEST-*"),
    "manifest missing": _unlink("MANIFEST-*"),
    "current flipped": _flip_middle("CURRENT"),
    "current cut": _cut("CURRENT"),
    "current missing": _unlink("CURRENT"),
}


@pytest.mark.parametrize("damage", LIST_DAMAGE.values(), ids=LIST_DAMAGE)
def test_without_its_list_of_files_a_database_loses_nothing(
    folder: Path, damage: Callable[[Path], Path]
):
    """A damaged CURRENT or MANIFEST is named, and a repair has every memory."""
    file = damage(folder)
    assert str(file) in {problem.place for problem in verify(folder).problems} or any(
        "MANIFEST" in problem.problem for problem in verify(folder).problems
    )
    assert len(repaired(folder)) == EACH * len(AGENTS)


@pytest.mark.slow
def test_a_list_of_files_that_ends_between_two_records_is_named(closed: Path, tmp_path: Path):
    """RocksDB takes it for a whole one; but a table has writes that nothing else knows of."""
    [manifest] = closed.glob("MANIFEST-*")
    data = manifest.read_bytes()
    ends = [0]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 7 + int.from_bytes(data[ends[-1] + 4 : ends[-1] + 6], "little"))
    assert len(ends) > 8
    named = 0
    for number, end in enumerate(ends[1:-1]):
        folder = tmp_path / str(number) / "db"
        shutil.copytree(closed, folder)
        (folder / manifest.name).write_bytes(data[:end])
        found = verify(folder)
        if not found.problems and not found.notes:  # what was cut off listed no table
            assert len(held(folder)) == EACH * len(AGENTS)
        elif any(problem.place.endswith(manifest.name) for problem in found.problems):
            named += 1
            assert len(repaired(folder)) == EACH * len(AGENTS)
    assert named > len(ends) // 2


HARMLESS = {
    "options missing": _unlink("OPTIONS-*"),
    "options flipped": _flip_middle("OPTIONS-*"),
    "identity missing": _unlink("IDENTITY"),
    "identity flipped": _flip_middle("IDENTITY"),
    "configuration flipped": _flip_middle("rocksdict-config.json"),
    "configuration cut": _cut("rocksdict-config.json"),
    "configuration missing": _unlink("rocksdict-config.json"),
}


@pytest.mark.parametrize("damage", HARMLESS.values(), ids=HARMLESS)
def test_files_that_nothing_needs_are_no_problem(folder: Path, damage: Callable[[Path], Path]):
    """Damage to OPTIONS or IDENTITY costs nothing, before a repair and after it."""
    damage(folder)
    found = verify(folder)
    assert found.is_clean
    assert found.memories == EACH * len(AGENTS)
    assert len(held(shutil.copytree(folder, folder.parent / "opened"))) == found.memories
    assert len(repaired(folder)) == found.memories


def test_a_damaged_identity_is_noted(closed: Path):
    """What is odd and costs nothing is a note with its file."""
    file = _flip_middle("IDENTITY")(closed)
    [note] = verify(closed).notes
    assert note.place == str(file)


TABLE_DAMAGE = {
    "flipped": _flip_middle("*.sst"),
    "end flipped": _flip_end("*.sst"),
    "cut": _cut("*.sst"),
    "missing": _unlink("*.sst"),
}


@pytest.mark.parametrize("damage", TABLE_DAMAGE.values(), ids=TABLE_DAMAGE)
def test_a_damaged_table_costs_its_own_memories_only(closed: Path, damage: Callable[[Path], Path]):
    """A damaged table is named, and a repair has what verify counted and the other tables hold."""
    file = damage(closed)
    found = verify(closed)
    assert str(file) in {problem.place for problem in found.problems}
    saved = repaired(closed)
    assert len(saved) >= max(found.memories, EACH // 4)
    assert len(saved) < EACH * len(AGENTS)


def test_around_damaged_blocks_everything_is_read(tmp_path: Path):
    """Blocks between, before and behind several damaged ones are each read."""
    folder, chance = tmp_path / "db", random.Random(5)
    noise = [{"noise": chance.randbytes(1_500).hex(), "number": n} for n in range(300)]
    with MemoryStore(MemoryConfig(path=folder, dimension=8)) as store:
        store.execute([Store.of("a", f"{n:04}", one) for n, one in enumerate(noise)])
    table = largest(folder, "*.sst")
    size = table.stat().st_size
    for part in (0.2, 0.5, 0.8):
        flip(table, int(size * part))

    found = verify(folder)
    assert not found.is_clean
    assert 270 <= found.memories <= 297
    outcome = repair(folder, tmp_path / "repaired")
    assert outcome.memories == found.memories
    assert len(outcome.lost) == 3
    assert all("between 'a' '" in problem.problem for problem in outcome.lost)
    with MemoryStore(MemoryConfig(path=outcome.path, dimension=8)) as store:
        results = store.execute([Retrieve("a", f"{n:04}") for n in range(300)])
    for one, result in zip(noise, results, strict=True):
        assert not isinstance(result, Record) or result.state == one


@pytest.mark.slow
def test_any_flipped_bit_in_a_table_or_log_is_repaired(makings: dict[str, Path], tmp_path: Path):
    """Wherever a bit is flipped, a repair is whole, with at most a block or a batch lost."""
    chance = random.Random(11)
    for how, making in makings.items():
        for number in range(10):
            folder = tmp_path / f"{how}-{number}"
            shutil.copytree(making, folder)
            file = chance.choice(files(folder, "*.sst") + files(folder, "*.log") * 3)
            flip(file, chance.randrange(file.stat().st_size), chance.randrange(8))
            try:
                outcome = repair(folder)
            except CorruptionError as error:  # what the database was made with is lost
                if "give repair its encoder" not in str(error):
                    raise
                outcome = repair(folder, encoder=StateEncoder(8))
            assert Path(outcome.damaged) == folder.with_name(folder.name + ".damaged")
            found = held(folder)
            assert outcome.memories == len(found)
            if file.suffix == ".log":
                assert len(found) >= EACH * len(AGENTS) - 1
            shutil.rmtree(folder)


def test_a_flipped_bit_in_the_log_is_named(killed: Path):
    """A damaged log is named by its own name, and what is whole in it is counted.

    What the lost batch moved down, later ones may have moved on: that is named by its records.
    """
    file = _flip_middle("*.log")(killed)
    found = verify(killed)
    places = [problem.place for problem in found.problems]
    assert places[0] == str(file)
    assert all(place.startswith(("im ", "ltm ", "ids ")) for place in places[1:])
    assert found.memories >= EACH * len(AGENTS) - 1


def test_a_torn_end_of_the_log_is_no_damage(killed: Path):
    """A last record that a kill cut short is left out, by a store and by verify alike."""
    file = largest(killed, "*.log")
    file.write_bytes(file.read_bytes()[:-5])
    found = verify(killed)
    assert found.is_clean
    assert found.memories == EACH * len(AGENTS) - 1
    assert len(held(killed)) == found.memories


def test_a_missing_log_is_damage(killed: Path):
    """Without its write-ahead log a database is not clean; a repair has what tables there are."""
    _unlink("*.log")(killed)
    assert any("write-ahead log" in problem.problem for problem in verify(killed).problems)
    outcome = repair(killed)
    assert outcome.memories == 0
    assert any("write-ahead log" in problem.problem for problem in outcome.lost)


def test_a_mended_log_has_every_batch_but_the_damaged_one(killed: Path):
    """A flipped length or type is put right, a flipped payload costs its own batch."""
    data = largest(killed, "*.log").read_bytes()
    whole = mend_log(data)
    assert (whole.lost, whole.repaired, whole.torn) == (0, 0, False)
    assert whole.batches >= EACH * len(AGENTS)
    assert mend_log(whole.data).batches == whole.batches
    length = int.from_bytes(data[4:6], "little")
    second = 7 + length
    for place, lost in ((second + 4, 0), (second + 6, 0), (second, 1), (second + 30, 1)):
        damaged = bytearray(data)
        damaged[place] ^= 2
        mended = mend_log(bytes(damaged))
        assert (mended.batches, mended.lost) == (whole.batches - lost, lost)
        assert mended.repaired == 1 - lost


def test_a_lost_identity_needs_the_encoder(closed: Path):
    """Who made a database is not guessed: a repair asks for it, and takes the one given."""
    for file in files(closed, "*.sst"):
        if b"hashed-leaves" in file.read_bytes():
            file.unlink()
    with pytest.raises(CorruptionError, match="give repair its encoder"):
        repair(closed, closed.parent / "repaired")
    assert not (closed.parent / "repaired").exists()
    assert len(repaired(closed, encoder=StateEncoder(8))) == EACH * len(AGENTS)


def test_a_repair_overwrites_nothing(closed: Path):
    """A target that holds something, and an earlier damaged folder, are left alone."""
    target = closed.parent / "target"
    target.mkdir()
    (target / "file").write_text("x")
    with pytest.raises(BadInputError, match="target: "):
        repair(closed, target)
    closed.with_name("db.damaged").mkdir()
    with pytest.raises(BadInputError, match=r"db\.damaged exists already"):
        repair(closed)
    assert sorted(path.name for path in closed.parent.iterdir()) == ["db", "db.damaged", "target"]


def test_statistics_add_up(closed: Path):
    """Sizes, tables and counts are those of the folder."""
    found = stats(closed)
    assert found.tables == len(list(closed.glob("*.sst")))
    assert found.table_bytes == sum(path.stat().st_size for path in closed.glob("*.sst"))
    assert found.folder_bytes >= found.table_bytes + found.log_bytes
    assert sum(level["tables"] for level in found.levels) == found.tables
    assert sum(tier.memories for tier in found.tiers.values()) == EACH * len(AGENTS)
    assert found.is_clean


@pytest.mark.fault
def test_an_encoder_of_another_dimension_saves_nothing_and_says_so(tmp_path: Path):
    """With the identity gone, vectors of 64 dimensions are none of 32: nothing is put in place."""
    folder = tmp_path / "db"
    chance = np.random.default_rng(1)
    with MemoryStore(MemoryConfig(path=folder)) as store:
        store.execute(
            [
                Store.of("a", str(number), {"x": number}, vector=chance.normal(size=64))
                for number in range(50)
            ]
        )
    for table in folder.glob("*.sst"):
        data = table.read_bytes()
        table.write_bytes(data.replace(b"hashed-leaves", b"Xashed-leaves"))
    damaged = {path.name: path.read_bytes() for path in files(folder, "*")}
    assert any(b"Xashed-leaves" in data for data in damaged.values())
    with pytest.raises(CorruptionError, match="with the encoder that was given"):
        repair(folder, encoder=StateEncoder(32))
    assert {path.name: path.read_bytes() for path in files(folder, "*")} == damaged
    assert repair(folder, encoder=StateEncoder(64)).memories == 50
