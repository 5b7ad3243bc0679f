"""Faults that a plan asks for: their grammar, and the checks that need no run. Pure.

    at TIME [for TIME] (kill | stall) WHAT

WHAT is ``shard N``, ``cohort N``, ``node of shard N``, ``node of cohort N`` or ``sampler of node
of shard N``; TIME is a number with ``s`` or ``ms`` right after it (``20s``, ``1.5s``, ``500ms``)
and counts from the opening of the start barrier. ``for`` is how long a stall lasts: a stall has
one, a kill has none. `harness.fault_injection` carries them out.

Invariant: `parse_fault` gives a fault, or raises a UsageError of ``--fault`` in one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError, quoted

__all__ = [
    "FAULTS_MAX",
    "FORM",
    "OPTION",
    "Fault",
    "check_local",
    "check_numbers",
    "check_places",
    "parse_fault",
    "parse_faults",
]

OPTION = "--fault"
FORM = "'at 20s kill shard 1' or 'at 10s for 5s stall node of shard 0'"
FAULTS_MAX = 1_000
_MAX_TIME_S = 366 * 86_400
# The words of each WHAT before its number, and which processes and whose they are.
_WHATS: dict[tuple[str, ...], tuple[str, str]] = {
    ("shard",): ("process", "shard"),
    ("cohort",): ("process", "cohort"),
    ("node", "of", "shard"): ("node", "shard"),
    ("node", "of", "cohort"): ("node", "cohort"),
    ("sampler", "of", "node", "of", "shard"): ("sampler", "shard"),
}

Action = Literal["kill", "stall"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of a plan.

    Attributes:
        text: as it was asked for, with single blanks and in small letters.
        at_s: when, from the opening of the start barrier.
        for_s: how long a stall lasts; None of a kill.
        action: ``kill`` or ``stall``.
        what: ``process`` (the shard's or the cohort's), ``node``, or ``sampler`` (of the node).
        of: ``shard`` or ``cohort``, whose process or node is meant.
        number: of that shard or cohort.
    """

    text: str
    at_s: float
    for_s: float | None
    action: Action
    what: str
    of: str
    number: int

    @property
    def end_s(self) -> float:
        """When it is over: a kill at once, a stall after its time."""
        return self.at_s + (self.for_s or 0.0)


def parse_fault(text: object) -> Fault:
    """The fault that a text asks for.

    Raises:
        UsageError: the text asks for none.
    """
    if not isinstance(text, str):
        raise UsageError(OPTION, f"must be text like {FORM}, not {quoted(text)}")
    words = text.lower().split()
    shown = quoted(" ".join(words))
    if len(words) < 2 or words[0] != "at":
        raise UsageError(OPTION, f"{shown} must begin with its time: {FORM}")
    at_s, rest = _time_s(words[1], shown), words[2:]
    for_s = None
    if rest[:1] == ["for"]:
        if len(rest) < 2:
            raise UsageError(OPTION, f"{shown} lacks the time after 'for': {FORM}")
        for_s, rest = _time_s(rest[1], shown), rest[2:]
    if not rest or rest[0] not in {"kill", "stall"}:
        raise UsageError(OPTION, f"{shown} must say kill or stall after its time: {FORM}")
    action: Action = "kill" if rest[0] == "kill" else "stall"
    if action == "stall" and not for_s:
        raise UsageError(
            OPTION, f"{shown} lacks how long: a stall is 'at 10s for 5s stall shard 0'"
        )
    if action == "kill" and for_s is not None:
        raise UsageError(OPTION, f"{shown} has a 'for', which a kill has not: leave it out")
    what, of, number = _what(rest[1:], shown)
    return Fault(
        text=" ".join(words),
        at_s=at_s,
        for_s=for_s,
        action=action,
        what=what,
        of=of,
        number=number,
    )


