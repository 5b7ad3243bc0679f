"""The parts of what a store says of itself (`memory_core.results.Statistics`).

Each is an array on the wire: fields are only ever added at the end. Counts run from when the
database was opened. ``summed`` puts those of several shards together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, TypeVar

import msgspec

__all__ = [
    "BlockedTier",
    "DatabaseStatistics",
    "FamilyStatistics",
    "IndexStatistics",
    "MemoryUse",
    "SnapshotStatistics",
    "as_plain",
    "summed",
]

_Part = TypeVar("_Part", bound=msgspec.Struct)


class FamilyStatistics(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A column family of RocksDB's: a tier, or ``ids``.

    ``tables_by_level`` has the number of tables of level 0, 1 and so on; ``keys_estimated`` is
    RocksDB's own guess, which what was overwritten or deleted throws off until it is compacted.
    ``stalls`` are the times that writes were slowed down or stopped because of this family.
    """

    name: str
    memtable_bytes: int = 0
    table_bytes: int = 0
    tables_by_level: list[int] = []
    pending_compaction_bytes: int = 0
    keys_estimated: int = 0
    stalls: int = 0


class DatabaseStatistics(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """RocksDB as a whole.

    ``written_bytes`` are keys and values that were written; ``log_bytes``, ``flushed_bytes`` and
    ``compacted_bytes`` what went to the disk for them: into logs, into tables from memtables, and
    into tables from tables. ``table_reader_bytes`` are in memory, of the tables' filters and
    indexes. ``stalled_s`` is how long writers waited. ``background_errors`` are failed flushes
    and compactions.
    """

    is_write_stopped: bool = False
    delayed_write_bytes_s: int = 0
    stalled_s: float = 0.0
    running_flushes: int = 0
    running_compactions: int = 0
    background_errors: int = 0
    written_bytes: int = 0
    log_bytes: int = 0
    flushed_bytes: int = 0
    compacted_bytes: int = 0
    block_cache_bytes: int = 0
    block_cache_capacity_bytes: int = 0
    block_cache_hits: int = 0
    block_cache_misses: int = 0
    table_reader_bytes: int = 0

    @property
    def write_amplification(self) -> float | None:
        """Bytes that went to the disk for each byte written; None before anything was."""
        if not self.written_bytes:
            return None
        return (self.log_bytes + self.flushed_bytes + self.compacted_bytes) / self.written_bytes

    @property
    def block_cache_hit_ratio(self) -> float | None:
        """Of the blocks asked for, those that the cache had; None before any was."""
        asked = self.block_cache_hits + self.block_cache_misses
        return self.block_cache_hits / asked if asked else None


class IndexStatistics(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The vector indexes below the short-term tiers, one an agent that has memories there.

    ``build_errors`` are the texts of the first of those whose last build failed, ``failed`` how
    many these are; an index whose build failed serves on as it was.
    """

    indexes: int = 0
    approximate: int = 0
    building: int = 0
    failed: int = 0
    index_bytes: int = 0
    build_errors: list[str] = []


class MemoryUse(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What a store holds in memory, by part; ``total_bytes`` is the sum of the parts.

    ``short_term_bytes`` are tables and vectors of the short-term tiers; ``lower_bytes`` what is
    known of each memory below them; ``index_bytes`` their vectors and codes; ``payload_bytes``
    packed states that are held; ``agent_bytes`` what there is once an agent. The process has the
    interpreter, its libraries and the batches under way beside it.

    ``limit_bytes`` is ``memory_limit_bytes``, and ``counted_bytes`` what is held up to it, with
    RocksDB's share taken as used up. ``is_refusing`` says whether stores are refused now, and
    ``refused`` how many were.
    """

    short_term_bytes: int = 0
    lower_bytes: int = 0
    index_bytes: int = 0
    payload_bytes: int = 0
    agent_bytes: int = 0
    memtable_bytes: int = 0
    block_cache_bytes: int = 0
    table_reader_bytes: int = 0
    limit_bytes: int | None = None
    counted_bytes: int | None = None
    is_refusing: bool = False
    refused: int = 0

    @property
    def total_bytes(self) -> int:
        """Of all parts."""
        memories = self.short_term_bytes + self.lower_bytes + self.index_bytes + self.agent_bytes
        database = self.memtable_bytes + self.block_cache_bytes + self.table_reader_bytes
        return memories + self.payload_bytes + database


class SnapshotStatistics(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Snapshots of indexes.

    ``age_s`` is of the last one that this store made, None if it has made none; ``error`` says
    why the last one could not be made.
    """

    age_s: float | None = None
    error: str | None = None
    is_running: bool = False


class BlockedTier(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A tier of an agent that nothing moves out of, because of damage that moving would meet."""

    agent_id: str
    tier: str
    error: str


def summed(parts: Sequence[_Part]) -> _Part:
    """Numbers added up, what is so anywhere said to be so, texts and lists one after another.

    Of lists of numbers the first are added up, the second, and so on; of None and a number there
    is the number. Raises ValueError for no parts.
    """
    if not parts:
        raise ValueError("there is nothing to sum up")
    kind = type(parts[0])
    fields = kind.__struct_fields__
    return kind(*(_together([getattr(part, name) for part in parts]) for name in fields))


def _together(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    first = known[0]
    if isinstance(first, bool):
        return any(known)
    if isinstance(first, str):
        return "; ".join(dict.fromkeys(known))
    if isinstance(first, list):
        items = [item for value in known for item in value]
        if items and isinstance(items[0], int):
            return [sum(column) for column in zip_longest(*known, fillvalue=0)]
        return items
    return sum(known)


def as_plain(part: Any) -> Any:
    """A struct as a mapping by the names of its fields and properties; what JSON can hold."""
    if isinstance(part, list):
        return [as_plain(one) for one in part]
    if not isinstance(part, msgspec.Struct):
        return part
    plain = {name: as_plain(getattr(part, name)) for name in part.__struct_fields__}
    for name, value in vars(type(part)).items():
        if isinstance(value, property):
            plain[name] = as_plain(getattr(part, name))
    return plain
