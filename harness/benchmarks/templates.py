"""The shape of a benchmark's summary, so that a threshold on it is checked before it runs.

A template has every path to a figure that the summary may have, and no figure. It is made by what
makes the summary, from a run without a row, so that it does not fall behind; what such a run has
no figures of is written down here, and a test holds it against a real summary.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.analysis.resource_utilization import summarise_resources
from harness.benchmarks.bench_directory import BenchDirectory
from harness.benchmarks.resource_utilization import rate_name
from harness.schema import OPERATIONS

__all__ = ["resources_template"]

_COST = dict.fromkeys(("cpu_us", "memory_bytes", "disk_bytes"))


def resources_template(rates: Collection[float]) -> dict[str, Any]:
    """The summary of ``bench resources`` at these rates."""
    with TemporaryDirectory() as folder:
        directory = BenchDirectory.create(Path(folder) / "bench", "bench-resources")
        directory.step("rate-1").update_status("complete")
        template = summarise_resources(directory.path)
    of_rate = {**template["resources"], "costs": dict.fromkeys(OPERATIONS, _COST)}
    template["resources"] = of_rate
    if len(rates) > 1:
        template["rates"] = {rate_name(rate): of_rate for rate in rates}
    return template
