"""The audit: is every store that was acknowledged in a run in its databases?

A run's rows do not name states; the plan's seed does. An agent's rows, in their order, are the
first operations of its workload, so the i-th row says what became of the i-th operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rocksdict import AccessType, Options, Rdict

from harness.plan import RunPlan
from harness.rundir_reader import open_run
from harness.workload import StandardAgent
from memory_core import MemoryConfig, MemoryStore
from memory_core.client import shard_of
from memory_core.operations import Retrieve, Search, Store
from memory_core.results import Record

__all__ = ["acknowledged", "databases", "forget", "lost", "rows_of_agents"]

_NAMES = {Store: "store", Retrieve: "retrieve", Search: "search"}


def databases(data_dir: Path) -> list[Path]:
    """The databases of a run's shards, or cohorts, in their order."""
    folders = [path for path in data_dir.glob("*/*-*") if path.is_dir()]
    return sorted(folders, key=lambda path: int(path.name.rpartition("-")[2]))


def rows_of_agents(out: Path) -> dict[int, pa.Table]:
    """The measured rows of each agent, in the order in which it issued them."""
    rows = open_run(out).operations()
    rows = rows.filter(pc.equal(rows["phase"], "measure"))
    rows = rows.sort_by([("agent", "ascending"), ("started_ns", "ascending")])
    agents = rows["agent"].to_pylist()
    return {
        number: rows.slice(agents.index(number), agents.count(number)) for number in set(agents)
    }


def operations(seed: int, number: int) -> Iterator[Store | Retrieve | Search]:
    """What an agent of the standard workload does, without end."""
    agent = StandardAgent(seed, number)
    for rounds in count():
        yield from agent.round(rounds)


def acknowledged(out: Path) -> list[Store]:
    """The stores of a run that were answered with ok."""
    plan = RunPlan(**open_run(out).run["plan"])
    found = []
    for number, rows in rows_of_agents(out).items():
        outcomes, kinds = rows["outcome"].to_pylist(), rows["op"].to_pylist()
        for operation, kind, outcome in zip(operations(plan.seed, number), kinds, outcomes):  # noqa: B905 - operations have no end
            assert kind == _NAMES[type(operation)], "rows are not in the workload's order"
            if isinstance(operation, Store) and outcome == "ok":
                found.append(operation)
    return found


def lost(out: Path, data_dir: Path) -> list[str]:
    """The ids of acknowledged states that are not in the databases as they were stored."""
    missing = []
    with ExitStack() as stack:
        stores = [
            stack.enter_context(MemoryStore(MemoryConfig(path=path)))
            for path in databases(data_dir)
        ]
        assert stores, f"no databases in {data_dir}"
        for store in acknowledged(out):
            shard = stores[shard_of(store.agent_id, len(stores))]
            found = shard.execute([Retrieve(store.agent_id, store.state_id)])[0]
            if not isinstance(found, Record) or found.payload != store.payload:
                missing.append(store.state_id)
    return missing


def forget(data_dir: Path, store: Store) -> None:
    """Take one memory out of its database behind the store's back."""
    paths = databases(data_dir)
    path = str(paths[shard_of(store.agent_id, len(paths))])
    removed = 0
    for family in Rdict.list_cf(path):
        options = Options(raw_mode=True)
        database = Rdict(
            path,
            options,
            column_families=dict.fromkeys(Rdict.list_cf(path), options),
            access_type=AccessType.read_write(),
        )
        memories = database.get_column_family(family)
        for key in list(memories.keys()):
            if store.agent_id.encode() in key and key.endswith(store.state_id.encode()):
                del memories[key]
                removed += 1
        memories.close()
        database.close()
    assert removed, f"{store.state_id} is nowhere in {path}"
