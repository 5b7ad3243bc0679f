"""The verdicts of the benchmark of agents: what to know before its figures, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from harness.analysis.verdicts import VERDICTS, Verdict

__all__ = ["FEWEST_REPEATS", "agent_verdicts", "busy_with_others"]

# With fewer nothing is known of how much a figure differs from repeat to repeat.
FEWEST_REPEATS = 3
# Other programs that take less than this of the machine are not worth a word.
OTHERS_RATIO = 0.2


def agent_verdicts(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Verdict]:
    """Judge a benchmark of agents, the most serious first.

    Args:
        run: ``run.json`` of its directory.
        summary: with ``counts``, ``threads`` and ``scaling``.
    """
    found = [
        _completion(run, summary),
        _failures(summary),
        *_no_rounds(summary),
        *_repeats(summary),
        *_unsettled(summary),
        *_load_generator(summary),
        *busy_with_others([one for _, figures in _groups(summary) for one in figures["repeats"]]),
        *_threads(summary),
    ]
    if summary["counts"]:
        found.append(_verdict("scaling", "ok", summary["scaling"]["sentence"]))
    return sorted(found, key=lambda one: VERDICTS.index(one["verdict"]))


def _verdict(name: str, verdict: str, sentence: str) -> Verdict:
    return {"name": name, "verdict": verdict, "sentence": sentence}


def _groups(summary: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each count and its figures: ``500 agents``, ``500 threads``."""
    for key, one, several in (("counts", "agent", "agents"), ("threads", "thread", "threads")):
        for count, figures in summary.get(key, {}).items():
            yield f"{int(count):,} {one if count == '1' else several}", figures


def _completion(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Verdict:
    repeats = [one for _, figures in _groups(summary) for one in figures["repeats"]]
    done = sum(one["status"] == "complete" for one in repeats)
    if not repeats:
        return _verdict("completion", "failed", "No step of the benchmark was measured.")
    planned = _planned(run)
    steps = f"{done:,} of {planned:,} steps were measured to their end"
    status = run.get("status")
    if status == "interrupted":
        sentence = f"The benchmark was interrupted: {steps}, and the figures are of these."
        return _verdict("completion", "warning", sentence)
    if status == "failed" or done < planned:
        problems = [one for one in run.get("problems", []) if isinstance(one, str)]
        first = f" ({problems[0].rstrip('.')})" if problems else ""
        return _verdict("completion", "failed", f"The benchmark failed in part: {steps}{first}.")
    steps = "The step was" if planned == 1 else f"All {planned:,} steps were"
    return _verdict("completion", "ok", f"{steps} measured to the end.")


def _planned(run: Mapping[str, Any]) -> int:
    settings, begun = run.get("bench"), run.get("steps", [])
    planned = settings.get("steps") if isinstance(settings, Mapping) else None
    return planned if isinstance(planned, int) else len(begun)


def _failures(summary: Mapping[str, Any]) -> Verdict:
    total = failed = 0
    where = []
    for name, figures in _groups(summary):
        mine = sum(one["failed"] for one in figures["repeats"])
        total += sum(one["operations"] for one in figures["repeats"])
        failed += mine
        if mine:
            where.append(f"{mine:,} with {name}")
    if not failed:
        return _verdict("failures", "ok", f"None of {total:,} operations failed.")
    sentence = f"{failed:,} of {total:,} operations failed: {', '.join(where)}."
    return _verdict("failures", "failed" if failed == total else "warning", sentence)


def _no_rounds(summary: Mapping[str, Any]) -> Iterator[Verdict]:
    without = [name for name, figures in _groups(summary) if not _has_rounds(figures)]
    if without:
        sentence = (
            f"Not every agent finished a round with {_listed(without)}, so there are no durations."
        )
        yield _verdict("rounds", "warning", sentence)


def _has_rounds(figures: Mapping[str, Any]) -> bool:
    return figures["total_duration_seconds"] is not None


def _repeats(summary: Mapping[str, Any]) -> Iterator[Verdict]:
    fewest = min((len(figures["repeats"]) for _, figures in _groups(summary)), default=0)
    if 0 < fewest < FEWEST_REPEATS:
        times = "once" if fewest == 1 else "twice"
        sentence = (
            f"Some counts were measured {times} only, so how much the figures vary from run to "
            f"run is not known; --repeats {FEWEST_REPEATS} tells."
        )
        yield _verdict("repeats", "warning", sentence)


def _unsettled(summary: Mapping[str, Any]) -> Iterator[Verdict]:
    """Counts of which half of the repeats or more never settled: one alone may be a hiccup."""
    names = []
    for name, figures in _groups(summary):
        settled = [one["settled"] for one in figures["repeats"]]
        if 2 * settled.count(False) >= len(settled):
            names.append(name)
    if names:
        sentence = (
            f"With {_listed(names)} the store had not settled within a step, so these figures are "
            "averages over a change; a longer --step-duration tells more."
        )
        yield _verdict("steady", "warning", sentence)


def _load_generator(summary: Mapping[str, Any]) -> Iterator[Verdict]:
    limited = [
        name for name, figures in _groups(summary) if figures["limit"]["kind"] == "load_generator"
    ]
    if limited:
        sentence = (
            f"With {_listed(limited)} the load generator, not the store, was the limit: the store "
            "may carry more than these figures."
        )
        yield _verdict("load_generator", "warning", sentence)


def busy_with_others(repeats: Sequence[Mapping[str, Any]]) -> Iterator[Verdict]:
    """Whether other programs took a part of the machine that is worth a word."""
    known = [one for one in repeats if one["other_cores"] is not None and one["cpu_count"]]
    if not known:
        return
    usual = median(one["other_cores"] for one in known)
    cores = known[0]["cpu_count"]
    if usual >= OTHERS_RATIO * cores:
        sentence = (
            f"Other programs used {usual:.2f} of the machine's {cores} cores meanwhile, which "
            "agents and store did not have: repeat this on a quiet machine."
        )
        yield _verdict("other_programs", "warning", sentence)


def _threads(summary: Mapping[str, Any]) -> Iterator[Verdict]:
    counts, threads = summary["counts"], summary.get("threads", {})
    both = [count for count in counts if count in threads]
    if not both:
        return
    largest = max(both, key=int)
    agents_ops_s = counts[largest]["operations_per_second"] or 0.0
    threads_ops_s = threads[largest]["operations_per_second"] or 0.0
    if not agents_ops_s or not threads_ops_s:
        return
    ratio = agents_ops_s / threads_ops_s
    compared = f"{ratio:,.1f} times as many" if ratio >= 1 else f"{ratio:.0%} of that"
    sentence = (
        f"{int(largest):,} agents as threads of one process, under one interpreter's lock, reached "
        f"{threads_ops_s:,.0f} operations/s; as agents of the benchmark they reached "
        f"{agents_ops_s:,.0f}, {compared}."
    )
    yield _verdict("threads", "ok", sentence)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
