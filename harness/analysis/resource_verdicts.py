"""The verdicts of ``bench resources``: what its steps say, and what they say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.analysis.headroom import MACHINE_CPU
from harness.analysis.limits import MACHINE_BUSY_RATIO
from harness.analysis.verdicts import VERDICTS, Verdict

__all__ = ["resource_verdicts"]

# What is said of the rates together, below; a step's own word on it is left out.
_SAID_OF_ALL = frozenset({"limit"})
# What a step of the costs says of itself beyond these does not matter: it is short, and idle.
_OF_COST_STEPS = frozenset({"validity", "completion", "failures", "damaged_files"})
_COST = "cost-"
# Response times count from when operations were due, so that a few late ones do no harm.
LATE_RATIO_MAX = 0.05


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
        verdicts = [_schedule(rates), _stalls(rates), _leaks(rates), _limit(rates)]
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
    if len(summaries) > 1:
        for name, say in _IN_ALL_STEPS.items():
            if name in found and found[name]["verdict"] == "ok":
                found[name]["sentence"] = say(summaries) or found[name]["sentence"]
        if found.get("failures", {}).get("verdict") not in {None, "ok"}:
            found["failures"]["sentence"] += _failed_in_all(summaries)
    return found


def _failed_in_all(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """What to add to the word of one step, where operations failed in others too."""
    failed = [one["failed"] for one in summaries.values()]
    operations = sum(one["operations"] for one in summaries.values())
    if sum(count > 0 for count in failed) < 2:
        return ""
    return (
        f" In all {len(summaries)} steps {sum(failed):,} of {operations:,} operations failed "
        f"({sum(failed) / operations:.2%})."
    )


def _none_failed(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    operations = sum(one["operations"] for one in summaries.values())
    return f"None of {operations:,} operations of {len(summaries)} steps failed."


def _all_valid(summaries: Mapping[str, Mapping[str, Any]]) -> str | None:
    """With the worst lag of any step, if one was measured."""
    lags_ms = {step: one["schedule"]["timer_lag_p99_ms"] for step, one in summaries.items()}
    known = {step: lag_ms for step, lag_ms in lags_ms.items() if lag_ms is not None}
    if not known:
        return None
    worst = max(known, key=lambda step: known[step])
    return (
        f"All {len(summaries)} steps are valid: the load generator's timer lag had a p99 of at "
        f"most {known[worst]:,.1f} ms (step {worst})."
    )


def _latest_settled(summaries: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Of the rates: the first that was too short to tell, or the one that took longest."""
    rates = {
        step: one["steady"]
        for step, one in summaries.items()
        if one.get("steady") and not step.startswith(_COST)
    }
    if len(rates) < 2:
        return None
    untold = [step for step, steady in rates.items() if steady["settled"] is None]
    slowest = max(rates, key=lambda step: rates[step]["warmup_s"] or 0.0)
    step = untold[0] if untold else slowest
    return f"Step {step}: {rates[step]['sentence']}"


# What is said where each step is well, of all of them; None leaves the word of one.
_IN_ALL_STEPS: Mapping[str, Callable[[Mapping[str, Mapping[str, Any]]], str | None]] = {
    "failures": _none_failed,
    "validity": _all_valid,
    "steady": _latest_settled,
}


def _rank(one: Mapping[str, str]) -> int:
    return VERDICTS.index(one["verdict"])


