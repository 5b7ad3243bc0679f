"""Run directories that earlier releases wrote are opened, summed up and compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.analysis import summarise, summary_paths, summary_value
from harness.analysis.comparison import compare
from harness.report.comparison_page import comparison_page
from harness.rundir_reader import open_run
from tests.made_runs import GOLDEN_NAMES, golden_run

RUNS = [name for name in GOLDEN_NAMES if name.startswith("run")]


def test_golden_runs_are_there():
    """The four runs of schema 1 are among the files."""
    assert {"run", "run-again", "run-single-calls", "run-open-loop"} <= set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_a_golden_run_gives_the_figures_it_had(tmp_path: Path, name: str):
    """Every figure that its release made of the rows is made of them again, and none is lost."""
    reader = open_run(golden_run(name, tmp_path))
    before, after = reader.summary, summarise(reader)
    assert before is not None
    assert reader.damaged_files == 0
    assert after["operations"] > 250
    for path in summary_paths(before):
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
