"""The summary of the benchmark of agents, from the files of its bench directory alone.

Efficiency is what was reached of the ideal, in which n times the agents do n times the
operations of the smallest count measured. The scalability law is fitted to every repeat
(`harness.analysis.usl`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.analysis.agent_steps import SCALARS, Repeat, count_figures, read_repeat, usable
from harness.analysis.agent_verdicts import agent_verdicts
from harness.analysis.bootstrap import bootstrap_interval
from harness.analysis.usl import fit_usl
from harness.analysis.usl_report import usl_sentence, usl_summary, why_no_usl
from harness.benchmarks.bench_directory import STEPS_FOLDER, BenchReader, open_bench
from harness.schema import SCHEMA_VERSION

__all__ = ["KINDS", "STEP_NAME", "agents_template", "step_name", "summarise_agents"]

# What drives the store in a step: the plan's target, or threads of one process beside it.
KINDS = ("agents", "threads")
STEP_NAME = re.compile(rf"({'|'.join(KINDS)})-([1-9][0-9]*)-([1-9][0-9]*)")
# The figures of a fitted law, none of them known.
_LAW = {
    **dict.fromkeys(
        ("lambda", "sigma", "kappa", "peak_agents", "peak_ops_s"),
        dict.fromkeys(("estimate", "low", "high")),
    ),
    **dict.fromkeys(("r_squared", "misfit_ratio")),
}

_UNKNOWN = {"settled": None, "warmup_s": None}
_ByCount = dict[int, list[Repeat]]


def step_name(kind: str, agents: int, repeat: int) -> str:
    """Name a step (``agents-500-1``); repeats count from 1."""
    return f"{kind}-{agents}-{repeat}"


def summarise_agents(path: Path) -> dict[str, Any]:
    """Sum up a bench directory of agents; steps that never began to measure are left out.

    Raises:
        RunDirectoryError: it is no bench directory, or cannot be read.
    """
    bench = open_bench(path)
    found = _repeats(bench)
    summary: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "bench": "agents",
        "duration_s": bench.run.get("duration_s"),
    }
    counts = _counts(found["agents"])
    summary["counts"] = counts
    if found["threads"]:
        summary["threads"] = _counts(found["threads"])
    summary["scaling"] = _scaling(found["agents"], counts)
    summary["verdicts"] = agent_verdicts(bench.run, summary)
    return summary


def agents_template(
    run: Mapping[str, Any], counts: Sequence[int], *, threads: bool
) -> dict[str, Any]:
    """Give a summary with every path that one of these counts has, and no figure.

    Args:
        run: the summary of a run without a row.
        counts: of agents.
        threads: the baseline is there too.
    """
    nothing = Repeat(
        step="", status="", rounds=0, scalars=dict.fromkeys(SCALARS), summary=run, steady=_UNKNOWN
    )
    figures = count_figures([nothing]) | {"efficiency": None}
    sections = KINDS if threads else KINDS[:1]
    return {"duration_s": None, "scaling": {"usl": _LAW}} | {
        "counts" if kind == "agents" else kind: {str(count): figures for count in counts}
        for kind in sections
    }


def _repeats(bench: BenchReader) -> dict[str, _ByCount]:
    found: dict[str, _ByCount] = {kind: {} for kind in KINDS}
    for name in bench.step_names():
        known = STEP_NAME.fullmatch(name)
        if known is not None:
            kind, agents = known[1], int(known[2])
            repeat = read_repeat(f"{STEPS_FOLDER}/{name}", bench.step(name))
            found[kind].setdefault(agents, []).append(repeat)
    return found


def _counts(found: _ByCount) -> dict[str, Any]:
    """Figures by count, from the smallest to the largest."""
    measured = {agents: found[agents] for agents in sorted(found) if usable(found[agents])}
    counts = {str(agents): count_figures(repeats) for agents, repeats in measured.items()}
    if not counts:
        return counts
    smallest = min(measured)
    of_one = (counts[str(smallest)]["operations_per_second"] or 0.0) / smallest
    for agents in measured:
        figures = counts[str(agents)]
        ideal = of_one * agents
        figures["efficiency"] = figures["operations_per_second"] / ideal if ideal else None
    return counts


def _scaling(found: _ByCount, counts: Mapping[str, Any]) -> dict[str, Any]:
    """How throughput grows with agents: measured, ideal, and the law that fits it."""
    points = []
    agents: list[int] = []
    ops_s: list[float] = []
    for name, figures in counts.items():
        ops, efficiency = figures["operations_per_second"], figures["efficiency"]
        rates = [one.ops_s for one in usable(found[int(name)])]
        agents += [int(name)] * len(rates)
        ops_s += rates
        points.append(
            {
                "agents": int(name),
                "ops_s": bootstrap_interval(rates, np.median),
                "ideal_ops_s": ops / efficiency if efficiency else None,
                "efficiency": efficiency,
            }
        )
    law = fit_usl(agents, ops_s)
    why = usl_sentence(law) if law is not None else why_no_usl(agents, ops_s)
    return {
        "points": points,
        "usl": None if law is None else usl_summary(law),
        "sentence": " ".join(part for part in (_growth(points), why) if part),
    }


def _growth(points: Sequence[Mapping[str, Any]]) -> str:
    """How far throughput grew from the smallest count to the best, and to the largest."""
    if len(points) < 2 or not points[0]["ops_s"]["estimate"]:
        return ""
    first, last = points[0], points[-1]
    best = max(points, key=lambda one: one["ops_s"]["estimate"])
    least = first["ops_s"]["estimate"]
    most = (
        f"{_agents(best['agents'])} reached the most, {best['ops_s']['estimate']:,.0f} operations/s"
    )
    if best is first:  # the ratio of a thing to itself says nothing
        sentence = f"{most}: more agents did not do more"
    else:
        sentence = (
            f"{most}: {best['ops_s']['estimate'] / least:,.1f} times what "
            f"{_agents(first['agents'])} did, {best['efficiency']:.0%} of the ideal"
        )
    if last is not best:
        reached = last["ops_s"]["estimate"]
        sentence += f"; {_agents(last['agents'])} reached {reached:,.0f}"
    return f"{sentence}."


def _agents(count: int) -> str:
    return "1 agent" if count == 1 else f"{count:,} agents"