def _schedule(rates: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """Whether what was offered was carried, and on time: of the first rate where it was not."""
    short = [one for one in rates.values() if not _is_carried(one)]
    late = [one for one in rates.values() if _late_ratio(one) > LATE_RATIO_MAX]
    worst = (short or late or list(rates.values())[-1:])[0]
    offered = _rate(worst["offered_rate_ops_per_second"])
    actual = _rate(worst["actual_rate_ops_per_second"])
    lateness = (
        f"{_late_ratio(worst):.1%} of the operations were issued late, and "
        f"{worst['dropped_operations']:,} were dropped unsent"
    )
    if short:
        sentence = f"Of {offered} operations/s {actual} succeeded; {lateness}."
        return _verdict("schedule", "warning", sentence)
    sentence = f"The offered {offered} operations/s were carried ({actual}); {lateness}."
    return _verdict("schedule", "warning" if late else "ok", sentence)


def _is_carried(one: Mapping[str, Any]) -> bool:
    return one["limit"]["kind"] == "schedule" and not one["dropped_operations"]


def _late_ratio(one: Mapping[str, Any]) -> float:
    return float(one["late_operations"] / max(one["operations"], 1))


def _stalls(rates: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """The first rate at which the store stalls, or what the last rate says."""
    for rate, one in rates.items():
        if one["stalls"]["stalls"]:
            sentence = f"{one['stalls']['sentence']}{_busy_machine(one)}"
            return _verdict("stalls", "warning", _at(rate, sentence, rates))
    rate, last = list(rates.items())[-1]
    return _verdict("stalls", "ok", _at(rate, last["stalls"]["sentence"], rates))


def _busy_machine(one: Mapping[str, Any]) -> str:
    """What else than the store may have held its answers up."""
    used = {use["resource"]: use["used_ratio"] for use in one["nearest"]["uses"]}
    busy_ratio = used.get(MACHINE_CPU, 0.0)
    if busy_ratio < MACHINE_BUSY_RATIO:
        return ""
    return (
        f" The machine was {busy_ratio:.0%} busy meanwhile, so it may be that the store had no "
        f"core to answer on."
    )


def _leaks(rates: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """The first rate at which a process leaks, or what is known of most processes."""
    for rate, one in rates.items():
        leaking = [leak for leak in one["leaks"] if leak["verdict"] == "leak"]
        if leaking:
            words = leaking[0]["sentence"].removeprefix("Leak: ")
            more = f" {len(leaking) - 1} more leak." if leaking[1:] else ""
            sentence = f"{leaking[0]['process']} leaks: {words}{more}"
            return _verdict("leaks", "warning", _at(rate, sentence, rates))
    told = min((one["leaks"] for one in rates.values()), key=lambda leaks: len(_unclear(leaks)))
    unclear = _unclear(told)
    if not told:
        sentence = "Whether anything leaks cannot be told: no process was sampled."
        return _verdict("leaks", "warning", sentence)
    if len(unclear) == len(told):
        words = unclear[0]["sentence"].removeprefix("Too little data: ")
        sentence = (
            f"Whether anything leaks cannot be told: there is too little data for any of "
            f"{len(told)} processes; {unclear[0]['process']}: {words}"
        )
        return _verdict("leaks", "warning", sentence)
    if not unclear:
        sentence = f"No leak in the memory of any of {len(told)} processes."
    else:
        words = unclear[0]["sentence"].removeprefix("Too little data: ")
        sentence = (
            f"No leak was found, but for {len(unclear)} of {len(told)} processes there is too "
            f"little data; {unclear[0]['process']}: {words}"
        )
    return _verdict("leaks", "ok", sentence)


def _unclear(leaks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [leak for leak in leaks if leak["verdict"] not in {"leak", "no leak"}]


def _limit(rates: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """What limited the highest rate, and what would be next."""
    highest = max(rates.values(), key=lambda one: one["offered_rate_ops_per_second"] or 0.0)
    sentence = f"{highest['limit']['sentence']} {highest['nearest']['sentence']}"
    kind = highest["limit"]["kind"]
    return _verdict("limit", "warning" if kind == "load_generator" else "ok", sentence)


def _at(rate: str, sentence: str, rates: Sequence[str] | Mapping[str, Any]) -> str:
    return sentence if len(rates) == 1 else f"At {rate} operations/s: {sentence}"


def _rate(rate_ops_s: float | None) -> str:
    if rate_ops_s is None:
        return "an unknown number of"
    return f"{rate_ops_s:,.0f}" if rate_ops_s >= 999.5 else f"{rate_ops_s:.4g}"
