"""Snapshots of indexes: what they save on opening, and that they change no answer."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from memory_core import (
    DatabaseError,
    Delete,
    Describe,
    Done,
    Failure,
    MemoryConfig,
    MemoryStore,
    Query,
    Search,
    StateEncoder,
    StorageFullError,
    Store,
    Transition,
    snapshot_file,
    snapshots,
)
from memory_core.payload import pack_state
from memory_core.snapshots import FOLDER

DIMENSION = 8
PHASES = 4


@pytest.fixture(autouse=True)
def every_change_is_worth_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make snapshots of little indexes, after few changes."""
    make_bounds_small(monkeypatch)


def make_bounds_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(snapshots, "_LEAST_MEMORIES", 10)
    patch.setattr(snapshots, "_LEAST_CHANGES", 20)
    patch.setattr(snapshots, "_CLOSING_RATIO", 0.0)


def configured(path: Path, **settings: Any) -> MemoryConfig:
    given = {
        "dimension": DIMENSION,
        "stm_capacity": 10,
        "im_capacity": 40,
        "exact_below": 25,
        "durability": "os",
        "access_half_life_s": 1e-9,  # so that nothing moves up, however often it is asked for
    }
    return MemoryConfig(path=path, **given | settings)


def state(number: int) -> bytes:
    return pack_state({"number": number, "twice": 2 * number})


def vector(number: int) -> bytes:
    return np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32).tobytes()


def put(numbers: Sequence[int], agent_id: str = "a") -> list[Any]:
    return [Store(agent_id, f"s{at}", state(at)) for at in numbers]


def answers(store: MemoryStore) -> list[Any]:
    """All that can be read of the agents, in a form that compares."""
    asked: list[Any] = [Describe()]
    for agent_id in ("a", "b"):
        asked += [Describe(agent_id), Query(agent_id, newest_first=False)]
        for tier in ("all", "im", "ltm"):
            asked += [Search(agent_id, state(at), k=1_000, tier=tier) for at in (3, 77)]
            asked.append(Search(agent_id, state(5), k=1_000, tier=tier, min_score=-2.0))
    results = [msgspec.to_builtins(one) for one in store.execute(asked)]
    for operation, result in zip(asked, results, strict=True):
        if isinstance(operation, Search):
            # scores differ by rounding where they are summed up in another order
            result[1] = sorted(
                [one, pytest.approx(score, abs=1e-5), *rest] for one, score, *rest in result[1]
            )
    return results


def killed(store: MemoryStore, path: Path) -> Path:
    """What would be there had the store's process been killed now."""
    thread = store._snapshots._thread
    if thread is not None:
        thread.join()
    shutil.copytree(store.path, path)
    return path


def snapshots_of(path: Path) -> list[Path]:
    return sorted((path / FOLDER).iterdir())


