"""What every adapter's store owes, as a class of tests, and the memories that they keep.

A test module makes a subclass of `StoreBehaviour` for each target that it tests. Only plain
methods are called; what is asynchronous has tests of its own.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.targets.base import Hit, Memory, OpenStore, Query, Setup, Target

DIMENSION = 16
ROOT = Path(__file__).resolve().parents[2]
AGENTS = ["agent_1", "агент '2'", 'agent "3"\n; drop', "agent\x004"]
# The process that is killed writes each of these in turn, a new version each time.
KILLED_STATES = 7
KILLED_STORES_MIN = 24
WITHIN_S = 90.0


def unit_vector(seed: int) -> np.ndarray:
    """A vector of length 1, the same for the same seed."""
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def made_memory(agent_id: str, state_id: str, seed: int, **state: Any) -> Memory:
    """A memory whose vector, and state besides what is given, are made of the seed."""
    payload = {"seed": seed, "nested": {"text": "ü 漢 \x00 🦆", "list": [1, 2.5, None]}, **state}
    return Memory(agent_id, state_id, msgspec.msgpack.encode(payload), unit_vector(seed))


def state_of(payload: bytes | None) -> Any:
    assert payload is not None
    return msgspec.msgpack.decode(payload)


def setup_in(folder: Path, durability: str = "fsync") -> Setup:
    folder.mkdir(exist_ok=True)
    return Setup(run_id="run", folder=folder, dimension=DIMENSION, durability=durability)


@contextmanager
def opened(target: Target[Any], setup: Setup) -> Iterator[OpenStore]:
    """The target's store, prepared and open; closed and destroyed at the end."""
    try:
        store = target.open(setup, target.prepare(setup).connection)
        try:
            yield store
        finally:
            store.close()
    finally:
        target.destroy()


def store_all(target: Target[Any], store: OpenStore, memories: Sequence[Memory]) -> None:
    if "store" in target.capabilities.batch:
        store.store_many(memories)
        return
    for memory in memories:
        store.store(memory)


def retrieved(target: Target[Any], store: OpenStore, agent_id: str, state_id: str) -> bytes | None:
    if "retrieve" in target.capabilities.batch:
        [payload] = store.retrieve_many([(agent_id, state_id)])
        return payload
    return store.retrieve(agent_id, state_id)


def searched(target: Target[Any], store: OpenStore, query: Query) -> Sequence[Hit]:
    if "search" in target.capabilities.batch:
        [hits] = store.search_many([query])
        return hits
    return store.search(query)


def store_much(target: Target[Any], store: OpenStore) -> None:
    """Store 100 MB of memories."""
    for n in range(100):
        store_all(target, store, [made_memory("agent", f"state_{n}", n, text="x" * 1_000_000)])


def exact_hits(memories: Sequence[Memory], query: Query) -> list[tuple[str, float]]:
    """What the search owes: states and cosines, best first."""
    own = [memory for memory in memories if memory.agent_id == query.agent_id]
    scored = [(memory.state_id, float(memory.vector @ query.vector)) for memory in own]
    return sorted(scored, key=lambda hit: -hit[1])[: query.k]


def assert_hits(hits: Sequence[Hit], expected: Sequence[tuple[str, float]]) -> None:
    assert [hit.state_id for hit in hits] == [state_id for state_id, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-5)


def store_until_killed(target: Target[Any], folder: Path, first: int) -> None:
    """In a process of its own: store memories for ever, and say which was acknowledged."""
    with opened(target, setup_in(folder)) as store:
        number = first
        while True:
            memory = made_memory("agent_1", f"state_{number % KILLED_STATES}", number)
            store_all(target, store, [memory])
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            number += 1


def acknowledged_before_sigkill(place: str, folder: Path, first: int = 0) -> list[int]:
    """The stores that a process acknowledged before it was killed in the midst of more.

    They are numbered from ``first`` on; the number is the seed of the memory.
    """
    module, name = place.split(":")
    script = (
        "import sys; from pathlib import Path; from importlib import import_module\n"
        "from tests.targets.store_behaviour import store_until_killed\n"
        "kind = getattr(import_module(sys.argv[1]), sys.argv[2])\n"
        "store_until_killed(kind(kind.options_type()), Path(sys.argv[3]), int(sys.argv[4]))\n"
    )
    command = [sys.executable, "-c", script, module, name, str(folder), str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        late = Timer(WITHIN_S, process.kill)
        late.start()
        acknowledged = []
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) == KILLED_STORES_MIN:
                process.send_signal(signal.SIGKILL)
        late.cancel()
    return acknowledged


def assert_kept(target: Target[Any], store: OpenStore, acknowledged: Sequence[int]) -> None:
    """Each state has the last version that was acknowledged, for a retrieval and a search."""
    last = acknowledged[-1]
    for n in range(KILLED_STATES):
        version = max(number for number in acknowledged if number % KILLED_STATES == n)
        kept = state_of(retrieved(target, store, "agent_1", f"state_{n}"))["seed"]
        # One more may have been written than its process could say.
        assert kept in {version, last + 1}
        [hit] = searched(target, store, Query("agent_1", unit_vector(kept), 1))
        assert (hit.state_id, state_of(hit.payload)["seed"]) == (f"state_{n}", kept)


