"""An agent-memory store: three tiers on RocksDB, similarity search by FAISS.

In one process, call by call::

    from memory_core import AgentMemorySystem, MemoryConfig

    memory = AgentMemorySystem.get_instance(MemoryConfig(path="memories"))
    memory.store_agent_state(agent_id="a", state_id="s1", state_data={"health": 0.9})
    memory.retrieve_similar_states(agent_id="a", query_state={"health": 0.8}, k=1)

`MemoryStore.execute` takes the same operations in batches, and `memory_core.client` speaks to
shards that Ray hosts. DESIGN.md beside this file tells how it works and why.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# A name is loaded when it is first asked for, so that a client of shards, of which there may be
# hundreds of processes, does not load RocksDB and FAISS.
if TYPE_CHECKING:
    from memory_core.backup import restore
    from memory_core.conditions import Condition, Filter, conditions_of
    from memory_core.config import MemoryConfig
    from memory_core.encoder import Encoder, StateEncoder
    from memory_core.errors import (
        BadInputError,
        CorruptionError,
        DatabaseError,
        DeadlineError,
        IncompatibleError,
        LockedError,
        MemoryCoreError,
        OverloadedError,
        StorageFullError,
        UnavailableError,
    )
    from memory_core.face import MemoryFace
    from memory_core.hooks import (
        DemotionEvent,
        MemoryHook,
        PromotionEvent,
        RetrievalEvent,
        StoreEvent,
    )
    from memory_core.inspection import Verification, verify
    from memory_core.operations import (
        Agents,
        Delete,
        Describe,
        Export,
        Inspect,
        Maintain,
        Operation,
        Query,
        Restore,
        Retrieve,
        RetrieveMany,
        Search,
        Store,
        Transition,
    )
    from memory_core.repairing import Repair, repair
    from memory_core.results import (
        AgentSize,
        Counts,
        Deleted,
        Demotion,
        Described,
        Done,
        Exported,
        Failure,
        Hit,
        Hits,
        Listed,
        Maintained,
        Memories,
        Memory,
        Missing,
        Moved,
        Promotion,
        Record,
        Result,
        Statistics,
    )
    from memory_core.store import MemoryStore
    from memory_core.system import AgentMemorySystem
    from memory_core.text_encoder import TextEncoder
    from memory_core.views import MemoryStatistics, SimilarState, StoredMemory

__all__ = [
    "AgentMemorySystem",
    "AgentSize",
    "Agents",
    "BadInputError",
    "Condition",
    "CorruptionError",
    "Counts",
    "DatabaseError",
    "DeadlineError",
    "Delete",
    "Deleted",
    "Demotion",
    "DemotionEvent",
    "Describe",
    "Described",
    "Done",
    "Encoder",
    "Export",
    "Exported",
    "Failure",
    "Filter",
    "Hit",
    "Hits",
    "IncompatibleError",
    "Inspect",
    "Listed",
    "LockedError",
    "Maintain",
    "Maintained",
    "Memories",
    "Memory",
    "MemoryConfig",
    "MemoryCoreError",
    "MemoryFace",
    "MemoryHook",
    "MemoryStatistics",
    "MemoryStore",
    "Missing",
    "Moved",
    "Operation",
    "OverloadedError",
    "Promotion",
    "PromotionEvent",
    "Query",
    "Record",
    "Repair",
    "Restore",
    "Result",
    "RetrievalEvent",
    "Retrieve",
    "RetrieveMany",
    "Search",
    "SimilarState",
    "StateEncoder",
    "Statistics",
    "StorageFullError",
    "Store",
    "StoreEvent",
    "StoredMemory",
    "TextEncoder",
    "Transition",
    "UnavailableError",
    "Verification",
    "conditions_of",
    "repair",
    "restore",
    "verify",
]

_MODULES = {
    "memory_core.backup": ("restore",),
    "memory_core.conditions": ("Condition", "Filter", "conditions_of"),
    "memory_core.config": ("MemoryConfig",),
    "memory_core.encoder": ("Encoder", "StateEncoder"),
    "memory_core.errors": (
        "BadInputError",
        "CorruptionError",
        "DatabaseError",
        "DeadlineError",
        "IncompatibleError",
        "LockedError",
        "MemoryCoreError",
        "OverloadedError",
        "StorageFullError",
        "UnavailableError",
    ),
    "memory_core.face": ("MemoryFace",),
    "memory_core.hooks": (
        "DemotionEvent",
        "MemoryHook",
        "PromotionEvent",
        "RetrievalEvent",
        "StoreEvent",
    ),
    "memory_core.inspection": ("Verification", "verify"),
    "memory_core.operations": (
        "Agents",
        "Delete",
        "Describe",
        "Export",
        "Inspect",
        "Maintain",
        "Operation",
        "Query",
        "Restore",
        "Retrieve",
        "RetrieveMany",
        "Search",
        "Store",
        "Transition",
    ),
    "memory_core.repairing": ("Repair", "repair"),
    "memory_core.results": (
        "AgentSize",
        "Counts",
        "Deleted",
        "Demotion",
        "Described",
        "Done",
        "Exported",
        "Failure",
        "Hit",
        "Hits",
        "Listed",
        "Maintained",
        "Memories",
        "Memory",
        "Missing",
        "Moved",
        "Promotion",
        "Record",
        "Result",
        "Statistics",
    ),
    "memory_core.store": ("MemoryStore",),
    "memory_core.system": ("AgentMemorySystem",),
    "memory_core.text_encoder": ("TextEncoder",),
    "memory_core.views": ("MemoryStatistics", "SimilarState", "StoredMemory"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
