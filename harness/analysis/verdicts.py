"""The verdicts of a run: short judgements in plain words, most serious first.

A verdict is ``{name, verdict, sentence}``; ``verdict`` is one of `VERDICTS`: ``invalid`` (the
figures may not be believed), ``failed`` (something went wrong), ``warning`` (read the sentence
before the figures), ``ok``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.limits import Limit
from harness.analysis.losses import losses_sentence
from harness.analysis.steady import Steady
from harness.analysis.validity import Validity
from harness.schema import SUCCESSES

__all__ = ["VERDICTS", "Verdict", "verdicts"]

Verdict = dict[str, str]

VERDICTS = ("invalid", "failed", "warning", "ok")


def verdicts(
    believed: Validity,
    limit: Limit,
    outcomes: Mapping[str, int],
    *,
    steady: Steady,
    status: str | None,
    damaged_files: int,
    losses: Sequence[Mapping[str, Any]] = (),
    agents: int | None = None,
) -> list[Verdict]:
    """Judge a run.

    Args:
        believed: whether the load generator kept its schedule.
        limit: what limited the run.
        outcomes: how many operations had each outcome.
        steady: whether the run settled.
        status: of ``run.json``; None or ``running`` when the run has not ended.
        damaged_files: files of the run directory that could not be read whole.
        losses: cohorts that were lost (`harness.analysis.losses.losses_of`).
        agents: of the run, where known.

    Returns:
        One verdict for each of validity, completion, failures, limit, steady and damaged_files,
        and one for lost agents if there are any, the most serious first.
    """
    found = [
        _validity(believed),
        _completion(status, losses),
        *_losses(losses, agents),
        _failures(outcomes),
        _limit(limit),
        _steady(steady),
        _damage(damaged_files),
    ]
    return sorted(found, key=lambda one: VERDICTS.index(one["verdict"]))


def _verdict(name: str, verdict: str, sentence: str) -> Verdict:
    return {"name": name, "verdict": verdict, "sentence": sentence}


def _validity(believed: Validity) -> Verdict:
    if believed["reason"] is not None:
        return _verdict("validity", "invalid", believed["reason"])
    lag_ms = believed["timer_lag_p99_ms"]
    if lag_ms is None:
        return _verdict("validity", "ok", "The run is valid.")
    sentence = f"The run is valid: the load generator's timer lag had a p99 of {lag_ms:,.1f} ms."
    return _verdict("validity", "ok", sentence)


def _completion(status: str | None, losses: Sequence[Mapping[str, Any]]) -> Verdict:
    if status == "interrupted":
        sentence = "The run was interrupted: the figures are of what was measured until then."
        return _verdict("completion", "warning", sentence)
    if status == "failed" and losses:
        sentence = "The run failed: agents were lost, and it went on without them."
        return _verdict("completion", "failed", sentence)
    if status == "failed":
        sentence = "The run failed before its end: the figures are of what was measured until then."
        return _verdict("completion", "failed", sentence)
    return _verdict("completion", "ok", "Nothing cut the run short.")


def _losses(losses: Sequence[Mapping[str, Any]], agents: int | None) -> list[Verdict]:
    """Agents that a fault of the plan took are what was asked for; still, figures are withheld."""
    if not losses:
        return []
    verdict = "warning" if all(loss["expected"] for loss in losses) else "failed"
    return [_verdict("losses", verdict, losses_sentence(losses, agents))]


def _failures(outcomes: Mapping[str, int]) -> Verdict:
    failures = {name: count for name, count in outcomes.items() if count and name not in SUCCESSES}
    total, failed = sum(outcomes.values()), sum(failures.values())
    if not total:
        return _verdict("failures", "failed", "No operation was measured.")
    if not failed:
        return _verdict("failures", "ok", f"None of {total:,} operations failed.")
    parts = ", ".join(
        f"{count:,} {name}" for name, count in sorted(failures.items(), key=lambda item: -item[1])
    )
    sentence = f"{failed:,} of {total:,} operations failed ({failed / total:.2%}): {parts}."
    return _verdict("failures", "failed" if failed == total else "warning", sentence)


def _limit(limit: Limit) -> Verdict:
    verdict = "warning" if limit.kind == "load_generator" else "ok"
    return _verdict("limit", verdict, limit.sentence)


def _steady(steady: Steady) -> Verdict:
    """A run that never settled did what it was asked to: read the sentence before the figures."""
    verdict = "warning" if steady["settled"] is False else "ok"
    return _verdict("steady", verdict, steady["sentence"])


def _damage(damaged_files: int) -> Verdict:
    if not damaged_files:
        return _verdict("damaged_files", "ok", "Every file of the run could be read.")
    what = "1 file" if damaged_files == 1 else f"{damaged_files:,} files"
    sentence = f"{what} of the run could not be read whole; the figures are of the rest."
    return _verdict("damaged_files", "warning", sentence)
