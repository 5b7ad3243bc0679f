"""How far off predictions are, and what the parts cost that a run has one of.

The goals of costs are twice what `harness.simulation.control_plane` takes them for: beyond, what
`harness simulate` says of a design's limits is off by as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.child import in_child
from bench.errors import MeasurementError
from bench.figures import FigureSpec, Goal, Measured, number
from bench.harness_runs import run_bench
from bench.sizes import size
from harness.analysis.usl import fit_usl
from harness.errors import HarnessError
from harness.simulation.control_plane import ControlCosts
from harness.sizing.demands import fit_demands
from harness.sizing.evidence import RunEvidence
from harness.sizing.prediction import foretold_run
from harness.sizing.reading import read_evidence

__all__ = ["MEASUREMENTS", "ROWS", "ScaleSizes", "figure_specs"]

# Runs with the first four tell of the last.
_COUNTS = (10, 25, 50, 100)


@dataclass(frozen=True, kw_only=True)
class ScaleSizes:
    """Counts, all positive; each is an option of the command."""

    agents: int = size(500, "agents that are predicted from 10, 25, 50 and 100")
    step_s: int = size(5, "seconds of each of these runs")
    senders: int = size(2, "processes that send to the control actor")
    reports: int = size(1_000, "reports of each")
    files: int = size(40, "files of 256 KiB of each")
    cohorts: int = size(5_000, "cohorts of a snapshot")
    names: int = size(500, "names that each of as many processes looks up")
    actors: int = size(9, "actors whose names these are")


def predictions(sizes: ScaleSizes, folder: Path) -> Measured:
    """What a simulation says of the largest run, over what was measured."""
    counts = ",".join(map(str, (*_COUNTS, sizes.agents)))
    options = ["--counts", counts, "--repeats", "1", "--step-duration", str(sizes.step_s)]
    try:
        runs = read_evidence([run_bench(["agents", *options], folder)]).runs
        *smaller, largest = sorted(runs, key=lambda run: run.agents)
        found = foretold_run(fit_demands(smaller), largest)
        again = foretold_run(fit_demands(runs), largest)
    except HarnessError as error:
        raise MeasurementError(str(error)) from error
    measured = {"throughput_ops_s": largest.throughput_ops_s}
    by_law = _by_law(smaller, largest)
    if by_law is not None:
        measured["usl_throughput"] = by_law / largest.throughput_ops_s
    for name, outcome in (("predicted", found), ("reproduced", again)):
        measured[f"{name}_throughput"] = outcome.throughput_ops_s / largest.throughput_ops_s
        for percentile, measured_ms in largest.response_ms.items():
            simulated_ms = outcome.percentile_ms(float(percentile.removeprefix("p")))
            if measured_ms and simulated_ms:
                measured[f"{name}_{percentile}"] = simulated_ms / measured_ms
    return measured


def _by_law(smaller: list[RunEvidence], largest: RunEvidence) -> float | None:
    """The throughput that the Universal Scalability Law says, which knows nothing of batches."""
    counts = [run.agents for run in smaller]
    law = fit_usl(counts, [run.throughput_ops_s for run in smaller])
    return None if law is None else float(law.curve([largest.agents])[0]["ops_s"])


MEASUREMENTS: dict[str, Callable[[ScaleSizes, Path], Measured]] = {
    "predictions": predictions,
    "control": lambda sizes, _: in_child(
        "scale_child.control_messages",
        senders=sizes.senders,
        reports=sizes.reports,
        files=sizes.files,
    ),
    "snapshots": lambda sizes, _: in_child(
        "scale_child.snapshots", cohorts=sizes.cohorts, repeats=10
    ),
    "lookups": lambda sizes, _: in_child(
        "scale_child.lookups", clients=sizes.senders, names=sizes.names, actors=sizes.actors
    ),
}
ROWS: dict[str, tuple[str, ...]] = {
    "prediction": ("predictions",),
    "control": ("control",),
    "snapshots": ("snapshots",),
    "lookups": ("lookups",),
}


def figure_specs(sizes: ScaleSizes) -> list[FigureSpec]:
    """The lines of the table."""
    costs = ControlCosts()
    return [
        *_predictions(sizes),
        FigureSpec(
            row="prediction",
            title="throughput by the Universal Scalability Law, from 10 to 100",
            unit="times",
            value=number("predictions", "usl_throughput"),
        ),
        FigureSpec(
            row="control",
            title="CPU of the control actor for a report",
            unit="µs",
            value=number("control", "report_cpu_us"),
            goal=Goal(most=2 * costs.message_s * 1e6),
        ),
        FigureSpec(
            row="control",
            title="the same for a MiB of files",
            unit="µs",
            value=number("control", "file_cpu_us_a_mib"),
            goal=Goal(most=2 * costs.file_s_a_byte * 2**20 * 1e6),
        ),
        FigureSpec(
            row="snapshots",
            title="CPU of a snapshot for each cohort",
            unit="µs",
            value=number("snapshots", "snapshot_cpu_us_a_cohort"),
            goal=Goal(most=1.0),
        ),
        FigureSpec(
            row="lookups",
            title="CPU of the GCS for an actor's name",
            unit="µs",
            value=number("lookups", "lookup_gcs_cpu_us"),
            goal=Goal(most=2 * costs.lookup_s * 1e6),
        ),
        FigureSpec(
            row="lookups",
            title="from asking for a name until it is there",
            unit="µs",
            value=_micro("lookup_ms"),
        ),
        FigureSpec(
            row="lookups",
            title="first call to an actor",
            unit="µs",
            value=_micro("connection_first_call_ms"),
        ),
        FigureSpec(
            row="lookups",
            title="open files of a process for each actor it calls",
            unit="times",
            value=number("lookups", "connection_files"),
        ),
        FigureSpec(
            row="lookups",
            title="memory of it, KiB",
            unit="times",
            value=number("lookups", "connection_uss_kib"),
            goal=Goal(most=2 * costs.connection_bytes / 1024),
        ),
    ]


def _predictions(sizes: ScaleSizes) -> list[FigureSpec]:
    kinds = (
        ("predicted", "predicted from 10 to 100", Goal(least=0.8, most=1.25)),
        ("reproduced", "by its own run too", Goal(least=0.85, most=1.18)),
    )
    return [
        FigureSpec(
            row="prediction",
            title=f"{what} of {sizes.agents:,} agents, {words}",
            unit="times",
            value=number("predictions", f"{name}_{what}"),
            goal=of_throughput if what == "throughput" else None,
        )
        for name, words, of_throughput in kinds
        for what in ("throughput", "p50", "p90", "p99")
    ]


def _micro(name: str) -> Callable[..., float | None]:
    in_ms = number("lookups", name)

    def value(repeat: dict[str, Measured]) -> float | None:
        found = in_ms(repeat)
        return None if found is None else found * 1e3

    return value