def parse_faults(
    value: object, *, shards: int | None = None, ends_s: float | None = None
) -> tuple[Fault, ...]:
    """The faults of a plan, in the order of their times.

    Args:
        value: one text, or a sequence of texts.
        shards: how many the plan has; None when that is not known yet.
        ends_s: when the run is over, from the opening of the barrier; None when that is not known.

    Raises:
        UsageError: one is malformed, names a shard that is not there, or comes too late.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence):
        raise UsageError(OPTION, f"must be a list of texts like {FORM}, not {quoted(value)}")
    if len(texts) > FAULTS_MAX:
        raise UsageError(OPTION, f"may be given {FAULTS_MAX:,} times, not {len(texts):,}")
    faults = sorted((parse_fault(text) for text in texts), key=lambda fault: fault.at_s)
    for fault in faults:
        if ends_s is not None and fault.at_s >= ends_s:
            raise UsageError(
                OPTION,
                f"{quoted(fault.text)} comes too late: the run is over after {ends_s:g} s; give "
                "it an earlier time, or the run a longer --duration",
            )
    if shards is not None:
        check_numbers(faults, {"shard": shards})
    return tuple(faults)


def check_numbers(faults: Sequence[Fault], counts: Mapping[str, int]) -> None:
    """Refuse a fault of a shard, or a cohort, that a run does not have.

    Args:
        faults: of the plan.
        counts: how many there are of a kind (``shard``, ``cohort``); one that is left out is not
            known and not checked.

    Raises:
        UsageError: a number is none of theirs.
    """
    for fault in faults:
        count = counts.get(fault.of)
        if count is None or fault.number < count:
            continue
        shown = quoted(fault.text)
        if not count:
            raise UsageError(OPTION, f"{shown}: this run has no {fault.of}; name another process")
        there = f"{fault.of} 0 is the only one" if count == 1 else f"they are 0 to {count - 1}"
        raise UsageError(OPTION, f"{shown}: there is no {fault.of} {fault.number}; {there}")


def check_places(
    faults: Sequence[Fault], shards: Sequence[str], cohorts: Sequence[str], driver_node_id: str
) -> None:
    """Refuse a fault that hits nothing there is, or the driver's own node.

    Args:
        faults: of the plan.
        shards: the node of each shard.
        cohorts: the node of each cohort.
        driver_node_id: the node that is never taken down.

    Raises:
        UsageError: there is one.
    """
    check_numbers(faults, {"shard": len(shards), "cohort": len(cohorts)})
    for fault in faults:
        nodes = shards if fault.of == "shard" else cohorts
        if fault.what == "node" and nodes[fault.number] == driver_node_id:
            raise UsageError(
                OPTION,
                f"{quoted(fault.text)}: {fault.of} {fault.number} is on the driver's own node, "
                "which is never taken down; name one on another node, or the process itself",
            )


def check_local(faults: Sequence[Fault]) -> None:
    """Refuse a fault of a node where all of a run is on the driver's own node.

    Raises:
        UsageError: there is one.
    """
    for fault in faults:
        if fault.what == "node":
            raise UsageError(
                OPTION,
                f"{quoted(fault.text)}: a run on this machine alone is on the driver's own node, "
                "which is never taken down; name a shard or a cohort, or a cluster with --address",
            )


def _what(words: list[str], shown: str) -> tuple[str, str, int]:
    *names, last = words or [""]
    found = _WHATS.get(tuple(names))
    if found is None:
        known = ", ".join(" ".join(one) + " N" for one in _WHATS)
        raise UsageError(OPTION, f"{shown} must name what it hits: {known}")
    if not (last.isascii() and last.isdigit() and len(last) <= 9):
        raise UsageError(OPTION, f"{shown} must end with a number: {' '.join(names)} 0")
    return *found, int(last)


def _time_s(word: str, shown: str) -> float:
    for unit, seconds in (("ms", 1e-3), ("s", 1.0)):
        if word.endswith(unit):
            digits = word.removesuffix(unit)
            if digits.replace(".", "", 1).isdigit() and digits.isascii():
                time_s = float(digits) * seconds
                if math.isfinite(time_s) and time_s <= _MAX_TIME_S:
                    return time_s
            break
    raise UsageError(
        OPTION,
        f"{shown}: {quoted(word)} is no time of a run; give one like 20s, 1.5s or 500ms",
    )
