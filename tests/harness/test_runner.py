"""What a run is summed up to where there are no rows, and what of its faults is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import runner
from harness.errors import UsageError
from harness.plan import RunPlan
from harness.rundir import RunDirectory, Status


def counted(operations: int, failures: int) -> Any:
    """What is known of a run with --record off."""
    meter = SimpleNamespace(operations=operations, failures=failures, agents=4)
    return SimpleNamespace(plan=RunPlan(agents=4, record=False), meter=meter, measured_s=2.0)


@pytest.mark.parametrize(
    ("status", "verdicts"),
    [
        ("complete", ["recording"]),
        ("interrupted", ["completion", "recording"]),
        ("failed", ["completion", "recording"]),
    ],
)
def test_a_run_without_rows_is_summed_up_from_its_counts(
    tmp_path: Path, status: Status, verdicts: list[str]
):
    """Totals are the cohorts', only successes are throughput, and what cut it short is said."""
    directory = RunDirectory.create(tmp_path / "run", "run")
    directory.write_run({"plan": RunPlan(agents=4, record=False).as_dict()})
    summary = runner._sum_up(directory, counted(100, 20), status)
    assert (summary["operations"], summary["failed"]) == (100, 20)
    assert (summary["duration_s"], summary["throughput_ops_s"]) == (2.0, 40.0)
    assert summary["agents"]["count"] == 4
    assert [one["name"] for one in summary["verdicts"]] == verdicts


@pytest.mark.parametrize(
    ("text", "fields", "part"),
    [
        ("at 1s kill shard 9999", {}, "there is no shard 9999; "),
        ("at 1s kill cohort 2", {"agents_per_task": 1}, "there is no cohort 2; they are 0 to 1"),
        ("at 1s kill shard 0", {"target": "embedded"}, "this run has no shard"),
    ],
)
def test_a_fault_that_hits_nothing_is_refused_before_the_start(
    text: str, fields: dict[str, Any], part: str
):
    """What a run on this machine will have is known before anything starts."""
    with pytest.raises(UsageError, match=r"^--fault: ") as caught:
        runner.prepare(RunPlan(agents=2, faults=(text,), **fields))
    assert part in str(caught.value)


@pytest.mark.parametrize(
    "target", ["noop", "threads", "tests.benchmarks.odd_targets:LeakingTarget"]
)
def test_a_target_that_cannot_be_audited_is_refused(target: str):
    """The sentence names the ones that can, or the target is one of theirs."""
    plan = RunPlan(agents=2, target=target, audit=True)
    with pytest.raises(UsageError, match=r"^--audit: .* cannot be read back; --target memory_core"):
        runner.prepare(plan)
