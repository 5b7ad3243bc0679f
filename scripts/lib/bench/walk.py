"""The states of the store at depth: a forager's random walk, packed, written down before any clock.

`write_walk` puts the states in a file, which `WalkFile` reads a part at a time: what measures
neither makes states while the store's threads work, nor holds more than `_PART` of them.

The file is parts one after another, each a little-endian uint32 with its length and then a
MessagePack array of at most `_PART` packed states.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import msgspec

from harness.forager import Forager, pack

__all__ = ["WALK_IN_WORDS", "WalkFile", "agents_states", "queries", "walk", "write_walk"]

WALK_IN_WORDS = (
    "states: a forager's random walk (seed 1). A step goes up to 10 in any direction in a world of "
    "1,000 by 1,000 that wraps around; energy falls by the step and rises by rest, health drifts, "
    "what it carries, its action, terrain and neighbours change at random. 15 leaves: position x "
    "and y, health, energy, food, water, wood, action, terrain, 3 neighbours, alive, heading and "
    "step. About 165 bytes packed, and written to a file before a clock starts. Queries are states "
    "of other foragers, 20 steps into their walks."
)

_SEED = 1
_CHUNK = 250  # states for which random numbers are drawn together
_PART = 1_000
_OTHERS = 1_000_000  # the first forager whose states are queries
_STEPS = 20


def walk(stream: int) -> Iterator[bytes]:
    """Packed states of a forager, without end."""
    forager = Forager(_SEED, stream)
    chunk = 0
    while True:
        yield from map(pack, forager.walk(chunk, _CHUNK))
        chunk += 1


def agents_states(agent: int, count: int) -> list[bytes]:
    """The first packed states of one of many foragers."""
    return [pack(state) for state in Forager(_SEED, agent).walk(0, count)]


def queries(count: int, first: int = 0) -> list[bytes]:
    """Packed states of as many other foragers, the ``first`` th and those after it."""
    others = range(_OTHERS + first, _OTHERS + first + count)
    return [pack(Forager(_SEED, other).walk(0, _STEPS)[-1]) for other in others]


def write_walk(path: Path, count: int) -> None:
    """Write the first ``count`` states of the walk of forager 0, whole or not at all."""
    states = walk(0)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        while part := list(islice(states, min(_PART, count))):
            count -= len(part)
            packed = msgspec.msgpack.encode(part)
            file.write(len(packed).to_bytes(4, "little"))
            file.write(packed)
    unfinished.replace(path)


class WalkFile:
    """The states of a file of `write_walk`, in their order; a context manager."""

    def __init__(self, path: str | Path) -> None:
        self._file = Path(path).open("rb")  # noqa: SIM115 - closed when the block ends
        self._decoder = msgspec.msgpack.Decoder(list[bytes])
        self._part: list[bytes] = []
        self._at = 0

    def __enter__(self) -> WalkFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._file.close()

    def take(self, count: int) -> list[bytes]:
        """The next ``count`` states. Raises EOFError when there are fewer."""
        taken = self._part[self._at : self._at + count]
        self._at += len(taken)
        while len(taken) < count:
            length = int.from_bytes(self._file.read(4), "little")
            if not length:
                raise EOFError("the walk has no more states")
            self._part = self._decoder.decode(self._file.read(length))
            self._at = min(count - len(taken), len(self._part))
            taken += self._part[: self._at]
        return taken
