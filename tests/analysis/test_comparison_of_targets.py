"""Two comparisons of targets, compared: each target with itself, by its own repeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.analysis.comparison import compare
from tests.report.made_benches import make_bench


def bench(path: Path, slower: float) -> Path:
    """Three repeats of each figure, as many times as slow."""
    make_bench(path, "targets")
    file = path / "summary.json"
    summary = json.loads(file.read_text())
    for one in summary["targets"].values():
        for figures in one["counts"].values():
            rate = figures["operations_per_second"] / slower
            figures["repeats"] = [
                {"operations_per_second": rate * by, "max_memory_bytes": 2**27}
                for by in (0.99, 1, 1.01)
            ]
        for figures in one["volumes"].values():
            figures["repeats"] = [
                {name: value for name, value in figures.items() if name != "repeats"}
            ] * 3
    file.write_text(json.dumps(summary))
    return path


def test_each_target_is_compared_with_itself(tmp_path: Path):
    """By agents and by memories, from the repeats; what is as it was shows no difference."""
    base, new = bench(tmp_path / "base", 1.0), bench(tmp_path / "new", 2.0)
    [versus] = compare([str(base), str(new)]).against
    found: dict[str, Any] = {one.path: one for one in versus.figures}
    throughput = found["targets.memory_core.counts.500.operations_per_second"]
    assert (throughput.verdict, throughput.base_repeats) == ("worse", 3)
    assert throughput.section == "memory_core, 500 agents"
    recall = found["targets.sqlite-vec.volumes.10000.recall"]
    assert (recall.verdict, recall.section) == ("no difference", "sqlite-vec, 10,000 memories")
    assert not any("cross_tier" in path for path in found)
