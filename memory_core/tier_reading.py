"""The families of a view read record by record, and what is wrong with them in sentences.

What has to hold of a whole database, beyond each record's being whole (`memory_core.record`):

- The sequence of a lower tier's key is that of its value.
- `ids` names the sequence of each memory of a lower tier, and nothing else.
- A memory is in one tier, once. No id of a lower record is one of a short-term record, and no
  key is in both lower tiers; with the two rules above that is all it takes.

An entry of `ids` whose sequence is in no tier is damage, not litter. Whatever takes a record out
of the lower tiers takes its entry in the same write batch, so an entry that is left tells of a
memory that was lost. Nor would it stay harmless: sequences may be given again once the newest
memories are deleted, and the entry would then lead to another memory.

Nothing is held of a record beyond the thousand that are looked at together: each lower record is
looked up in `ids`, and as no two can share an entry, comparing the numbers tells whether an entry
is left over. Only then are those looked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from memory_core.damage import Problem
from memory_core.errors import BadInputError, DatabaseError
from memory_core.operations import TIERS
from memory_core.payload import unpack_state
from memory_core.record import (
    SEQUENCE_BYTES,
    Parts,
    agent_prefix,
    ids_of,
    lower_key_of,
    lower_parts_of,
    parts_of,
)
from memory_core.record_names import gap_problem, name_of
from memory_core.rocks_tools import View
from memory_core.salvage import Salvage

__all__ = ["Taken", "TierHoldings", "TierReading", "in_parts", "take_apart"]

_STM = TIERS[0]
_IM, _LTM = TIERS[1:]
_IDS = "ids"
_MAX_NAMED_RECORDS = 100
_READ_TOGETHER = 1_000


@dataclass(frozen=True)
class TierHoldings:
    """What is readable in a tier: memories, agents that have some, and their packed bytes."""

    memories: int = 0
    agents: int = 0
    state_bytes: int = 0


class Taken(NamedTuple):
    """A record of a tier taken apart.

    Attributes:
        key, value: as they lie there.
        agent_id: whose it is.
        id_key: the key that `ids` has of it, or that it has in the short-term tier.
        sequence, state_bytes: its number, and the length of its packed state.
    """

    key: bytes
    value: bytes
    agent_id: str
    id_key: bytes
    sequence: int
    state_bytes: int


@dataclass
class TierReading:
    """The families of a view: first each tier by `read`, from the upper down, then `read_ids`.

    Attributes:
        view: what is read.
        problems: what is wrong is added to it.
        dimension: of the vectors; None if it is not known, then states are not looked into.
        agents: that have a whole memory, so far.
        unnamed: records that are not whole and, beyond a bound, are not among the problems.
    """

    view: View
    problems: list[Problem]
    dimension: int | None
    agents: set[str] = field(default_factory=set)
    named: int = 0
    unnamed: int = 0
    # memories of the lower tiers that `ids` has, and whether all that is there was read
    matched: int = 0
    is_complete: bool = True

    def read(self, number: int) -> TierHoldings:
        """Read a tier to its end, around what is damaged."""
        name = TIERS[number]
        memories = state_bytes = 0
        agents: set[str] = set()
        for records in self._read(name):
            whole = []
            for key, value in records:
                try:
                    whole.append(take_apart(number, key, value, self.dimension))
                except ValueError as error:
                    self._name(name, key, f"is no whole record: {error}")
            if number:
                whole = self._consistent(name, whole)
            memories += len(whole)
            state_bytes += sum(one.state_bytes for one in whole)
            agents.update(one.agent_id for one in whole)
        self.agents |= agents
        return TierHoldings(memories, len(agents), state_bytes)

    def read_ids(self) -> None:
        """Read `ids` to its end, and look for entries that no tier has a memory of."""
        entries = 0
        for records in self._read(_IDS):
            entries += len(records)
            for key, value in records:
                if len(value) != SEQUENCE_BYTES:
                    self._name(_IDS, key, "is no whole record: it is no sequence")
                elif not _is_id_key(key):
                    self._name(_IDS, key, "is no whole record: the key is none")
        if entries != self.matched and self.is_complete:
            self._name_left_over()

    def _consistent(self, name: str, records: list[Taken]) -> list[Taken]:
        """Those of a lower tier that are memories; others are an older version, or a second one."""
        id_keys = [one.id_key for one in records]
        entries, short = self._found(_IDS, id_keys), self._found(_STM, id_keys)
        above = self._found(_IM, [one.key for one in records]) if name == _LTM else {}
        kept = []
        for one in records:
            entry = entries.get(one.id_key, b"")
            if above.get(one.key) is not None or short.get(one.id_key) is not None:
                upper = _IM if above.get(one.key) is not None else _STM
                self._name(name, one.key, f"the same memory is in {upper}, too")
                continue
            if entry is None:
                # it can be found by searching, and `repair` knows whose it is
                self._name(name, one.key, f"is not in {_IDS} (state id {_state_id(one)!r})")
            elif entry != one.key[-SEQUENCE_BYTES:] and one.id_key in entries:
                number = int.from_bytes(entry, "big")
                problem = f"{_IDS} names the sequence {number} for its state id {_state_id(one)!r}"
                self._name(name, one.key, problem)
                continue
            else:
                self.matched += 1
            kept.append(one)
        return kept

    def _name_left_over(self) -> None:
        for records in self._read(_IDS, again=True):
            places = {
                key: key[: 2 + int.from_bytes(key[:2], "big")] + value for key, value in records
            }
            for tier in (_IM, _LTM):
                found = self._found(tier, list(places.values()))
                places = {key: place for key, place in places.items() if found.get(place) is None}
            for key in places:
                self._name(_IDS, key, "names a memory that is in no tier")

    def _read(self, family: str, *, again: bool = False) -> Iterator[list[tuple[bytes, bytes]]]:
        """All records that can be read, some at a time; then what could not be is named."""
        salvage = Salvage(lambda: self.view.cursor(family), self.view.error_of)
        yield from in_parts(salvage.records(), _READ_TOGETHER)
        if again:
            return
        self.problems += [Problem(error.path, error.problem) for error in salvage.errors]
        self.problems += [gap_problem(family, gap) for gap in salvage.gaps]
        if salvage.errors or salvage.gaps:
            self.is_complete = False

    def _found(self, family: str, keys: list[bytes]) -> dict[bytes, bytes | None]:
        """What a family has of keys; without those that damage keeps from being looked up."""
        with contextlib.suppress(DatabaseError):  # which is named where that family is read
            return dict(zip(keys, self.view.get_many(family, keys), strict=True))
        found = {}
        for key in keys:
            with contextlib.suppress(DatabaseError):
                found[key] = self.view.get(family, key)
        return found

    def _name(self, family: str, key: bytes, problem: str) -> None:
        """Name a record's problem, within a bound."""
        if self.named < _MAX_NAMED_RECORDS:
            self.named += 1
            self.problems.append(Problem(f"{family} {name_of(family, key)}", problem))
        else:
            self.unnamed += 1


