"""Random numbers as a pure function of where they are used.

No generator is kept for each of 50,000 agents, and the numbers are the same whichever process
computes them and in whatever order. `uniforms` is SplitMix64 (Steele, Lea, Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014) over a counter. `draws` reads the output of SHAKE128
(FIPS 202), which for a handful of numbers is several times as fast as arithmetic on small arrays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import shake_128

import numpy as np
import numpy.typing as npt

__all__ = ["draws", "uniforms"]

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_COUNTERS = np.arange(1, 4097, dtype=np.uint64) * np.uint64(_GOLDEN)
_30, _27, _31, _11 = (np.uint64(bits) for bits in (30, 27, 31, 11))
_TO_UNIT = 2.0**-53
_PLACE = struct.Struct("<QQQ")
_DRAW = struct.Struct("<IIIHHH")


def uniforms(seed: int, stream: int, chunk: int, count: int) -> npt.NDArray[np.float64]:
    """``count`` (at most 4,096) numbers in [0, 1), float64.

    Args:
        seed: of the run.
        stream: an agent's number.
        chunk: which part of the agent's stream; any two chunks are unrelated.
        count: how many.
    """
    origin = _mix(_mix(_mix(seed) ^ stream) ^ chunk)
    numbers = _COUNTERS[:count] + np.uint64(origin)
    numbers ^= numbers >> _30
    numbers *= _FIRST
    numbers ^= numbers >> _27
    numbers *= _SECOND
    numbers ^= numbers >> _31
    numbers >>= _11
    return numbers.astype(np.float64) * _TO_UNIT


def draws(
    seed: int, stream: int, chunk: int, count: int
) -> Iterator[tuple[int, int, int, int, int, int]]:
    """``count`` rows of whole numbers: three below 2**32, then three below 2**16.

    Args:
        seed: of the run, below 2**64, as the other two.
        stream: an agent's number.
        chunk: which part of the agent's stream; any two chunks are unrelated.
        count: how many.
    """
    digest = shake_128(_PLACE.pack(seed, stream, chunk)).digest(_DRAW.size * count)
    return _DRAW.iter_unpack(digest)


def _mix(value: int) -> int:
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * int(_FIRST)) & _MASK
    value = ((value ^ (value >> 27)) * int(_SECOND)) & _MASK
    return value ^ (value >> 31)
