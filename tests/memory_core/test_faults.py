"""Real faults: a process that is killed while it stores, and a disk that becomes full."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    Counts,
    Describe,
    Described,
    Done,
    Failure,
    MemoryConfig,
    MemoryStore,
    Record,
    Retrieve,
    Search,
    StorageFullError,
    Store,
    Transition,
    UnavailableError,
)
from memory_core.payload import pack_state

pytestmark = pytest.mark.fault

AGENTS = ("a", "b", "c")
SETTINGS: dict[str, Any] = {
    "dimension": 8,
    "stm_capacity": 12,
    "im_capacity": 15,
    "write_buffer_bytes": 64 * 1024,  # so that flushes and compactions are under way as well
}

# Stores, overwrites and moves until it is killed; prints what was acknowledged, as it is.
CHILD = textwrap.dedent("""
    import json, os, random, signal, sys
    from memory_core import (
        Done, MemoryConfig, MemoryStore, Promotion, Retrieve, Store, Transition
    )
    path, settings, seed, version, lie_after = sys.argv[1:]
    chance, version = random.Random(int(seed)), int(version)
    lie_after = int(lie_after)
    store = MemoryStore(MemoryConfig(path=path, **json.loads(settings)))
    started, promoted = version, 0
    while True:
        batch, promised = [], []
        for _ in range(chance.randrange(1, 6)):
            version += 1
            agent, state_id = chance.choice("abc"), f"s{chance.randrange(40)}"
            state = {"version": version, "text": str(version) * 60}
            batch.append(Store.of(agent, state_id, state, importance=chance.random()))
            promised.append([agent, state_id, version])
        if chance.random() < 0.3:
            agent = chance.choice(["a", "b", "c", None])
            to = chance.choice(["im", "ltm"])
            moving = Transition(to, chance.random() * 100, agent)
            batch.insert(chance.randrange(len(batch) + 1), moving)
        elif chance.random() < 0.5:  # so that some memories move up
            often = Retrieve(chance.choice("abc"), f"s{chance.randrange(40)}")
            batch[:0] = [often] * 4
        if lie_after >= 0 and version > lie_after:
            print(json.dumps(promised), flush=True)  # before it is true
            os.kill(os.getpid(), signal.SIGKILL)
        results, moves = store.execute_watched(batch)
        assert results.count(Done()) == len(promised), results
        promoted += sum(isinstance(one, Promotion) for one in moves)
        assert promoted or version < started + 1_000, "nothing ever moves up"
        print(json.dumps(promised), flush=True)
