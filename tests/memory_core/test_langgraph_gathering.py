"""Tasks of one event loop that use a `LangGraphStore` at the same moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path

import pytest

from memory_core import AgentMemorySystem, BadInputError, MemoryConfig, Operation, Result, Store
from memory_core.langgraph_store import LangGraphStore

ANA = ("users", "ana")
WAIT_S = 60.0


class Held(AgentMemorySystem):
    """A memory that keeps its first batch waiting until it is let go, and counts those that write.

    Attributes:
        begun: the first batch is there.
        let_go: it may be executed.
        writes: batches with a store in them.
    """

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__(config)
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.writes = 0

    def execute(self, batch: Sequence[Operation]) -> list[Result]:
        self.begun.set()
        if not self.let_go.wait(WAIT_S):
            raise TimeoutError("nobody let the first batch go")
        self.writes += any(isinstance(one, Store) for one in batch)
        return super().execute(batch)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Held]:
    with Held(MemoryConfig(path=tmp_path, durability="os", max_state_bytes=100)) as memory:
        yield memory


async def gathered(
    memory: Held, calls: Sequence[Coroutine[None, None, None]], cancelled: int | None = None
) -> list[asyncio.Task[None]]:
    """Make a first call, all others while it is under way, and let it go then."""
    tasks = [asyncio.create_task(calls[0])]
    await asyncio.to_thread(memory.begun.wait, WAIT_S)
    tasks += [asyncio.create_task(call) for call in calls[1:]]
    await asyncio.sleep(0)  # each has come to where it waits for its answer
    if cancelled is not None:
        tasks[cancelled].cancel()
    memory.let_go.set()
    await asyncio.wait(tasks, timeout=WAIT_S)
    return tasks


def test_what_gathers_meanwhile_leaves_together(memory: Held):
    """Fifty tasks' puts are two batches: that of the first one, and that of all others."""
    store = LangGraphStore(memory)

    async def run() -> None:
        calls = [store.aput(ANA, str(number), {"n": number}) for number in range(50)]
        for task in await gathered(memory, calls):
            task.result()

    asyncio.run(run())
    assert memory.writes == 2
    assert {item.key for item in store.search(ANA, limit=99)} == {str(one) for one in range(50)}


def test_what_fails_alone_fails_nobody_else(memory: Held):
    """A value that is too large fails its own task; those that left with it are stored."""
    store = LangGraphStore(memory)

    async def run() -> list[BaseException | None]:
        values = [{"text": "x" * (200 if number == 5 else 2)} for number in range(9)]
        calls = [store.aput(ANA, str(number), value) for number, value in enumerate(values)]
        return [task.exception() for task in await gathered(memory, calls)]

    errors = asyncio.run(run())
    assert [error is None for error in errors] == [number != 5 for number in range(9)]
    assert isinstance(errors[5], BadInputError)
    assert str(errors[5]).startswith("value: is ")
    assert len(store.search(ANA, limit=99)) == 8


def test_a_task_that_is_cancelled_leaves_the_others(memory: Held):
    """Who no longer waits is left out, all others are served, and another loop can follow."""
    store = LangGraphStore(memory)

    async def run() -> None:
        calls = [store.aput(ANA, str(number), {}) for number in range(5)]
        tasks = await gathered(memory, calls, cancelled=3)
        assert tasks[3].cancelled()

    asyncio.run(run())
    found = asyncio.run(store.asearch(ANA))
    assert {item.key for item in found} == {"0", "1", "2", "4"}


def test_a_loop_that_ends_leaves_nobody_waiting(memory: Held):
    """Tasks whose loop goes while a batch is under way are cancelled, and the store goes on."""
    store = LangGraphStore(memory)

    async def run() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(store.aput(ANA, str(number), {})) for number in range(5)]
        await asyncio.to_thread(memory.begun.wait, WAIT_S)
        threading.Timer(0.1, memory.let_go.set).start()  # the loop's end waits for its threads
        return tasks

    assert all(task.cancelled() for task in asyncio.run(run()))
    store.put(ANA, "after", {})
    assert store.get(ANA, "after") is not None
