"""The verdicts of ``bench resources``: what its steps say, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.verdicts import VERDICTS, Verdict

__all__ = ["resource_verdicts"]

# What is said of the rates together, below; a step's own word on it is left out.
_SAID_OF_ALL = frozenset({"limit"})
# What a step of the costs says of itself beyond these does not matter: it is short, and idle.
_OF_COST_STEPS = frozenset({"validity", "completion", "failures", "damaged_files"})
_COST = "cost-"


def resource_verdicts(
    rates: Mapping[str, Mapping[str, Any]],
    summaries: Mapping[str, Mapping[str, Any]],
    run: Mapping[str, Any],
) -> list[Verdict]:
    """Judge a benchmark, the most serious first.

    Args:
        rates: the figures of each rate, in the order in which they were offered.
        summaries: of all steps, by name.
        run: ``run.json`` of the benchmark.
    """
    found = _of_steps(summaries)
    if run.get("status") == "interrupted":
        sentence = "The benchmark was interrupted: the figures are of the steps until then."
        found["completion"] = _verdict("completion", "warning", sentence)
    if not summaries:
        sentence = "No step of the benchmark was measured."
        found["completion"] = _verdict("completion", "failed", sentence)
    if rates:
        verdicts = [_schedule(rates), _stalls(rates), *_leaks(rates), _limit(rates)]
        found |= {one["name"]: one for one in verdicts}
    return sorted(found.values(), key=lambda one: VERDICTS.index(one["verdict"]))


def _verdict(name: str, verdict: str, sentence: str) -> Verdict:
    return {"name": name, "verdict": verdict, "sentence": sentence}


def _of_steps(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Verdict]:
    """The worst that any step says of each thing, with the step's name where it is not well."""
    found: dict[str, Verdict] = {}
    for step, summary in summaries.items():
        for one in summary["verdicts"]:
            name = one["name"]
            if name in _SAID_OF_ALL or (step.startswith(_COST) and name not in _OF_COST_STEPS):
                continue
            known = found.get(name)
            if known is not None and _rank(known) <= _rank(one):
                continue
            of_one = one["verdict"] == "ok" or len(summaries) == 1
            sentence = one["sentence"] if of_one else f"Step {step}: {one['sentence']}"
            found[name] = _verdict(name, one["verdict"], sentence)
    return found


def _rank(one: Mapping[str, str]) -> int:
    return VERDICTS.index(one["verdict"])


def _schedule(rates: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """Whether what was offered was carried, and on time."""
    short = [one for one in rates.values() if one["limit"]["kind"] != "schedule"]
    dropped = [one for one in rates.values() if one["dropped_operations"]]
    worst = (short or dropped or list(rates.values()))[-1]
    operations = max(worst["operations"], 1)
    offered = _rate(worst["offered_rate_ops_per_second"])
    actual = _rate(worst["actual_rate_ops_per_second"])
    late = (
        f"{worst['late_operations'] / operations:.1%} of the operations were issued late, and "
        f"{worst['dropped_operations']:,} were dropped unsent"
    )
    if short or dropped:
        sentence = f"Of {offered} operations/s {actual} succeeded; {late}."
        return _verdict("schedule", "warning", sentence)
    sentence = f"The offered {offered} operations/s were carried ({actual}); {late}."
    return _verdict("schedule", "ok", sentence)


def _stalls(rates: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """The first rate at which the store stalls, or what the highest rate says."""
    for rate, one in rates.items():
        if one["stalls"]["stalls"]:
            return _verdict("stalls", "warning", _at(rate, one["stalls"]["sentence"], rates))
    last = list(rates.values())[-1]
    return _verdict("stalls", "ok", last["stalls"]["sentence"])


def _leaks(rates: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """One verdict on all processes: those that leak, by name."""
    judged = [(rate, leak) for rate, one in rates.items() for leak in one.get("leaks") or []]
    if not judged:
        return []
    leaking = [(rate, leak) for rate, leak in judged if leak["verdict"] == "leak"]
    if leaking:
        parts = [f"{leak['process']}: {leak['sentence']}" for _, leak in leaking[:3]]
        more = f" And {len(leaking) - 3} more." if leaking[3:] else ""
        return [_verdict("leaks", "warning", _at(leaking[0][0], " ".join(parts) + more, rates))]
    unsure = [leak for _, leak in judged if leak["verdict"] != "no leak"]
    if unsure:
        names = ", ".join(dict.fromkeys(leak["process"] for leak in unsure[:3]))
        sentence = f"Whether {names} leaks cannot be told. {unsure[0]['sentence']}"
        return [_verdict("leaks", "warning", sentence)]
    processes = len({leak["process"] for _, leak in judged})
    return [_verdict("leaks", "ok", f"No leak in the memory of any of {processes} processes.")]


def _limit(rates: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """What limited the highest rate, and what would be next."""
    highest = max(rates.values(), key=lambda one: one["offered_rate_ops_per_second"] or 0.0)
    sentence = f"{highest['limit']['sentence']} {highest['nearest']['sentence']}"
    kind = highest["limit"]["kind"]
    return _verdict("limit", "warning" if kind == "load_generator" else "ok", sentence)


def _at(rate: str, sentence: str, rates: Sequence[str] | Mapping[str, Any]) -> str:
    return sentence if len(rates) == 1 else f"At {rate} operations/s: {sentence}"


def _rate(rate_ops_s: float | None) -> str:
    return "an unknown number of" if rate_ops_s is None else f"{rate_ops_s:,.4g}"
