"""Shards on a real Ray: found by a second driver, killed under load, gone when stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_core import (
    BadInputError,
    Describe,
    Described,
    Done,
    Failure,
    IncompatibleError,
    MemoryConfig,
    Moved,
    Record,
    Retrieve,
    Store,
    Transition,
    UnavailableError,
)
from memory_core.client import MemoryClient
from memory_core.langchain_store import LangChainStore
from memory_core.langgraph_store import LangGraphStore
from memory_core.placement import (
    RayTransport,
    ShardInfo,
    Shards,
    find_shards,
    open_shards,
    start_shards,
)
from memory_core.ray_memory import RayMemory
from memory_core.shard import ShardActor
from memory_core.shard_calls import answered, pinned_to
from tests.memory_core.embedding import DIMENSION, embed
from tests.memory_core.killed_face import ByDigest

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("ray_here")]

WAIT_S = 60.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Shards]]:
    """Starts memories, and stops them when the test is over."""
    started: list[Shards] = []

    def begin(name: str, shards: int = 2, **settings: Any) -> Shards:
        config = MemoryConfig(path=tmp_path / "data", **{"dimension": 8, **settings})
        started.append(start_shards(name, shards, config))
        return started[-1]

    yield begin
    for one in started:
        one.stop()


def until(condition: Callable[[], bool], what: str) -> None:
    """Poll until something is so."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def refreshed(shards: Shards) -> list[ShardInfo]:
    """Who the shards are, once all of them answer."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return shards.refresh()
        except UnavailableError:
            assert time.monotonic() < deadline, "a shard was not started again"
            time.sleep(0.02)


def test_a_second_driver_finds_a_memory_by_its_name(start: Callable[..., Shards]):
    """Another process connects, finds the shards, and shares the memory with the first."""
    shards = start("shared", 2)
    with RayMemory("shared") as memory:
        for number in range(10):
            memory.store_agent_state(
                agent_id=f"agent_{number}", state_id="s", state_data={"number": number}
            )
        script = """
            import json, sys
            import ray
            from memory_core.ray_memory import RayMemory
            ray.init(address=sys.argv[1], log_to_driver=False)
            with RayMemory("shared") as memory:
                memory.store_agent_state(agent_id="other", state_id="s", state_data={"x": [1, "y"]})
                found = memory.retrieve_state(agent_id="agent_7", state_id="s")
                hits = memory.retrieve_similar_states(agent_id="agent_3", query_state={"number": 3})
                print(json.dumps({
                    "pids": [info.pid for info in memory.shards],
                    "found": found,
                    "hits": [[hit.state_id, hit.state] for hit in hits],
                    "count": memory.count_memories().total,
                }))
            ray.shutdown()
        """
        address = ray.get_runtime_context().gcs_address
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), address],
            check=False,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            # a Ray that `ray.init` starts asks for the token of this machine
            env={**os.environ, "RAY_AUTH_MODE": "token"},
        )
        assert done.returncode == 0, done.stderr
        assert '"found": {"number": 7}' in done.stdout
        assert '"hits": [["s", {"number": 3}]]' in done.stdout
        assert '"count": 11' in done.stdout
        assert f'"pids": {[info.pid for info in shards.infos]}' in done.stdout
        assert memory.retrieve_state(agent_id="other", state_id="s") == {"x": [1, "y"]}


def test_shards_are_known_by_name_place_and_process(start: Callable[..., Shards], tmp_path: Path):
    """Each shard tells who it is; each has a folder of its own and a process of its own."""
    shards = start("known", 2)
    assert find_shards("known") == shards.infos == shards.refresh()
    assert [(info.memory, info.shard, info.shards) for info in shards.infos] == [
        ("known", 0, 2),
        ("known", 1, 2),
    ]
    assert len({info.pid for info in shards.infos} | {os.getpid()}) == 3
    assert [info.path for info in shards.infos] == [
        str(tmp_path / "data" / f"shard-{shard}") for shard in range(2)
    ]
    with pytest.raises(UnavailableError, match="named 'unknown'"):
        find_shards("unknown")
    with pytest.raises(UnavailableError, match="named 'unknown'"):
        RayMemory("unknown")


@pytest.mark.fault
def test_what_was_acknowledged_is_there_after_shards_were_killed_under_load(
    start: Callable[..., Shards],
):
    """Shards are killed while agents store: Ray starts them again, and nothing is lost."""
    shards = start("killed", 2, stm_capacity=10, im_capacity=10)
    first_pids = [info.pid for info in shards.infos]
    load = Load(shards)

    async def bounded() -> None:
        await asyncio.wait_for(load.run_with_kills(4), 100)

    asyncio.run(bounded())
    assert not load.failed, load.failed[:3]
    assert not set(first_pids) & {info.pid for info in refreshed(shards)}


class Load:
    """Agents that store, read back and move, and what was acknowledged to them."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.acknowledged: dict[tuple[str, str], int] = {}
        self.failed: list[Any] = []
        self.stores = 0
        self.progress = asyncio.Condition()
        self.over = False

    async def live(self, client: MemoryClient, agent: str) -> None:
        number = 0
        while not self.over:
            number += 1
            state_id = f"s{number % 30}"
            result = await client.call(Store.of(agent, state_id, {"number": number}))
            if result == Done():
                self.acknowledged[agent, state_id] = number
            else:
                self.failed.append(result)
            found = await client.call(Retrieve(agent, state_id))
            if not isinstance(found, Record) or found.state["number"] != number:
                self.failed.append(found)
            if number % 50 == 0:  # may fail: it is not repeated
                await client.call(Transition("im", 30.0, agent))
            self.stores += 1
            async with self.progress:
                self.progress.notify_all()

    async def more(self, stores: int) -> None:
        """Wait for so many more stores."""
        wanted = self.stores + stores
        async with self.progress:
            await self.progress.wait_for(lambda: self.stores >= wanted)

    async def run_with_kills(self, kills: int) -> None:
        transport = RayTransport(self.shards.memory, len(self.shards.infos))
        client = MemoryClient(transport, len(self.shards.infos), deadline_s=WAIT_S)
        agents = [asyncio.create_task(self.live(client, f"agent_{n}")) for n in range(24)]
        for kill in range(kills):
            await self.more(1_000)
            infos = await asyncio.to_thread(refreshed, self.shards)
            os.kill(infos[kill % len(infos)].pid, signal.SIGKILL)
        await self.more(1_000)
        self.over = True
        await asyncio.gather(*agents)
        assert client.retries >= kills - 1
        await self.audit(client)

    async def audit(self, client: MemoryClient) -> None:
        for agent in {agent for agent, _ in self.acknowledged}:
            own = {state: n for (owner, state), n in self.acknowledged.items() if owner == agent}
            for state_id, number in own.items():
                found = await client.call(Retrieve(agent, state_id))
                assert isinstance(found, Record), (agent, state_id)
                assert found.state["number"] == number
            described = await client.call(Describe(agent))
            assert isinstance(described, Described)
            assert described.counts.total == len(own)
            assert described.counts.stm <= 10