def take_apart(
    tier: int, key: bytes, value: bytes, dimension: int | None, *, trust_key: bool = True
) -> Taken:
    """A record of a tier, its states looked into unless the dimension is None.

    Args:
        tier: its number.
        key: the record's.
        value: likewise.
        dimension: of the vectors.
        trust_key: whether a sequence in the key that the value lacks is an error; if not, the
            value's is taken.

    Raises:
        ValueError: it is not whole.
    """
    if tier == 0:
        agent_id, _ = ids_of(key)
        id_key, parts = key, parts_of(value, dimension or 0)
    else:
        agent_id, sequence = lower_key_of(key)
        state_id, parts = lower_parts_of(value, dimension or 0)
        if trust_key and parts.sequence != sequence:
            raise ValueError(f"its value has the sequence {parts.sequence}")
        id_key = key[:-SEQUENCE_BYTES] + state_id.encode()
    if dimension is not None:
        _look_into(parts)
    return Taken(key, value, agent_id, id_key, parts.sequence, len(parts.payload))


def in_parts(
    records: Iterator[tuple[bytes, bytes]], count: int
) -> Iterator[list[tuple[bytes, bytes]]]:
    """Records so many at a time."""
    while some := list(islice(records, count)):
        yield some


def _look_into(parts: Parts) -> None:
    try:
        unpack_state(parts.payload)
        if parts.metadata is not None:
            unpack_state(parts.metadata)
    except BadInputError as error:
        raise ValueError(error.problem) from None


def _state_id(record: Taken) -> str:
    return record.id_key[len(agent_prefix(record.agent_id)) :].decode()


def _is_id_key(key: bytes) -> bool:
    try:
        ids_of(key)
    except ValueError:
        return False
    return True
