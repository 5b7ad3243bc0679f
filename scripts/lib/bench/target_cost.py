"""What the harness costs a plain target: CPU an operation, beyond that of a bare loop.

The bare loop makes the same operations, encodes the same states and calls the same methods of the
same store, one after another. The harness has agents, a session, threads and rows that are written.
Both are measured in one process by its CPU time, which includes the kernel's work for it.

The bare loop is the best that one would write: where many agents have an operation each, it encodes
their states together. One agent has to wait for its answer before it goes on, so that two threads
wake each other for each of its operations; that is told, and has no goal.
"""

from __future__ import annotations

import asyncio
import gc
import time
from itertools import chain
from pathlib import Path
from typing import Any

import uvloop

from bench.child import in_child
from bench.plain_target import PlainStore
from bench.sizes import Sizes
from harness.agent import Counters, RunClock, live
from harness.plan import RunPlan
from harness.recorder import RowRecorder
from harness.sinks import LoadgenWriter, LocalSink, OpsWriter
from harness.targets import load_target
from harness.targets.base import Memory, Query
from harness.targets.driven import Placement
from harness.workload import StandardAgent
from memory_core import StateEncoder
from memory_core.operations import Retrieve, Store

__all__ = ["COUNTS", "cost_in_child", "target_cost"]

COUNTS = (1, 500)
_OPERATIONS_A_ROUND = 18
_DIMENSION = 64
_TARGET = "bench.plain_target:PlainTarget"
_FLUSH_INTERVAL_S = 1.0
_TOGETHER = 64
# An agent alone waits for threads to wake each other: so fewer operations take as long.
_SLOWER_ALONE = 10


def target_cost(sizes: Sizes, folder: Path) -> dict[str, float]:
    """CPU an operation in µs at each number of agents, by the harness and by the bare loop."""
    found: dict[str, float] = {}
    for agents in COUNTS:
        found |= in_child(
            "target_cost.cost_in_child",
            agents=agents,
            operations=sizes.cost_operations // (1 if agents > 1 else _SLOWER_ALONE),
            folder=str(folder),
        )
    return found


def cost_in_child(agents: int, operations: int, folder: str) -> dict[str, float]:
    """Measure both by turns, bare, harness, harness, bare, after a warm-up of each."""
    rounds = max(operations // (agents * _OPERATIONS_A_ROUND), 1)
    where = Path(folder) / f"agents-{agents}"
    bare(agents, 1)
    driven(agents, 1, where / "warm")
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    spent = {"bare": 0.0, "driven": 0.0}
    for turn, kind in enumerate(("bare", "driven", "driven", "bare")):
        if kind == "bare":
            spent[kind] += bare(agents, rounds)
        else:
            spent[kind] += driven(agents, rounds, where / f"{turn}")
    done = 2 * agents * rounds * _OPERATIONS_A_ROUND
    bare_us, driven_us = (1e6 * spent[kind] / done for kind in ("bare", "driven"))
    return {
        f"bare_{agents}_us": bare_us,
        f"driven_{agents}_us": driven_us,
        f"added_{agents}_us": driven_us - bare_us,
    }


def bare(agents: int, rounds: int) -> float:
    """CPU seconds of the operations of agents, round by round, without the harness.

    The states of as many operations as there are agents are encoded at once, up to 64, as the
    harness does: each agent has one operation at a time.
    """
    encode = StateEncoder(_DIMENSION).encode_packed
    store = PlainStore()
    workloads = [StandardAgent(1, number) for number in range(agents)]
    before_s = time.process_time()
    for number in range(rounds):
        made = chain.from_iterable(
            zip(*(one.round(number) for one in few), strict=True)
            for few in (workloads[at : at + _TOGETHER] for at in range(0, agents, _TOGETHER))
        )
        for operations in made:
            payloads = [one.payload for one in operations if type(one) is not Retrieve]
            vectors = encode(payloads) if payloads else ()
            for at, one in enumerate(operations):
                if type(one) is Store:
                    memory = Memory(one.agent_id, one.state_id, one.payload, vectors[at])
                    store.store(memory)
                elif type(one) is Retrieve:
                    store.retrieve(one.agent_id, one.state_id)
                else:
                    store.search(Query(one.agent_id, vectors[at], one.k))
    return time.process_time() - before_s


def driven(agents: int, rounds: int, folder: Path) -> float:
    """CPU seconds of the same through agents and a session, with rows written."""
    folder.mkdir(parents=True, exist_ok=True)
    return uvloop.run(_driven(agents, rounds, folder))


async def _driven(agents: int, rounds: int, folder: Path) -> float:
    plan = RunPlan(target=_TARGET, agents=agents, rounds=rounds, dimension=_DIMENSION)
    target = load_target(plan.target)
    placement = Placement(run_id="cost", data_dir=folder, shards=0, node_ids=[])
    session = await target.connect(plan, target.prepare(plan, placement).connection, 0)
    workloads = [StandardAgent(1, number) for number in range(agents)]
    before_s = time.process_time()
    start_ns = time.perf_counter_ns()
    place: Any = (LocalSink(folder), 0, "node", time.time_ns(), start_ns)
    recorder = RowRecorder(OpsWriter(*place), LoadgenWriter(*place), start_ns)
    clock, counters = RunClock.of(plan, start_ns), Counters()
    writing = asyncio.create_task(_keep_writing(recorder))
    await asyncio.gather(
        *(
            live(plan, agents, number, workload, session, recorder, clock, counters)
            for number, workload in enumerate(workloads)
        )
    )
    writing.cancel()
    recorder.close()
    spent_s = time.process_time() - before_s
    await session.close()
    return spent_s


async def _keep_writing(recorder: RowRecorder) -> None:
    while True:
        await asyncio.sleep(_FLUSH_INTERVAL_S)
        recorder.progress()
        recorder.flush()