""")


def run_until_killed(
    folder: Path, seed: int, version: int, *, acknowledgements: int = 0, lie_after: int = -1
) -> list[dict[tuple[str, str], int]]:
    """Batches that a child acknowledged before it was killed, after at least so many."""
    child = subprocess.Popen(
        [
            *(sys.executable, "-c", CHILD, folder, json.dumps(SETTINGS)),
            *(str(seed), str(version), str(lie_after)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        lines = []
        while len(lines) < acknowledgements or lie_after >= 0:
            line = child.stdout.readline()
            if not line:
                break
            lines.append(line)
    finally:
        child.send_signal(signal.SIGKILL)
        rest, complaints = child.communicate()
    assert child.returncode == -signal.SIGKILL, complaints
    lines += rest.splitlines(keepends=True)
    return [
        {(agent, state_id): version for agent, state_id, version in json.loads(line)}
        for line in lines
        if line.endswith("\n")
    ]


def audit(folder: Path, acknowledged: dict[tuple[str, str], int]) -> list[str]:
    """What is wrong with a database, given what was acknowledged: the latest of each id."""
    wrong = []
    with MemoryStore(MemoryConfig(path=folder, **SETTINGS)) as store:
        for (agent, state_id), version in acknowledged.items():
            found = [
                result
                for result in store.execute(
                    [Retrieve(agent, state_id, tier) for tier in ("stm", "im", "ltm")]
                )
                if isinstance(result, Record)
            ]
            if len(found) != 1:
                wrong.append(f"{agent}/{state_id} is in {len(found)} tiers")
            elif found[0].state["version"] < version:
                wrong.append(f"{agent}/{state_id} is of {found[0].state}, not {version}")
            elif found[0].state["text"] != str(found[0].state["version"]) * 60:
                wrong.append(f"{agent}/{state_id} is torn: {found[0].state}")
        for agent in AGENTS:
            described, hits = store.execute([Describe(agent), Search.of(agent, {}, k=10_000)])
            names = [hit.state_id for hit in hits.hits]
            if len(set(names)) != len(names) or len(names) != described.counts.total:
                wrong.append(f"{agent} has {names}, counted {described.counts}")
            if described.counts.stm > SETTINGS["stm_capacity"]:
                wrong.append(f"{agent} has too much: {described.counts}")
    return wrong


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_each_kill(tmp_path: Path):
    """Killed again and again while it stores and moves, a store loses and doubles nothing."""
    folder = tmp_path / "db"
    chance = random.Random()
    acknowledged: dict[tuple[str, str], int] = {}
    version = 0
    for round_number in range(7):
        seed = chance.randrange(2**32)
        wanted = chance.choice([1, 5, 40, 200])
        promised = run_until_killed(folder, seed, version, acknowledgements=wanted)
        assert len(promised) >= wanted
        for batch in promised:
            acknowledged |= batch
        version = max(acknowledged.values()) + 10
        assert audit(folder, acknowledged) == [], f"round {round_number}, seed {seed}"


def test_the_audit_notices_an_acknowledgement_that_came_too_early(tmp_path: Path):
    """A store that answered before it had stored would be caught: the audit is no formality."""
    folder = tmp_path / "db"
    acknowledged: dict[tuple[str, str], int] = {}
    for batch in run_until_killed(folder, 1, 0, acknowledgements=30):
        acknowledged |= batch
    assert audit(folder, acknowledged) == []
    start = max(acknowledged.values()) + 10
    *kept, lied = run_until_killed(folder, 2, start, lie_after=start + 50)
    for batch in kept:
        acknowledged |= batch
    assert audit(folder, acknowledged) == []
    wrong = audit(folder, acknowledged | lied)
    assert {tuple(one.split(" ")[0].split("/")) for one in wrong} == set(lied)


@pytest.fixture
def small_disk(tmpfs: Path) -> Path:
    """A disk of 24 MB, most of which something else takes."""
    (tmpfs / "ballast").write_bytes(bytes(21 * 1024 * 1024))
    return tmpfs


def fill(store: MemoryStore, kept: dict[str, bytes]) -> list[Failure]:
    """Store until the disk is full and some more; notes what was acknowledged."""
    chance = random.Random(5)
    failures: list[Failure] = []
    number = len(kept)
    while len(failures) < 5:
        number += 1
        assert number < 3000, "the disk never became full"
        payload = pack_state({"number": number, "noise": chance.randbytes(10_000).hex()})
        state_id = f"s{number}"
        before, result, after = store.execute(
            [Retrieve("a", "s1"), Store("a", state_id, payload), Retrieve("a", state_id)]
        )
        if isinstance(result, Done):
            kept[state_id] = payload
            assert isinstance(after, Record)
        else:
            assert isinstance(result, Failure)
            failures.append(result)
            assert not isinstance(after, Record), "what was not kept can be read"
        assert isinstance(before, Record) or number == 1, before
    return failures


def test_a_full_disk_fails_what_is_stored_and_loses_nothing(small_disk: Path):
    """Without room stores fail by themselves; reads go on; with room again all works."""
    config = MemoryConfig(
        path=small_disk / "db", dimension=8, write_buffer_bytes=256 * 1024, payload_cache_bytes=0
    )
    kept: dict[str, bytes] = {}
    store = MemoryStore(config)
    failures = fill(store, kept)
    assert isinstance(failures[0].exception(), StorageFullError)
    for failure in failures[1:]:
        assert isinstance(failure.exception(), StorageFullError | UnavailableError)
    assert len(kept) > 10
    [moved] = store.execute([Transition("im", 100.0, "a")])
    assert isinstance(moved, Failure)
    require_kept(store, kept)
    store.close()
    (small_disk / "ballast").unlink()
    with MemoryStore(config) as again:
        require_kept(again, kept)
        kept["new"] = pack_state({"number": 0})
        assert again.execute([Store("a", "new", kept["new"])]) == [Done()]
        assert again.execute([Transition("im", 100.0)])[0].count >= len(kept)
    with MemoryStore(config) as once_more:
        require_kept(once_more, kept)


def require_kept(store: MemoryStore, kept: dict[str, bytes]) -> None:
    """All that was acknowledged is there; of what was not, at most the last write is."""
    results = store.execute([Retrieve("a", state_id) for state_id in kept])
    for (state_id, payload), result in zip(kept.items(), results, strict=True):
        assert isinstance(result, Record), state_id
        assert result.payload == payload
    [described] = store.execute([Describe()])
    assert isinstance(described, Described)
    assert len(kept) <= described.counts.total <= len(kept) + 1


def test_a_database_cannot_be_made_on_a_full_disk_and_can_when_there_is_room(small_disk: Path):
    """Opening without room is an error of the disk; what it leaves does not stop the next try."""
    chunk = bytes(64 * 1024)
    with (small_disk / "more").open("wb", buffering=0) as more:
        try:
            while more.write(chunk) == len(chunk):
                pass
        except OSError:
            pass
    config = MemoryConfig(path=small_disk / "db")
    for _ in range(2):
        with pytest.raises(StorageFullError):
            MemoryStore(config)
    (small_disk / "more").unlink()
    with MemoryStore(config) as store:
        assert store.execute([Store("a", "s", b"\x80"), Describe()]) == [
            Done(),
            Described(1, Counts(stm=1), Counts(stm=1)),
        ]
