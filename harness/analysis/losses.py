"""Agents that were lost with their process: how many, when, and what is not judged because of it.

`losses_of` reads what the driver wrote into ``run.json``. The figures of a run that lost agents are
of two runs, one with all agents and one with fewer; so whatever rests on their number is withheld:
whether the run settled, and what limited it. Durations are of the agents that were not lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.analysis.limits import Limit
from harness.analysis.steady import Steady

__all__ = [
    "LOST_BEFORE",
    "agents_lost",
    "kept_agents",
    "losses_of",
    "losses_sentence",
    "withheld_limit",
    "withheld_steady",
]

# The whole numbers and the numbers of a loss, in the order in which a summary has them.
_COUNTS = ("cohort", "first_agent", "agents", "in_flight_rows", "unrecorded_operations")
_TIMES = ("at_s", "noticed_s", "unrecorded_s")
_WORDS = ("node_id", "host", "cause")
_SHOWN_MAX = 5

LOST_BEFORE = "agents were lost before its end"
"""Why something is withheld, to follow on a colon."""


def losses_of(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The losses that ``run.json`` has, as a summary gives them; what is none is left out."""
    found = run.get("losses")
    if not isinstance(found, list):
        return []
    return [_loss(one) for one in found if isinstance(one, Mapping) and _is_loss(one)]


def agents_lost(losses: Sequence[Mapping[str, Any]]) -> int:
    """How many agents were lost."""
    return sum(loss["agents"] for loss in losses)


def kept_agents(spans: pa.Table, losses: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Take the agents that were lost out of a table with a column ``agent``."""
    if not losses:
        return spans
    agent: npt.NDArray[np.int32] = spans["agent"].to_numpy()
    kept = np.ones(agent.size, np.bool_)
    for loss in losses:
        kept &= (agent < loss["first_agent"]) | (agent >= loss["first_agent"] + loss["agents"])
    return spans.filter(pa.array(kept))


def losses_sentence(losses: Sequence[Mapping[str, Any]], agents: int | None) -> str:
    """Say who was lost, when, why and what went with them.

    Args:
        losses: at least one.
        agents: of the run; None where that is not known.
    """
    count = agents_lost(losses)
    of_all = "" if agents is None else f" of {agents:,}"
    were = "agent was" if agents is None and count == 1 else "agents were"
    if agents is not None and count == 1:
        were = "agents was"
    parts = [_in_words(loss) for loss in losses[:_SHOWN_MAX]]
    if len(losses) > _SHOWN_MAX:
        parts.append(f"{len(losses) - _SHOWN_MAX:,} more")
    rows = sum(loss["in_flight_rows"] for loss in losses)
    unrecorded = sum(loss["unrecorded_operations"] for loss in losses)
    in_flight = "1 operation was" if rows == 1 else f"{rows:,} operations were"
    return (
        f"{count:,}{of_all} {were} lost: {'; '.join(parts)}. {in_flight} in flight and "
        f"{'counts' if rows == 1 else 'count'} as unavailable{_unrecorded(losses, unrecorded)}. "
        "What rests on the number of agents is withheld."
    )


def withheld_steady() -> Steady:
    """What is said of the steady state of a run that lost agents."""
    sentence = f"Whether the run settled is not judged: {LOST_BEFORE}."
    return Steady(settled=None, warmup_s=None, sentence=sentence)


def withheld_limit() -> Limit:
    """What is said of the limit of a run that lost agents."""
    return Limit("unknown", f"What limited the run is not judged: {LOST_BEFORE}.")


def _is_loss(one: Mapping[str, Any]) -> bool:
    known = all(_is_number(one.get(name)) for name in ("cohort", "first_agent", "agents", "at_s"))
    return known and one["agents"] > 0 and one["first_agent"] >= 0


def _loss(one: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: int(one[name]) if _is_number(one.get(name)) else 0 for name in _COUNTS}
    times = {name: float(one[name]) if _is_number(one.get(name)) else None for name in _TIMES}
    words = {name: str(one.get(name, "")) for name in _WORDS}
    return {**counts, **times, **words, "expected": one.get("expected") is True}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_words(loss: Mapping[str, Any]) -> str:
    host = f" on {loss['host']}" if loss["host"] else ""
    fault = ", by a fault of the plan" if loss["expected"] else ""
    return (
        f"cohort {loss['cohort']}{host} was last heard of {loss['at_s']:,.1f} s after the start "
        f"({loss['cause']}{fault})"
    )


def _unrecorded(losses: Sequence[Mapping[str, Any]], operations: int) -> str:
    """What is known to have been done and has no row."""
    if not operations:
        return ""
    longest_s = max((loss["unrecorded_s"] or 0.0 for loss in losses), default=0.0)
    were = "1 more was" if operations == 1 else f"{operations:,} more were"
    return f"; {were} done in the last {longest_s:,.1f} s, reported, and not recorded"
