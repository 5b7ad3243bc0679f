"""What a memory store is made with: frozen, keyword-only, checked where it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memory_core.errors import BadInputError

if TYPE_CHECKING:
    from memory_core.encoder import Encoder

__all__ = ["DURABILITIES", "MemoryConfig"]

DURABILITIES = ("fsync", "os")

_KIB = 1024
_MIB = 1024 * 1024
_TIB = 1024 * 1024 * _MIB
# Clocks count nanoseconds, and no duration of anybody's is shorter or longer.
_LEAST_DURATION_S = 1e-9
_GREATEST_DURATION_S = 1e9


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """The settings of one store.

    Attributes:
        path: folder of the database; None keeps it in a private temporary folder that goes
            with the store.
        dimension: length of the vectors; 4 bytes each a memory and dimension, in memory and on
            disk. Search time grows with it.
        encoder: turns states into vectors; None is `StateEncoder(dimension)`. Its name, version
            and dimension are stored with the database and checked when it is opened.
        durability: ``"fsync"`` acknowledges a write once it is on the disk (one fsync for a
            batch); ``"os"`` once the operating system has it: faster for single stores, and safe
            against a killed process but not against a power cut.
        stm_capacity: memories that an agent's short-term tier holds before the oldest and least
            important move to the intermediate tier.
        im_capacity: the same for the intermediate tier; what leaves it goes to the long-term
            tier, which has no limit.
        exact_below: memories of an agent in a lower tier from which on its index is approximate.
        stm_ttl_s: a memory of the short-term tier that was stored longer ago is gone, whatever
            happens next; None, as for the others, lets it stay.
        im_ttl_s: the same for the intermediate tier.
        ltm_ttl_s: the same for the long-term tier.
        access_half_life_s: in which a retrieval comes to count for half as much when it is decided
            which memories move between tiers.
        max_state_bytes: largest packed state that is accepted, and largest metadata.
        payload_cache_bytes: bound on packed states that are held in memory, so that reading them
            costs no database look-up; 0 holds none.
        write_buffer_bytes: RocksDB's memtable of the short-term tier, and four times those of the
            others; larger means fewer, larger flushes.
        block_cache_bytes: RocksDB's cache of what it read from disk, shared by the tiers.
        memory_limit_bytes: bound on what the store holds in memory: tables, vectors, indexes and
            packed states, and at most an eighth each for the block cache and the memtables,
            which are made to fit. Near it memories move down early; past it stores are refused
            with OverloadedError. The interpreter and its libraries (some 100 MiB) and the batches
            under way come on top. None is no bound; counting costs nothing then.

    Raises:
        BadInputError: a value is of the wrong type or out of range; names the field.
    """

    path: str | os.PathLike[str] | None = None
    dimension: int = 64
    encoder: Encoder | None = None
    durability: str = "fsync"
    stm_capacity: int = 1_000
    im_capacity: int = 100_000
    exact_below: int = 10_000
    stm_ttl_s: float | None = None
    im_ttl_s: float | None = None
    ltm_ttl_s: float | None = None
    access_half_life_s: float = 3_600.0
    max_state_bytes: int = 32 * _MIB
    payload_cache_bytes: int = 256 * _MIB
    write_buffer_bytes: int = 32 * _MIB
    block_cache_bytes: int = 64 * _MIB
    memory_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.path is not None:
            # as text, so that configurations that mean the same are equal
            object.__setattr__(self, "path", _checked_path(self.path))
        _require_int("dimension", self.dimension, 1, 65_536)
        _require_int("stm_capacity", self.stm_capacity, 1)
        _require_int("im_capacity", self.im_capacity, 1)
        _require_int("exact_below", self.exact_below, 1)
        for field in ("stm_ttl_s", "im_ttl_s", "ltm_ttl_s"):
            if getattr(self, field) is not None:
                _require_duration(field, getattr(self, field), "seconds above 0, or None for none")
        _require_duration("access_half_life_s", self.access_half_life_s, "seconds above 0")
        _require_int("max_state_bytes", self.max_state_bytes, 1, 1024 * _MIB)
        _require_int("payload_cache_bytes", self.payload_cache_bytes, 0)
        _require_int("write_buffer_bytes", self.write_buffer_bytes, 64 * _KIB, _TIB)
        _require_int("block_cache_bytes", self.block_cache_bytes, 64 * _KIB, _TIB)
        if self.memory_limit_bytes is not None:
            _require_int("memory_limit_bytes", self.memory_limit_bytes, 1)
        if self.durability not in DURABILITIES:
            raise BadInputError("durability", f"must be fsync or os, not {self.durability!r}")
        if self.encoder is not None:
            _check_encoder(self.encoder, self.dimension)


def _checked_path(path: object) -> str:
    if not isinstance(path, str | os.PathLike):
        raise BadInputError("path", f"must be a folder's path, not a {type(path).__name__}")
    text = os.fspath(path)
    if not isinstance(text, str):
        raise BadInputError("path", "must be text, not bytes")
    if not text:
        raise BadInputError("path", "is empty; name a folder, or leave it out")
    try:
        named = b"\0" not in text.encode()
    except UnicodeEncodeError:
        named = False
    if not named:
        raise BadInputError("path", "holds a character that no folder's name can have")
    return text


def _check_encoder(encoder: Encoder, dimension: int) -> None:
    for name in ("name", "version", "dimension", "encode"):
        if not hasattr(encoder, name):
            raise BadInputError("encoder", f"has no {name}; see memory_core.Encoder")
    if encoder.dimension != dimension:
        raise BadInputError(
            "encoder",
            f"makes vectors of {encoder.dimension} dimensions, but dimension is "
            f"{dimension}; give both the same",
        )


def _require_int(field: str, value: object, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInputError(field, f"must be a whole number, not {value!r}")
    if value < low or (high is not None and value > high):
        bounds = f"at least {low:,}" if high is None else f"from {low:,} to {high:,}"
        given = f"{value:,}" if abs(value) < _TIB**2 else "so large a number"
        raise BadInputError(field, f"must be {bounds}, not {given}")


def _require_duration(field: str, value: object, wanted: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInputError(field, f"must be {wanted}, not {value!r:.40}")
    if not _LEAST_DURATION_S <= value <= _GREATEST_DURATION_S:
        given = f"{value:g}" if abs(value) < _TIB else "so large a number"
        problem = f"must be {wanted}, and from 1e-9 to 1e9, not {given}"
        raise BadInputError(field, problem)