class StoreBehaviour:
    """What a store behind an adapter does."""

    place: str
    tells_true_from_one = True

    @pytest.fixture
    def target(self) -> Target[Any]:
        module, name = self.place.split(":")
        kind = getattr(__import__(module, fromlist=[name]), name)
        return kind(kind.options_type())

    @pytest.fixture
    def store(self, target: Target[Any], tmp_path: Path) -> Iterator[OpenStore]:
        with opened(target, setup_in(tmp_path / "store")) as store:
            yield store

    def test_gives_back_what_was_stored(self, target: Target[Any], store: OpenStore):
        """Any text is an id, any state comes back equal, and what is not there is None."""
        memories = [made_memory(agent_id, f"state é'{n}", n) for n, agent_id in enumerate(AGENTS)]
        store_all(target, store, memories)
        for memory in memories:
            payload = retrieved(target, store, memory.agent_id, memory.state_id)
            assert state_of(payload) == memory.state
        assert retrieved(target, store, AGENTS[0], memories[1].state_id) is None
        assert retrieved(target, store, "nobody", memories[1].state_id) is None

    def test_a_memory_stored_again_takes_the_place_of_the_old(
        self, target: Target[Any], store: OpenStore
    ):
        """The newer state and vector are all that is there, for a retrieval and for a search."""
        old, new = made_memory("agent", "state", 1), made_memory("agent", "state", 2)
        store_all(target, store, [old])
        store_all(target, store, [new])
        assert state_of(retrieved(target, store, "agent", "state")) == new.state
        [hit] = searched(target, store, Query("agent", new.vector, 5))
        assert hit.score == pytest.approx(1, abs=1e-5)
        assert state_of(hit.payload) == new.state

    def test_searches_find_the_nearest_of_the_agents_own(
        self, target: Target[Any], store: OpenStore
    ):
        """Order and scores are those of the exact cosine, and no neighbour's memory is found."""
        memories = [made_memory(AGENTS[n % 4], f"state_{n}", n) for n in range(60)]
        store_all(target, store, memories)
        for n, agent_id in enumerate(AGENTS):
            for k in [1, 5, 40]:
                query = Query(agent_id, unit_vector(1000 + n), k)
                found = searched(target, store, query)
                assert_hits(found, exact_hits(memories, query))
                assert [state_of(hit.payload)["seed"] for hit in found] == [
                    int(hit.state_id.removeprefix("state_")) for hit in found
                ]
        assert list(searched(target, store, Query("nobody", unit_vector(0), 5))) == []

    def test_a_deleted_memory_is_gone(self, target: Target[Any], store: OpenStore):
        """A deletion says whether there was one, and leaves the others."""
        memories = [made_memory("agent", f"state_{n}", n) for n in range(3)]
        store_all(target, store, memories)
        assert store.delete("agent", "state_1")
        assert not store.delete("agent", "state_1")
        assert not store.delete("nobody", "state_0")
        assert retrieved(target, store, "agent", "state_1") is None
        query = Query("agent", unit_vector(9), 5)
        assert_hits(searched(target, store, query), exact_hits([memories[0], memories[2]], query))

    def test_filters_take_what_has_the_attributes(self, target: Target[Any], store: OpenStore):
        """Each attribute must be equal, of its own kind, before the best are chosen."""
        if not target.capabilities.filter:
            pytest.skip("claims no filter")
        memories = [
            made_memory(
                "agent", f"s{n}", n, odd=n % 2 == 1, half=n / 2, a_b=n % 3, word=f"'{n % 5}"
            )
            for n in range(30)
        ]
        store_all(target, store, memories)

        def expect(where: dict[str, Any], numbers: Sequence[int]) -> None:
            query = Query("agent", unit_vector(99), 4, where)
            assert_hits(
                searched(target, store, query), exact_hits([memories[n] for n in numbers], query)
            )

        expect({"odd": True}, range(1, 30, 2))
        expect({"odd": False, "word": "'3"}, range(8, 30, 10))
        expect({"half": 3.5}, [7])
        expect({"a_b": 2, "odd": True}, range(5, 30, 6))
        expect({"odd": 1}, [] if self.tells_true_from_one else range(1, 30, 2))
        expect({"none": 1}, [])

    @pytest.mark.slow
    @pytest.mark.fault
    def test_what_was_acknowledged_survives_sigkill(self, target: Target[Any], tmp_path: Path):
        """A killed process's store opens again with the last version of each acknowledged state."""
        if not target.capabilities.durable:
            pytest.skip("claims no durability")
        folder = tmp_path / "store"
        acknowledged = acknowledged_before_sigkill(self.place, folder)
        assert len(acknowledged) >= KILLED_STORES_MIN
        with opened(target, setup_in(folder)) as store:
            assert_kept(target, store, acknowledged)