def without_snapshots(path: Path, copy: Path) -> list[Any]:
    """The answers of a copy that has no snapshots."""
    shutil.copytree(path, copy)
    shutil.rmtree(copy / FOLDER, ignore_errors=True)
    with MemoryStore(configured(copy)) as store:
        return answers(store)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many states each call of the default encoder was for."""
    counts: list[int] = []
    encode = StateEncoder.encode_packed

    def counting(self: StateEncoder, payloads: Sequence[bytes], *rest: Any) -> Any:
        counts.append(len(payloads))
        return encode(self, payloads, *rest)

    monkeypatch.setattr(StateEncoder, "encode_packed", counting)
    return counts


def test_what_a_snapshot_has_is_not_encoded_again(tmp_path: Path, encoded: list[int]):
    """Opening encodes the short-term memories and what came after the snapshot, nothing else."""
    path = tmp_path / "db"
    with MemoryStore(configured(path)) as store:
        store.execute(put(range(300)))
        expected = answers(store)
        short = store._tables.counts("a").stm
    assert len(snapshots_of(path)) == 1
    encoded.clear()
    with MemoryStore(configured(path)) as store:
        assert sum(encoded) == short
        assert answers(store) == expected
        lower = store._tables.agents["a"].lower
        store._snapshots.take = lambda *_: None  # type: ignore[method-assign]
        store.execute(put(range(300, 350)))
        short, below = store._tables.counts("a").stm, len(lower.rows)
        expected = answers(store)
        copy = killed(store, tmp_path / "killed")
    encoded.clear()
    with MemoryStore(configured(copy)) as store:
        assert sum(encoded) == short + below - 290
        assert answers(store) == expected


def live(store: MemoryStore, chance: random.Random, number: int) -> None:
    """Stores, overwrites, deletes and transitions."""
    for turn in range(16):
        agent_id = "aaba"[turn % 4]
        ids = [chance.randrange(140) for _ in range(12)]
        number += 1
        batch: list[Any] = [
            Store(agent_id, f"s{one}", state(1_000 * number + one), chance.random()) for one in ids
        ]
        batch += [Delete(agent_id, f"s{chance.randrange(140)}") for _ in range(6)]
        batch.append(Transition(chance.choice(["im", "ltm"]), 30.0))
        if turn == 3 and number % 200 < 100:
            batch.append(Delete("b"))
        assert not [one for one in store.execute(batch) if isinstance(one, Failure)]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """One database as it was at the end of each of several phases."""
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        make_bounds_small(patch)
        chance, copies = random.Random(2), []
        for phase in range(PHASES):
            with MemoryStore(configured(folder / "db")) as store:
                live(store, chance, 100 * phase)
            copies.append(folder / f"phase-{phase}")
            shutil.copytree(folder / "db", copies[-1])
        yield copies


@pytest.mark.parametrize("of_indexes", range(PHASES))
@pytest.mark.parametrize("of_database", range(PHASES))
def test_a_snapshot_of_another_moment_changes_no_answer(
    tmp_path: Path, history: list[Path], of_database: int, of_indexes: int
):
    """Snapshots older and newer than the database lead to the answers that it has without them."""
    expected = without_snapshots(history[of_database], tmp_path / "without")
    mixed = tmp_path / "mixed"
    shutil.copytree(history[of_database], mixed)
    shutil.rmtree(mixed / FOLDER)
    shutil.copytree(history[of_indexes] / FOLDER, mixed / FOLDER)
    with MemoryStore(configured(mixed)) as store:
        assert answers(store) == expected
        live(store, random.Random(9), 9_000)
        expected = answers(store)
    assert without_snapshots(mixed, tmp_path / "anew") == expected
    with MemoryStore(configured(mixed)) as store:
        assert answers(store) == expected


Damage = Callable[[Path, Path], None]


def torn_at(ratio: float) -> Damage:
    def tear(file: Path, _: Path) -> None:
        data = file.read_bytes()
        file.write_bytes(data[: int(len(data) * ratio)])

    return tear


def flipped_at(ratio: float) -> Damage:
    def flip(file: Path, _: Path) -> None:
        data = bytearray(file.read_bytes())
        data[int((len(data) - 1) * ratio)] ^= 1 << int(ratio * 1_000) % 8
        file.write_bytes(data)

    return flip


def of_another_version(file: Path, _: Path) -> None:
    found = snapshot_file.read_snapshot(str(file))
    pieces = [np.array(piece) for piece in found.pieces]
    pieces[0].view(np.int64)[0] += 1
    snapshot_file.write_snapshot(str(file), found.header, pieces)


def of_another_database(file: Path, _: Path) -> None:
    found = snapshot_file.read_snapshot(str(file))
    # vectors that would show
    pieces = [piece[::-1].copy() if at == 3 else piece for at, piece in enumerate(found.pieces)]
    snapshot_file.write_snapshot(str(file), {**found.header, "database": "another"}, pieces)


def of_another_agent(file: Path, whole: Path) -> None:
    others = [one for one in snapshots_of(whole) if one.name != file.name]
    shutil.copyfile(others[0], file)


def a_folder(file: Path, _: Path) -> None:
    file.unlink()
    (file / "x").mkdir(parents=True)


def headless(file: Path, _: Path) -> None:
    found = snapshot_file.read_snapshot(str(file))
    snapshot_file.write_snapshot(str(file), {}, found.pieces)


def with_few_pieces(file: Path, _: Path) -> None:
    found = snapshot_file.read_snapshot(str(file))
    snapshot_file.write_snapshot(str(file), found.header, found.pieces[:4])


DAMAGES: dict[str, Damage] = {
    "missing": lambda file, _: file.unlink(),
    **{f"torn at {ratio}": torn_at(ratio) for ratio in (0.0, 0.001, 0.02, 0.5, 0.999)},
    **{f"flipped at {at / 16:.3f}": flipped_at(at / 16) for at in range(17)},
    "another version": of_another_version,
    "another database": of_another_database,
    "another agent": of_another_agent,
    "a folder": a_folder,
    "headless": headless,
    "few pieces": with_few_pieces,
}


@pytest.fixture(scope="module")
def expected_of_last(history: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return without_snapshots(history[-1], tmp_path_factory.mktemp("expected") / "db")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_snapshot_costs_time_only(
    tmp_path: Path, history: list[Path], expected_of_last: list[Any], how: str
):
    """Whatever became of a snapshot, opening succeeds with the same answers, again and again."""
    copy = tmp_path / "db"
    shutil.copytree(history[-1], copy)
    files = snapshots_of(copy)
    assert len(files) == 2
    for file in files:
        DAMAGES[how](file, history[-1])
    for _ in range(2):
        with MemoryStore(configured(copy)) as store:
            assert answers(store) == expected_of_last
    if how == "a folder":
        return
    assert [one.name for one in snapshots_of(copy)] == [one.name for one in files]
    for file in files:
        snapshot_file.read_snapshot(str(file))


def test_no_sequence_is_given_twice(tmp_path: Path):
    """What is stored after the newest memories were deleted is never found by their vectors."""
    with MemoryStore(configured(tmp_path / "db", im_capacity=1_000)) as store:
        store.execute([Store("a", f"old{at}", state(at), vector=vector(at)) for at in range(60)])
        store.execute([Transition("im", 100.0)])
    with MemoryStore(configured(tmp_path / "db", im_capacity=1_000)) as store:
        store._snapshots.take = lambda *_: None  # type: ignore[method-assign]
        store.execute([Delete("a", f"old{at}") for at in range(20, 60)])
        copy = killed(store, tmp_path / "killed")
    with MemoryStore(configured(copy, im_capacity=1_000)) as store:
        store._snapshots.take = lambda *_: None  # type: ignore[method-assign]
        new = range(1_000, 1_040)
        store.execute([Store("a", f"new{at}", state(at), vector=vector(at)) for at in new])
        store.execute([Transition("im", 100.0)])
        copy = killed(store, tmp_path / "again")
    for at_once in (configured(copy, im_capacity=1_000, exact_below=10_000), configured(copy)):
        with MemoryStore(at_once) as store:
            assert store._tables.counts("a").total == 60
            for at in new:
                [found] = store.execute([Search("a", None, vector(at), 1)])
                assert found.hits[0].state_id == f"new{at}"
                assert found.hits[0].score == pytest.approx(1.0, abs=1e-5)
            for at in range(20, 60):
                [found] = store.execute([Search("a", None, vector(at), 1)])
                assert found.hits[0].score < 0.999


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never comes"
        time.sleep(0.001)


def test_stores_go_on_while_a_snapshot_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A snapshot in the background holds up no batch, and what changed meanwhile is not missed."""
    write = snapshots.write_snapshot
    may_write, is_writing = threading.Event(), threading.Event()

    def held_up(*given: Any) -> int:
        is_writing.set()
        assert may_write.wait(20)
        return write(*given)

    monkeypatch.setattr(snapshots, "write_snapshot", held_up)
    with MemoryStore(configured(tmp_path / "db")) as store:
        try:
            store.execute(put(range(100)))
            wait_until(is_writing.is_set)
            live(store, random.Random(4), 50)
            store.execute([Delete("b"), *put(range(40), "b")])
            assert store._snapshots.taken_ns is None
        finally:
            may_write.set()
        wait_until(lambda: store._snapshots.taken_ns)
        expected = answers(store)
        copy = killed(store, tmp_path / "killed")
    assert without_snapshots(copy, tmp_path / "without") == expected
    with MemoryStore(configured(copy)) as store:
        assert answers(store) == expected


