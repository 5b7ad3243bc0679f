"""The summary of ``bench resources`` where there is little to sum up."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.resource_utilization import summarise_resources
from harness.benchmarks.bench_directory import BenchDirectory


def begun(path: Path, rates: list[float]) -> BenchDirectory:
    directory = BenchDirectory.create(path / "b", "bench-resources")
    directory.describe(plan={}, bench={"rates": rates})
    return directory


def test_a_benchmark_without_a_step_says_so(tmp_path: Path):
    """There are verdicts, and no figures."""
    directory = begun(tmp_path, [10.0])
    directory.update_status("interrupted")
    summary = summarise_resources(directory.path)
    assert summary["resources"] is None
    assert summary["duration_s"] == 0
    assert [one["name"] for one in summary["verdicts"]] == ["completion"]


def test_a_sweep_that_was_cut_short_has_the_rates_that_are_there(tmp_path: Path):
    """Those that never began are in no figure; a step without a row has none."""
    directory = begun(tmp_path, [10.0, 100.0])
    directory.step("rate-10").update_status("interrupted")
    directory.update_status("interrupted")
    summary = summarise_resources(directory.path)
    assert list(summary["rates"]) == ["10"]
    assert summary["resources"]["operations"] == 0
    assert summary["resources"]["actual_rate_ops_per_second"] is None
    assert summary["resources"]["time_series"] == []
    assert summary["resources"]["costs"] is None


def test_costs_without_their_idle_step_are_unknown(tmp_path: Path):
    """Each operation is there, with None for what it costs."""
    directory = begun(tmp_path, [10.0])
    for name in ("rate-10", "cost-store"):
        directory.step(name).update_status("complete")
    costs = summarise_resources(directory.path)["resources"]["costs"]
    assert set(costs) == {"store", "retrieve", "search"}
    assert all(cost["cpu_us"] is None for cost in costs.values())
