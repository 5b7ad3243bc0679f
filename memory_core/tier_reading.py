"""The tiers of a view read record by record, and what is wrong with them in sentences."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from memory_core.damage import Problem
from memory_core.errors import BadInputError, DatabaseError
from memory_core.operations import TIERS
from memory_core.payload import unpack_state
from memory_core.record import Parts, ids_of, parts_of
from memory_core.rocks_tools import View
from memory_core.salvage import Gap, Salvage

__all__ = ["TierHoldings", "TierReading", "checked_parts", "gap_problem"]

_MAX_NAMED_RECORDS = 100


@dataclass(frozen=True)
class TierHoldings:
    """What is readable in a tier: memories, agents that have some, and their packed bytes."""

    memories: int = 0
    agents: int = 0
    state_bytes: int = 0


@dataclass
class TierReading:
    """The tiers of a view, read one after another.

    Attributes:
        view: what is read.
        problems: what is wrong is added to it.
        dimension: of the vectors; None if it is not known, then records are only counted.
        agents: that have a whole memory, so far.
        unnamed: records that are not whole and, beyond a bound, are not among the problems.
    """

    view: View
    problems: list[Problem]
    dimension: int | None
    agents: set[str] = field(default_factory=set)
    named: int = 0
    unnamed: int = 0

    def read(self, number: int) -> TierHoldings:
        """Read a tier to its end, around what is damaged."""
        name = TIERS[number]
        salvage = Salvage(lambda: self.view.cursor(name), self.view.error_of)
        memories = state_bytes = 0
        agents: set[str] = set()
        for key, value in salvage.records():
            try:
                agent_id, _ = ids_of(key)
                payload = self._checked(value)
                self._require_alone(number, key)
            except ValueError as error:
                self._name(Problem(f"{name} {key!r}", f"is no whole record: {error}"))
                continue
            memories += 1
            state_bytes += len(payload)
            agents.add(agent_id)
        self.problems += [Problem(error.path, error.problem) for error in salvage.errors]
        self.problems += [gap_problem(name, gap) for gap in salvage.gaps]
        self.agents |= agents
        return TierHoldings(memories, len(agents), state_bytes)

    def _checked(self, value: bytes) -> bytes:
        if self.dimension is None:
            return value
        return checked_parts(value, self.dimension).payload

    def _require_alone(self, number: int, key: bytes) -> None:
        for other in TIERS[:number]:
            found = None
            with contextlib.suppress(DatabaseError):  # which is named where that tier is read
                found = self.view.get(other, key)
            if found is not None:
                raise ValueError(f"the same memory is in {other}, too")

    def _name(self, problem: Problem) -> None:
        """Name a record's problem, within a bound."""
        if self.named < _MAX_NAMED_RECORDS:
            self.named += 1
            self.problems.append(problem)
        else:
            self.unnamed += 1


def checked_parts(value: bytes, dimension: int) -> Parts:
    """The parts of a record whose state can be unpacked. Raises ValueError."""
    parts = parts_of(value, dimension)
    try:
        unpack_state(parts.payload)
        if parts.metadata is not None:
            unpack_state(parts.metadata)
    except BadInputError as error:
        raise ValueError(error.problem) from None
    return parts


def gap_problem(tier: str, gap: Gap) -> Problem:
    """What a gap means: which memories it lies between."""
    return Problem(tier, f"what lies {_bounds(gap)} cannot be read")


def _bounds(gap: Gap) -> str:
    if gap.after is None and gap.before is None:
        return "in it"
    if gap.after is None:
        return f"before {_name_of(gap.before)}"
    if gap.before is None:
        return f"after {_name_of(gap.after)}"
    return f"between {_name_of(gap.after)} and {_name_of(gap.before)}"


def _name_of(key: bytes | None) -> str:
    try:
        agent_id, state_id = ids_of(key or b"")
    except ValueError:
        return repr(key)
    return f"{agent_id!r} {state_id!r}"
