"""A damaged database is named as such, with the file, and never served as if it were whole."""

from __future__ import annotations

import random
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    CorruptionError,
    Describe,
    Failure,
    MemoryConfig,
    MemoryStore,
    Record,
    Retrieve,
    Search,
    Store,
)
from memory_core.payload import pack_state

pytestmark = pytest.mark.fault

MEMORIES = 80
SETTINGS: dict[str, Any] = {"dimension": 8, "stm_capacity": 30, "im_capacity": 20}
FILL = textwrap.dedent("""
    import sys, time
    from memory_core import MemoryConfig, MemoryStore, Store
    settings = {"dimension": 8, "stm_capacity": 30, "im_capacity": 20}
    store = MemoryStore(MemoryConfig(path=sys.argv[1], **settings))
    for number in range(int(sys.argv[2])):
        state = {"number": number, "text": str(number) * 300}
        store.execute([Store.of("a", f"s{number}", state)])
    if sys.argv[3] == "close":
        store.close()
    print("done", flush=True)
    time.sleep(600)
""")


def state(number: int) -> dict[str, Any]:
    return {"number": number, "text": str(number) * 300}


@pytest.fixture(scope="module", params=["closed", "killed"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was closed, in tables; or whose process was killed, in its log."""
    folder = tmp_path_factory.mktemp("whole") / "db"
    how = "close" if request.param == "closed" else "stay"
    child = subprocess.Popen(
        [sys.executable, "-c", FILL, folder, str(MEMORIES), how], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    return folder


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to damage."""
    folder = tmp_path / "corruption lock unavailable no space left"  # a name is no symptom
    shutil.copytree(whole, folder)
    yield folder
    shutil.rmtree(folder)


def verdict(folder: Path) -> str | CorruptionError:
    """What opening and reading all of it gives: "right", "wrong", or the error."""
    try:
        store = MemoryStore(MemoryConfig(path=folder, **SETTINGS))
    except CorruptionError as error:
        return error
    try:
        results = store.execute(
            [
                Describe("a"),
                Search.of("a", {}, k=1000),
                *[Retrieve("a", f"s{number}") for number in range(MEMORIES)],
            ]
        )
    except CorruptionError as error:
        return error
    finally:
        store.close()
    for result in results:
        if isinstance(result, Failure):  # ids are read when they are asked for
            error = result.exception()
            assert isinstance(error, CorruptionError)
            return error
    described, found, *records = results
    right = (
        described.counts.total == len(found.hits) == MEMORIES
        and {hit.state["number"] for hit in found.hits} == set(range(MEMORIES))
        and all(
            isinstance(record, Record) and record.state == state(number)
            for number, record in enumerate(records)
        )
    )
    return "right" if right else "wrong"


def require_right_or_named(folder: Path, file: Path, what: object) -> bool:
    """Fail unless all answers are right or the error names the file; whether it was named."""
    outcome = verdict(folder)
    if isinstance(outcome, CorruptionError):
        named = {file}
        if "properties unsorted" in str(outcome):  # then RocksDB suspects the list of tables
            named = set(folder.glob("MANIFEST-*"))
        assert Path(outcome.path) in named, (what, outcome)
        return True
    assert outcome == "right", what
    return False


def files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.stat().st_size]


def flip(file: Path, place: int, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1 << bit
    file.write_bytes(data)


def flipped_one_by_one(
    whole: Path, tmp_path: Path, name: str, places: list[tuple[int, int]]
) -> list[bool]:
    """For each bit flipped alone in a copy, whether the file was named."""
    named = []
    for number, (place, bit) in enumerate(places):
        folder = tmp_path / f"copy-{number}"
        shutil.copytree(whole, folder)
        flip(folder / name, place, bit)
        named.append(require_right_or_named(folder, folder / name, (name, place, bit)))
        shutil.rmtree(folder)
    return named


def record_headers(file: Path) -> list[int]:
    """Where the records of a file in RocksDB's log format begin."""
    data, place, places = file.read_bytes(), 0, []
    while place + 7 <= len(data):
        left = 32 * 1024 - place % (32 * 1024)
        if left < 7:
            place += left
            continue
        places.append(place)
        place += 7 + struct.unpack_from("<H", data, place + 4)[0]
    return places


def test_the_database_that_the_damage_is_done_to_is_whole(whole: Path, damaged: Path):
    """Without damage everything is there, whether it was closed or its process killed."""
    assert verdict(damaged) == "right"
    assert files(whole, "*.sst")
    assert sum(path.stat().st_size for path in files(whole, "*.log")) > 32 * 1024 or not files(
        whole, "*.log"
    )


def test_a_flipped_bit_in_a_table_is_found(whole: Path, tmp_path: Path):
    """One bit anywhere in a table file gives right answers or names the file."""
    chance = random.Random(7)
    for file in files(whole, "*.sst"):
        size = file.stat().st_size
        places = [(chance.randrange(size), chance.randrange(8)) for _ in range(12)]
        named = flipped_one_by_one(whole, tmp_path, file.name, places)
        assert any(named) or size < 2000


def test_a_flipped_bit_in_the_log_is_found(whole: Path, tmp_path: Path):
    """One bit anywhere in a write-ahead log gives right answers or names the file."""
    chance = random.Random(7)
    for file in files(whole, "*.log"):
        size = file.stat().st_size
        places = [(chance.randrange(size), chance.randrange(8)) for _ in range(40)]
        assert all(flipped_one_by_one(whole, tmp_path, file.name, places))


def test_a_flipped_bit_in_the_header_of_a_log_record_is_found(whole: Path, tmp_path: Path):
    """Not even a wrong length or type, which looks like a torn or recycled log, loses a record."""
    for file in files(whole, "*.log"):
        headers = record_headers(file)
        assert len(headers) >= MEMORIES
        for place in (headers[1], headers[-9], headers[-1]):
            places = [(place + byte, bit) for byte in (4, 5, 6) for bit in range(8)]
            assert all(flipped_one_by_one(whole, tmp_path, file.name, places))


def test_a_flipped_bit_in_the_manifest_is_found(whole: Path, tmp_path: Path):
    """One bit in the list of files gives right answers or names the file."""
    [file] = files(whole, "MANIFEST-*")
    chance = random.Random(7)
    headers = record_headers(file)
    places = [(place + 5, 7) for place in headers] + [(place + 6, 2) for place in headers]
    places += [(chance.randrange(file.stat().st_size), chance.randrange(8)) for _ in range(12)]
    assert all(flipped_one_by_one(whole, tmp_path, file.name, places))


@pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*", "CURRENT"])
def test_a_missing_file_is_named(damaged: Path, pattern: str):
    """A database without one of its files is damaged, and the file is named."""
    file = files(damaged, pattern)[0]
    file.unlink()
    outcome = verdict(damaged)
    assert isinstance(outcome, CorruptionError)
    assert Path(outcome.path) == file


def test_a_missing_log_is_noticed(damaged: Path):
    """A database whose write-ahead log has gone is not opened as an empty one."""
    for file in damaged.glob("*.log"):
        file.unlink()
    outcome = verdict(damaged)
    assert isinstance(outcome, CorruptionError)
    assert "write-ahead log" in str(outcome)


def test_a_current_that_names_nothing_is_named(damaged: Path):
    """A CURRENT that is empty, cut or garbage is named."""
    for content in (b"", b"MANIFEST-0", b"\xff\xfe\0", b"../../etc/passwd\n"):
        (damaged / "CURRENT").write_bytes(content)
        outcome = verdict(damaged)
        assert isinstance(outcome, CorruptionError)
        assert Path(outcome.path) == damaged / "CURRENT"


def test_a_table_that_is_cut_short_is_named(damaged: Path):
    """A truncated table file is named."""
    file = files(damaged, "*.sst")[-1]
    file.write_bytes(file.read_bytes()[:-1])
    outcome = verdict(damaged)
    assert isinstance(outcome, CorruptionError)
    assert Path(outcome.path) == file


def test_a_log_with_a_torn_end_has_everything_before_it(whole: Path, tmp_path: Path):
    """A last record that was cut short, as a kill may leave it, is the only one that is lost."""
    for file in files(whole, "*.log"):
        *_, last = record_headers(file)
        size = file.stat().st_size
        for number, length in enumerate((last, last + 3, last + 7, (last + size) // 2, size - 1)):
            folder = tmp_path / f"torn-{number}"
            shutil.copytree(whole, folder)
            (folder / file.name).write_bytes(file.read_bytes()[:length])
            with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
                records = store.execute([Retrieve("a", f"s{number}") for number in range(MEMORIES)])
                assert [record.state for record in records[:-1]] == [
                    state(number) for number in range(MEMORIES - 1)
                ]
                [described] = store.execute([Describe()])
                assert described.counts.total == MEMORIES - 1


def test_damage_that_appears_while_a_store_is_open_is_named_when_it_is_read(tmp_path: Path):
    """A record that the tables know and the disk no longer gives right is a CorruptionError."""
    settings = {**SETTINGS, "payload_cache_bytes": 0, "block_cache_bytes": 64 * 1024}
    folder = tmp_path / "db"
    chance = random.Random(7)
    big = [{"noise": chance.randbytes(20_000).hex()} for _ in range(40)]
    with MemoryStore(MemoryConfig(path=folder, **settings)) as store:
        store.execute([Store("a", f"s{n}", pack_state(one)) for n, one in enumerate(big)])
    with MemoryStore(MemoryConfig(path=folder, **settings)) as store:
        for file in files(folder, "*.sst"):
            size = file.stat().st_size
            with file.open("r+b") as opened:
                for place in range(500, size - 2000, 1000):
                    opened.seek(place)
                    opened.write(b"\0\xff\0\xff")

        results = store.execute([Retrieve("a", f"s{number}") for number in range(len(big))])
        failures = [result for result in results if isinstance(result, Failure)]
        assert failures
        for failure in failures:
            error = failure.exception()
            assert isinstance(error, CorruptionError)
            assert Path(error.path).suffix == ".sst"
        for one, result in zip(big, results, strict=True):
            assert isinstance(result, Failure) or result.state == one


def test_a_damaged_database_is_not_kept_locked(damaged: Path):
    """Who keeps the error of a failed opening may try again, and gets the same error."""
    for file in files(damaged, "*.sst"):
        flip(file, file.stat().st_size // 4, 3)
    first, second = verdict(damaged), verdict(damaged)
    assert isinstance(first, CorruptionError)
    assert isinstance(second, CorruptionError)
    assert first.args == second.args
