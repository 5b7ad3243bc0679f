"""Records and what lies between them in words, for those who read what is wrong with a database."""

from __future__ import annotations

from memory_core.damage import Problem
from memory_core.operations import TIERS
from memory_core.record import ids_of, lower_key_of
from memory_core.salvage import Gap

__all__ = ["gap_problem", "name_of"]

_LOWER = frozenset(TIERS[1:])


def name_of(family: str, key: bytes) -> str:
    """A record by its agent and state id, or by its agent and sequence in a lower tier."""
    try:
        if family in _LOWER:
            agent_id, sequence = lower_key_of(key)
            return f"{agent_id!r} sequence {sequence}"
        agent_id, state_id = ids_of(key)
    except ValueError:
        return repr(key)
    return f"{agent_id!r} {state_id!r}"


def gap_problem(family: str, gap: Gap) -> Problem:
    """What a gap means: which records it lies between."""
    return Problem(family, f"what lies {_bounds(family, gap)} cannot be read")


def _bounds(family: str, gap: Gap) -> str:
    if gap.after is None and gap.before is None:
        return "in it"
    if gap.after is None:
        return f"before {name_of(family, gap.before or b'')}"
    if gap.before is None:
        return f"after {name_of(family, gap.after)}"
    return f"between {name_of(family, gap.after)} and {name_of(family, gap.before)}"
