"""Sessions of adapted stores, opened without Ray as a cohort opens them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.plan import RunPlan
from harness.targets import load_target
from harness.targets.adapted_session import AdaptedSession
from harness.targets.driven import Placement
from memory_core.operations import Delete, Retrieve, Search, Store

__all__ = ["DICTS", "delete", "opened", "retrieve", "search", "store", "submitted"]

DICTS = "tests.harness.targets.dict_stores:"


@asynccontextmanager
async def opened(
    spec: str, folder: Path, cohort: int = 0, **fields: Any
) -> AsyncIterator[AdaptedSession]:
    """The session of one cohort on a target that is prepared for it alone."""
    plan = RunPlan(target=spec, agents=10, **fields)
    target: Any = load_target(spec)
    placement = Placement(run_id="run", data_dir=folder, shards=0, node_ids=[])
    try:
        ready = target.prepare(plan, placement)
        session = await target.connect(plan, ready.connection, cohort)
        session.adapter = target.adapter
        try:
            yield session
        finally:
            await session.close()
    finally:
        target.destroy()


def store(agent: str, state: str, **data: Any) -> Store:
    return Store.of(agent, state, data)


def retrieve(agent: str, state: str) -> Retrieve:
    return Retrieve(agent, state)


def search(agent: str, k: int = 5, **data: Any) -> Search:
    return Search.of(agent, data, k=k)


def delete(agent: str, state: str) -> Delete:
    return Delete(agent, state)


def vector(*numbers: float) -> bytes:
    return np.asarray(numbers, np.float32).tobytes()


async def submitted(session: AdaptedSession, *operations: Any) -> list[Any]:
    """The results of operations that are issued at once."""
    waiting = [session.submit(one) for one in operations]
    return [(await one).result for one in waiting]
