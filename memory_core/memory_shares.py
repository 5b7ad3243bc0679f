"""How the parts of a store share what memory it may take: pure functions of its settings.

With a ``memory_limit_bytes``, an eighth is the block cache's and an eighth the memtables', at
most, and some are set aside for what a store holds in any case (the encoder's and RocksDB's own).
The rest is for memories: tables, vectors, the codes of indexes, and packed states.
"""

from __future__ import annotations

from typing import NamedTuple

from memory_core.config import MemoryConfig
from memory_core.errors import BadInputError

__all__ = ["Shares", "agent_bytes", "least_limit_bytes", "row_bytes", "shares_of"]

_MIB = 1024 * 1024
_DATABASE_RATIO = 1 / 8
_STORE_BYTES = 8 * _MIB
_LEAST_BYTES = 32 * _MIB
# Rows that wait to be folded into an index, and are copied when they are.
_LEAST_ROWS = 8_192
_FLOAT_BYTES = 4
# A short-term memory beside its vector, in a matrix that doubles when it is full.
_ROW_BYTES = 250
# An agent with a short-term table, and the rows that its matrix begins with.
_AGENT_BYTES = 1_600
_FIRST_ROWS = 8
# Memtables that column families of the sizes in `memory_core.log` fill at most, in those of the
# short-term tier: one that fills and one that is written to the disk, of all five.
_MOST_MEMTABLES = 4


class Shares(NamedTuple):
    """Bytes for each part.

    ``memtable_bytes`` is of all memtables together, None where only ``write_buffer_bytes``, that
    of the short-term tier, bounds them; ``reserved_bytes`` is what is not for memories.
    """

    block_cache_bytes: int
    write_buffer_bytes: int
    memtable_bytes: int | None
    reserved_bytes: int


def shares_of(config: MemoryConfig) -> Shares:
    """The shares of a store. Raises BadInputError when its limit is too small to work with."""
    limit, cache = config.memory_limit_bytes, config.block_cache_bytes
    write_buffer = config.write_buffer_bytes
    if limit is None:
        reserved = cache + _MOST_MEMTABLES * write_buffer + _STORE_BYTES
        return Shares(cache, write_buffer, None, reserved)
    least = least_limit_bytes(config.dimension)
    if limit < least:
        raise BadInputError(
            "memory_limit_bytes",
            f"must be at least {least:,} with {config.dimension:,} dimensions, not {limit:,}",
        )
    share = int(limit * _DATABASE_RATIO)
    cache, write_buffer = min(cache, share), min(write_buffer, share // 2)
    memtables = min(share, _MOST_MEMTABLES * write_buffer)
    return Shares(cache, write_buffer, memtables, cache + memtables + _STORE_BYTES)


def least_limit_bytes(dimension: int) -> int:
    """The smallest limit that a store works with."""
    return _LEAST_BYTES + _LEAST_ROWS * _FLOAT_BYTES * dimension


def row_bytes(dimension: int) -> int:
    """What another short-term memory takes at most, its packed state left out."""
    return _ROW_BYTES + 2 * _FLOAT_BYTES * dimension


def agent_bytes(dimension: int) -> int:
    """What another agent takes beside its memories."""
    return _AGENT_BYTES + _FIRST_ROWS * _FLOAT_BYTES * dimension
