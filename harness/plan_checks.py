"""What is checked of a plan: each field by itself, and then the fields against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, quoted
from harness.faults import check_local, parse_faults

if TYPE_CHECKING:
    from harness.plan import RunPlan

__all__ = [
    "ARRIVALS",
    "DEFAULT_ROUNDS",
    "DURABILITIES",
    "MAX_AGENTS",
    "MAX_RATE_OPS_S",
    "MAX_TIME_S",
    "MIN_RATE_OPS_S",
    "WORKLOADS",
    "check_faults",
    "check_ranges",
    "check_together",
    "check_types",
    "option_name",
    "parse_mix",
]

WORKLOADS = ("standard",)
ARRIVALS = ("constant", "poisson")
DURABILITIES = ("fsync", "os")
DEFAULT_ROUNDS = 20
MAX_AGENTS = 10_000_000
MAX_ROUNDS = 1_000_000_000
MAX_PRELOAD = 1_000_000_000
MAX_TIME_S = 366 * 86_400
MIN_RATE_OPS_S, MAX_RATE_OPS_S = 1e-6, 1e9
MAX_WEIGHT = 1_000_000

# Fields whose option has no unit in its name: ``--duration`` is ``duration_s``.
_OPTION_OF = {
    "duration_s": "duration",
    "warmup_s": "warmup",
    "think_time_s": "think-time",
    "ramp_s": "ramp",
    "sample_interval_s": "sample-interval",
    "deadline_s": "deadline",
    "memory_limit_bytes": "memory-limit",
    "faults": "fault",
    "backup_interval_s": "backup-interval",
}


def option_name(field: str) -> str:
    """The option that sets a field of the plan (``duration_s``: ``--duration``)."""
    return "--" + _OPTION_OF.get(field, field.replace("_", "-"))


_INTEGERS = (
    "agents",
    "preload",
    "rounds",
    "seed",
    "shards",
    "shards_per_node",
    "agents_per_task",
    "dimension",
    "memory_limit_bytes",
)
_NUMBERS = (
    "duration_s",
    "warmup_s",
    "think_time_s",
    "ramp_s",
    "rate",
    "sample_interval_s",
    "deadline_s",
    "backup_interval_s",
)
_FLAGS = ("pipelining", "keep_data", "record", "whole_rounds", "audit")
_OPTIONAL = frozenset(
    {
        *("agents", "rounds", "duration_s", "mix", "rate", "trace", "shards"),
        *("shards_per_node", "agents_per_task", "data_dir", "memory_limit_bytes"),
        *("backup", "backup_interval_s"),
    }
)


def check_types(plan: RunPlan) -> None:
    """Check the type of each field; what is text for a mix or faults becomes what it says."""
    for field in fields(plan):
        value = getattr(plan, field.name)
        if value is None and field.name in _OPTIONAL:
            continue
        if field.name in _INTEGERS:
            right = isinstance(value, int) and not isinstance(value, bool)
            kind = "a whole number"
        elif field.name in _NUMBERS:
            right = isinstance(value, int | float) and not isinstance(value, bool)
            right = right and _is_finite(value)
            kind = "a finite number"
        elif field.name in _FLAGS:
            right, kind = isinstance(value, bool), "true or false"
        elif field.name == "mix":
            object.__setattr__(plan, "mix", parse_mix(value))
            continue
        elif field.name == "faults":
            texts = tuple(fault.text for fault in parse_faults(value))
            object.__setattr__(plan, "faults", texts)
            continue
        else:
            right, kind = isinstance(value, str) and bool(value), "text"
        if not right:
            raise UsageError(option_name(field.name), f"must be {kind}, not {quoted(value)}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


_MOST = {
    "agents": MAX_AGENTS,
    "agents_per_task": MAX_AGENTS,
    "rounds": MAX_ROUNDS,
    "preload": MAX_PRELOAD,
    "dimension": 65_536,
    "shards": 10_000,
    "shards_per_node": 10_000,
    "memory_limit_bytes": 2**50,
    "rate": MAX_RATE_OPS_S,
    **dict.fromkeys(("duration_s", "warmup_s", "think_time_s", "ramp_s"), MAX_TIME_S),
    **dict.fromkeys(("sample_interval_s", "deadline_s", "backup_interval_s"), MAX_TIME_S),
}


def check_ranges(plan: RunPlan) -> None:
    """Check the range of each field."""
    positive: tuple[str, ...] = ("agents", "rounds", "duration_s", "rate", "shards")
    positive += ("shards_per_node", "agents_per_task", "dimension", "memory_limit_bytes")
    for name in (*positive, "sample_interval_s", "deadline_s", "backup_interval_s"):
        value = getattr(plan, name)
        if value is not None and value <= 0:
            raise UsageError(option_name(name), f"must be above 0, not {quoted(value)}")
    for name in ("preload", "warmup_s", "think_time_s", "ramp_s"):
        if getattr(plan, name) < 0:
            raise UsageError(option_name(name), f"must be 0 or more, not {getattr(plan, name)}")
    for name, most in _MOST.items():
        value = getattr(plan, name)
        if value is not None and value > most:
            raise UsageError(option_name(name), f"must be at most {most:,}, not {quoted(value)}")
    if plan.rate is not None and plan.rate < MIN_RATE_OPS_S:
        raise UsageError("--rate", f"must be at least {MIN_RATE_OPS_S}, not {plan.rate}")
    if not 0 <= plan.seed < 2**63:
        raise UsageError("--seed", f"must be from 0 to 2**63 - 1, not {quoted(plan.seed)}")
    if plan.sample_interval_s < 0.02:
        raise UsageError("--sample-interval", "must be at least 0.02 s")
    for name, choices in (
        ("workload", WORKLOADS),
        ("arrival", ARRIVALS),
        ("durability", DURABILITIES),
    ):
        if getattr(plan, name) not in choices:
            raise UsageError(
                option_name(name),
                f"{quoted(getattr(plan, name))} is unknown; choose {' or '.join(choices)}",
            )


def check_together(plan: RunPlan) -> None:
    """Check that no two fields contradict each other."""
    if plan.rounds is not None and plan.duration_s is not None:
        raise UsageError("--duration", "contradicts --rounds: give one of the two")
    if plan.shards is not None and plan.shards_per_node is not None:
        raise UsageError(
            "--shards-per-node",
            "contradicts --shards: give the number of all shards, or that of each node",
        )
    if plan.whole_rounds and (plan.duration_s is None or plan.rate is not None):
        raise UsageError(
            "--whole-rounds", "is of the closed loop for a time: give --duration, and no --rate"
        )
    if plan.rate is not None and plan.think_time_s:
        raise UsageError(
            "--think-time", "contradicts --rate: the open loop's schedule sets the pauses"
        )
    if plan.rate is None and plan.arrival != "constant":
        raise UsageError("--arrival", "is of the open loop; give --rate too")
    if plan.rate is not None and not plan.record:
        raise UsageError(
            "--record",
            "off contradicts --rate: whether the schedule was kept is known from what is recorded",
        )
    if plan.backup_interval_s is not None and plan.backup is None:
        raise UsageError("--backup-interval", "needs --backup, which says where backups go")
    if plan.preload and plan.trace is not None:
        raise UsageError("--preload", "contradicts --trace: a trace has its own states")
    if plan.mix is not None and plan.trace is not None:
        raise UsageError("--mix", "contradicts --trace: a trace is replayed in its own order")
    if plan.duration_s is not None and plan.ramp_s > plan.duration_s + plan.warmup_s:
        raise UsageError("--ramp", "is longer than the run; the last agents would never start")


def check_faults(plan: RunPlan) -> None:
    """Check the faults, and what needs rows, against the rest of the plan."""
    if plan.audit and not plan.record:
        raise UsageError(
            "--audit", "contradicts --record off: what was acknowledged is known from the rows"
        )
    if plan.faults and not plan.record:
        raise UsageError(
            "--fault", "contradicts --record off: what a fault did is known from what is recorded"
        )
    ends_s = None if plan.duration_s is None else plan.warmup_s + plan.duration_s
    faults = parse_faults(plan.faults, shards=plan.shards, ends_s=ends_s)
    if plan.address == "local":
        check_local(faults)


def parse_mix(value: object) -> dict[str, float]:
    """Weights by operation from ``store=1,retrieve=8,search=1`` or a mapping.

    Raises:
        UsageError: an unknown operation, a weight that is none, or all zero.
    """
    names = ("store", "retrieve", "search")
    weights: dict[str, float] = {}
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, str):
        for part in value.split(","):
            name, mark, weight = part.partition("=")
            if not mark:
                raise UsageError("--mix", f"{part!r} is not of the form store=1")
            pairs.append((name.strip(), weight.strip()))
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        raise UsageError("--mix", f"must be like store=1,retrieve=8,search=1, not {quoted(value)}")
    for name, weight in pairs:
        if name not in names:
            raise UsageError("--mix", f"{quoted(name)} is no operation; choose {', '.join(names)}")
        if name in weights:
            raise UsageError("--mix", f"names {name} twice")
        try:
            weights[name] = math.nan if isinstance(weight, bool) else float(weight)
        except (TypeError, ValueError, OverflowError):
            raise UsageError("--mix", f"{quoted(weight)} is no weight of {name}") from None
        if not 0 <= weights[name] <= MAX_WEIGHT:
            raise UsageError(
                "--mix", f"the weight of {name} must be from 0 to {MAX_WEIGHT:,}, not {weight}"
            )
    if not any(weights.values()):
        raise UsageError("--mix", "all weights are 0; give one above it")
    return {name: weights.get(name, 0.0) for name in names}
