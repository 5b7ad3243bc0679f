"""RocksDB's properties and counts, read into numbers; what it does not tell is 0."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from memory_core.log import Log
from memory_core.store_statistics import DatabaseStatistics, FamilyStatistics

__all__ = ["database_statistics", "family_statistics", "held_bytes"]

_Property = Callable[[str], str | None]

_LEVELS = 7
_TICKER = re.compile(r"^(rocksdb\.[\w.]+) COUNT : (\d+)$", re.MULTILINE)
_DELAYS = re.compile(r"total-(?:delays|stops): (\d+)")
_MICROSECONDS = 1e6


def family_statistics(log: Log) -> list[FamilyStatistics]:
    """What each column family of memories says of itself."""
    return [_family(name, ask) for name, ask in log.properties().items()]


def database_statistics(log: Log) -> DatabaseStatistics:
    """What is said of the database as a whole."""
    properties = log.properties()
    ask = next(iter(properties.values()))
    counts = {name: int(count) for name, count in _TICKER.findall(log.tickers())}
    return DatabaseStatistics(
        is_write_stopped=_number(ask, "is-write-stopped") > 0,
        delayed_write_bytes_s=_number(ask, "actual-delayed-write-rate"),
        stalled_s=counts.get("rocksdb.stall.micros", 0) / _MICROSECONDS,
        running_flushes=_number(ask, "num-running-flushes"),
        running_compactions=_number(ask, "num-running-compactions"),
        background_errors=_number(ask, "background-errors"),
        written_bytes=counts.get("rocksdb.bytes.written", 0),
        log_bytes=counts.get("rocksdb.wal.bytes", 0),
        flushed_bytes=counts.get("rocksdb.flush.write.bytes", 0),
        compacted_bytes=counts.get("rocksdb.compact.write.bytes", 0),
        block_cache_bytes=_number(ask, "block-cache-usage"),
        block_cache_capacity_bytes=_number(ask, "block-cache-capacity"),
        block_cache_hits=counts.get("rocksdb.block.cache.hit", 0),
        block_cache_misses=counts.get("rocksdb.block.cache.miss", 0),
        table_reader_bytes=_over_all(properties, "estimate-table-readers-mem"),
    )


def held_bytes(log: Log) -> tuple[int, int, int]:
    """Bytes in memory: of the block cache, of memtables, and of the readers of tables."""
    properties = log.properties()
    cache = _number(next(iter(properties.values())), "block-cache-usage")
    memtables = _over_all(properties, "size-all-mem-tables")
    return cache, memtables, _over_all(properties, "estimate-table-readers-mem")


def _family(name: str, ask: _Property) -> FamilyStatistics:
    return FamilyStatistics(
        name=name,
        memtable_bytes=_number(ask, "size-all-mem-tables"),
        table_bytes=_number(ask, "total-sst-files-size"),
        tables_by_level=[_number(ask, f"num-files-at-level{level}") for level in range(_LEVELS)],
        pending_compaction_bytes=_number(ask, "estimate-pending-compaction-bytes"),
        keys_estimated=_number(ask, "estimate-num-keys"),
        stalls=sum(map(int, _DELAYS.findall(ask("rocksdb.cf-write-stall-stats") or ""))),
    )


def _over_all(properties: Mapping[str, _Property], name: str) -> int:
    return sum(_number(ask, name) for ask in properties.values())


def _number(ask: _Property, name: str) -> int:
    text = ask(f"rocksdb.{name}")
    return int(text) if text and text.isdecimal() else 0
