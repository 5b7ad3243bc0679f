"""The target ``lancedb``: LanceDB in each process of agents.

One table holds the memories of all of a process's agents, reached by LanceDB's asynchronous
interface. After LanceDB's documentation ("Performance Tips and Best Practices", "Compaction and
cleanup", "Vector Indexing"):

- A state is stored by ``merge_insert`` (an upsert) on a key that stands first in the table and has
  a scalar index, and what waits is written together, since each write makes a new version of the
  table, and fragments of it.
- Searches are filtered by the agent before they compare, which a scalar index serves. There is no
  vector index: the documentation advises against one below about 100,000 rows, and the filter
  leaves no more of them than an agent has. So answers are exact.
- ``optimize()`` compacts, brings the scalar indexes up to date and removes old versions after 20
  modifications or 100,000 records, the rule of thumb of its reference. Versions are removed when
  they are a minute old, or at a flush, instead of after a week: each compaction writes the table
  anew, and a run would fill the disk with the old ones. What a run takes of the disk at its end
  has those of its last minute in it.

A write is files that are renamed into place. Nothing of it is synced, whatever durability is asked
for (seen with ``strace``): LanceDB has no setting for it.

Attributes of states are kept as a list of ``name=value`` texts, all of which a filtered search asks
for by ``array_has_all``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, ClassVar

from harness.targets.adapters.lancedb_store import LancedbStore, opened_table
from harness.targets.base import Capabilities, NoOptions, Ready, Setup, Target

__all__ = ["LancedbTarget"]


class LancedbTarget(Target[NoOptions]):
    """LanceDB."""

    name = "lancedb"
    description = "LanceDB in each process of agents"
    modules: ClassVar[Sequence[str]] = ("lancedb",)
    extra = "lancedb"
    asynchronous = True
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve"}),
        filter=True,
        delete=True,
        durable=True,
        calls_at_once=8,
    )

    def prepare(self, setup: Setup) -> Ready:
        """Nothing has to be started."""
        del setup
        return Ready(
            version=version("lancedb"),
            durability="The operating system has what was acknowledged: it survives a kill of the"
            " process, but LanceDB never syncs its files, so not the power going",
            settings={
                "tables": "one, filtered by agent",
                "index": "exact search among the agent's rows; B-trees on key and agent",
                "optimize": "after 20 modifications or 100,000 records; versions kept 60 s",
                "calls at once": self.capabilities.calls_at_once,
            },
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> LancedbStore:
        """Open the table in the folder, or make it."""
        del connection
        # Only coroutines open a table, and this may be called on an event loop.
        with ThreadPoolExecutor(1) as thread:
            opening = opened_table(setup.folder, setup.dimension)
            return LancedbStore(thread.submit(asyncio.run, opening).result())
