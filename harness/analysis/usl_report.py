"""What a summary and a report say of a fitted Universal Scalability Law."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.bootstrap import Estimate
from harness.analysis.usl import FARTHEST_PEAK, FEWEST_COUNTS, UslFit, usable_points

__all__ = ["usl_sentence", "usl_summary", "why_no_usl"]

_POOR_MISFIT_RATIO = 0.2


def usl_summary(fit: UslFit) -> dict[str, Any]:
    """Give what ``scaling.usl`` of a summary holds, the curve included."""
    return {
        "lambda": fit.throughput_of_one,
        "sigma": fit.contention,
        "kappa": fit.coherency,
        "peak_agents": fit.peak_agents,
        "peak_ops_s": fit.peak_ops_s,
        "no_peak_before": fit.no_peak_before,
        "r_squared": fit.r_squared,
        "misfit_ratio": fit.misfit_ratio,
        "confidence": fit.confidence,
        "points": fit.points,
        "dropped_points": fit.dropped,
        "curve": fit.curve(),
    }


def usl_sentence(fit: UslFit) -> str:
    """Say in plain words where throughput peaks, what holds it back, and how sure that is."""
    coherency = _decimal(fit.coherency["estimate"])
    sentence = f"{_peak(fit)}; contention {_percent(fit.contention)}, coherency {coherency}."
    if fit.misfit_ratio > _POOR_MISFIT_RATIO:
        sentence += (
            f" The law fits poorly: points lie {fit.misfit_ratio:.0%} from it. "
            "Trust the points, not the curve."
        )
    if fit.contention["low"] is None:
        sentence += f" {fit.points} points leave nothing over to say how sure this is."
    return sentence + _left_out(fit.dropped)


def why_no_usl(agents: npt.ArrayLike, ops_s: npt.ArrayLike) -> str:
    """Say in a sentence why `harness.analysis.usl.fit_usl` gave None for these points."""
    counts, _, dropped = usable_points(agents, ops_s)
    there = int(np.unique(counts).size)
    sentence = (
        "No scalability law was fitted: that takes a throughput at "
        f"{FEWEST_COUNTS} different numbers of agents, and there {'is' if there == 1 else 'are'} "
        f"{there}."
    )
    return sentence + _left_out(dropped)


def _peak(fit: UslFit) -> str:
    largest = _whole(fit.largest_agents)
    if fit.peak_agents is None:
        farthest = FARTHEST_PEAK * fit.largest_agents
        measured = f"{largest} were measured"
        if fit.no_peak_before is not None and 2 <= fit.no_peak_before < farthest:
            measured += f"; one before {_whole(fit.no_peak_before)} is unlikely"
        return f"No peak of throughput is predicted up to {_whole(farthest)} agents ({measured})"
    where, low, high = (fit.peak_agents[key] for key in ("estimate", "low", "high"))
    count = _whole(where)
    agents = f"{count} agent" if count == "1" else f"{count} agents"
    beyond = where is not None and where > fit.largest_agents
    tail = f", beyond the {largest} that were measured" if beyond else ""
    if low is None:
        return f"Throughput is predicted to peak at about {agents}{tail}"
    if high is None:
        no_peak = f"({_whole(low)} or more; the points do not prove a peak)"
        return f"Throughput may peak at about {agents} {no_peak}{tail}"
    return (
        f"Throughput is predicted to peak at about {agents} ({_whole(low)} to {_whole(high)}){tail}"
    )


def _percent(share: Estimate) -> str:
    estimate, low, high = (share[key] for key in ("estimate", "low", "high"))
    text = f"{100 * (estimate or 0.0):.3g}%"
    if low is None or high is None:
        return text
    return f"{text} ({100 * low:.3g}% to {100 * high:.3g}%)"


def _decimal(value: float | None) -> str:
    """Two significant digits, never as a power of ten."""
    return f"{float(f'{value or 0.0:.2g}'):.12f}".rstrip("0").rstrip(".")


def _whole(value: float | None) -> str:
    """A count of agents, to three significant digits."""
    return f"{float(f'{value or 0.0:.3g}'):,.0f}"


def _left_out(dropped: int) -> str:
    if not dropped:
        return ""
    points = "1 point was" if dropped == 1 else f"{dropped} points were"
    return f" {points} left out: agents and throughput have to be positive numbers."