@pytest.mark.parametrize(
    "error",
    [
        StorageFullError("file", "the disk has no room"),
        DatabaseError("file", "cannot be written"),
        MemoryError("no memory is left"),
    ],
)
def test_a_snapshot_that_cannot_be_made_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    """Stores, and closing, succeed when snapshots fail, and the store says why they do."""
    write = snapshots.write_snapshot
    path = tmp_path / "db"

    def failing(*_: Any) -> int:
        raise error

    monkeypatch.setattr(snapshots, "write_snapshot", failing)
    store = MemoryStore(configured(path))
    for first in range(0, 200, 20):
        assert set(store.execute(put(range(first, first + 20)))) == {Done()}
    wait_until(lambda: store._snapshots.error)
    assert isinstance(store._snapshots.error, DatabaseError)
    expected = answers(store)
    store.close()
    assert not (path / FOLDER).exists() or not snapshots_of(path)
    with MemoryStore(configured(path)) as store:
        assert answers(store) == expected
        monkeypatch.setattr(snapshots, "write_snapshot", write)
    assert len(snapshots_of(path)) == 1


def test_a_snapshot_that_failed_is_made_on_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a failed snapshot was to hold counts as changed still."""
    monkeypatch.setattr(snapshots, "_CLOSING_RATIO", 0.1)
    write = snapshots.write_snapshot

    def failing(*_: Any) -> int:
        raise StorageFullError("file", "the disk has no room")

    path = tmp_path / "db"
    with MemoryStore(configured(path)) as store:
        monkeypatch.setattr(snapshots, "write_snapshot", failing)
        store.execute(put(range(100)))
        wait_until(lambda: store._snapshots.error)
        store._snapshots._thread.join()  # type: ignore[union-attr]
        monkeypatch.setattr(snapshots, "write_snapshot", write)
    assert len(snapshots_of(path)) == 1


def test_a_deleted_agent_leaves_no_snapshot(tmp_path: Path):
    """The vectors of a deleted agent are gone from the folder when the store is closed."""
    path = tmp_path / "db"
    with MemoryStore(configured(path)) as store:
        store.execute([*put(range(100)), *put(range(100), "b")])
    assert len(snapshots_of(path)) == 2
    with MemoryStore(configured(path)) as store:
        store.execute([Delete("a")])
    assert len(snapshots_of(path)) == 1
    with MemoryStore(configured(path)) as store:
        store.execute([Delete(None)])
    assert snapshots_of(path) == []


def test_an_agent_without_lower_memories_has_no_use_for_its_snapshot(tmp_path: Path):
    """A snapshot of what has all been deleted or brought back up leaves an agent of one tier."""
    path = tmp_path / "db"
    with MemoryStore(configured(path)) as store:
        store.execute(put(range(100)))
        copy = killed(store, tmp_path / "old")
    with MemoryStore(configured(path)) as store:
        store.execute([Delete("a")])
        store.execute(put(range(5)))
        expected = answers(store)
    shutil.rmtree(path / FOLDER)
    shutil.copytree(copy / FOLDER, path / FOLDER)
    with MemoryStore(configured(path)) as store:
        assert answers(store) == expected
        assert store._tables.agents["a"].lower is None
        assert not [one for one in threading.enumerate() if one.name == "index-build"]