def test_the_face_over_ray_is_the_face_in_process(start: Callable[..., Shards]):
    """Calls from many threads, bad input, transitions of all shards, use after closing."""
    start("face", 2)
    memory = RayMemory("face")
    outcomes: list[Any] = []

    def live(agent: str) -> None:
        for number in range(20):
            memory.store_agent_state(
                agent_id=agent, state_id=f"s{number}", state_data={"number": number}
            )
            found = memory.retrieve_state(agent_id=agent, state_id=f"s{number}")
            outcomes.append(found == {"number": number})

    threads = [threading.Thread(target=live, args=(f"agent_{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert outcomes == [True] * 160
    assert memory.count_memories().total == 160
    assert memory.force_transition_to_im(percentage=50) == 80
    assert memory.force_transition_to_ltm(percentage=100, agent_id="agent_0") > 0
    assert memory.retrieve_state(agent_id="agent_0", state_id="unknown") is None
    assert memory.retrieve_similar_states(agent_id="unknown", query_state={}) == []
    assert not memory.has_agent("unknown")
    with pytest.raises(BadInputError) as caught:
        memory.store_agent_state(agent_id="", state_id="s", state_data={})
    assert caught.value.field == "agent_id"
    with pytest.raises(BadInputError) as caught:
        memory.retrieve_similar_states(agent_id="agent_0", vector=[1.0, 2.0])
    assert caught.value.field == "vector"
    results = memory.execute(
        [
            Store.of("a", "s", {}),
            Store("", "s", b"\x80"),
            Store("a", "t", b"\xff"),
            Retrieve("a", "s"),
            Describe(),
            Transition("im", 0.0),
        ]
    )
    kinds = [Done, Failure, Failure, Record, Described, Moved]
    assert [type(result) for result in results] == kinds
    memory.close()
    memory.close()
    with pytest.raises(UnavailableError, match="closed"):
        memory.has_agent("a")


def test_a_shard_that_cannot_open_its_store_says_why_and_leaves_nothing(
    start: Callable[..., Shards], tmp_path: Path
):
    """The error of a shard's store is raised where it was started, and the name is free again."""
    first = start("again", 2)
    pids = [info.pid for info in first.infos]
    first.stop()
    until(lambda: not any(map(runs, pids)), "the processes of stopped shards are still there")
    with pytest.raises(BadInputError, match="is that of memory 'again' already; open that"):
        start("again", 2)
    path = tmp_path / "data"
    with pytest.raises(IncompatibleError, match="dimension 8"):
        open_shards("again", MemoryConfig(path=path, dimension=9))
    second = open_shards("again", MemoryConfig(path=path, dimension=8))
    assert [info.shard for info in second.infos] == [0, 1]
    second.stop()


def test_stopping_leaves_no_process_and_what_was_stored(
    start: Callable[..., Shards], tmp_path: Path
):
    """Stop ends every shard's process, also of one that was killed; the files stay."""
    shards = start("stopped", 2)
    with RayMemory("stopped") as memory:
        for number in range(6):
            memory.store_agent_state(agent_id=f"a{number}", state_id="s", state_data={"n": number})
    os.kill(shards.infos[0].pid, signal.SIGKILL)
    pids = [info.pid for info in refreshed(shards)]
    shards.stop()
    shards.stop()
    until(lambda: not any(map(runs, pids)), "the processes of stopped shards are still there")
    with pytest.raises(UnavailableError):
        find_shards("stopped")
    again = open_shards("stopped", MemoryConfig(path=tmp_path / "data", dimension=8))
    assert [info.path for info in again.infos] == [info.path for info in shards.infos]
    with RayMemory("stopped") as memory:
        assert memory.count_memories().total == 6
        assert memory.retrieve_state(agent_id="a3", state_id="s") == {"n": 3}
    again.stop()


def test_statistics_of_a_memory_on_ray_are_those_of_its_shards(start: Callable[..., Shards]):
    """Both shards are asked, summed up and told apart, and a limit counts in each of them."""
    start("counted", 2, stm_capacity=10, memory_limit_bytes=64 * 1024 * 1024)
    with RayMemory("counted") as memory:
        for number in range(60):
            memory.store_agent_state(
                agent_id=f"agent_{number % 3}", state_id=f"s{number}", state_data={"x": number}
            )
        said = memory.get_memory_statistics()
        assert memory.get_memory_statistics(agent_id="agent_0").store is None
    assert said.store is not None
    assert (said.agents, said.counts.total) == (3, 60)
    assert [family.name for family in said.store.families] == ["stm", "im", "ltm", "ids"]
    shards = said.store.shards
    assert sum(one.counts.total for one in shards) == 60
    assert [one.memory.limit_bytes for one in shards] == [64 * 1024 * 1024] * 2
    assert said.store.database.log_bytes == sum(one.database.log_bytes for one in shards) > 0


def test_a_limit_too_small_is_refused_when_shards_start(start: Callable[..., Shards]):
    """Whoever starts them is told the field and the least that works."""
    with pytest.raises(BadInputError, match="memory_limit_bytes: must be at least"):
        start("tiny", 1, memory_limit_bytes=1_000)


def test_faces_of_other_libraries_work_over_shards(start: Callable[..., Shards]):
    """LangGraph's and LangChain's faces give over Ray what they give in process."""
    start("faces", dimension=DIMENSION)
    index: Any = {"dims": DIMENSION, "embed": embed, "fields": ["text", "tags[*]"]}
    with RayMemory("faces") as memory:
        store = LangGraphStore(memory, index=index)
        for number in range(8):
            value = {"text": f"text {number}", "tags": [f"tag {number}", "tag"], "n": number}
            store.put(("users", f"user_{number}"), "key", value)
        store.delete(("users", "user_3"), "key")
        [found] = store.search(("users",), query="tag 7", limit=1)
        assert (found.namespace, found.score) == (("users", "user_7"), pytest.approx(1.0, abs=1e-5))
        assert len(store.list_namespaces(prefix=("users",))) == 7
        last = store.search((), filter={"n": {"$gt": 4}})
        assert {item.value["n"] for item in last} == {5, 6, 7}
        assert asyncio.run(store.aget(("users", "user_3"), "key")) is None
        documents = LangChainStore(memory, ByDigest())
        documents.add_texts(["pizza", "tea"], ids=["1", "2"])
        assert [one.id for one in documents.similarity_search("tea", k=1)] == ["2"]


def test_a_shard_whose_node_has_left_says_so_and_what_helps():
    """Ray shows a node that died as alive for seconds; a shard that was placed on it starts not."""
    gone = "0" * 55 + "1"
    shard = ray.remote(ShardActor).options(num_cpus=0, scheduling_strategy=pinned_to(gone))
    actor = shard.remote("gone", 0, 1, MemoryConfig())
    with pytest.raises(UnavailableError, match="shard 0 did not start: its node"):
        answered(actor.info.remote(), 0)
