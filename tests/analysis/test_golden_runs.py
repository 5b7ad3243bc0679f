"""Run directories that earlier releases wrote are opened, summed up and compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.analysis import summarise, summary_paths, summary_value
from harness.analysis.comparison import compare
from harness.analysis.resources import CPU_WINDOW_MIN_S
from harness.report.comparison_page import comparison_page
from harness.report.html import write_report
from harness.rundir_reader import open_run
from tests.made_runs import GOLDEN_NAMES, golden_run

BENCHES = {
    "bench-agents": "counts.3.search.p50_ms",
    "bench-memory": "volumes.1000.recall.all",
    "bench-resources": "resources.p95_operation_time_ms",
}
OF_CPU_TIME = re.compile(
    r"cpu_seconds$|process_cpu_percent|cpu_us_per_operation|operations_per_cpu"
)
RUNS = [name for name in GOLDEN_NAMES if name.startswith("run")]


def test_golden_runs_are_there():
    """The runs and benchmarks of schema 1 are among the files."""
    assert set(BENCHES) <= set(GOLDEN_NAMES)
    assert {"run", "run-again", "run-single-calls", "run-open-loop"} <= set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_golden_run_gives_the_figures_it_had(tmp_path: Path, name: str):
    """Every figure that its release made of the rows is made of them again, and none is lost.

    But for CPU time in a run under a second: the first release gave what it had not measured.
    """
    reader = open_run(golden_run(name, tmp_path))
    before, after = reader.summary, summarise(reader)
    assert before is not None
    assert reader.damaged_files == 0
    assert after["operations"] > 250
    for path in summary_paths(before):
        if before["duration_s"] < CPU_WINDOW_MIN_S and OF_CPU_TIME.search(path):
            assert summary_value(after, path) is None, path
        else:
            assert summary_value(after, path) == pytest.approx(summary_value(before, path)), path


def test_golden_runs_of_one_plan_compare_without_a_warning_of_the_plan(tmp_path: Path):
    """Two runs of one plan differ in nothing but their figures, few of which differ."""
    base, new = (golden_run(name, tmp_path) for name in ("run", "run-again"))
    [versus] = compare([str(base), str(new)]).against
    assert not versus.differences
    assert {one["name"] for one in versus.notes} == {"within_run", "many_figures", "wide"}
    assert versus.count("no difference") > versus.count("worse") + versus.count("better")


def test_golden_single_calls_are_slower(tmp_path: Path):
    """One actor call an operation is worse, and the option that differs is named."""
    base, new = (golden_run(name, tmp_path) for name in ("run", "run-single-calls"))
    comparison = compare([str(base), str(new)])
    [versus] = comparison.against
    assert [(one.name, one.base, one.new) for one in versus.differences] == [
        ("--pipelining", "on", "off")
    ]
    verdicts = {one.path: one.verdict for one in versus.figures}
    assert verdicts["throughput_ops_s"] == verdicts["all.p50_ms"] == "worse"
    assert "throughput" in comparison_page(comparison)


@pytest.mark.parametrize("name", BENCHES)
def test_a_golden_benchmark_compares_with_itself(tmp_path: Path, name: str):
    """Each has its figures, none of which differs from itself, and a page of them."""
    path = str(golden_run(name, tmp_path))
    comparison = compare([path, path])
    [versus] = comparison.against
    figures = {one.path: one for one in versus.figures}
    assert figures[BENCHES[name]].ratio["estimate"] == 1
    assert len(figures) > 20
    assert versus.count("worse") == versus.count("better") == 0
    assert not versus.differences
    assert "What differs" not in comparison_page(comparison)


def test_probes_of_a_volume_are_compared_by_their_own_rows(tmp_path: Path):
    """Each kind of probe has an interval of its own rows; searches across tiers are not others."""
    path = str(golden_run("bench-memory", tmp_path))
    [versus] = compare([path, path]).against
    basis = {one.path: one.basis for one in versus.figures}
    for name in ("store", "retrieve", "search", "cross_tier"):
        for figure in (f"{name}_latency_ms.p50", f"{name}_latency_ms.avg", f"service.{name}.p50"):
            assert basis[f"volumes.1000.{figure}"] == "within", figure
    assert basis["volumes.1000.memory_usage_bytes"] == "none"


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_a_golden_directory_is_reported(tmp_path: Path, name: str):
    """A report is made of it from its files."""
    report = write_report(golden_run(name, tmp_path))
    assert "<!doctype html>" in report.read_text(encoding="utf-8")
