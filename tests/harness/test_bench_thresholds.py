"""Thresholds of benchmarks: checked before anything runs, against the summary there will be."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness import cli
from harness.analysis import summary_paths
from harness.analysis.agent_scaling import agents_template
from harness.analysis.memory_scaling import memory_template
from harness.benchmarks import bench
from harness.benchmarks.templates import resources_template
from harness.commands.judging import run_template
from harness.ray_session import RaySession
from tests.harness.driving import short_folder
from tests.shared_ray import command_here


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["agents", "--threshold", "counts.7.all.p99_ms<20"], "'counts.7.all.p99_ms': a summary"),
        (["agents", "--threshold", "threads.1.all.p99_ms<20"], "did you mean "),
        (["agents", "--threshold", "search.p99_ms<20"], "did you mean "),
        (["agents", "--threshold", "counts.1.all.p99_ms<20%"], "a per cent sign means nothing"),
        (["agents", "--junit", "."], "--junit: . is a folder"),
        (["resources", "--threshold", "rates.10.lag_p99_ms<5"], "did you mean resources."),
        (
            ["memory", "--volumes", "10", "--threshold", "volumes.20.recall.all>0.9"],
            "did you mean volumes.10.recall.all",
        ),
        (["memory", "--threshold", "volumes.1000.failed<5%"], "a per cent sign means nothing"),
        (["memory", "--threshold", "volumes.1000.search_latency_ms.p99<5%"], "which is in ms"),
        (["resources", "--threshold", "resources<5"], "is a group of figures"),
    ],
)
def test_a_figure_that_a_benchmark_will_not_have_is_refused(
    monkeypatch, capsys, tmp_path: Path, arguments, part
):
    """Exit code 2 and one line; nothing is started or left behind."""

    def started(address: str) -> None:
        raise AssertionError(f"Ray was started or joined ({address})")

    monkeypatch.setattr(bench, "ray_session", started)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", "bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2, said
    assert said.err.count("\n") == 1
    assert part in said.err
    assert not list(tmp_path.iterdir())


def test_a_template_has_each_count_and_rate_that_is_asked_for():
    """And the baseline's, and what is fitted over all of them."""
    paths = set(summary_paths(agents_template(run_template(), [1, 500], threads=True)))
    assert {"counts.500.search.p99_ms", "threads.1.service.all.p50_ms"} <= paths
    assert {"counts.1.efficiency", "scaling.usl.sigma.high"} <= paths
    assert "rates.100.p95_operation_time_ms" in summary_paths(resources_template([10.0, 100.0]))
    paths = set(summary_paths(resources_template([10.0])))
    assert {"resources.actual_rate_ops_per_second", "resources.costs.store.cpu_us"} <= paths
    assert not any(path.startswith("rates.") for path in paths)
    paths = set(summary_paths(memory_template([10, 20])))
    assert {"volumes.20.search_latency_ms.p99", "volumes.10.recall.im"} <= paths
    assert {"volumes.10.retrieved.missing", "volumes.10.load.failed"} <= paths
    assert {"volumes.10.tiers.ltm", "baseline.memory_usage_bytes"} <= paths
    assert "degradation.search.exponent.estimate" in paths


@pytest.mark.slow
@pytest.mark.cluster
def test_a_benchmark_is_judged_and_its_summary_has_the_templates_figures(ray_here: RaySession):
    """The template is held against a real summary, and a breach exits with 3.

    With --json standard output is the summary of the directory, which has its report.
    """
    with short_folder() as folder:
        size = ["--counts", "2,1", "--repeats", "1", "--step-duration", "0.3"]
        size += ["--target", "noop", "--shards", "1"]
        asked = ["counts.2.all.p50_ms<1e6", "counts.2.efficiency>=5000%"]
        options = [part for text in asked for part in ("--threshold", text)]
        options += ["--junit", str(folder / "junit.xml"), "--out", str(folder / "out"), "--json"]
        done = command_here("bench", "agents", *size, *options, temp=folder)
        assert done.returncode == 3, done.stderr
        assert "breached: counts.2.efficiency" in done.stderr
        summary = json.loads(done.stdout)
        assert summary == json.loads((folder / "out" / "summary.json").read_text())
        assert "<html" in (folder / "out" / "report.html").read_text()
        assert list(summary["counts"]) == ["1", "2"]
        assert [one["verdict"] for one in summary["thresholds"]] == ["passed", "breached"]
        assert ET.parse(folder / "junit.xml").getroot().get("failures") == "1"
        del summary["schema_version"]
        summary["scaling"].pop("usl")  # none, of two counts
        assert set(summary_paths(summary)) <= set(
            summary_paths(agents_template(run_template(), [1, 2], threads=False))
        )
