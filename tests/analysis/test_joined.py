"""Several benchmarks in one directory make one summary."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.joined import join_summaries
from harness.benchmarks.bench_directory import BenchDirectory


def made(folder: Path, name: str, **sections: object) -> None:
    directory = BenchDirectory.create(folder / name, f"bench-{name}")
    directory.update_status("complete")
    verdict = {"name": "completion", "verdict": "ok", "sentence": f"All of {name}."}
    directory.write_summary(
        {"bench": name, "duration_s": 2.0, "verdicts": [verdict], "thresholds": [], **sections}
    )


def test_sections_stand_side_by_side(tmp_path: Path):
    """Each benchmark's own sections, and verdicts under its name; their durations add up."""
    made(tmp_path, "agents", counts={"1": {}}, scaling={"points": []})
    made(tmp_path, "memory", volumes={"1000": {}})
    made(tmp_path, "resources", resources={"late_operations": 0})
    joined = join_summaries(tmp_path)
    assert (joined["bench"], joined["schema_version"]) == ("all", 1)
    assert joined["duration_s"] == 6.0
    assert joined["counts"] == {"1": {}}
    assert joined["volumes"] == {"1000": {}}
    assert joined["resources"] == {"late_operations": 0}
    assert "thresholds" not in joined
    assert [one["name"] for one in joined["verdicts"]] == [
        *("agents.completion", "memory.completion", "resources.completion")
    ]
    assert joined["benchmarks"]["memory"] == {
        "path": "memory",
        "status": "complete",
        "duration_s": 2.0,
    }


def test_a_benchmark_that_is_missing_is_a_verdict(tmp_path: Path):
    """What is there is joined; what is not stands first, as a failure."""
    made(tmp_path, "memory", volumes={})
    BenchDirectory.create(tmp_path / "resources", "bench-resources")  # and no summary
    joined = join_summaries(tmp_path)
    assert [(one["name"], one["verdict"]) for one in joined["verdicts"]] == [
        ("agents.completion", "failed"),
        ("resources.completion", "failed"),
        ("memory.completion", "ok"),
    ]
    assert joined["benchmarks"]["agents"]["status"] is None
    assert joined["benchmarks"]["resources"]["status"] == "running"
